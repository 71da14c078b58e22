//! What the one encoder of sound does for all its listeners. Pure.
//!
//! There is one for all: Opus is cheap to send and dear to have twice, for a listener with a good link hardly hears
//! the difference between 48 and 24 kb/s of speech, while one with a bad link hears each gap. So the listener whose
//! link is worst decides, unless it is so bad that nothing helps.

use std::time::{Duration, Instant};

use crate::pipeline::Bitrate;
use crate::pipeline::settings::EXPECTED_LOSS;

/// What a listener's link tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// What it carries in all.
    pub carries: Bitrate,
    /// The part of its packets that is lost, 0 to 1.
    pub loss: f64,
}

/// How sound is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// What the encoder aims at.
    pub bitrate: Bitrate,
    /// The loss that redundancy is written for (RFC 6716 2.1.7), in percent; 0: none.
    pub expected_loss: u32,
    /// Silence is not sent (RFC 6716 2.1.9).
    pub is_silence_left_out: bool,
}

/// Headers of RTP, UDP, IP and SRTP at 50 packets a second.
const HEADERS: u32 = 28_000;
/// Of what a link carries, sound alone takes this part at most.
const PART: f64 = 0.8;
/// Speech is good from here on (RFC 6716 2.1.1), and understood down to here.
const LEAST: u32 = 16_000;
/// A link that carries less than this carries nothing: it does not decide for others.
const NOTHING: u32 = 20_000;
/// Below this, silence is worth leaving out.
const SCARCE: u32 = 80_000;
/// More loss than this is not made up for by redundancy.
const MOST_LOSS: f64 = 0.3;
/// Loss is rounded up to steps of so many percent.
const STEP: f64 = 5.0;
/// Concealment does for less than this.
const HARDLY_ANY: f64 = 0.005;
/// What is better has to last for so long before it counts.
const LASTS: Duration = Duration::from_secs(10);

/// Decides for the encoder of sound.
#[derive(Debug)]
pub struct SoundPolicy {
    wanted: Bitrate,
    bitrate: Cautious<Bitrate>,
    expected_loss: Cautious<u32>,
    is_silence_left_out: Cautious<bool>,
}

/// A value that becomes worse at once, and better when that has lasted.
#[derive(Debug)]
struct Cautious<T> {
    now: T,
    worse_of: fn(T, T) -> T,
    /// Since when better would do, and the worst of what would have done.
    better: Option<(Instant, T)>,
}

impl<T: Copy + PartialEq> Cautious<T> {
    fn new(now: T, worse_of: fn(T, T) -> T) -> Self {
        Self {
            now,
            worse_of,
            better: None,
        }
    }

    fn look(&mut self, needed: T, now: Instant) -> T {
        let worse = (self.worse_of)(needed, self.now);
        if worse == needed {
            self.now = needed;
            self.better = None;
            return needed;
        }
        let (since, worst) = self.better.unwrap_or((now, needed));
        let worst = (self.worse_of)(worst, needed);
        self.better = Some((since, worst));
        if now.saturating_duration_since(since) >= LASTS {
            self.now = worst;
            self.better = None;
        }
        self.now
    }
}

impl SoundPolicy {
    /// As the description says, until links are known.
    pub fn new(wanted: Bitrate) -> Self {
        Self {
            wanted,
            bitrate: Cautious::new(wanted, Ord::min),
            expected_loss: Cautious::new(EXPECTED_LOSS, Ord::max),
            is_silence_left_out: Cautious::new(false, Ord::max),
        }
    }

    /// Decides by the links that are known: worse at once, better when that has lasted.
    pub fn look(&mut self, ways: impl Iterator<Item = Way>, now: Instant) -> Sound {
        let ways = ways.filter(|way| way.carries.bits_per_second >= NOTHING);
        let mut needed = self.now();
        if let Some(worst) = ways.map(|way| self.needed(way)).reduce(worse_of) {
            needed = worst;
        }
        Sound {
            bitrate: self.bitrate.look(needed.bitrate, now),
            expected_loss: self.expected_loss.look(needed.expected_loss, now),
            is_silence_left_out: self
                .is_silence_left_out
                .look(needed.is_silence_left_out, now),
        }
    }

