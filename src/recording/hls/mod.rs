//! HLS (RFC 8216) of a visit while it is recorded, as CMAF (ISO 23000-19) has it: a folder with a multivariant playlist, and
//! of each track a playlist and segments of fragmented MP4, from the same frames as the files.
//!
//! [`cutter`] decides where segments begin, [`filler`] what they hold where nothing came; [`rendition`] makes one track's
//! segments and its [`playlist`], with which [`codecs`] go into the [`master`]; [`folder`] writes all of it. Where the recording
//! goes on in its second folder, a presentation begins there, and the one before it ends.

mod codecs;
mod cutter;
mod filler;
mod folder;
mod master;
mod playlist;
mod rendition;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::cutter::{Cutter, Step};
use self::filler::Filler;
use self::folder::Folder;
use super::frame::Content;
use super::places::{Place, Places};
use super::replace::write_whole;
use super::report::Stem;
use super::track::{Block, Track};
use super::writer::WallClock;
use crate::media::{Codec, MediaKind};

/// The multivariant playlist's name in its folder.
const PLAYLIST: &str = "index.m3u8";
/// The ending of a presentation's folder.
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
    /// It can be played; its path in the recording's folder, or elsewhere.
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
    /// It has so many bytes on disk now; its path.
    Grown(PathBuf, u64),
}

/// HLS that is made.
pub struct Hls {
    places: Arc<Places>,
    stem: String,
    settings: Settings,
    wall: WallClock,
    cutter: Cutter,
    filler: Filler,
    /// As the segments that follow have them.
    tracks: Vec<Track>,
    place: Place,
    folder: Folder,
    /// Folders so far: each has a name of its own.
    folders: u32,
    left_out: Vec<Codec>,
    stuck: bool,
    begun: bool,
}

impl Hls {
    /// Of the visit of this name, where its recording goes.
    pub fn new(places: Arc<Places>, stem: &Stem, settings: Settings, wall: WallClock) -> Self {
        let (stem, place) = (stem.to_string(), places.at());
        let path = places.folder(place).join(format!("{stem}.{EXTENSION}"));
        Self {
            folder: Folder::new(path, settings, wall.clone()),
            places,
            stem,
            settings,
            wall,
            cutter: Cutter::new(settings.segment),
            filler: Filler::default(),
            tracks: Vec::new(),
            place,
            folders: 1,
            left_out: Vec::new(),
            stuck: false,
            begun: false,
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
            match self.folder.end() {
                Ok(()) => told.push(Told::Ended(self.playlist())),
                Err(error) => self.fail(&error, &mut told),
            }
        }
        told
    }

    fn step(&mut self, step: Step, told: &mut Vec<Told>) {
        match step {
            Step::AskForKeyFrame => told.push(Told::KeyFrameNeeded),
            Step::Header(tracks) => {
                self.folder.expect(&tracks);
                self.tracks = tracks;
            }
            Step::Segment(mut piece) => {
                self.follow();
                self.filler.fill(&mut piece, &self.tracks);
                match self.folder.add(&piece) {
                    Ok(()) => {
                        self.goes_on(told);
                        told.push(Told::Grown(self.playlist(), self.folder.bytes()));
                    }
                    Err(error) => self.fail(&error, told),
                }
            }
        }
    }

    /// Goes where the recording has gone.
    fn follow(&mut self) {
        let place = self.places.at();
        if place == self.place {
            return;
        }
        // That disk may be gone: what it has may be all that it gets.
        if self.begun
            && let Err(error) = self.folder.end()
        {
            tracing::warn!(%error, "a playlist of HLS stays open");
        }
        self.begun = false;
        self.place = place;
        self.folders += 1;
        let name = format!("{}-{}.{EXTENSION}", self.stem, self.folders);
        let path = self.places.folder(place).join(name);
        self.folder = Folder::new(path, self.settings, self.wall.clone());
        self.folder.expect(&self.tracks);
    }

    /// As the manifest names it.
    fn playlist(&self) -> PathBuf {
        let path = self.folder.path().join(PLAYLIST);
        self.places.entry(self.place, &path)
    }

    fn goes_on(&mut self, told: &mut Vec<Told>) {
        if !std::mem::replace(&mut self.begun, true) {
            told.push(Told::Begun(self.playlist()));
        }
        if std::mem::take(&mut self.stuck) {
            told.push(Told::GoesOn);
        }
    }

    fn fail(&mut self, error: &io::Error, told: &mut Vec<Told>) {
        if !std::mem::replace(&mut self.stuck, true) {
            let folder = self.folder.path().display();
            told.push(Told::Stuck(format!("{folder}: {error}")));
        }
    }
}

/// Closes the playlists in a recording's folder that a killed recorder left open. Gives the multivariant ones that are there,
/// by their path in that folder.
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
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let name = format!("{}.m3u8", rendition::name(kind));
            close(&recording.join(&folder).join(name))?;
        }
        let playlist = folder.join(PLAYLIST);
        // Killed before its first segment was whole, it has none.
        if recording.join(&playlist).exists() {
            playlists.push(playlist);
        }
    }
    playlists.sort();
    Ok(playlists)
}

/// One playlist, where it is there.
fn close(playlist: &Path) -> io::Result<()> {
    let text = match fs::read_to_string(playlist) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text?,
    };
    match playlist::closed(&text) {
        Some(text) => write_whole(playlist, text.as_bytes()),
        None => Ok(()),
    }
}
