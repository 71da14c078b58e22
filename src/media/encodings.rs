//! The encoders at work for raw outlets: one per codec and tier that somebody takes, each watched and replaced when it
//! fails, and the viewers among whom tiers are dealt out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer_utils::StreamProducer;

use super::encoder::Encoders;
use super::fanout::Outlet;
use super::inlet::Inlet;
use super::lane::{Lane, Workshop};
use super::tiers::policy::Level;
use super::tiers::scaler::Scaler;
use super::tiers::sound::Sound;
use super::tiers::switch::Switch;
use super::tiers::viewers::{Estimates, Listening, Orders, Tell, Viewers};
use super::{Codec, MediaError, MediaEvent, MediaEvents, MediaKind};
use crate::pipeline::Settings;

/// How often encoders and viewers are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// An encoder whose frames nobody takes goes on for so long: the next one may come at once.
const GRACE: Duration = Duration::from_secs(10);

/// The raw tracks there are.
#[derive(Debug, Clone, Default)]
pub struct RawOutlets {
    /// S16LE at 48 kHz.
    pub audio: Option<Outlet>,
    /// I420.
    pub video: Option<Outlet>,
}

impl RawOutlets {
    /// The track of a kind.
    pub fn of(&self, kind: MediaKind) -> Option<&Outlet> {
        match kind {
            MediaKind::Audio => self.audio.as_ref(),
            MediaKind::Video => self.video.as_ref(),
        }
    }
}

/// Encoders of raw tracks, started when first asked for. Clones are the same.
#[derive(Debug, Clone)]
pub struct Encodings(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    raw: RawOutlets,
    workshop: Workshop,
    // Held while an encoder is built, so that there is one for each; no callback of GStreamer takes this lock.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    lanes: BTreeMap<(Codec, usize), Lane>,
    /// The smaller pictures of the tiers at work.
    scalers: BTreeMap<usize, Scaler>,
    /// Encodings with consumers that take one tier and stay: files, live streams.
    kept: BTreeSet<Codec>,
    viewers: Viewers,
}

impl Encodings {
    /// No encoder runs yet.
    pub fn new(
        raw: RawOutlets,
        encoders: Encoders,
        settings: Settings,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        let (alarm, alarms) = mpsc::channel();
        let viewers = Viewers::new(&settings);
        let state = Mutex::new(State {
            settings,
            lanes: BTreeMap::new(),
            scalers: BTreeMap::new(),
            kept: BTreeSet::new(),
            viewers,
        });
        let workshop = Workshop {
            encoders,
            events,
            alarm,
        };
        let shared = Arc::new(Shared {
            raw,
            workshop,
            state,
        });
        let watched = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("encoders".to_owned())
            .spawn(move || watch(&watched, &alarms))
            .map_err(|error| MediaError::GStreamer {
                doing: "watch the encoders",
                reason: error.to_string(),
            })?;
        Ok(Self(shared))
    }

    /// Encoded frames of the best tier: VP8 frames, H.264 access units in byte-stream form with SPS and PPS on each key
    /// frame, or Opus packets; their PTS are running times of [`super::clock`]. The encoder starts with the first call,
    /// serves all callers, and pauses in [`Encodings::rest`]. To be called once for each new consumer: it gets a key
    /// frame at once.
    pub fn producer(&self, codec: Codec) -> Result<StreamProducer, MediaError> {
        Ok(self.outlet(codec)?.producer())
    }

    /// What [`Encodings::producer`] is of: for consumers that take frames as they pass.
    pub fn outlet(&self, codec: Codec) -> Result<Outlet, MediaError> {
        let mut state = self.0.state();
        let outlet = self.0.awake(&mut state, codec, 0)?.outlet().clone();
        state.kept.insert(codec);
        Ok(outlet)
    }

    /// The video codecs to negotiate, best first. Where nothing can be encoded, those of the settings: whoever asks for
    /// one is told why there is no picture.
    pub fn codecs(&self) -> Vec<Codec> {
        let settings = self.0.state().settings.clone();
        let able = self.0.workshop.encoders.in_order(&settings);
        match able.is_empty() {
            true => settings.video.codecs,
            false => able,
        }
    }

