//! How long packets wait on the way, over the shortest time that was seen lately.

use std::collections::VecDeque;
use std::time::Duration;

use crate::history::Reported;

/// The shortest way of so long counts: clocks drift, and routes change.
const MEMORY: Duration = Duration::from_secs(20);
/// It is kept for each of these.
const SLOT: Duration = Duration::from_secs(1);
/// A queue that becomes as short as this is empty now and then, so it is our own doing when it grows.
const EMPTY: Duration = Duration::from_millis(15);
/// One that did not become empty for so long is filled by somebody else.
const OTHERS: Duration = Duration::from_secs(3);

/// Follows the one-way delays, whose zero is nobody's.
#[derive(Debug, Default)]
pub struct Queue {
    /// The shortest delay in each second, in microseconds.
    shortest: VecDeque<(Duration, i64)>,
    now: Duration,
    peak: Duration,
    least: Duration,
    empty_at: Option<Duration>,
    first_at: Option<Duration>,
    keeps: bool,
}

impl Queue {
    /// Takes what a feedback says.
    pub fn on_reported(&mut self, reported: &[Reported], now: Duration) {
        let delays = || {
            reported.iter().filter_map(|packet| {
                let sent = i64::try_from(packet.sent.as_micros()).ok()?;
                Some(packet.arrival?.0 - sent)
            })
        };
        let (Some(least), Some(most), Some(last)) =
            (delays().min(), delays().max(), delays().next_back())
        else {
            return;
        };
        self.first_at.get_or_insert(now);
        self.keep(least, now);
        let shortest = self
            .shortest
            .iter()
            .map(|slot| slot.1)
            .min()
            .unwrap_or(least);
        let over = |delay: i64| Duration::from_micros(u64::try_from(delay - shortest).unwrap_or(0));
        self.now = over(last);
        self.peak = over(most);
        self.least = over(least);
        if over(least) <= EMPTY {
            self.empty_at = Some(now);
        }
    }

    /// Whether the shortest way is kept however old it is: while somebody else fills the queue, none is shorter.
    pub fn keep_shortest(&mut self, keeps: bool) {
        self.keeps = keeps;
    }

    /// What the newest packet waited.
    pub fn delay(&self) -> Duration {
        self.now
    }

    /// The most that a packet of the last feedback waited.
    pub fn peak(&self) -> Duration {
        self.peak
    }

    /// The least that one of them waited.
    pub fn least(&self) -> Duration {
        self.least
    }

    /// Whether it became empty just now.
    pub fn is_empty(&self, now: Duration) -> bool {
        self.empty_at == Some(now)
    }

    /// It has not become empty for long, as it does when somebody else fills it.
    pub fn is_others(&self, now: Duration) -> bool {
        let empty = self.empty_at.or(self.first_at);
        empty.is_some_and(|empty| now.saturating_sub(empty) > OTHERS)
    }

    /// How long a packet that arrived waited.
    pub fn wait_of(&self, packet: &Reported) -> Option<Duration> {
        let sent = i64::try_from(packet.sent.as_micros()).ok()?;
        let shortest = self.shortest.iter().map(|slot| slot.1).min()?;
        let over = packet.arrival?.0 - sent - shortest;
        Some(Duration::from_micros(u64::try_from(over).unwrap_or(0)))
    }

    fn keep(&mut self, delay: i64, now: Duration) {
        let is_old = |slot: &(Duration, i64)| slot.0 + MEMORY < now;
        while !self.keeps && self.shortest.front().is_some_and(is_old) {
            self.shortest.pop_front();
        }
        match self.shortest.back_mut() {
            Some(slot) if now < slot.0 + SLOT => slot.1 = slot.1.min(delay),
            Some(_) | None => self.shortest.push_back((now, delay)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::Arrival;

    fn packet(sent_ms: u64, way_ms: i64) -> Reported {
        Reported {
            sent: Duration::from_millis(sent_ms),
            arrival: Some(Arrival((sent_ms as i64 + way_ms) * 1000)),
            bytes: 1000,
            probe: None,
        }
    }

    #[test]
    fn what_is_longer_than_the_shortest_way_is_waiting() {
        let mut queue = Queue::default();
        let at = Duration::from_secs;
        queue.on_reported(
            &[packet(0, -500), packet(10, -420), packet(20, -440)],
            at(1),
        );
        assert_eq!(queue.delay(), Duration::from_millis(60));
        assert_eq!(queue.peak(), Duration::from_millis(80));
        assert!(!queue.is_others(at(3)));
        queue.on_reported(&[packet(5_000, -400)], at(6));
        assert!(queue.is_others(at(6)));
        // The way itself became longer: after a while that is the shortest.
        queue.on_reported(&[packet(25_000, -400)], at(26));
        assert_eq!(queue.delay(), Duration::ZERO);
    }
}
