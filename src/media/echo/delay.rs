//! How late what is played comes back into the microphone: found from the sound itself. Pure: times are told.
//!
//! Generalized cross-correlation with phase transform (Knapp and Carter, 1976) over the last second, at 4 kHz: what both
//! have in common stands out as one peak, whatever the room does to its colour.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Samples per second of what comes in.
const RATE: u64 = 48_000;
/// One sample of so many is looked at.
const STEP: usize = 12;
const SLOW_RATE: u64 = RATE / STEP as u64;
/// Samples in two steps.
const MEAN_OF: f32 = 2.0 * STEP as f32;
/// What is played: as long as what is heard and the longest delay, and a power of two.
const WINDOW: usize = 8192;
/// What is heard: one second.
const HEARD: usize = 4096;
/// The longest delay: 0.6 s.
const LONGEST: usize = 2400;
/// How often is looked: four times a second.
const EVERY: u64 = SLOW_RATE / 4;
/// From 200 to 1800 Hz.
const BAND: std::ops::Range<usize> = 410..3686;
/// How much of the former looks counts.
const MEMORY: f32 = 0.7;
/// A peak so many times above the root mean square of all delays is one. Without an echo the highest is 3 to 5.
const CLEAR: f32 = 8.0;
/// -60 dB of full scale: what is quieter tells nothing.
const QUIET: f32 = 1e-6;
/// Two looks in a row agree if they are no further apart: 2 ms.
const AGREED: usize = 8;
/// A delay is another one if it is so much further away: 10 ms.
const OTHER: usize = 40;
/// Times that are so close to what was expected are the same sound going on: 2 ms.
const JITTER: u64 = 8;

/// Compares what is played with what is heard.
pub(super) struct DelayFinder {
    played: Line,
    heard: Line,
    next_look: u64,
    forward: Arc<dyn RealToComplex<f32>>,
    backward: Arc<dyn ComplexToReal<f32>>,
    /// The smoothed cross-spectrum.
    cross: Vec<Complex32>,
    last: Option<usize>,
    found: Option<usize>,
}

impl Default for DelayFinder {
    fn default() -> Self {
        let mut planner = RealFftPlanner::new();
        Self {
            played: Line::default(),
            heard: Line::default(),
            next_look: 0,
            forward: planner.plan_fft_forward(WINDOW),
            backward: planner.plan_fft_inverse(WINDOW),
            cross: vec![Complex32::default(); WINDOW / 2 + 1],
            last: None,
            found: None,
        }
    }
}

impl DelayFinder {
    /// Sound at 48 kHz that is handed to the loudspeakers at this time.
    pub fn played(&mut self, at: Duration, sound: impl Iterator<Item = f32>) {
        self.played.put(at, sound);
    }

    /// Sound at 48 kHz that the microphone heard at this time. Gives the delay when it becomes known, or another one.
    pub fn heard(&mut self, at: Duration, sound: impl Iterator<Item = f32>) -> Option<Duration> {
        self.heard.put(at, sound);
        let end = self.heard.end;
        if end < self.next_look {
            return None;
        }
        self.next_look = end + EVERY;
        let delay = self.look(end)?;
        let is_agreed = self.last.is_some_and(|last| last.abs_diff(delay) <= AGREED);
        self.last = Some(delay);
        let is_other = self.found.is_none_or(|found| found.abs_diff(delay) > OTHER);
        (is_agreed && is_other).then(|| {
            self.found = Some(delay);
            let samples = u64::try_from(delay).unwrap_or_default();
            Duration::from_micros(samples * 1_000_000 / SLOW_RATE)
        })
    }

    /// The delay in the second up to `end`, if one stands out.
    fn look(&mut self, end: u64) -> Option<usize> {
        let mut played = self.played.window(end);
        let mut heard = self.heard.window(end);
        heard[..WINDOW - HEARD].fill(0.0);
        if power(&played) < QUIET || power(&heard) < QUIET * 0.01 {
            return None;
        }
        let (mut ours, mut theirs) = (
            self.forward.make_output_vec(),
            self.forward.make_output_vec(),
        );
        // Both have the lengths that the plan was made for.
        self.forward.process(&mut heard, &mut ours).ok()?;
        self.forward.process(&mut played, &mut theirs).ok()?;
        for (cross, (ours, theirs)) in self.cross.iter_mut().zip(ours.iter().zip(&theirs)) {
            *cross = *cross * MEMORY + ours * theirs.conj();
        }
        let mut phases = vec![Complex32::default(); self.cross.len()];
        for (phase, cross) in phases[BAND].iter_mut().zip(&self.cross[BAND]) {
            *phase = cross / (cross.norm() + f32::MIN_POSITIVE);
        }
        let mut likeness = self.backward.make_output_vec();
        self.backward.process(&mut phases, &mut likeness).ok()?;
        let likeness = &likeness[..LONGEST];
        let (delay, peak) = likeness
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))?;
        (*peak > CLEAR * power(likeness).sqrt()).then_some(delay)
    }
}