    /// Wakes the encoder that a viewer or listener will begin with.
    pub fn prepare(&self, codec: Codec) -> Result<(), MediaError> {
        let mut state = self.0.state();
        self.0.awake(&mut state, codec, 0).map(drop)
    }

    /// Sends a viewer the tier that its link carries, through this inlet, until the switch is dropped: the best one
    /// first, a key frame at once.
    pub fn view(
        &self,
        codec: Codec,
        inlet: &Inlet,
        estimates: Estimates,
        tell: Tell,
    ) -> Result<Switch, MediaError> {
        let mut state = self.0.state();
        let outlet = self.0.awake(&mut state, codec, 0)?.outlet().clone();
        let switch = Switch::new(inlet);
        switch.turn_to(&outlet);
        state
            .viewers
            .join(codec, switch.downgrade(), estimates, tell);
        Ok(switch)
    }

    /// A listener: how sound is encoded follows its link, too.
    pub fn listen(&self, estimates: Estimates) -> Listening {
        self.0.state().viewers.listen(estimates)
    }

    /// Lets the encoders rest until the next call of [`Encodings::producer`]: nobody is there to see or hear.
    pub fn rest(&self) {
        self.0.state().lanes.values().for_each(Lane::rest);
    }

    /// Encoders of this kind go on with other settings: the same ones, started anew.
    pub fn change(&self, kind: MediaKind, settings: &Settings) -> Result<(), MediaError> {
        let shared = &self.0;
        let mut state = shared.state();
        state.settings = settings.clone();
        state.viewers.change(settings);
        if kind == MediaKind::Video {
            state.scalers.clear();
        }
        let tiers = settings.video.tiers().len();
        state.lanes.retain(|(_, tier), _| *tier < tiers);
        let concerned = state.lanes.keys().filter(|(codec, _)| codec.kind() == kind);
        for (codec, tier) in concerned.copied().collect::<Vec<_>>() {
            let raw = shared.raw_of(&mut state, codec, tier)?;
            let settings = state.settings_of(codec, tier);
            if let Some(lane) = state.lanes.get_mut(&(codec, tier)) {
                lane.change(&shared.workshop, settings, raw)?;
            }
        }
        Ok(())
    }

    /// Stops them all. Blocks: not for async threads.
    pub fn stop(&self) {
        let mut state = self.0.state();
        let lanes = std::mem::take(&mut state.lanes);
        let scalers = std::mem::take(&mut state.scalers);
        drop(state);
        drop((lanes, scalers));
    }

    /// The running pipelines, for pictures of them.
    pub fn pipelines(&self) -> Vec<gst::Pipeline> {
        let state = self.0.state();
        let scalers = state
            .scalers
            .values()
            .map(|scaler| scaler.pipeline().clone());
        scalers
            .chain(state.lanes.values().filter_map(Lane::pipeline))
            .collect()
    }
}

