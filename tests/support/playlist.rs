//! Playlists of HLS, read back.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::media::Content;

/// Sound and picture of a visit, by the multivariant playlist that names them.
pub struct Presentation {
    pub text: String,
    pub sound: Playlist,
    pub picture: Option<Playlist>,
}

impl Presentation {
    /// While it is made, its playlists are replaced one after the other.
    pub fn read(path: &Path) -> Self {
        let is_whole = |read: &Self| {
            let picture = read.picture.as_ref();
            picture.is_none_or(|it| it.durations.len() == read.sound.durations.len())
        };
        let mut read = Self::read_once(path);
        for _ in 0..50 {
            if is_whole(&read) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            read = Self::read_once(path);
        }
        if let Some(picture) = &read.picture {
            // RFC 8216, 6.2.4: a player finds the same moment in both.
            assert!(is_whole(&read), "{}{}", read.sound.text, picture.text);
            let breaks = |of: &Playlist| of.count("#EXT-X-DISCONTINUITY");
            assert_eq!(breaks(&read.sound), breaks(picture), "{}", picture.text);
        }
        read
    }

    fn read_once(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a multivariant playlist");
        let media = |name: &str| Playlist::read(&path.with_file_name(name));
        let main = text.lines().last().unwrap();
        let beside = text.split("URI=\"").nth(1);
        let beside = beside.map(|rest| media(rest.split('"').next().unwrap()));
        let (sound, picture) = match beside {
            Some(sound) => (sound, Some(media(main))),
            None => (media(main), None),
        };
        Self {
            text,
            sound,
            picture,
        }
    }

    /// The playlist that a player begins with.
    pub fn main(&self) -> &Playlist {
        self.picture.as_ref().unwrap_or(&self.sound)
    }

    /// What is in a run of segments.
    pub fn content(&self, run: usize) -> Content {
        let mut content = self.sound.content(run);
        assert_eq!(content.pictures, []);
        if let Some(picture) = &self.picture {
            let seen = picture.content(run);
            assert_eq!(seen.sound, []);
            content.pictures = seen.pictures;
        }
        content
    }
}

/// A playlist of one track, read as RFC 8216 says.
pub struct Playlist {
    pub folder: PathBuf,
    pub text: String,
    /// Each run of segments with one header: header, segments.
    pub runs: Vec<(String, Vec<String>)>,
    pub durations: Vec<f64>,
    target: f64,
}

impl Playlist {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a playlist");
        let mut this = Self {
            folder: path.parent().unwrap().to_owned(),
            text: text.clone(),
            runs: Vec::new(),
            durations: Vec::new(),
            target: 0.0,
        };
        assert!(text.starts_with("#EXTM3U\n"), "{text}");
        let mut is_gap = false;
        for line in text.lines() {
            if line == "#EXT-X-GAP" {
                is_gap = true;
            } else if let Some(header) = line.strip_prefix("#EXT-X-MAP:URI=\"") {
                this.runs
                    .push((header.trim_end_matches('"').to_owned(), Vec::new()));
            } else if let Some(duration) = line.strip_prefix("#EXTINF:") {
                let duration = duration.trim_end_matches(',').parse().unwrap();
                this.durations.push(duration);
            } else if let Some(target) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
                this.target = target.parse().unwrap();
            } else if !line.starts_with('#') && !std::mem::take(&mut is_gap) {
                this.runs.last_mut().unwrap().1.push(line.to_owned());
            }
        }
        for duration in &this.durations {
            assert!(duration.round() <= this.target, "{text}");
        }
        this
    }

    pub fn count(&self, line: &str) -> usize {
        self.text.lines().filter(|found| *found == line).count()
    }

    /// What is in a run of segments.
    pub fn content(&self, run: usize) -> Content {
        let (header, segments) = &self.runs[run];
        self.content_of(header, segments)
    }

    /// What is in segments: they lie behind their header as in one file.
    pub fn content_of(&self, header: &str, segments: &[String]) -> Content {
        let mut bytes = std::fs::read(self.folder.join(header)).unwrap();
        for segment in segments {
            bytes.extend(std::fs::read(self.folder.join(segment)).unwrap());
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.mp4");
        std::fs::write(&file, bytes).unwrap();
        Content::of(&file)
    }
}
