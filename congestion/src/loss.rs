//! What the loss says: whether the rate may grow, stays or is cut (draft-ietf-rmcat-gcc-02, section 6), where only loss
//! counts that a lower rate would avoid.
//!
//! A radio link loses packets whatever is sent; then sending less helps nobody. So the least loss of the last seconds is
//! taken for the link's own: if it comes from a full queue it goes away when less is sent, and the least is none.

use std::collections::VecDeque;
use std::time::Duration;

use crate::history::Reported;

/// A sample has at least so many packets, and so much time.
const PACKETS: u32 = 40;
const TIME: Duration = Duration::from_millis(250);
/// The least loss of so long is the link's own.
const MEMORY: Duration = Duration::from_secs(6);
/// With less avoidable loss than this the rate may grow, with more than that it is cut.
const LITTLE: f64 = 0.05;
const MUCH: f64 = 0.1;
/// More than this is never taken for the link's own.
const OWN_MOST: f64 = 0.3;
/// What remains of the smoothed loss with each sample.
const SMOOTHING: f64 = 0.6;

/// What the loss says of the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It may grow.
    Grow,
    /// It stays.
    Hold,
    /// It is to be multiplied with this, once.
    Cut(f64),
}

/// Follows the loss.
#[derive(Debug, Default)]
pub struct Loss {
    packets: u32,
    lost: u32,
    began: Option<Duration>,
    smoothed: f64,
    samples: VecDeque<(Duration, f64)>,
    last: f64,
}

impl Loss {
    /// Takes what a feedback says.
    pub fn on_reported(&mut self, reported: &[Reported], now: Duration) -> Verdict {
        let lost = reported.iter().filter(|packet| packet.arrival.is_none());
        self.last = lost.count() as f64 / reported.len().max(1) as f64;
        for packet in reported {
            self.packets += 1;
            self.lost += u32::from(packet.arrival.is_none());
        }
        let began = *self.began.get_or_insert(now);
        if self.packets < PACKETS || now.saturating_sub(began) < TIME {
            return self.standing();
        }
        let sample = f64::from(self.lost) / f64::from(self.packets);
        (self.packets, self.lost, self.began) = (0, 0, Some(now));
        self.smoothed = match self.samples.is_empty() {
            true => sample,
            false => SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * sample,
        };
        self.samples.push_back((now, self.smoothed));
        while self
            .samples
            .front()
            .is_some_and(|sample| sample.0 + MEMORY < now)
        {
            self.samples.pop_front();
        }
        let avoidable = self.avoidable();
        match avoidable > MUCH {
            true => Verdict::Cut(1.0 - 0.5 * avoidable),
            false => self.standing(),
        }
    }

    /// The part of the packets that is lost, 0 to 1, smoothed.
    pub fn fraction(&self) -> f64 {
        self.smoothed
    }

    /// More was lost in the last feedback than the link loses by itself.
    pub fn has_lost(&self) -> bool {
        self.last > self.own() + 0.01
    }

    fn standing(&self) -> Verdict {
        match self.avoidable() > LITTLE {
            true => Verdict::Hold,
            false => Verdict::Grow,
        }
    }

    fn avoidable(&self) -> f64 {
        self.smoothed - self.own()
    }

    /// What the link loses by itself.
    fn own(&self) -> f64 {
        let samples = self.samples.iter().map(|sample| sample.1);
        samples.reduce(f64::min).unwrap_or_default().min(OWN_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::Arrival;

    /// A second of 100 packets, of which every so-manieth is lost.
    fn second(loss: &mut Loss, at: u64, every: usize) -> Vec<Verdict> {
        let packets: Vec<_> = (1..=100)
            .map(|index| Reported {
                sent: Duration::ZERO,
                arrival: (every == 0 || index % every != 0).then_some(Arrival(0)),
                bytes: 1000,
                probe: None,
            })
            .collect();
        let halves = packets.chunks(50).zip([0, 500]);
        halves
            .map(|(half, ms)| loss.on_reported(half, Duration::from_millis(at * 1000 + ms)))
            .collect()
    }

    #[test]
    fn loss_that_was_always_there_does_not_slow_us_down() {
        let mut loss = Loss::default();
        for at in 0..20 {
            for verdict in second(&mut loss, at, 10) {
                assert_eq!(verdict, Verdict::Grow);
            }
        }
        assert!((loss.fraction() - 0.1).abs() < 0.01);
    }

    #[test]
    fn loss_that_comes_is_answered_until_it_proves_to_be_the_links_own() {
        let mut loss = Loss::default();
        for at in 0..5 {
            second(&mut loss, at, 0);
        }
        let verdicts: Vec<_> = (5..8).flat_map(|at| second(&mut loss, at, 4)).collect();
        assert!(
            verdicts
                .iter()
                .any(|verdict| matches!(verdict, Verdict::Cut(_)))
        );
        for at in 8..16 {
            second(&mut loss, at, 4);
        }
        assert_eq!(second(&mut loss, 16, 4), [Verdict::Grow; 2]);
    }
}
