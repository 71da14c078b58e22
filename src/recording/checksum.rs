//! SHA-256 of a file, read in pieces so that a process that ends need not wait for it.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// Read at once.
const CHUNK: usize = 256 * 1024;

/// The file's SHA-256 in hexadecimal digits; `None` if it was cancelled.
///
/// # Errors
/// Where the file cannot be read.
pub fn sha256(path: &Path, cancel: &CancellationToken) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        if cancel.is_cancelled() {
            return Ok(None);
        }
        match file.read(&mut chunk)? {
            0 => break,
            length => digest.update(&chunk[..length]),
        }
    }
    let mut text = String::with_capacity(64);
    for byte in digest.finalize() {
        // Into a string nothing can fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(Some(text))
}
