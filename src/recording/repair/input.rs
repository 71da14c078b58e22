//! A file that is read here and there.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// A file that is read here and there.
pub(super) struct Input<'a> {
    file: &'a File,
    pub(super) length: u64,
}

impl<'a> Input<'a> {
    pub(super) fn new(file: &'a File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// `None` if the file does not have all of it.
    pub(super) fn read(&self, range: Range<u64>) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(range.end.checked_sub(range.start)?).ok()?];
        self.file.read_exact_at(&mut bytes, range.start).ok()?;
        Some(bytes)
    }
}
