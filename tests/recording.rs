//! Recordings of real media, decoded again and checked by what is seen and heard in them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/encode.rs"]
mod encode;
#[path = "support/matroska.rs"]
mod matroska;
#[path = "support/media.rs"]
mod media;
#[path = "support/trial.rs"]
mod trial;

use std::path::{Path, PathBuf};
use std::time::Duration;

use attache::media::Codec;
use attache::media::MediaKind::{Audio, Video};
use attache::recording::repair::examine;
use attache::recording::report::Event;
use attache::recording::{Containers, End, FileReport, Format, Media};
use attache::signalling::protocol::Sends;
use encode::{audio, interleaved, video};
use matroska::Skeleton;
use media::{Content, SecondOpinion};
use trial::{BOTH, EPOCH, LIMIT, SMALL, SOUND, Trial, assert_times};

#[track_caller]
fn assert_in_step(content: &Content) {
    for offset in content.offsets() {
        assert!(
            offset.abs() <= 12.0,
            "sound is off by {offset} ms: {:?}",
            content.offsets()
        );
    }
}

#[track_caller]
fn assert_second_opinion(file: &Path, codecs: &[&str], seconds: f64, pictures: usize) {
    let opinion = SecondOpinion::of(file);
    assert_eq!(opinion.complaints, "");
    assert_eq!(opinion.codecs, codecs);
    let duration = opinion.duration.unwrap_or_default();
    assert!(
        (duration - seconds).abs() < 0.05,
        "{duration} s instead of {seconds}"
    );
    assert_eq!(opinion.pictures, pictures);
}

#[tokio::test]
async fn flashes_and_beeps_are_in_the_file_at_their_times_and_in_step() {
    for (codec, name, codec_name) in [
        (Codec::Vp8, "webm", "vp8"),
        (Codec::H264, "mp4", "h264"),
        (Codec::Vp9, "mp4", "vp9"),
        (Codec::Av1, "mp4", "av1"),
        (Codec::H265, "mp4", "hevc"),
    ] {
        let trial = Trial::new(BOTH);
        // A peer's media does not begin at zero: 2500 to 7500 ms of running time, sound 60 ms later.
        trial.push(&interleaved([
            (Video, video(codec, SMALL, 2500..7500)),
            (Audio, audio(2560..7500)),
        ]));
        let summary = trial.finish().await;
        let [file] = &summary.files[..] else {
            panic!("one file: {summary:?}")
        };
        assert_eq!(
            file.file,
            PathBuf::from(format!("20261122T081530Z-alice.{name}"))
        );
        assert_eq!(file.started, EPOCH + Duration::from_millis(2500));
        assert_eq!(
            file.bytes,
            std::fs::metadata(trial.path(file)).unwrap().len()
        );

        let content = Content::of(&trial.path(file));
        println!(
            "{codec:?}: offsets {:?} ms, beeps {:?}",
            content.offsets(),
            content.beeps()
        );
        assert_times(&content.flashes(), &[500, 1500, 2500, 3500, 4500], 1);
        assert_times(&content.beeps(), &[500, 1500, 2500, 3500, 4500], 12);
        assert_in_step(&content);
        assert_eq!(content.pictures.len(), 150);
        // The encoder fills its last packet up.
        assert_times(&[content.duration.unwrap()], &[5010], 10);
        // FFmpeg adds the start of a track of MP4 to its end.
        let seconds = if name == "mp4" { 5.06 } else { 5.0 };
        assert_second_opinion(&trial.path(file), &[codec_name, "opus"], seconds, 150);
    }
}

#[tokio::test]
async fn a_finished_file_has_cues_at_its_key_frames_and_sizes_that_add_up() {
    let trial = Trial::new(BOTH);
    trial.push(&interleaved([
        (Video, video(Codec::Vp8, SMALL, 0..9000)),
        (Audio, audio(0..9000)),
    ]));
    let summary = trial.finish().await;
    let skeleton = Skeleton::of(&trial.path(&summary.files[0]));
    // The encoder of the test makes a key frame every 60 pictures.
    assert_eq!(
        skeleton.cues,
        [0, 2000, 4000, 6000, 8000].map(|at| (at, at))
    );
    assert!(
        skeleton
            .clusters
            .windows(2)
            .all(|pair| pair[1] - pair[0] <= 300),
        "{:?}",
        skeleton.clusters
    );
}

