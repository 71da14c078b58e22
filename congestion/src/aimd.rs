//! The rate: grows while the queue keeps its length, and is cut to what arrives when it grows
//! (draft-ietf-rmcat-gcc-02, section 5.5).
//!
//! Two things differ from the draft. After a cut the queue is given time to drain, and then the rate goes back near what
//! the link was seen to carry, at once: so little is lost by a cut. And a queue that stands without growing is cut, too,
//! unless somebody else fills it.

use std::time::Duration;

use crate::loss::Verdict;
use crate::probe::Finding;
use crate::rate::Rate;
use crate::trend::Usage;

/// A cut leaves this part of what arrives.
const CUT: f64 = 0.85;
/// When the queue has drained, the rate is this part of what the link carries.
const BACK: f64 = 0.92;
/// Of what a probe found where the link was full, as much is used.
const FOUND: f64 = 0.9;
/// Growth in a second, far from what the link was last seen to carry.
const GROWTH: f64 = 0.08;
/// Near it, a packet more in each round trip and this.
const PACKET: f64 = 1200.0;
const RESPONSE: Duration = Duration::from_millis(300);
const MIN_ROUND: Duration = Duration::from_millis(50);
/// Near: in this range around it.
const NEAR: (f64, f64) = (0.75, 1.1);
/// The rate grows no further than this over what arrives.
const AHEAD: f64 = 1.5;
const AHEAD_BITS: f64 = 10_000.0;
/// What is left of the older view of what the link carries.
const MEMORY: f64 = 0.7;
/// A view that differs by more than this from what is seen now is old.
const OLD: f64 = 0.25;
/// A queue as short as this has drained.
const DRAINED: Duration = Duration::from_millis(12);
/// Draining is not waited for longer.
const LONGEST_DRAIN: Duration = Duration::from_secs(1);
/// No growth while the queue is longer than this; one that stands longer than that is cut, so gently.
const SHORT: Duration = Duration::from_millis(25);
const LONG: Duration = Duration::from_millis(40);
const GENTLY: f64 = 0.93;
/// With so much of it, over-use is believed even where little is sent.
const PLAIN: Duration = Duration::from_millis(80);
/// Beside somebody who fills the queue until packets are lost, we do as that one: growth in a second until the first
/// loss, then a packet more in each round trip; and with a loss this is left. Delay says nothing then.
const GROWTH_BESIDE: f64 = 0.25;
const CUT_BESIDE: f64 = 0.75;
/// The part of the link that is taken first.
const SHARE: f64 = 0.3;
/// Cuts have at least this between them, and a round trip: a cut shows its effect first.
const BETWEEN_CUTS: Duration = Duration::from_millis(200);

/// What is known when a feedback has come.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// What the delays say.
    pub usage: Usage,
    /// What the loss says.
    pub loss: Verdict,
    /// What arrives.
    pub acknowledged: Option<Rate>,
    /// What the newest packet waited.
    pub queue: Duration,
    /// The least that any packet waited lately.
    pub standing: Duration,
    /// Somebody else fills the queue.
    pub is_others: bool,
    /// More was lost at last than the link loses by itself.
    pub has_lost: bool,
    /// Less is sent than may be.
    pub is_limited: bool,
    /// To the other side and back.
    pub round_trip: Duration,
}

/// Where the rate may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Not below.
    pub least: Rate,
    /// Not above.
    pub most: Rate,
}

/// The rate and what it follows from.
#[derive(Debug)]
pub struct Aimd {
    target: Rate,
    bounds: Bounds,
    /// What the link was seen to carry.
    capacity: Option<Rate>,
    drains_since: Option<Duration>,
    /// Packets were lost since somebody else fills the queue.
    lost_beside: bool,
    cut_at: Option<Duration>,
    updated_at: Option<Duration>,
}

impl Aimd {
    /// Begins with a rate.
    pub fn new(start: Rate, bounds: Bounds) -> Self {
        Self {
            target: start,
            bounds,
            capacity: None,
            drains_since: None,
            lost_beside: false,
            cut_at: None,
            updated_at: None,
        }
    }

    /// What may be sent.
    pub fn target(&self) -> Rate {
        self.target
    }

    /// When it was last cut.
    pub fn cut_at(&self) -> Option<Duration> {
        self.cut_at
    }

    /// What the link was seen to carry, while that still holds.
    pub fn capacity(&self) -> Option<Rate> {
        self.capacity
    }

