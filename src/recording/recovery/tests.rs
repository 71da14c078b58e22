//! Orphans, living recordings, torn manifests and files that nobody told of, in folders of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::time::Duration;

use super::*;
use crate::media::MediaKind;
use crate::recording::container::Container;
use crate::recording::file::MediaFile;
use crate::recording::manifest::{End, Visit};
use crate::recording::track::{Block, Track};

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
            .push(Visit::found("7r2c".parse().unwrap(), arrived));
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
