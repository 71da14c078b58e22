//! The GStreamer side of `attachedenoise`: caps, latency, events, messages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gstreamer as gst;
use gstreamer_audio::{AudioCapsBuilder, AudioFormat, AudioInfo};
use gstreamer_base::prelude::*;
use gstreamer_base::subclass::BaseTransformMode;
use gstreamer_base::subclass::base_transform::GenerateOutputSuccess;
use gstreamer_base::subclass::prelude::*;

use super::super::engine;
use super::super::governor::Change;
use super::super::stream::Statistics;
use super::MESSAGE;
use super::flow::Flow;
use super::properties::{self, Settings};
use crate::media::notice;

#[derive(Default)]
pub struct Denoise {
    settings: Mutex<Settings>,
    /// A copy for readers of properties, so that they do not wait for a frame.
    statistics: Mutex<Statistics>,
    flow: Mutex<Option<Flow>>,
    /// In nanoseconds; a query does not wait for a frame either.
    latency: AtomicU64,
}

/// A panic elsewhere leaves numbers and sound behind that are as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for Denoise {
    const NAME: &'static str = "AttacheDenoise";
    type Type = super::Denoise;
    type ParentType = gstreamer_base::BaseTransform;
}

impl ObjectImpl for Denoise {
    fn properties() -> &'static [glib::ParamSpec] {
        properties::specs()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        locked(&self.settings).set(spec.name(), value);
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        let statistics = locked(&self.statistics).clone();
        locked(&self.settings).get(spec.name(), &statistics)
    }
}

impl GstObjectImpl for Denoise {}

impl ElementImpl for Denoise {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Noise suppression",
                "Filter/Effect/Audio",
                "Takes noise out of speech with a network of one's choice",
                "the attache authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = AudioCapsBuilder::new_interleaved()
                .format_list([AudioFormat::F32le, AudioFormat::S16le])
                .rate_range(4000..=384_000)
                .channels_range(1..=64)
                .build();
            let ends = [
                ("sink", gst::PadDirection::Sink),
                ("src", gst::PadDirection::Src),
            ];
            let template = |(name, end)| {
                gst::PadTemplate::new(name, end, gst::PadPresence::Always, &caps).ok()
            };
            ends.into_iter().filter_map(template).collect()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for Denoise {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        // An engine that cannot be had is told here, before sound flows, and its weights are unpacked.
        let name = locked(&self.settings).engine.clone();
        let made = engine::make(&name, 1);
        made.map(drop)
            .map_err(|error| gst::error_msg!(gst::LibraryError::Settings, ["{error}"]))
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *locked(&self.flow) = None;
        Ok(())
    }

    fn set_caps(&self, caps: &gst::Caps, _same: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = AudioInfo::from_caps(caps)
            .map_err(|_| gst::loggable_error!(gst::CAT_RUST, "these are no caps of sound"))?;
        let Settings { engine, wanted } = locked(&self.settings).clone();
        let channels = usize::try_from(info.channels()).unwrap_or(1);
        let engines = engine::make(&engine, channels)
            .map_err(|error| gst::loggable_error!(gst::CAT_RUST, "{error}"))?;
        let flow = Flow::new(info, engine, engines, wanted);
        let latency = flow.latency();
        *locked(&self.flow) = Some(flow);
        self.set_latency(latency);
        Ok(())
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let taken = self.take_queued_buffer();
        let mut guard = locked(&self.flow);
        let flow = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        let (mut changes, mut refused) = (Vec::new(), None);
        if let Some(buffer) = taken {
            refused = self.apply_settings(flow).err();
            changes = flow.take(&buffer)?;
        }
        let next = flow.ready.pop_front();
        let latency = flow.latency();
        *locked(&self.statistics) = flow.stream.statistics().clone();
        drop(guard);
        self.set_latency(latency);
        if let Some(refused) = refused {
            notice::post(self.obj().upcast_ref(), &refused);
        }
        self.tell(&changes);
        Ok(next.map_or(
            GenerateOutputSuccess::NoOutput,
            GenerateOutputSuccess::Buffer,
        ))
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(_)
            | gst::EventView::Segment(_)
            | gst::EventView::Gap(_)
            | gst::EventView::Eos(_) => self.drain(),
            gst::EventView::FlushStop(_) => self.forget(),
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        let gst::QueryViewMut::Latency(latency) = query.view_mut() else {
            return BaseTransformImplExt::parent_query(self, direction, query);
        };
        let mut upstream = gst::query::Latency::new();
        if direction != gst::PadDirection::Src || !self.obj().sink_pad().peer_query(&mut upstream) {
            return false;
        }
        let own = gst::ClockTime::from_nseconds(self.latency.load(Ordering::Relaxed));
        let (is_live, least, most) = upstream.result();
        latency.set(is_live, least + own, most.map(|most| most + own));
        true
    }
}

impl Denoise {
    /// What was set since the last buffer. An engine that cannot be had is told once, in words.
    fn apply_settings(&self, flow: &mut Flow) -> Result<(), String> {
        let Settings { engine, wanted } = locked(&self.settings).clone();
        flow.stream.want(wanted);
        if engine == flow.engine {
            return Ok(());
        }
        let engines = engine::make(&engine, flow.channels());
        let before = std::mem::replace(&mut flow.engine, engine);
        let engines = engines.map_err(|error| format!("{error}; {before} goes on"))?;
        flow.stream.change_engines(engines);
        Ok(())
    }

    /// A latency that changed is told, so that the pipeline asks for it.
    fn set_latency(&self, latency: gst::ClockTime) {
        let before = self.latency.swap(latency.nseconds(), Ordering::Relaxed);
        if before != latency.nseconds() {
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            // Without a bus nobody asks for it.
            let _ = self.obj().post_message(message);
        }
    }

    /// What is left goes downstream.
    fn drain(&self) {
        let mut guard = locked(&self.flow);
        let Some(flow) = guard.as_mut() else {
            return;
        };
        let changes = flow.drain();
        let ready = std::mem::take(&mut flow.ready);
        drop(guard);
        self.tell(&changes);
        let pad = self.obj().src_pad().clone();
        for buffer in ready {
            if let Err(error) = pad.push(buffer) {
                tracing::debug!(%error, "the rest of the sound was not wanted");
            }
        }
    }

    /// After a flush, the sound begins anew.
    fn forget(&self) {
        if let Some(flow) = locked(&self.flow).as_mut() {
            flow.drain();
            flow.ready.clear();
        }
    }

    /// To the operator and to the program.
    fn tell(&self, changes: &[Change]) {
        for change in changes {
            let (is_resting, reason) = match change {
                Change::TooSlow { load } => {
                    let percent = load * 100.0;
                    (true, format!("it takes {percent:.0} % of the sound's time"))
                }
                Change::Failed { reason } => (true, reason.clone()),
                Change::Returned => (false, "it is quick enough again".to_owned()),
            };
            let text = if is_resting {
                format!("the noise suppression rests, the sound goes on as it comes in: {reason}")
            } else {
                format!("the noise suppression works again: {reason}")
            };
            notice::post(self.obj().upcast_ref(), &text);
            let structure = gst::Structure::builder(MESSAGE)
                .field("resting", is_resting)
                .field("reason", reason)
                .build();
            let message = gst::message::Element::builder(structure)
                .src(&*self.obj())
                .build();
            // Without a bus nobody listens.
            let _ = self.obj().post_message(message);
        }
    }
}
