//! Orphans, living recordings, torn manifests and files that nobody told of, in folders of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::time::Duration;

use super::*;
use crate::media::MediaKind;
use crate::recording::catalog::Catalog;
use crate::recording::container::Container;
use crate::recording::file::MediaFile;
use crate::recording::manifest::{End, Saved, Visit};
use crate::recording::track::{Block, Track};
use crate::signalling::protocol::Kind;

const STARTED: OffsetDateTime = time::macros::datetime!(2026-11-22 08:15:30 UTC);
const NAME: &str = "20261122T081531Z-7r2c";

/// A folder of recordings.
struct Trial {
    out: tempfile::TempDir,
    second: tempfile::TempDir,
}

impl Trial {
    fn new() -> Self {
        Self {
            out: tempfile::tempdir().unwrap(),
            second: tempfile::tempdir().unwrap(),
        }
    }

    fn roots(&self) -> Roots {
        Roots {
            out: self.out.path().to_owned(),
            second: Some(self.second.path().to_owned()),
        }
    }

    /// A recording that was killed: one visit, whose files nobody has told of.
    fn orphan(&self, name: &str) -> PathBuf {
        let folder = self.out.path().join(name);
        fs::create_dir(&folder).unwrap();
        let mut manifest =
            Manifest::new("lobby".parse().unwrap(), "job1".parse().unwrap(), STARTED);
        let arrived = STARTED + Duration::from_secs(1);
        manifest
            .visits
            .push(Visit::begin("7r2c".parse().unwrap(), Kind::Person, arrived));
        manifest.save(&folder).unwrap();
        folder
    }

    fn recover(&self) -> Vec<Result<Recovered, RecoveryError>> {
        recover_all(&self.roots(), Mode::Recover)
    }
}

/// A second of sound without an end, and half a cluster behind it.
fn torn_file(folder: &Path, name: &str) {
    let started = STARTED + Duration::from_millis(1480);
    let mut file =
        MediaFile::create(folder, name, Container::WebM, vec![Track::Opus], started).unwrap();
    for n in 0..50 {
        let block = Block {
            kind: MediaKind::Audio,
            at: Duration::from_millis(n * 20),
            key: true,
            data: vec![0b1111_1000, 1, 2],
        };
        file.write(block).unwrap();
    }
    file.flush().unwrap();
    let path = file.path().to_owned();
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0x1f, 0x43, 0xb6, 0x75, 0x42, 0x00, 1, 2, 3]);
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_orphan_is_finished_with_files_that_its_manifest_does_not_know_and_only_once() {
    let trial = Trial::new();
    let folder = trial.orphan("lobby-20261122T081530Z");
    torn_file(&folder, NAME);
    torn_file(&folder, &format!("{NAME}-2"));

    let looked = recover_all(&trial.roots(), Mode::Look);
    assert_eq!(Manifest::load(&folder).unwrap().state, State::Recording);
    let results = trial.recover();
    let [Ok(recovered)] = &results[..] else {
        panic!("{results:?}")
    };
    assert_eq!(looked[0].as_ref().unwrap(), recovered);
    let counts = (
        recovered.files,
        recovered.repaired,
        recovered.unknown,
        recovered.torn,
    );
    assert_eq!(counts, (2, 2, 2, 18));

    let manifest = Manifest::load(&folder).unwrap();
    assert_eq!(manifest.state, State::Recovered);
    assert!(manifest.recovered.is_some());
    let [visit] = &manifest.visits[..] else {
        panic!("{:?}", manifest.visits)
    };
    let end = STARTED + Duration::from_millis(2480);
    assert_eq!((visit.ended, visit.left), (Some(End::Killed), Some(end)));
    assert_eq!(manifest.finished, Some(end));
    let parts: Vec<_> = visit
        .files
        .iter()
        .map(|file| (file.part, file.frames()))
        .collect();
    assert_eq!(parts, [(1, 50), (2, 50)]);
    for file in &visit.files {
        assert!(file.finished);
        let path = folder.join(&file.file);
        assert_eq!(file.bytes, fs::metadata(&path).unwrap().len());
        assert_eq!(file.duration_ms, 1000);
        let sum = sha256(&path, &CancellationToken::new()).unwrap();
        assert_eq!(file.sha256, sum);
    }
    assert!(!folder.join(".lock").exists());
    assert!(trial.recover().is_empty(), "nothing is left to do");
    assert_eq!(Manifest::load(&folder).unwrap(), manifest);
}

