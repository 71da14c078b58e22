//! The playback pipeline: participants' frames through a mixer and a compositor to the description's sinks.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;

use super::bus::{Failure, Watch};
use super::choice::{Choice, Track};
use super::echo::far;
use super::elements::{capsfilter, make};
use super::fanout::Outlet;
use super::mixer::{self, mixer};
use super::overlay::Overlay;
use super::scene::{Scene, Tile};
use super::seat::{Entry, Input, Seat};
use super::speaker::Level;
use super::{MediaError, MediaEvent, MediaEvents, MediaKind, clock, grid, source};
use crate::pipeline::build::{self, Built};
use crate::pipeline::change::Setting;
use crate::pipeline::fragment::{Filled, Fragment};
use crate::pipeline::parameters::Values;
use crate::pipeline::{Description, Settings};
use crate::signalling::ids::ParticipantId;

/// So much later than their time frames may come that others wait to see and hear.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_mseconds(20);
/// Nobody waits for a recording: no frame has to be left out.
const RECORDED: gst::ClockTime = gst::ClockTime::from_mseconds(450);
/// A mix for a recording is made in pieces of so much sound: as long as a packet of Opus.
const PIECE: gst::ClockTime = gst::ClockTime::from_mseconds(20);
/// So much of a participant may wait.
const WAITING: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// For each participant that a filter works for: which of its tracks is heard or shown.
pub(super) type Choices = HashMap<(ParticipantId, MediaKind), Choice>;

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

    /// A kind's fragment.
    pub fn sink(&mut self, kind: MediaKind) -> &mut Option<Sink> {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }

    /// Builds a fragment.
    pub fn build(&self, sink: &Sink) -> Result<Built, MediaError> {
        Ok(build::build(
            &self.description,
            &sink.fragment,
            &sink.launch,
        )?)
    }
}

/// Drops what comes, in its time.
fn nothing() -> Result<Built, MediaError> {
    let doing = "play to nobody";
    let bin = gst::Bin::with_name("nothing");
    let sink = make("fakesink", "libgstreamer1.0-0")?;
    sink.set_property("sync", true);
    bin.add(&sink).map_err(MediaError::gstreamer(doing))?;
    if let Some(target) = sink.static_pad("sink") {
        let pad = gst::GhostPad::builder_with_target(&target);
        let pad = pad.map_err(MediaError::gstreamer(doing))?.name("sink");
        bin.add_pad(&pad.build())
            .map_err(MediaError::gstreamer(doing))?;
    }
    Ok(Built {
        bin,
        bindings: Vec::new(),
    })
}

/// A pipeline with at least one participant in it. Dropped, it stops.
pub(super) struct Stage {
    pipeline: gst::Pipeline,
    watch: Watch,
    failure: Failure,
    /// Where the pipeline's own running time begins. A mixer counts from zero: on the common base time it would first mix
    /// silence for as long as the process has run.
    entry: Entry,
    audio: Option<gst::Element>,
    video: Option<gst::Element>,
    fragments: Vec<(MediaKind, Built)>,
    seats: Vec<Seat>,
    size: (u32, u32),
    /// Names and signs, for a recording.
    overlay: Option<Overlay>,
    /// What the overlay shows.
    tiles: Vec<Tile>,
    /// Frames that come later than their time and this are left out of the mix.
    patience: gst::ClockTime,
}