    /// What the description wants.
    pub fn wanted(&self) -> Bitrate {
        self.wanted
    }

    fn now(&self) -> Sound {
        Sound {
            bitrate: self.bitrate.now,
            expected_loss: self.expected_loss.now,
            is_silence_left_out: self.is_silence_left_out.now,
        }
    }

    /// What one listener needs.
    fn needed(&self, way: Way) -> Sound {
        let carries = way.carries.bits_per_second;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "less than the u32 it is made of"
        )]
        let room = (f64::from(carries) * PART) as u32;
        let room = room.saturating_sub(HEADERS).max(LEAST);
        let loss = if way.loss < HARDLY_ANY {
            0.0
        } else {
            way.loss.min(MOST_LOSS)
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a percentage"
        )]
        let expected_loss = ((loss * 100.0 / STEP).ceil() * STEP) as u32;
        Sound {
            bitrate: self.wanted.min(Bitrate {
                bits_per_second: room,
            }),
            expected_loss,
            is_silence_left_out: carries < SCARCE,
        }
    }
}

/// What serves both.
fn worse_of(one: Sound, other: Sound) -> Sound {
    Sound {
        bitrate: one.bitrate.min(other.bitrate),
        expected_loss: one.expected_loss.max(other.expected_loss),
        is_silence_left_out: one.is_silence_left_out || other.is_silence_left_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Bitrate = Bitrate {
        bits_per_second: 48_000,
    };

    fn way(kilobits: u32, loss: f64) -> Way {
        Way {
            carries: Bitrate::from_kilobits(kilobits),
            loss,
        }
    }

    /// After `seconds` of the same links.
    fn after(policy: &mut SoundPolicy, ways: &[Way], start: Instant, seconds: u64) -> Sound {
        for second in 0..seconds {
            policy.look(ways.iter().copied(), start + Duration::from_secs(second));
        }
        policy.look(ways.iter().copied(), start + Duration::from_secs(seconds))
    }

    #[test]
    fn redundancy_comes_with_loss_at_once_and_goes_when_the_loss_has_been_gone() {
        let (mut policy, start) = (SoundPolicy::new(WANTED), Instant::now());
        assert_eq!(after(&mut policy, &[], start, 0).expected_loss, 10);
        assert_eq!(
            after(&mut policy, &[way(2000, 0.0)], start, 5).expected_loss,
            10
        );
        assert_eq!(
            after(&mut policy, &[way(2000, 0.0)], start, 11).expected_loss,
            0
        );
        let lossy = [way(2000, 0.0), way(2000, 0.12)];
        assert_eq!(after(&mut policy, &lossy, start, 0).expected_loss, 15);
        assert_eq!(
            after(&mut policy, &[way(2000, 0.6)], start, 0).expected_loss,
            30
        );
    }

    #[test]
    fn the_worst_link_decides_unless_nothing_helps_it() {
        let (mut policy, start) = (SoundPolicy::new(WANTED), Instant::now());
        let sound = after(&mut policy, &[way(2000, 0.0), way(70, 0.0)], start, 0);
        assert_eq!(
            (sound.bitrate.kilobits(), sound.is_silence_left_out),
            (28, true)
        );
        let mut policy = SoundPolicy::new(WANTED);
        let sound = after(&mut policy, &[way(2000, 0.0), way(10, 0.9)], start, 12);
        assert_eq!((sound.bitrate, sound.expected_loss), (WANTED, 0));
    }

    #[test]
    fn the_rate_comes_back_once_the_link_has_been_better_for_a_while() {
        let (mut policy, start) = (SoundPolicy::new(WANTED), Instant::now());
        after(&mut policy, &[way(50, 0.0)], start, 0);
        assert_eq!(
            after(&mut policy, &[way(500, 0.0)], start, 9)
                .bitrate
                .kilobits(),
            16
        );
        let sound = after(&mut policy, &[way(500, 0.0)], start, 10);
        assert_eq!((sound.bitrate, sound.is_silence_left_out), (WANTED, false));
    }
}