#[test]
fn a_draft_becomes_the_file_that_it_stands_in_for_unless_that_has_its_frames() {
    let trial = Trial::new();
    let folder = trial.orphan("lobby-20261122T081530Z");
    torn_file(&folder, &format!("draft-{NAME}"));
    torn_file(&folder, &format!("draft-{NAME}-2"));
    torn_file(&folder, &format!("{NAME}-2"));

    let looked = recover_all(&trial.roots(), Mode::Look);
    assert_eq!(looked[0].as_ref().unwrap().unknown, 2);
    assert_eq!(trial.recover()[0].as_ref().unwrap().unknown, 2);
    let manifest = Manifest::load(&folder).unwrap();
    let [visit] = &manifest.visits[..] else {
        panic!("{:?}", manifest.visits)
    };
    let files = visit.files.iter().map(|file| (&file.file, file.frames()));
    let names = [format!("{NAME}.webm"), format!("{NAME}-2.webm")].map(PathBuf::from);
    assert!(files.eq(names.iter().map(|name| (name, 50))));
    for name in [NAME.to_owned(), format!("{NAME}-2")] {
        assert!(!folder.join(format!("draft-{name}.webm")).exists());
    }
}

impl MediaEntry {
    fn frames(&self) -> u64 {
        self.tracks.iter().map(|track| track.frames).sum()
    }
}

#[test]
fn a_living_recording_is_left_alone() {
    let trial = Trial::new();
    let folder = trial.orphan("lobby-20261122T081530Z");
    torn_file(&folder, NAME);
    let before = fs::read(folder.join(format!("{NAME}.webm"))).unwrap();
    let lock = Lock::take(&folder).unwrap().unwrap();
    assert!(trial.recover().is_empty());
    assert_eq!(
        fs::read(folder.join(format!("{NAME}.webm"))).unwrap(),
        before
    );
    assert!(Lock::take(&folder).unwrap().is_none());
    drop(lock);
    assert_eq!(trial.recover().len(), 1, "its recorder is gone");
}

#[test]
fn a_torn_or_missing_manifest_is_told_and_harms_nothing_else() {
    let trial = Trial::new();
    let torn = trial.orphan("lobby-1");
    fs::write(torn.join(FILE_NAME), "{\"version\": 2, \"room\"").unwrap();
    let missing = trial.orphan("lobby-2");
    fs::remove_file(missing.join(FILE_NAME)).unwrap();
    torn_file(&missing, NAME);
    let good = trial.orphan("lobby-3");
    torn_file(&good, NAME);
    fs::create_dir(trial.out.path().join("holidays")).unwrap();
    let results = trial.recover();
    let told: Vec<_> = results
        .iter()
        .map(|result| match result {
            Ok(recovered) => recovered.to_string(),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].contains("lobby-1") && told[0].contains("torn"),
        "{told:?}"
    );
    assert!(
        told[1].contains("lobby-2") && told[1].contains("is missing"),
        "{told:?}"
    );
    assert!(told[2].contains("lobby-3: 1 files"), "{told:?}");
}

