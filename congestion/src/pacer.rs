//! When each packet leaves: a leaky bucket, sound first, then what is sent again, then pictures.

use std::collections::VecDeque;
use std::time::Duration;

use crate::probe::{Plan, ProbeId};
use crate::rate::Rate;

/// Who wakes up late may send as much at once as was missed, up to this.
const CATCH_UP: Duration = Duration::from_millis(5);
/// A probe that makes no progress ends.
const PROBE_LIMIT: Duration = Duration::from_millis(150);
/// What is sent again is of use for so long: whoever still wants it then asks once more. Where a link has become narrow,
/// older ones would hold up what comes after them for seconds.
const LATE: Duration = Duration::from_millis(500);
/// Sizes of packets of padding: as large as those of pictures where that is not more than the probe needs, for small ones
/// cost much in headers; and a probe of a slow link must not be a queue of its own.
const PADDING: std::ops::RangeInclusive<usize> = 200..=1100;

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It never waits.
    Audio,
    /// It is late already.
    Retransmission,
    /// The rest.
    Video,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Step<T> {
    /// This packet leaves now.
    Send(T),
    /// So many bytes of padding leave now.
    Pad(usize),
    /// Nothing to do until then, unless something comes.
    Wait(Duration),
}

#[derive(Debug)]
struct Running {
    plan: Plan,
    began: Duration,
    bytes: usize,
    packets: usize,
}

/// Holds packets until they leave.
#[derive(Debug)]
pub struct Pacer<T> {
    urgent: VecDeque<(usize, T)>,
    /// With when each came.
    again: VecDeque<(Duration, usize, T)>,
    pictures: VecDeque<(usize, T)>,
    bytes: usize,
    rate: Rate,
    free_at: Duration,
    held_until: Duration,
    probe: Option<Running>,
    can_pad: bool,
}

impl<T> Pacer<T> {
    /// An empty one. `can_pad` says whether probes may be filled up with padding.
    pub fn new(rate: Rate) -> Self {
        Self {
            urgent: VecDeque::new(),
            again: VecDeque::new(),
            pictures: VecDeque::new(),
            bytes: 0,
            rate,
            free_at: Duration::ZERO,
            held_until: Duration::ZERO,
            probe: None,
            can_pad: false,
        }
    }

    /// How fast pictures leave from now on.
    pub fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// Probes are filled up with padding from now on.
    pub fn allow_padding(&mut self) {
        self.can_pad = true;
    }

    /// Nothing but sound leaves until then.
    pub fn hold_until(&mut self, time: Duration) {
        self.held_until = time;
    }

    /// Takes a packet.
    pub fn push(&mut self, class: Class, bytes: usize, packet: T, now: Duration) {
        self.bytes += bytes;
        match class {
            Class::Audio => self.urgent.push_back((bytes, packet)),
            Class::Retransmission => self.again.push_back((now, bytes, packet)),
            Class::Video => self.pictures.push_back((bytes, packet)),
        }
    }

