//! Finishes a media file that a killed recorder left: what is torn goes, duration and index come. By container.
//!
//! A repaired file holds every whole piece (cluster) that was on disk. Repairing it again changes nothing, and a repair
//! that is itself interrupted can be repeated.

mod matroska;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::frame::opus_duration;
use super::manifest::{SizeChange, TrackCodec, TrackEntry, TrackKind};
use super::parts::LAST_PICTURE;
use super::report::Size;

/// What a file holds once it is repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Media time in it.
    pub duration: Duration,
    /// Its size.
    pub bytes: u64,
    /// Bytes that belonged to no whole piece and are gone, or in the middle are skipped by players.
    pub torn: u64,
    /// What is in it. Of the sizes of a picture, the first.
    pub tracks: Vec<TrackEntry>,
    /// Something had to be done.
    pub changed: bool,
}

/// Why a file cannot be repaired. It is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The file system refuses.
    #[error("{path} cannot be repaired: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
    /// It ends before its first media.
    #[error("{path} holds no media: it ends within its header, after {bytes} bytes")]
    NoMedia {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It is laid out as no recorder of attache does it.
    #[error("{path} is no file of a recording: {found}; expected {expected}")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        found: &'static str,
        /// What would be right.
        expected: &'static str,
    },
}

/// Containers that can be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    /// WebM is Matroska.
    Matroska,
}

impl Container {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "webm" | "mkv" => Some(Self::Matroska),
            _ => None,
        }
    }
}

/// Whether a file's name is one that can be repaired.
pub fn is_media(path: &Path) -> bool {
    Container::of(path).is_some()
}

/// Says what [`repair`] would make of the file, and changes nothing.
///
/// # Errors
/// As [`repair`].
pub fn examine(path: &Path) -> Result<Repaired, RepairError> {
    match Container::of(path) {
        Some(Container::Matroska) => matroska::examine(path),
        None => Err(unknown(path)),
    }
}

/// Completes the file in its place, and waits until the disk has it.
///
/// # Errors
/// Where it cannot be read or written, holds nothing, or is not one of ours.
pub fn repair(path: &Path) -> Result<Repaired, RepairError> {
    match Container::of(path) {
        Some(Container::Matroska) => matroska::repair(path),
        None => Err(unknown(path)),
    }
}

fn unknown(path: &Path) -> RepairError {
    RepairError::Foreign {
        path: path.to_owned(),
        found: "its name ends in no known way",
        expected: ".webm or .mkv",
    }
}

/// Counts what is found in a file, as the recorder counts what it writes.
#[derive(Debug, Default)]
struct Tally {
    tracks: Vec<TrackEntry>,
    duration: Duration,
    picture_at: Option<Duration>,
}

impl Tally {
    fn declare(&mut self, codec: TrackCodec, size: Option<Size>) {
        let kind = match codec {
            TrackCodec::Opus | TrackCodec::Aac => TrackKind::Audio,
            TrackCodec::Vp8
            | TrackCodec::H264
            | TrackCodec::Vp9
            | TrackCodec::Av1
            | TrackCodec::H265 => TrackKind::Video,
        };
        let first = |size: Size| SizeChange {
            at_ms: 0,
            width: size.width,
            height: size.height,
        };
        self.tracks.push(TrackEntry {
            kind,
            codec,
            offset_ms: 0,
            frames: 0,
            sizes: size.map(first).into_iter().collect(),
        });
    }

    fn frame(&mut self, kind: TrackKind, at: Duration, data: &[u8]) {
        let of_kind = |track: &&mut TrackEntry| track.kind == kind;
        let Some(track) = self.tracks.iter_mut().find(of_kind) else {
            return;
        };
        if track.frames == 0 {
            track.offset_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            track
                .sizes
                .iter_mut()
                .for_each(|size| size.at_ms = track.offset_ms);
        }
        track.frames += 1;
        let length = match (kind, track.codec) {
            (TrackKind::Audio, TrackCodec::Opus) => opus_duration(data).unwrap_or_default(),
            // 1024 samples at 48 kHz.
            (TrackKind::Audio, _) => Duration::from_micros(21_333),
            (TrackKind::Video, _) => {
                let before = self.picture_at.replace(at).unwrap_or(at);
                at.saturating_sub(before).min(LAST_PICTURE)
            }
        };
        self.duration = self.duration.max(at + length);
    }
}

#[cfg(test)]
mod tests;
