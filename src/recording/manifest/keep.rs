//! What the writers and the role tell, taken into the manifest.

use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;

use super::{
    Because, Delivered, Gap, GapReason, Manifest, MediaEntry, Mute, SizeChange, Span, Speaker,
    State, Thumbnail, TrackEntry, TrackKind, VERSION, Visit,
};
use crate::recording::report::{Event, FileReport, Report, Stem, TrackReport};
use crate::recording::thumbnails;
use crate::signalling::ids::{Generation, JobId, ParticipantId, RoomName};
use crate::signalling::protocol::{Kind, Participant, Sends};

/// Gaps and mutes of one visit, and thumbnails of all, that are written down; a connection that breaks all the time must not fill the disk.
const LISTED: usize = 10_000;

impl Manifest {
    /// Of a recording that begins.
    pub fn new(room: RoomName, job: JobId, started: OffsetDateTime) -> Self {
        Self {
            version: VERSION,
            room,
            job,
            description: None,
            second_folder: None,
            state: State::Recording,
            ended: None,
            error: None,
            started: round(started),
            finished: None,
            recovered: None,
            pauses: Vec::new(),
            visits: Vec::new(),
            speakers: Vec::new(),
            thumbnails: Vec::new(),
            uploads: Vec::new(),
        }
    }

    /// A participant's recording begins; `name` is written down as it is given.
    pub fn arrived(
        &mut self,
        stem: Stem,
        participant: &Participant,
        name: Option<String>,
        now: OffsetDateTime,
    ) {
        let earlier = self.visits.iter_mut();
        let of_it = earlier.filter(|visit| visit.participant == participant.id);
        let forbidden = of_it.flat_map(|visit| &mut visit.forbidden);
        for span in forbidden.filter(|span| span.to.is_none()) {
            span.to = Some(round(now));
        }
        self.visits.push(Visit {
            name,
            enhances: participant.enhances.clone(),
            stem: Some(stem),
            sends: participant.sends,
            ..Visit::begin(participant.id.clone(), participant.kind, now)
        });
    }

    /// Nothing is written from now on.
    pub fn paused(&mut self, now: OffsetDateTime) {
        if self.pauses.len() < LISTED {
            self.pauses.push(Span {
                from: round(now),
                to: None,
            });
        }
    }

    /// It goes on.
    pub fn resumed(&mut self, now: OffsetDateTime) {
        if let Some(pause) = self.pauses.last_mut() {
            pause.to.get_or_insert(round(now));
        }
    }

    /// Somebody began to speak.
    pub fn speaks(&mut self, participant: ParticipantId, from: OffsetDateTime) {
        if self.speakers.len() >= LISTED {
            return;
        }
        let from = round(from);
        // Whoever began at the same time may have been told before.
        let place = self.speakers.partition_point(|span| span.from <= from);
        let span = Speaker {
            participant,
            from,
            to: None,
        };
        self.speakers.insert(place, span);
    }

    /// Somebody was heard for the last time.
    pub fn fell_silent(&mut self, participant: &ParticipantId, to: OffsetDateTime) {
        let mut spans = self.speakers.iter_mut().rev();
        let open = spans.find(|span| span.participant == *participant);
        if let Some(span) = open.filter(|span| span.to.is_none()) {
            span.to = Some(round(to).max(span.from));
        }
    }

    /// Takes in what a writer tells. Says whether it is worth saving at once.
    pub fn apply(&mut self, report: &Report, now: OffsetDateTime) -> bool {
        let of_stem = |visit: &&mut Visit| visit.stem.as_ref() == Some(&report.stem);
        let Some(visit) = self.visits.iter_mut().find(of_stem) else {
            return false;
        };
        match &report.event {
            Event::Started(file) => visit.set_file(file, false),
            Event::Progress(file) => {
                visit.set_file(file, false);
                return false;
            }
            Event::Finished(file) => visit.set_file(file, true),
            Event::KeyFrameNeeded | Event::GoesOn(_) => return false,
            Event::Sends(sends) => visit.announces(*sends, now),
            Event::Generation(generation) => visit.delivers(*generation, now),
            Event::Gap {
                kind,
                from,
                to,
                disk,
            } => {
                let (kind, from, to) = ((*kind).into(), round(*from), round(*to));
                let reason = match disk {
                    true => GapReason::Disk,
                    false => visit.reason(&self.pauses, kind, from, to),
                };
                visit.misses(kind, reason, from, to);
                return *disk;
            }
            Event::Hls(told) => visit.hls.get_or_insert_default().take(told),
            Event::Thumbnail(told) => {
                // Nobody sends as a recorder: it stands for everybody in a mix.
                let is_mix = visit.kind == Kind::Recorder;
                let participant = (!is_mix).then(|| visit.participant.clone());
                self.shows(told, participant);
                return false;
            }
            Event::Behind { dropped } => visit.dropped_frames = *dropped,
            Event::Failed(error) => visit.error = Some(error.to_string()),
            Event::Ended(why) => visit.end(*why, now),
        }
        true
    }

