//! `recording.json`: what was recorded, of whom, when and into which files. `docs/manifest.md` says the same in words.
//!
//! Here are its types; `keep` takes in what the writers tell; `recover` what is found where they were
//! killed; `close` is what both have in common; `disk` writes and reads the file.

mod close;
mod disk;
mod keep;
mod playlists;
mod recover;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::report::{Size, Stem};
use crate::media::{Codec, MediaKind};
use crate::signalling::ids::{Generation, JobId, ParticipantId, RoomName};
use crate::signalling::protocol::{Kind, Sends};

pub use disk::{Glance, SaveError, Saved};
pub use playlists::PlaylistEntry;

/// The schema's version; it changes when a reader of the old one would misread the new one.
pub const VERSION: u32 = 2;
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
    /// The recorder's job; of a recording that went on after its recorder was killed, the last one.
    pub job: JobId,
    /// The description it worked by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The folder of what the recording's own folder does not take; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_folder: Option<PathBuf>,
    /// Whether it goes on. A recorder that was killed leaves `recording` behind until somebody recovers it.
    pub state: State,
    /// Why the recorder ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Because>,
    /// Of the state `failed`: why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
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
    /// When the files of a recorder that was killed were finished by another process; the recording may have gone on
    /// after that.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub recovered: Option<OffsetDateTime>,
    /// When nothing was written because somebody asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Span>,
    /// Everybody's visits, in order of arrival.
    pub visits: Vec<Visit>,
    /// Who spoke when, in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub speakers: Vec<Speaker>,
    /// Small pictures, in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thumbnails: Vec<Thumbnail>,
    /// Where the files were uploaded to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uploads: Vec<Upload>,
}

/// Where a recording stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is being written, or its recorder was killed.
    Recording,
    /// Nothing changes any more.
    Finished,
    /// Its recorder was killed; what was on disk was finished later.
    Recovered,
    /// It was finished or recovered, and every file is at its target.
    Uploaded,
    /// It could not be written, recovered or uploaded; `error` says why.
    Failed,
}

/// Why a recorder ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// Somebody stopped it.
    Stopped,
    /// It was as long as it may be.
    Duration,
    /// Its files were as large as they may be.
    Size,
    /// Nobody was heard for too long.
    Silence,
    /// Nobody was in the room for too long.
    EmptyRoom,
}

impl std::fmt::Display for Because {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stopped => "it was stopped",
            Self::Duration => "it is as long as it may be",
            Self::Size => "its files are as large as they may be",
            Self::Silence => "nobody was heard for as long as that may be",
            Self::EmptyRoom => "nobody was in the room for as long as that may be",
        })
    }
}

/// From one moment to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// When it ended; absent while it lasts.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub to: Option<OffsetDateTime>,
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
    /// Of a filter: whose media it gives back, improved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhances: Option<ParticipantId>,
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
    /// When it did not want to be recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<Span>,
    /// When it was muted, or its camera was off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutes: Vec<Mute>,
    /// Where media is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// The PeerConnections that its media came over, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<Delivered>,
    /// Frames that the disk was too slow for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_frames: u64,
    /// Why there is less than there should be, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its playlists, where some were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hls: Option<PlaylistEntry>,
    /// Its files, in order.
    pub files: Vec<MediaEntry>,
    #[serde(skip)]
    stem: Option<Stem>,
    #[serde(skip)]
    sends: Sends,
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
    /// The participant forbade it to be recorded any more.
    Forbidden,
    /// The recorder was killed, or lost its power.
    Killed,
}

/// A track that its participant switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mute {
    /// Which track.
    pub kind: TrackKind,
    /// When it was announced.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// When the track was switched on again; absent while it is off, and where it stayed off.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub to: Option<OffsetDateTime>,
}

/// A time in a track without media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Which track.
    pub kind: TrackKind,
    /// Why there is nothing.
    pub reason: GapReason,
    /// End of the last frame before it.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// Begin of the first frame after it.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
}

/// Why media is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The participant had switched the track off.
    Muted,
    /// The recorder was paused.
    Paused,
    /// The participant did not want to be recorded.
    Forbidden,
    /// The connection was replaced meanwhile.
    Reconnected,
    /// The disk did not take it.
    Disk,
    /// It did not arrive.
    Lost,
}

/// A PeerConnection that delivered media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// Which one.
    pub generation: Generation,
    /// When its first frame came.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
}

/// Somebody who spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speaker {
    /// Who.
    pub participant: ParticipantId,
    /// From when.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// Until when; absent while it lasts.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub to: Option<OffsetDateTime>,
}

/// A small picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thumbnail {
    /// Its name in the recording's folder.
    pub file: PathBuf,
    /// Whose picture; absent: everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ParticipantId>,
    /// What moment it shows.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// A target that has every file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Where: `s3://bucket/prefix/folder`.
    pub target: String,
    /// When the last file was checked there.
    #[serde(with = "time::serde::rfc3339")]
    pub finished: OffsetDateTime,
    /// Whether the files were removed here afterwards.
    #[serde(default)]
    pub removed_here: bool,
}

/// A media file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaEntry {
    /// Its name in the recording's folder; a whole path where it is in the second folder.
    pub file: PathBuf,
    /// The n-th file of the visit, from 1.
    pub part: u32,
    /// Duration, cues and size are written; nothing changes any more.
    pub finished: bool,
    /// Wall-clock time of media time zero, by the recorder's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub started: OffsetDateTime,
    /// Media time, in milliseconds.
    pub duration_ms: u64,
    /// Size on disk.
    pub bytes: u64,
    /// SHA-256 of a finished file, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
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
    /// Pixel sizes of a video track: the first, and every change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<SizeChange>,
}

/// A picture has this size from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeChange {
    /// Media time, in milliseconds.
    pub at_ms: u64,
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

/// Sound or picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum TrackKind {
    Audio,
    Video,
}

impl From<MediaKind> for TrackKind {
    fn from(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::Audio,
            MediaKind::Video => Self::Video,
        }
    }
}

/// How a track is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum TrackCodec {
    Opus,
    Aac,
    Vp8,
    H264,
    Vp9,
    Av1,
    H265,
}

impl From<Codec> for TrackCodec {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::Opus => Self::Opus,
            Codec::Vp8 => Self::Vp8,
            Codec::H264 => Self::H264,
            Codec::Vp9 => Self::Vp9,
            Codec::Av1 => Self::Av1,
            Codec::H265 => Self::H265,
            Codec::Aac => Self::Aac,
        }
    }
}

impl SizeChange {
    /// The size itself.
    pub fn size(self) -> Size {
        let Self { width, height, .. } = self;
        Size { width, height }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
