//! Which tier each viewer gets, and what each tier's encoder aims at. Pure: links and time in, a plan out.
//!
//! A viewer goes down at once when its link does not carry its tier, and up when the link has carried more for a
//! while; the while grows when going up was wrong. An encoder's rate follows the viewers of its tier; one whose link is
//! far worse than the best of them goes down instead of holding the others back.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::pipeline::{Bitrate, VideoSettings};

/// Below this part of a tier's least rate, a link does not carry it: estimates are noisy.
const SHORT: f64 = 0.9;
/// Below this part it is not even waited whether that lasts.
const FAR_TOO_SHORT: f64 = 0.5;
/// How long a link is too slow before its viewer goes down; two round trips if that is longer.
const DOWN_AFTER: Duration = Duration::from_millis(400);
/// How long frames have to be dropped on our side before that counts: a busy machine is held up for a moment, too.
const BLOCKED: Duration = Duration::from_secs(1);
/// Frames come this often at least; while they are dropped that shows at each.
const BETWEEN_FRAMES: Duration = Duration::from_millis(300);
/// How long the lowest tier is too much before there is no picture at all.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// And after a change of tier: what the former one has left on the way has to arrive first, and a key frame.
const SETTLES: Duration = Duration::from_secs(3);
/// Going up wants this multiple of the better tier's least rate.
const AMPLE: f64 = 1.25;
/// And this one where there was no picture: sound comes first.
const AMPLE_AFTER_PAUSE: f64 = 1.5;
/// How long a link carries more before its viewer goes up.
const UP_AFTER: Duration = Duration::from_secs(2);
/// The same while the link has only just become known: estimates begin low.
const UP_AT_FIRST: Duration = Duration::from_millis(500);
const AT_FIRST: Duration = Duration::from_secs(10);
/// A tier that does not last for so long was a mistake; the next try waits twice as long, up to a limit.
const LASTS: Duration = Duration::from_secs(20);
const LONGEST_WAIT: Duration = Duration::from_secs(90);
/// More changes a minute than this are not made for a better picture.
const CHANGES_A_MINUTE: usize = 2;
const MINUTE: Duration = Duration::from_secs(60);
/// A viewer with less than this part of what the best one of its tier can take goes down.
const FAR_BEHIND: f64 = 0.6;
/// And comes back with this part.
const NOT_BEHIND: f64 = 0.75;
/// A viewer without a picture, whose link is not used enough to know better, is tried again after this.
const RETRY: Duration = Duration::from_secs(20);

/// One consumer of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewerId(pub u64);

/// What is known of the way to a viewer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Link {
    /// What is left for the picture beside the sound; `None` while nothing is known.
    pub left: Option<Bitrate>,
    /// The part of the packets that is lost, 0 to 1.
    pub loss: f64,
    /// To the viewer and back.
    pub round_trip: Duration,
    /// Less is sent than the link carries: `left` may be too little.
    pub is_application_limited: bool,
    /// Frames were dropped on our side since the last look: the way out is blocked.
    pub is_blocked: bool,
}

impl Link {
    /// What an encoder may make: what is lost is sent once more.
    fn budget(&self) -> Option<f64> {
        let left = f64::from(self.left?.bits_per_second);
        Some(left / (1.0 + self.loss.clamp(0.0, 1.0)))
    }
}

/// What a viewer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The tier of this index; 0 is the best.
    Tier(usize),
    /// No picture: its link carries sound only.
    Paused,
}

/// A tier's range.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    least: f64,
    most: f64,
}

/// What follows from a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What each viewer gets from now on.
    pub levels: BTreeMap<ViewerId, Level>,
    /// What the encoder of each tier aims at; `None` where nobody takes it.
    pub rates: Vec<Option<Bitrate>>,
}

/// The viewers of one codec.
#[derive(Debug)]
pub struct Policy {
    steps: Vec<Step>,
    viewers: BTreeMap<ViewerId, Viewer>,
}

#[derive(Debug)]
struct Viewer {
    level: Level,
    /// Since when its link is known.
    known: Option<Instant>,
    /// Since when its link does not carry its level.
    short: Option<Instant>,
    /// When frames for it were dropped last, and since when.
    dropped: Option<Instant>,
    blocked: Option<Instant>,
    /// Since when it is far behind the best one of its tier.
    behind: Option<Instant>,
    /// Since when it could have a better level, and the worst of those that it could have had meanwhile.
    ample: Option<(Instant, usize)>,
    /// How long that has to last.
    wait: Duration,
    /// When it went up last.
    climbed: Option<Instant>,
    /// Since when there is no picture.
    paused: Option<Instant>,
    /// When the level changed last.
    moved: Option<Instant>,
    /// Changes of the last minute.
    changes: VecDeque<Instant>,
}

impl Policy {
    /// The tiers of a picture; no viewers yet.
    pub fn new(video: &VideoSettings) -> Self {
        Self {
            steps: steps(video),
            viewers: BTreeMap::new(),
        }
    }

