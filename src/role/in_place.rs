//! Noise suppression inside a job's own pipelines, as in a kiosk's capture: found there, and told of like a filter in a room.

use std::time::{Duration, Instant};

use gstreamer::prelude::*;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::filter::report::{FilterReport, Reporter};
use crate::media::running;

/// What the element tells is of one moment: it is looked at so often.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is told, and looked for: pipelines are replaced while the job runs.
const REPORT: Duration = Duration::from_secs(2);

/// Watches the first `attachedenoise` of this process; a worker does one job.
pub struct InPlace {
    looks: Interval,
    began: Instant,
    /// Since the job began.
    sought: Option<Duration>,
    reporter: Option<Reporter>,
}

impl Default for InPlace {
    fn default() -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            looks,
            began: Instant::now(),
            sought: None,
            reporter: None,
        }
    }
}

impl InPlace {
    /// The next report. Nothing is lost when it is not waited for to the end.
    pub async fn next(&mut self) -> FilterReport {
        loop {
            self.looks.tick().await;
            if let Some(report) = self.look() {
                return report;
            }
        }
    }

    fn look(&mut self) -> Option<FilterReport> {
        let now = self.began.elapsed();
        let is_due = |sought: Duration| now.saturating_sub(sought) >= REPORT;
        if self.reporter.is_none() && self.sought.is_none_or(is_due) {
            self.sought = Some(now);
            let pipelines = running::pipelines();
            let mut bins = pipelines.iter().map(|pipeline| pipeline.upcast_ref());
            self.reporter = bins.find_map(|bin| Reporter::find(bin, REPORT, now));
        }
        let report = self.reporter.as_mut()?.look(now)?;
        self.reporter = None;
        Some(report)
    }
}
