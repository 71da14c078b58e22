//! The manifest on disk: replaced whole, read with its version checked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{FILE_NAME, Manifest, VERSION};

impl Manifest {
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
