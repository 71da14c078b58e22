//! HLS (RFC 8216) of a visit while it is recorded: a folder with a playlist and segments of fragmented MP4, from the same
//! frames as the files.
//!
//! [`cutter`] decides where segments begin, [`playlist`] makes the text; here is what writes both. A segment is written
//! whole before the playlist names it, and the playlist is replaced whole. Nothing waits until the disk has it: what a
//! power cut may lose here is in the recording's files.

mod cutter;
mod playlist;

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use self::cutter::{Cutter, Piece, Step};
use self::playlist::{Playlist, Segment};
use super::frame::Content;
use super::mp4::Mp4;
use super::replace::write_whole;
use super::report::Stem;
use super::track::{Block, Track};
use super::writer::WallClock;
use crate::media::Codec;

/// A playlist's name in its folder.
const PLAYLIST: &str = "index.m3u8";
/// The ending of a playlist's folder.
const EXTENSION: &str = "hls";

/// What a playlist is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a segment is, about: it begins with a key frame. Whole seconds.
    pub segment: Duration,
    /// Segments that the playlist names; older ones are removed. 0: all of the visit.
    pub keep: usize,
}

/// What there is to tell of a playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It can be played; its path in the recording's folder.
    Begun(PathBuf),
    /// Frames of this codec are not in it: HLS does not carry it.
    LeftOut(Codec),
    /// It stands still, for this reason; the recording goes on.
    Stuck(String),
    /// It goes on after that.
    GoesOn,
    /// Nothing comes any more, and it says so.
    Ended(PathBuf),
    /// The sender is to give a key frame.
    KeyFrameNeeded,
    /// It has so many bytes on disk now; its path in the recording's folder.
    Grown(PathBuf, u64),
}

/// A playlist that is written.
pub struct Hls {
    recording: PathBuf,
    /// In the recording's folder.
    folder: PathBuf,
    wall: WallClock,
    cutter: Cutter,
    playlist: Playlist,
    muxer: Option<Mp4>,
    tracks: Vec<Track>,
    headers: u32,
    header: String,
    /// Running time of the first frame: media time zero.
    origin: Option<Duration>,
    /// The next segment does not follow its forerunner.
    discontinuity: bool,
    left_out: Vec<Codec>,
    stuck: bool,
    begun: bool,
    /// What each file has on disk, but the playlist itself.
    sizes: HashMap<String, u64>,
}

impl Hls {
    /// Of the visit of this name, in the folder of its recording.
    pub fn new(recording: PathBuf, stem: &Stem, settings: Settings, wall: WallClock) -> Self {
        Self {
            recording,
            folder: PathBuf::from(format!("{stem}.{EXTENSION}")),
            wall,
            cutter: Cutter::new(settings.segment),
            playlist: Playlist::new(Cutter::longest(settings.segment), settings.keep),
            muxer: None,
            tracks: Vec::new(),
            headers: 0,
            header: String::new(),
            origin: None,
            discontinuity: false,
            left_out: Vec::new(),
            stuck: false,
            begun: false,
            sizes: HashMap::new(),
        }
    }

    /// Frames of these tracks come from here on.
    pub fn expect(&mut self, tracks: &[Track]) -> Vec<Told> {
        let mut told = Vec::new();
        for codec in self.cutter.expect(tracks) {
            if !self.left_out.contains(&codec) {
                self.left_out.push(codec);
                told.push(Told::LeftOut(codec));
            }
        }
        told
    }

    /// What follows comes over another connection.
    pub fn interrupt(&mut self) {
        self.cutter.interrupt();
    }

    /// A frame, its time being running time.
    pub fn push(&mut self, block: Block, content: &Content) -> Vec<Told> {
        let mut told = Vec::new();
        for step in self.cutter.push(block, content) {
            self.step(step, &mut told);
        }
        told
    }

    /// Nothing comes any more.
    pub fn end(mut self) -> Vec<Told> {
        let mut told = Vec::new();
        if let Some(step) = self.cutter.end() {
            self.step(step, &mut told);
        }
        if self.begun {
            self.playlist.end();
            match self.write_playlist() {
                Ok(()) => told.push(Told::Ended(self.folder.join(PLAYLIST))),
                Err(error) => self.fail(&error, &mut told),
            }
        }
        told
    }

    fn step(&mut self, step: Step, told: &mut Vec<Told>) {
        match step {
            Step::AskForKeyFrame => told.push(Told::KeyFrameNeeded),
            Step::Header(tracks) => {
                self.discontinuity |= self.begun;
                self.tracks = tracks;
                self.muxer = None;
            }
            Step::Segment(piece) => {
                let written = self.segment(&piece).and_then(|segment| self.list(segment));
                match written {
                    Ok(()) => {
                        self.goes_on(told);
                        let bytes = self.sizes.values().sum();
                        told.push(Told::Grown(self.folder.join(PLAYLIST), bytes));
                    }
                    Err(error) => self.fail(&error, told),
                }
            }
        }
    }

    fn goes_on(&mut self, told: &mut Vec<Told>) {
        if !std::mem::replace(&mut self.begun, true) {
            told.push(Told::Begun(self.folder.join(PLAYLIST)));
        }
        if std::mem::take(&mut self.stuck) {
            told.push(Told::GoesOn);
        }
    }

    fn fail(&mut self, error: &io::Error, told: &mut Vec<Told>) {
        if !std::mem::replace(&mut self.stuck, true) {
            let folder = self.recording.join(&self.folder);
            told.push(Told::Stuck(format!("{}: {error}", folder.display())));
        }
    }

    /// Writes a segment.
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
            match fs::remove_file(self.path(&file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => self.sizes.remove(&file),
            };
        }
        Ok(())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.recording.join(&self.folder).join(file)
    }

    /// Writes a file whole, or none.
    fn write(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        match builder
            .mode(0o700)
            .create(self.recording.join(&self.folder))
        {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        write_whole(&self.path(file), bytes)
    }

    fn write_playlist(&self) -> io::Result<()> {
        self.write(PLAYLIST, self.playlist.text().as_bytes())
    }
}

/// Closes the playlists in a recording's folder that a killed recorder left open. Gives all that are there, by their path
/// in that folder.
///
/// # Errors
/// Of the file system.
pub fn close_playlists(recording: &Path) -> io::Result<Vec<PathBuf>> {
    let mut playlists = Vec::new();
    for entry in fs::read_dir(recording)? {
        let folder = PathBuf::from(entry?.file_name());
        if folder.extension().is_none_or(|end| end != EXTENSION) {
            continue;
        }
        let playlist = folder.join(PLAYLIST);
        let path = recording.join(&playlist);
        let text = match fs::read_to_string(&path) {
            // Killed before its first segment was whole.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text?,
        };
        if let Some(text) = playlist::closed(&text) {
            write_whole(&path, text.as_bytes())?;
        }
        playlists.push(playlist);
    }
    playlists.sort();
    Ok(playlists)
}
