//! What really arrives: bytes over time by the receiver's clock, smoothed more the less it differs.

use std::collections::VecDeque;
use std::time::Duration;

use crate::feedback::Arrival;
use crate::history::Reported;
use crate::rate::Rate;

/// A sample is what arrived in this time; the first one is longer.
const WINDOW: f64 = 0.15;
const FIRST_WINDOW: f64 = 0.5;
/// What arrived in this time is recent.
const RECENT: Duration = Duration::from_millis(100);
/// The squared error of a rate that was just measured anew.
const UNSURE: f64 = 50.0;
/// So much less sure it is where it is known to have changed.
const CHANGED: f64 = 200.0;
/// How much less sure the rate is with each sample, in squared kilobits.
const DRIFT: f64 = 5.0;

/// Estimates the acknowledged rate as the mean of a belief that each sample moves (a Kalman filter with a noise that
/// depends on how far the sample is off).
#[derive(Debug, Default)]
pub struct Acknowledged {
    began: Option<i64>,
    bytes: usize,
    belief: Option<Belief>,
    recent: VecDeque<(i64, usize)>,
}

#[derive(Debug, Clone, Copy)]
struct Belief {
    kilobits: f64,
    variance: f64,
}

impl Acknowledged {
    /// Takes what a feedback says.
    pub fn on_reported(&mut self, reported: &[Reported]) {
        for packet in reported {
            if let Some(arrival) = packet.arrival {
                self.on_packet(arrival, packet.bytes);
                self.keep(arrival, packet.bytes);
            }
        }
    }

    /// The rate; `None` until enough arrived.
    pub fn rate(&self) -> Option<Rate> {
        self.belief
            .map(|belief| Rate::from_bits(belief.kilobits * 1000.0))
    }

    /// What arrived in the last moments, unsmoothed; `None` of too little.
    pub fn recent(&self) -> Option<Rate> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        let time = Duration::from_micros(u64::try_from(last.0 - first.0).ok()?);
        if time < RECENT / 2 {
            return None;
        }
        let bytes: usize = self.recent.iter().skip(1).map(|packet| packet.1).sum();
        Rate::of(bytes as f64, time)
    }

    /// What was measured so far counts for little: something else arrives from now on.
    pub fn expect_change(&mut self) {
        if let Some(belief) = &mut self.belief {
            belief.variance += CHANGED;
        }
    }

    /// What was measured so far does not count any more: so much arrives.
    pub fn restart(&mut self, rate: Rate) {
        self.belief = Some(Belief {
            kilobits: rate.kilobits(),
            variance: UNSURE,
        });
        self.began = None;
        self.bytes = 0;
    }

    fn on_packet(&mut self, arrival: Arrival, bytes: usize) {
        let began = *self.began.get_or_insert(arrival.0);
        let elapsed = (arrival.0 - began) as f64 / 1e6;
        let window = self.belief.map_or(FIRST_WINDOW, |_| WINDOW);
        if elapsed < window {
            self.bytes += bytes;
            return;
        }
        let time = Duration::from_secs_f64(elapsed);
        if let Some(sample) = Rate::of(self.bytes as f64, time) {
            self.on_sample(sample.kilobits());
        }
        self.began = Some(arrival.0);
        self.bytes = bytes;
    }

    fn keep(&mut self, arrival: Arrival, bytes: usize) {
        let oldest = arrival.0 - RECENT.as_micros() as i64;
        self.recent.push_back((arrival.0, bytes));
        while self.recent.front().is_some_and(|packet| packet.0 < oldest) {
            self.recent.pop_front();
        }
    }

    fn on_sample(&mut self, sample: f64) {
        let Some(belief) = &mut self.belief else {
            self.belief = Some(Belief {
                kilobits: sample,
                variance: UNSURE,
            });
            return;
        };
        // How far it is off, relative to both: one that is far off is likely an accident, and counts for less.
        let off = 10.0 * (belief.kilobits - sample).abs()
            / (belief.kilobits + sample.min(belief.kilobits)).max(1.0);
        let noise = off * off;
        let predicted = belief.variance + DRIFT;
        belief.kilobits = (noise * belief.kilobits + predicted * sample) / (noise + predicted);
        belief.variance = noise * predicted / (noise + predicted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(acknowledged: &mut Acknowledged, from_ms: i64, count: i64, every_ms: i64) {
        for index in 0..count {
            acknowledged.on_packet(Arrival((from_ms + index * every_ms) * 1000), 1250);
        }
    }

    #[test]
    fn it_is_what_arrives() {
        let mut acknowledged = Acknowledged::default();
        arrive(&mut acknowledged, 0, 40, 10);
        assert_eq!(acknowledged.rate(), None);
        arrive(&mut acknowledged, 400, 60, 10);
        let rate = acknowledged.rate().unwrap().kilobits();
        assert!((rate - 1000.0).abs() < 20.0, "{rate}");
        arrive(&mut acknowledged, 1000, 100, 20);
        let rate = acknowledged.rate().unwrap().kilobits();
        assert!((rate - 500.0).abs() < 50.0, "{rate}");
    }
}
