//! The token bucket: how much may happen at once, and how often on and on. Time is an argument.

use std::time::{Duration, Instant};

/// Bytes of a message that one token pays for.
const BYTES_PER_TOKEN: usize = 4096;

/// What a message of this length takes from the bucket: 1, and 1 more for every full 4 KiB.
pub fn message_cost(bytes: usize) -> u32 {
    u32::try_from(1 + bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX)
}

/// A bucket of tokens that fills steadily up to its size.
#[derive(Debug, Clone)]
pub struct Bucket {
    size: f64,
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(size: u32, per_second: u32, now: Instant) -> Self {
        let size = f64::from(size);
        Self {
            size,
            per_second: f64::from(per_second),
            tokens: size,
            filled: now,
        }
    }

    /// Takes `cost` tokens, or none and says `false` when there are not as many.
    pub fn take(&mut self, cost: u32, now: Instant) -> bool {
        self.fill(now);
        let cost = f64::from(cost);
        if self.tokens < cost {
            return false;
        }
        self.tokens -= cost;
        true
    }

    /// How long until `cost` tokens are there; zero if they are. More than the bucket holds counts as all it holds.
    pub fn wait(&mut self, cost: u32, now: Instant) -> Duration {
        self.fill(now);
        let missing = f64::from(cost).min(self.size) - self.tokens;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.size);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_steady_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 5, start);
        assert!((0..10).all(|_| bucket.take(1, start)));
        assert!(!bucket.take(1, start));
        assert_eq!(bucket.wait(1, start), Duration::from_millis(200));

        let later = start + Duration::from_millis(400);
        assert!(bucket.take(2, later));
        assert!(!bucket.take(1, later));
    }

    #[test]
    fn a_long_pause_does_not_fill_more_than_the_bucket() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, 100, start);
        let later = start + Duration::from_secs(3600);
        assert!(bucket.take(3, later));
        assert!(!bucket.take(1, later));
    }

    #[test]
    fn time_that_seems_to_go_back_gives_nothing() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut bucket = Bucket::new(1, 1, start);
        assert!(bucket.take(1, start));
        assert!(!bucket.take(1, start - Duration::from_secs(5)));
        assert!(!bucket.take(1, start));
    }

    #[test]
    fn long_messages_cost_more() {
        assert_eq!(message_cost(0), 1);
        assert_eq!(message_cost(4095), 1);
        assert_eq!(message_cost(64 * 1024), 17);
    }
}
