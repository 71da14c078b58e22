//! What is found where a recorder was killed, taken into the manifest.

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

use super::keep::{milliseconds, round};
use super::{End, Manifest, MediaEntry, State, Visit};
use crate::recording::repair::Repaired;

impl Manifest {
    /// Its files are finished: what was open ends with the last media that there is.
    pub fn recover(&mut self, now: OffsetDateTime) {
        for visit in &mut self.visits {
            if visit.left.is_none() {
                visit.end(End::Killed, visit.last_media());
            }
        }
        let last = self.visits.iter().filter_map(|visit| visit.left).max();
        self.end(
            State::Recovered,
            last.unwrap_or(self.started).max(self.started),
        );
        self.recovered = Some(round(now));
    }
}

impl Visit {
    fn last_media(&self) -> OffsetDateTime {
        let end = |entry: &MediaEntry| entry.started + Duration::from_millis(entry.duration_ms);
        let last = self.files.iter().map(end).max();
        last.unwrap_or(self.arrived).max(self.arrived)
    }
}

impl MediaEntry {
    /// Of a file that no manifest tells of.
    pub fn found(file: PathBuf, part: u32, started: OffsetDateTime) -> Self {
        Self {
            file,
            part,
            finished: false,
            started: round(started),
            duration_ms: 0,
            bytes: 0,
            sha256: None,
            tracks: Vec::new(),
        }
    }

    /// It is finished now. Changes of size that the recorder saw stay.
    pub fn repaired(&mut self, found: &Repaired) {
        let before = std::mem::replace(&mut self.tracks, found.tracks.clone());
        for track in &mut self.tracks {
            let known = before.iter().find(|known| known.kind == track.kind);
            if let Some(known) = known.filter(|known| !known.sizes.is_empty()) {
                track.sizes.clone_from(&known.sizes);
            }
        }
        self.finished = true;
        self.duration_ms = milliseconds(found.duration);
        self.bytes = found.bytes;
        self.sha256 = None;
    }
}
