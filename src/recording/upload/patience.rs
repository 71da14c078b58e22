//! How often a failed upload is tried again, and when the next target is taken. Pure.

use std::time::Duration;

/// What one target is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Before the second try; doubled for each further one.
    pub first: Duration,
    /// Between two tries at most.
    pub longest: Duration,
    /// Tries of a target that refuses (a wrong key, a bucket that is not there).
    pub refusals: u32,
    /// From the first try on, of a target that cannot be reached.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            refusals: 3,
            whole: Duration::from_secs(3600),
        }
    }
}

/// A try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// Counted from 1.
    pub number: u32,
    /// The target refused; asking again promises little.
    pub refused: bool,
    /// Since the first try began.
    pub elapsed: Duration,
}

impl Patience {
    /// How long to wait before the next try; `None`: this target has failed. `random` is from 0 to 1: many recorders
    /// that lost the same server do not come back in step.
    pub fn wait(&self, failed: Try, random: f64) -> Option<Duration> {
        if failed.refused && failed.number >= self.refusals {
            return None;
        }
        let doublings = failed.number.saturating_sub(1).min(16);
        let delay = self.first.saturating_mul(1 << doublings).min(self.longest);
        let delay = delay.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        (failed.elapsed + delay < self.whole).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(number: u32, refused: bool, elapsed: u64) -> Try {
        Try {
            number,
            refused,
            elapsed: Duration::from_secs(elapsed),
        }
    }

    #[test]
    fn waits_grow_to_the_longest_and_are_spread_over_their_second_half() {
        let patience = Patience::default();
        let wait = |number, random| patience.wait(failed(number, false, 0), random);
        assert_eq!(wait(1, 1.0), Some(Duration::from_secs(1)));
        assert_eq!(wait(1, 0.0), Some(Duration::from_millis(500)));
        assert_eq!(wait(4, 1.0), Some(Duration::from_secs(8)));
        assert_eq!(wait(40, 1.0), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_target_that_refuses_fails_after_three_tries_and_one_that_is_away_after_an_hour() {
        let patience = Patience::default();
        assert!(patience.wait(failed(2, true, 5), 0.5).is_some());
        assert_eq!(patience.wait(failed(3, true, 5), 0.5), None);
        assert!(patience.wait(failed(50, false, 3500), 0.5).is_some());
        assert_eq!(patience.wait(failed(60, false, 3590), 0.5), None);
    }
}
