//! When a probe is due, and how fast: at the beginning up and up, after a deep cut, and now and then.

use std::time::Duration;

use crate::probe::{self, Finding};
use crate::rate::Rate;

/// Between probes that look whether the link carries more.
const EVERY: Duration = Duration::from_secs(3);
/// And no more often than that probes take this part of what the link carries: on a narrow one each is a queue of its own.
const PART: u32 = 40;
/// A probe of twice the rate: what a link gained is found in two.
const FACTOR: f64 = 2.0;
/// Not so soon after a cut: the queue that it answered is still there, or somebody else's.
const AFTER_CUT: Duration = Duration::from_millis(1500);
/// A finding of this part of what was tried, with room left, is followed by another probe at once.
const GOOD: f64 = 0.7;
/// The queue has to be as short as this.
const SHORT: Duration = Duration::from_millis(20);
/// A rate that fell below this part of what it was is asked for again soon.
const DEEP: f64 = 0.66;
/// So soon.
const RECOVERY: Duration = Duration::from_secs(2);

/// What decides about a probe.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// What may be sent.
    pub target: Rate,
    /// More is never wanted.
    pub most: Rate,
    /// What the newest packet waited.
    pub queue: Duration,
    /// Somebody else fills the queue.
    pub is_others: bool,
    /// The delays say that nothing is wrong.
    pub is_normal: bool,
    /// The last cut.
    pub cut_at: Option<Duration>,
}

/// When the next probe is due.
#[derive(Debug, Default)]
pub struct Schedule {
    next_at: Option<Duration>,
    follow_up: Option<Rate>,
    tried: Option<Rate>,
    lost: Option<Rate>,
}

impl Schedule {
    /// The rate of the probe that is due.
    pub fn due(&mut self, view: &View, now: Duration) -> Option<Rate> {
        let next_at = *self.next_at.get_or_insert(now + EVERY);
        let may = view.is_normal
            && !view.is_others
            && view.queue < SHORT
            && view.target < view.most
            && view.cut_at.is_none_or(|at| now > at + AFTER_CUT);
        if !may {
            return None;
        }
        let rate = match self.follow_up.take() {
            Some(rate) => rate,
            None if now >= next_at => self.lost.take().unwrap_or(view.target * FACTOR),
            None => return None,
        };
        let rate = rate.max(view.target * 1.2).min(view.most);
        self.tried = Some(rate);
        let takes = view.target.time_for(probe::bytes_of(rate) as f64);
        self.next_at = Some(now + EVERY.max(takes * PART));
        Some(rate)
    }

    /// Takes what a probe found.
    pub fn on_found(&mut self, finding: Finding) {
        let is_good = self.tried.is_none_or(|tried| finding.rate > tried * GOOD);
        self.follow_up = (is_good && !finding.is_full).then(|| finding.rate * FACTOR);
    }

    /// The rate was cut from one to another.
    pub fn on_cut(&mut self, from: Rate, to: Rate, now: Duration) {
        self.follow_up = None;
        if to < from * DEEP {
            let lost = self.lost.unwrap_or(from).max(from);
            self.lost = Some(lost * 0.85);
            self.next_at = Some(now + RECOVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(target: u32) -> View {
        View {
            target: Rate::from_kilobits(target),
            most: Rate::from_kilobits(6000),
            queue: Duration::ZERO,
            is_others: false,
            is_normal: true,
            cut_at: None,
        }
    }

    fn found(kilobits: u32, is_full: bool) -> Finding {
        let rate = Rate::from_kilobits(kilobits);
        Finding { rate, is_full }
    }

    #[test]
    fn a_good_finding_is_followed_at_once_and_a_full_link_is_left_alone_for_a_while() {
        let mut schedule = Schedule::default();
        let at = Duration::from_secs;
        schedule.on_found(found(2000, false));
        assert_eq!(
            schedule.due(&view(2000), at(1)),
            Some(Rate::from_kilobits(4000))
        );
        schedule.on_found(found(2500, true));
        assert_eq!(schedule.due(&view(2300), at(2)), None);
        assert_eq!(
            schedule.due(&view(2300), at(4)),
            Some(Rate::from_kilobits(4600))
        );
    }

    #[test]
    fn nothing_is_probed_while_a_queue_is_there_or_enough_is_known() {
        let mut schedule = Schedule::default();
        let at = Duration::from_secs;
        assert_eq!(schedule.due(&view(1000), at(1)), None);
        let queue = Duration::from_millis(30);
        assert_eq!(
            schedule.due(
                &View {
                    queue,
                    ..view(1000)
                },
                at(9)
            ),
            None
        );
        assert_eq!(schedule.due(&view(6000), at(9)), None);
        let is_others = true;
        assert_eq!(
            schedule.due(
                &View {
                    is_others,
                    ..view(1000)
                },
                at(9)
            ),
            None
        );
        assert_eq!(
            schedule.due(&view(1000), at(9)),
            Some(Rate::from_kilobits(2000))
        );
    }

    #[test]
    fn after_a_deep_cut_the_old_rate_is_asked_for() {
        let mut schedule = Schedule::default();
        let at = Duration::from_secs;
        let rate = Rate::from_kilobits;
        schedule.on_cut(rate(2000), rate(500), at(10));
        assert_eq!(schedule.due(&view(500), at(11)), None);
        assert_eq!(schedule.due(&view(500), at(12)), Some(rate(1700)));
    }
}
