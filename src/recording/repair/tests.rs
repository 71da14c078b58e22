//! Files torn at any byte, damaged in the middle, repaired, and read again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::path::PathBuf;

use proptest::prelude::*;
use time::OffsetDateTime;

use super::*;
use crate::media::{Codec, MediaKind};
use crate::recording::file::MediaFile;
use crate::recording::frame::Picture;
use crate::recording::matroska::{Block, Track};

/// 20 ms of Opus (RFC 6716, 3.1), and a picture that is not looked into.
const SOUND: &[u8] = &[0b1111_1000, 1, 2, 3];
const SIZE: Size = Size {
    width: 640,
    height: 360,
};

struct Sample {
    folder: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    /// File length after each cluster, and the frames that are in it by then.
    clusters: Vec<(u64, u64)>,
    header: u64,
}

/// Two seconds of sound and picture, with a key frame each half a second; unfinished, or finished.
fn sample(finished: bool) -> Sample {
    let folder = tempfile::tempdir().unwrap();
    let picture = Picture {
        codec: Codec::Vp8,
        size: SIZE,
        configuration: Vec::new(),
    };
    let tracks = vec![Track::Video(picture), Track::Opus];
    let started = OffsetDateTime::UNIX_EPOCH;
    let mut file = MediaFile::create(folder.path(), "a", tracks, started).unwrap();
    let header = file.bytes();
    let mut clusters = Vec::new();
    for tick in 0..100_u64 {
        let at = Duration::from_millis(tick * 20);
        let block = |kind, key, data: &[u8]| Block {
            kind,
            at,
            key,
            data: data.to_vec(),
        };
        let before = file.bytes();
        let video = vec![u8::try_from(tick).unwrap(); 300];
        file.write(block(MediaKind::Video, tick % 25 == 0, &video))
            .unwrap();
        if file.bytes() > before {
            clusters.push((file.bytes(), tick * 2));
        }
        file.write(block(MediaKind::Audio, true, SOUND)).unwrap();
    }
    file.flush().unwrap();
    clusters.push((file.bytes(), 200));
    if finished {
        file.finish(Duration::from_secs(2)).unwrap();
    }
    let path = file.path().to_owned();
    let bytes = std::fs::read(&path).unwrap();
    Sample {
        folder,
        path,
        bytes,
        clusters,
        header,
    }
}

impl Sample {
    fn frames_in(&self, length: u64) -> u64 {
        let whole = self.clusters.iter().rev().find(|(end, _)| *end <= length);
        whole.map_or(0, |(_, frames)| *frames)
    }
}

fn frames(repaired: &Repaired) -> u64 {
    repaired.tracks.iter().map(|track| track.frames).sum()
}

#[test]
fn a_finished_file_is_left_as_it_is() {
    let sample = sample(true);
    let repaired = repair(&sample.path).unwrap();
    assert!(!repaired.changed && repaired.torn == 0, "{repaired:?}");
    assert_eq!(std::fs::read(&sample.path).unwrap(), sample.bytes);
    assert_eq!(frames(&repaired), 200);
}

#[test]
fn a_file_without_its_end_becomes_what_its_recorder_would_have_made() {
    let (torn, finished) = (sample(false), sample(true));
    let repaired = repair(&torn.path).unwrap();
    assert!(repaired.changed);
    assert_eq!(repaired.duration, Duration::from_secs(2));
    assert_eq!(std::fs::read(&torn.path).unwrap(), finished.bytes);
    let video = &repaired.tracks[0];
    assert_eq!((video.codec, video.frames), (TrackCodec::Vp8, 100));
    assert_eq!(video.sizes[0].size(), SIZE);
}

#[test]
fn what_is_damaged_in_the_middle_costs_nothing_behind_it() {
    let sample = sample(false);
    let (from, to) = (sample.clusters[1].0, sample.clusters[2].0);
    let mut bytes = sample.bytes.clone();
    bytes[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].fill(0);
    std::fs::write(&sample.path, &bytes).unwrap();
    let repaired = repair(&sample.path).unwrap();
    assert_eq!(repaired.torn, to - from);
    let lost = sample.clusters[2].1 - sample.clusters[1].1;
    assert_eq!(frames(&repaired), 200 - lost);
    let again = repair(&sample.path).unwrap();
    assert_eq!(frames(&again), 200 - lost);
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let sample = sample(false);
    let other = sample.folder.path().join("holiday.webm");
    std::fs::write(&other, b"not a film at all, but long enough").unwrap();
    assert!(matches!(repair(&other), Err(RepairError::Foreign { .. })));
    assert_eq!(std::fs::read(&other).unwrap().len(), 34);
    let text = sample.folder.path().join("notes.txt");
    std::fs::write(&text, b"").unwrap();
    assert!(matches!(repair(&text), Err(RepairError::Foreign { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_file_cut_at_any_byte_keeps_every_whole_cluster(finished: bool, part in 0.0..=1.0_f64) {
        let sample = sample(finished);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small file")]
        let length = (sample.bytes.len() as f64 * part) as u64;
        let file = std::fs::OpenOptions::new().write(true).open(&sample.path).unwrap();
        file.set_len(length).unwrap();
        let announced = examine(&sample.path);
        let result = repair(&sample.path);
        if length < sample.header {
            prop_assert!(matches!(result, Err(RepairError::NoMedia { .. })), "{result:?}");
            prop_assert_eq!(std::fs::metadata(&sample.path).unwrap().len(), length);
            return Ok(());
        }
        let repaired = result.unwrap();
        prop_assert_eq!(frames(&repaired), sample.frames_in(length));
        prop_assert_eq!(repaired.bytes, std::fs::metadata(&sample.path).unwrap().len());
        prop_assert_eq!(&announced.unwrap(), &repaired);
        let once = std::fs::read(&sample.path).unwrap();
        let again = repair(&sample.path).unwrap();
        prop_assert!(!again.changed, "{again:?}");
        prop_assert_eq!(std::fs::read(&sample.path).unwrap(), once);
        prop_assert_eq!(again.tracks, repaired.tracks);
        prop_assert_eq!(again.duration, repaired.duration);
    }
}
