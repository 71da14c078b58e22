//! Finishes a media file that a killed recorder left: what is torn goes, duration and index come. By container.
//!
//! A repaired file holds every whole piece (cluster) that was on disk. Repairing it again changes nothing, and a repair
//! that is itself interrupted can be repeated.

mod input;
mod matroska;
mod mp4;
mod ogg;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use super::manifest::{SizeChange, TrackCodec, TrackEntry, TrackKind};
use super::muxer::Written;
use super::part::LAST_PICTURE;
use super::report::Size;
use super::track::Patch;

/// What a file holds once it is repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Wall-clock time of its first sample, where the file tells it.
    pub started: Option<OffsetDateTime>,
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

/// Whether a file's name is one that can be repaired.
pub fn is_media(path: &Path) -> bool {
    scanner(path).is_some()
}

/// Looks through a file of one container.
type Scanner = fn(&Path, &File) -> Result<Scan, RepairError>;

fn scanner(path: &Path) -> Option<Scanner> {
    match path.extension()?.to_str()? {
        "webm" | "mkv" => Some(matroska::scan),
        "mp4" => Some(mp4::scan),
        "opus" => Some(ogg::scan),
        _ => None,
    }
}

/// Says what [`repair`] would make of the file, and changes nothing.
///
/// # Errors
/// As [`repair`].
pub fn examine(path: &Path) -> Result<Repaired, RepairError> {
    let scan = scanner(path).ok_or_else(|| unknown(path))?;
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    Ok(scan(path, &file)?.result())
}

/// Completes the file in its place, and waits until the disk has it.
///
/// # Errors
/// Where it cannot be read or written, holds nothing, or is not one of ours.
pub fn repair(path: &Path) -> Result<Repaired, RepairError> {
    let scan = scanner(path).ok_or_else(|| unknown(path))?;
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|source| io_error(path, source))?;
    let scan = scan(path, &file)?;
    scan.complete(&file)
        .map_err(|source| io_error(path, source))?;
    Ok(scan.result())
}

fn unknown(path: &Path) -> RepairError {
    RepairError::Foreign {
        path: path.to_owned(),
        found: "its name ends in no known way",
        expected: ".webm, .mkv, .mp4 or .opus",
    }
}

fn io_error(path: &Path, source: io::Error) -> RepairError {
    RepairError::Io {
        path: path.to_owned(),
        source,
    }
}

/// What is in a file, and what it lacks.
#[derive(Debug)]
struct Scan {
    tally: Tally,
    started: Option<OffsetDateTime>,
    length: u64,
    /// End of the last whole piece.
    end: u64,
    /// Bytes in front of it that belong to no piece, and what makes players skip them.
    skipped: u64,
    skips: Vec<Patch>,
    /// What belongs behind the last piece, and over what stands before.
    rest: Written,
    /// All of that is there.
    complete: bool,
}

impl Scan {
    fn result(self) -> Repaired {
        let Self { length, end, .. } = self;
        let (bytes, torn) = match self.complete {
            true => (length, 0),
            false => (
                end + self.rest.bytes.len() as u64,
                self.skipped + (length - end),
            ),
        };
        Repaired {
            started: self.started,
            duration: self.tally.duration,
            bytes,
            torn,
            tracks: self.tally.tracks,
            changed: !self.complete,
        }
    }

    /// The order matters: interrupted at any place, the file plays, and the next repair does the rest.
    fn complete(&self, file: &File) -> io::Result<()> {
        if self.complete {
            return Ok(());
        }
        let put = |patch: &Patch| file.write_all_at(&patch.bytes, patch.offset);
        self.skips.iter().try_for_each(put)?;
        file.set_len(self.end)?;
        file.write_all_at(&self.rest.bytes, self.end)?;
        self.rest.patches.iter().try_for_each(put)?;
        file.sync_all()
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

    /// A frame of this length; that of a picture, and of sound that does not tell, is reckoned.
    fn frame(&mut self, kind: TrackKind, at: Duration, length: Option<Duration>) {
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
        let length = match kind {
            TrackKind::Audio => length.unwrap_or_default(),
            TrackKind::Video => {
                let before = self.picture_at.replace(at).unwrap_or(at);
                at.saturating_sub(before).min(LAST_PICTURE)
            }
        };
        self.duration = self.duration.max(at + length);
    }
}

#[cfg(test)]
mod tests;