impl Stage {
    /// Builds it; in place of the sinks of those kinds that are `without` one, what comes is dropped in its time.
    pub fn build(
        plan: &Plan,
        without: &[MediaKind],
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        let pipeline = gst::Pipeline::with_name("playback");
        clock::prepare(&pipeline);
        let zero = clock::running_time();
        pipeline.set_base_time(clock::base_time() + zero);
        let failure = Failure::default();
        let heard = failure.clone();
        let watch = Watch::start(&pipeline, "playback", move |event| match event {
            MediaEvent::Failed(error) => heard.set(error),
            event @ (MediaEvent::Notice(_)
            | MediaEvent::Encoder(_)
            | MediaEvent::Speech(_)
            | MediaEvent::Device(_)
            | MediaEvent::Filter(_)) => {
                // Nobody listens any more once the job has ended.
                let _ = events.send(event);
            }
        })?;
        let build = |sink: &Sink, kind| match without.contains(&kind) {
            true => nothing(),
            false => plan.build(sink),
        };
        let video = &plan.settings.video;
        let picture = gst::ClockTime::SECOND / u64::from(video.framerate.max(1));
        let (delay, later) = if plan.is_recorded() {
            let buffered = gst::ClockTime::try_from(plan.settings.latency).unwrap_or_default();
            // A compositor shows what came since its last picture: up to a whole one too early. So it is up to a half too
            // early or too late. Where people look on, half a picture of delay is worse.
            (RECORDED + buffered, picture / 2)
        } else {
            (gst::ClockTime::ZERO, gst::ClockTime::ZERO)
        };
        let mut stage = Self {
            pipeline,
            watch,
            failure,
            entry: Entry {
                zero,
                later,
                // The mix takes them later by its delay and by what the participants' jitter buffers hold.
                waiting: WAITING + 4 * delay,
            },
            audio: None,
            video: None,
            fragments: Vec::new(),
            seats: Vec::new(),
            size: (video.width, video.height),
            overlay: plan
                .is_recorded()
                .then(|| Overlay::new((video.width, video.height))),
            tiles: Vec::new(),
            patience: PATIENCE + delay,
        };
        if let Some(sink) = &plan.audio {
            let built = build(sink, MediaKind::Audio)?;
            let mix = stage.add_mix(MediaKind::Audio, far::CAPS, None, &built.bin)?;
            if let (None, Some(pad)) = (&sink.outlet, built.bin.static_pad("sink")) {
                far::listen_at(&pad, zero);
            }
            if let Some(outlet) = &sink.outlet {
                mixer::keep_aligned(&mix);
                mix.set_property("output-buffer-duration", PIECE);
                mixer::keep_pace(&mix, stage.patience + PIECE);
                stage.lead_out(
                    &built.bin,
                    source::steady_sound_form(&plan.settings)?,
                    outlet,
                )?;
            }
            stage.audio = Some(mix);
            stage.fragments.push((MediaKind::Audio, built));
        }
        if let Some(sink) = &plan.video {
            let caps = format!(
                "video/x-raw,format=I420,width={},height={},framerate={}/1,pixel-aspect-ratio=1/1",
                video.width, video.height, video.framerate
            );
            let built = build(sink, MediaKind::Video)?;
            let overlay = stage.overlay.as_ref();
            let compositor = stage.add_mix(MediaKind::Video, &caps, overlay, &built.bin)?;
            if let Some(outlet) = &sink.outlet {
                mixer::keep_pace(&compositor, stage.patience + picture);
                stage.lead_out(
                    &built.bin,
                    source::steady_picture_form(&plan.settings)?,
                    outlet,
                )?;
            }
            compositor.set_property_from_str("background", "black");
            // What is left to be done for a picture is less than what waking other threads costs.
            if compositor.has_property("max-threads") {
                compositor.set_property("max-threads", 1_u32);
            }
            stage.video = Some(compositor);
            stage.fragments.push((MediaKind::Video, built));
        }
        Ok(stage)
    }

