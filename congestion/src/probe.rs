//! Probes: packets in quick succession that tell what the link carries before that is sent; when, and what they found.
//!
//! The rate of a probe is a multiple of the one in use, and it is short: where the link does not carry it, a queue of a
//! few milliseconds comes and goes. What is sent in it is media, and padding where there is not enough.

use std::time::Duration;

use crate::history::Reported;
use crate::rate::Rate;

/// How long a probe is sent, and how many packets it has at least.
const LENGTH: Duration = Duration::from_millis(20);
const PACKETS: usize = 6;
/// And how many bytes: shapers let some 1,600 through at once, whatever the rate is that they hold all others to.
const LEAST_BYTES: usize = 2400;
/// Its result is there within this time, or never.
const PATIENCE: Duration = Duration::from_secs(1);
/// So much of it has to arrive.
const ARRIVED: f64 = 0.7;
/// Of a probe with fewer bytes all have to, and what its second half came in with counts: the first one says more of the
/// shaper than of the link.
const SMALL: usize = 4000;
/// When it comes in slower than this part of the rate it left with, the link was full.
const FULL: f64 = 0.9;
/// Faster than this is an accident: packets were held back, and then let go at once.
const ACCIDENT: f64 = 2.0;

/// What a probe of a rate takes.
pub fn bytes_of(rate: Rate) -> usize {
    (rate.bytes_in(LENGTH) as usize).max(LEAST_BYTES)
}

/// The number of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeId(u32);

/// A probe to be sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Its number.
    pub id: ProbeId,
    /// How fast.
    pub rate: Rate,
    /// How many bytes.
    pub bytes: usize,
    /// And how many packets at least.
    pub packets: usize,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// So much goes through.
    pub rate: Rate,
    /// And not more: the link was full.
    pub is_full: bool,
}

/// Packets of the probe under way, as they are reported.
#[derive(Debug)]
struct Course {
    id: ProbeId,
    planned: Rate,
    began: Duration,
    sent: (Duration, Duration),
    /// When each packet arrived, and its bytes.
    arrived: Vec<(i64, usize)>,
    bytes: usize,
    last_sent_bytes: usize,
    wanted: usize,
    wanted_bytes: usize,
}

/// Plans one probe at a time, and reads what it found.
#[derive(Debug, Default)]
pub struct Probes {
    made: u32,
    course: Option<Course>,
}

impl Probes {
    /// A probe at a rate; `None` while another is under way.
    pub fn begin(&mut self, rate: Rate, now: Duration) -> Option<Plan> {
        self.begin_with(rate, bytes_of(rate), now)
    }

    /// A probe of a length of its own.
    pub fn begin_with(&mut self, rate: Rate, bytes: usize, now: Duration) -> Option<Plan> {
        if self
            .course
            .as_ref()
            .is_some_and(|course| now < course.began + PATIENCE)
        {
            return None;
        }
        self.made += 1;
        let id = ProbeId(self.made);
        self.course = Some(Course {
            id,
            planned: rate,
            began: now,
            sent: (Duration::MAX, Duration::ZERO),
            arrived: Vec::new(),
            bytes: 0,
            last_sent_bytes: 0,
            wanted: PACKETS,
            wanted_bytes: bytes,
        });
        Some(Plan {
            id,
            rate,
            bytes,
            packets: PACKETS,
        })
    }

    /// How many there were.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// What was sent of it is all there will be: it ended early.
    pub fn end_with(&mut self, bytes: usize) {
        if let Some(course) = &mut self.course {
            course.wanted_bytes = course.wanted_bytes.min(bytes);
        }
    }

    /// Whether one is under way, or its result is waited for.
    pub fn is_under_way(&self, now: Duration) -> bool {
        self.course
            .as_ref()
            .is_some_and(|course| now < course.began + PATIENCE)
    }

    /// Takes what a feedback says; tells what was found as soon as enough of the probe has arrived.
    pub fn on_reported(&mut self, reported: &[Reported]) -> Option<Finding> {
        let course = self.course.as_mut()?;
        for packet in reported {
            if packet.probe == Some(course.id) {
                course.on_packet(packet);
            }
        }
        let finding = course.finding()?;
        self.course = None;
        Some(finding)
    }
}