    /// Other bounds.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.bound();
    }

    /// The queue is being emptied after a cut.
    pub fn drains(&self) -> bool {
        self.drains_since.is_some()
    }

    /// Takes what was found by a probe.
    ///
    /// Says whether the rate is another one now.
    pub fn on_found(&mut self, finding: Finding, now: Duration) -> bool {
        let Finding {
            rate: found,
            is_full,
        } = finding;
        let before = self.target;
        let usable = if is_full { found * FOUND } else { found };
        if is_full {
            self.capacity = Some(found);
        } else if self.capacity.is_some_and(|capacity| found > capacity) {
            self.capacity = None;
        }
        // Of a cut that came after the probe the finding knows nothing.
        let is_recent = self.cut_at.is_some_and(|at| now < at + BETWEEN_CUTS);
        if !is_recent {
            self.target = self.target.max(usable);
        }
        self.bound();
        self.target > before
    }

    /// Nothing was heard for long: half of it.
    pub fn on_silence(&mut self, now: Duration) {
        self.target = self.target * 0.5;
        self.capacity = None;
        self.cut_at = Some(now);
        self.bound();
    }

    /// Somebody else fills the queue now; without that one, so much arrived. By delay alone we gave way: too far.
    pub fn on_beside(&mut self, proven: Rate) {
        self.target = self.target.max(proven * SHARE);
        self.lost_beside = false;
        self.bound();
    }

    /// Takes what is known when a feedback has come.
    pub fn update(&mut self, input: &Input, now: Duration) {
        let since = self
            .updated_at
            .replace(now)
            .map_or(Duration::ZERO, |at| now.saturating_sub(at));
        if input.is_others {
            self.beside(input, since, now);
            self.bound();
            return;
        }
        let stands = input.standing > LONG;
        // One who sends little has made no queue: a short one is jitter, of a busy machine as well.
        let usage = match input.is_limited && input.queue < PLAIN {
            true => Usage::Normal,
            false => input.usage,
        };
        match (usage, input.loss) {
            (Usage::Over, _) => self.cut(input, CUT, now),
            (_, Verdict::Cut(factor)) => {
                self.target = self.target * factor;
                self.cut_at = Some(now);
            }
            (Usage::Normal | Usage::Under, Verdict::Grow | Verdict::Hold) if stands => {
                self.cut(input, GENTLY, now);
            }
            (usage, verdict) => {
                if !self.drain(input, now) && usage == Usage::Normal && verdict == Verdict::Grow {
                    self.grow(input, since);
                }
            }
        }
        self.bound();
    }

    /// Beside somebody who fills the queue: as TCP does, more slowly.
    fn beside(&mut self, input: &Input, since: Duration, now: Duration) {
        self.drains_since = None;
        let pause = BETWEEN_CUTS.max(input.round_trip);
        let is_early = self.cut_at.is_some_and(|at| now < at + pause);
        if input.has_lost && !is_early {
            self.target = self.target * CUT_BESIDE;
            self.cut_at = Some(now);
            self.lost_beside = true;
        } else if !input.has_lost && !input.is_limited {
            let more = match self.lost_beside {
                true => packet_per(input.round_trip, since),
                false => self.target * (GROWTH_BESIDE * since.as_secs_f64().min(1.0)),
            };
            self.add(more, input.acknowledged);
        }
    }

    fn cut(&mut self, input: &Input, factor: f64, now: Duration) {
        let Some(acknowledged) = input.acknowledged else {
            // What arrives is not known yet: it is less than what is sent.
            self.target = self.target * factor;
            self.cut_at = Some(now);
            return;
        };
        let pause = BETWEEN_CUTS.max(input.round_trip);
        let is_early = self.cut_at.is_some_and(|at| now < at + pause);
        // It is far too much: nothing is waited for.
        if is_early && acknowledged > self.target * 0.6 {
            return;
        }
        // One who sends little learns nothing of what the link carries from what arrives.
        if !input.is_limited {
            self.see(acknowledged);
        }
        self.target = self.target.min(acknowledged * factor);
        self.cut_at = Some(now);
        self.drains_since = Some(now);
    }

    fn see(&mut self, acknowledged: Rate) {
        let seen = match self.capacity {
            Some(before) if (before.bits() - acknowledged.bits()).abs() < OLD * before.bits() => {
                before * MEMORY + acknowledged * (1.0 - MEMORY)
            }
            Some(_) | None => acknowledged,
        };
        self.capacity = Some(seen);
    }

    /// Whether a cut still has to empty the queue; when it has, the rate goes back.
    fn drain(&mut self, input: &Input, now: Duration) -> bool {
        let Some(since) = self.drains_since else {
            return false;
        };
        let is_long = now > since + LONGEST_DRAIN;
        if input.queue > DRAINED && !is_long {
            return true;
        }
        self.drains_since = None;
        if let Some(capacity) = self.capacity
            && !is_long
        {
            self.target = self.target.max(capacity * BACK);
        }
        false
    }

    fn grow(&mut self, input: &Input, since: Duration) {
        if input.queue > SHORT || input.is_limited {
            return;
        }
        let near =
            |capacity: Rate| self.target > capacity * NEAR.0 && self.target < capacity * NEAR.1;
        if self
            .capacity
            .is_some_and(|capacity| self.target >= capacity * NEAR.1)
        {
            self.capacity = None;
        }
        let more = if self.capacity.is_some_and(near) {
            packet_per(input.round_trip + RESPONSE, since)
        } else {
            self.target * (GROWTH * since.as_secs_f64().min(1.0))
        };
        self.add(more, input.acknowledged);
    }

    fn add(&mut self, more: Rate, acknowledged: Option<Rate>) {
        let most = acknowledged.map_or(self.target, |rate| {
            rate * AHEAD + Rate::from_bits(AHEAD_BITS)
        });
        self.target = self.target.max((self.target + more).min(most));
    }

    fn bound(&mut self) {
        self.target = self.target.max(self.bounds.least).min(self.bounds.most);
    }
}

