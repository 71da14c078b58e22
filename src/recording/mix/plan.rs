//! Manifests become a film's plan: which file begins when, and which pictures are shown at each moment. Pure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use super::MixError;
use crate::media::grid::{self, Place};
use crate::recording::manifest::{Manifest, MediaEntry, TrackKind, Visit};
use crate::signalling::ids::ParticipantId;

/// A film to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Wall-clock time of its first moment.
    pub begin: OffsetDateTime,
    /// How long it is.
    pub duration: Duration,
    /// Everybody with a picture, in order of appearance.
    pub tiles: Vec<Tile>,
    /// Everybody's files.
    pub clips: Vec<Clip>,
}

/// One participant's place in the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    /// Whose it is.
    pub participant: ParticipantId,
    /// What stands in it.
    pub label: String,
    /// When there is a picture, in the film's time; in order, without overlap.
    pub shown: Vec<(Duration, Duration)>,
}

/// A file in the film.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Where it is.
    pub file: PathBuf,
    /// The film's time at which it begins.
    pub at: Duration,
    /// The place of its picture, if it has one: an index into [`Plan::tiles`].
    pub tile: Option<usize>,
    /// Whether it has sound.
    pub sounds: bool,
    /// When its sound is not heard, in the film's time: a filter gave it back improved, and that is heard instead.
    pub silent: Vec<(Duration, Duration)>,
}

impl Plan {
    /// Lays the files of these recordings, each a folder and its manifest, on one clock. Files that have no media yet, or
    /// hold nothing, are left out. A recorder that was killed and started again leaves two recordings of one call.
    ///
    /// # Errors
    /// [`MixError::Empty`].
    pub fn new(recordings: &[(PathBuf, Manifest)]) -> Result<Self, MixError> {
        let parts = || {
            recordings.iter().flat_map(|(folder, manifest)| {
                manifest.visits.iter().flat_map(move |visit| {
                    let whole = visit.files.iter().filter(|part| !part.tracks.is_empty());
                    whole.map(move |part| (folder, visit, part))
                })
            })
        };
        let begin = parts().map(|(_, _, part)| part.started).min();
        let begin = begin.ok_or(MixError::Empty)?;
        let mut plan = Self {
            begin,
            duration: Duration::ZERO,
            tiles: Vec::new(),
            clips: Vec::new(),
        };
        for (folder, visit, part) in parts() {
            let enhanced = parts()
                .filter(|(_, filter, _)| filter.enhances.as_ref() == Some(&visit.participant));
            let spans = enhanced.flat_map(|(_, filter, part)| {
                plan.spans(filter, part, TrackKind::Audio)
                    .unwrap_or_default()
            });
            let silent = joined(spans.collect());
            plan.add(folder, visit, part, silent);
        }
        for tile in &mut plan.tiles {
            tile.shown = joined(std::mem::take(&mut tile.shown));
        }
        Ok(plan)
    }

    /// When a part has media of a kind, in the film's time; none if it has no such track.
    fn spans(
        &self,
        visit: &Visit,
        part: &MediaEntry,
        kind: TrackKind,
    ) -> Option<Vec<(Duration, Duration)>> {
        let track = part.tracks.iter().find(|track| track.kind == kind)?;
        let at = since(self.begin, part.started);
        let first = at + Duration::from_millis(track.offset_ms);
        let end = at + Duration::from_millis(part.duration_ms);
        let gaps = visit.gaps.iter().filter(|gap| gap.kind == kind);
        let gaps = gaps.map(|gap| (since(self.begin, gap.from), since(self.begin, gap.to)));
        Some(without((first, end), gaps))
    }

    fn add(
        &mut self,
        folder: &Path,
        visit: &Visit,
        part: &MediaEntry,
        silent: Vec<(Duration, Duration)>,
    ) {
        let at = since(self.begin, part.started);
        let end = at + Duration::from_millis(part.duration_ms);
        self.duration = self.duration.max(end);
        let tile = self.spans(visit, part, TrackKind::Video).map(|shown| {
            let index = self.tile(visit);
            self.tiles[index].shown.extend(shown);
            index
        });
        self.clips.push(Clip {
            file: folder.join(&part.file),
            at,
            tile,
            sounds: part
                .tracks
                .iter()
                .any(|track| track.kind == TrackKind::Audio),
            silent,
        });
    }