impl Course {
    fn on_packet(&mut self, packet: &Reported) {
        let Some(arrival) = packet.arrival else {
            return;
        };
        self.arrived.push((arrival.0, packet.bytes));
        self.bytes += packet.bytes;
        self.sent.0 = self.sent.0.min(packet.sent);
        if packet.sent >= self.sent.1 {
            self.sent.1 = packet.sent;
            self.last_sent_bytes = packet.bytes;
        }
    }

    fn finding(&mut self) -> Option<Finding> {
        let is_small = self.wanted_bytes < SMALL;
        let part = if is_small { 1.0 } else { ARRIVED };
        let enough = self.arrived.len() as f64 >= self.wanted as f64 * part
            && self.bytes as f64 >= self.wanted_bytes as f64 * part;
        if !enough {
            return None;
        }
        let time = self.sent.1.checked_sub(self.sent.0)?;
        let sent = Rate::of((self.bytes - self.last_sent_bytes) as f64, time)?;
        self.arrived.sort_unstable();
        let mut arrived = arriving(&self.arrived)?;
        if is_small {
            arrived = arrived.min(arriving(&self.arrived[self.arrived.len() / 2 - 1..])?);
        }
        let sent = sent.min(self.planned * 1.2);
        if arrived > sent * ACCIDENT {
            return None;
        }
        let is_full = arrived < sent * FULL;
        Some(Finding {
            rate: arrived.min(sent),
            is_full,
        })
    }
}

/// How fast packets came in, from when the first one was there.
fn arriving(packets: &[(i64, usize)]) -> Option<Rate> {
    let ((first, _), (last, _)) = (packets.first()?, packets.last()?);
    let bytes: usize = packets.iter().skip(1).map(|packet| packet.1).sum();
    Rate::of(
        bytes as f64,
        Duration::from_micros(u64::try_from(last - first).ok()?),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::Arrival;

    fn run(every_sent_us: u64, every_arrived_us: i64) -> Option<Finding> {
        let mut probes = Probes::default();
        let plan = probes.begin(Rate::from_kilobits(4000), Duration::ZERO)?;
        assert_eq!(probes.begin(Rate::from_kilobits(1), Duration::ZERO), None);
        let packets: Vec<_> = (0..10)
            .map(|index| Reported {
                sent: Duration::from_micros(index * every_sent_us),
                arrival: Some(Arrival(index as i64 * every_arrived_us)),
                bytes: 1000,
                probe: Some(plan.id),
            })
            .collect();
        probes.on_reported(&packets)
    }

    #[test]
    fn a_probe_finds_what_goes_through() {
        let finding = run(2000, 2000).unwrap();
        assert_eq!(finding.rate.kilobits().round(), 4000.0);
        assert!(!finding.is_full);
    }

    #[test]
    fn a_full_link_is_known_by_the_distance_of_the_packets() {
        let finding = run(2000, 5000).unwrap();
        assert_eq!(finding.rate.kilobits().round(), 1600.0);
        assert!(finding.is_full);
    }

    #[test]
    fn what_a_shaper_lets_through_at_once_is_not_what_the_link_carries() {
        let mut probes = Probes::default();
        let plan = probes
            .begin(Rate::from_kilobits(200), Duration::ZERO)
            .unwrap();
        // Six packets of 438 bytes on the link, a bucket of 1600 bytes, 100 kb/s.
        let arrivals = [0, 1, 2, 12, 47, 82];
        let packets: Vec<_> = (0..6)
            .map(|index| Reported {
                sent: Duration::from_millis(index * 16),
                arrival: Some(Arrival((arrivals[index as usize] + 96) * 1000)),
                bytes: 400,
                probe: Some(plan.id),
            })
            .collect();
        assert_eq!(probes.on_reported(&packets[..5]), None);
        let finding = probes.on_reported(&packets[5..]).unwrap();
        assert!(finding.is_full);
        assert_eq!(finding.rate.kilobits().round(), 120.0);
    }

    #[test]
    fn packets_that_were_held_back_find_nothing() {
        assert_eq!(run(2000, 500), None);
    }
}
