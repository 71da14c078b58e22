//! What a link carries, from what was sent and what came of it: the parts put together.

use std::time::Duration;

use crate::acknowledged::Acknowledged;
use crate::aimd::{Aimd, Bounds, Input};
use crate::feedback::Feedback;
use crate::groups::Groups;
use crate::history::{History, Reported};
use crate::jump::{self, Jump};
use crate::limited::Limited;
use crate::loss::Loss;
use crate::probe::{Plan, ProbeId, Probes};
use crate::queue::Queue;
use crate::rate::Rate;
use crate::schedule::{Schedule, View};
use crate::trend::{Trend, Usage};

/// Until the first feedback packets leave this fast: the first key frame is the first probe.
const OPENING: Rate = Rate::from_megabits(8);
/// But no more than this.
const OPENING_BYTES: usize = 40_000;
/// What the first probe has to have, to find something.
const OPENING_PROBE: usize = 8_000;
/// Where the link was full lately, packets leave this much faster than the rate; else they may hurry.
const CLOSE: f64 = 1.1;
const HURRY: f64 = 2.5;
/// When less than this part of the rate arrives, the link has become much narrower: nothing is sent until what is on the
/// way has arrived, at most for so long.
const COLLAPSED: f64 = 0.7;
const LONGEST_HOLD: Duration = Duration::from_millis(300);
/// A standing queue is what no packet of so long was without.
const STANDING: Duration = Duration::from_millis(400);
/// Without feedback for so long, the rate is halved.
const SILENCE: Duration = Duration::from_secs(3);
/// What remains of the smoothed round trip with each feedback.
const SMOOTHING: f64 = 0.8;
/// When the queue stays although no more than this part of what arrived without it arrives, it is somebody else's.
const OTHERS: f64 = 0.75;
/// When this part of it arrives, or nothing was lost for so long, nobody else is there any more.
const OURS: f64 = 0.9;
const LOSSLESS: Duration = Duration::from_secs(30);

/// Where a connection begins, and between what it stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// What is sent before anything is known.
    pub start: Rate,
    /// Not below.
    pub least: Rate,
    /// More is of no use: it is not looked for.
    pub most: Rate,
}

/// What is known at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Status {
    /// What may be sent.
    pub target: Rate,
    /// What arrives.
    pub acknowledged: Option<Rate>,
    /// The part of the packets that is lost, 0 to 1, smoothed.
    pub loss: f64,
    /// To the other side and back, with the wait for the feedback: smoothed.
    pub round_trip: Duration,
    /// How long packets wait on the way.
    pub queue: Duration,
    /// Less is sent than may be.
    pub is_limited: bool,
    /// Probes that were sent.
    pub probes: u32,
}

/// Follows one connection.
#[derive(Debug)]
pub struct Controller {
    settings: Settings,
    history: History,
    groups: Groups,
    trend: Trend,
    acknowledged: Acknowledged,
    queue: Queue,
    standing: Standing,
    loss: Loss,
    limited: Limited,
    was_limited: bool,
    aimd: Aimd,
    probes: Probes,
    schedule: Schedule,
    /// What arrived while the queue was empty.
    proven: Option<Rate>,
    jump: Jump,
    is_beside: bool,
    lost_at: Option<Duration>,
    round_trip: Duration,
    began: Option<Duration>,
    heard_at: Option<Duration>,
    hold_until: Duration,
}

