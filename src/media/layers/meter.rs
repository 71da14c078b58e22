//! What one layer of a picture is, by its frames: its size, its rate, and whether it still comes. Pure.
//!
//! Descriptions do not say it, and senders change it: a browser makes fewer, smaller or no pictures of a layer that its link
//! or its processor has no room for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::pipeline::{Bitrate, Tier};

/// Rates are those of so many seconds.
const SECONDS: usize = 5;
const SECOND: Duration = Duration::from_secs(1);
/// A first second's rate is not told by its first frames alone.
const FIRST: Duration = Duration::from_millis(300);
/// A layer without frames for so long has stopped, where others have gone on; or for so many times its usual interval.
const QUIET: Duration = Duration::from_millis(600);
const INTERVALS: u32 = 4;
/// The share that the newest interval has in the usual one, as one over this.
const SMOOTHED: u32 = 8;
/// One that comes again has to do so for this long.
const SETTLES: Duration = Duration::from_secs(1);

/// Frames of one layer, measured.
#[derive(Debug, Default)]
pub struct Meter {
    size: Option<(u32, u32)>,
    /// Whole seconds with frames, the newest last, and the one that lasts.
    seconds: VecDeque<Second>,
    now: Option<Second>,
    last: Option<Instant>,
    usual: Duration,
    /// When it came again after it had stopped.
    again: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Second {
    began: Instant,
    bytes: usize,
    frames: u32,
}

impl Meter {
    /// A frame came; `size` is what its caps say.
    pub fn on_frame(&mut self, bytes: usize, size: Option<(u32, u32)>, now: Instant) {
        self.size = size.or(self.size);
        if let Some(last) = self.last.replace(now) {
            let interval = now.saturating_duration_since(last);
            if interval >= self.patience() {
                self.again = Some(now);
                self.usual = Duration::ZERO;
            } else {
                self.usual = (self.usual * (SMOOTHED - 1) + interval) / SMOOTHED;
            }
        }
        let is_over = |second: &Second| now.saturating_duration_since(second.began) >= SECOND;
        if let Some(over) = self.now.take_if(|second| is_over(second)) {
            self.seconds.push_back(over);
            if self.seconds.len() > SECONDS {
                self.seconds.pop_front();
            }
        }
        let second = self.now.get_or_insert(Second {
            began: now,
            bytes: 0,
            frames: 0,
        });
        second.bytes += bytes;
        second.frames += 1;
    }

    /// When its last frame came.
    pub fn last(&self) -> Option<Instant> {
        self.last
    }

    /// Whether it comes, when the newest frame of all layers came at that time.
    pub fn comes(&self, newest: Instant) -> bool {
        let is_settled = |again| newest.saturating_duration_since(again) >= SETTLES;
        let quiet = |last| newest.saturating_duration_since(last);
        self.last.is_some_and(|last| quiet(last) < self.patience())
            && self.again.is_none_or(is_settled)
    }

    /// Size, pictures a second and rate; none before both are known.
    pub fn tier(&self, now: Instant) -> Option<Tier> {
        let (width, height) = self.size?;
        let (bytes, frames, time) = match (self.seconds.is_empty(), self.now) {
            (true, Some(first)) => {
                let time = now.saturating_duration_since(first.began);
                (first.bytes, first.frames, time)
            }
            _ => {
                let bytes = self.seconds.iter().map(|second| second.bytes).sum();
                let frames = self.seconds.iter().map(|second| second.frames).sum();
                let count = u32::try_from(self.seconds.len()).unwrap_or(u32::MAX);
                (bytes, frames, SECOND * count)
            }
        };
        if time < FIRST {
            return None;
        }
        let bits = bytes as f64 * 8.0 / time.as_secs_f64();
        let framerate = f64::from(frames) / time.as_secs_f64();
        Some(Tier {
            width,
            height,
            framerate: (framerate.round() as u32).max(1),
            bitrate: Bitrate {
                bits_per_second: bits as u32,
            },
        })
    }

    fn patience(&self) -> Duration {
        QUIET.max(self.usual * INTERVALS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// 25 frames a second of this size, from one millisecond to another.
    fn play(meter: &mut Meter, bytes: usize, start: Instant, (from, to): (u32, u32)) {
        for ms in (from..to).step_by(40) {
            meter.on_frame(bytes, Some((320, 180)), start + ms * MS);
        }
    }

    #[test]
    fn a_layer_is_what_its_frames_say() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        assert_eq!(meter.tier(start), None);
        play(&mut meter, 1000, start, (0, 400));
        let first = meter.tier(start + 400 * MS).unwrap();
        assert_eq!((first.width, first.height), (320, 180));
        assert_eq!(first.bitrate.kilobits(), 200);
        play(&mut meter, 1000, start, (400, 2000));
        play(&mut meter, 500, start, (2000, 9000));
        let then = meter.tier(start + 9000 * MS).unwrap();
        assert_eq!((then.framerate, then.bitrate.kilobits()), (25, 100));
    }

    #[test]
    fn a_layer_has_stopped_when_others_go_on_and_comes_again_when_that_lasts() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        play(&mut meter, 1000, start, (0, 2000));
        assert!(meter.comes(start + 1960 * MS));
        assert!(meter.comes(start + 2500 * MS));
        assert!(!meter.comes(start + 2600 * MS));
        play(&mut meter, 1000, start, (5000, 5900));
        assert!(!meter.comes(start + 5880 * MS), "that may be a moment");
        play(&mut meter, 1000, start, (5900, 6100));
        assert!(meter.comes(start + 6080 * MS));
    }

    #[test]
    fn a_slow_layer_has_not_stopped() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        for frame in 0..40 {
            meter.on_frame(1000, Some((320, 180)), start + frame * 500 * MS);
        }
        assert!(meter.comes(start + (39 * 500 + 900) * MS));
    }
}