    /// Encodings that somebody else makes, the best first, by their rates: a link carries one whole or not at all.
    pub fn given(rates: &[Bitrate]) -> Self {
        Self {
            steps: rates.iter().copied().map(given).collect(),
            viewers: BTreeMap::new(),
        }
    }

    /// Goes on with other tiers; viewers of tiers that are no more get the lowest one.
    pub fn change(&mut self, video: &VideoSettings) {
        self.take(steps(video));
    }

    /// The same with other encodings that somebody else makes.
    pub fn change_given(&mut self, rates: &[Bitrate]) {
        self.take(rates.iter().copied().map(given).collect());
    }

    fn take(&mut self, steps: Vec<Step>) {
        self.steps = steps;
        let lowest = self.steps.len().saturating_sub(1);
        for viewer in self.viewers.values_mut() {
            viewer.ample = None;
            viewer.short = None;
            if let Level::Tier(index) = &mut viewer.level {
                *index = (*index).min(lowest);
            }
        }
    }

    /// A viewer comes: it gets the best tier until its link is known.
    pub fn join(&mut self, id: ViewerId) {
        self.viewers.insert(id, Viewer::new());
    }

    /// A viewer is gone.
    pub fn leave(&mut self, id: ViewerId) {
        self.viewers.remove(&id);
    }

    /// Decides; to be called several times a second. A viewer without a link is as one of which nothing is known.
    pub fn look(&mut self, links: &BTreeMap<ViewerId, Link>, now: Instant) -> Plan {
        let link = |id: &ViewerId| links.get(id).copied().unwrap_or_default();
        let best = self.best(link);
        for (id, viewer) in &mut self.viewers {
            viewer.look(&self.steps, &best, link(id), now);
        }
        let levels = self.viewers.iter().map(|(id, viewer)| (*id, viewer.level));
        Plan {
            levels: levels.collect(),
            rates: self.rates(link),
        }
    }

    /// What the best viewer of each tier could take of it; one of which nothing is known counts for nothing here.
    fn best(&self, link: impl Fn(&ViewerId) -> Link) -> Vec<f64> {
        let mut best = vec![0.0; self.steps.len()];
        for (id, viewer) in &self.viewers {
            if let (Level::Tier(index), Some(budget)) = (viewer.level, link(id).budget())
                && let (Some(best), Some(step)) = (best.get_mut(index), self.steps.get(index))
            {
                *best = f64::max(*best, budget.min(step.most));
            }
        }
        best
    }

    fn rates(&self, link: impl Fn(&ViewerId) -> Link) -> Vec<Option<Bitrate>> {
        let best = self.best(&link);
        let lowest = self.steps.len().saturating_sub(1);
        let rate_of = |(index, step): (usize, &Step)| {
            let mut rate = None;
            for (id, viewer) in &self.viewers {
                if viewer.level != Level::Tier(index) {
                    continue;
                }
                let budget = link(id).budget().unwrap_or(step.most);
                // It is about to go down: the others do not notice.
                let counts = index == lowest || budget >= best[index] * FAR_BEHIND;
                let wish = if counts {
                    budget.clamp(step.least, step.most)
                } else {
                    step.most
                };
                rate = Some(rate.map_or(wish, |rate: f64| rate.min(wish)));
            }
            rate.map(|rate| Bitrate {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between the rates of a description, which are such numbers"
                )]
                bits_per_second: rate as u32,
            })
        };
        self.steps.iter().enumerate().map(rate_of).collect()
    }
}

/// A tier serves down to the rate of the next one, the last one down to where the picture pauses.
fn steps(video: &VideoSettings) -> Vec<Step> {
    let tiers = video.tiers();
    let rate = |rate: Bitrate| f64::from(rate.bits_per_second);
    let below = tiers.iter().skip(1).map(|tier| tier.bitrate);
    let below = below.chain([video.pause_below]);
    let both = tiers.iter().zip(below);
    both.map(|(tier, below)| Step {
        least: rate(below),
        most: rate(tier.bitrate),
    })
    .collect()
}

fn given(rate: Bitrate) -> Step {
    let rate = f64::from(rate.bits_per_second);
    Step {
        least: rate,
        most: rate,
    }
}

impl Viewer {
    fn new() -> Self {
        Self {
            level: Level::Tier(0),
            known: None,
            short: None,
            dropped: None,
            blocked: None,
            behind: None,
            ample: None,
            wait: UP_AFTER,
            climbed: None,
            paused: None,
            moved: None,
            changes: VecDeque::new(),
        }
    }

    fn look(&mut self, steps: &[Step], best: &[f64], link: Link, now: Instant) {
        while self
            .changes
            .front()
            .is_some_and(|then| now.saturating_duration_since(*then) >= MINUTE)
        {
            self.changes.pop_front();
        }
        if self
            .climbed
            .is_some_and(|then| now.saturating_duration_since(then) >= LASTS)
        {
            self.climbed = None;
            self.wait = UP_AFTER;
        }
        if let Level::Tier(index) = self.level
            && self.is_blocked(link, now)
            && index + 1 < steps.len()
        {
            self.sink(Level::Tier(index + 1), now);
            return;
        }
        let Some(budget) = link.budget() else {
            return;
        };
        self.known.get_or_insert(now);
        match self.level {
            Level::Tier(index) => {
                if let Some(level) = self.down(index, steps, best, link, budget, now) {
                    self.sink(level, now);
                    return;
                }
            }
            Level::Paused => {
                if self.is_to_be_tried_again(link, now) {
                    self.climb(Level::Tier(steps.len().saturating_sub(1)), now);
                    return;
                }
            }
        }
        if let Some(index) = self.up(steps, best, budget, now) {
            self.climb(Level::Tier(index), now);
        }
    }

