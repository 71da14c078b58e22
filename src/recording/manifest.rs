//! `recording.json`: what was recorded, of whom, when and into which files. `docs/manifest.md` says the same in words.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::report::{Event, FileReport, Report, Size, Stem};
use crate::media::{Codec, MediaKind};
use crate::signalling::ids::{JobId, ParticipantId, RoomName};
use crate::signalling::protocol::{Kind, Participant};

/// The schema's version; it changes when a reader of the old one would misread the new one.
pub const VERSION: u32 = 1;
/// The manifest's name in the recording's folder.
pub const FILE_NAME: &str = "recording.json";

/// Everything about one recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// Where the recorder was.
    pub room: RoomName,
    /// The recorder's job.
    pub job: JobId,
    /// Whether it goes on. A recorder that was killed leaves `recording` behind.
    pub state: State,
    /// When the recorder began.
    #[serde(with = "time::serde::rfc3339")]
    pub started: OffsetDateTime,
    /// When the recorder was done.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub finished: Option<OffsetDateTime>,
    /// Everybody's visits, in order of arrival.
    pub visits: Vec<Visit>,
}

/// Whether a recording goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is being written.
    Recording,
    /// Nothing changes any more.
    Finished,
}

/// One participant from arrival to leave; who comes back has another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Visit {
    /// The participant.
    pub participant: ParticipantId,
    /// What it is.
    pub kind: Kind,
    /// The name it is shown by; only where the recorder was told to write names down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When its recording began.
    #[serde(with = "time::serde::rfc3339")]
    pub arrived: OffsetDateTime,
    /// When its recording ended.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub left: Option<OffsetDateTime>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<End>,
    /// Frames that the disk was too slow for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_frames: u64,
    /// Why there is less than there should be, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its files, in order.
    pub files: Vec<MediaEntry>,
    #[serde(skip)]
    stem: Option<Stem>,
}

/// Why a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The participant left.
    Left,
    /// The connection to it was lost.
    Lost,
    /// The recorder was stopped.
    Stopped,
}

/// A media file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaEntry {
    /// Its name in the recording's folder.
    pub file: PathBuf,
    /// The n-th file of the visit, from 1.
    pub part: u32,
    /// Duration, cues and size are written; nothing changes any more.
    pub finished: bool,
    /// Wall-clock time of the first sample, by the recorder's clock when it was received.
    #[serde(with = "time::serde::rfc3339")]
    pub started: OffsetDateTime,
    /// Media time, in milliseconds.
    pub duration_ms: u64,
    /// Size on disk.
    pub bytes: u64,
    /// What is in it.
    pub tracks: Vec<TrackEntry>,
}

/// A track of a media file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackEntry {
    /// Sound or picture.
    pub kind: TrackKind,
    /// How it is encoded.
    pub codec: TrackCodec,
    /// Media time of its first sample, in milliseconds: its wall-clock time is the file's `started` and this.
    pub offset_ms: u64,
    /// Frames in the file.
    pub frames: u64,
    /// Pixel sizes of a video track in order of appearance, each once, the first 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<Size>,
}

/// Sound or picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum TrackKind {
    Audio,
    Video,
}

/// How a track is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum TrackCodec {
    Opus,
    Vp8,
    H264,
    Vp9,
    Av1,
    H265,
}

impl Manifest {
    /// Of a recording that begins.
    pub fn new(room: RoomName, job: JobId, started: OffsetDateTime) -> Self {
        let state = State::Recording;
        Self {
            version: VERSION,
            room,
            job,
            state,
            started: round(started),
            finished: None,
            visits: Vec::new(),
        }
    }

    /// A participant's recording begins; `name` is written down as it is given.
    pub fn arrived(
        &mut self,
        stem: Stem,
        participant: &Participant,
        name: Option<String>,
        now: OffsetDateTime,
    ) {
        self.visits.push(Visit {
            participant: participant.id.clone(),
            kind: participant.kind,
            name,
            arrived: round(now),
            left: None,
            ended: None,
            dropped_frames: 0,
            error: None,
            files: Vec::new(),
            stem: Some(stem),
        });
    }

    /// Takes in what a writer tells. Says whether it is worth saving at once.
    pub fn apply(&mut self, report: &Report, now: OffsetDateTime) -> bool {
        let Some(visit) = self
            .visits
            .iter_mut()
            .find(|visit| visit.stem.as_ref() == Some(&report.stem))
        else {
            return false;
        };
        match &report.event {
            Event::Started(file) => visit.set_file(file, false),
            Event::Progress(file) => {
                visit.set_file(file, false);
                return false;
            }
            Event::Finished(file) => visit.set_file(file, true),
            Event::KeyFrameNeeded => return false,
            Event::Behind { dropped } => visit.dropped_frames = *dropped,
            Event::Failed(error) => visit.error = Some(error.to_string()),
            Event::Ended(why) => {
                visit.left = Some(round(now));
                visit.ended = Some(*why);
            }
        }
        true
    }

    /// The recorder is done.
    pub fn finish(&mut self, now: OffsetDateTime) {
        self.state = State::Finished;
        self.finished = Some(round(now));
    }

    /// Puts it into `folder` so that a reader finds either the old one or the new one, whole.
    ///
    /// # Errors
    /// Of the file system.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        let temporary = folder.join(".recording.json.new");
        let replaced = self
            .write_to(&temporary)
            .and_then(|()| fs::rename(&temporary, folder.join(FILE_NAME)));
        if replaced.is_err() {
            // Half a manifest on a full disk is of no use to anybody.
            let _ = fs::remove_file(&temporary);
        }
        replaced?;
        File::open(folder)?.sync_all()
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(&text)?;
        file.sync_all()
    }

    /// Reads the one in `folder`.
    ///
    /// # Errors
    /// Of the file system, or where it is not a manifest of this version.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let manifest: Self = serde_json::from_slice(&fs::read(folder.join(FILE_NAME))?)?;
        if manifest.version == VERSION {
            return Ok(manifest);
        }
        let message = format!(
            "version {} of {FILE_NAME} is not known; {VERSION} is",
            manifest.version
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }
}

impl Visit {
    fn set_file(&mut self, report: &FileReport, finished: bool) {
        let entry = MediaEntry::new(report, finished);
        match self.files.iter_mut().find(|file| file.part == report.part) {
            Some(file) => *file = entry,
            None => self.files.push(entry),
        }
    }
}

impl MediaEntry {
    fn new(report: &FileReport, finished: bool) -> Self {
        let track = |track: &super::report::TrackReport| TrackEntry {
            kind: match track.codec.kind() {
                MediaKind::Audio => TrackKind::Audio,
                MediaKind::Video => TrackKind::Video,
            },
            codec: match track.codec {
                Codec::Opus => TrackCodec::Opus,
                Codec::Vp8 => TrackCodec::Vp8,
                Codec::H264 => TrackCodec::H264,
                Codec::Vp9 => TrackCodec::Vp9,
                Codec::Av1 => TrackCodec::Av1,
                Codec::H265 => TrackCodec::H265,
            },
            offset_ms: milliseconds(track.offset),
            frames: track.frames,
            sizes: track.sizes.clone(),
        };
        Self {
            file: report.file.clone(),
            part: report.part,
            finished,
            started: round(report.started),
            duration_ms: milliseconds(report.duration),
            bytes: report.bytes,
            tracks: report.tracks.iter().map(track).collect(),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// UTC, to the millisecond: more would be a pretence.
fn round(at: OffsetDateTime) -> OffsetDateTime {
    let at = at.to_offset(time::UtcOffset::UTC);
    at.replace_millisecond(at.millisecond()).unwrap_or(at)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
