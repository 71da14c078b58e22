//! HLS that is made beside a recording: read back as players do, checked by what is seen and heard in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/encode.rs"]
mod encode;
#[path = "support/media.rs"]
mod media;
#[path = "support/playlist.rs"]
mod playlist;
#[path = "support/trial.rs"]
mod trial;

use std::path::PathBuf;
use std::time::Duration;

use attache::media::Codec;
use attache::media::MediaKind::{Audio, Video};
use attache::recording::hls::Told;
use attache::recording::report::Event;
use attache::recording::{Beside, Places, hls, thumbnails};
use attache::signalling::ids::Generation;
use encode::{audio, interleaved, video};
use media::{Content, SecondOpinion};
use playlist::{Playlist, Presentation};
use trial::{BOTH, SMALL, Trial, assert_times};

const PLAYLIST: &str = "20261122T081530Z-alice.hls/index.m3u8";

/// A writer that makes HLS, too.
fn making_hls(segment_s: u64, keep: usize) -> Trial {
    let settings = hls::Settings {
        segment: Duration::from_secs(segment_s),
        keep,
    };
    Trial::new(BOTH).making(Beside {
        hls: Some(settings),
        ..Beside::default()
    })
}

async fn finished(trial: &Trial) -> PathBuf {
    let summary = trial.finish().await;
    assert!(summary.error.is_none(), "{summary:?}");
    trial.path(&summary.files[0])
}

fn read(trial: &Trial) -> Presentation {
    Presentation::read(&trial.folder().join(PLAYLIST))
}

/// What was told of the playlist, but for its growth: that is to be what is on disk.
fn told(trial: &mut Trial) -> Vec<Told> {
    let of_it = |event| match event {
        Event::Hls(told) => Some(told),
        _ => None,
    };
    let told = trial.events().into_iter().filter_map(of_it);
    let (grown, told): (Vec<_>, Vec<_>) = told.partition(|told| matches!(told, Told::Grown(..)));
    let last = grown.into_iter().last();
    let path = PathBuf::from(PLAYLIST);
    assert_eq!(last, Some(Told::Grown(path, on_disk(trial))));
    told
}

