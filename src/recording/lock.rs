//! Tells a recording that goes on from one whose recorder was killed: an advisory lock (`flock(2)`) on a small file.
//!
//! The kernel gives the lock back when its process ends, however it ends. A file and not the folder itself is locked,
//! since network file systems lock only what is open for writing.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock's name in the recording's folder.
pub const FILE_NAME: &str = ".lock";

/// The lock of a recording's folder, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the folder's lock; `None` if somebody holds it.
    ///
    /// # Errors
    /// Where the folder is not there or not writable.
    pub fn take(folder: &Path) -> io::Result<Option<Self>> {
        let path = folder.join(FILE_NAME);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file, path })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether somebody holds the folder's lock; changes nothing.
    ///
    /// # Errors
    /// Where the lock cannot be looked at.
    pub fn is_held(folder: &Path) -> io::Result<bool> {
        let file = match File::open(folder.join(FILE_NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Gives it back for good: the recording is closed, and nobody needs the file any more.
    pub fn remove(self) {
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}
