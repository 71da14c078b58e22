//! Whether the link has become much narrower just now: the queue has jumped, and little arrives.
//!
//! The first feedback that looks so is a reason to send nothing before the next one, which decides: each 10 ms in which
//! four times too much is sent are 30 ms of queue.

use std::time::Duration;

use crate::history::Reported;
use crate::queue::Queue;
use crate::rate::Rate;

/// A queue that grew by so much from one feedback to the next, while less than this part of what is sent arrived, is a
/// hint: nothing is sent until the next feedback, at most for so long.
const HINT: Duration = Duration::from_millis(10);
const LITTLE: f64 = 0.6;
const HOLD: Duration = Duration::from_millis(60);
/// And when it has grown by so much then, it is no accident.
const JUMP: Duration = Duration::from_millis(25);
/// Where that began only just before the feedback, the last packets tell, those behind the last one that waited no longer
/// than this; and that so many times as much as usual is still on its way.
const CALM: Duration = Duration::from_millis(5);
const CROWDED: f64 = 1.7;
/// What remains of the usual with each feedback.
const SMOOTHING: f64 = 0.8;

/// What is known when a feedback has come.
#[derive(Debug)]
pub struct View<'a> {
    /// What it says.
    pub reported: &'a [Reported],
    /// What may be sent.
    pub target: Rate,
    /// The queue, and how long it was before.
    pub queue: &'a Queue,
    /// See `queue`.
    pub queue_before: Duration,
    /// Bytes that are on their way.
    pub flying: usize,
    /// Enough is sent to learn from it, and nobody else fills the queue.
    pub says_something: bool,
}

/// What follows.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The link has become narrower: it carries this.
    pub carries: Option<Rate>,
    /// Nothing but sound leaves until then; a time that is over ends an earlier wait.
    pub hold_until: Option<Duration>,
}

/// Follows the feedback.
#[derive(Debug, Default)]
pub struct Jump {
    /// How long the queue was before it jumped, if that may have been; and when that was seen.
    suspected: Option<(Duration, Duration)>,
    /// Bytes on their way when a feedback has come.
    usual: Option<f64>,
}

impl Jump {
    /// Takes a feedback.
    pub fn look(&mut self, view: &View<'_>, now: Duration) -> Verdict {
        let suspected = self.suspected.take();
        let is_crowded = self.is_crowded(view.flying as f64);
        let nothing = Verdict {
            carries: None,
            hold_until: suspected.map(|_| now),
        };
        let base = suspected.map_or(view.queue_before, |(base, _)| base);
        let grew = view.queue.delay().saturating_sub(base);
        let Some(rate) = rate_of(view.reported).filter(|_| view.says_something) else {
            return nothing;
        };
        let little = view.target * LITTLE;
        let is_slow = rate <= little || (is_crowded && self.ends_slowly(view, base, little));
        if !is_slow || grew < HINT {
            return nothing;
        }
        // Feedback that comes in a bunch was one look.
        let is_later = suspected.is_some_and(|(_, at)| now >= at + HOLD / 3);
        if is_later && grew >= JUMP && rate <= little {
            return Verdict {
                carries: Some(rate),
                ..nothing
            };
        }
        self.suspected = suspected.filter(|_| !is_later).or(Some((base, now)));
        match suspected {
            Some(_) => nothing,
            None => Verdict {
                carries: None,
                hold_until: Some(now + HOLD),
            },
        }
    }

    /// Whether the packets behind the last one that hardly waited came in slowly.
    fn ends_slowly(&self, view: &View<'_>, base: Duration, little: Rate) -> bool {
        let is_calm = |packet: &Reported| {
            let waited = view.queue.wait_of(packet);
            waited.is_some_and(|waited| waited <= base + CALM)
        };
        let turn = view.reported.iter().rposition(is_calm).unwrap_or_default();
        rate_of(&view.reported[turn..]).is_some_and(|end| end <= little)
    }

    /// Whether much more than usual is on its way.
    fn is_crowded(&mut self, flying: f64) -> bool {
        let usual = *self.usual.get_or_insert(flying);
        self.usual = Some(usual * SMOOTHING + flying * (1.0 - SMOOTHING));
        flying > usual * CROWDED
    }
}

/// How fast these packets came in.
fn rate_of(reported: &[Reported]) -> Option<Rate> {
    let arrived = || {
        let arrived = |packet: &Reported| Some((packet.arrival?.0, packet.bytes));
        reported.iter().filter_map(arrived)
    };
    let (first, last) = (arrived().min()?, arrived().max()?);
    let bytes: usize = arrived().map(|packet| packet.1).sum();
    let time = Duration::from_micros(u64::try_from(last.0 - first.0).ok()?);
    Rate::of((bytes - first.1) as f64, time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::Arrival;

    const MS: Duration = Duration::from_millis(1);

    /// What a feedback says of packets of 1250 bytes: when each was sent and arrived.
    fn reported(times: &[(u32, i64)]) -> Vec<Reported> {
        let one = |&(sent, arrived): &(u32, i64)| Reported {
            sent: sent * MS,
            arrival: Some(Arrival(arrived * 1000)),
            bytes: 1250,
            probe: None,
        };
        times.iter().map(one).collect()
    }

    fn look(
        jump: &mut Jump,
        queue: &mut Queue,
        at: u32,
        times: &[(u32, i64)],
        flying: usize,
    ) -> Verdict {
        let reported = reported(times);
        let queue_before = queue.delay();
        queue.on_reported(&reported, at * MS);
        let view = View {
            reported: &reported,
            target: Rate::from_kilobits(2000),
            queue,
            queue_before,
            flying,
            says_something: true,
        };
        jump.look(&view, at * MS)
    }

    /// 2 Mb/s that arrive 5 ms later.
    fn calm(from: u32) -> Vec<(u32, i64)> {
        (0..10)
            .map(|index| (from + 5 * index, i64::from(from + 5 * index) + 5))
            .collect()
    }

    #[test]
    fn a_jump_is_suspected_first_and_certain_when_the_next_feedback_says_the_same() {
        let (mut jump, mut queue) = (Jump::default(), Queue::default());
        assert_eq!(
            look(&mut jump, &mut queue, 60, &calm(0), 3000),
            Verdict::default()
        );
        let slow = [(50, 55), (55, 75), (60, 95)];
        let seen = look(&mut jump, &mut queue, 110, &slow, 12_000);
        assert_eq!((seen.carries, seen.hold_until), (None, Some(170 * MS)));
        let slow = [(65, 115), (70, 135), (75, 155)];
        let seen = look(&mut jump, &mut queue, 160, &slow, 9000);
        assert_eq!(seen.carries, Some(Rate::from_kilobits(500)));
        assert_eq!(seen.hold_until, Some(160 * MS));
    }

    #[test]
    fn the_end_of_a_feedback_is_a_hint_where_much_is_on_its_way_and_an_accident_passes() {
        for (flying, hold) in [(12_000, Some(120 * MS)), (3000, None)] {
            let (mut jump, mut queue) = (Jump::default(), Queue::default());
            look(&mut jump, &mut queue, 10, &calm(0), 3000);
            let mut end = calm(10);
            end[9].1 += 20;
            let seen = look(&mut jump, &mut queue, 60, &end, flying);
            assert_eq!((seen.carries, seen.hold_until), (None, hold));
            let seen = look(&mut jump, &mut queue, 110, &calm(60), 3000);
            assert_eq!(
                (seen.carries, seen.hold_until),
                (None, hold.map(|_| 110 * MS))
            );
        }
    }
}