    fn tile(&mut self, visit: &Visit) -> usize {
        // A filter's picture lies over that of the one whom it enhances.
        let whose = visit.enhances.as_ref().unwrap_or(&visit.participant);
        let same = |tile: &Tile| tile.participant == *whose;
        if let Some(index) = self.tiles.iter().position(same) {
            return index;
        }
        let label = match &visit.name {
            Some(name) => name.clone(),
            None => format!("{} {}", kind_in_words(visit), visit.participant),
        };
        self.tiles.push(Tile {
            participant: whose.clone(),
            label,
            shown: Vec::new(),
        });
        self.tiles.len() - 1
    }

    /// Where each tile lies at a moment; `None` where it is not shown.
    pub fn places(&self, at: Duration, width: u32, height: u32) -> Vec<Option<Place>> {
        let is_shown = |tile: &Tile| {
            tile.shown
                .iter()
                .any(|(from, to)| (*from..*to).contains(&at))
        };
        let shown: Vec<bool> = self.tiles.iter().map(is_shown).collect();
        let count = shown.iter().filter(|shown| **shown).count();
        let mut places = grid::layout(count, width, height).into_iter();
        let place = |shown| if shown { places.next() } else { None };
        shown.into_iter().map(place).collect()
    }
}

fn kind_in_words(visit: &Visit) -> &'static str {
    use crate::signalling::protocol::Kind;
    match visit.kind {
        Kind::Person => "person",
        Kind::Kiosk => "kiosk",
        Kind::Recorder => "recorder",
        Kind::Filter => "filter",
        Kind::Viewer => "viewer",
        Kind::Relay => "publisher",
    }
}

fn since(begin: OffsetDateTime, at: OffsetDateTime) -> Duration {
    Duration::try_from(at - begin).unwrap_or(Duration::ZERO)
}

/// What is left of a span without these.
fn without(
    span: (Duration, Duration),
    gaps: impl Iterator<Item = (Duration, Duration)>,
) -> Vec<(Duration, Duration)> {
    let mut left = Vec::new();
    let (mut from, end) = span;
    for (begin, to) in gaps {
        if begin >= end || to <= from {
            continue;
        }
        if begin > from {
            left.push((from, begin));
        }
        from = to;
    }
    if from < end {
        left.push((from, end));
    }
    left
}

