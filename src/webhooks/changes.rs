//! What happened to recordings between two looks at the disk. Pure but for the file that remembers the last look over
//! restarts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{Event, RecordingChange};
use crate::recording::catalog::{Recordings, StoredRecording};
use crate::recording::manifest::State;

const FILE: &str = "seen.json";

/// What was told of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    recordings: BTreeMap<String, SeenRecording>,
    /// Before the first look there was nobody who could have been told: what is there already is no news.
    #[serde(skip)]
    first: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SeenRecording {
    state: State,
    finished: BTreeSet<String>,
    #[serde(default)]
    upload_failed: bool,
}

impl Seen {
    /// What the last server wrote down; without that, everything that is found first is old.
    pub(super) fn load(folder: &Path) -> io::Result<Self> {
        match fs::read(folder.join(FILE)) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self {
                first: true,
                ..Self::default()
            }),
            Err(error) => Err(error),
        }
    }

    pub(super) fn save(&self, folder: &Path) -> io::Result<()> {
        let new = folder.join(".seen.json.new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(&new, folder.join(FILE))
    }
}

/// The news in `now`, oldest first, which are seen from then on. `failures` are uploads that no target took, by name.
pub fn changes(seen: &mut Seen, now: &Recordings, failures: &HashMap<&str, String>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut known = std::mem::take(&mut seen.recordings);
    for recording in now.iter() {
        let failure = failures.get(recording.name.as_str());
        let before = known.remove(&recording.name);
        if !seen.first {
            let news = of_one(before.as_ref(), recording, failure);
            let event = |change| Event::Recording(Arc::clone(recording), change);
            events.extend(news.into_iter().map(event));
        }
        let finished = recording.parts.iter().filter(|part| part.finished);
        let after = SeenRecording {
            state: recording.state,
            finished: finished.map(|part| part.file.clone()).collect(),
            upload_failed: failure.is_some(),
        };
        seen.recordings.insert(recording.name.clone(), after);
    }
    seen.first = false;
    events
}

fn of_one(
    before: Option<&SeenRecording>,
    now: &StoredRecording,
    failure: Option<&String>,
) -> Vec<RecordingChange> {
    let mut news = Vec::new();
    if before.is_none() {
        news.push(RecordingChange::Started);
    }
    let is_new = |file: &String| !before.is_some_and(|before| before.finished.contains(file));
    let parts = now.parts.iter();
    let parts = parts.filter(|part| part.finished && is_new(&part.file));
    news.extend(parts.cloned().map(RecordingChange::PartFinished));

    let state = before.map_or(State::Recording, |before| before.state);
    if state != now.state {
        // A small recording may be uploaded before anybody looked.
        let skipped = state == State::Recording && now.state == State::Uploaded;
        let ended = match now.recovered {
            Some(_) => RecordingChange::Recovered,
            None => RecordingChange::Finished,
        };
        match now.state {
            State::Recording => {}
            State::Finished | State::Recovered => news.push(ended),
            State::Uploaded => {
                news.extend(skipped.then_some(ended));
                news.push(RecordingChange::Uploaded);
            }
            State::Failed => news.push(RecordingChange::Failed),
        }
    }
    let failed_before = before.is_some_and(|before| before.upload_failed);
    if let Some(error) = failure.filter(|_| !failed_before) {
        news.push(RecordingChange::UploadFailed(error.clone()));
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recordings(state: State, finished: &[bool]) -> Recordings {
        let parts = finished.iter().enumerate();
        let files: Vec<_> = parts
            .map(|(index, finished)| {
                serde_json::json!({
                    "file": format!("{index}.webm"), "part": index + 1, "finished": finished,
                    "started": "2026-11-22T08:15:31Z", "duration_ms": 0, "bytes": 0, "tracks": []
                })
            })
            .collect();
        let manifest = serde_json::json!({
            "version": 2, "room": "lobby", "job": "4k2m9xqe", "state": state, "started": "2026-11-22T08:15:30Z",
            "visits": [{
                "participant": "7t3kq0v5m2p9x1ab", "kind": "person", "arrived": "2026-11-22T08:15:31Z", "files": files
            }]
        });
        let manifest = serde_json::from_value(manifest).unwrap();
        Arc::new(vec![Arc::new(StoredRecording::new(
            "a".to_owned(),
            "a".into(),
            manifest,
        ))])
    }

    fn news(seen: &mut Seen, now: &Recordings) -> Vec<&'static str> {
        let events = changes(seen, now, &HashMap::new());
        events.iter().map(Event::name).collect()
    }

    #[test]
    fn each_step_of_a_recording_is_told_once() {
        let mut seen = Seen::default();
        let now = recordings(State::Recording, &[false]);
        assert_eq!(news(&mut seen, &now), ["recording.started"]);
        assert!(news(&mut seen, &now).is_empty());
        let now = recordings(State::Recording, &[true, false]);
        assert_eq!(news(&mut seen, &now), ["recording.part_finished"]);
        let now = recordings(State::Finished, &[true, true]);
        assert_eq!(
            news(&mut seen, &now),
            ["recording.part_finished", "recording.finished"]
        );
        let failures = HashMap::from([("a", "away".to_owned())]);
        let failed = changes(&mut seen, &now, &failures);
        assert_eq!(failed[0].name(), "recording.upload_failed");
        assert!(changes(&mut seen, &now, &failures).is_empty());
        let now = recordings(State::Uploaded, &[true, true]);
        assert_eq!(news(&mut seen, &now), ["recording.uploaded"]);
    }

    #[test]
    fn a_recording_that_failed_is_told_with_the_reason() {
        let mut seen = Seen::default();
        assert_eq!(
            news(&mut seen, &recordings(State::Recording, &[])),
            ["recording.started"]
        );
        let mut now = recordings(State::Failed, &[]);
        let failed = Arc::get_mut(&mut now).and_then(|all| Arc::get_mut(&mut all[0]));
        failed.unwrap().error = Some("the disk is full".to_owned());
        let told = changes(&mut seen, &now, &HashMap::new());
        assert_eq!(told[0].name(), "recording.failed");
        let body = told[0].body(time::OffsetDateTime::UNIX_EPOCH).unwrap();
        assert!(body.contains("\"error\":\"the disk is full\""), "{body}");
    }

    #[test]
    fn what_was_there_before_the_first_look_is_no_news_but_what_came_while_nobody_looked_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut seen = Seen::load(folder.path()).unwrap();
        let now = recordings(State::Finished, &[true]);
        assert!(news(&mut seen, &now).is_empty());
        seen.save(folder.path()).unwrap();
        let mut seen = Seen::load(folder.path()).unwrap();
        let now = recordings(State::Uploaded, &[true]);
        assert_eq!(news(&mut seen, &now), ["recording.uploaded"]);
    }

    #[test]
    fn a_recording_that_is_uploaded_at_the_first_look_was_finished_before() {
        let mut seen = Seen::default();
        let now = recordings(State::Uploaded, &[true]);
        assert_eq!(
            news(&mut seen, &now),
            [
                "recording.started",
                "recording.part_finished",
                "recording.finished",
                "recording.uploaded"
            ]
        );
    }
}
