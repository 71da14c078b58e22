//! What a filter at work tells of itself, a few times in a minute.

use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use serde::{Deserialize, Serialize};

/// The noise suppression of one participant's sound: the sums since it began, the rest of the last two seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FilterReport {
    /// Frames that the engines had, 10 ms each.
    pub frames: u64,
    /// The mean time for a frame, in microseconds.
    pub mean_us: u64,
    /// What 99 % of the frames did not exceed, in microseconds.
    pub p99_us: u64,
    /// Processing time over the sound's time.
    pub load: f64,
    /// By how many dB the sound became less loud, at the most: between words, where only noise is.
    pub suppression_db: f64,
    /// The probability that somebody speaks, 0 to 1, at the most.
    pub voice: f64,
    /// The sound goes out as it came in: wanted, or because the engine rests.
    pub bypassed: bool,
    /// How often the engine had to rest.
    pub rests: u64,
}

/// Looks at an `attachedenoise` several times for each report: what it tells of itself is of one moment.
#[derive(Debug)]
pub struct Reporter {
    element: gst::Element,
    every: Duration,
    told: Duration,
    suppression_db: f64,
    voice: f64,
}

impl Reporter {
    /// For the first `attachedenoise` in a bin; none where there is none.
    pub fn find(bin: &gst::Bin, every: Duration, now: Duration) -> Option<Self> {
        let mut elements = bin.iterate_recurse().into_iter().flatten();
        let ours = |element: &gst::Element| {
            element
                .factory()
                .is_some_and(|factory| factory.name() == "attachedenoise")
        };
        Some(Self {
            element: elements.find(ours)?,
            every,
            told: now,
            suppression_db: 0.0,
            voice: 0.0,
        })
    }

    /// Looks; a report when it is time for one.
    pub fn look(&mut self, now: Duration) -> Option<FilterReport> {
        let element = &self.element;
        self.suppression_db = self.suppression_db.max(element.property("suppression-db"));
        self.voice = self.voice.max(element.property("voice"));
        if now.saturating_sub(self.told) < self.every {
            return None;
        }
        self.told = now;
        Some(FilterReport {
            frames: element.property("frames"),
            mean_us: element.property("mean-us"),
            p99_us: element.property("p99-us"),
            load: element.property("load"),
            suppression_db: std::mem::take(&mut self.suppression_db),
            voice: std::mem::take(&mut self.voice),
            bypassed: element.property("bypassed"),
            rests: element.property("rests"),
        })
    }
}