    /// Whether nothing waits, and no probe is sent.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && self.probe.is_none()
    }

    /// How long what waits will take.
    pub fn backlog(&self) -> Duration {
        self.rate.time_for(self.bytes as f64)
    }

    /// How long what waits to be sent again will take.
    pub fn backlog_of_retransmissions(&self) -> Duration {
        let bytes: usize = self.again.iter().map(|(_, bytes, _)| bytes).sum();
        self.rate.time_for(bytes as f64)
    }

    /// Forgets the pictures that wait, packet by packet: so many.
    pub fn forget_pictures(&mut self) -> usize {
        let count = self.pictures.len();
        self.bytes -= self
            .pictures
            .drain(..)
            .map(|(bytes, _)| bytes)
            .sum::<usize>();
        count
    }

    /// Sends a probe, now.
    pub fn probe(&mut self, plan: Plan, now: Duration) {
        self.probe = Some(Running {
            plan,
            began: now,
            bytes: 0,
            packets: 0,
        });
        self.free_at = self.free_at.min(now);
    }

    /// The probe that packets belong to at the moment.
    pub fn current_probe(&self) -> Option<ProbeId> {
        self.probe.as_ref().map(|running| running.plan.id)
    }

    /// Ends a probe that is whole, or makes no progress. Its bytes, if it ended early.
    pub fn end_probe(&mut self, now: Duration) -> Option<usize> {
        let running = self.probe.as_ref()?;
        let is_whole =
            running.bytes >= running.plan.bytes && running.packets >= running.plan.packets;
        if !is_whole && now < running.began + PROBE_LIMIT {
            return None;
        }
        let bytes = running.bytes;
        self.probe = None;
        (!is_whole).then_some(bytes)
    }

    /// What is to be done now; called until it says to wait.
    pub fn step(&mut self, now: Duration) -> Step<T> {
        if let Some((bytes, packet)) = self.urgent.pop_front() {
            self.bytes -= bytes;
            self.on_leaving(bytes, now);
            return Step::Send(packet);
        }
        self.forget_late(now);
        let has_pictures = !self.again.is_empty() || !self.pictures.is_empty();
        let pads = self.probe.is_some() && self.can_pad;
        if !has_pictures && !pads {
            return Step::Wait(Duration::MAX);
        }
        let due = self.free_at.max(self.held_until);
        if due > now {
            return Step::Wait(due);
        }
        let again = self.again.pop_front();
        let again = again.map(|(_, bytes, packet)| (bytes, packet));
        match again.or_else(|| self.pictures.pop_front()) {
            Some((bytes, packet)) => {
                self.bytes -= bytes;
                self.on_leaving(bytes, now);
                Step::Send(packet)
            }
            None => {
                let bytes = self.padding();
                self.on_leaving(bytes, now);
                Step::Pad(bytes)
            }
        }
    }

    fn forget_late(&mut self, now: Duration) {
        while let Some(&(since, bytes, _)) = self.again.front()
            && since + LATE < now
        {
            self.bytes -= bytes;
            self.again.pop_front();
        }
    }

    /// The size of a packet of padding.
    fn padding(&self) -> usize {
        let each = |running: &Running| running.plan.bytes / running.plan.packets.max(1);
        let wanted = self.probe.as_ref().map_or(*PADDING.end(), each);
        wanted.clamp(*PADDING.start(), *PADDING.end())
    }

    fn on_leaving(&mut self, bytes: usize, now: Duration) {
        let rate = match &mut self.probe {
            Some(running) => {
                running.bytes += bytes;
                running.packets += 1;
                running.plan.rate
            }
            None => self.rate,
        };
        let from = self.free_at.max(now.saturating_sub(CATCH_UP));
        self.free_at = from + rate.time_for(bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Probes;

    const MS: Duration = Duration::from_millis(1);

    /// What leaves up to a time, polled each millisecond.
    fn leaving(pacer: &mut Pacer<u32>, from: u32, until: u32) -> Vec<(u32, Step<u32>)> {
        let mut found = Vec::new();
        for ms in from..until {
            loop {
                match pacer.step(ms * MS) {
                    Step::Wait(_) => break,
                    step => found.push((ms, step)),
                }
            }
        }
        found
    }

    #[test]
    fn pictures_leave_at_the_rate_and_sound_at_once() {
        let mut pacer = Pacer::new(Rate::from_kilobits(800));
        for packet in 0..6 {
            pacer.push(Class::Video, 1000, packet, Duration::ZERO);
        }
        assert_eq!(pacer.backlog(), 60 * MS);
        let found = leaving(&mut pacer, 100, 121);
        let sends = |times: &[(u32, u32)]| -> Vec<_> {
            times
                .iter()
                .map(|&(at, packet)| (at, Step::Send(packet)))
                .collect()
        };
        assert_eq!(found, sends(&[(100, 0), (105, 1), (115, 2)]));
        pacer.push(Class::Retransmission, 1000, 10, 121 * MS);
        pacer.push(Class::Audio, 100, 20, 121 * MS);
        let found = leaving(&mut pacer, 121, 140);
        assert_eq!(found, sends(&[(121, 20), (126, 10), (136, 3)]));
    }

    #[test]
    fn a_probe_leaves_at_its_own_rate_and_is_filled_up() {
        let mut pacer = Pacer::new(Rate::from_kilobits(800));
        pacer.allow_padding();
        pacer.push(Class::Video, 1100, 1, Duration::ZERO);
        let plan = Probes::default()
            .begin(Rate::from_kilobits(8800), Duration::ZERO)
            .unwrap();
        pacer.probe(plan, Duration::ZERO);
        let mut bytes = 0;
        let mut packets = 0;
        for ms in 0..100 {
            while !matches!(pacer.step(ms * MS), Step::Wait(_)) {
                bytes += 1100;
                packets += 1;
                assert_eq!(pacer.end_probe(ms * MS), None);
            }
        }
        assert_eq!((bytes, packets), (22_000, 20));
        assert_eq!(pacer.current_probe(), None);
    }

    #[test]
    fn a_probe_of_a_slow_link_is_of_small_packets() {
        let mut pacer: Pacer<u32> = Pacer::new(Rate::from_kilobits(60));
        pacer.allow_padding();
        let plan = Probes::default()
            .begin(Rate::from_kilobits(120), Duration::ZERO)
            .unwrap();
        pacer.probe(plan, Duration::ZERO);
        assert_eq!(pacer.step(Duration::ZERO), Step::Pad(400));
    }

    #[test]
    fn pictures_that_would_come_too_late_are_forgotten_and_nothing_else() {
        let mut pacer = Pacer::new(Rate::from_kilobits(800));
        for packet in 0..3 {
            pacer.push(Class::Video, 1000, packet, Duration::ZERO);
        }
        pacer.push(Class::Retransmission, 500, 10, Duration::ZERO);
        assert_eq!(pacer.forget_pictures(), 3);
        assert_eq!(pacer.backlog(), 5 * MS);
        assert_eq!(pacer.step(100 * MS), Step::Send(10));
    }

    #[test]
    fn what_is_sent_again_holds_nothing_up_for_longer_than_it_is_of_use() {
        let mut pacer = Pacer::new(Rate::from_kilobits(80));
        for packet in 0..20 {
            pacer.push(Class::Retransmission, 1000, packet, Duration::ZERO);
        }
        pacer.push(Class::Video, 1000, 100, Duration::ZERO);
        assert_eq!(pacer.backlog_of_retransmissions(), 2000 * MS);
        let left: Vec<_> = leaving(&mut pacer, 0, 700)
            .into_iter()
            .map(|(_, step)| step)
            .collect();
        let mut expected: Vec<_> = (0..6).map(Step::Send).collect();
        expected.push(Step::Send(100));
        assert_eq!(left, expected);
        assert_eq!(pacer.backlog(), Duration::ZERO);
    }

    #[test]
    fn what_is_held_waits_and_sound_does_not() {
        let mut pacer = Pacer::new(Rate::from_kilobits(800));
        pacer.hold_until(50 * MS);
        pacer.push(Class::Video, 1000, 1, Duration::ZERO);
        pacer.push(Class::Audio, 100, 2, Duration::ZERO);
        let found = leaving(&mut pacer, 0, 60);
        assert_eq!(found, [(0, Step::Send(2)), (50, Step::Send(1))]);
    }
}
