//! When a lost server is tried again, and when one that says nothing counts as lost. Pure.

use std::time::{Duration, Instant};

/// The wait after the first failure; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// A connection that lasted so long was good: the next wait is the first one again.
const GOOD: Duration = Duration::from_secs(20);
/// A server that takes nothing for so long, although something waits for it, is gone.
const SILENT: Duration = Duration::from_secs(10);

/// How long to wait before the next attempt.
#[derive(Debug)]
pub struct Retry {
    wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { wait: FIRST }
    }
}

impl Retry {
    /// The wait after a connection that was live for so long, none if it never was. `random`, from 0 to 1, keeps many
    /// from coming back in step.
    pub fn after(&mut self, live: Option<Duration>, random: f64) -> Duration {
        if live.is_some_and(|live| live >= GOOD) {
            self.wait = FIRST;
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST);
        wait.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

/// Whether a connection moves.
#[derive(Debug)]
pub struct Flow {
    passed: u64,
    /// Since when something waits and nothing passes.
    since: Option<Instant>,
}

impl Flow {
    /// A connection that begins.
    pub fn new() -> Self {
        Self {
            passed: 0,
            since: None,
        }
    }

    /// Looks at it: so many buffers have passed, and whether more wait. False once it stands still for too long.
    pub fn moves(&mut self, passed: u64, waiting: bool, now: Instant) -> bool {
        if passed != self.passed || !waiting {
            (self.passed, self.since) = (passed, None);
            return true;
        }
        let since = *self.since.get_or_insert(now);
        now.duration_since(since) < SILENT
    }
}

impl Default for Flow {
    fn default() -> Self {
        Self::new()
    }
}

/// How long [`Flow`] waits.
pub const PATIENCE: Duration = SILENT;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_grow_until_a_connection_was_good() {
        let mut retry = Retry::default();
        let waits: Vec<_> = (0..7).map(|_| retry.after(None, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(retry.after(Some(2 * SECOND), 1.0), 30 * SECOND);
        assert_eq!(retry.after(Some(60 * SECOND), 1.0), SECOND);
        assert_eq!(retry.after(None, 0.0), SECOND, "half of two");
    }

    #[test]
    fn a_server_that_takes_nothing_is_gone_but_only_where_something_waits() {
        let (mut flow, start) = (Flow::new(), Instant::now());
        assert!(flow.moves(0, true, start));
        assert!(flow.moves(0, true, start + 9 * SECOND));
        assert!(flow.moves(1, true, start + 11 * SECOND));
        assert!(flow.moves(1, true, start + 12 * SECOND));
        assert!(!flow.moves(1, true, start + 22 * SECOND));
        let mut flow = Flow::new();
        for second in 0..60 {
            assert!(flow.moves(0, false, start + second * SECOND));
        }
    }
}
