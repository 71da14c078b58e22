//! A link with a rate that changes, a queue and loss, in virtual time.

use std::collections::VecDeque;
use std::time::Duration;

use attache_congestion::Rate;

/// Numbers that look like chance and are the same in each run (xorshift64*).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// From 0 to 1.
    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What travels.
#[derive(Debug, Clone, Copy)]
pub struct Parcel {
    /// Whose it is.
    pub flow: usize,
    /// Its number in that flow.
    pub sequence: u64,
    /// Its size on the link.
    pub bytes: usize,
}

/// How a link is.
pub struct Nature {
    /// From these times on, its rate.
    pub rates: Vec<(Duration, Rate)>,
    /// What its queue holds, at the rate of the moment.
    pub queue: Duration,
    /// An idle link saves so many bytes up, and lets them through at once: as shapers with a bucket of tokens do.
    pub burst: usize,
    /// From its end to the receiver, and back.
    pub propagation: Duration,
    /// The part of the packets that is lost by chance.
    pub loss: f64,
}

pub struct Link {
    nature: Nature,
    chance: Chance,
    waiting: VecDeque<Parcel>,
    waiting_bytes: usize,
    credit: f64,
    /// With when they arrive.
    travelling: VecDeque<(Duration, Parcel)>,
    at: Duration,
}

impl Link {
    pub fn new(nature: Nature) -> Self {
        Self {
            nature,
            chance: Chance::new(7),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            credit: 0.0,
            travelling: VecDeque::new(),
            at: Duration::ZERO,
        }
    }

    pub fn rate(&self, now: Duration) -> Rate {
        let mut rates = self.nature.rates.iter();
        let current = rates.rfind(|(from, _)| *from <= now);
        current.expect("a rate from the beginning on").1
    }

    pub fn propagation(&self) -> Duration {
        self.nature.propagation
    }

    /// How long a packet that comes now waits.
    pub fn delay(&self, now: Duration) -> Duration {
        self.rate(now).time_for(self.waiting_bytes as f64)
    }

    /// Takes a packet; false if the queue is full.
    pub fn push(&mut self, parcel: Parcel, now: Duration) -> bool {
        let limit = self.rate(now).bytes_in(self.nature.queue);
        if (self.waiting_bytes + parcel.bytes) as f64 > limit {
            return false;
        }
        self.waiting_bytes += parcel.bytes;
        self.waiting.push_back(parcel);
        true
    }

    /// What arrives up to now.
    pub fn arrivals(&mut self, now: Duration) -> Vec<(Duration, Parcel)> {
        self.credit += self.rate(now).bytes_in(now - self.at);
        self.at = now;
        while let Some(first) = self.waiting.front() {
            if self.credit < first.bytes as f64 {
                break;
            }
            self.credit -= first.bytes as f64;
            self.waiting_bytes -= first.bytes;
            let parcel = self.waiting.pop_front().expect("it is there");
            if self.chance.next() >= self.nature.loss {
                self.travelling
                    .push_back((now + self.nature.propagation, parcel));
            }
        }
        if self.waiting.is_empty() {
            self.credit = self.credit.min(self.nature.burst as f64);
        }
        let count = self
            .travelling
            .iter()
            .take_while(|(at, _)| *at <= now)
            .count();
        self.travelling.drain(..count).collect()
    }
}
