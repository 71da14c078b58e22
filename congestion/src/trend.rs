//! Whether the queue grows: a line through the last delays (Carlucci et al., "Congestion control for web real-time
//! communication", IEEE/ACM ToN 2017, for the threshold; the line in place of the paper's Kalman filter).

use std::collections::VecDeque;

use crate::groups::Step;

/// Steps that the line goes through.
const WINDOW: usize = 20;
/// Fewer do not make a line.
const FEWEST: usize = 10;
/// What remains of the smoothed delay with each step.
const SMOOTHING: f64 = 0.85;
/// The slope is weighed by the number of steps it rests on, up to this one, and by the gain: so that it is compared with
/// a threshold in milliseconds.
const MOST_STEPS: u32 = 60;
const GAIN: f64 = 4.0;
/// How fast the threshold follows the trend, in each millisecond: quickly up and slowly down (Carlucci et al., IV-C; the
/// draft's section 5.4), so that a TCP flow's queue raises it and jitter does not look like over-use.
const RISE: f64 = 0.01;
const FALL: f64 = 0.001;
/// Where the threshold begins, and its bounds (draft-ietf-rmcat-gcc-02, section 5.4).
const FIRST: f64 = 12.5;
const LOWEST: f64 = 6.0;
const HIGHEST: f64 = 600.0;
/// A trend that is so far beyond the threshold is an outlier: the threshold does not follow it.
const OUTLIER: f64 = 15.0;
/// The threshold follows no longer than this in a step, in milliseconds.
const LONGEST_STEP: f64 = 100.0;
/// Over-use must last as long as this, in milliseconds.
const PERSISTENCE: f64 = 10.0;

/// What the delays say of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Usage {
    /// The queue keeps its length.
    #[default]
    Normal,
    /// It grows.
    Over,
    /// It becomes shorter.
    Under,
}

/// Follows the delays.
#[derive(Debug)]
pub struct Trend {
    first: Option<f64>,
    steps: u32,
    delay: f64,
    smoothed: f64,
    points: VecDeque<(f64, f64)>,
    threshold: f64,
    threshold_at: Option<f64>,
    before: f64,
    over_for: Option<f64>,
    over_steps: u32,
    usage: Usage,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            first: None,
            steps: 0,
            delay: 0.0,
            smoothed: 0.0,
            points: VecDeque::with_capacity(WINDOW + 1),
            threshold: FIRST,
            threshold_at: None,
            before: 0.0,
            over_for: None,
            over_steps: 0,
            usage: Usage::Normal,
        }
    }
}

impl Trend {
    /// What the delays say now.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes a step from one group of packets to the next; what the delays say then.
    pub fn on_step(&mut self, step: Step) -> Usage {
        let first = *self.first.get_or_insert(step.at);
        self.steps = (self.steps + 1).min(1000);
        self.delay += step.arrived - step.sent;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.delay;
        self.points.push_back((step.at - first, self.smoothed));
        if self.points.len() > WINDOW {
            self.points.pop_front();
        }
        let slope = if self.points.len() >= FEWEST {
            slope(&self.points)
        } else {
            None
        };
        // Without a line nothing new is known.
        if let Some(slope) = slope {
            self.detect(slope, step);
        }
        self.usage
    }

    fn detect(&mut self, slope: f64, step: Step) {
        let trend = slope * f64::from(self.steps.min(MOST_STEPS)) * GAIN;
        if trend > self.threshold {
            // Half of the first step was over the threshold, on average.
            let lasted = self
                .over_for
                .map_or(step.sent / 2.0, |lasted| lasted + step.sent);
            self.over_for = Some(lasted);
            self.over_steps += 1;
            if lasted > PERSISTENCE && self.over_steps > 1 && trend >= self.before {
                self.over_for = Some(0.0);
                self.over_steps = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_for = None;
            self.over_steps = 0;
            self.usage = match trend < -self.threshold {
                true => Usage::Under,
                false => Usage::Normal,
            };
        }
        self.before = trend;
        self.adapt(trend.abs(), step.at);
    }

    fn adapt(&mut self, trend: f64, at: f64) {
        let elapsed = at - self.threshold_at.replace(at).unwrap_or(at);
        if trend > self.threshold + OUTLIER {
            return;
        }
        let pace = match trend < self.threshold {
            true => FALL,
            false => RISE,
        };
        let moved = pace * (trend - self.threshold) * elapsed.clamp(0.0, LONGEST_STEP);
        self.threshold = (self.threshold + moved).clamp(LOWEST, HIGHEST);
    }
}

/// The slope of the line that is nearest to the points; `None` where all are at one time.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let count = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    let (x, y) = (x / count, y / count);
    let (over, under) = points.iter().fold((0.0, 0.0), |sum, point| {
        let from_mean = point.0 - x;
        (
            sum.0 + from_mean * (point.1 - y),
            sum.1 + from_mean * from_mean,
        )
    });
    (under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups that leave every 10 ms; what each adds to the queue is given.
    fn usage_after(trend: &mut Trend, from: u32, grows: impl Iterator<Item = f64>) -> Usage {
        let mut at = f64::from(from) * 10.0;
        for growth in grows {
            let (sent, arrived) = (10.0, 10.0 + growth);
            at += arrived;
            trend.on_step(Step { sent, arrived, at });
        }
        trend.usage()
    }

    #[test]
    fn a_queue_that_grows_is_over_use_and_one_that_drains_is_under_use() {
        let mut trend = Trend::default();
        let steady = std::iter::repeat_n(0.0, 60);
        assert_eq!(usage_after(&mut trend, 0, steady), Usage::Normal);
        let grows = std::iter::repeat_n(3.0, 12);
        assert_eq!(usage_after(&mut trend, 60, grows), Usage::Over);
        let drains = std::iter::repeat_n(-4.0, 25);
        assert_eq!(usage_after(&mut trend, 76, drains), Usage::Under);
    }

    #[test]
    fn jitter_is_not_over_use() {
        let mut trend = Trend::default();
        let mut worst = Usage::Normal;
        for round in 0..40 {
            let jitter = [4.0, -4.0, 2.0, -2.0, 0.0, 3.0, -3.0].into_iter();
            if usage_after(&mut trend, round * 7, jitter) == Usage::Over {
                worst = Usage::Over;
            }
        }
        assert_eq!(worst, Usage::Normal);
    }

    #[test]
    fn the_threshold_rises_with_a_queue_that_others_fill() {
        let mut trend = Trend::default();
        let before = trend.threshold;
        // As TCP does: 200 ms up, 200 ms down.
        for round in 0..20 {
            let up = std::iter::repeat_n(1.0, 20);
            usage_after(
                &mut trend,
                round * 40,
                up.chain(std::iter::repeat_n(-1.0, 20)),
            );
        }
        assert!(trend.threshold > before, "{}", trend.threshold);
    }
}
