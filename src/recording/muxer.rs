//! The muxers as one: frames in, bytes and their places in the file out. Pure.

use std::time::Duration;

use time::OffsetDateTime;

use super::container::Container;
use super::matroska::Matroska;
use super::mp4::Mp4;
use super::ogg::Ogg;
use super::track::{Block, Cue, Patch, Track};

/// Makes the bytes of one file.
#[derive(Debug)]
pub enum Muxer {
    /// WebM and Matroska.
    Matroska(Matroska),
    /// Fragmented MP4.
    Mp4(Box<Mp4>),
    /// Ogg with Opus.
    Ogg(Ogg),
}

/// Bytes for the file's end, and for places before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// To be appended.
    pub bytes: Vec<u8>,
    /// To be written over what is there, after that.
    pub patches: Vec<Patch>,
}

impl Muxer {
    /// A file with these tracks, the first sample of which is of `started`; with the bytes that it begins with.
    pub fn new(container: Container, tracks: &[Track], started: OffsetDateTime) -> (Self, Vec<u8>) {
        match container {
            Container::WebM | Container::Matroska => {
                let (muxer, bytes) = Matroska::new(container, tracks, started);
                (Self::Matroska(muxer), bytes)
            }
            Container::Mp4 => {
                let (muxer, bytes) = Mp4::new(tracks, started);
                (Self::Mp4(Box::new(muxer)), bytes)
            }
            Container::Ogg => {
                let (muxer, bytes) = Ogg::new(started);
                (Self::Ogg(muxer), bytes)
            }
        }
    }

    /// Declares the tracks anew, for one that came late, where [`Container::takes_late_tracks`].
    pub fn declare(&mut self, tracks: &[Track]) -> Option<Patch> {
        match self {
            Self::Matroska(matroska) => Some(matroska.declare(tracks)),
            // They take no late tracks.
            Self::Mp4(_) | Self::Ogg(_) => None,
        }
    }

    /// A piece of the file that is whole in itself: frames in order of time, to stand at `offset`.
    pub fn piece(&mut self, offset: u64, blocks: &[Block]) -> Written {
        match self {
            Self::Matroska(matroska) => Written {
                bytes: matroska.cluster(blocks),
                patches: Vec::new(),
            },
            Self::Mp4(mp4) => mp4.fragment(offset, blocks),
            Self::Ogg(ogg) => Written {
                bytes: ogg.pages(blocks),
                patches: Vec::new(),
            },
        }
    }

    /// What completes a file of this duration and length.
    pub fn finish(&mut self, duration: Duration, length: u64, cues: &[Cue]) -> Written {
        match self {
            Self::Matroska(matroska) => matroska.finish(duration, length, cues),
            Self::Mp4(mp4) => mp4.finish(duration, cues),
            Self::Ogg(ogg) => Written {
                bytes: ogg.finish(),
                patches: Vec::new(),
            },
        }
    }
}