    fn shows(&mut self, told: &thumbnails::Told, participant: Option<ParticipantId>) {
        match told {
            thumbnails::Told::Made { file, at } if self.thumbnails.len() < LISTED => {
                self.thumbnails.push(Thumbnail {
                    file: file.clone(),
                    participant,
                    at: round(*at),
                });
            }
            thumbnails::Told::Made { .. }
            | thumbnails::Told::Failed(_)
            | thumbnails::Told::KeyFrameNeeded => {}
        }
    }

    /// A finished file was read through.
    pub fn set_checksum(&mut self, file: &Path, sha256: String) {
        let mut files = self.visits.iter_mut().flat_map(|visit| &mut visit.files);
        if let Some(entry) = files.find(|entry| entry.file == file) {
            entry.sha256 = Some(sha256);
        }
    }

    /// The recorder is done. Where the disk took nothing of what came, it has failed.
    pub fn finish(&mut self, because: Because, now: OffsetDateTime) {
        let nothing = self.visits.iter().all(|visit| visit.files.is_empty());
        let mut troubles = self.visits.iter().rev().map(|visit| &visit.error);
        self.error = troubles.find_map(Clone::clone).filter(|_| nothing);
        let state = match self.error {
            Some(_) => State::Failed,
            None => State::Finished,
        };
        self.end(state, now);
        self.ended = Some(because);
    }
}

impl Visit {
    fn set_file(&mut self, report: &FileReport, finished: bool) {
        let entry = MediaEntry::new(report, finished);
        match self.files.iter_mut().find(|file| file.part == report.part) {
            Some(file) => *file = entry,
            None => self.files.push(entry),
        }
    }

    fn announces(&mut self, sends: Sends, now: OffsetDateTime) {
        let before = std::mem::replace(&mut self.sends, sends);
        let tracks = [
            (TrackKind::Audio, before.audio, sends.audio),
            (TrackKind::Video, before.video, sends.video),
        ];
        for (kind, before, after) in tracks {
            let from = round(now);
            match (before, after) {
                (true, false) if self.mutes.len() < LISTED => {
                    self.mutes.push(Mute {
                        kind,
                        from,
                        to: None,
                    });
                }
                (false, true) => {
                    if let Some(mute) = self.open_mute(kind) {
                        mute.to = Some(from);
                    }
                }
                (true, false) | (true, true) | (false, false) => {}
            }
        }
    }

    fn open_mute(&mut self, kind: TrackKind) -> Option<&mut Mute> {
        self.mutes
            .iter_mut()
            .rfind(|mute| mute.kind == kind && mute.to.is_none())
    }

    fn delivers(&mut self, generation: Generation, now: OffsetDateTime) {
        self.generations.push(Delivered {
            generation,
            from: round(now),
        });
    }

    fn misses(
        &mut self,
        kind: TrackKind,
        reason: GapReason,
        from: OffsetDateTime,
        to: OffsetDateTime,
    ) {
        if self.gaps.len() < LISTED {
            self.gaps.push(Gap {
                kind,
                reason,
                from,
                to,
            });
        }
    }

    /// Why there is nothing between these moments: what the manifest knows of them.
    fn reason(
        &self,
        pauses: &[Span],
        kind: TrackKind,
        from: OffsetDateTime,
        to: OffsetDateTime,
    ) -> GapReason {
        let meets = |begin: OffsetDateTime, end: Option<OffsetDateTime>| {
            begin < to && end.is_none_or(|end| end > from)
        };
        if pauses.iter().any(|pause| meets(pause.from, pause.to)) {
            return GapReason::Paused;
        }
        if self.forbidden.iter().any(|span| meets(span.from, span.to)) {
            return GapReason::Forbidden;
        }
        let mut mutes = self.mutes.iter().filter(|mute| mute.kind == kind);
        if mutes.any(|mute| meets(mute.from, mute.to)) {
            return GapReason::Muted;
        }
        let mut later = self.generations.iter().skip(1);
        // The first frame of the new one ends the gap.
        if later.any(|delivered| meets(delivered.from, Some(delivered.from + END_OF_GAP))) {
            return GapReason::Reconnected;
        }
        GapReason::Lost
    }
}

/// Frames are told of when they are written, a little after they came.
const END_OF_GAP: Duration = Duration::from_secs(1);

impl MediaEntry {
    /// What is told of a file.
    pub fn new(report: &FileReport, finished: bool) -> Self {
        let track = |track: &TrackReport| TrackEntry {
            kind: track.codec.kind().into(),
            codec: track.codec.into(),
            offset_ms: milliseconds(track.offset),
            frames: track.frames,
            sizes: track
                .sizes
                .iter()
                .map(|(at, size)| SizeChange {
                    at_ms: milliseconds(*at),
                    width: size.width,
                    height: size.height,
                })
                .collect(),
        };
        Self {
            file: report.file.clone(),
            part: report.part,
            finished,
            started: round(report.started),
            duration_ms: milliseconds(report.duration),
            bytes: report.bytes,
            sha256: report.sha256.clone(),
            tracks: report.tracks.iter().map(track).collect(),
        }
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// UTC, to the millisecond: more would be a pretence.
pub(super) fn round(at: OffsetDateTime) -> OffsetDateTime {
    let at = at.to_offset(time::UtcOffset::UTC);
    at.replace_millisecond(at.millisecond()).unwrap_or(at)
}
