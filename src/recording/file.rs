//! One growing media file: whole clusters are appended, the header is completed in place.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use super::matroska::{self, Block, Container, Cue, Header, Patch, Track};
use super::report::WriteError;
use crate::media::MediaKind;

/// A cluster is written when it is so long: what a killed process loses at most, besides what waits for its order.
const CLUSTER: Duration = Duration::from_millis(250);
/// Least time between two cues at key frames.
const CUE_AT_KEY: Duration = Duration::from_millis(500);
/// Time after which a cue is made at a cluster without a key frame.
const CUE_AT_SOUND: Duration = Duration::from_secs(5);

/// A media file that is being written.
#[derive(Debug)]
pub struct MediaFile {
    file: File,
    path: PathBuf,
    header: Header,
    tracks: Vec<Track>,
    /// Up to here the file is good.
    length: u64,
    cluster: Vec<Block>,
    cues: Vec<Cue>,
}

impl MediaFile {
    /// Creates `folder/name.webm` or `.mkv`, readable for its owner only, and writes the header.
    ///
    /// # Errors
    /// [`WriteError::Create`] where there is no such folder, no right, or such a file already;
    /// the others where the header cannot be written.
    pub fn create(
        folder: &Path,
        name: &str,
        tracks: Vec<Track>,
        started: OffsetDateTime,
    ) -> Result<Self, WriteError> {
        let path = folder.join(format!(
            "{name}.{}",
            Container::for_tracks(&tracks).extension()
        ));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| WriteError::Create {
                path: path.clone(),
                message: error.to_string(),
            })?;
        let header = Header::new(&tracks, started);
        let mut this = Self {
            file,
            path,
            header,
            tracks,
            length: 0,
            cluster: Vec::new(),
            cues: Vec::new(),
        };
        let bytes = std::mem::take(&mut this.header.bytes);
        this.append(&bytes)?;
        Ok(this)
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
        let patch = self.header.declare(&self.tracks);
        self.apply(&patch)
    }

    /// Puts a frame into the open cluster, after writing a cluster that is long enough.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn write(&mut self, block: Block) -> Result<(), WriteError> {
        if let Some(first) = self.cluster.first() {
            let picture = block.key && block.kind == MediaKind::Video;
            if picture || block.at < first.at || block.at - first.at >= CLUSTER {
                self.flush()?;
            }
        }
        self.cluster.push(block);
        Ok(())
    }

    /// Writes the open cluster.
    ///
    /// # Errors
    /// As the disk has them; the file is then cut back to its last whole cluster.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let Some(first) = self.cluster.first() else {
            return Ok(());
        };
        let (at, kind, key) = (first.at, first.kind, first.key);
        let bytes = matroska::cluster(at, &self.cluster);
        let position = self.header.position(self.length);
        self.cluster.clear();
        self.append(&bytes)?;
        let since = self
            .cues
            .last()
            .map_or(Duration::MAX, |cue| at.saturating_sub(cue.at));
        let due = match kind {
            MediaKind::Video => key && since >= CUE_AT_KEY,
            MediaKind::Audio => since >= CUE_AT_SOUND,
        };
        if due {
            self.cues.push(Cue { at, kind, position });
        }
        Ok(())
    }

    /// Writes the last cluster, cues, duration and size, and waits until the disk has them.
    ///
    /// # Errors
    /// As the disk has them. As much as could be completed is; the file is playable in any case.
    pub fn finish(&mut self, duration: Duration) -> Result<(), WriteError> {
        let flushed = self.flush();
        let cues_at = self.length;
        let cues = matroska::cues(&self.cues);
        let cued = if self.cues.is_empty() {
            Ok(())
        } else {
            self.append(&cues)
        };
        let place = (cued.is_ok() && !self.cues.is_empty()).then_some(cues_at);
        let completed = self
            .header
            .complete(duration, place, self.length)
            .iter()
            .try_for_each(|patch| self.apply(patch));
        let synced = self.file.sync_all().map_err(|error| self.error(&error));
        flushed.and(cued).and(completed).and(synced)
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

    fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if let Err(error) = self.file.write_all_at(bytes, self.length) {
            // Half a cluster at the end would be noise to players; if it cannot be cut they skip it.
            let _ = self.file.set_len(self.length);
            return Err(self.error(&error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn apply(&self, patch: &Patch) -> Result<(), WriteError> {
        self.file
            .write_all_at(&patch.bytes, patch.offset)
            .map_err(|error| self.error(&error))
    }

    fn error(&self, error: &io::Error) -> WriteError {
        let (path, bytes) = (self.path.clone(), self.length);
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                WriteError::DiskFull { path, bytes }
            }
            _ => WriteError::Io {
                path,
                bytes,
                message: error.to_string(),
            },
        }
    }
}
