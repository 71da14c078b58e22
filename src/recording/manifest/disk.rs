//! The manifest on disk: replaced whole, read with its version checked; in the second folder while its own does not take it.
//!
//! Where there is one in both folders, that in the second is the newer: it is written only where the first folder does
//! not take it, and removed when that takes it again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{FILE_NAME, Manifest, State, VERSION};
use crate::recording::places::make_private;

/// A manifest that is on disk.
#[derive(Debug)]
pub enum Saved {
    /// In the recording's own folder.
    Here,
    /// In the second folder, because of this trouble with the first.
    InSecond(io::Error),
}

/// Why a manifest is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// There is no second folder.
    #[error("{0}")]
    First(io::Error),
    /// Neither folder takes it.
    #[error("{first}; nor in {folder}: {second}")]
    Both {
        /// Of the recording's own folder.
        first: io::Error,
        /// The second folder.
        folder: PathBuf,
        /// Of that.
        second: io::Error,
    },
}

impl SaveError {
    /// The same, where the trouble of the recording's own folder is known better.
    pub fn because_of(self, cause: Option<io::Error>) -> Self {
        let Some(cause) = cause else {
            return self;
        };
        match self {
            Self::First(_) => Self::First(cause),
            Self::Both { folder, second, .. } => Self::Both {
                first: cause,
                folder,
                second,
            },
        }
    }
}

impl From<SaveError> for io::Error {
    fn from(error: SaveError) -> Self {
        Self::other(error)
    }
}

/// What of a manifest tells whether there is something to do, whatever its version.
#[derive(Debug, Deserialize)]
pub struct Glance {
    /// Where the recording stands.
    pub state: State,
    #[serde(default)]
    second_folder: Option<PathBuf>,
}

impl Glance {
    /// At the newest manifest of the recording in `folder`.
    ///
    /// # Errors
    /// Of the file system, or where it is no manifest.
    pub fn at(folder: &Path) -> io::Result<Self> {
        let own: Self = read(folder)?;
        let newer = other(folder, own.second_folder.as_deref()).map(read);
        Ok(newer.and_then(Result::ok).unwrap_or(own))
    }
}

impl Manifest {
    /// Puts it into `folder`, or where that does not take it, into its second folder; so that a reader finds either the
    /// old one or the new one, whole.
    ///
    /// # Errors
    /// Of the file system.
    pub fn save(&self, folder: &Path) -> Result<Saved, SaveError> {
        let second = self.second_beside(folder);
        let Err(first) = self.replace(folder) else {
            if let Some(second) = second {
                // The older one. Where it cannot be removed now, it is at the next save.
                let _ = fs::remove_file(second.join(FILE_NAME));
            }
            return Ok(Saved::Here);
        };
        let Some(second) = second else {
            return Err(SaveError::First(first));
        };
        let whole = self.clone().with_whole_paths(folder);
        match make_private(second).and_then(|()| whole.replace(second)) {
            Ok(()) => Ok(Saved::InSecond(first)),
            Err(error) => Err(SaveError::Both {
                first,
                folder: second.to_owned(),
                second: error,
            }),
        }
    }

    fn replace(&self, folder: &Path) -> io::Result<()> {
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

    /// Where there is what `folder`, by which the recording is known, did not take.
    pub fn second_beside(&self, folder: &Path) -> Option<&Path> {
        other(folder, self.second_folder.as_deref())
    }

    /// Reads the newest one of the recording in `folder`, which is where its files are that have no whole path.
    ///
    /// # Errors
    /// Of the file system, or where it is not a manifest of this version.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let own: Self = read(folder)?;
        let newer = own.second_beside(folder).map(read::<Self>);
        let manifest = match newer {
            Some(Ok(newer)) if newer.started == own.started => newer.with_names(folder),
            Some(Ok(_) | Err(_)) | None => own,
        };
        if manifest.version == VERSION {
            return Ok(manifest);
        }
        let message = format!(
            "version {} of {FILE_NAME} is not known; {VERSION} is",
            manifest.version
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }

    /// For a reader elsewhere than in `folder`.
    fn with_whole_paths(mut self, folder: &Path) -> Self {
        let folder = absolute(folder);
        self.files_mut()
            .for_each(|file| *file = folder.join(&*file));
        self
    }

    /// For a reader in `folder`.
    fn with_names(mut self, folder: &Path) -> Self {
        let folder = absolute(folder);
        for file in self.files_mut() {
            if let Ok(name) = file.strip_prefix(&folder) {
                *file = name.to_owned();
            }
        }
        self
    }

    fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let of_visits = self.visits.iter_mut().flat_map(|visit| {
            let files = visit.files.iter_mut().map(|entry| &mut entry.file);
            let made = visit.hls.iter_mut();
            files.chain(made.flat_map(|entry| &mut entry.playlists))
        });
        let thumbnails = self.thumbnails.iter_mut();
        of_visits.chain(thumbnails.map(|thumbnail| &mut thumbnail.file))
    }
}

fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// The second folder, for a manifest that is not in it, whichever way one came there.
fn other<'a>(folder: &Path, second: Option<&'a Path>) -> Option<&'a Path> {
    second.filter(|second| !is_same(folder, second))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let which = |path: &Path| {
        fs::metadata(path)
            .ok()
            .map(|found| (found.dev(), found.ino()))
    };
    one == other || which(one).is_some_and(|one| which(other) == Some(one))
}

fn read<T: serde::de::DeserializeOwned>(folder: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(folder.join(FILE_NAME))?)?)
}
