//! What a whole recording is told while it is written: pause, go on, begin the next parts. All its writers follow one gate.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Whether frames may be written. Asked by streaming threads for each frame: nothing in it waits.
#[derive(Debug, Default)]
pub struct Gate {
    closed: AtomicBool,
    /// Running time, in nanoseconds, of the last opening: what was captured before is not written.
    opened: AtomicU64,
    /// How often it was opened after a pause.
    turn: AtomicU64,
    /// How often the next parts were asked for.
    splits: AtomicU64,
}

/// The stretch between two pauses that a frame belongs to. Pictures do not build on those of another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn(u64);

impl Gate {
    /// From now on nothing is written.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// What was captured from this running time on is written again.
    pub fn open(&self, now: Duration) {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.opened.store(now, Ordering::SeqCst);
        self.turn.fetch_add(1, Ordering::SeqCst);
        self.closed.store(false, Ordering::SeqCst);
    }

    /// Nothing is written at the moment.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Whether a frame that comes now and was captured at this running time may be written, and in which turn.
    pub fn admit(&self, captured: Duration) -> Option<Turn> {
        let turn = Turn(self.turn.load(Ordering::SeqCst));
        let opened = Duration::from_nanos(self.opened.load(Ordering::SeqCst));
        (!self.is_closed() && captured >= opened).then_some(turn)
    }

    /// Every writer is to begin the next part.
    pub fn split(&self) {
        self.splits.fetch_add(1, Ordering::SeqCst);
    }

    /// How often the next parts were asked for.
    pub fn splits(&self) -> u64 {
        self.splits.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nothing_passes_a_closed_gate_nor_what_was_captured_before_it_opened() {
        let gate = Gate::default();
        let first = gate.admit(Duration::ZERO).unwrap();
        gate.close();
        assert_eq!(gate.admit(5 * SECOND), None);
        gate.open(9 * SECOND);
        assert_eq!(gate.admit(8 * SECOND), None);
        assert!(gate.admit(9 * SECOND).unwrap() > first);
    }
}
