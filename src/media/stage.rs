//! The playback pipeline: participants' frames through a mixer and a compositor to the description's sinks.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_utils::streamproducer::ConsumerSettings;
use gstreamer_utils::{ConsumptionLink, StreamProducer};

use super::bus::Watch;
use super::elements::{capsfilter, make};
use super::fanout::Outlet;
use super::{MediaError, MediaEvents, MediaKind, clock, grid, source};
use crate::pipeline::build::{self, Built};
use crate::pipeline::change::Setting;
use crate::pipeline::fragment::{Filled, Fragment};
use crate::pipeline::parameters::Values;
use crate::pipeline::{Description, Settings};
use crate::signalling::ids::ParticipantId;

/// So much later than their time frames may come that others wait to see and hear.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_mseconds(20);
/// Nobody waits for a recording: no frame has to be left out.
const RECORDED: gst::ClockTime = gst::ClockTime::from_mseconds(200);
/// So much of a participant may wait.
const WAITING: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// What to build.
pub(super) struct Plan {
    pub description: Description,
    pub values: Values,
    pub settings: Settings,
    pub audio: Option<Sink>,
    pub video: Option<Sink>,
}

/// A playback fragment, filled.
pub(super) struct Sink {
    pub fragment: Fragment,
    pub launch: Filled,
    /// Where the mix goes behind a fragment that ends with a source pad.
    pub outlet: Option<Outlet>,
}

/// One participant's sound or picture.
#[derive(Clone)]
pub(super) struct Input {
    pub number: u64,
    pub participant: ParticipantId,
    pub kind: MediaKind,
    pub producer: StreamProducer,
}

impl Plan {
    /// Whether the mix goes to a recording: it goes on when nobody is there.
    pub fn is_recorded(&self) -> bool {
        let mut sinks = [&self.audio, &self.video].into_iter().flatten();
        sinks.any(|sink| sink.outlet.is_some())
    }

    /// Builds each fragment once, to tell mistakes before somebody comes.
    pub fn check(&self) -> Result<(), MediaError> {
        for sink in [&self.audio, &self.video].into_iter().flatten() {
            self.build(sink)?;
        }
        Ok(())
    }

    fn build(&self, sink: &Sink) -> Result<Built, MediaError> {
        Ok(build::build(
            &self.description,
            &sink.fragment,
            &sink.launch,
        )?)
    }
}

/// A pipeline with at least one participant in it. Dropped, it stops.
pub(super) struct Stage {
    pipeline: gst::Pipeline,
    _watch: Watch,
    /// The running time at which this pipeline's own begins. A mixer counts from zero: on the common base time it would
    /// first mix silence for as long as the process has run.
    zero: gst::ClockTime,
    audio: Option<gst::Element>,
    video: Option<gst::Element>,
    fragments: Vec<(MediaKind, Built)>,
    seats: Vec<Seat>,
    size: (u32, u32),
    /// Frames that come later than their time and this are left out of the mix.
    patience: gst::ClockTime,
    /// What a participant may have waiting before its oldest frames are dropped.
    waiting: gst::ClockTime,
}

struct Seat {
    number: u64,
    kind: MediaKind,
    source: gst_app::AppSrc,
    pad: gst::Pad,
    link: ConsumptionLink,
}