/// An orphan whose second part is where its manifest says, known to nobody.
fn orphan_in_both(trial: &Trial) -> (PathBuf, PathBuf) {
    let folder = trial.orphan("lobby-20261122T081530Z");
    let second = trial.second.path().join("lobby-20261122T081530Z");
    fs::create_dir(&second).unwrap();
    let mut manifest = Manifest::load(&folder).unwrap();
    manifest.second_folder = Some(second.clone());
    manifest.save(&folder).unwrap();
    torn_file(&folder, NAME);
    torn_file(&second, &format!("{NAME}-2"));
    (folder, second)
}

fn parts(manifest: &Manifest) -> Vec<PathBuf> {
    let files = manifest.visits.iter().flat_map(|visit| &visit.files);
    files.map(|entry| entry.file.clone()).collect()
}

#[test]
fn what_is_in_the_second_folder_belongs_to_the_same_recording() {
    let trial = Trial::new();
    let (folder, second) = orphan_in_both(&trial);
    let results = trial.recover();
    let [Ok(recovered)] = &results[..] else {
        panic!("{results:?}")
    };
    assert_eq!((recovered.files, recovered.unknown), (2, 2));
    let there = second.join(format!("{NAME}-2.webm"));
    let manifest = Manifest::load(&folder).unwrap();
    assert_eq!(parts(&manifest), [format!("{NAME}.webm").into(), there]);
    assert_eq!(manifest.visits[0].files[1].duration_ms, 1000);
    assert!(trial.recover().is_empty());
}

#[test]
fn the_manifest_in_the_second_folder_is_the_newer_until_the_first_one_takes_it_again() {
    let trial = Trial::new();
    let (folder, second) = orphan_in_both(&trial);
    let stale = fs::read(folder.join(FILE_NAME)).unwrap();
    // As a recorder does whose disk is gone, and comes back with the old manifest.
    let gone = trial.out.path().join("gone");
    fs::rename(&folder, &gone).unwrap();
    let mut newer: Manifest = serde_json::from_slice(&stale).unwrap();
    let ended = time::macros::datetime!(2026-11-22 08:20:00 UTC);
    newer.finish(crate::recording::Because::Stopped, ended);
    assert!(matches!(newer.save(&folder).unwrap(), Saved::InSecond(_)));
    fs::rename(&gone, &folder).unwrap();

    let known = Manifest::load(&folder).unwrap();
    assert_eq!(
        (known.state, known.finished),
        (State::Finished, Some(ended))
    );
    assert!(trial.recover().is_empty(), "it is closed");
    assert_eq!(fs::read(folder.join(FILE_NAME)).unwrap(), stale);

    assert!(matches!(known.save(&folder).unwrap(), Saved::Here));
    assert!(!second.join(FILE_NAME).exists());
    assert_eq!(Manifest::load(&folder).unwrap(), known);
}

#[test]
fn a_recording_that_is_in_the_second_folder_alone_is_recovered_there() {
    let trial = Trial::new();
    let (folder, second) = orphan_in_both(&trial);
    let manifest = Manifest::load(&folder).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(
        manifest.save(&folder).unwrap(),
        Saved::InSecond(_)
    ));
    let results = trial.recover();
    assert_eq!(results[0].as_ref().unwrap().files, 1);
    let manifest = Manifest::load(&second).unwrap();
    assert_eq!(manifest.state, State::Recovered);
    assert_eq!(parts(&manifest), [second.join(format!("{NAME}-2.webm"))]);
    assert!(
        second.join(FILE_NAME).is_file(),
        "whoever comes from there leaves it there"
    );

    let shown = Catalog::new(trial.roots()).scan();
    assert_eq!(shown.len(), 1);
    assert_eq!(
        (&shown[0].folder, shown[0].state),
        (&second, State::Recovered)
    );
}

#[test]
fn a_recorder_that_holds_only_the_second_folder_is_left_alone() {
    let trial = Trial::new();
    let (_, second) = orphan_in_both(&trial);
    let lock = Lock::take(&second).unwrap().unwrap();
    assert!(trial.recover().is_empty());
    drop(lock);
    assert_eq!(trial.recover().len(), 1);
}
