//! Which frames go to one viewer: whole ones, from one encoding at a time, a key frame first. Pure.

use std::time::Duration;

/// Time between frames that would come at the same time, or go back: two encoders hold frames for different times.
const NEXT: Duration = Duration::from_millis(1);

/// One encoding among those that a viewer has had.
pub type Number = u64;

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes to the viewer.
    Passes {
        /// Its time there: later than the one before.
        at: Duration,
        /// The encoding takes over with it.
        takes_over: bool,
    },
    /// It does not.
    Dropped {
        /// A key frame is needed before anything goes on.
        needs_key_frame: bool,
    },
}

/// Decides frame by frame.
#[derive(Debug, Default)]
pub struct Gate {
    current: Option<Number>,
    next: Option<Number>,
    /// Frames were dropped: without a key frame the next ones cannot be decoded.
    is_broken: bool,
    last: Option<Duration>,
    dropped: u64,
}

impl Gate {
    /// Another encoding takes over with its next key frame.
    pub fn turn_to(&mut self, next: Number) {
        self.next = Some(next);
    }

    /// The present encoding stays.
    pub fn stay(&mut self) {
        self.next = None;
    }

    /// Nothing passes any more.
    pub fn close(&mut self) {
        self.current = None;
        self.next = None;
    }

    /// Frames dropped because too much was waiting.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// A frame comes. `is_full`: what waits for the viewer's link is enough.
    pub fn on_frame(
        &mut self,
        of: Number,
        is_key_frame: bool,
        time: Duration,
        is_full: bool,
    ) -> Fate {
        let takes_over = self.next == Some(of);
        if !takes_over && self.current != Some(of) {
            return Fate::Dropped {
                needs_key_frame: false,
            };
        }
        self.dropped += u64::from(is_full);
        if !is_key_frame && (takes_over || self.is_broken) {
            // Nobody needs a key frame that would not fit.
            return Fate::Dropped {
                needs_key_frame: !is_full,
            };
        }
        if is_full {
            self.is_broken |= !takes_over;
            return Fate::Dropped {
                needs_key_frame: false,
            };
        }
        if takes_over {
            self.current = Some(of);
            self.next = None;
        }
        self.is_broken = false;
        let at = self.last.map_or(time, |last| time.max(last + NEXT));
        self.last = Some(at);
        Fate::Passes { at, takes_over }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROPPED: Fate = Fate::Dropped {
        needs_key_frame: false,
    };
    const WANTS_KEY: Fate = Fate::Dropped {
        needs_key_frame: true,
    };

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    fn passes(at: u64) -> Fate {
        Fate::Passes {
            at: ms(at),
            takes_over: false,
        }
    }

    fn takes_over(at: u64) -> Fate {
        Fate::Passes {
            at: ms(at),
            takes_over: true,
        }
    }

    #[test]
    fn another_encoding_takes_over_with_its_key_frame_and_the_former_one_plays_until_then() {
        let mut gate = Gate::default();
        gate.turn_to(1);
        assert_eq!(gate.on_frame(1, false, ms(0), false), WANTS_KEY);
        assert_eq!(gate.on_frame(1, true, ms(33), false), takes_over(33));
        gate.turn_to(2);
        assert_eq!(gate.on_frame(2, false, ms(40), false), WANTS_KEY);
        assert_eq!(gate.on_frame(1, false, ms(66), false), passes(66));
        assert_eq!(
            gate.on_frame(2, true, ms(66), false),
            takes_over(67),
            "time does not stand still"
        );
        assert_eq!(gate.on_frame(1, false, ms(99), false), DROPPED);
        assert_eq!(gate.on_frame(2, false, ms(99), false), passes(99));
    }

    #[test]
    fn when_too_much_waits_whole_frames_are_dropped_until_a_key_frame_fits() {
        let mut gate = Gate::default();
        gate.turn_to(1);
        gate.on_frame(1, true, ms(0), false);
        assert_eq!(gate.on_frame(1, false, ms(33), true), DROPPED);
        assert_eq!(gate.on_frame(1, false, ms(66), true), DROPPED);
        assert_eq!(gate.on_frame(1, false, ms(99), false), WANTS_KEY);
        assert_eq!(gate.on_frame(1, true, ms(133), true), DROPPED);
        assert_eq!(gate.on_frame(1, true, ms(166), false), passes(166));
        assert_eq!(gate.on_frame(1, false, ms(199), false), passes(199));
        assert_eq!(gate.dropped(), 3);
    }

    #[test]
    fn a_change_of_mind_leaves_the_present_encoding_playing() {
        let mut gate = Gate::default();
        gate.turn_to(1);
        gate.on_frame(1, true, ms(0), false);
        gate.turn_to(2);
        gate.stay();
        assert_eq!(gate.on_frame(2, true, ms(33), false), DROPPED);
        assert_eq!(gate.on_frame(1, false, ms(33), false), passes(33));
        gate.close();
        assert_eq!(gate.on_frame(1, true, ms(66), false), DROPPED);
    }
}
