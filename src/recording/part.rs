//! The file that is being written, with what there is to tell of it: as it was received, and as it is on disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::aac;
use super::file::{Ending, MediaFile};
use super::frame::Content;
use super::holes::Holes;
use super::places::Place;
use super::report::{Event, FileReport, Size, TrackReport, WriteError};
use super::track::{Block, Track};
use crate::media::MediaKind;

/// Time between two progress reports, and between two looks at whether the file is still in its place.
const PROGRESS: Duration = Duration::from_secs(1);
/// The last picture of a file is not counted as longer than this.
pub(super) const LAST_PICTURE: Duration = Duration::from_millis(100);
/// Changes of size that a track's report lists.
const SIZES: usize = 1000;
/// So long nothing of a kind has come, then it is told as a gap: for sound, more than the longest frame of Opus;
/// for pictures, more than the slowest rate that cameras have in the dark.
const SILENT: Duration = Duration::from_millis(150);
const STILL: Duration = Duration::from_secs(1);

/// One part that is being written.
pub(super) struct Open {
    media: MediaFile,
    place: Place,
    /// With the frames that wait to be written.
    seen: Seen,
    /// Without them.
    kept: Seen,
    /// Frames wait to be written.
    waits: bool,
    is_told: bool,
    reported: Instant,
}

/// What there is to tell of a file.
#[derive(Clone)]
struct Seen {
    report: FileReport,
    /// Of the last picture.
    picture_at: Option<Duration>,
    /// Until when there is sound, and a picture.
    sound_until: Option<Duration>,
    picture_until: Option<Duration>,
}

impl Open {
    /// A file with nothing but its header, in this place; `entry` is its name there.
    pub(super) fn new(
        media: MediaFile,
        place: Place,
        entry: PathBuf,
        part: u32,
        started: OffsetDateTime,
        tracks: &[Track],
    ) -> Self {
        let report = FileReport {
            file: entry,
            part,
            started,
            duration: Duration::ZERO,
            bytes: media.bytes(),
            sha256: None,
            tracks: tracks.iter().map(track_report).collect(),
        };
        let seen = Seen {
            report,
            picture_at: None,
            sound_until: None,
            picture_until: None,
        };
        Self {
            media,
            place,
            kept: seen.clone(),
            seen,
            waits: false,
            is_told: false,
            reported: Instant::now(),
        }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn path(&self) -> &Path {
        self.media.path()
    }

    /// Adds a track to the header.
    pub(super) fn declare(&mut self, track: Track) -> Result<(), WriteError> {
        self.seen.report.tracks.push(track_report(&track));
        self.media.declare(track)
    }

    /// Takes a frame; says whether those before it came to disk, and tells of a gap in front of it.
    pub(super) fn write(
        &mut self,
        block: Block,
        content: &Content,
    ) -> Result<(bool, Option<Event>), WriteError> {
        let (kind, at) = (block.kind, block.at);
        let landed = self.media.write(block)?;
        if landed {
            self.keep();
        }
        self.waits = true;
        Ok((landed, self.seen.note(kind, at, content)))
    }

    /// Writes what waits; says whether something did.
    pub(super) fn flush(&mut self) -> Result<bool, WriteError> {
        if !self.waits {
            return Ok(false);
        }
        self.media.flush()?;
        self.keep();
        self.waits = false;
        Ok(true)
    }

    fn keep(&mut self) {
        self.kept = self.seen.clone();
        self.kept.report.bytes = self.media.bytes();
    }

    /// Its first frames are on disk: the report, the first time.
    pub(super) fn begun(&mut self) -> Option<FileReport> {
        let is_told = std::mem::replace(&mut self.is_told, true);
        (!is_told).then(|| self.kept.report.clone())
    }

    /// A report of what is on disk, when it is time for one.
    pub(super) fn progress(&mut self) -> Result<Option<FileReport>, WriteError> {
        if !self.is_told || self.reported.elapsed() < PROGRESS {
            return Ok(None);
        }
        self.reported = Instant::now();
        self.media.check_place()?;
        Ok(Some(self.kept.report.clone()))
    }

    /// Gaps that end with what is on disk here.
    pub(super) fn close_holes(&self, holes: &mut Holes) -> Vec<Event> {
        let report = &self.kept.report;
        let tracks = report.tracks.iter().filter(|track| track.frames > 0);
        tracks
            .filter_map(|track| holes.end(track.codec.kind(), report.started + track.offset))
            .collect()
    }

    /// What was received and did not come to disk, and whatever follows it.
    pub(super) fn leave_holes(&self, holes: &mut Holes) {
        let started = self.seen.report.started;
        for track in self
            .seen
            .report
            .tracks
            .iter()
            .filter(|track| track.frames > 0)
        {
            let kind = track.codec.kind();
            let from = self.kept.until(kind).unwrap_or(track.offset);
            let to = self.seen.until(kind).unwrap_or(from);
            holes.miss(kind, started + from, started + to);
        }
    }

    /// Finishes the file; `None` if nothing came into it: then there is none.
    pub(super) fn finish(mut self) -> Option<(FileReport, Result<Ending, WriteError>)> {
        if !self.is_told {
            self.media.remove();
            return None;
        }
        let finished = self.media.finish(self.kept.report.duration);
        // A file that is there no more is finished all the same: its disk may come back.
        let ending = self.media.check_place().and(finished);
        self.kept.report.bytes = self.media.bytes();
        Some((self.kept.report, ending))
    }
}

impl Seen {
    /// Keeps the report true; tells of a gap in front of the frame.
    fn note(&mut self, kind: MediaKind, at: Duration, content: &Content) -> Option<Event> {
        let of_kind = |track: &&mut TrackReport| track.codec.kind() == kind;
        let track = self.report.tracks.iter_mut().find(of_kind)?;
        if track.frames == 0 {
            track.offset = at;
        }
        track.frames += 1;
        let end = match content {
            Content::Opus { duration } => at + *duration,
            Content::Aac(_) => at + aac::frame_duration(),
            Content::Key(picture) => {
                track.see(at, picture.size);
                self.picture_end(at)
            }
            Content::Delta(_) => self.picture_end(at),
        };
        self.report.duration = self.report.duration.max(end);
        let (until, longest) = match kind {
            MediaKind::Audio => (&mut self.sound_until, SILENT),
            MediaKind::Video => (&mut self.picture_until, STILL),
        };
        let before = until.replace(end)?;
        (at > before + longest).then(|| Event::Gap {
            kind,
            from: self.report.started + before,
            to: self.report.started + at,
            disk: false,
        })
    }

    /// A picture is taken to stay as long as the one before it did.
    fn picture_end(&mut self, at: Duration) -> Duration {
        let before = self.picture_at.replace(at).unwrap_or(at);
        at + at.saturating_sub(before).min(LAST_PICTURE)
    }

    fn until(&self, kind: MediaKind) -> Option<Duration> {
        match kind {
            MediaKind::Audio => self.sound_until,
            MediaKind::Video => self.picture_until,
        }
    }
}

impl TrackReport {
    fn see(&mut self, at: Duration, size: Size) {
        let changes = self.sizes.last().is_none_or(|(_, last)| *last != size);
        if changes && self.sizes.len() < SIZES {
            self.sizes.push((at, size));
        }
    }
}

fn track_report(track: &Track) -> TrackReport {
    TrackReport {
        codec: track.codec(),
        offset: Duration::ZERO,
        frames: 0,
        sizes: Vec::new(),
    }
}
