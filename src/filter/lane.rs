//! One engine on one channel: pieces of any length at any rate in, sound at the same places in time out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::resample::Resampler;
use super::{AudioFilter, RATE};

/// What a frame took and told.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameReport {
    /// Time spent in the engine.
    pub took: Duration,
    /// The sound's length.
    pub length: Duration,
    /// The probability that somebody speaks, if the engine knows it.
    pub voice: Option<f32>,
    /// Why the frame is heard as it came in.
    pub failure: Option<String>,
}

/// An engine with what it needs around it.
pub struct Lane {
    engine: Box<dyn AudioFilter>,
    /// To and from [`RATE`], where the sound has another rate.
    rates: Option<(Resampler, Resampler)>,
    frame: Vec<f32>,
    filtered: Vec<f32>,
    /// Input at [`RATE`] that fills no frame yet, after `delay` samples of the frames before.
    waiting: Vec<f32>,
    /// Samples at [`RATE`] that the engine still gives for a time before the first.
    to_skip: usize,
    output: VecDeque<f32>,
    resampled: Vec<f32>,
    length: Duration,
}

impl Lane {
    /// An engine for sound of this rate, in samples per second.
    pub fn new(engine: Box<dyn AudioFilter>, rate: u32) -> Self {
        let rates =
            (rate != RATE).then(|| (Resampler::new(rate, RATE), Resampler::new(RATE, rate)));
        let (frame, delay) = (engine.frame().max(1), engine.delay());
        Self {
            rates,
            frame: vec![0.0; frame],
            filtered: vec![0.0; frame],
            waiting: vec![0.0; delay],
            to_skip: delay,
            output: VecDeque::new(),
            resampled: Vec::new(),
            length: samples_at(RATE, frame),
            engine,
        }
    }

    /// How many samples have to go in, at most, from a sample on (itself among them) until it comes out.
    pub fn latency(&self, rate: u32) -> usize {
        self.at_rate(rate, self.frame.len() + self.engine.delay())
    }

    /// How many samples have to go in, at least, after a sample until it comes out.
    pub fn delay(&self, rate: u32) -> usize {
        self.at_rate(rate, self.engine.delay())
    }

    fn at_rate(&self, rate: u32, samples: usize) -> usize {
        let Some((to, from)) = &self.rates else {
            return samples;
        };
        let inside = u64::try_from(samples + from.lookahead()).unwrap_or(u64::MAX);
        let outside = inside
            .saturating_mul(u64::from(rate))
            .div_ceil(u64::from(RATE));
        usize::try_from(outside).unwrap_or(usize::MAX) + to.lookahead()
    }

    /// Takes some sound. Values that are not finite are taken as silence.
    pub fn push(
        &mut self,
        samples: impl Iterator<Item = f32>,
        mut report: impl FnMut(FrameReport),
    ) {
        let clean = samples.map(|sample| if sample.is_finite() { sample } else { 0.0 });
        match &mut self.rates {
            None => self.waiting.extend(clean),
            Some((to, _)) => {
                self.resampled.clear();
                self.resampled.extend(clean);
                to.push(&self.resampled, &mut self.waiting);
            }
        }
        let (frame, delay) = (self.frame.len(), self.engine.delay());
        while self.waiting.len() >= delay + frame {
            report(self.filter());
            self.waiting.drain(..frame);
            let skipped = self.to_skip.min(frame);
            self.to_skip -= skipped;
            let ready = &self.filtered[skipped..];
            match &mut self.rates {
                None => self.output.extend(ready),
                Some((_, from)) => {
                    self.resampled.clear();
                    from.push(ready, &mut self.resampled);
                    self.output.extend(&self.resampled);
                }
            }
        }
    }

    /// One frame: from `waiting` to `filtered`.
    fn filter(&mut self) -> FrameReport {
        let (frame, delay) = (self.frame.len(), self.engine.delay());
        self.frame
            .copy_from_slice(&self.waiting[delay..delay + frame]);
        let begin = Instant::now();
        let result = self.engine.process(&self.frame, &mut self.filtered);
        let took = begin.elapsed();
        let is_sound = self.filtered.iter().all(|sample| sample.is_finite());
        let (voice, failure) = match result {
            Ok(voice) if is_sound => (voice, None),
            Ok(_) => (None, Some("it gave values that are no sound".to_owned())),
            Err(error) => (None, Some(error.to_string())),
        };
        if failure.is_some() {
            self.filtered.copy_from_slice(&self.waiting[..frame]);
        }
        FrameReport {
            took,
            length: self.length,
            voice: voice.map(|voice| voice.clamp(0.0, 1.0)),
            failure,
        }
    }

    /// Samples that are ready.
    pub fn ready(&self) -> usize {
        self.output.len()
    }

    /// The next sample that is ready.
    pub fn pop(&mut self) -> Option<f32> {
        self.output.pop_front()
    }

    /// The next sample to come in is the first. What the engine has learnt stays.
    pub fn restart(&mut self) {
        let delay = self.engine.delay();
        self.waiting.clear();
        self.waiting.resize(delay, 0.0);
        self.to_skip = delay;
        self.output.clear();
        if let Some((to, from)) = &mut self.rates {
            to.restart();
            from.restart();
        }
    }
}

/// How long so many samples are.
pub(super) fn samples_at(rate: u32, samples: usize) -> Duration {
    let samples = u64::try_from(samples).unwrap_or(u64::MAX);
    let nanoseconds = samples.saturating_mul(1_000_000_000) / u64::from(rate.max(1));
    Duration::from_nanos(nanoseconds)
}
