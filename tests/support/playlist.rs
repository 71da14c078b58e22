//! Playlists of HLS, read back.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::path::{Path, PathBuf};

use super::media::Content;

/// A playlist, read as RFC 8216 says.
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
        for line in text.lines() {
            if let Some(header) = line.strip_prefix("#EXT-X-MAP:URI=\"") {
                this.runs
                    .push((header.trim_end_matches('"').to_owned(), Vec::new()));
            } else if let Some(duration) = line.strip_prefix("#EXTINF:") {
                let duration = duration.trim_end_matches(',').parse().unwrap();
                this.durations.push(duration);
            } else if let Some(target) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
                this.target = target.parse().unwrap();
            } else if !line.starts_with('#') {
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
