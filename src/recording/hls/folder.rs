//! A playlist's folder: headers, segments and the playlist, from pieces of media.
//!
//! A segment is written whole before the playlist names it, and the playlist is replaced whole. Nothing waits until the
//! disk has it: what a power cut may lose here is in the recording's files.

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use super::super::mp4::Mp4;
use super::super::replace::write_whole;
use super::super::track::Track;
use super::super::writer::WallClock;
use super::cutter::{Cutter, Piece};
use super::playlist::{Playlist, Segment};
use super::{PLAYLIST, Settings};

/// What is written of one playlist.
pub(super) struct Folder {
    path: PathBuf,
    wall: WallClock,
    playlist: Playlist,
    muxer: Option<Mp4>,
    tracks: Vec<Track>,
    headers: u32,
    header: String,
    /// Running time of the first frame: media time zero.
    origin: Option<Duration>,
    begun: bool,
    /// The next segment does not follow its forerunner.
    discontinuity: bool,
    /// What each file has on disk, but the playlist itself.
    sizes: HashMap<String, u64>,
}

impl Folder {
    /// Nothing is written yet; the folder is made with the first segment, that in which it lies is there.
    pub fn new(path: PathBuf, settings: Settings, wall: WallClock) -> Self {
        Self {
            path,
            wall,
            playlist: Playlist::new(Cutter::longest(settings.segment), settings.keep),
            muxer: None,
            tracks: Vec::new(),
            headers: 0,
            header: String::new(),
            origin: None,
            begun: false,
            discontinuity: false,
            sizes: HashMap::new(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is on disk, but the playlist itself.
    pub fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// The segments that follow have these tracks, and do not follow those before.
    pub fn expect(&mut self, tracks: Vec<Track>) {
        self.discontinuity |= self.begun;
        self.tracks = tracks;
        self.muxer = None;
    }

    /// Writes a segment, and the playlist that names it.
    ///
    /// # Errors
    /// Of the file system; then there is a hole in place of the segment.
    pub fn add(&mut self, piece: &Piece) -> io::Result<()> {
        let segment = self.segment(piece)?;
        self.list(segment)?;
        self.begun = true;
        Ok(())
    }

    /// Nothing comes any more, and the playlist says so.
    ///
    /// # Errors
    /// Of the file system.
    pub fn end(&mut self) -> io::Result<()> {
        self.playlist.end();
        self.write_playlist()
    }

    fn segment(&mut self, piece: &Piece) -> io::Result<Segment> {
        // Until it is there, players find a hole.
        let discontinuity = std::mem::replace(&mut self.discontinuity, self.begun);
        let from = piece.from();
        let at = (self.wall)(from);
        let origin = *self.origin.get_or_insert(from);
        let since = |at: Duration| at.saturating_sub(origin);
        let mut blocks = piece.blocks.clone();
        for block in &mut blocks {
            block.at = since(block.at);
        }
        let next = piece.goes_on.then(|| since(piece.until));
        let media = self.muxer(at)?.segment(&blocks, next);
        let file = format!("{:05}.m4s", self.playlist.next());
        self.write(&file, &media)?;
        self.sizes.insert(file.clone(), media.len() as u64);
        self.discontinuity = false;
        Ok(Segment {
            file,
            header: self.header.clone(),
            duration: piece.until.saturating_sub(from),
            at,
            discontinuity,
        })
    }

    /// The one for the tracks that there are; a new one has its header written.
    fn muxer(&mut self, at: OffsetDateTime) -> io::Result<&mut Mp4> {
        let muxer = match self.muxer.take() {
            Some(muxer) => muxer,
            None => {
                let (muxer, header) = Mp4::new(&self.tracks, at);
                let name = format!("header-{}.mp4", self.headers + 1);
                self.write(&name, &header)?;
                self.sizes.insert(name.clone(), header.len() as u64);
                self.headers += 1;
                self.header = name;
                muxer
            }
        };
        Ok(self.muxer.insert(muxer))
    }

    /// Writes the playlist that names this segment, and removes what none names any more.
    fn list(&mut self, segment: Segment) -> io::Result<()> {
        let useless = self.playlist.push(segment);
        self.write_playlist()?;
        for file in useless {
            match fs::remove_file(self.path.join(&file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => self.sizes.remove(&file),
            };
        }
        Ok(())
    }

    /// Writes a file whole, or none.
    fn write(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        write_whole(&self.path.join(file), bytes)
    }

    fn write_playlist(&self) -> io::Result<()> {
        self.write(PLAYLIST, self.playlist.text().as_bytes())
    }
}