#[tokio::test]
async fn sound_alone_makes_a_webm_that_can_be_sought_in() {
    let trial = Trial::new(SOUND);
    trial.push(&interleaved([(Audio, audio(1000..13_000))]));
    let summary = trial.finish().await;
    let path = trial.path(&summary.files[0]);
    assert_eq!(path.extension().unwrap(), "webm");
    let content = Content::of(&path);
    assert_times(
        &content.beeps(),
        &(0..12).map(|n| n * 1000).collect::<Vec<_>>(),
        12,
    );
    assert_eq!(content.pictures, []);
    assert_second_opinion(&path, &["opus"], 12.0, 0);
    let cues: Vec<_> = Skeleton::of(&path).cues.iter().map(|cue| cue.0).collect();
    assert!(
        matches!(cues[..], [0, 5000..5300, 10_000..10_600]),
        "{cues:?}"
    );
}

#[tokio::test]
async fn a_camera_that_is_off_for_three_seconds_leaves_a_gap_and_the_rest_in_step() {
    for codec in [Codec::Vp8, Codec::H264] {
        let trial = Trial::new(BOTH);
        trial.push(&interleaved([
            (Video, video(codec, SMALL, 0..2500)),
            (Audio, audio(0..2500)),
        ]));
        trial.writer.set_sends(SOUND);
        trial.push(&interleaved([(Audio, audio(2500..5500))]));
        trial.writer.set_sends(BOTH);
        trial.push(&interleaved([
            (Video, video(codec, SMALL, 5500..8000)),
            (Audio, audio(5500..8000)),
        ]));
        let summary = trial.finish().await;
        let [file] = &summary.files[..] else {
            panic!("one file: {summary:?}")
        };
        let content = Content::of(&trial.path(file));
        assert_times(&content.flashes(), &[0, 1000, 2000, 6000, 7000], 1);
        assert_times(
            &content.beeps(),
            &[0, 1000, 2000, 3000, 4000, 5000, 6000, 7000],
            12,
        );
        assert_in_step(&content);
        let gap = content
            .pictures
            .windows(2)
            .map(|pair| (pair[1].at - pair[0].at).as_millis())
            .max();
        assert_eq!(gap, Some(3033));
        assert_second_opinion(
            &trial.path(file),
            &[if codec == Codec::H264 { "h264" } else { "vp8" }, "opus"],
            8.0,
            150,
        );
    }
}

#[tokio::test]
async fn a_muted_microphone_leaves_a_gap_and_the_rest_in_step() {
    let trial = Trial::new(BOTH);
    trial.push(&interleaved([
        (Video, video(Codec::Vp8, SMALL, 0..8000)),
        (Audio, [audio(0..2500), audio(5500..8000)].concat()),
    ]));
    let summary = trial.finish().await;
    let content = Content::of(&trial.path(&summary.files[0]));
    assert_times(&content.beeps(), &[0, 1000, 2000, 6000, 7000], 12);
    assert_times(
        &content.flashes(),
        &[0, 1000, 2000, 3000, 4000, 5000, 6000, 7000],
        1,
    );
    assert_times(&[content.longest_silence_between_samples().0], &[2990], 10);
}

#[tokio::test]
async fn a_camera_that_comes_late_joins_the_file() {
    let trial = Trial::new(BOTH);
    trial.push(&interleaved([
        (Audio, audio(0..7000)),
        (Video, video(Codec::Vp8, SMALL, 4000..7000)),
    ]));
    let summary = trial.finish().await;
    let [file] = &summary.files[..] else {
        panic!("one file: {summary:?}")
    };
    let video = file
        .tracks
        .iter()
        .find(|track| track.codec == Codec::Vp8)
        .unwrap();
    assert_eq!(video.offset, Duration::from_secs(4));
    let content = Content::of(&trial.path(file));
    assert_times(&content.flashes(), &[4000, 5000, 6000], 1);
    assert_times(
        &content.beeps(),
        &[0, 1000, 2000, 3000, 4000, 5000, 6000],
        12,
    );
    assert_second_opinion(&trial.path(file), &["opus", "vp8"], 7.0, 90);
}

#[tokio::test]
async fn sound_that_comes_late_has_its_place_in_an_mp4_file() {
    let trial = Trial::new(Sends {
        audio: false,
        video: true,
    });
    trial.push(&interleaved([
        (Video, video(Codec::H264, SMALL, 0..7000)),
        (Audio, audio(3500..7000)),
    ]));
    let summary = trial.finish().await;
    let [file] = &summary.files[..] else {
        panic!("one file: {summary:?}")
    };
    assert_eq!(file.tracks[1].offset, Duration::from_millis(3500));
    let content = Content::of(&trial.path(file));
    assert_times(
        &content.flashes(),
        &[0, 1000, 2000, 3000, 4000, 5000, 6000],
        1,
    );
    assert_times(&content.beeps(), &[4000, 5000, 6000], 12);
    assert_second_opinion(&trial.path(file), &["h264", "opus"], 7.0, 210);
}

