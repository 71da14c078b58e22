//! One track's media playlist: its header, its segments, and what the multivariant playlist tells of it.

use std::io;
use std::time::Duration;

use time::OffsetDateTime;

use super::codecs;
use super::cutter::Piece;
use super::folder::Files;
use super::master::Media;
use super::playlist::{Playlist, Segment};
use crate::media::MediaKind;
use crate::recording::mp4::Mp4;
use crate::recording::track::{Block, Track};

/// A track on its way into segments.
pub(super) struct Rendition {
    playlist: Playlist,
    track: Track,
    /// None until the header of the present track is written.
    muxer: Option<Mp4>,
    headers: u32,
    header: String,
    told: Media,
}

/// What all tracks of a segment have in common.
pub(super) struct Place<'a> {
    /// Running time of the presentation's begin: media time zero.
    pub origin: Duration,
    /// It does not follow its forerunner.
    pub discontinuity: bool,
    /// Wall-clock time of a running time.
    pub wall: &'a dyn Fn(Duration) -> OffsetDateTime,
}

/// How a track's files are called.
pub(super) fn name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "sound",
        MediaKind::Video => "picture",
    }
}

impl Rendition {
    /// Nothing is written yet.
    pub fn new(track: Track, playlist: Playlist) -> Self {
        let told = Media {
            file: format!("{}.m3u8", name(track.kind())),
            ..Media::default()
        };
        Self {
            playlist,
            track,
            muxer: None,
            headers: 0,
            header: String::new(),
            told,
        }
    }

    /// The same segments, in none of which this track is.
    pub fn beside(&self, track: Track) -> Self {
        let name = name(track.kind());
        let playlist = self.playlist.without_media(|number| file(name, number));
        Self::new(track, playlist)
    }

    /// The segments that follow have this track.
    pub fn expect(&mut self, track: Track) {
        self.track = track;
        self.muxer = None;
    }

    /// What the multivariant playlist says.
    pub fn told(&self) -> &Media {
        &self.told
    }

    /// Writes its part of a segment. The playlist does not name it yet.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write(
        &mut self,
        files: &mut Files,
        piece: &Piece,
        place: &Place<'_>,
    ) -> io::Result<Segment> {
        let kind = self.track.kind();
        let file = file(name(kind), self.playlist.next());
        let own = piece.blocks.iter().filter(|block| block.kind == kind);
        let since = |at: Duration| at.saturating_sub(place.origin);
        let blocks: Vec<_> = own
            .map(|block| Block {
                at: since(block.at),
                ..block.clone()
            })
            .collect();
        let Some(first) = blocks.first() else {
            return Ok(Segment {
                file,
                header: self.header.clone(),
                duration: piece.until.saturating_sub(piece.from()),
                at: (place.wall)(piece.from()),
                discontinuity: place.discontinuity,
                is_gap: true,
            });
        };
        let from = first.at;
        let at = (place.wall)(from + place.origin);
        let (media, end) = self.muxer(files, at)?.segment(&blocks, since(piece.until));
        files.write_media(&file, &media)?;
        let duration = end.saturating_sub(from);
        self.note(media.len(), duration);
        Ok(Segment {
            file,
            header: self.header.clone(),
            duration,
            at,
            discontinuity: place.discontinuity,
            is_gap: false,
        })
    }

    /// Names a segment; gives the files that nobody needs any more.
    ///
    /// # Errors
    /// Of the file system.
    pub fn list(&mut self, files: &Files, segment: Segment) -> io::Result<Vec<String>> {
        let useless = self.playlist.push(segment);
        self.write_playlist(files)?;
        Ok(useless)
    }

    /// Nothing comes any more, and the playlist says so.
    ///
    /// # Errors
    /// Of the file system.
    pub fn end(&mut self, files: &Files) -> io::Result<()> {
        self.playlist.end();
        self.write_playlist(files)
    }

    fn write_playlist(&self, files: &Files) -> io::Result<()> {
        files.write(&self.told.file, self.playlist.text().as_bytes())
    }

    /// The one for the present track; a new one has its header written.
    fn muxer(&mut self, files: &mut Files, at: OffsetDateTime) -> io::Result<&mut Mp4> {
        let muxer = match self.muxer.take() {
            Some(muxer) => muxer,
            None => {
                let (muxer, header) = Mp4::of_track(&self.track, at);
                let name = format!(
                    "{}-header-{}.mp4",
                    name(self.track.kind()),
                    self.headers + 1
                );
                files.write_media(&name, &header)?;
                self.headers += 1;
                self.header = name;
                let codec = codecs::name(&self.track);
                if let Some(codec) = codec.filter(|codec| !self.told.codecs.contains(codec)) {
                    self.told.codecs.push(codec);
                }
                muxer
            }
        };
        Ok(self.muxer.insert(muxer))
    }

    fn note(&mut self, bytes: usize, duration: Duration) {
        let milliseconds = duration.as_millis().max(1);
        let rate = bytes as u128 * 8 * 1000 / milliseconds;
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        self.told.peak = self.told.peak.max(rate);
    }
}

fn file(name: &str, number: u64) -> String {
    format!("{name}-{number:05}.m4s")
}
