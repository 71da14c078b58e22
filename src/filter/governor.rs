//! When an engine is too slow for its sound: rests, tries and returns. Pure: times are told, none is read.

use std::time::Duration;

/// The load is smoothed over about this many frames: one long frame is no overload, 150 ms of them are.
const SMOOTHING: f64 = 16.0;
/// Frames on trial before an engine is heard again.
const TRIAL: u32 = 50;
/// A trial has to stay below this part of what is allowed.
const MARGIN: f64 = 0.75;
const SHORTEST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// After so much work without a complaint, the next rest is short again.
const HEALTHY: Duration = Duration::from_secs(60);

/// What an engine is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// It is heard.
    Work,
    /// It runs, to be timed, and is not heard.
    Trial,
    /// It does not run.
    Rest,
}

/// What changed, and why.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// From work to rest: this part of real time was spent, smoothed.
    TooSlow {
        /// Processing time over the sound's time.
        load: f64,
    },
    /// From work to rest: the engine refused a frame or spoiled it.
    Failed {
        /// In its words.
        reason: String,
    },
    /// It is heard again.
    Returned,
}

/// Watches the engines of one stream.
#[derive(Debug)]
pub struct Governor {
    duty: Duty,
    /// Allowed processing time over the sound's time. 0: as much as it takes.
    allowed: f64,
    load: f64,
    /// Frames left of a trial.
    trial: u32,
    /// Left of a rest.
    left: Duration,
    rest: Duration,
    /// How long it worked well.
    healthy: Duration,
}

impl Governor {
    /// `allowed`: processing time over the sound's time; 0 for no limit.
    pub fn new(allowed: f64) -> Self {
        Self {
            duty: Duty::Work,
            allowed,
            load: 0.0,
            trial: 0,
            left: Duration::ZERO,
            rest: SHORTEST_REST,
            healthy: Duration::ZERO,
        }
    }

    /// Another limit from now on.
    pub fn allow(&mut self, allowed: f64) {
        self.allowed = allowed;
    }

    /// What the engine is to do now.
    pub fn duty(&self) -> Duty {
        self.duty
    }

    /// An engine took `took` for a frame of `length`, all channels together.
    pub fn on_frame(&mut self, took: Duration, length: Duration) -> Option<Change> {
        let load = took.as_secs_f64() / length.as_secs_f64().max(1e-9);
        self.load += (load - self.load) / SMOOTHING;
        let is_limited = self.allowed > 0.0;
        match self.duty {
            Duty::Work if is_limited && self.load > self.allowed => {
                let load = self.load;
                self.begin_rest();
                Some(Change::TooSlow { load })
            }
            Duty::Work => {
                self.healthy += length;
                if self.healthy >= HEALTHY {
                    self.rest = SHORTEST_REST;
                }
                None
            }
            Duty::Trial if is_limited && self.load > self.allowed * MARGIN => {
                self.begin_rest();
                None
            }
            Duty::Trial => {
                self.trial = self.trial.saturating_sub(1);
                (self.trial == 0).then(|| {
                    self.duty = Duty::Work;
                    self.healthy = Duration::ZERO;
                    Change::Returned
                })
            }
            Duty::Rest => None,
        }
    }

    /// A frame was refused or spoiled.
    pub fn on_failure(&mut self, reason: &str) -> Option<Change> {
        let was = self.duty;
        self.begin_rest();
        (was == Duty::Work).then(|| Change::Failed {
            reason: reason.to_owned(),
        })
    }

    /// So much sound went by. A rest that is over becomes a trial.
    pub fn on_sound(&mut self, length: Duration) {
        if self.duty != Duty::Rest {
            return;
        }
        self.left = self.left.saturating_sub(length);
        if self.left.is_zero() {
            self.duty = Duty::Trial;
            self.trial = TRIAL;
            self.load = 0.0;
        }
    }

    fn begin_rest(&mut self) {
        self.duty = Duty::Rest;
        self.left = self.rest;
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(10);

    /// Runs an engine of this load for so many frames; gives what changed.
    fn run(governor: &mut Governor, load: f64, frames: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        for _ in 0..frames {
            governor.on_sound(FRAME);
            if governor.duty() != Duty::Rest {
                changes.extend(governor.on_frame(FRAME.mul_f64(load), FRAME));
            }
        }
        changes
    }

    #[test]
    fn one_long_frame_is_no_overload() {
        let mut governor = Governor::new(0.8);
        assert_eq!(run(&mut governor, 0.1, 100), []);
        assert_eq!(run(&mut governor, 8.0, 1), []);
        assert_eq!(run(&mut governor, 0.1, 100), []);
    }

    #[test]
    fn a_slow_engine_rests_after_a_few_frames_and_returns_when_it_is_quick_again() {
        let mut governor = Governor::new(0.8);
        let changes = run(&mut governor, 1.5, 20);
        assert!(matches!(changes[..], [Change::TooSlow { load }] if load > 0.8));
        assert_eq!(governor.duty(), Duty::Rest);
        // Two seconds of rest, then fifty frames that are not heard.
        assert_eq!(run(&mut governor, 0.1, 230), []);
        assert_eq!(governor.duty(), Duty::Trial);
        assert_eq!(run(&mut governor, 0.1, 30), [Change::Returned]);
    }

    #[test]
    fn an_engine_that_stays_slow_is_tried_less_and_less_often() {
        let mut governor = Governor::new(0.8);
        let mut tried = Vec::new();
        let mut was = Duty::Work;
        for frame in 0..20_000 {
            run(&mut governor, 1.5, 1);
            if governor.duty() == Duty::Trial && was == Duty::Rest {
                tried.push(frame);
            }
            was = governor.duty();
        }
        let pauses: Vec<_> = tried
            .windows(2)
            .map(|two| (two[1] - two[0]) / 100)
            .collect();
        assert!(pauses.starts_with(&[4, 8, 16, 32, 60]), "{pauses:?}");
    }

    #[test]
    fn without_a_limit_nothing_is_too_slow() {
        assert_eq!(run(&mut Governor::new(0.0), 50.0, 100), []);
    }

    #[test]
    fn a_failure_is_told_once() {
        let mut governor = Governor::new(0.0);
        let change = governor.on_failure("no");
        assert_eq!(
            change,
            Some(Change::Failed {
                reason: "no".into()
            })
        );
        run(&mut governor, 0.1, 201);
        assert_eq!(governor.duty(), Duty::Trial);
        assert_eq!(governor.on_failure("no"), None);
        assert_eq!(governor.duty(), Duty::Rest);
    }
}
