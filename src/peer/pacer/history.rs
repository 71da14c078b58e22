//! Packets that may be asked for again (RFC 4585 6.2.1), and when each was sent last. Pure: time is passed in.

use std::collections::VecDeque;
use std::time::Duration;

/// Longer than this nobody waits for a picture.
const KEPT: Duration = Duration::from_millis(1500);
/// At most so many packets: a sequence number is found again only among less than half of them all, and memory is dear.
const MOST: usize = 1000;
/// Two requests within this time are one, however short the way is: receivers ask in bursts.
const LEAST_BETWEEN: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Entry<T> {
    sequence: u16,
    packet: T,
    sent: Duration,
    again: Option<Duration>,
}

/// The last packets of a track.
#[derive(Debug)]
pub struct History<T> {
    entries: VecDeque<Entry<T>>,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
        }
    }
}

impl<T> History<T> {
    /// A packet is sent for the first time.
    pub fn keep(&mut self, sequence: u16, packet: T, now: Duration) {
        let is_old = |entry: &Entry<T>| entry.sent + KEPT < now;
        while self.entries.len() >= MOST || self.entries.front().is_some_and(is_old) {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            sequence,
            packet,
            sent: now,
            again: None,
        });
    }

    /// A packet is asked for. It is there to be sent again, unless it was asked for within `way`, what it takes to the other
    /// side and back from here: then it may still arrive.
    pub fn ask(&mut self, sequence: u16, way: Duration, now: Duration) -> Option<&T> {
        let is_it = |entry: &&mut Entry<T>| entry.sequence == sequence;
        let entry = self.entries.iter_mut().rev().find(is_it)?;
        let wait = way.max(LEAST_BETWEEN);
        if entry.again.is_some_and(|again| now < again + wait) {
            return None;
        }
        entry.again = Some(now);
        Some(&entry.packet)
    }

    /// The last of the packets that fit.
    pub fn newest(&self, fits: impl Fn(&T) -> bool) -> Option<&T> {
        let mut packets = self.entries.iter().rev().map(|entry| &entry.packet);
        packets.find(|packet| fits(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_packet_is_sent_again_once_in_a_round_trip_as_long_as_somebody_may_wait_for_it() {
        let mut history = History::default();
        for (number, sequence) in [u16::MAX, 0, 1].into_iter().enumerate() {
            history.keep(sequence, number, 100 * MS);
        }
        assert_eq!(history.ask(0, 50 * MS, 140 * MS), Some(&1));
        assert_eq!(history.ask(0, 50 * MS, 180 * MS), None, "it is on its way");
        assert_eq!(history.ask(u16::MAX, 50 * MS, 180 * MS), Some(&0));
        assert_eq!(history.ask(0, 50 * MS, 190 * MS), Some(&1));
        assert_eq!(history.ask(7, 50 * MS, 190 * MS), None, "never sent");
        assert_eq!(history.newest(|number| *number < 2), Some(&1));
        history.keep(2, 3, 1601 * MS);
        assert_eq!(history.ask(1, 50 * MS, 1601 * MS), None, "too old");
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut history = History::default();
        for sequence in 0..1001 {
            history.keep(sequence, (), Duration::ZERO);
        }
        assert_eq!(history.ask(0, MS, MS), None);
        assert_eq!(history.ask(1, MS, MS), Some(&()));
    }
}
