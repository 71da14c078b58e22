//! One growing media file: whole pieces are appended, what stands before is completed in place.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use super::container::Container;
use super::muxer::{Muxer, Written};
use super::report::{WriteError, is_full};
use super::track::{Block, Cue, Patch, Track};
use crate::media::MediaKind;

/// Least time between two cues at key frames.
const CUE_AT_KEY: Duration = Duration::from_millis(500);
/// Time after which a cue is made at a piece without a key frame.
const CUE_AT_SOUND: Duration = Duration::from_secs(5);

/// How a file was finished.
#[derive(Debug, Clone)]
pub enum Ending {
    /// With everything that belongs to it.
    Whole,
    /// With its duration, but the disk had no room for the cues: players seek more slowly.
    WithoutCues(WriteError),
}

/// A media file that is being written.
#[derive(Debug)]
pub struct MediaFile {
    file: File,
    path: PathBuf,
    muxer: Muxer,
    /// A piece is written when it is so long.
    piece: Duration,
    tracks: Vec<Track>,
    /// Up to here the file is good.
    length: u64,
    /// Frames of the next piece: a cluster, a fragment, some pages.
    open: Vec<Block>,
    cues: Vec<Cue>,
}

impl MediaFile {
    /// Creates `folder/name` with the container's extension, readable for its owner only, and writes the header.
    ///
    /// # Errors
    /// [`WriteError::Create`] where there is no such folder, no right, no room, or such a file already.
    pub fn create(
        folder: &Path,
        name: &str,
        container: Container,
        tracks: Vec<Track>,
        started: OffsetDateTime,
    ) -> Result<Self, WriteError> {
        let path = folder.join(format!("{name}.{}", container.extension()));
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let file = opened.map_err(|error| WriteError::create(&path, &error))?;
        let (muxer, header) = Muxer::new(container, &tracks, started);
        let this = Self {
            file,
            path,
            muxer,
            piece: container.piece(),
            tracks,
            length: header.len() as u64,
            open: Vec::new(),
            cues: Vec::new(),
        };
        if let Err(error) = this.file.write_all_at(&header, 0) {
            let error = WriteError::create(&this.path, &error);
            this.remove();
            return Err(error);
        }
        Ok(this)
    }

    /// Removes the file: nothing came into it.
    pub fn remove(self) {
        // On a disk that is gone it is gone, too.
        let _ = fs::remove_file(&self.path);
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// Adds a track to the header.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn declare(&mut self, track: Track) -> Result<(), WriteError> {
        self.tracks.push(track);
        let patch = self.muxer.declare(&self.tracks);
        patch.map_or(Ok(()), |patch| self.apply(&patch))
    }

    /// Puts a frame into the open piece, after writing a piece that is long enough: says whether it did, and so everything
    /// before this frame is on disk.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn write(&mut self, block: Block) -> Result<bool, WriteError> {
        let is_due = self.open.first().is_some_and(|first| {
            let picture = block.key && block.kind == MediaKind::Video;
            picture || block.at < first.at || block.at - first.at >= self.piece
        });
        if is_due {
            self.flush()?;
        }
        self.open.push(block);
        Ok(is_due)
    }

    /// Writes the open piece.
    ///
    /// # Errors
    /// As the disk has them; the file is then cut back to its last whole piece, and the open one is lost.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let Some(first) = self.open.first() else {
            return Ok(());
        };
        let (at, kind, key) = (first.at, first.kind, first.key);
        let offset = self.length;
        let piece = self.muxer.piece(offset, &self.open);
        self.open.clear();
        self.put(&piece)?;
        let due = cue_is_due(self.cues.last(), at, kind, key);
        if due {
            self.cues.push(Cue { at, kind, offset });
        }
        Ok(())
    }

    /// Writes the last piece, cues, duration and size, and waits until the disk has them.
    ///
    /// # Errors
    /// As the disk has them. As much as could be completed is; the file is playable in any case.
    pub fn finish(&mut self, duration: Duration) -> Result<Ending, WriteError> {
        self.flush()?;
        let rest = self.muxer.finish(duration, self.length, &self.cues);
        let ending = match self.append(&rest.bytes) {
            Ok(()) => {
                self.apply_all(&rest.patches)?;
                Ending::Whole
            }
            // Without the cues, which others point at, there is still the duration.
            Err(full) => {
                let less = self.muxer.finish(duration, self.length, &[]);
                self.apply_all(&less.patches)?;
                Ending::WithoutCues(full)
            }
        };
        self.file.sync_all().map_err(|error| self.error(&error))?;
        Ok(ending)
    }

    /// Whether the file is still where it was made.
    ///
    /// # Errors
    /// [`WriteError::Vanished`] if it is not.
    pub fn check_place(&self) -> Result<(), WriteError> {
        let same = match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
            (Err(_), _) | (_, Err(_)) => false,
        };
        if same {
            Ok(())
        } else {
            Err(WriteError::Vanished {
                path: self.path.clone(),
            })
        }
    }

    fn put(&mut self, written: &Written) -> Result<(), WriteError> {
        self.append(&written.bytes)?;
        self.apply_all(&written.patches)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if let Err(error) = self.file.write_all_at(bytes, self.length) {
            // Half a piece at the end would be noise to players; if it cannot be cut they skip it.
            let _ = self.file.set_len(self.length);
            return Err(self.error(&error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn apply_all(&self, patches: &[Patch]) -> Result<(), WriteError> {
        patches.iter().try_for_each(|patch| self.apply(patch))
    }

    fn apply(&self, patch: &Patch) -> Result<(), WriteError> {
        self.file
            .write_all_at(&patch.bytes, patch.offset)
            .map_err(|error| self.error(&error))
    }

    fn error(&self, error: &io::Error) -> WriteError {
        let (path, bytes) = (self.path.clone(), self.length);
        if is_full(error.kind()) {
            return WriteError::DiskFull { path, bytes };
        }
        let message = error.to_string();
        WriteError::Io {
            path,
            bytes,
            message,
        }
    }
}

/// Whether readers should find the cluster that begins with such a frame.
pub(super) fn cue_is_due(last: Option<&Cue>, at: Duration, kind: MediaKind, key: bool) -> bool {
    let since = last.map_or(Duration::MAX, |cue| at.saturating_sub(cue.at));
    match kind {
        MediaKind::Video => key && since >= CUE_AT_KEY,
        MediaKind::Audio => since >= CUE_AT_SOUND,
    }
}
