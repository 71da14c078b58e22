//! Pause, resume and split of a recording, checked by what is seen and heard in its files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/encode.rs"]
mod encode;
#[path = "support/media.rs"]
mod media;
#[path = "support/trial.rs"]
mod trial;

use std::path::Path;
use std::time::Duration;

use attache::media::Codec;
use attache::media::MediaKind::{Audio, Video};
use attache::recording::FileReport;
use attache::signalling::protocol::Sends;
use encode::{at, audio, interleaved, video};
use gstreamer as gst;
use media::SecondOpinion;
use trial::{BOTH, EPOCH, SMALL, Trial, assert_times};

fn ffmpeg_has_no_complaints(folder: &Path, file: &FileReport) {
    assert_eq!(SecondOpinion::of(&folder.join(&file.file)).complaints, "");
}

/// Sound and pictures of the whole range, encoded in one go: pictures build on those before, with a key frame every
/// two seconds.
fn call(
    codec: Codec,
    range: std::ops::Range<u64>,
) -> Vec<(attache::media::MediaKind, gst::Sample)> {
    interleaved([
        (Video, video(codec, SMALL, range.clone())),
        (Audio, audio(range)),
    ])
}

#[tokio::test]
async fn nothing_of_a_pause_is_in_the_file_and_what_follows_is_at_its_time() {
    for codec in [Codec::Vp8, Codec::H264] {
        let trial = Trial::new(BOTH);
        let call = call(codec, 0..12_000);
        let (before, rest) = call.split_at(call.partition_point(|(_, s)| at(s).as_millis() < 2500));
        let (pause, after) = rest.split_at(rest.partition_point(|(_, s)| at(s).as_millis() < 6500));
        trial.push(before);
        trial.gate.close();
        trial.push(&pause[..pause.len() - 40]);
        trial.gate.open(Duration::from_millis(6500));
        // The last of the pause come late, from the jitter buffer.
        trial.push(&pause[pause.len() - 40..]);
        trial.push(after);
        let summary = trial.finish().await;
        let [file] = &summary.files[..] else {
            panic!("one file: {summary:?}")
        };
        let content = trial.content(file);
        assert_times(
            &content.beeps(),
            &[0, 1000, 2000, 7000, 8000, 9000, 10_000, 11_000],
            15,
        );
        // Pictures go on at the next key frame, that of 8000.
        assert_times(
            &content.flashes(),
            &[0, 1000, 2000, 8000, 9000, 10_000, 11_000],
            1,
        );
        let within = |at: Duration| (2520..6500).contains(&at.as_millis());
        assert!(!content.pictures.iter().any(|picture| within(picture.at)));
        assert!(!content.sound.iter().any(|level| within(level.at)));
        assert!(
            content
                .pictures
                .iter()
                .all(|picture| picture.contrast < 40.0),
            "no picture is torn"
        );
        ffmpeg_has_no_complaints(trial.folder(), file);
    }
}

#[tokio::test]
async fn parts_of_a_split_joined_have_everything_once() {
    for codec in [Codec::Vp8, Codec::H264] {
        let trial = Trial::new(BOTH);
        let call = call(codec, 0..8000);
        let (before, after) =
            call.split_at(call.partition_point(|(_, s)| at(s).as_millis() < 2500));
        trial.push(before);
        trial.until_taken().await;
        trial.gate.split();
        trial.push(after);
        let summary = trial.finish().await;
        let [first, second] = &summary.files[..] else {
            panic!("two files: {summary:?}")
        };
        // The next key frame after 2500 is that of 4000.
        assert_eq!((first.part, second.part), (1, 2));
        assert_eq!(second.started, EPOCH + Duration::from_millis(4000));
        let frames = |kind| {
            let of = |file: &FileReport| {
                let mut tracks = file.tracks.iter();
                tracks
                    .find(|track| track.codec.kind() == kind)
                    .unwrap()
                    .frames
            };
            of(first) + of(second)
        };
        let pushed = |kind| call.iter().filter(|(of, _)| *of == kind).count() as u64;
        assert_eq!(frames(Video), pushed(Video));
        assert_eq!(frames(Audio), pushed(Audio));
        let (before, after) = (trial.content(first), trial.content(second));
        assert_times(&before.flashes(), &[0, 1000, 2000, 3000], 1);
        assert_times(&after.flashes(), &[0, 1000, 2000, 3000], 1);
        // A packet that begins before the split stays whole: a beep may end one part and begin the next.
        let later = after
            .beeps()
            .into_iter()
            .map(|at| at + Duration::from_secs(4));
        let mut beeps: Vec<_> = before.beeps().into_iter().chain(later).collect();
        beeps.dedup_by_key(|at| (at.as_millis() + 500) / 1000);
        assert_times(&beeps, &[0, 1000, 2000, 3000, 4000, 5000, 6000, 7000], 25);
        for file in [first, second] {
            ffmpeg_has_no_complaints(trial.folder(), file);
        }
    }
}

#[tokio::test]
async fn sound_alone_splits_at_once() {
    let trial = Trial::new(Sends {
        audio: true,
        video: false,
    });
    trial.push(&interleaved([(Audio, audio(0..2500))]));
    trial.until_taken().await;
    trial.gate.split();
    trial.push(&interleaved([(Audio, audio(2500..5000))]));
    let summary = trial.finish().await;
    let [first, second] = &summary.files[..] else {
        panic!("two files: {summary:?}")
    };
    let at = (second.started - EPOCH).whole_milliseconds();
    assert!((2480..=2540).contains(&at), "split at {at} ms");
    assert_times(&trial.content(first).beeps(), &[0, 1000, 2000], 15);
    assert_times(&trial.content(second).beeps(), &[500, 1500], 40);
}

#[tokio::test]
async fn a_camera_that_is_off_does_not_hold_a_split_up_and_comes_back_with_a_key_frame() {
    let trial = Trial::new(BOTH);
    let pictures = video(Codec::Vp8, SMALL, 0..9000);
    let seen = |sample: &gst::Sample| !(2500..5000).contains(&at(sample).as_millis());
    let pictures: Vec<_> = pictures.into_iter().filter(seen).collect();
    let call = interleaved([(Video, pictures), (Audio, audio(0..9000))]);
    let (before, after) = call.split_at(call.partition_point(|(_, s)| at(s).as_millis() < 4000));
    trial.push(before);
    trial.until_taken().await;
    trial.gate.split();
    trial.push(after);
    let summary = trial.finish().await;
    let [_, second] = &summary.files[..] else {
        panic!("two files: {summary:?}")
    };
    let began = (second.started - EPOCH).whole_milliseconds();
    assert!((3700..=4100).contains(&began), "split at {began} ms");
    let content = trial.content(second);
    // The first key frame after the camera came back is that of 6000.
    let first = content.pictures[0].at.as_millis() as i128 + began;
    assert_eq!(first, 6000);
    assert!(
        content
            .pictures
            .iter()
            .all(|picture| picture.contrast < 40.0),
        "no picture is torn"
    );
}
