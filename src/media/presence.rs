//! Whether a source gives frames, and what is to be done where it does not: something else is sent meanwhile, and the
//! device is opened again and again. Pure; time is an argument.

use std::time::{Duration, Instant};

/// A source that gives nothing for so long is taken as gone: short enough that people who look on see what stands in
/// within half a second, long enough for a camera that is slow in the dark.
const PATIENCE: Duration = Duration::from_millis(300);
/// The same for a source that looks for its device itself, over a network that hesitates now and then.
const PATIENCE_KEPT: Duration = Duration::from_secs(1);
/// The same for a source that gives few frames: so many of their intervals.
const INTERVALS: u32 = 3;
/// Longer than this is no interval but an absence.
const LONGEST_INTERVAL: Duration = Duration::from_secs(2);
/// A device opens and settles before its first frame.
const OPENING: Duration = Duration::from_secs(5);
/// A device that is silent for so long will not come again by itself: it is closed.
const GIVE_UP: Duration = Duration::from_secs(3);
/// After the first loss it is tried again so soon; the wait is doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A source that has worked for so long is new again: its next loss is a first one.
const STEADY: Duration = Duration::from_secs(10);
/// Whoever looks as late as this was held up itself: the whole machine was busy.
const HELD_UP: Duration = Duration::from_millis(150);

/// What is to be done after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing has changed.
    Nothing,
    /// The source gives nothing: something else is to be sent. The source is kept: it may come again.
    StandIn,
    /// The source is gone: it is to be closed, and something else to be sent.
    Close,
    /// The source is to be opened again, beside what stands in.
    Open,
    /// The source gives frames again: what stands in is to go.
    Return,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It gives frames, or begins to.
    There { since: Instant },
    /// It gives none and is kept.
    Silent { since: Instant },
    /// It is closed and will be opened then.
    Gone { again: Instant },
    /// It was opened again and has to give its first frame.
    Opening { since: Instant },
}

/// The watch over one source.
#[derive(Debug)]
pub struct Presence {
    /// What lies between two frames, on average over the last few.
    interval: Duration,
    /// It comes again by itself: it is never closed for being silent.
    is_kept: bool,
    state: State,
    frames: u64,
    /// When there was a new frame last.
    moved: Instant,
    looked: Instant,
    wait: Duration,
}

impl Presence {
    /// Begins to watch a source that was just opened. `interval` is the time between two of its frames; where it is longer
    /// in truth, that is learned. One that `is_kept` looks for its device itself.
    pub fn new(interval: Duration, is_kept: bool, now: Instant) -> Self {
        Self {
            interval,
            is_kept,
            state: State::There { since: now },
            frames: 0,
            moved: now,
            looked: now,
            wait: FIRST_WAIT,
        }
    }

    /// Looks at the source: how many frames it has given since it was opened, and whether it has failed. Several times
    /// within the patience, please.
    pub fn look(&mut self, frames: u64, has_failed: bool, now: Instant) -> Act {
        let was_held_up = now.saturating_duration_since(self.looked) > HELD_UP;
        self.looked = now;
        let has_moved = frames > self.frames;
        if has_moved && self.frames > 0 {
            let count = u32::try_from(frames - self.frames).unwrap_or(u32::MAX);
            let interval = now.saturating_duration_since(self.moved) / count;
            self.interval = (self.interval * 3 + interval.min(LONGEST_INTERVAL)) / 4;
        }
        if has_moved || was_held_up {
            self.moved = now;
        }
        self.frames = frames;
        match self.state {
            State::There { .. } | State::Silent { .. } | State::Opening { .. } if has_failed => {
                self.close(now)
            }
            State::There { since } => self.look_at_present(since, now),
            State::Silent { .. } | State::Opening { .. } if has_moved => {
                self.state = State::There { since: now };
                Act::Return
            }
            State::Silent { since } => {
                let is_over = now.saturating_duration_since(since) >= GIVE_UP;
                self.close_if(is_over && !self.is_kept, now)
            }
            State::Opening { since } => {
                let is_over = now.saturating_duration_since(since) >= OPENING;
                self.close_if(is_over && !self.is_kept, now)
            }
            State::Gone { again } if now >= again => {
                self.state = State::Opening { since: now };
                self.frames = 0;
                Act::Open
            }
            State::Gone { .. } => Act::Nothing,
        }
    }

    /// What was to be opened could not be.
    pub fn refused(&mut self, now: Instant) {
        self.close(now);
    }

    /// Whether the source's own frames are sent.
    pub fn is_there(&self) -> bool {
        matches!(self.state, State::There { .. })
    }

    fn look_at_present(&mut self, since: Instant, now: Instant) -> Act {
        if now.saturating_duration_since(since) >= STEADY {
            self.wait = FIRST_WAIT;
        }
        let patience = match (self.frames, self.is_kept) {
            (0, _) => OPENING,
            (_, true) => PATIENCE_KEPT,
            (_, false) => PATIENCE,
        };
        let patience = patience.max(self.interval * INTERVALS);
        if now.saturating_duration_since(self.moved) < patience {
            return Act::Nothing;
        }
        self.state = State::Silent { since: now };
        Act::StandIn
    }

