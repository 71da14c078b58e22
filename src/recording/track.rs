//! What every container is made of: tracks and frames on the way in, bytes with their places on the way out.

use std::time::Duration;

use super::aac;
use super::frame::{Content, Picture};
use crate::media::{Codec, MediaKind};

/// A track as a file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Track {
    /// Opus, two channels: a decoder gives mono packets out on both.
    Opus,
    /// AAC.
    Aac(aac::Configuration),
    /// A picture, as the first key frame is.
    Video(Picture),
}

impl Track {
    /// The one that a frame can begin; none can begin with a picture that needs those before it.
    pub fn begun_by(content: &Content) -> Option<Self> {
        match content {
            Content::Opus { .. } => Some(Self::Opus),
            Content::Aac(configuration) => Some(Self::Aac(configuration.clone())),
            Content::Key(picture) => Some(Self::Video(picture.clone())),
            Content::Delta(_) => None,
        }
    }

    /// Its codec.
    pub fn codec(&self) -> Codec {
        match self {
            Self::Opus => Codec::Opus,
            Self::Aac(_) => Codec::Aac,
            Self::Video(picture) => picture.codec,
        }
    }

    /// Sound or picture.
    pub fn kind(&self) -> MediaKind {
        self.codec().kind()
    }
}

/// The track's number in a file.
pub(super) fn track_number(kind: MediaKind) -> u8 {
    match kind {
        MediaKind::Video => 1,
        MediaKind::Audio => 2,
    }
}

/// A frame of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Sound or picture.
    pub kind: MediaKind,
    /// Since the file's first sample.
    pub at: Duration,
    /// Decoding can begin here.
    pub key: bool,
    /// The frame.
    pub data: Vec<u8>,
}

/// Where a reader can start: a piece that begins with a key frame, or with sound where there is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cue {
    /// Time of the frame to start with.
    pub at: Duration,
    /// Whose frame it is.
    pub kind: MediaKind,
    /// Of the piece, from the file's start.
    pub offset: u64,
}

/// Bytes to be written over what is at this place of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// From the file's start.
    pub offset: u64,
    /// The new bytes.
    pub bytes: Vec<u8>,
}
