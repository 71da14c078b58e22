//! The sound of several channels through an engine for each: strength, bypass, change of engine and overload without a
//! click, and each sample out belongs to the one with the same number that came in.

use std::collections::VecDeque;
use std::time::Duration;

use super::AudioFilter;
use super::governor::{Change, Duty, Governor};
use super::lane::{FrameReport, Lane, samples_at};
use super::need::Need;
use super::statistics::{Levels, Times};

/// How long strength, bypass and a change of engine take to go from one end to the other.
const FADE: Duration = Duration::from_millis(20);
/// How long an engine listens before it is heard, when it begins in the middle: it knows the noise by then.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long it takes from all that is needed to nothing.
const ADAPT: Duration = Duration::from_millis(200);

/// What is wanted of a stream; can change at any time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// How much of the engine's sound is heard, 0 to 1; the rest is the sound as it came in.
    pub strength: f32,
    /// The engine does not run, and the sound goes out as it came in.
    pub bypass: bool,
    /// Processing time over the sound's time above which the engine rests; 0 for no limit.
    pub max_load: f64,
    /// Sound that is clean already goes out as it came in: see [`super::need`].
    pub adaptive: bool,
}

/// Counters and measures.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    /// Of the engines, all channels.
    pub times: Times,
    /// Length of all frames that engines had.
    pub sound: Duration,
    /// By how much the sound becomes less loud.
    pub levels: Levels,
    /// The probability that somebody speaks, 0 to 1, as of the last frame.
    pub voice: f32,
    /// Whether the sound goes out as it came in, because somebody wants it so or the engine rests.
    pub bypassed: bool,
    /// How often the engine had to rest.
    pub rests: u64,
    /// How much of the engine's sound is heard because of how noisy it is, 0 to 1.
    pub need: f64,
}

/// A number that goes to its goal in equal steps.
#[derive(Debug)]
struct Ramp {
    value: f32,
    goal: f32,
    step: f32,
}

impl Ramp {
    fn new(value: f32, rate: u32) -> Self {
        Self::over(FADE, value, rate)
    }

    fn over(fade: Duration, value: f32, rate: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a small step")]
        let step = (1.0 / (fade.as_secs_f64() * f64::from(rate))) as f32;
        Self {
            value,
            goal: value,
            step,
        }
    }

    fn next(&mut self) -> f32 {
        let change = (self.goal - self.value).clamp(-self.step, self.step);
        self.value += change;
        self.value
    }
}

/// An engine for each channel.
struct Engines {
    lanes: Vec<Lane>,
    /// The number of the first sample that they had.
    begin: u64,
    /// From this sample on they may be heard.
    warm: u64,
}

impl Engines {
    /// Samples with numbers below this are ready.
    fn end(&self, emitted: u64) -> u64 {
        let ready = self.lanes.iter().map(Lane::ready).min().unwrap_or_default();
        self.begin.max(emitted) + count(ready)
    }

    fn restart(&mut self, begin: u64, warm: u64) {
        (self.begin, self.warm) = (begin, warm);
        self.lanes.iter_mut().for_each(Lane::restart);
    }
}

/// See the module.
pub struct Stream {
    rate: u32,
    channels: usize,
    wanted: Wanted,
    current: Engines,
    /// Takes the current one's place when it is warm.
    next: Option<Engines>,
    /// What was asked for while `next` was not heard alone yet.
    later: Option<Vec<Box<dyn AudioFilter>>>,
    /// Whether the current engine gets sound.
    is_running: bool,
    strength: Ramp,
    /// 1: the engines are heard, as far as `strength` goes. 0: the sound as it came in.
    heard: Ramp,
    /// The same, because of how noisy the sound is.
    needed: Ramp,
    need: Need,
    /// 0: the current engine, 1: the next.
    across: Ramp,
    /// Interleaved, from sample `emitted` to `pushed`.
    dry: VecDeque<f32>,
    emitted: u64,
    pushed: u64,
    governor: Governor,
    statistics: Statistics,
}

impl Stream {
    /// `engines`: one for each channel, at least one. `rate`: samples per second.
    pub fn new(engines: Vec<Box<dyn AudioFilter>>, rate: u32, wanted: Wanted) -> Self {
        let current = lanes(engines, rate, 0, 0);
        let heard = if wanted.bypass { 0.0 } else { 1.0 };
        Self {
            rate,
            channels: current.lanes.len(),
            current,
            next: None,
            later: None,
            is_running: !wanted.bypass,
            strength: Ramp::new(wanted.strength, rate),
            heard: Ramp::new(heard, rate),
            needed: Ramp::over(ADAPT, 1.0, rate),
            need: Need::default(),
            across: Ramp::new(0.0, rate),
            dry: VecDeque::new(),
            emitted: 0,
            pushed: 0,
            governor: Governor::new(wanted.max_load),
            statistics: Statistics {
                bypassed: wanted.bypass,
                need: 1.0,
                ..Statistics::default()
            },
            wanted,
        }
    }