    fn close_if(&mut self, is_over: bool, now: Instant) -> Act {
        if is_over {
            self.close(now)
        } else {
            Act::Nothing
        }
    }

    fn close(&mut self, now: Instant) -> Act {
        self.state = State::Gone {
            again: now + self.wait,
        };
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Act::Close
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(50);
    const INTERVAL: Duration = Duration::from_millis(33);

    /// Looks every 50 ms for so long; gives what is to be done, and when.
    fn watch(
        presence: &mut Presence,
        start: Instant,
        until_ms: u64,
        of: impl Fn(u64) -> (u64, bool),
    ) -> Vec<(u64, Act)> {
        let times = (50..=until_ms).step_by(50);
        let looks = times.map(|ms| {
            let (frames, has_failed) = of(ms);
            let now = start + LOOK * u32::try_from(ms / 50).unwrap();
            (ms, presence.look(frames, has_failed, now))
        });
        looks.filter(|(_, act)| *act != Act::Nothing).collect()
    }

    fn begin(is_kept: bool) -> (Presence, Instant) {
        let now = Instant::now();
        (Presence::new(INTERVAL, is_kept, now), now)
    }

    #[test]
    fn a_source_that_gives_frames_is_left_alone() {
        let (mut presence, start) = begin(false);
        assert_eq!(
            watch(&mut presence, start, 60_000, |ms| (ms / 200, false)),
            []
        );
    }

    #[test]
    fn a_device_that_fails_is_replaced_at_once_and_tried_again_ever_later() {
        let (mut presence, start) = begin(false);
        let mut acts = Vec::new();
        for tick in 1..400u32 {
            let (now, ms) = (start + LOOK * tick, u64::from(tick) * 50);
            match presence.look(u64::from(tick.min(20)), tick == 21, now) {
                Act::Nothing => {}
                act @ Act::Open => {
                    acts.push((ms, act));
                    presence.refused(now);
                }
                act => acts.push((ms, act)),
            }
        }
        let opened = [1550, 2550, 4550, 8550, 13_550, 18_550].map(|ms| (ms, Act::Open));
        assert_eq!(acts[0], (1050, Act::Close));
        assert_eq!(acts[1..], opened);
    }

    #[test]
    fn a_device_that_says_nothing_is_replaced_soon_and_closed_later() {
        let (mut presence, start) = begin(false);
        let acts = watch(&mut presence, start, 5000, |ms| {
            let frames = if ms < 4800 { ms.min(1000) / 50 } else { 0 };
            (frames, false)
        });
        let expected = [(1300, Act::StandIn), (4300, Act::Close), (4800, Act::Open)];
        assert_eq!(acts, expected);
    }

    #[test]
    fn a_source_that_hesitates_comes_back_by_itself() {
        let (mut presence, start) = begin(false);
        let acts = watch(&mut presence, start, 5000, |ms| {
            (if ms < 2000 { ms.min(1000) } else { ms } / 50, false)
        });
        assert_eq!(acts, [(1300, Act::StandIn), (2000, Act::Return)]);
    }

    #[test]
    fn a_source_that_looks_for_its_device_itself_is_never_closed_for_being_silent() {
        let (mut presence, start) = begin(true);
        let acts = watch(&mut presence, start, 60_000, |ms| (ms.min(1000), false));
        assert_eq!(acts, [(2000, Act::StandIn)]);
    }

    #[test]
    fn a_camera_that_is_slower_than_it_should_be_is_learned() {
        let (mut presence, start) = begin(false);
        let acts = watch(&mut presence, start, 60_000, |ms| (ms / 600, false));
        assert!(acts.len() <= 6, "{acts:?}");
        assert!(acts.iter().all(|(ms, _)| *ms < 6000), "{acts:?}");
    }

    #[test]
    fn a_device_that_is_back_takes_over_with_its_first_frame() {
        let (mut presence, start) = begin(false);
        let acts = watch(&mut presence, start, 4000, |ms| match ms {
            ..=1000 => (ms, false),
            1050 => (1000, true),
            1051..=2000 => (0, false),
            _ => (ms - 2000, false),
        });
        let expected = [(1050, Act::Close), (1550, Act::Open), (2050, Act::Return)];
        assert_eq!(acts, expected);
        assert!(presence.is_there());
    }

    #[test]
    fn a_device_may_take_its_time_to_open_but_not_for_ever() {
        let (mut presence, start) = begin(false);
        let acts = watch(&mut presence, start, 5000, |_| (0, false));
        assert_eq!(acts, [(5000, Act::StandIn)]);
    }

    #[test]
    fn slow_pictures_have_more_patience() {
        let now = Instant::now();
        let mut presence = Presence::new(Duration::from_secs(1), false, now);
        let acts = watch(&mut presence, now, 60_000, |ms| (ms / 1000, false));
        assert_eq!(acts, []);
    }

    #[test]
    fn a_machine_that_stood_still_blames_no_source() {
        let (mut presence, start) = begin(false);
        assert_eq!(presence.look(5, false, start + LOOK), Act::Nothing);
        let late = start + Duration::from_secs(2);
        assert_eq!(presence.look(5, false, late), Act::Nothing);
        assert_eq!(presence.look(5, false, late + LOOK), Act::Nothing);
    }
}