impl Stage {
    pub fn build(plan: &Plan, events: MediaEvents) -> Result<Self, MediaError> {
        let pipeline = gst::Pipeline::with_name("playback");
        clock::prepare(&pipeline);
        let zero = clock::running_time();
        pipeline.set_base_time(clock::base_time() + zero);
        let watch = Watch::start(&pipeline, "playback", move |event| {
            // Nobody listens any more once the job has ended.
            let _ = events.send(event);
        })?;
        let video = &plan.settings.video;
        let delay = if plan.is_recorded() {
            RECORDED + gst::ClockTime::try_from(plan.settings.latency).unwrap_or_default()
        } else {
            gst::ClockTime::ZERO
        };
        let mut stage = Self {
            pipeline,
            _watch: watch,
            zero,
            audio: None,
            video: None,
            fragments: Vec::new(),
            seats: Vec::new(),
            size: (video.width, video.height),
            patience: PATIENCE + delay,
            // The mix takes them later by its delay and by what the participants' jitter buffers hold.
            waiting: WAITING + 4 * delay,
        };
        if let Some(sink) = &plan.audio {
            let caps = "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2";
            let built = plan.build(sink)?;
            let mix = stage.add_mix("audiomixer", caps, &built.bin)?;
            if let Some(outlet) = &sink.outlet {
                stage.lead_out(&built.bin, source::sound_form(&plan.settings)?, outlet)?;
            }
            stage.audio = Some(mix);
            stage.fragments.push((MediaKind::Audio, built));
        }
        if let Some(sink) = &plan.video {
            let caps = format!(
                "video/x-raw,format=I420,width={},height={},framerate={}/1,pixel-aspect-ratio=1/1",
                video.width, video.height, video.framerate
            );
            let built = plan.build(sink)?;
            let compositor = stage.add_mix("compositor", &caps, &built.bin)?;
            if let Some(outlet) = &sink.outlet {
                stage.lead_out(&built.bin, source::picture_form(&plan.settings)?, outlet)?;
            }
            compositor.set_property_from_str("background", "black");
            stage.video = Some(compositor);
            stage.fragments.push((MediaKind::Video, built));
        }
        Ok(stage)
    }

    /// Adds mixer or compositor, in live mode: it never waits for one who does not send.
    fn add_mix(
        &self,
        factory: &'static str,
        caps: &str,
        sink: &gst::Bin,
    ) -> Result<gst::Element, MediaError> {
        let mix = gst::ElementFactory::make(factory)
            .property("force-live", true)
            .property("ignore-inactive-pads", true)
            .property("latency", self.patience.nseconds())
            .build()
            .map_err(|_| MediaError::Missing {
                element: factory.to_owned(),
                package: "gstreamer1.0-plugins-base",
            })?;
        let queue = make("queue", "libgstreamer1.0-0")?;
        let sink = sink.clone().upcast();
        // While all who are attached are silent, a mixer does not wait for the time of what it makes.
        let pace = make("clocksync", "gstreamer1.0-plugins-base")?;
        let chain = [mix.clone(), capsfilter(caps)?, pace, queue, sink];
        self.pipeline
            .add_many(&chain)
            .map_err(MediaError::gstreamer("build the playback"))?;
        gst::Element::link_many(&chain).map_err(MediaError::gstreamer("link the playback"))?;
        Ok(mix)
    }

