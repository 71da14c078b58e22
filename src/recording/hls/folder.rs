//! A presentation's folder: a multivariant playlist, and of each track a media playlist with header and segments.
//!
//! A segment is written whole before a playlist names it, and playlists are replaced whole. Nothing waits until the
//! disk has it: what a power cut may lose here is in the recording's files.

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::replace::write_whole;
use super::super::report::Size;
use super::super::track::Track;
use super::super::writer::WallClock;
use super::cutter::{Cutter, Piece};
use super::master::Master;
use super::playlist::Playlist;
use super::rendition::{Place, Rendition};
use super::{PLAYLIST, Settings};
use crate::media::MediaKind;

/// What is written of one presentation.
pub(super) struct Folder {
    files: Files,
    settings: Settings,
    wall: WallClock,
    sound: Option<Rendition>,
    picture: Option<Rendition>,
    /// The picture's largest size.
    size: Option<Size>,
    channels: u8,
    /// The multivariant playlist as it is on disk.
    master: Option<String>,
    /// Running time of the first frame: media time zero.
    origin: Option<Duration>,
    begun: bool,
    /// The next segment does not follow its forerunner.
    discontinuity: bool,
}

/// The files in it.
pub(super) struct Files {
    folder: PathBuf,
    /// What each has on disk, but the playlists.
    sizes: HashMap<String, u64>,
}

impl Folder {
    /// Nothing is written yet; the folder is made with the first segment, that in which it lies is there.
    pub fn new(path: PathBuf, settings: Settings, wall: WallClock) -> Self {
        Self {
            files: Files {
                folder: path,
                sizes: HashMap::new(),
            },
            settings,
            wall,
            sound: None,
            picture: None,
            size: None,
            channels: 0,
            master: None,
            origin: None,
            begun: false,
            discontinuity: false,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.files.folder
    }

    /// What is on disk, but the playlists.
    pub fn bytes(&self) -> u64 {
        self.files.sizes.values().sum()
    }

    /// The segments that follow have these tracks, and do not follow those before.
    pub fn expect(&mut self, tracks: &[Track]) {
        self.discontinuity |= self.begun;
        for track in tracks {
            self.note(track);
            let (own, other) = match track.kind() {
                MediaKind::Audio => (&mut self.sound, &self.picture),
                MediaKind::Video => (&mut self.picture, &self.sound),
            };
            match (own, other) {
                (Some(own), _) => own.expect(track.clone()),
                (own @ None, Some(other)) => *own = Some(other.beside(track.clone())),
                (own @ None, None) => {
                    let longest = Cutter::longest(self.settings.segment);
                    let playlist = Playlist::new(longest, self.settings.keep);
                    *own = Some(Rendition::new(track.clone(), playlist));
                }
            }
        }
    }

    fn note(&mut self, track: &Track) {
        match track {
            Track::Opus => self.channels = 2,
            Track::Aac(configuration) => self.channels = configuration.channels,
            Track::Video(picture) => {
                let pixels = |size: &Size| u64::from(size.width) * u64::from(size.height);
                let largest = [self.size, Some(picture.size)].into_iter().flatten();
                self.size = largest.max_by_key(pixels);
            }
        }
    }

    /// Writes a segment, and the playlists that name it.
    ///
    /// # Errors
    /// Of the file system; then there is a hole in place of the segment.
    pub fn add(&mut self, piece: &Piece) -> io::Result<()> {
        // Until it is there, players find a hole.
        let discontinuity = std::mem::replace(&mut self.discontinuity, self.begun);
        let place = Place {
            origin: *self.origin.get_or_insert(piece.from()),
            discontinuity,
            wall: &*self.wall,
        };
        let mut written = Vec::new();
        for rendition in [&mut self.sound, &mut self.picture].into_iter().flatten() {
            let segment = rendition.write(&mut self.files, piece, &place)?;
            written.push((rendition, segment));
        }
        self.discontinuity = false;
        let mut useless = Vec::new();
        for (rendition, segment) in written {
            useless.extend(rendition.list(&self.files, segment)?);
        }
        self.write_master()?;
        self.begun = true;
        useless.iter().try_for_each(|file| self.files.remove(file))
    }

    /// Nothing comes any more, and the playlists say so.
    ///
    /// # Errors
    /// Of the file system.
    pub fn end(&mut self) -> io::Result<()> {
        let mut renditions = [&mut self.sound, &mut self.picture].into_iter().flatten();
        renditions.try_for_each(|rendition| rendition.end(&self.files))
    }

    fn write_master(&mut self) -> io::Result<()> {
        let told = |rendition: &Option<Rendition>| rendition.as_ref().map(|it| it.told().clone());
        let master = Master {
            sound: told(&self.sound),
            picture: told(&self.picture),
            size: self.size,
            channels: self.channels,
        };
        let text = master.text();
        if let Some(text) = text.as_ref().filter(|_| text != self.master) {
            self.files.write(PLAYLIST, text.as_bytes())?;
            self.master = Some(text.clone());
        }
        Ok(())
    }
}

impl Files {
    /// Writes a file whole, or none.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        write_whole(&self.folder.join(file), bytes)
    }

    /// The same of one that counts.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write_media(&mut self, file: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(file, bytes)?;
        self.sizes.insert(file.to_owned(), bytes.len() as u64);
        Ok(())
    }

    fn remove(&mut self, file: &str) -> io::Result<()> {
        match fs::remove_file(self.folder.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => {
                self.sizes.remove(file);
                Ok(())
            }
        }
    }
}