    /// Adds mixer or compositor, on its way to a sink.
    fn add_mix(
        &self,
        kind: MediaKind,
        caps: &str,
        overlay: Option<&Overlay>,
        sink: &gst::Bin,
    ) -> Result<gst::Element, MediaError> {
        let mix = mixer(kind, self.patience)?;
        // While all who are attached are silent, a mixer does not wait for the time of what it makes.
        let pace = make("clocksync", "gstreamer1.0-plugins-base")?;
        let form = capsfilter(caps)?;
        if let (Some(overlay), Some(pad)) = (overlay, form.static_pad("src")) {
            overlay.draw_at(&pad)?;
        }
        let mut chain = vec![mix.clone(), form, pace];
        // A device may hold its thread up. What records has threads of its own behind it.
        if self.overlay.is_none() {
            chain.push(make("queue", "libgstreamer1.0-0")?);
        }
        chain.push(sink.clone().upcast());
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
            pad.set_offset(i64::try_from(self.entry.zero.nseconds()).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    pub fn play(&self) -> Result<(), MediaError> {
        let started = self.pipeline.set_state(gst::State::Playing);
        started.map_err(|error| MediaError::GStreamer {
            // The element's own words are on the bus and reach the events.
            doing: "start the playback",
            reason: error.to_string(),
        })?;
        [&self.audio, &self.video]
            .into_iter()
            .flatten()
            .for_each(mixer::begin);
        Ok(())
    }

    /// What failed, and in which fragment; none of them where it was something else.
    pub fn failure(&self) -> Option<(MediaError, Option<MediaKind>)> {
        let error = self.failure.get()?;
        let kind = match &error {
            MediaError::Element { element, .. } => self.fragment_with(element),
            MediaError::Description(_)
            | MediaError::Missing { .. }
            | MediaError::NotCaptured(_)
            | MediaError::NewTrack(_)
            | MediaError::GStreamer { .. } => None,
        };
        Some((error, kind))
    }

    fn fragment_with(&self, element: &str) -> Option<MediaKind> {
        let mut fragments = self.fragments.iter();
        let has_it = |(_, built): &&(MediaKind, Built)| {
            let mut inside = built.bin.iterate_recurse().into_iter().flatten();
            inside.any(|inside| inside.name() == element)
        };
        fragments.find(has_it).map(|(kind, _)| *kind)
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

    /// Adds what a participant sends. [`Stage::lay_out`] gives it its place.
    pub fn add(&mut self, input: &Input) -> Result<(), MediaError> {
        let Some(mix) = self.mix(input.kind).cloned() else {
            return Ok(());
        };
        let seat = Seat::take(input, &self.pipeline, &mix, self.entry)?;
        self.seats.push(seat);
        Ok(())
    }

    /// Takes out what a participant sent. In a recording, one that another of the same participant replaces stays until
    /// that one's first frame has come.
    pub fn remove(&mut self, number: u64) {
        let is_recorded = self.overlay.is_some();
        if let Some(index) = self.seats.iter().position(|seat| seat.number == number) {
            if is_recorded
                && self
                    .seats
                    .iter()
                    .any(|other| other.will_replace(&self.seats[index]))
            {
                self.seats[index].is_leaving = true;
                return;
            }
            let seat = self.seats.remove(index);
            self.release(seat);
        }
    }

    /// Takes out those whose replacement has come meanwhile.
    pub fn settle(&mut self) {
        let settled = |seat: &&Seat| {
            seat.is_leaving && !self.seats.iter().any(|other| other.will_replace(seat))
        };
        let gone: Vec<u64> = self
            .seats
            .iter()
            .filter(settled)
            .map(|seat| seat.number)
            .collect();
        gone.into_iter().for_each(|number| self.remove(number));
    }

    /// Lets of each participant's tracks the one be heard and shown that is to be now, none of those that are `going`;
    /// `now` is a running time. Returns whether a picture is in another one's place now.
    pub fn choose(&mut self, choices: &mut Choices, going: &[u64], now: Duration) -> bool {
        let is_there =
            |seat: &&Seat| seat.track == Track::Enhanced && !going.contains(&seat.number);
        // The newest one of each counts: seats are in the order in which they came.
        let enhanced = self.seats.iter().filter(is_there);
        let newest: HashMap<_, _> = enhanced
            .filter_map(|seat| Some((seat.whose(), (seat.number, seat.last_frame()?))))
            .collect();
        choices.retain(|whose, _| newest.contains_key(whose));
        let mut taken = HashMap::new();
        for (whose, (number, last)) in newest {
            let choice = choices
                .entry(whose.clone())
                .or_insert_with(|| Choice::new(whose.1));
            choice.frame(last);
            if choice.look(now) == Track::Enhanced {
                taken.insert(whose, number);
            }
        }
        let mut is_other_picture = false;
        for seat in &mut self.seats {
            let taken = taken.get(&seat.whose());
            let chosen = match seat.track {
                Track::Original => taken.is_none(),
                Track::Enhanced => taken == Some(&seat.number),
            };
            // Both have frames to come: they change places at the same time stamp. Else there is no time to lose.
            let from = match taken {
                Some(_) => gst::ClockTime::try_from(now).unwrap_or_default(),
                None => gst::ClockTime::ZERO,
            };
            is_other_picture |= seat.choose(chosen, from) && seat.is_picture();
        }
        is_other_picture
    }

    fn release(&self, seat: Seat) {
        if let Some(mix) = self.mix(seat.kind) {
            seat.leave(&self.pipeline, mix);
        }
    }

    /// How loud everybody was since the last call; who sent no sound is left out.
    pub fn levels(&self) -> impl Iterator<Item = (&ParticipantId, Level)> {
        let chosen = self.seats.iter().filter(|seat| seat.is_chosen());
        chosen.filter_map(|seat| Some((&seat.participant, seat.level()?)))
    }

    /// Gives every picture its place: as the scene says for a recording, else in a grid.
    pub fn lay_out(&mut self, scene: &Scene, now: Instant) -> Result<(), MediaError> {
        let (seats, size) = (&mut self.seats, self.size);
        let Some(overlay) = &mut self.overlay else {
            let pictures = seats.iter_mut().filter(|seat| seat.is_picture());
            let (mut pictures, hidden): (Vec<_>, Vec<_>) =
                pictures.partition(|seat| seat.is_chosen());
            hidden.into_iter().for_each(|seat| seat.arrange(None));
            let places = grid::layout(pictures.len(), size.0, size.1);
            let pairs = pictures.iter_mut().zip(places);
            pairs.for_each(|(seat, place)| seat.arrange(Some((place, false))));
            return Ok(());
        };
        // The newest picture of each, once it has frames.
        let arrived = seats
            .iter()
            .filter(|seat| seat.is_picture() && seat.is_chosen() && seat.has_frames());
        let newest: BTreeMap<ParticipantId, u64> = arrived
            .map(|seat| (seat.participant.clone(), seat.number))
            .collect();
        let tiles = scene.tiles(|id| newest.contains_key(id), size, now);
        for seat in seats.iter_mut().filter(|seat| seat.is_picture()) {
            let is_newest = newest.get(&seat.participant) == Some(&seat.number);
            let tile = tiles.iter().find(|tile| tile.id == seat.participant);
            let tile = tile.filter(|tile| is_newest && tile.caption.has_picture);
            seat.arrange(tile.map(|tile| (tile.place, tile.is_over)));
        }
        if tiles != self.tiles {
            overlay.show(&tiles)?;
            self.tiles = tiles;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.seats.iter_mut().for_each(Seat::disconnect);
        // Before the pipeline stops: that empties the bus, and the thread would wait for ever.
        self.watch.end();
        // The playback's own thread drops it: it may wait for streaming threads.
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "the playback did not stop");
        }
    }
}