    /// Leads the treated mix to an outlet, in the settings' form, with running times of the process-wide clock.
    fn lead_out(
        &self,
        bin: &gst::Bin,
        form: Vec<gst::Element>,
        outlet: &Outlet,
    ) -> Result<(), MediaError> {
        let doing = "lead the mix out";
        let mut chain = vec![bin.clone().upcast()];
        for element in form.into_iter().chain([outlet.feed().appsink().upcast()]) {
            self.pipeline
                .add(&element)
                .map_err(MediaError::gstreamer(doing))?;
            chain.push(element);
        }
        gst::Element::link_many(&chain).map_err(MediaError::gstreamer(doing))?;
        let last = chain
            .iter()
            .rev()
            .nth(1)
            .and_then(|last| last.static_pad("src"));
        if let Some(pad) = last {
            pad.set_offset(i64::try_from(self.zero.nseconds()).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    pub fn play(&self) -> Result<(), MediaError> {
        let started = self.pipeline.set_state(gst::State::Playing);
        started.map(|_| ()).map_err(|error| MediaError::GStreamer {
            // The element's own words are on the bus and reach the events.
            doing: "start the playback",
            reason: error.to_string(),
        })
    }

    /// Sets a property of a fragment while it plays; false if its element does not take it.
    pub fn set(&self, setting: &Setting) -> bool {
        let mut fragments = self.fragments.iter();
        let of_it = fragments.find(|(kind, _)| *kind == setting.part.kind);
        of_it.is_some_and(|(_, built)| built.apply(setting).is_ok())
    }

    fn mix(&self, kind: MediaKind) -> Option<&gst::Element> {
        match kind {
            MediaKind::Audio => self.audio.as_ref(),
            MediaKind::Video => self.video.as_ref(),
        }
    }

    pub fn add(&mut self, input: &Input) -> Result<(), MediaError> {
        let Some(mix) = self.mix(input.kind).cloned() else {
            return Ok(());
        };
        let doing = "add a participant to the playback";
        let source = gst_app::AppSrc::builder()
            .name(format!("{}-{}", input.participant, input.number))
            .build();
        let settings = ConsumerSettings {
            max_time: self.waiting,
            ..ConsumerSettings::default()
        };
        // At once: a pipeline on its way to playing takes it along, and a source that plays keeps its format.
        StreamProducer::configure_consumer_with(&source, settings.clone());
        self.pipeline
            .add(&source)
            .map_err(MediaError::gstreamer(doing))?;
        let linked = mix.request_pad_simple("sink_%u").and_then(|pad| {
            let from = source.static_pad("src")?;
            from.set_offset(-i64::try_from(self.zero.nseconds()).ok()?);
            leave_out_older(&from, self.zero);
            from.link(&pad).ok().map(|_| pad)
        });
        let Some(pad) = linked else {
            // It was just added; removing it cannot fail.
            let _ = self.pipeline.remove(&source);
            return Err(MediaError::GStreamer {
                doing,
                reason: "the mixer gives no pad".to_owned(),
            });
        };
        if input.kind == MediaKind::Video {
            pad.set_property_from_str("sizing-policy", "keep-aspect-ratio");
        }
        let link = input.producer.add_consumer_with(&source, settings);
        let link = link.map_err(|error| MediaError::GStreamer {
            doing,
            reason: error.to_string(),
        })?;
        self.seats.push(Seat {
            number: input.number,
            kind: input.kind,
            source: source.clone(),
            pad,
            link,
        });
        self.lay_out();
        source
            .sync_state_with_parent()
            .map_err(MediaError::gstreamer(doing))
    }

    pub fn remove(&mut self, number: u64) {
        let Some(index) = self.seats.iter().position(|seat| seat.number == number) else {
            return;
        };
        let mut seat = self.seats.remove(index);
        seat.link.disconnect();
        // From here on its frames go nowhere: one that reached an unlinked pad would count as an error.
        if let Some(from) = seat.source.static_pad("src") {
            from.add_probe(gst::PadProbeType::BUFFER, |_, _| gst::PadProbeReturn::Drop);
        }
        if let Some(mix) = self.mix(seat.kind) {
            mix.release_request_pad(&seat.pad);
        }
        if let Err(error) = seat.source.set_state(gst::State::Null).map(|_| ()) {
            tracing::warn!(%error, "a participant's source did not stop");
        }
        // It was added with the seat.
        let _ = self.pipeline.remove(&seat.source);
        self.lay_out();
    }

    /// Gives every picture its place.
    fn lay_out(&self) {
        let pictures: Vec<&Seat> = self
            .seats
            .iter()
            .filter(|seat| seat.kind == MediaKind::Video)
            .collect();
        let places = grid::layout(pictures.len(), self.size.0, self.size.1);
        let signed = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        for (seat, place) in pictures.into_iter().zip(places) {
            seat.pad.set_property("xpos", signed(place.x));
            seat.pad.set_property("ypos", signed(place.y));
            seat.pad.set_property("width", signed(place.width));
            seat.pad.set_property("height", signed(place.height));
        }
    }
}

/// Drops frames from before the pipeline's beginning: they have no running time there, and a compositor would wait for
/// the time of such a one for ever (GStreamer 1.22).
fn leave_out_older(pad: &gst::Pad, zero: gst::ClockTime) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        match pts.is_some_and(|pts| pts < zero) {
            true => gst::PadProbeReturn::Drop,
            false => gst::PadProbeReturn::Ok,
        }
    });
}

impl Drop for Stage {
    fn drop(&mut self) {
        for seat in &mut self.seats {
            seat.link.disconnect();
        }
        // The playback's own thread drops it: it may wait for streaming threads.
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "the playback did not stop");
        }
    }
}