fn packet_per(round: Duration, since: Duration) -> Rate {
    let rounds = since.as_secs_f64() / round.max(MIN_ROUND).as_secs_f64();
    Rate::from_bits(PACKET * 8.0 * rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn input(usage: Usage, kilobits: u32, queue_ms: u32) -> Input {
        Input {
            usage,
            loss: Verdict::Grow,
            acknowledged: Some(Rate::from_kilobits(kilobits)),
            queue: queue_ms * MS,
            standing: queue_ms * MS,
            is_others: false,
            has_lost: false,
            is_limited: false,
            round_trip: 50 * MS,
        }
    }

    fn at(kilobits: u32) -> Aimd {
        let bounds = Bounds {
            least: Rate::from_kilobits(50),
            most: Rate::from_kilobits(8000),
        };
        Aimd::new(Rate::from_kilobits(kilobits), bounds)
    }

    #[test]
    fn a_cut_goes_below_what_arrives_and_back_when_the_queue_is_empty() {
        let mut aimd = at(1200);
        aimd.update(&input(Usage::Over, 1000, 80), 1000 * MS);
        assert_eq!(aimd.target().kilobits(), 850.0);
        aimd.update(&input(Usage::Under, 1000, 30), 1100 * MS);
        assert_eq!(aimd.target().kilobits(), 850.0);
        aimd.update(&input(Usage::Normal, 1000, 5), 1200 * MS);
        let back = aimd.target().kilobits();
        assert!((920.0..=940.0).contains(&back), "{back}");
    }

    #[test]
    fn growth_is_slow_where_the_link_was_full_and_quick_elsewhere() {
        let mut quick = at(1000);
        let mut slow = at(1100);
        slow.update(&input(Usage::Over, 1100, 40), 900 * MS);
        for round in 10..30 {
            quick.update(&input(Usage::Normal, 1000, 0), round * 100 * MS);
            slow.update(&input(Usage::Normal, 1000, 0), round * 100 * MS);
        }
        assert!(quick.target().kilobits() > 1150.0, "{:?}", quick.target());
        assert!(slow.target().kilobits() < 1140.0, "{:?}", slow.target());
    }

    #[test]
    fn it_does_not_grow_while_less_is_sent_nor_beyond_what_arrives() {
        let mut aimd = at(1000);
        for round in 0..100 {
            let mut input = input(Usage::Normal, 100, 0);
            input.is_limited = round < 50;
            aimd.update(&input, round * 100 * MS);
        }
        assert_eq!(aimd.target().kilobits(), 1000.0);
    }

    #[test]
    fn a_queue_of_our_own_that_stands_is_cut_and_one_of_others_is_not() {
        let mut own = at(1000);
        own.update(&input(Usage::Normal, 1000, 60), MS);
        assert_eq!(own.target().kilobits(), 930.0);
        let mut others = at(1000);
        let input = Input {
            is_others: true,
            ..input(Usage::Normal, 1000, 60)
        };
        others.update(&input, MS);
        assert_eq!(others.target().kilobits(), 1000.0);
    }
}
