//! What a writer tells: typed events and errors, each with the name of the visit it belongs to.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

use super::hls::Told;
use super::manifest::End;
use super::session::RecordingError;
use super::thumbnails;
use crate::job;
use crate::media::speaker::Speech;
use crate::media::{Codec, MediaKind};
use crate::signalling::ids::{Generation, ParticipantId};
use crate::signalling::protocol::Sends;

/// The first half of the file names of one participant's visit: `20261122T081530Z-<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stem {
    /// Whose media it is.
    pub participant: ParticipantId,
    text: String,
}

impl Stem {
    /// For a visit of `participant` that begins at `at`; `visit` counts the visits of the same second from 1.
    pub fn new(at: OffsetDateTime, participant: ParticipantId, visit: u32) -> Self {
        let mut text = format!("{}-{participant}", compact_utc(at));
        if visit > 1 {
            text.push_str(&format!(".{visit}"));
        }
        Self { participant, text }
    }

    /// The name of a part, counted from 1, without its extension.
    pub fn part(&self, part: u32) -> String {
        if part > 1 {
            format!("{}-{part}", self.text)
        } else {
            self.text.clone()
        }
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `20261122T081530Z`: UTC for a file's name.
pub(super) fn compact_utc(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    at.format(format_description!(
        "[year][month][day]T[hour][minute][second]Z"
    ))
    .unwrap_or_else(|_| "unknown".to_owned())
}

/// One thing that happened to the media of one visit.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which visit, of which participant.
    pub stem: Stem,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A file was begun; its header and its first frames are on disk.
    Started(FileReport),
    /// A file grew, or got another track: about once per second.
    Progress(FileReport),
    /// A file is finished: duration, cues and size are written.
    Finished(FileReport),
    /// No key frame has come since the start or since a loss: ask the sender for one (RTCP PLI).
    KeyFrameNeeded,
    /// The participant announced other tracks: mute, camera off, and back.
    Sends(Sends),
    /// Another PeerConnection began to deliver.
    Generation(Generation),
    /// Nothing of this kind came for a while; what follows is in its right place.
    Gap {
        /// Sound or picture.
        kind: MediaKind,
        /// Wall-clock time of the end of the last frame before it.
        from: OffsetDateTime,
        /// Of the begin of the first one after it.
        to: OffsetDateTime,
        /// It came, but the disk did not take it.
        disk: bool,
    },
    /// The disk does not keep up and frames were thrown away; `dropped` counts them since the visit began.
    Behind {
        /// Sound and pictures that are missing in the file.
        dropped: u64,
    },
    /// Something is to be told of the visit's playlist.
    Hls(Told),
    /// A thumbnail was made, or could not be.
    Thumbnail(thumbnails::Told),
    /// What comes is not written until [`Event::GoesOn`], or where it is [`WriteError::Unsupported`], to the end of the
    /// visit. What is on disk stays playable.
    Failed(WriteError),
    /// The disk, or another one, takes media again: into this file.
    GoesOn(PathBuf),
    /// The visit is over; nothing comes after this.
    Ended(End),
}

/// A file as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Its name in the recording's folder; a whole path where it is in the second folder.
    pub file: PathBuf,
    /// The n-th file of the visit, from 1.
    pub part: u32,
    /// Wall-clock time of its first sample.
    pub started: OffsetDateTime,
    /// Media time in it.
    pub duration: Duration,
    /// Its size on disk.
    pub bytes: u64,
    /// SHA-256 of a finished file, in hexadecimal digits, once it is known.
    pub sha256: Option<String>,
    /// What is in it.
    pub tracks: Vec<TrackReport>,
}

/// A track of a file as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackReport {
    /// The codec, which tells the kind too.
    pub codec: Codec,
    /// Time of its first sample in the file.
    pub offset: Duration,
    /// Frames in the file.
    pub frames: u64,
    /// Pixel sizes of a video track, each with the media time from which it holds; the first 1000.
    pub sizes: Vec<(Duration, Size)>,
}

/// Pixels of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

