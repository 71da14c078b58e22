//! The GStreamer side of `attachepacer`: pads, and packets on their way to the [`Line`].

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use super::line::Line;

pub struct Pacer {
    sink: gst::Pad,
    source: gst::Pad,
    line: OnceLock<Arc<Line>>,
    told: Mutex<Told>,
}

/// What those behind were told of tracks. Before it stands a funnel, which tells everything again each time that packets of
/// another track come; behind it each telling goes through a dozen elements, and costs more than the packet.
#[derive(Default)]
struct Told {
    /// The last ones of each source: their session keeps these by source, too.
    caps: HashMap<Option<u32>, gst::Caps>,
    segment: Option<gst::Segment>,
}

impl Told {
    /// Whether this is told for the first time.
    fn is_new(&mut self, event: &gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(event) => {
                let caps = event.caps_owned();
                let source = caps.structure(0).and_then(|it| it.get("ssrc").ok());
                let is_same = self.caps.get(&source) == Some(&caps);
                self.caps.insert(source, caps);
                !is_same
            }
            gst::EventView::Segment(event) => {
                let segment = event.segment();
                let is_new = self.segment.as_ref() != Some(segment);
                self.segment = Some(segment.clone());
                is_new
            }
            gst::EventView::StreamStart(_) | gst::EventView::FlushStop(_) => {
                *self = Self::default();
                true
            }
            // An enum of C.
            _ => true,
        }
    }
}

impl Pacer {
    /// Where packets go; set once, when the element is made.
    pub fn set_line(&self, line: Arc<Line>) {
        line.leave_through(&self.source);
        // A second one is never set.
        let _ = self.line.set(line);
    }

    fn take(
        &self,
        packets: impl Iterator<Item = gst::Buffer>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let line = self.line.get().ok_or(gst::FlowError::NotLinked)?;
        line.take(packets)
    }

    fn on_downstream(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = told.is_new(&event);
        drop(told);
        !is_new || gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// Requests for packets are answered here; where packets cannot be sent again, and of all else, those before it hear.
    fn on_upstream(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        let asked = event.structure().and_then(asked_for);
        if let (Some((ssrc, sequence)), Some(line)) = (asked, self.line.get())
            && line.ask(ssrc, sequence)
        {
            return true;
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }
}

/// Of which source which packet an RTP session asks for.
fn asked_for(request: &gst::StructureRef) -> Option<(u32, u16)> {
    if request.name() != "GstRTPRetransmissionRequest" {
        return None;
    }
    let sequence = request.get::<u32>("seqnum").ok()?;
    Some((request.get("ssrc").ok()?, u16::try_from(sequence).ok()?))
}

#[glib::object_subclass]
impl ObjectSubclass for Pacer {
    const NAME: &'static str = "AttachePacer";
    type Type = super::Pacer;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| {
            class
                .pad_template(name)
                .map(|template| gst::Pad::builder_from_template(&template))
        };
        let sink = template("sink").unwrap_or_else(|| gst::Pad::builder(gst::PadDirection::Sink));
        let source = template("src").unwrap_or_else(|| gst::Pad::builder(gst::PadDirection::Src));
        let sink = sink
            .name("sink")
            .chain_function(|_, parent, buffer| {
                let failed = || Err(gst::FlowError::Error);
                Self::catch_panic_pad_function(parent, failed, |pacer| {
                    pacer.take(std::iter::once(buffer))
                })
            })
            .chain_list_function(|_, parent, list| {
                let failed = || Err(gst::FlowError::Error);
                Self::catch_panic_pad_function(parent, failed, |pacer| {
                    pacer.take(list.iter_owned())
                })
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(
                    parent,
                    || false,
                    |pacer| pacer.on_downstream(pad, event),
                )
            })
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        let source = source
            .name("src")
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(
                    parent,
                    || false,
                    |pacer| pacer.on_upstream(pad, event),
                )
            })
            .build();
        Self {
            sink,
            source,
            line: OnceLock::new(),
            told: Mutex::default(),
        }
    }
}

impl ObjectImpl for Pacer {
    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        for pad in [&self.sink, &self.source] {
            if let Err(error) = element.add_pad(pad) {
                gst::error!(gst::CAT_RUST, obj = element, "cannot be built: {error}");
            }
        }
    }
}

impl GstObjectImpl for Pacer {}

impl ElementImpl for Pacer {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Pacer",
                "Network/RTP",
                "Lets RTP packets go at the rate that the link carries",
                "the attache authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::builder("application/x-rtp").build();
            let ways = [
                ("sink", gst::PadDirection::Sink),
                ("src", gst::PadDirection::Src),
            ];
            ways.into_iter()
                .filter_map(|(name, way)| {
                    gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps).ok()
                })
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::PausedToReady
            && let Some(line) = self.line.get()
        {
            line.close();
        }
        self.parent_change_state(transition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_of_a_source_is_not_told_again_until_it_changes() {
        gst::init().unwrap();
        let caps = |ssrc: u32, rate: i32| {
            let caps = gst::Caps::builder("application/x-rtp");
            gst::event::Caps::new(&caps.field("ssrc", ssrc).field("clock-rate", rate).build())
        };
        let segment = || gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new());
        let mut told = Told::default();
        let events = [
            caps(1, 48_000),
            segment(),
            caps(2, 90_000),
            segment(),
            caps(1, 48_000),
            caps(2, 8000),
            caps(2, 8000),
            gst::event::StreamStart::new("again"),
            caps(1, 48_000),
            segment(),
        ];
        let new = events.map(|event| told.is_new(&event));
        assert_eq!(
            new,
            [
                true, true, true, false, false, true, false, true, true, true
            ]
        );
    }
}
