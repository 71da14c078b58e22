//! Frames whose file cannot begin yet, kept on disk until it does: a recorder that is killed meanwhile loses no more of
//! them than later.
//!
//! A file's container depends on all tracks that were announced, so its beginning waits for them. A draft holds the one
//! track that is there, in Matroska, which takes every codec. It goes when the file has its frames; where a killed
//! recorder left one, recovery makes it the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use super::container::Container;
use super::file::MediaFile;
use super::frame::{Content, Frame};
use super::report::WriteError;
use super::track::{Block, Track};

/// In front of the name of the file that a draft stands in for.
const PREFIX: &str = "draft-";

/// A draft that is being written. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct Draft {
    media: MediaFile,
    track: Track,
    began: Duration,
}

impl Draft {
    /// Begins `folder/draft-<name>.mkv` with this frame, captured at `started`; without a key frame there is nothing to
    /// begin with.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn begin(
        folder: &Path,
        name: &str,
        frame: Frame,
        started: OffsetDateTime,
    ) -> Result<Option<Self>, WriteError> {
        let Some(track) = Track::begun_by(&frame.content) else {
            return Ok(None);
        };
        let (name, tracks) = (format!("{PREFIX}{name}"), vec![track.clone()]);
        let media = MediaFile::create(folder, &name, Container::Matroska, tracks, started)?;
        let mut draft = Self {
            media,
            track,
            began: frame.at,
        };
        draft.write(frame)?;
        Ok(Some(draft))
    }

    /// Adds a frame of the same track; others are not the draft's.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn write(&mut self, frame: Frame) -> Result<(), WriteError> {
        if frame.codec() != self.track.codec() {
            return Ok(());
        }
        let block = Block {
            kind: frame.kind(),
            at: frame.at.saturating_sub(self.began),
            key: !matches!(frame.content, Content::Delta(_)),
            data: frame.data,
        };
        self.media.write(block).map(|_| ())
    }

    /// Gives the disk what it has.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.media.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(self.media.path()) {
            tracing::warn!(%error, path = %self.media.path().display(), "a draft stays where it is");
        }
    }
}

/// The path of the file that the draft at `path` stands in for; `None` if it is no draft.
pub(super) fn stands_for(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    Some(path.with_file_name(name))
}
