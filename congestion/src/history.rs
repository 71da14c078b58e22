//! What was sent, until the other side says what became of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::feedback::{Arrival, Feedback};
use crate::probe::ProbeId;
use crate::unwrap::Unwrapper;

/// A packet of which nothing was heard for so long is not heard of any more.
const LONGEST: Duration = Duration::from_secs(10);
/// After so long it is not on its way any more, whatever became of it.
const IN_FLIGHT: Duration = Duration::from_millis(1500);

/// A packet that was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    number: i64,
    at: Duration,
    bytes: usize,
    probe: Option<ProbeId>,
    is_settled: bool,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported {
    /// When it was sent.
    pub sent: Duration,
    /// When it arrived, by the receiver's clock; `None` of one that was lost.
    pub arrival: Option<Arrival>,
    /// Its size, as it was noted.
    pub bytes: usize,
    /// The probe that it belongs to.
    pub probe: Option<ProbeId>,
}

/// The packets of a connection by their transport-wide sequence numbers.
#[derive(Debug, Default)]
pub struct History {
    sent: VecDeque<Sent>,
    numbers: Unwrapper,
    times: ArrivalClock,
    ways: Ways,
    /// One beyond the newest packet of which was heard.
    heard_up_to: i64,
}

impl History {
    /// Notes a packet as it goes out.
    pub fn on_sent(&mut self, sequence: u16, bytes: usize, probe: Option<ProbeId>, at: Duration) {
        let number = self.numbers.next(sequence);
        while self.sent.front().is_some_and(|old| old.at + LONGEST < at) {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            number,
            at,
            bytes,
            probe,
            is_settled: false,
        });
    }

    /// What a feedback says of packets of which nothing was known, in the order in which they were sent. A packet counts
    /// as lost when a feedback leaves it out, one that is told of later included.
    pub fn on_feedback(&mut self, feedback: &Feedback) -> Vec<Reported> {
        let base = self.numbers.near(feedback.base);
        let mut reported = Vec::with_capacity(feedback.arrivals.len());
        for (number, arrival) in (base..).zip(&feedback.arrivals) {
            // Wrapped times go on even where the packet is not known.
            let arrival = arrival.map(|arrival| self.times.unwrap(arrival));
            let Ok(index) = self.sent.binary_search_by_key(&number, |sent| sent.number) else {
                continue;
            };
            let sent = &mut self.sent[index];
            if std::mem::replace(&mut sent.is_settled, true) {
                continue;
            }
            self.heard_up_to = self.heard_up_to.max(number + 1);
            reported.push(Reported {
                sent: sent.at,
                arrival: arrival.map(|arrival| self.ways.mend(arrival, sent.at)),
                bytes: sent.bytes,
                probe: sent.probe,
            });
        }
        while self.sent.front().is_some_and(|sent| sent.is_settled) {
            self.sent.pop_front();
        }
        reported
    }

    /// Bytes that are on their way, or at the other side without having been reported.
    pub fn in_flight(&self, now: Duration) -> usize {
        let is_flying = |sent: &&Sent| {
            !sent.is_settled && sent.number >= self.heard_up_to && sent.at + IN_FLIGHT > now
        };
        self.sent
            .iter()
            .filter(is_flying)
            .map(|sent| sent.bytes)
            .sum()
    }
}

/// The receiver's clock without its wraps: 24 bits of 64 ms.
#[derive(Debug, Default)]
struct ArrivalClock {
    last: Option<i64>,
}

impl ArrivalClock {
    fn unwrap(&mut self, arrival: Arrival) -> Arrival {
        const WRAP: i64 = (1 << 24) * 64_000;
        let time = match self.last {
            None => arrival.0,
            Some(last) => {
                let ahead = (arrival.0 - last).rem_euclid(WRAP);
                last + if ahead > WRAP / 2 {
                    ahead - WRAP
                } else {
                    ahead
                }
            }
        };
        self.last = Some(time);
        Arrival(time)
    }
}

/// What packets took on their way, to find times that lack a part. A feedback tells of each packet how long it came after the
/// one before, in 16 bits of 250 us with a sign: 8 s. Where nothing came for longer, GStreamer leaves the upper bits out, and
/// the time is wrong by 16 s.
#[derive(Debug, Default)]
struct Ways {
    last: Option<i64>,
}

impl Ways {
    /// The arrival as near as can be to that of a packet that took as long as the one before.
    fn mend(&mut self, arrival: Arrival, sent: Duration) -> Arrival {
        const LOST: i64 = (1 << 16) * 250;
        let sent = i64::try_from(sent.as_micros()).unwrap_or(i64::MAX);
        let way = arrival.0.saturating_sub(sent);
        let shorter = self.last.map_or(0, |last| last.saturating_sub(way));
        let missing = shorter.saturating_add(LOST / 2).div_euclid(LOST) * LOST;
        self.last = Some(way + missing);
        Arrival(arrival.0 + missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn feedback(base: u16, arrivals: &[Option<i64>]) -> Feedback {
        let arrivals = arrivals.iter().map(|at| at.map(Arrival)).collect();
        Feedback { base, arrivals }
    }

    #[test]
    fn a_packet_is_told_of_once_across_the_wrap_of_sequence_numbers() {
        let mut history = History::default();
        for (at, sequence) in [(0, 65_534), (1, 65_535), (2, 0), (3, 1)] {
            history.on_sent(sequence, 100, None, at * MS);
        }
        assert_eq!(history.in_flight(4 * MS), 400);
        let reported = history.on_feedback(&feedback(65_533, &[None, Some(7), None, Some(9)]));
        let found: Vec<_> = reported.iter().map(|one| (one.sent, one.arrival)).collect();
        assert_eq!(
            found,
            [
                (Duration::ZERO, Some(Arrival(7))),
                (MS, None),
                (2 * MS, Some(Arrival(9)))
            ]
        );
        assert_eq!(history.in_flight(4 * MS), 100);
        assert!(
            history
                .on_feedback(&feedback(65_535, &[Some(8), Some(9)]))
                .is_empty()
        );
        assert_eq!(history.on_feedback(&feedback(1, &[Some(10)])).len(), 1);
    }

    #[test]
    fn the_receivers_clock_wraps() {
        let mut history = History::default();
        for sequence in 0..3 {
            history.on_sent(sequence, 100, None, MS);
        }
        let end = (1 << 23) * 64_000;
        let reported = history.on_feedback(&feedback(0, &[Some(end - 1000), Some(1000 - end)]));
        let arrivals: Vec<_> = reported.iter().map(|one| one.arrival.unwrap().0).collect();
        assert_eq!(arrivals, [end - 1000, end + 1000]);
    }

    #[test]
    fn a_pause_longer_than_a_receiver_can_tell_leaves_no_trace() {
        let mut history = History::default();
        let pause = Duration::from_millis(11_500);
        history.on_sent(0, 100, None, MS);
        history.on_sent(1, 100, None, 2 * MS);
        history.on_feedback(&feedback(0, &[Some(7_000)]));
        history.on_sent(2, 100, None, pause);
        history.on_sent(3, 100, None, pause + MS);
        // After the pause 16 bits of 250 us are missing; the next feedback has a reference of its own.
        let told = [Some(8_000), Some(11_506_000 - 16_384_000)];
        let mut reported = history.on_feedback(&feedback(1, &told));
        reported.extend(history.on_feedback(&feedback(3, &[Some(11_507_000)])));
        let arrivals: Vec<_> = reported.iter().map(|one| one.arrival.unwrap().0).collect();
        assert_eq!(arrivals, [11_506_000, 11_507_000]);
    }
}
