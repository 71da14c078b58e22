//! The encoders at work for raw outlets: one per codec that somebody wants, each replaced by the next when it fails.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use gstreamer as gst;
use gstreamer_utils::StreamProducer;

use super::encoder::{Candidate, Choice, Encoders};
use super::encoding::{Encoding, Fault};
use super::fanout::Outlet;
use super::health::Illness;
use super::{Codec, MediaError, MediaEvent, MediaEvents, MediaKind};
use crate::job::EncoderInUse;
use crate::pipeline::Settings;

/// How often the encoders are looked at.
const LOOK: Duration = Duration::from_millis(50);

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
    encoders: Encoders,
    events: MediaEvents,
    alarm: mpsc::Sender<()>,
    // Held while an encoder is built, so that there is one per codec; no callback of GStreamer takes this lock.
    lanes: Mutex<Lanes>,
}

#[derive(Debug)]
struct Lanes {
    settings: Settings,
    by_codec: HashMap<Codec, Lane>,
}

/// One codec: a stable outlet, and who feeds it.
#[derive(Debug)]
struct Lane {
    outlet: Outlet,
    /// Those not yet tried, the best first.
    others: std::vec::IntoIter<Choice>,
    choice: Choice,
    /// None once all have failed.
    encoding: Option<Encoding>,
    told_slow: bool,
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
        let lanes = Mutex::new(Lanes {
            settings,
            by_codec: HashMap::new(),
        });
        let shared = Arc::new(Shared {
            raw,
            encoders,
            events,
            alarm,
            lanes,
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

    /// Encoded frames: VP8 frames, H.264 access units in byte-stream form with SPS and PPS on each key frame, or Opus
    /// packets; their PTS are running times of [`super::clock`]. The encoder starts with the first call,
    /// serves all callers, and pauses in [`Encodings::rest`]. To be called once for each new consumer: it gets a key
    /// frame at once.
    pub fn producer(&self, codec: Codec) -> Result<StreamProducer, MediaError> {
        let shared = &self.0;
        let raw = shared.raw.of(codec.kind());
        let raw = raw.ok_or(MediaError::NotCaptured(codec))?;
        let mut lanes = shared.lanes();
        let settings = lanes.settings.clone();
        if let Some(lane) = lanes.by_codec.get_mut(&codec) {
            if let Some(encoding) = &mut lane.encoding {
                encoding.wake();
            }
            return Ok(lane.outlet.producer());
        }
        let outlet = Outlet::encoded(codec)?;
        let mut others = shared.encoders.choices(codec, &settings)?.into_iter();
        let (choice, encoding) = shared.first_that_starts(&mut others, &settings, raw, &outlet)?;
        shared.tell(&choice, None);
        outlet.expect_newcomer();
        let producer = outlet.producer();
        let lane = Lane {
            outlet,
            others,
            choice,
            encoding: Some(encoding),
            told_slow: false,
        };
        lanes.by_codec.insert(codec, lane);
        Ok(producer)
    }

    /// Lets the encoders rest until the next call of [`Encodings::producer`]: nobody is there to see or hear.
    pub fn rest(&self) {
        let lanes = self.0.lanes();
        let encodings = lanes
            .by_codec
            .values()
            .filter_map(|lane| lane.encoding.as_ref());
        encodings.for_each(Encoding::rest);
    }

    /// Encoders of this kind go on with other settings: the same ones, started anew.
    pub fn change(&self, kind: MediaKind, settings: &Settings) -> Result<(), MediaError> {
        let shared = &self.0;
        let mut lanes = shared.lanes();
        lanes.settings = settings.clone();
        let Some(raw) = shared.raw.of(kind) else {
            return Ok(());
        };
        for (codec, lane) in &mut lanes.by_codec {
            if codec.kind() != kind {
                continue;
            }
            let started = Encoding::start(
                &lane.choice,
                settings,
                raw,
                &lane.outlet,
                shared.alarm.clone(),
            )?;
            lane.put(started);
        }
        Ok(())
    }

    /// Stops them all. Blocks: not for async threads.
    pub fn stop(&self) {
        let lanes = std::mem::take(&mut self.0.lanes().by_codec);
        drop(lanes);
    }

    /// The running pipelines, for pictures of them.
    pub fn pipelines(&self) -> Vec<gst::Pipeline> {
        let lanes = self.0.lanes();
        let encodings = lanes
            .by_codec
            .values()
            .filter_map(|lane| lane.encoding.as_ref());
        encodings
            .map(|encoding| encoding.pipeline().clone())
            .collect()
    }
}

impl Lane {
    fn put(&mut self, encoding: Encoding) {
        let rested = self.encoding.replace(encoding);
        // Stopping may take its time, above all where it hangs.
        std::thread::spawn(move || drop(rested));
    }
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notice(&self, text: String) {
        // Nobody listens any more once the job has ended.
        let _ = self.events.send(MediaEvent::Notice(text));
    }

    fn tell(&self, choice: &Choice, instead_of: Option<String>) {
        let Candidate {
            codec,
            factory,
            is_hardware,
            ..
        } = choice.candidate;
        let encoder = EncoderInUse {
            codec: codec.to_string(),
            encoder: (*factory).to_owned(),
            hardware: *is_hardware,
            reason: choice.reason.clone(),
            instead_of,
        };
        // Nobody listens any more once the job has ended.
        let _ = self.events.send(MediaEvent::Encoder(encoder));
    }

    /// Starts the best that starts; the error is the last one's.
    fn first_that_starts(
        &self,
        others: &mut std::vec::IntoIter<Choice>,
        settings: &Settings,
        raw: &Outlet,
        outlet: &Outlet,
    ) -> Result<(Choice, Encoding), MediaError> {
        let mut last = None;
        for choice in others {
            match Encoding::start(&choice, settings, raw, outlet, self.alarm.clone()) {
                Ok(encoding) => return Ok((choice, encoding)),
                Err(error) => {
                    self.notice(format!(
                        "{} does not start: {error}",
                        choice.candidate.factory
                    ));
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| MediaError::GStreamer {
            doing: "start an encoder",
            reason: "no other encoder is left".to_owned(),
        }))
    }

    fn look(&self) {
        let mut lanes = self.lanes();
        let settings = lanes.settings.clone();
        for (codec, lane) in &mut lanes.by_codec {
            let Some(fault) = lane.encoding.as_mut().and_then(Encoding::look) else {
                continue;
            };
            if let Some(raw) = self.raw.of(codec.kind()) {
                self.replace(*codec, lane, &fault, &settings, raw);
            }
        }
    }

    /// The next encoder takes the place of one that does not work; the consumers stay.
    fn replace(
        &self,
        codec: Codec,
        lane: &mut Lane,
        fault: &Fault,
        settings: &Settings,
        raw: &Outlet,
    ) {
        let former = lane.choice.candidate.factory;
        if matches!(fault, Fault::Ill(Illness::Behind { .. })) && !lane.has_a_faster_one() {
            if !std::mem::replace(&mut lane.told_slow, true) {
                self.notice(format!("{former}: {fault}; there is no faster one"));
            }
            return;
        }
        match self.first_that_starts(&mut lane.others, settings, raw, &lane.outlet) {
            Ok((choice, encoding)) => {
                self.tell(&choice, Some(format!("{former} failed: {fault}")));
                lane.choice = choice;
                lane.told_slow = false;
                lane.put(encoding);
            }
            Err(_) => {
                let former = lane.encoding.take();
                std::thread::spawn(move || drop(former));
                let error = MediaError::Element {
                    pipeline: format!("the encoding of {codec}"),
                    element: lane.choice.candidate.factory.to_owned(),
                    reason: format!("{fault}; no other encoder is left"),
                };
                let _ = self.events.send(MediaEvent::Failed(error));
            }
        }
    }
}

impl Lane {
    /// Whether the next choice was measured to be faster than the present one.
    fn has_a_faster_one(&self) -> bool {
        let next = self.others.as_slice().first();
        match (
            self.choice.time_per_frame,
            next.map(|next| next.time_per_frame),
        ) {
            (Some(present), Some(Some(next))) => next < present,
            (None, Some(_)) | (Some(_), Some(None)) => self.choice.candidate.is_hardware,
            (_, None) => false,
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
        shared.look();
    }
}
