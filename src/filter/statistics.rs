//! What a stream knows of itself: times, suppression, voices.

use std::time::Duration;

/// Each step of the histogram is 5 % longer than the one before it; from 1 µs to 40 s.
const STEP: f64 = 1.05;
const STEPS: usize = 360;

/// How long frames took.
#[derive(Debug, Clone)]
pub struct Times {
    counts: Vec<u64>,
    frames: u64,
    sum: Duration,
    worst: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            counts: vec![0; STEPS],
            frames: 0,
            sum: Duration::ZERO,
            worst: Duration::ZERO,
        }
    }
}

impl Times {
    /// One more frame.
    pub fn add(&mut self, took: Duration) {
        self.frames += 1;
        self.sum += took;
        self.worst = self.worst.max(took);
        let micros = (took.as_secs_f64() * 1e6).max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a logarithm of a number that is at least 1"
        )]
        let step = (micros.ln() / STEP.ln()).ceil() as usize;
        if let Some(count) = self.counts.get_mut(step.min(STEPS - 1)) {
            *count += 1;
        }
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The longest.
    pub fn worst(&self) -> Duration {
        self.worst
    }

    /// The mean, zero without frames.
    pub fn mean(&self) -> Duration {
        let frames = u32::try_from(self.frames).unwrap_or(u32::MAX);
        self.sum.checked_div(frames).unwrap_or_default()
    }

    /// All of them.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// What this part (0 to 1) of the frames did not exceed, 5 % too much at most.
    pub fn quantile(&self, part: f64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a count of frames")]
        let wanted = part * self.frames as f64;
        let mut seen = 0_u64;
        for (step, count) in (0_u32..).zip(&self.counts) {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "a count of frames")]
            if *count > 0 && seen as f64 >= wanted {
                let upper = Duration::from_secs_f64(STEP.powf(f64::from(step)) * 1e-6);
                return upper.min(self.worst);
            }
        }
        Duration::ZERO
    }
}

/// Powers before and after, smoothed over about 0.1 s of sound.
#[derive(Debug, Clone, Copy, Default)]
pub struct Levels {
    before: f64,
    after: f64,
}

const SMOOTHED_SECONDS: f64 = 0.1;
/// -100 dB of full scale: what is below has no level to speak of.
const FLOOR: f64 = 1e-10;

impl Levels {
    /// Mean squares of a piece of this length.
    pub fn add(&mut self, before: f64, after: f64, length: Duration) {
        let weight = 1.0 - (-length.as_secs_f64() / SMOOTHED_SECONDS).exp();
        self.before += (before - self.before) * weight;
        self.after += (after - self.after) * weight;
    }

    /// By how many dB the sound became less loud. 0 in silence.
    pub fn suppression_db(&self) -> f64 {
        if self.before < FLOOR {
            return 0.0;
        }
        10.0 * (self.before / self.after.max(FLOOR)).log10()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted() {
        let mut times = Times::default();
        for _ in 0..98 {
            times.add(Duration::from_micros(100));
        }
        times.add(Duration::from_micros(500));
        times.add(Duration::from_millis(20));
        assert_eq!(times.frames(), 100);
        assert_eq!(times.worst(), Duration::from_millis(20));
        assert_eq!(times.mean(), Duration::from_micros(303));
        let (half, most) = (times.quantile(0.5), times.quantile(0.99));
        assert!(half >= Duration::from_micros(100) && half < Duration::from_micros(106));
        assert!(most >= Duration::from_micros(500) && most < Duration::from_micros(526));
        assert_eq!(times.quantile(1.0), Duration::from_millis(20));
    }

    #[test]
    fn a_tenth_of_the_amplitude_is_twenty_decibels() {
        let mut levels = Levels::default();
        assert!(levels.suppression_db().abs() < 1e-9);
        for _ in 0..200 {
            levels.add(0.01, 0.0001, Duration::from_millis(10));
        }
        assert!((levels.suppression_db() - 20.0).abs() < 0.01);
    }
}