impl Controller {
    /// One that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            history: History::default(),
            groups: Groups::default(),
            trend: Trend::default(),
            acknowledged: Acknowledged::default(),
            queue: Queue::default(),
            standing: Standing::default(),
            loss: Loss::default(),
            limited: Limited::default(),
            was_limited: false,
            aimd: Aimd::new(settings.start, bounds(&settings)),
            probes: Probes::default(),
            schedule: Schedule::default(),
            proven: None,
            jump: Jump::default(),
            is_beside: false,
            lost_at: None,
            round_trip: Duration::ZERO,
            began: None,
            heard_at: None,
            hold_until: Duration::ZERO,
        }
    }

    /// Other bounds; where it began does not change.
    pub fn set_most(&mut self, most: Rate) {
        self.settings.most = most;
        self.aimd.set_bounds(bounds(&self.settings));
    }

    /// What is known now.
    pub fn status(&self) -> Status {
        Status {
            target: self.aimd.target(),
            acknowledged: self.acknowledged.rate(),
            loss: self.loss.fraction(),
            round_trip: self.round_trip,
            queue: self.queue.delay(),
            is_limited: self.limited.is_limited(),
            probes: self.probes.made(),
        }
    }

    /// Whether the other side has answered yet.
    pub fn has_heard(&self) -> bool {
        self.heard_at.is_some()
    }

    /// How fast packets may leave.
    pub fn pacing_rate(&self) -> Rate {
        let target = self.aimd.target();
        match (self.has_heard(), self.aimd.capacity()) {
            (false, _) => OPENING.max(target),
            (true, _) if self.aimd.drains() => target,
            (true, Some(_)) => target * CLOSE,
            (true, None) => target * HURRY,
        }
    }

    /// Nothing but sound may leave until then.
    pub fn hold_until(&self, now: Duration) -> Duration {
        let opening = !self.has_heard() && self.history.in_flight(now) > OPENING_BYTES;
        match opening {
            true => self.hold_until.max(now + Duration::from_millis(5)),
            false => self.hold_until,
        }
    }

    /// Notes a packet as it goes out; `is_padding` of one that only fills a probe.
    pub fn on_sent(
        &mut self,
        sequence: u16,
        bytes: usize,
        (probe, is_padding): (Option<ProbeId>, bool),
        now: Duration,
    ) {
        self.began.get_or_insert(now);
        self.history.on_sent(sequence, bytes, probe, now);
        if !is_padding {
            self.limited.on_sent(bytes, now);
        }
    }

    /// A probe that is due.
    pub fn probe(&mut self, now: Duration) -> Option<Plan> {
        if self.probes.is_under_way(now) {
            return None;
        }
        if self.probes.made() == 0 {
            return self.probes.begin_with(OPENING, OPENING_PROBE, now);
        }
        self.heard_at?;
        let view = View {
            target: self.aimd.target(),
            most: self.settings.most,
            queue: self.queue.delay(),
            is_others: self.is_beside,
            is_normal: self.trend.usage() == Usage::Normal && !self.aimd.drains(),
            cut_at: self.aimd.cut_at(),
        };
        let rate = self.schedule.due(&view, now)?;
        self.probes.begin(rate, now)
    }

    /// The probe under way ended early, after so many bytes.
    pub fn on_probe_ended(&mut self, bytes: usize) {
        self.probes.end_with(bytes);
    }

    /// Time passes; to be called ten times a second or more.
    pub fn on_time(&mut self, now: Duration) {
        self.limited.update(self.aimd.target(), now);
        let Some(heard) = self.heard_at.or(self.began) else {
            return;
        };
        let quiet = heard.max(self.aimd.cut_at().unwrap_or_default());
        let waits_for_answer = self.history.in_flight(now) > 0;
        if waits_for_answer && now > quiet + SILENCE {
            self.aimd.on_silence(now);
        }
    }

    /// Takes what the other side says of packets.
    pub fn on_feedback(&mut self, feedback: &Feedback, now: Duration) {
        let reported = self.history.on_feedback(feedback);
        let Some(newest) = reported.iter().rfind(|packet| packet.arrival.is_some()) else {
            // All were lost, or are known already.
            self.loss.on_reported(&reported, now);
            return;
        };
        let round_trip = now.saturating_sub(newest.sent);
        self.round_trip = match self.has_heard() {
            true => self.round_trip.mul_f64(SMOOTHING) + round_trip.mul_f64(1.0 - SMOOTHING),
            false => round_trip,
        };
        self.heard_at = Some(now);
        let was_limited = std::mem::replace(&mut self.was_limited, self.limited.is_limited());
        if was_limited && !self.was_limited {
            // A larger picture has come: what arrived so far is not what the link carries.
            self.acknowledged.expect_change();
        }
        self.acknowledged.on_reported(&reported);
        let queue_before = self.queue.delay();
        self.queue.on_reported(&reported, now);
        if self.queue.is_empty(now) {
            self.proven = self.acknowledged.rate().or(self.proven);
        }
        self.standing.on_delay(self.queue.least(), now);
        let loss = self.loss.on_reported(&reported, now);
        let mut usage = self.follow(&reported);
        let mut acknowledged = self.arriving();
        if let Some(rate) = self.jump(&reported, queue_before, now) {
            usage = Usage::Over;
            acknowledged = Some(rate);
            self.acknowledged.restart(rate);
        }
        self.look_beside(now);
        let is_limited = self.limited.update(self.aimd.target(), now);
        let before = self.aimd.target();
        let input = Input {
            usage,
            loss,
            acknowledged,
            queue: self.queue.delay(),
            standing: self.standing.least(now),
            is_others: self.is_beside,
            has_lost: self.loss.has_lost(),
            is_limited,
            round_trip: self.round_trip,
        };
        self.aimd.update(&input, now);
        self.on_moved(before, &input, now);
        if let Some(finding) = self.probes.on_reported(&reported) {
            self.schedule.on_found(finding);
            if self.aimd.on_found(finding, now) {
                self.acknowledged.expect_change();
            }
        }
    }

    /// What the delays of these packets say: over-use, if they did at any moment.
    fn follow(&mut self, reported: &[Reported]) -> Usage {
        let mut was_over = false;
        for packet in reported {
            let step = packet
                .arrival
                .and_then(|at| self.groups.on_packet(packet.sent, at));
            if let Some(step) = step {
                was_over |= self.trend.on_step(step) == Usage::Over;
            }
        }
        match was_over {
            true => Usage::Over,
            false => self.trend.usage(),
        }
    }

    /// What the link carries, if it became much narrower just now.
    fn jump(
        &mut self,
        reported: &[Reported],
        queue_before: Duration,
        now: Duration,
    ) -> Option<Rate> {
        let view = jump::View {
            reported,
            target: self.aimd.target(),
            queue: &self.queue,
            queue_before,
            flying: self.history.in_flight(now),
            says_something: !self.limited.is_limited() && !self.is_beside,
        };
        let verdict = self.jump.look(&view, now);
        self.hold_until = verdict.hold_until.unwrap_or(self.hold_until);
        verdict.carries
    }

    /// What arrives; at the beginning what came in at last.
    fn arriving(&self) -> Option<Rate> {
        self.acknowledged
            .rate()
            .or_else(|| self.acknowledged.recent())
    }

    /// Looks whether somebody else fills the queue: it does not become empty although much less of ours arrives than
    /// when it was. That holds until it becomes empty, or all is ours again, or nothing is lost for long.
    fn look_beside(&mut self, now: Duration) {
        let (Some(proven), Some(arriving)) = (self.proven, self.acknowledged.rate()) else {
            return;
        };
        if self.loss.has_lost() {
            self.lost_at = Some(now);
        }
        let is_lossless = self.lost_at.is_none_or(|at| now > at + LOSSLESS);
        if self.is_beside {
            let is_ours = arriving > proven * OURS;
            self.is_beside = !self.queue.is_empty(now) && !is_ours && !is_lossless;
        } else if self.queue.is_others(now) && arriving < proven * OTHERS {
            self.is_beside = true;
            self.lost_at = Some(now);
            self.aimd.on_beside(proven);
        }
        self.queue.keep_shortest(self.is_beside);
    }

    /// After a deep cut what is on the way is waited for.
    fn on_moved(&mut self, before: Rate, input: &Input, now: Duration) {
        let target = self.aimd.target();
        if target >= before {
            return;
        }
        self.schedule.on_cut(before, target, now);
        let Some(arriving) = input.acknowledged else {
            return;
        };
        let has_collapsed = input.usage == Usage::Over && arriving < before * COLLAPSED;
        if has_collapsed && !input.is_others && !input.is_limited {
            let drain = arriving.time_for(self.history.in_flight(now) as f64);
            self.hold_until = now + drain.min(LONGEST_HOLD);
            self.acknowledged.expect_change();
        }
    }
}

fn bounds(settings: &Settings) -> Bounds {
    Bounds {
        least: settings.least,
        most: settings.most,
    }
}

/// The shortest wait of the last moments.
#[derive(Debug, Default)]
struct Standing {
    delays: std::collections::VecDeque<(Duration, Duration)>,
}

impl Standing {
    fn on_delay(&mut self, delay: Duration, now: Duration) {
        self.delays.push_back((now, delay));
    }

    fn least(&mut self, now: Duration) -> Duration {
        while self.delays.len() > 1
            && self
                .delays
                .front()
                .is_some_and(|seen| seen.0 + STANDING < now)
        {
            self.delays.pop_front();
        }
        let is_long = self
            .delays
            .front()
            .is_some_and(|seen| now - seen.0 > STANDING / 2);
        let least = self.delays.iter().map(|seen| seen.1).min();
        least.filter(|_| is_long).unwrap_or_default()
    }
}