/// Why nothing is written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The file could not be made.
    #[error(
        "cannot create {path}: {message}; the folder must exist, be writable and have room: then writing goes on"
    )]
    Create {
        /// Where.
        path: PathBuf,
        /// What kind of trouble.
        kind: io::ErrorKind,
        /// The system's words.
        message: String,
    },
    /// No space is left.
    #[error(
        "the disk is full: {path} stops at {bytes} bytes and stays playable; free space there, and writing goes on"
    )]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// Size up to which it is good.
        bytes: u64,
    },
    /// The file was removed or replaced by somebody else.
    #[error(
        "{path} vanished while it was written; mount its disk again, and leave the files of a running recording in their place"
    )]
    Vanished {
        /// Where.
        path: PathBuf,
    },
    /// Writing failed for another reason.
    #[error(
        "cannot write {path}: {message}; it stops at {bytes} bytes and stays playable; look after its disk, and writing goes on"
    )]
    Io {
        /// Where.
        path: PathBuf,
        /// Size up to which it is good.
        bytes: u64,
        /// The system's words.
        message: String,
    },
    /// The media is nothing this writer can put into a file.
    #[error("cannot record {kind:?} of {found}; give {expected}")]
    Unsupported {
        /// Sound or picture.
        kind: MediaKind,
        /// The caps that came, or what else is wrong.
        found: String,
        /// The caps that would be right.
        expected: &'static str,
    },
}

impl WriteError {
    /// A file could not be made.
    pub(super) fn create(path: &Path, error: &io::Error) -> Self {
        Self::Create {
            path: path.to_owned(),
            kind: error.kind(),
            message: error.to_string(),
        }
    }

    /// Whether room is missing.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Create { kind, .. } => is_full(*kind),
            Self::DiskFull { .. } => true,
            Self::Vanished { .. } | Self::Io { .. } | Self::Unsupported { .. } => false,
        }
    }
}

/// Whether room is missing on the disk, or of what this user may take of it.
pub(super) fn is_full(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// What is told of a whole recording.
#[derive(Debug)]
pub enum News {
    /// Something happened to the media of one visit.
    Visit(Report),
    /// Somebody else speaks, or nobody any more.
    Speech(Speech),
    /// The recording's folder cannot be made, or its manifest not be written there; it is tried again.
    Trouble(RecordingError),
}

impl News {
    /// The same for the job's events, where it is of interest there.
    pub fn job_event(&self) -> Option<job::Event> {
        match self {
            Self::Visit(report) => report.job_event(),
            Self::Speech(speech) => Some(job::Event::Speech(speech.clone())),
            Self::Trouble(error) => Some(job::Event::Error {
                message: error.to_string(),
                fatal: false,
            }),
        }
    }
}

impl Report {
    /// The same for the job's events, where it is of interest there.
    pub fn job_event(&self) -> Option<job::Event> {
        match &self.event {
            Event::Started(file) | Event::Progress(file) => Some(self.recording(file, false)),
            Event::Finished(file) => Some(self.recording(file, true)),
            Event::Behind { dropped } => Some(job::Event::Error {
                message: format!(
                    "{}: the disk does not keep up; {dropped} frames are missing in the file",
                    self.stem
                ),
                fatal: false,
            }),
            Event::Failed(error) => Some(job::Event::Error {
                message: error.to_string(),
                fatal: false,
            }),
            Event::Hls(told) => self.of_playlist(told),
            Event::GoesOn(file) => Some(job::Event::Notice {
                message: format!("writing goes on: {}", file.display()),
            }),
            Event::Thumbnail(thumbnails::Told::Failed(why)) => Some(job::Event::Error {
                message: format!("no thumbnail was made, the recording goes on: {why}"),
                fatal: false,
            }),
            Event::Thumbnail(thumbnails::Told::Made { .. } | thumbnails::Told::KeyFrameNeeded)
            | Event::KeyFrameNeeded
            | Event::Sends(_)
            | Event::Generation(_)
            | Event::Gap { .. }
            | Event::Ended(_) => None,
        }
    }

    fn of_playlist(&self, told: &Told) -> Option<job::Event> {
        let error = |message| {
            Some(job::Event::Error {
                message,
                fatal: false,
            })
        };
        match told {
            Told::Begun(playlist) => Some(job::Event::Notice {
                message: format!("HLS can be played from {}", playlist.display()),
            }),
            Told::GoesOn => Some(job::Event::Notice {
                message: format!("the HLS of {} goes on", self.stem),
            }),
            Told::LeftOut(codec) => error(format!(
                "the HLS of {} is without {}, which it does not carry; leave it out of `codecs` in the description",
                self.stem,
                codec.name()
            )),
            Told::Stuck(why) => error(format!(
                "the HLS stands still, the recording goes on: {why}"
            )),
            Told::Ended(_) | Told::KeyFrameNeeded | Told::Grown(..) => None,
        }
    }

    fn recording(&self, file: &FileReport, finished: bool) -> job::Event {
        job::Event::Recording {
            participant: self.stem.participant.clone(),
            file: file.file.clone(),
            bytes: file.bytes,
            duration_ms: u64::try_from(file.duration.as_millis()).unwrap_or(u64::MAX),
            finished,
        }
    }
}