impl State {
    /// What the encoder of a codec is to do in a tier.
    fn settings_of(&self, codec: Codec, tier: usize) -> Settings {
        let mut settings = self.settings.clone();
        if let Some(lane) = self
            .lanes
            .get(&(Codec::Opus, 0))
            .filter(|_| codec == Codec::Opus)
        {
            settings.audio = lane.settings().audio.clone();
        }
        match settings.video.tiers().get(tier) {
            Some(tier) if codec.kind() == MediaKind::Video => {
                settings.video = settings.video.at(*tier)
            }
            Some(_) | None => {}
        }
        settings
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A codec's lane in a tier, started or woken.
    fn awake<'a>(
        &self,
        state: &'a mut State,
        codec: Codec,
        tier: usize,
    ) -> Result<&'a mut Lane, MediaError> {
        if !state.lanes.contains_key(&(codec, tier)) {
            let raw = self.raw_of(state, codec, tier)?;
            let settings = state.settings_of(codec, tier);
            let lane = Lane::start(&self.workshop, codec, &state.settings, settings, raw)?;
            return Ok(state.lanes.entry((codec, tier)).or_insert(lane));
        }
        let lane = state.lanes.get_mut(&(codec, tier));
        let lane = lane.ok_or(MediaError::NotCaptured(codec))?;
        lane.wake();
        Ok(lane)
    }

    /// What the encoders of a tier are given.
    fn raw_of(&self, state: &mut State, codec: Codec, tier: usize) -> Result<Outlet, MediaError> {
        let raw = self.raw.of(codec.kind());
        let raw = raw.ok_or(MediaError::NotCaptured(codec))?;
        let scaled = state.settings.video.tiers().get(tier).copied();
        let (Some(scaled), true) = (scaled, tier > 0) else {
            return Ok(raw.clone());
        };
        if let Some(scaler) = state.scalers.get(&tier) {
            return Ok(scaler.outlet().clone());
        }
        let scaler = Scaler::start(scaled, raw, &self.workshop.events)?;
        let outlet = scaler.outlet().clone();
        state.scalers.insert(tier, scaler);
        Ok(outlet)
    }

    fn look(&self, now: Instant) {
        let mut state = self.state();
        for lane in state.lanes.values_mut() {
            lane.look(&self.workshop);
        }
        let Orders {
            turns,
            rates,
            sound,
            used,
        } = state.viewers.look(now);
        for (id, codec, level) in turns {
            match level {
                Level::Paused => state.viewers.pause(id),
                Level::Tier(tier) => match self.awake(&mut state, codec, tier) {
                    Ok(lane) => {
                        let outlet = lane.outlet().clone();
                        state.viewers.turn(id, tier, &outlet);
                    }
                    Err(error) => {
                        let text = format!("{codec} in a lower tier cannot be encoded: {error}");
                        let _ = self.workshop.events.send(MediaEvent::Notice(text));
                    }
                },
            }
        }
        for (codec, tier, rate) in rates {
            let mut settings = state.settings_of(codec, tier);
            settings.video.bitrate = rate;
            if !state.kept.contains(&codec)
                && let Some(lane) = state.lanes.get_mut(&(codec, tier))
            {
                lane.aim(settings);
            }
        }
        state.aim_sound(sound);
        state.end_what_is_idle(&used, now);
    }
}

impl State {
    fn aim_sound(&mut self, sound: Sound) {
        let mut settings = self.settings.clone();
        settings.audio.bitrate = sound.bitrate;
        settings.audio.expected_loss = sound.expected_loss;
        settings.audio.is_silence_left_out = sound.is_silence_left_out;
        if let Some(lane) = self.lanes.get_mut(&(Codec::Opus, 0)) {
            lane.aim(settings);
        }
    }

    /// The best tier's encoder rests, ready for the next one who comes; those of lower tiers end.
    fn end_what_is_idle(&mut self, used: &BTreeSet<(Codec, usize)>, now: Instant) {
        let kept = &self.kept;
        let over = self.lanes.extract_if(.., |key, lane| {
            let (codec, tier) = *key;
            let is_used =
                codec.kind() == MediaKind::Audio || kept.contains(&codec) || used.contains(key);
            let is_over = lane.idle(is_used, now) >= GRACE;
            if is_over && tier == 0 {
                lane.rest();
            }
            is_over && tier > 0
        });
        let over: Vec<_> = over.collect();
        let lanes = &self.lanes;
        let tiers = self
            .scalers
            .extract_if(.., |tier, _| !lanes.keys().any(|(_, used)| used == tier));
        let tiers: Vec<_> = tiers.collect();
        if !over.is_empty() || !tiers.is_empty() {
            // Stopping takes its time; the encoders first, which the scalers feed.
            std::thread::spawn(move || {
                drop(over);
                drop(tiers);
            });
        }
    }
}

/// The thread that looks after the encoders as long as somebody holds them.
fn watch(shared: &Weak<Shared>, alarms: &mpsc::Receiver<()>) {
    loop {
        match alarms.recv_timeout(LOOK) {
            Ok(()) | Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        shared.look(Instant::now());
    }
}