#[tokio::test]
async fn late_h264_begins_a_second_part_and_nothing_is_lost_between_the_two() {
    let trial = Trial::new(BOTH);
    trial.push(&interleaved([
        (Audio, audio(0..7000)),
        (Video, video(Codec::H264, SMALL, 3500..7000)),
    ]));
    let summary = trial.finish().await;
    let [first, second] = &summary.files[..] else {
        panic!("two files: {summary:?}")
    };
    assert_eq!(first.file, PathBuf::from("20261122T081530Z-alice.webm"));
    assert_eq!(second.file, PathBuf::from("20261122T081530Z-alice-2.mp4"));
    assert_eq!(second.started, EPOCH + Duration::from_millis(3500));
    assert_eq!((first.part, second.part), (1, 2));
    let frames = |file: &FileReport| {
        file.tracks
            .iter()
            .find(|track| track.codec == Codec::Opus)
            .unwrap()
            .frames
    };
    assert_eq!(
        frames(first) + frames(second),
        351,
        "350 packets of sound and the encoder's last one"
    );
    let (before, after) = (
        Content::of(&trial.path(first)),
        Content::of(&trial.path(second)),
    );
    assert_times(&before.beeps(), &[0, 1000, 2000, 3000], 12);
    assert_times(&after.beeps(), &[500, 1500, 2500], 12);
    assert_times(&after.flashes(), &[500, 1500, 2500], 1);
    assert_in_step(&after);
}

#[tokio::test]
async fn another_size_in_mid_stream_keeps_one_file_that_decodes_throughout() {
    for codec in [Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1] {
        let trial = Trial::new(BOTH);
        let large = (320, 240);
        let pictures = [
            video(codec, SMALL, 0..2000),
            video(codec, large, 2000..4000),
            video(codec, SMALL, 4000..6000),
        ];
        trial.push(&interleaved([
            (Video, pictures.concat()),
            (Audio, audio(0..6000)),
        ]));
        let summary = trial.finish().await;
        let [file] = &summary.files[..] else {
            panic!("one file: {summary:?}")
        };
        let sizes: Vec<_> = file.tracks[0]
            .sizes
            .iter()
            .map(|(at, size)| (at.as_millis(), (size.width, size.height)))
            .collect();
        assert_eq!(sizes, [(0, SMALL), (2000, large), (4000, SMALL)]);
        let content = Content::of(&trial.path(file));
        assert_times(&content.flashes(), &[0, 1000, 2000, 3000, 4000, 5000], 1);
        let wide: Vec<_> = content
            .pictures
            .iter()
            .filter(|picture| picture.width == 320)
            .map(|picture| picture.at)
            .collect();
        assert_eq!(wide.len(), 60);
        assert_times(&[wide[0], wide[59]], &[2000, 3966], 1);
        assert!(
            content
                .pictures
                .iter()
                .all(|picture| picture.contrast < 40.0),
            "no picture is torn"
        );
        let opinion = SecondOpinion::of(&trial.path(file));
        assert_eq!((opinion.pictures, opinion.complaints.as_str()), (180, ""));
    }
}

#[tokio::test]
async fn a_file_that_grows_plays_up_to_half_a_second_ago() {
    for (codec, copy) in [(Codec::Vp8, "copy.webm"), (Codec::H264, "copy.mp4")] {
        let mut trial = Trial::new(BOTH);
        trial.push(&interleaved([
            (Video, video(codec, SMALL, 0..4000)),
            (Audio, audio(0..4000)),
        ]));
        let file = trial.until(|event| match event {
            Event::Progress(file) if file.duration >= Duration::from_millis(3500) => Some(file),
            _ => None,
        });
        let file = file.await;
        // What a player reads now is what a killed process leaves behind.
        let copy = trial.folder().join(copy);
        std::fs::copy(trial.path(&file), &copy).unwrap();
        let content = Content::of(&copy);
        assert_times(&content.flashes(), &[0, 1000, 2000, 3000], 1);
        assert_times(&content.beeps(), &[0, 1000, 2000, 3000], 12);
        let (picture, sound) = (
            content.pictures.last().unwrap().at,
            content.sound.last().unwrap().at,
        );
        assert!(
            picture.min(sound) >= Duration::from_millis(3500),
            "{codec:?}: {picture:?} {sound:?}"
        );
        assert_eq!(SecondOpinion::of(&copy).complaints, "");
        assert!(trial.finish().await.error.is_none());
    }
}

