//! What is found where a recorder was killed, taken into the manifest.

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

use super::keep::{milliseconds, round};
use super::{End, Manifest, MediaEntry, State, Visit};
use crate::recording::repair::Repaired;
use crate::signalling::ids::ParticipantId;
use crate::signalling::protocol::{Kind, Sends};

impl Manifest {
    /// Its files are finished: what was open ends with the last media that there is.
    pub fn recover(&mut self, now: OffsetDateTime) {
        for visit in &mut self.visits {
            if visit.left.is_none() {
                visit.left = Some(visit.last_media());
                visit.ended = Some(End::Killed);
            }
        }
        let last = self.visits.iter().filter_map(|visit| visit.left).max();
        let last = last.unwrap_or(self.started).max(self.started);
        for span in self.pauses.iter_mut().filter(|span| span.to.is_none()) {
            span.to = Some(last.max(span.from));
        }
        for span in self.speakers.iter_mut().filter(|span| span.to.is_none()) {
            span.to = Some(last.max(span.from));
        }
        self.state = State::Recovered;
        self.finished = Some(last);
        self.recovered = Some(round(now));
    }
}

impl Visit {
    /// Of files that no manifest tells of: what their sender was is not known, and taken to be a person.
    pub fn found(participant: ParticipantId, arrived: OffsetDateTime) -> Self {
        Self {
            participant,
            kind: Kind::Person,
            name: None,
            enhances: None,
            arrived: round(arrived),
            left: None,
            ended: None,
            forbidden: Vec::new(),
            mutes: Vec::new(),
            gaps: Vec::new(),
            generations: Vec::new(),
            dropped_frames: 0,
            error: None,
            hls: None,
            files: Vec::new(),
            stem: None,
            sends: Sends::default(),
        }
    }

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
