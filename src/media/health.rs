//! Whether an encoder keeps up: frames given and made go in, what is wrong comes out. Pure; time is an argument.

use std::time::{Duration, Instant};

/// Too few frames to judge by.
const FEW: u64 = 3;
/// A new encoder opens its device before its first frame.
const OPENING: Duration = Duration::from_secs(3);
/// Whoever looks as late as this was held up itself: the whole machine was busy.
const HELD_UP: Duration = Duration::from_millis(150);
/// Over this time the frames made are compared with those given.
const WINDOW: Duration = Duration::from_secs(1);
/// An encoder is behind when so many windows in a row lost more than a quarter of the frames.
const WINDOWS: u32 = 3;

/// What is wrong with an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Illness {
    /// It gets frames and makes none.
    Stalled(Duration),
    /// It makes fewer than it gets.
    Behind {
        /// Frames given in the last second.
        given: u64,
        /// Frames made of them.
        made: u64,
    },
}

impl std::fmt::Display for Illness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stalled(time) => write!(f, "it made no frame for {} ms", time.as_millis()),
            Self::Behind { given, made } => {
                write!(f, "it is too slow: {made} of {given} frames in a second")
            }
        }
    }
}

/// Frames so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// That the encoder could have taken.
    pub given: u64,
    /// That it made.
    pub made: u64,
}

/// The watch over one encoder.
#[derive(Debug)]
pub struct Health {
    patience: Duration,
    looked: Instant,
    /// When it last made a frame, or began.
    made: Instant,
    at_made: Count,
    opened: bool,
    window: (Instant, Count),
    slow_windows: u32,
}

impl Health {
    /// Begins to watch; an encoder that makes nothing for `patience` has stalled.
    pub fn new(patience: Duration, count: Count, now: Instant) -> Self {
        Self {
            patience,
            looked: now,
            made: now,
            at_made: count,
            opened: false,
            window: (now, count),
            slow_windows: 0,
        }
    }

    /// Looks at the counters; several times within the patience, please.
    pub fn look(&mut self, count: Count, now: Instant) -> Option<Illness> {
        let held_up = now.saturating_duration_since(self.looked) > HELD_UP;
        self.looked = now;
        if count.made > self.at_made.made {
            self.opened = true;
        }
        if held_up || count.made > self.at_made.made {
            self.made = now;
            self.at_made = count;
        }
        if held_up {
            self.window = (now, count);
        }
        self.stalled(count, now).or_else(|| self.behind(count, now))
    }

    fn stalled(&self, count: Count, now: Instant) -> Option<Illness> {
        let waited = now.saturating_duration_since(self.made);
        let patience = if self.opened {
            self.patience
        } else {
            self.patience.max(OPENING)
        };
        let is_waiting = count.given.saturating_sub(self.at_made.given) >= FEW;
        (is_waiting && waited >= patience).then_some(Illness::Stalled(waited))
    }

    fn behind(&mut self, count: Count, now: Instant) -> Option<Illness> {
        let (since, before) = self.window;
        if now.saturating_duration_since(since) < WINDOW {
            return None;
        }
        self.window = (now, count);
        let given = count.given.saturating_sub(before.given);
        let made = count.made.saturating_sub(before.made);
        let is_slow =
            self.opened && given >= FEW && made.saturating_mul(4) < given.saturating_mul(3);
        self.slow_windows = if is_slow { self.slow_windows + 1 } else { 0 };
        if self.slow_windows < WINDOWS {
            return None;
        }
        self.slow_windows = 0;
        Some(Illness::Behind { given, made })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(250);
    const LOOK: Duration = Duration::from_millis(50);

    /// Looks every 50 ms for so long at an encoder that gets 20 frames a second and makes as many as told.
    fn watch(for_ms: u64, made_of: impl Fn(u64) -> u64) -> Option<(u64, Illness)> {
        let start = Instant::now();
        let mut health = Health::new(PATIENCE, Count::default(), start);
        (1..=for_ms / 50).find_map(|given| {
            let count = Count {
                given,
                made: made_of(given),
            };
            let now = start + LOOK * u32::try_from(given).unwrap();
            health.look(count, now).map(|illness| (given * 50, illness))
        })
    }

    #[test]
    fn an_encoder_that_keeps_up_is_well() {
        assert_eq!(watch(60_000, |given| given.saturating_sub(1)), None);
    }

    #[test]
    fn an_encoder_that_stops_is_found_within_its_patience() {
        let (at, illness) = watch(10_000, |given| given.min(60)).unwrap();
        assert_eq!((at, illness), (3250, Illness::Stalled(PATIENCE)));
    }

    #[test]
    fn an_encoder_may_take_its_time_to_open() {
        assert_eq!(watch(2900, |_| 0), None);
        assert!(watch(3100, |_| 0).is_some());
    }

    #[test]
    fn an_encoder_that_loses_half_of_the_frames_is_behind() {
        let (at, illness) = watch(10_000, |given| given / 2).unwrap();
        assert_eq!(
            illness,
            Illness::Behind {
                given: 20,
                made: 10
            }
        );
        assert_eq!(at, 3000);
    }

    #[test]
    fn a_source_that_stops_is_not_the_encoders_fault() {
        assert_eq!(watch_source_stop(), None);
    }

    fn watch_source_stop() -> Option<Illness> {
        let start = Instant::now();
        let mut health = Health::new(PATIENCE, Count::default(), start);
        (1..400u32).find_map(|tick| {
            let frames = u64::from(tick.min(40));
            let count = Count {
                given: frames,
                made: frames,
            };
            health.look(count, start + LOOK * tick)
        })
    }

    #[test]
    fn a_machine_that_stood_still_blames_nobody() {
        let start = Instant::now();
        let mut health = Health::new(PATIENCE, Count::default(), start);
        let count = |given, made| Count { given, made };
        assert_eq!(health.look(count(5, 5), start + LOOK), None);
        let late = start + Duration::from_secs(2);
        assert_eq!(health.look(count(45, 5), late), None);
        assert_eq!(health.look(count(46, 6), late + LOOK), None);
    }
}