/// The newest sound of one side, each sample in its place in time.
#[derive(Default)]
struct Line {
    /// Up to two windows.
    samples: VecDeque<f32>,
    /// The place of the next sample.
    end: u64,
    /// Of the last [`STEP`] samples, and of those so far.
    sums: [f32; 2],
    phase: usize,
}

impl Line {
    fn put(&mut self, at: Duration, sound: impl Iterator<Item = f32>) {
        let nanoseconds = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let place = nanoseconds / (1_000_000_000 / SLOW_RATE);
        if place.abs_diff(self.end) > JITTER {
            self.go_to(place);
        }
        for sample in sound {
            self.sums[1] += sample;
            self.phase += 1;
            if self.phase == STEP {
                // The mean of two steps: against what is above the new rate.
                let [before, now] = self.sums;
                self.samples.push_back((before + now) / MEAN_OF);
                self.end += 1;
                (self.sums, self.phase) = ([now, 0.0], 0);
            }
        }
        let surplus = self.samples.len().saturating_sub(2 * WINDOW);
        self.samples.drain(..surplus);
    }

    /// Nothing came until then; what is before the past is forgotten.
    fn go_to(&mut self, place: u64) {
        let gap = place
            .checked_sub(self.end)
            .and_then(|gap| usize::try_from(gap).ok());
        match gap {
            Some(gap) if gap < 2 * WINDOW => self.samples.extend(std::iter::repeat_n(0.0, gap)),
            Some(_) | None => self.samples.clear(),
        }
        self.end = place;
    }

    /// The window that ends before this place; what is not known is silent.
    fn window(&self, end: u64) -> Vec<f32> {
        let behind = self.samples.len();
        let sample = |back: usize| {
            // `back` samples before `end`, which may lie on either side of our own end.
            let place = end.checked_sub(u64::try_from(back).ok()?)?;
            let from_end = usize::try_from(self.end.checked_sub(place)?).ok()?;
            self.samples.get(behind.checked_sub(from_end)?).copied()
        };
        (1..=WINDOW)
            .rev()
            .map(|back| sample(back).unwrap_or_default())
            .collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a window's length")]
fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that is loud and quiet in turn, always the same for a seed.
    fn sound(seed: u64, samples: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            // xorshift64 (Marsaglia, 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f32::from(u16::try_from(state >> 48).unwrap_or_default()) / 32_768.0 - 1.0
        };
        (0..samples)
            .map(|n| next() * if n / 9600 % 3 == 0 { 0.02 } else { 0.2 })
            .collect()
    }

    /// Everything that is found, with when.
    fn run(
        finder: &mut DelayFinder,
        played: &[f32],
        heard: &[f32],
        from: Duration,
    ) -> Vec<Duration> {
        let pieces = played.chunks(480).zip(heard.chunks(480));
        let mut found = Vec::new();
        for (index, (played, heard)) in (0..).zip(pieces) {
            let at = from + Duration::from_millis(10) * index;
            finder.played(at, played.iter().copied());
            found.extend(finder.heard(at, heard.iter().copied()));
        }
        found
    }

    fn later(sound: &[f32], late: usize) -> Vec<f32> {
        let silence = std::iter::repeat_n(0.0, late * 48);
        silence
            .chain(sound.iter().map(|sample| sample * 0.3))
            .take(sound.len())
            .collect()
    }

    #[test]
    fn a_delay_is_found_within_two_seconds_and_told_once() {
        let played = sound(1, 4 * 48_000);
        for late in [5, 20, 80, 200, 500] {
            let heard = later(&played, late);
            let found = run(
                &mut DelayFinder::default(),
                &played[..96_000],
                &heard,
                Duration::ZERO,
            );
            let [found] = found[..] else {
                panic!("{late} ms: {found:?}");
            };
            let wrong = found.abs_diff(Duration::from_millis(late.try_into().unwrap_or_default()));
            assert!(wrong <= Duration::from_millis(1), "{late} ms: {found:?}");
        }
    }

    #[test]
    fn without_an_echo_none_is_found() {
        let (played, heard) = (sound(1, 10 * 48_000), sound(2, 10 * 48_000));
        let found = run(&mut DelayFinder::default(), &played, &heard, Duration::ZERO);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn another_delay_is_found_when_devices_change_even_after_a_pause() {
        let played = sound(1, 4 * 48_000);
        let mut finder = DelayFinder::default();
        let first = run(
            &mut finder,
            &played,
            &later(&played, 30),
            Duration::from_secs(100),
        );
        let second = run(
            &mut finder,
            &played,
            &later(&played, 150),
            Duration::from_secs(160),
        );
        assert_eq!((first.len(), second.len()), (1, 1), "{first:?}, {second:?}");
        assert!(second[0].abs_diff(Duration::from_millis(150)) <= Duration::from_millis(1));
    }
}