    /// How many samples (of each channel) have to go in, at most, from a sample on until it comes out.
    pub fn latency(&self) -> usize {
        let of = |engines: &Engines| {
            engines
                .lanes
                .iter()
                .map(|lane| lane.latency(self.rate))
                .max()
        };
        of(&self.current)
            .max(self.next.as_ref().and_then(of))
            .unwrap_or_default()
    }

    /// Counters and measures.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// From now on this is wanted.
    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.governor.allow(wanted.max_load);
    }

    /// Other engines, one for each channel: heard as soon as they are warm.
    pub fn change_engines(&mut self, engines: Vec<Box<dyn AudioFilter>>) {
        if self.next.is_some() {
            self.later = Some(engines);
            return;
        }
        let warm = self.pushed + self.samples(WARM_UP);
        let next = lanes(engines, self.rate, self.pushed, warm);
        if self.is_running {
            self.next = Some(next);
        } else {
            self.current = next;
        }
    }

    /// Takes interleaved samples and appends those that are ready, interleaved; gives what changed by itself.
    pub fn push(&mut self, samples: &[f32], output: &mut Vec<f32>) -> Vec<Change> {
        let frames = samples.len() / self.channels.max(1);
        self.governor.on_sound(samples_at(self.rate, frames));
        self.start_or_stop();
        self.dry.extend(&samples[..frames * self.channels]);
        let changes = self.feed(samples);
        self.pushed += count(frames);
        self.emit(self.pushed, output);
        changes
    }

    /// Appends all that is left. The next sample to come in is the first one again; what engines have learnt stays.
    pub fn drain(&mut self, output: &mut Vec<f32>) -> Vec<Change> {
        let end = self.pushed;
        let silence = vec![0.0; self.latency() * self.channels];
        let changes = self.feed(&silence);
        self.pushed += count(self.latency());
        self.emit(end, output);
        self.dry.clear();
        (self.emitted, self.pushed) = (0, 0);
        // An engine that is warm stays so, one that is not gets no more time.
        self.current.restart(0, 0);
        if let Some(next) = &mut self.next {
            next.restart(0, 0);
        }
        changes
    }

    fn samples(&self, length: Duration) -> u64 {
        let nanoseconds = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        nanoseconds.saturating_mul(u64::from(self.rate)) / 1_000_000_000
    }

    /// Whether the engine runs, after what is wanted and what the governor says.
    fn start_or_stop(&mut self) {
        let may_run = !self.wanted.bypass && self.governor.duty() != Duty::Rest;
        if may_run && !self.is_running {
            self.is_running = true;
            let warm = self.pushed + self.samples(WARM_UP);
            self.current.restart(self.pushed, warm);
        }
        if !may_run && self.is_running && self.heard.value <= 0.0 {
            self.is_running = false;
            if self.next.is_some() {
                self.across.value = 1.0;
                self.finish_change();
            }
        }
        self.statistics.bypassed = self.wanted.bypass || self.governor.duty() != Duty::Work;
    }

    /// Gives sound to the engines that run.
    fn feed(&mut self, samples: &[f32]) -> Vec<Change> {
        if !self.is_running {
            return Vec::new();
        }
        let channels = self.channels;
        let mut reports: Vec<FrameReport> = Vec::new();
        for engines in std::iter::once(&mut self.current).chain(&mut self.next) {
            for (channel, lane) in engines.lanes.iter_mut().enumerate() {
                let own = samples.iter().skip(channel).step_by(channels).copied();
                lane.push(own, |report| reports.push(report));
            }
        }
        let parallel = u32::try_from(channels).unwrap_or(u32::MAX);
        let changes = reports.iter().filter_map(|report| {
            self.statistics.times.add(report.took);
            self.statistics.sound += report.length;
            match &report.failure {
                Some(reason) => self.governor.on_failure(reason),
                None => self
                    .governor
                    .on_frame(report.took * parallel, report.length),
            }
        });
        let changes: Vec<_> = changes.collect();
        let voices = reports.iter().rev().take(channels);
        if let Some(voice) = voices.filter_map(|report| report.voice).reduce(f32::max) {
            self.statistics.voice = voice;
        }
        let is_rest = |change: &&Change| !matches!(change, Change::Returned);
        self.statistics.rests += count(changes.iter().filter(is_rest).count());
        changes
    }

    /// Appends what is ready, up to sample `end`.
    fn emit(&mut self, end: u64, output: &mut Vec<f32>) {
        // Without an engine as late as with it: what follows must not have to wait for the engine's first sample.
        let delay = self.current.lanes.first().map(|lane| lane.delay(self.rate));
        let mut until = end.min(self.pushed.saturating_sub(count(delay.unwrap_or_default())));
        if self.is_running {
            for engines in std::iter::once(&self.current).chain(&self.next) {
                until = until.min(engines.end(self.emitted));
            }
        }
        let (mut before, mut after) = (0.0, 0.0);
        let (mut left, mut taken) = (0.0, 0.0);
        let begin = self.emitted;
        while self.emitted < until {
            let gains = self.gains();
            for channel in 0..self.channels {
                let Some(dry) = self.dry.pop_front() else {
                    return;
                };
                let wet = self.wet(channel, dry, gains.across);
                let mixed = if gains.wet <= 0.0 {
                    dry
                } else {
                    dry + gains.wet * (wet - dry)
                };
                left += f64::from(wet * wet);
                taken += f64::from((dry - wet) * (dry - wet));
                before += f64::from(dry * dry);
                after += f64::from(mixed * mixed);
                output.push(mixed);
            }
            self.emitted += 1;
            self.finish_change();
        }
        let frames = usize::try_from(self.emitted - begin).unwrap_or(usize::MAX);
        if frames > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a piece of sound")]
            let samples = (frames * self.channels) as f64;
            let length = samples_at(self.rate, frames);
            self.statistics
                .levels
                .add(before / samples, after / samples, length);
            if self.is_running {
                self.need.add(left / samples, taken / samples, length);
            }
            self.adapt();
        }
    }

    /// Goes to what is needed.
    fn adapt(&mut self) {
        self.statistics.need = match self.wanted.adaptive {
            true => self.need.value(),
            false => 1.0,
        };
        #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
        let goal = self.statistics.need as f32;
        self.needed.goal = goal;
    }

    /// The mix for the next sample.
    fn gains(&mut self) -> Gains {
        self.strength.goal = self.wanted.strength.clamp(0.0, 1.0);
        let is_work = self.governor.duty() == Duty::Work && !self.wanted.bypass;
        let is_warm = self.is_running && self.emitted >= self.current.warm;
        self.heard.goal = if is_work && is_warm { 1.0 } else { 0.0 };
        if let Some(next) = &self.next {
            self.across.goal = if self.emitted >= next.warm { 1.0 } else { 0.0 };
        }
        Gains {
            wet: self.strength.next() * self.heard.next() * self.needed.next(),
            across: self.across.next(),
        }
    }

    /// The engines' sample of a channel; before their first, the one that came in.
    fn wet(&mut self, channel: usize, dry: f32, across: f32) -> f32 {
        if !self.is_running {
            return dry;
        }
        let emitted = self.emitted;
        let sample_of = |engines: &mut Engines| {
            let lane = engines.lanes.get_mut(channel)?;
            (emitted >= engines.begin).then(|| lane.pop()).flatten()
        };
        let current = sample_of(&mut self.current).unwrap_or(dry);
        match &mut self.next {
            Some(next) => current + across * (sample_of(next).unwrap_or(dry) - current),
            None => current,
        }
    }

    /// The next engine becomes the current one when it alone is heard.
    fn finish_change(&mut self) {
        if self.across.value < 1.0 {
            return;
        }
        if let Some(next) = self.next.take() {
            self.current = next;
        }
        self.across = Ramp::new(0.0, self.rate);
        if let Some(engines) = self.later.take() {
            self.change_engines(engines);
        }
    }
}

#[derive(Clone, Copy)]
struct Gains {
    wet: f32,
    across: f32,
}

fn lanes(engines: Vec<Box<dyn AudioFilter>>, rate: u32, begin: u64, warm: u64) -> Engines {
    let lanes = engines.into_iter().map(|engine| Lane::new(engine, rate));
    Engines {
        lanes: lanes.collect(),
        begin,
        warm,
    }
}

fn count(samples: usize) -> u64 {
    u64::try_from(samples).unwrap_or(u64::MAX)
}
