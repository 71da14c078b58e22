//! One codec of one tier: a stable outlet, and the encoder that feeds it, replaced by the next when it fails.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use gstreamer as gst;

use super::encoder::{Candidate, Choice, Encoders};
use super::encoding::{Encoding, Fault};
use super::fanout::Outlet;
use super::health::Illness;
use super::{Codec, MediaError, MediaEvent, MediaEvents};
use crate::job::EncoderInUse;
use crate::pipeline::{Bitrate, Settings};

/// An encoder is told another rate when it differs by more than one part of so many: each change costs it something.
const HARDLY_ANOTHER: u32 = 40;

/// What all lanes start their encoders with.
#[derive(Debug)]
pub(super) struct Workshop {
    pub encoders: Encoders,
    pub events: MediaEvents,
    /// Rung when an encoder fails.
    pub alarm: mpsc::Sender<()>,
}

/// One encoding of a track, and those that could take its place.
#[derive(Debug)]
pub(super) struct Lane {
    codec: Codec,
    is_best: bool,
    raw: Outlet,
    outlet: Outlet,
    settings: Settings,
    /// Those not yet tried, the best first.
    others: std::vec::IntoIter<Choice>,
    choice: Choice,
    /// None once all have failed.
    encoding: Option<Encoding>,
    told_slow: bool,
    /// Since when nobody takes its frames.
    idle: Option<Instant>,
}

impl Workshop {
    fn notice(&self, text: String) {
        // Nobody listens any more once the job has ended.
        let _ = self.events.send(MediaEvent::Notice(text));
    }

    /// Tells which encoder a tier has; that of the best one stands for the codec.
    fn tell(&self, choice: &Choice, is_best: bool, instead_of: Option<String>) {
        let Candidate {
            codec,
            factory,
            is_hardware,
            ..
        } = choice.candidate;
        if !is_best {
            if let Some(reason) = instead_of {
                self.notice(format!(
                    "{codec} of a lower tier is encoded by {factory}: {reason}"
                ));
            }
            return;
        }
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
}

impl Lane {
    /// Starts the best encoder that starts. `own` are the settings of the whole picture, for which encoders were
    /// proven; `settings` those of this tier.
    pub fn start(
        workshop: &Workshop,
        codec: Codec,
        own: &Settings,
        settings: Settings,
        raw: Outlet,
    ) -> Result<Self, MediaError> {
        let outlet = Outlet::encoded(codec)?;
        let mut others = workshop.encoders.choices(codec, own)?.into_iter();
        let (choice, encoding) =
            workshop.first_that_starts(&mut others, &settings, &raw, &outlet)?;
        let is_best = settings.video.bitrate == own.video.bitrate;
        workshop.tell(&choice, is_best, None);
        outlet.expect_newcomer();
        Ok(Self {
            codec,
            is_best,
            raw,
            outlet,
            settings,
            others,
            choice,
            encoding: Some(encoding),
            told_slow: false,
            idle: None,
        })
    }

    /// Where its frames leave.
    pub fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Somebody comes: frames flow.
    pub fn wake(&mut self) {
        self.idle = None;
        if let Some(encoding) = &mut self.encoding {
            encoding.wake();
        }
    }

    /// Nobody is there.
    pub fn rest(&self) {
        if let Some(encoding) = &self.encoding {
            encoding.rest();
        }
    }

    /// How long nobody has taken its frames.
    pub fn idle(&mut self, is_used: bool, now: Instant) -> Duration {
        if is_used {
            self.idle = None;
            return Duration::ZERO;
        }
        let since = *self.idle.get_or_insert(now);
        now.saturating_duration_since(since)
    }

    /// The encoder aims at other rates, or another expected loss, from now on. It goes on as it is where it cannot.
    pub fn aim(&mut self, settings: Settings) {
        let is_another = differs(self.settings.video.bitrate, settings.video.bitrate)
            || self.settings.audio != settings.audio;
        if !is_another {
            return;
        }
        if let Some(encoding) = &self.encoding
            && let Err(error) = encoding.retune(&self.choice, &settings)
        {
            tracing::warn!(%error, "an encoder keeps its rate");
        }
        self.settings = settings;
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Goes on with other settings and other pictures: the same encoder, started anew.
    pub fn change(
        &mut self,
        workshop: &Workshop,
        settings: Settings,
        raw: Outlet,
    ) -> Result<(), MediaError> {
        let alarm = workshop.alarm.clone();
        let started = Encoding::start(&self.choice, &settings, &raw, &self.outlet, alarm)?;
        self.put(started);
        self.settings = settings;
        self.raw = raw;
        Ok(())
    }

    /// Looks whether the encoder works; the next one takes the place of one that does not.
    pub fn look(&mut self, workshop: &Workshop) {
        if let Some(fault) = self.encoding.as_mut().and_then(Encoding::look) {
            self.replace(workshop, &fault);
        }
    }

    /// The running pipeline, for pictures of it.
    pub fn pipeline(&self) -> Option<gst::Pipeline> {
        let encoding = self.encoding.as_ref();
        encoding.map(|encoding| encoding.pipeline().clone())
    }

    /// The consumers stay.
    fn replace(&mut self, workshop: &Workshop, fault: &Fault) {
        let former = self.choice.candidate.factory;
        if matches!(fault, Fault::Ill(Illness::Behind { .. })) && !self.has_a_faster_one() {
            if !std::mem::replace(&mut self.told_slow, true) {
                workshop.notice(format!("{former}: {fault}; there is no faster one"));
            }
            return;
        }
        let (settings, raw) = (&self.settings, &self.raw);
        match workshop.first_that_starts(&mut self.others, settings, raw, &self.outlet) {
            Ok((choice, encoding)) => {
                workshop.tell(
                    &choice,
                    self.is_best,
                    Some(format!("{former} failed: {fault}")),
                );
                self.choice = choice;
                self.told_slow = false;
                self.put(encoding);
            }
            Err(_) => {
                let former = self.encoding.take();
                std::thread::spawn(move || drop(former));
                let error = MediaError::Element {
                    pipeline: format!("the encoding of {}", self.codec),
                    element: self.choice.candidate.factory.to_owned(),
                    reason: format!("{fault}; no other encoder is left"),
                };
                let _ = workshop.events.send(MediaEvent::Failed(error));
            }
        }
    }

    fn put(&mut self, encoding: Encoding) {
        let rested = self.encoding.replace(encoding);
        // Stopping may take its time, above all where it hangs.
        std::thread::spawn(move || drop(rested));
    }

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

fn differs(one: Bitrate, other: Bitrate) -> bool {
    let (one, other) = (one.bits_per_second, other.bits_per_second);
    one.abs_diff(other) > one / HARDLY_ANOTHER
}
