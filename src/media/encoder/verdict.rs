//! What became of proving an encoder, and in which words it is told.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pipeline::Settings;

/// The sizes that encoders are proven at; a picture counts as the next larger one.
const SIZES: [(u32, u32); 7] = [
    (320, 180),
    (640, 360),
    (960, 540),
    (1280, 720),
    (1920, 1080),
    (2560, 1440),
    (3840, 2160),
];
/// The rates that encoders are proven at, likewise.
const RATES: [u32; 4] = [15, 30, 60, 120];

/// A class of pictures: what works for one of them works for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Class {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Pictures per second.
    pub framerate: u32,
}

impl Class {
    /// The class that a description's picture belongs to.
    pub fn of(settings: &Settings) -> Self {
        let video = &settings.video;
        let pixels = u64::from(video.width) * u64::from(video.height);
        let size = SIZES
            .into_iter()
            .find(|(width, height)| u64::from(width * height) >= pixels);
        let (width, height) = size.unwrap_or((video.width, video.height));
        let rate = RATES.into_iter().find(|rate| *rate >= video.framerate);
        Self {
            width,
            height,
            framerate: rate.unwrap_or(video.framerate),
        }
    }

    /// The time between two pictures.
    pub fn interval(self) -> Duration {
        Duration::from_secs(1) / self.framerate.max(1)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} at {}/s", self.width, self.height, self.framerate)
    }
}

/// What became of proving an encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verdict {
    /// It makes pictures that a decoder reads, and key frames when asked.
    Works {
        /// What one frame takes, in microseconds; the median.
        frame_us: u64,
        /// How like the decoded picture is, in dB.
        psnr_db: f64,
        /// What the decoder took for a frame, in microseconds.
        decode_us: u64,
    },
    /// It works but cannot keep up.
    TooSlow {
        /// What one frame takes, in microseconds; the median.
        frame_us: u64,
        /// What it may take.
        interval_us: u64,
    },
    /// An element said that it does not work.
    Failed {
        /// What it said.
        reason: String,
    },
    /// What it made is not what went in, or no key frame came.
    Wrong {
        /// What was found.
        reason: String,
    },
    /// Its process ended.
    Crashed {
        /// How.
        reason: String,
    },
    /// Nothing came out any more.
    Hung {
        /// When it was given up.
        reason: String,
    },
}

impl Verdict {
    /// Whether it may be used.
    pub fn works(&self) -> bool {
        matches!(self, Self::Works { .. })
    }

    /// What one frame takes, where it was measured.
    pub fn time_per_frame(&self) -> Option<Duration> {
        match self {
            Self::Works { frame_us, .. } | Self::TooSlow { frame_us, .. } => {
                Some(Duration::from_micros(*frame_us))
            }
            Self::Failed { .. } | Self::Wrong { .. } | Self::Crashed { .. } | Self::Hung { .. } => {
                None
            }
        }
    }
}

/// Microseconds as milliseconds with one digit.
fn milliseconds(us: &u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works { frame_us, .. } => {
                write!(f, "works, {} per frame", milliseconds(frame_us))
            }
            Self::TooSlow {
                frame_us,
                interval_us,
            } => write!(
                f,
                "too slow, {} per frame where {} are allowed",
                milliseconds(frame_us),
                milliseconds(interval_us)
            ),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
            Self::Wrong { reason } => write!(f, "makes wrong pictures: {reason}"),
            Self::Crashed { reason } => write!(f, "crashed: {reason}"),
            Self::Hung { reason } => write!(f, "hung: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::encoder::tests::settings;

    #[test]
    fn a_picture_belongs_to_the_next_larger_class() {
        let mut settings = settings();
        assert_eq!(Class::of(&settings).to_string(), "1280x720 at 30/s");
        settings.video.width = 1282;
        settings.video.framerate = 31;
        assert_eq!(Class::of(&settings).to_string(), "1920x1080 at 60/s");
        (settings.video.width, settings.video.height) = (7680, 4320);
        assert_eq!(Class::of(&settings).to_string(), "7680x4320 at 60/s");
    }

    #[test]
    fn verdicts_are_told_in_a_sentence_and_survive_json() {
        let verdict = Verdict::Works {
            frame_us: 3149,
            psnr_db: 41.5,
            decode_us: 900,
        };
        assert_eq!(verdict.to_string(), "works, 3.1 ms per frame");
        let json = serde_json::to_string(&verdict).unwrap();
        assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
    }
}
