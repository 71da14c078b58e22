//! Small files, written so that a reader finds all of one or nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Puts a file into its place, readable for its owner only: a reader finds all of it, or what was there before. Does not
/// wait until the disk has it.
///
/// # Errors
/// Of the file system; then nothing of it is left.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Half a file on a full disk is of no use to anybody.
        let _ = fs::remove_file(&temporary);
    }
    written
}