#[tokio::test]
async fn sound_that_waits_for_a_camera_is_on_disk_before_its_file_begins() {
    let trial = Trial::new(BOTH);
    trial.push(&interleaved([(Audio, audio(0..1000))]));
    let names = || {
        let entries = std::fs::read_dir(trial.folder()).unwrap().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let kept = async {
        let second = Duration::from_secs(1);
        loop {
            if let [draft] = &names()[..]
                && examine(draft).is_ok_and(|found| found.duration >= second)
            {
                return Content::of(draft);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let kept = tokio::time::timeout(LIMIT, kept).await;
    assert_times(&kept.expect("a draft in time").beeps(), &[0], 12);

    trial.push(&interleaved([
        (Video, video(Codec::Vp8, SMALL, 1000..3000)),
        (Audio, audio(1000..3000)),
    ]));
    let summary = trial.finish().await;
    assert_eq!(
        names(),
        [trial.path(&summary.files[0])],
        "the draft is gone"
    );
    let content = Content::of(&trial.path(&summary.files[0]));
    // The second encoder's first beep is blurred.
    assert_times(&content.beeps(), &[0, 1000, 2000], 20);
    assert_times(&content.flashes(), &[1000, 2000], 1);
}

#[tokio::test]
async fn a_file_cut_anywhere_plays_up_to_the_cut() {
    for (codec, copy) in [(Codec::Vp8, "cut.webm"), (Codec::H264, "cut.mp4")] {
        let trial = Trial::new(BOTH);
        trial.push(&interleaved([
            (Video, video(codec, SMALL, 0..3000)),
            (Audio, audio(0..3000)),
        ]));
        let summary = trial.finish().await;
        let bytes = std::fs::read(trial.path(&summary.files[0])).unwrap();
        let copy = trial.folder().join(copy);
        let mut before = 0;
        for percent in [40, 53, 67, 80, 99] {
            std::fs::write(&copy, &bytes[..bytes.len() * percent / 100]).unwrap();
            let content = Content::of(&copy);
            assert!(
                content.pictures.len() > before,
                "{percent} % of the {codec:?} file hold {} pictures",
                content.pictures.len()
            );
            before = content.pictures.len();
            assert!(SecondOpinion::of(&copy).pictures > 0);
        }
    }
}

#[tokio::test]
async fn sound_alone_goes_into_ogg_and_its_gaps_are_filled_with_silence() {
    let only_sound = Format {
        media: Media::Audio,
        ..Format::default()
    };
    let trial = Trial::with_format(SOUND, only_sound);
    trial.push(&interleaved([(
        Audio,
        [audio(500..2500), audio(5510..7990)].concat(),
    )]));
    let summary = trial.finish().await;
    let path = trial.path(&summary.files[0]);
    assert_eq!(path.extension().unwrap(), "opus");
    let content = Content::of(&path);
    assert_times(&content.beeps(), &[500, 1500, 5500, 6500], 14);
    assert_eq!(
        content.longest_silence_between_samples().0,
        Duration::from_millis(1),
        "decoders see no gap"
    );
    assert_second_opinion(&path, &["opus"], 7.5, 0);
    // What a killed recorder leaves has no end of stream.
    let bytes = std::fs::read(&path).unwrap();
    let copy = trial.folder().join("cut.opus");
    std::fs::write(&copy, &bytes[..bytes.len() * 9 / 10]).unwrap();
    assert_times(&Content::of(&copy).beeps(), &[500, 1500, 5500, 6500], 14);
}

#[tokio::test]
async fn matroska_is_written_where_it_is_wanted() {
    let matroska = Format {
        containers: Containers::Matroska,
        ..Format::default()
    };
    for (codec, ending, codec_name) in [
        (Codec::H264, "mkv", "h264"),
        (Codec::H265, "mkv", "hevc"),
        (Codec::Vp9, "webm", "vp9"),
        (Codec::Av1, "webm", "av1"),
    ] {
        let trial = Trial::with_format(BOTH, matroska);
        trial.push(&interleaved([
            (Video, video(codec, SMALL, 0..2000)),
            (Audio, audio(0..2000)),
        ]));
        let summary = trial.finish().await;
        let path = trial.path(&summary.files[0]);
        assert_eq!(path.extension().unwrap(), ending);
        assert_times(&Content::of(&path).flashes(), &[0, 1000], 1);
        assert_second_opinion(&path, &[codec_name, "opus"], 2.0, 60);
    }
}

#[tokio::test]
async fn a_writer_that_is_dropped_finishes_its_file() {
    let mut trial = Trial::new(BOTH);
    trial.push(&interleaved([
        (Video, video(Codec::Vp8, SMALL, 0..1000)),
        (Audio, audio(0..1000)),
    ]));
    let other = Trial::new(BOTH);
    drop(std::mem::replace(&mut trial.writer, other.writer));
    let finished = trial
        .until(|event| {
            if let Event::Finished(file) = event {
                Some(file)
            } else {
                None
            }
        })
        .await;
    let ended = trial
        .until(|event| {
            if let Event::Ended(why) = event {
                Some(why)
            } else {
                None
            }
        })
        .await;
    assert_eq!(ended, End::Stopped);
    assert_second_opinion(&trial.path(&finished), &["vp8", "opus"], 1.0, 30);
}