    /// The level to go down to, if that is to be.
    fn down(
        &mut self,
        index: usize,
        steps: &[Step],
        best: &[f64],
        link: Link,
        budget: f64,
        now: Instant,
    ) -> Option<Level> {
        let (step, best) = (steps.get(index)?, *best.get(index)?);
        let lowest = steps.len().saturating_sub(1);
        let limit = DOWN_AFTER.max(2 * link.round_trip);
        let is_short = budget < step.least * SHORT;
        let short = lasts(&mut self.short, is_short, now);
        let is_far_too_short = budget < step.least * FAR_TOO_SHORT;
        if index == lowest {
            let is_new = self
                .moved
                .is_some_and(|at| now.saturating_duration_since(at) < SETTLES);
            let lasts = short.is_some_and(|short| short >= PAUSE_AFTER);
            return (lasts && (is_far_too_short || !is_new)).then_some(Level::Paused);
        }
        if is_far_too_short || short.is_some_and(|short| short >= limit) {
            let carried =
                |index: &usize| steps.get(*index).is_some_and(|step| budget >= step.least);
            let target = (index + 1..=lowest).find(carried).unwrap_or(lowest);
            return Some(Level::Tier(target));
        }
        let is_behind = budget.min(step.most) < best * FAR_BEHIND;
        let behind = lasts(&mut self.behind, is_behind, now);
        behind
            .filter(|behind| *behind >= limit)
            .map(|_| Level::Tier(index + 1))
    }

    /// Whether nothing gets out on our side.
    fn is_blocked(&mut self, link: Link, now: Instant) -> bool {
        if link.is_blocked {
            self.dropped = Some(now);
        }
        let is_new = |then| now.saturating_duration_since(then) < BETWEEN_FRAMES;
        let is_dropping = self.dropped.is_some_and(is_new);
        let blocked = lasts(&mut self.blocked, is_dropping, now);
        blocked.is_some_and(|blocked| blocked >= BLOCKED)
    }

    /// The tier to go up to, if that is to be.
    fn up(&mut self, steps: &[Step], best: &[f64], budget: f64, now: Instant) -> Option<usize> {
        let (end, multiple) = match self.level {
            Level::Tier(index) => (index, AMPLE),
            Level::Paused => (steps.len(), AMPLE_AFTER_PAUSE),
        };
        let fits = |(step, best): (&Step, &f64)| {
            budget >= step.least * multiple && budget.min(step.most) >= best * NOT_BEHIND
        };
        let mut better = steps.iter().zip(best).take(end);
        let Some(target) = better.position(fits) else {
            self.ample = None;
            return None;
        };
        let (since, worst) = self
            .ample
            .map_or((now, target), |(since, worst)| (since, worst.max(target)));
        self.ample = Some((since, worst));
        let is_at_first = self.is_at_first(now);
        let wait = if is_at_first && self.climbed.is_none() {
            UP_AT_FIRST
        } else {
            self.wait
        };
        let may = is_at_first || self.changes.len() < CHANGES_A_MINUTE;
        (may && now.saturating_duration_since(since) >= wait).then_some(worst)
    }

    fn is_at_first(&self, now: Instant) -> bool {
        let is_new = |known| now.saturating_duration_since(known) < AT_FIRST;
        self.known.is_some_and(is_new)
    }

    fn is_to_be_tried_again(&self, link: Link, now: Instant) -> bool {
        let wait = self.wait.max(RETRY);
        let is_over = |paused| now.saturating_duration_since(paused) >= wait;
        let may = link.is_application_limited && self.changes.len() < CHANGES_A_MINUTE;
        may && self.paused.is_some_and(is_over)
    }

    fn sink(&mut self, level: Level, now: Instant) {
        if self.climbed.take().is_some() {
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
        self.paused = (level == Level::Paused).then_some(now);
        self.moved(level, now);
    }

    fn climb(&mut self, level: Level, now: Instant) {
        self.climbed = Some(now);
        self.paused = None;
        self.moved(level, now);
    }

    fn moved(&mut self, level: Level, now: Instant) {
        self.level = level;
        self.moved = Some(now);
        self.short = None;
        self.blocked = None;
        self.behind = None;
        self.ample = None;
        if !self.is_at_first(now) {
            self.changes.push_back(now);
        }
    }
}

/// Since when something is so; forgets when it is not.
fn lasts(since: &mut Option<Instant>, is_so: bool, now: Instant) -> Option<Duration> {
    if !is_so {
        *since = None;
        return None;
    }
    let since = *since.get_or_insert(now);
    Some(now.saturating_duration_since(since))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
