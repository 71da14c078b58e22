//! A model of an encoder: frames of varying size around a rate that it follows late, key frames, and a most that it makes.

use std::collections::VecDeque;
use std::time::Duration;

use attache_congestion::Rate;

use crate::link::Chance;

/// From a new rate to frames that have it.
const REACTION: Duration = Duration::from_millis(100);
/// A key frame is so many times as large.
const KEY_FRAME: f64 = 5.0;
/// Frames differ from the mean by up to this part.
const VARIES: f64 = 0.3;

pub struct Encoder {
    chance: Chance,
    most: Rate,
    rate: Rate,
    asked: VecDeque<(Duration, Rate)>,
    next: Duration,
    frames: u64,
    /// What a key frame took too much, paid back over the next frames.
    debt: f64,
}

impl Encoder {
    pub fn new(start: Rate, most: Rate, seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            most,
            rate: start.min(most),
            asked: VecDeque::new(),
            next: Duration::ZERO,
            frames: 0,
            debt: 0.0,
        }
    }

    /// The next frame is a key frame, and has this rate already.
    pub fn begin_anew(&mut self, rate: Rate) {
        self.rate = rate.min(self.most);
        self.asked.clear();
        self.frames = 0;
    }

    pub fn ask(&mut self, rate: Rate, now: Duration) {
        self.asked.push_back((now + REACTION, rate.min(self.most)));
    }

    /// The size of the frame that is due.
    pub fn frame(&mut self, now: Duration) -> Option<usize> {
        if now < self.next {
            return None;
        }
        let interval = Duration::from_micros(33_333);
        self.next += interval;
        while self.asked.front().is_some_and(|(at, _)| *at <= now) {
            self.rate = self.asked.pop_front().expect("it is there").1;
        }
        let mean = self.rate.bytes_in(interval);
        self.frames += 1;
        if self.frames == 1 {
            self.debt = mean * (KEY_FRAME - 1.0);
            return Some((mean * KEY_FRAME) as usize);
        }
        let back = self.debt.min(mean * 0.2);
        self.debt -= back;
        let varied = 1.0 + VARIES * (2.0 * self.chance.next() - 1.0);
        Some(((mean - back) * varied) as usize)
    }
}