/// In order; what touches or overlaps becomes one.
fn joined(mut spans: Vec<(Duration, Duration)>) -> Vec<(Duration, Duration)> {
    spans.sort();
    let mut joined: Vec<(Duration, Duration)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            Some(_) | None => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(visits: serde_json::Value) -> Manifest {
        serde_json::from_value(json!({
            "version": 2, "room": "lobby", "job": "job1", "state": "finished",
            "started": "2026-11-22T08:00:00Z", "visits": visits,
        }))
        .unwrap()
    }

    fn visit(
        id: &str,
        started: &str,
        kinds: &[&str],
        more: serde_json::Value,
    ) -> serde_json::Value {
        let tracks: Vec<_> = kinds
            .iter()
            .map(|kind| {
                let codec = if *kind == "audio" { "opus" } else { "vp8" };
                json!({"kind": kind, "codec": codec, "offset_ms": 0, "frames": 1})
            })
            .collect();
        let mut visit = json!({
            "participant": id, "kind": "person", "arrived": started,
            "files": [{"file": format!("{id}.webm"), "part": 1, "finished": true, "started": started,
                       "duration_ms": 10_000, "bytes": 1, "tracks": tracks}],
        });
        visit
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        visit
    }

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn files_lie_on_one_clock_and_pictures_share_the_grid_while_they_are_there() {
        let both = ["video", "audio"];
        let first = manifest(json!([
            visit(
                "alice",
                "2026-11-22T08:00:02Z",
                &both,
                json!({"name": "Alice"})
            ),
            visit("bob", "2026-11-22T08:00:05Z", &both, json!({})),
            visit("carol", "2026-11-22T08:00:06Z", &["audio"], json!({})),
        ]));
        let again = manifest(json!([visit(
            "alice",
            "2026-11-22T08:00:20Z",
            &both,
            json!({})
        )]));
        let plan = Plan::new(&[("a".into(), first), ("b".into(), again)]).unwrap();
        assert_eq!(plan.duration, S(28));
        let clips: Vec<_> = plan
            .clips
            .iter()
            .map(|clip| (clip.file.to_str().unwrap(), clip.at, clip.tile, clip.sounds))
            .collect();
        assert_eq!(
            clips,
            [
                ("a/alice.webm", S(0), Some(0), true),
                ("a/bob.webm", S(3), Some(1), true),
                ("a/carol.webm", S(4), None, true),
                ("b/alice.webm", S(18), Some(0), true),
            ]
        );
        assert_eq!(plan.tiles[0].label, "Alice");
        assert_eq!(plan.tiles[1].label, "person bob");
        assert_eq!(plan.tiles[0].shown, [(S(0), S(10)), (S(18), S(28))]);
        let widths = |at| {
            let places = plan.places(at, 640, 360);
            places
                .iter()
                .map(|place| place.map(|place| (place.x, place.width)))
                .collect::<Vec<_>>()
        };
        assert_eq!(widths(S(1)), [Some((0, 640)), None]);
        assert_eq!(widths(S(4)), [Some((0, 320)), Some((320, 320))]);
        assert_eq!(widths(S(15)), [None, None]);
        assert_eq!(widths(S(20)), [Some((0, 640)), None]);
    }

    #[test]
    fn a_camera_that_is_off_leaves_its_place_to_the_others() {
        let gaps = json!({"gaps": [
            {"kind": "video", "reason": "muted", "from": "2026-11-22T08:00:03Z", "to": "2026-11-22T08:00:06Z"},
            {"kind": "audio", "reason": "lost", "from": "2026-11-22T08:00:08Z", "to": "2026-11-22T08:00:09Z"},
        ]});
        let manifest = manifest(json!([visit(
            "alice",
            "2026-11-22T08:00:00Z",
            &["video"],
            gaps
        )]));
        let plan = Plan::new(&[("a".into(), manifest)]).unwrap();
        assert_eq!(plan.tiles[0].shown, [(S(0), S(3)), (S(6), S(10))]);
    }

    #[test]
    fn where_a_filter_gave_a_voice_back_the_voice_itself_is_silent() {
        let gaps = json!({"kind": "filter", "enhances": "alice", "gaps": [
            {"kind": "audio", "reason": "lost", "from": "2026-11-22T08:00:06Z", "to": "2026-11-22T08:00:07Z"},
        ]});
        let manifest = manifest(json!([
            visit(
                "alice",
                "2026-11-22T08:00:00Z",
                &["audio", "video"],
                json!({})
            ),
            visit("bob", "2026-11-22T08:00:00Z", &["audio"], json!({})),
            visit("filter", "2026-11-22T08:00:03Z", &["audio"], gaps),
        ]));
        let plan = Plan::new(&[("a".into(), manifest)]).unwrap();
        let silent: Vec<_> = plan.clips.iter().map(|clip| clip.silent.clone()).collect();
        assert_eq!(silent, [vec![(S(3), S(6)), (S(7), S(13))], vec![], vec![]]);
        assert_eq!(plan.tiles.len(), 1);
    }

    #[test]
    fn without_media_there_is_no_film() {
        let empty = manifest(json!([visit(
            "alice",
            "2026-11-22T08:00:00Z",
            &[],
            json!({})
        )]));
        let refused = Plan::new(&[("a".into(), empty)]);
        assert!(matches!(refused, Err(MixError::Empty)), "{refused:?}");
    }
}