/// Bytes of all that the playlist names.
fn on_disk(trial: &Trial) -> u64 {
    let folder = trial.folder().join(PLAYLIST);
    let files = std::fs::read_dir(folder.parent().unwrap()).unwrap();
    let media = files.map(|file| file.unwrap().path());
    let media = media.filter(|path| path.extension().is_some_and(|end| end != "m3u8"));
    media.map(|path| path.metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn every_codec_that_hls_carries_is_in_segments_that_begin_with_key_frames() {
    for (codec, name, codecs) in [
        (Codec::H264, "h264", "avc3."),
        (Codec::H265, "hevc", "hev1."),
        (Codec::Vp9, "vp9", "vp09."),
        (Codec::Av1, "av1", "av01."),
    ] {
        let mut trial = making_hls(2, 0);
        // The encoder of the test makes a key frame every two seconds.
        trial.push(&interleaved([
            (Video, video(codec, SMALL, 2500..9500)),
            (Audio, audio(2500..9500)),
        ]));
        let file = finished(&trial).await;
        let hls = read(&trial);
        let playlist = hls.main();
        println!("{}{}{}", hls.text, playlist.text, hls.sound.text);
        assert!(
            hls.text.contains(&format!("CODECS=\"{codecs}")),
            "{}",
            hls.text
        );
        assert!(hls.text.contains(",Opus\","), "{}", hls.text);
        assert!(hls.text.contains(",RESOLUTION=160x120,"), "{}", hls.text);
        for found in &hls.sound.durations[..3] {
            assert!((found - 2.0).abs() < 0.05, "{}", hls.sound.text);
        }
        assert_eq!(hls.sound.count("#EXT-X-ENDLIST"), 1);
        assert_eq!(playlist.durations.len(), 4);
        for (found, expected) in playlist.durations.iter().zip([2.0, 2.0, 2.0, 1.0]) {
            assert!((found - expected).abs() < 0.05, "{}", playlist.text);
        }
        assert_eq!(playlist.count("#EXT-X-PLAYLIST-TYPE:EVENT"), 1);
        assert_eq!(playlist.count("#EXT-X-ENDLIST"), 1);
        assert_eq!(
            playlist.count("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T08:15:34.500Z"),
            1,
            "{}",
            playlist.text
        );
        let content = hls.content(0);
        assert_times(
            &content.flashes(),
            &[500, 1500, 2500, 3500, 4500, 5500, 6500],
            1,
        );
        assert_times(
            &content.beeps(),
            &[500, 1500, 2500, 3500, 4500, 5500, 6500],
            12,
        );
        assert_eq!(content.pictures.len(), 210);
        // Each segment can be decoded by itself.
        for segment in &playlist.runs[0].1 {
            let alone = playlist.content_of(&playlist.runs[0].0, std::slice::from_ref(segment));
            assert!(alone.pictures.len() >= 29, "{segment}");
        }
        let path = trial.folder().join(PLAYLIST);
        let played = Content::of(&path);
        assert_eq!(played.flashes(), content.flashes());
        assert_eq!(played.beeps(), content.beeps());
        let opinion = SecondOpinion::of(&path);
        assert_eq!(opinion.complaints, "");
        let mut codecs = opinion.codecs.clone();
        codecs.sort_by_key(|codec| codec == "opus");
        assert_eq!(codecs, [name, "opus"]);
        assert_eq!(opinion.pictures, 210);
        // The recording itself is as without it.
        assert_eq!(Content::of(&file).pictures.len(), 210);
        let path = PathBuf::from(PLAYLIST);
        assert_eq!(
            told(&mut trial),
            [Told::Begun(path.clone()), Told::Ended(path)]
        );
    }
}

#[tokio::test]
async fn another_size_and_another_connection_begin_anew_and_a_gap_does_too() {
    let mut trial = making_hls(2, 0);
    trial.push(&interleaved([
        (Video, video(Codec::H264, SMALL, 0..2000)),
        (Audio, audio(0..2000)),
    ]));
    trial.push(&interleaved([
        (Video, video(Codec::H264, (320, 240), 2000..4000)),
        (Audio, audio(2000..4000)),
    ]));
    trial.writer.set_generation(Generation(2));
    trial.push(&interleaved([
        (Video, video(Codec::H264, (320, 240), 4000..6000)),
        (Audio, audio(4000..6000)),
    ]));
    trial.push(&interleaved([
        (Video, video(Codec::H264, (320, 240), 10_000..12_000)),
        (Audio, audio(10_000..12_000)),
    ]));
    finished(&trial).await;
    let hls = read(&trial);
    let playlist = hls.main();
    println!("{}", playlist.text);
    assert_eq!(playlist.count("#EXT-X-DISCONTINUITY"), 3);
    assert_eq!(playlist.runs.len(), 4);
    let total: f64 = playlist.durations.iter().sum();
    assert!((total - 8.0).abs() < 0.2, "{total} s of media");
    for (run, (width, start)) in [(160, 0), (320, 2000), (320, 4000), (320, 10_000)]
        .into_iter()
        .enumerate()
    {
        let content = hls.content(run);
        assert_eq!(content.pictures[0].width, width);
        let flashes: Vec<_> = content.flashes();
        // A player moves each run to its place; what counts is that nothing is missing and all is in step.
        assert_eq!(flashes.len(), 2, "run {run}, from {start} ms: {flashes:?}");
        assert_eq!(content.beeps().len(), 2, "run {run}: {:?}", content.beeps());
        assert!(
            content.offsets().iter().all(|offset| offset.abs() <= 20.0),
            "{:?}",
            content.offsets()
        );
    }
    let told = told(&mut trial);
    assert!(
        matches!(told[..], [Told::Begun(_), Told::Ended(_)]),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_window_removes_old_segments_and_the_rest_plays() {
    let trial = making_hls(2, 3);
    trial.push(&interleaved([
        (Video, video(Codec::H264, SMALL, 0..40_000)),
        (Audio, audio(0..40_000)),
    ]));
    finished(&trial).await;
    let hls = read(&trial);
    let playlist = hls.main();
    println!("{}", playlist.text);
    // Six of two seconds are three target durations.
    assert_eq!(playlist.count("#EXT-X-MEDIA-SEQUENCE:15"), 1);
    let files = std::fs::read_dir(&playlist.folder).unwrap().flatten();
    let mut segments: Vec<_> = files
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".m4s"))
        .collect();
    segments.sort();
    for name in ["sound", "picture"] {
        let own = |segment: &&String| segment.starts_with(name);
        let first = segments.iter().find(own).unwrap();
        assert_eq!(*first, format!("{name}-00008.m4s"));
        let last = segments.iter().rfind(own).unwrap();
        assert_eq!(*last, format!("{name}-00020.m4s"));
    }
    assert_eq!(hls.content(0).flashes().len(), 12);
}

#[tokio::test]
async fn vp8_is_told_to_be_left_out_and_the_sound_is_there() {
    let mut trial = making_hls(2, 0);
    trial.push(&interleaved([
        (Video, video(Codec::Vp8, SMALL, 0..5000)),
        (Audio, audio(0..5000)),
    ]));
    let file = finished(&trial).await;
    let hls = read(&trial);
    assert!(hls.picture.is_none(), "{}", hls.text);
    assert!(hls.text.contains("CODECS=\"Opus\""), "{}", hls.text);
    let content = hls.content(0);
    assert_times(&content.beeps(), &[0, 1000, 2000, 3000, 4000], 12);
    assert_eq!(Content::of(&file).flashes().len(), 5);
    assert_eq!(told(&mut trial)[0], Told::LeftOut(Codec::Vp8));
}

#[tokio::test]
async fn a_camera_that_comes_late_and_goes_off_leaves_the_sound_whole() {
    let trial = making_hls(1, 0);
    trial.push(&interleaved([
        (Video, video(Codec::H264, SMALL, 3000..5500)),
        (Audio, audio(0..9000)),
    ]));
    finished(&trial).await;
    let hls = read(&trial);
    let picture = hls.picture.as_ref().unwrap();
    println!("{}{}", picture.text, hls.sound.text);
    // Before the first key frame there is nothing to show.
    assert_eq!(picture.count("#EXT-X-GAP"), 3, "{}", picture.text);
    assert_eq!(hls.sound.count("#EXT-X-GAP"), 0);
    let total = |of: &Playlist| of.durations.iter().sum::<f64>();
    assert!((total(&hls.sound) - 9.0).abs() < 0.05);
    assert!((total(picture) - 9.0).abs() < 0.05);
    let beeps: usize = (0..hls.sound.runs.len())
        .map(|run| hls.sound.content(run).beeps().len())
        .sum();
    // One lies in two runs.
    assert!((9..=10).contains(&beeps), "{beeps} beeps");
    // Each segment without pictures has the last key frame, and can be shown by itself.
    let (header, segments) = picture.runs.last().unwrap();
    let last = segments.last().unwrap();
    let still = picture.content_of(header, std::slice::from_ref(last));
    assert_eq!(still.pictures.len(), 1);
    let seen = picture.content_of(header, segments);
    let end = seen.pictures.last().unwrap().at;
    assert!(end >= Duration::from_millis(7900), "{end:?}");
    let opinion = SecondOpinion::of(&trial.folder().join(PLAYLIST));
    assert!(opinion.pictures >= 75, "{opinion:?}");
}

#[tokio::test]
async fn a_sender_without_key_frames_is_asked_in_time_and_the_target_is_kept() {
    let mut trial = making_hls(1, 0);
    // One key frame in two seconds: less than is wanted.
    trial.push(&interleaved([
        (Video, video(Codec::H264, SMALL, 0..6000)),
        (Audio, audio(0..6000)),
    ]));
    finished(&trial).await;
    let mut asked = 0;
    for event in trial.events() {
        asked += u32::from(matches!(event, Event::KeyFrameNeeded));
    }
    assert!((3..=7).contains(&asked), "asked {asked} times");
    let hls = read(&trial);
    println!("{}", hls.main().text);
    assert_eq!(hls.content(0).pictures.len(), 180);
}

#[tokio::test]
async fn hls_that_cannot_be_written_is_told_and_the_recording_is_whole() {
    let mut trial = making_hls(2, 0);
    // A file where its folder would be.
    let folder = trial.folder().join(PLAYLIST);
    let folder = folder.parent().unwrap();
    std::fs::write(folder, "in the way").unwrap();
    let media = |range: std::ops::Range<u64>| {
        interleaved([
            (Video, video(Codec::H264, SMALL, range.clone())),
            (Audio, audio(range)),
        ])
    };
    trial.push(&media(0..4000));
    let stuck = |event| match event {
        Event::Hls(Told::Stuck(why)) => Some(why),
        _ => None,
    };
    let why = trial.until(stuck).await;
    assert!(why.contains("alice.hls"), "{why}");
    // The place is free again: HLS goes on.
    std::fs::remove_file(folder).unwrap();
    trial.push(&media(4000..9000));
    let file = finished(&trial).await;
    let told = told(&mut trial);
    assert!(
        matches!(told[..], [Told::Begun(_), Told::GoesOn, Told::Ended(_)]),
        "{told:?}"
    );
    assert_eq!(Content::of(&file).flashes().len(), 9);
    assert!(read(&trial).content(0).flashes().len() >= 4);
}

#[tokio::test]
async fn where_the_recording_goes_on_in_its_second_folder_hls_and_thumbnails_do() {
    let root = tempfile::tempdir().unwrap();
    let (first, second) = (root.path().join("first"), root.path().join("second"));
    std::fs::create_dir(&first).unwrap();
    let settings = hls::Settings {
        segment: Duration::from_secs(2),
        keep: 0,
    };
    let mut trial = Trial::at(Places::new(first.clone(), Some(second.clone()))).making(Beside {
        hls: Some(settings),
        thumbnails: Some(Duration::from_secs(2)),
    });
    let media = |range: std::ops::Range<u64>| {
        interleaved([
            (Video, video(Codec::H264, SMALL, range.clone())),
            (Audio, audio(range)),
        ])
    };
    let thumbnail = |event: &Event| match event {
        Event::Thumbnail(thumbnails::Told::Made { file, .. }) => Some(file.clone()),
        _ => None,
    };
    trial.push(&media(0..5000));
    let mut events = Vec::new();
    let before = trial.until(|event| {
        events.push(event.clone());
        thumbnail(&event)
    });
    assert!(before.await.is_relative());
    trial.until_taken().await;
    // The disk is gone; the next part finds that out.
    std::fs::rename(&first, root.path().join("gone")).unwrap();
    trial.gate.split();
    trial.push(&media(5000..15_000));
    let summary = trial.finish().await;
    assert!(summary.files.last().unwrap().file.starts_with(&second));

    events.extend(trial.events());
    let told = |event: &Event| match event {
        Event::Hls(Told::Begun(playlist)) => Some(playlist.clone()),
        _ => None,
    };
    let playlists: Vec<_> = events.iter().filter_map(told).collect();
    let there = second.join("20261122T081530Z-alice-2.hls/index.m3u8");
    assert_eq!(playlists, [PathBuf::from(PLAYLIST), there.clone()]);
    let hls = Presentation::read(&there);
    println!("{}", hls.main().text);
    assert_eq!(hls.main().count("#EXT-X-ENDLIST"), 1);
    let flashes = hls.content(0).flashes();
    assert!(flashes.len() >= 6, "{flashes:?}");
    let last = events.iter().filter_map(thumbnail).next_back().unwrap();
    assert!(last.starts_with(&second), "{last:?}");
    let left = Presentation::read(&root.path().join("gone").join(PLAYLIST));
    assert!(!left.content(0).flashes().is_empty());
}
