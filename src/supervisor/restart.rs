//! When a crashed worker starts again: exponential backoff with jitter. Time and chance are arguments.

use std::time::Duration;

/// How long to wait before a crashed worker is started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPolicy {
    /// After the first crash; doubled with each further one.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
    /// A worker that ran this long before it crashed counts as the first again.
    pub ran_well: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            ran_well: Duration::from_secs(60),
        }
    }
}

/// The crashes of one job.
#[derive(Debug)]
pub struct Crashes {
    policy: RestartPolicy,
    in_a_row: u32,
}

impl Crashes {
    /// None so far.
    pub fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            in_a_row: 0,
        }
    }

    /// How many there were without a worker that ran well in between.
    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// A worker crashed after it `ran` so long: how long to wait. `chance`, from 0 to 1, spreads jobs that crashed
    /// together over the upper half of the delay.
    pub fn delay(&mut self, ran: Duration, chance: f64) -> Duration {
        if ran >= self.policy.ran_well {
            self.in_a_row = 0;
        }
        let doubled = 2_u32.saturating_pow(self.in_a_row);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let delay = self
            .policy
            .first
            .saturating_mul(doubled)
            .min(self.policy.longest);
        delay / 2 + (delay / 2).mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut crashes = Crashes::new(RestartPolicy::default());
        let delays: Vec<_> = (0..9)
            .map(|_| crashes.delay(SHORT, 1.0).as_millis())
            .collect();
        assert_eq!(
            delays,
            [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
        );
        for _ in 0..100 {
            assert_eq!(crashes.delay(SHORT, 1.0), Duration::from_secs(30));
        }
    }

    #[test]
    fn a_worker_that_ran_well_starts_from_the_first_delay() {
        let mut crashes = Crashes::new(RestartPolicy::default());
        crashes.delay(SHORT, 1.0);
        crashes.delay(SHORT, 1.0);
        assert_eq!(
            crashes.delay(Duration::from_secs(60), 1.0),
            Duration::from_millis(500)
        );
        assert_eq!(crashes.delay(SHORT, 1.0), Duration::from_millis(1000));
    }

    #[test]
    fn chance_moves_the_delay_between_half_and_whole() {
        let delay = |chance| Crashes::new(RestartPolicy::default()).delay(SHORT, chance);
        assert_eq!(delay(0.0), Duration::from_millis(250));
        assert_eq!(delay(0.5), Duration::from_millis(375));
        assert_eq!(delay(1.0), Duration::from_millis(500));
    }
}
