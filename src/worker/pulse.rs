//! Whether a worker gets on: what has to move says so, and a heartbeat tells the supervisor. Pure.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the job itself may be still: it looks around four times a second, but for a peer that hangs while it is made.
const JOB_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to open devices and prove encoders.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a source may give no frame. Devices have watchers of their own, which are quicker.
const MEDIA_LIMIT: Duration = Duration::from_secs(20);

/// Shared by the job, which moves it, and the heartbeat, which reads it.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    begun: bool,
    /// It finishes its files, which takes as long as it takes.
    ending: bool,
    moved: Instant,
    /// What a source has given so far, and since when it is that much.
    frames: Option<(u64, Instant)>,
}

impl Pulse {
    /// A job that begins now.
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(State {
            begun: false,
            ending: false,
            moved: now,
            frames: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it can be half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job looked around. `frames`: how many its source has given, where it has one that always gives some.
    pub fn moved(&self, frames: Option<u64>, now: Instant) {
        let mut state = self.state();
        state.begun = true;
        state.moved = now;
        state.frames = match (frames, state.frames) {
            (Some(count), Some((known, since))) if count == known => Some((known, since)),
            (Some(count), _) => Some((count, now)),
            (None, _) => None,
        };
    }

    /// The job is over and tidies up.
    pub fn ends(&self) {
        self.state().ending = true;
    }

    /// What does not move although it should.
    pub fn stalled(&self, now: Instant) -> Option<String> {
        let state = self.state();
        if state.ending {
            return None;
        }
        let still = now.saturating_duration_since(state.moved);
        let limit = if state.begun { JOB_LIMIT } else { START_LIMIT };
        if still > limit {
            return Some(format!("the job has not moved for {} s", still.as_secs()));
        }
        let (_, since) = state.frames?;
        let still = now.saturating_duration_since(since);
        let seconds = still.as_secs();
        (still > MEDIA_LIMIT).then(|| format!("no frame was captured for {seconds} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_job_that_looks_around_is_well_and_one_that_does_not_is_stalled() {
        let now = Instant::now();
        let pulse = Pulse::new(now);
        assert_eq!(pulse.stalled(now + START_LIMIT), None);
        assert!(pulse.stalled(now + START_LIMIT + SECOND).is_some());
        pulse.moved(None, now);
        assert_eq!(pulse.stalled(now + JOB_LIMIT), None);
        let found = pulse.stalled(now + JOB_LIMIT + SECOND).unwrap();
        assert_eq!(found, "the job has not moved for 31 s");
        pulse.ends();
        assert_eq!(pulse.stalled(now + 100 * JOB_LIMIT), None);
    }

    #[test]
    fn a_source_that_gives_no_frames_is_stalled_though_the_job_moves() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        let mut now = start;
        for count in 0..60 {
            now += SECOND;
            pulse.moved(Some(count), now);
            assert_eq!(pulse.stalled(now), None);
        }
        for _ in 0..=MEDIA_LIMIT.as_secs() {
            assert_eq!(pulse.stalled(now), None);
            now += SECOND;
            pulse.moved(Some(59), now);
        }
        assert_eq!(
            pulse.stalled(now).unwrap(),
            "no frame was captured for 21 s"
        );
        pulse.moved(Some(60), now);
        assert_eq!(pulse.stalled(now), None);
        pulse.moved(None, now);
        assert_eq!(pulse.stalled(now + SECOND), None);
    }
}
