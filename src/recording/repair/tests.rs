//! Files torn at any byte, damaged in the middle, repaired, and read again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::path::PathBuf;

use proptest::prelude::*;
use time::OffsetDateTime;

use super::*;
use crate::media::{Codec, MediaKind};
use crate::recording::container::Container;
use crate::recording::file::MediaFile;
use crate::recording::frame::Picture;
use crate::recording::track::{Block, Track};

/// 20 ms of Opus (RFC 6716, 3.1), and a picture that is not looked into.
const SOUND: &[u8] = &[0b1111_1000, 1, 2, 3];
const SIZE: Size = Size {
    width: 640,
    height: 360,
};

const CONTAINERS: [Container; 4] = [
    Container::WebM,
    Container::Matroska,
    Container::Mp4,
    Container::Ogg,
];

struct Sample {
    folder: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    /// File length after each cluster, and the frames that are in it by then.
    clusters: Vec<(u64, u64)>,
    header: u64,
}

/// Two seconds of sound and picture, with a key frame each half a second; unfinished, or finished.
fn sample(container: Container, finished: bool) -> Sample {
    let folder = tempfile::tempdir().unwrap();
    let codec = match container {
        Container::Mp4 => Codec::Vp9,
        Container::WebM | Container::Matroska | Container::Ogg => Codec::Vp8,
    };
    let picture = Picture {
        codec,
        size: SIZE,
        configuration: Vec::new(),
    };
    let has_video = container != Container::Ogg;
    let tracks = match has_video {
        true => vec![Track::Video(picture), Track::Opus],
        false => vec![Track::Opus],
    };
    let started = OffsetDateTime::UNIX_EPOCH;
    let mut file = MediaFile::create(folder.path(), "a", container, tracks, started).unwrap();
    let header = file.bytes();
    let (mut clusters, mut frames) = (Vec::new(), 0);
    for tick in 0..100_u64 {
        let at = Duration::from_millis(tick * 20);
        let block = |kind, key, data: &[u8]| Block {
            kind,
            at,
            key,
            data: data.to_vec(),
        };
        let video = vec![u8::try_from(tick).unwrap(); 300];
        let picture = block(MediaKind::Video, tick % 25 == 0, &video);
        let sound = block(MediaKind::Audio, true, SOUND);
        for block in has_video.then_some(picture).into_iter().chain([sound]) {
            let before = file.bytes();
            file.write(block).unwrap();
            if file.bytes() > before {
                clusters.push((file.bytes(), frames));
            }
            frames += 1;
        }
    }
    file.flush().unwrap();
    clusters.push((file.bytes(), frames));
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
    for container in CONTAINERS {
        let sample = sample(container, true);
        let repaired = repair(&sample.path).unwrap();
        assert!(!repaired.changed && repaired.torn == 0, "{repaired:?}");
        assert_eq!(std::fs::read(&sample.path).unwrap(), sample.bytes);
        assert_eq!(frames(&repaired), sample.frames_in(u64::MAX));
    }
}

#[test]
fn a_file_without_its_end_becomes_what_its_recorder_would_have_made() {
    for container in CONTAINERS {
        let (torn, finished) = (sample(container, false), sample(container, true));
        let repaired = repair(&torn.path).unwrap();
        assert!(repaired.changed);
        assert_eq!(repaired.duration, Duration::from_secs(2), "{container:?}");
        assert_eq!(
            std::fs::read(&torn.path).unwrap(),
            finished.bytes,
            "{container:?}"
        );
        let sizes: Vec<_> = repaired
            .tracks
            .iter()
            .flat_map(|track| &track.sizes)
            .collect();
        assert!(sizes.iter().all(|at| at.size() == SIZE), "{container:?}");
        assert_eq!(sizes.is_empty(), container == Container::Ogg);
    }
}

#[test]
fn what_is_damaged_in_the_middle_costs_nothing_behind_it() {
    let sample = sample(Container::WebM, false);
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
fn a_header_cut_anywhere_is_no_header() {
    let sample = sample(Container::WebM, false);
    let file = std::fs::OpenOptions::new().write(true).open(&sample.path);
    let file = file.unwrap();
    for length in (0..sample.header).rev() {
        file.set_len(length).unwrap();
        let result = repair(&sample.path);
        let is_refused = matches!(result, Err(RepairError::NoMedia { .. }));
        assert!(is_refused, "{length} bytes: {result:?}");
    }
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let sample = sample(Container::WebM, false);
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
    fn a_file_cut_at_any_byte_keeps_every_whole_cluster(kind in 0..4_usize, finished: bool, part in 0.0..=1.0_f64) {
        let sample = sample(CONTAINERS[kind], finished);
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
