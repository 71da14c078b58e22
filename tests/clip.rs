//! The element `attacheclip`: files of the media folder, looked at over the seam of their loop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use attache::media::{clip, clock};
use gst::prelude::*;
use gstreamer as gst;
use support::{amplitude, mono, named, next, pipeline, samples_of, with_luma};
use tokio::sync::mpsc::UnboundedReceiver;

/// Two seconds at 25 pictures a second; each is one even grey that tells its number, and the sound is a tone.
const FRAMES: u64 = 50;

/// The folder of clips, made once.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    attache::media::init().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, video, audio) in [
        ("vp8.webm", "libvpx -b:v 1M -g 10", "libvorbis"),
        ("h264.mkv", "libx264 -bf 2 -crf 10", "libopus"),
        ("h264.mp4", "libx264 -bf 2 -crf 10", "aac"),
    ] {
        ffmpeg(&format!(
            "-f lavfi -i color=gray:s=64x64:r=25:d=2,geq=lum='20+N*4':cb=128:cr=128 \
             -f lavfi -i sine=frequency=500:sample_rate=48000:duration=2 -pix_fmt yuv420p -c:v {video} -c:a {audio} {}",
            folder.join(name).display()
        ));
    }
    ffmpeg(&format!(
        "-f lavfi -i color=white:s=64x64 -frames:v 1 {}",
        folder.join("still.png").display()
    ));
    ffmpeg(&format!(
        "-f lavfi -i color=white:s=64x64 -frames:v 1 {}",
        folder.join("still.jpg").display()
    ));
    ffmpeg(&format!(
        "-f lavfi -i color=white:s=64x64:d=1 -c:v mpeg2video {}",
        folder.join("mpeg2.mkv").display()
    ));
    clip::set_folder(&folder);
    folder
});

fn ffmpeg(arguments: &str) {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .status();
    assert!(run.unwrap().success(), "{arguments}");
}

struct Clip {
    pipeline: gst::Pipeline,
    samples: UnboundedReceiver<gst::Sample>,
}

impl Clip {
    fn play(location: &str, media: &str, form: &str) -> Self {
        LazyLock::force(&FOLDER);
        let launch = format!(
            "attacheclip location={location} media={media} ! {form} ! appsink name=sink sync=false async=false"
        );
        let pipeline = pipeline(&launch);
        let samples = samples_of(&named(&pipeline, "sink"));
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, samples }
    }

    async fn next(&mut self) -> (gst::ClockTime, gst::Sample) {
        let sample = next(&mut self.samples).await;
        (sample.buffer().unwrap().pts().unwrap(), sample)
    }

    async fn picture(&mut self) -> (gst::ClockTime, u64) {
        let (pts, sample) = self.next().await;
        let grey = with_luma(&sample, |luma| luma.data[luma.stride * 32 + 32]);
        (pts, (u64::from(grey) + 2 - 20) / 4)
    }
}

impl Drop for Clip {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_go_on_over_the_seam_in_real_time() {
    let check = async |name: &str| {
        let mut clip = Clip::play(
            name,
            "video",
            "videoconvert ! capsfilter caps=video/x-raw,format=I420",
        );
        let (mut last, mut number) = clip.picture().await;
        let mut latest = gst::ClockTime::ZERO;
        for _ in 0..2 * FRAMES + 20 {
            let (pts, found) = clip.picture().await;
            let now = clock::running_time();
            number = (number + 1) % FRAMES;
            assert_eq!(found, number, "{name}: a picture is missing or comes twice");
            let step = (pts - last).mseconds();
            // A container may be some milliseconds longer than its pictures.
            let longest = if number <= 1 { 60 } else { 42 };
            assert!(
                (38..=longest).contains(&step),
                "{name}: {step} ms from one picture to the next, at {number}"
            );
            assert!(pts <= now, "{name}: {pts} comes at {now}");
            latest = latest.max(now - pts);
            last = pts;
        }
        println!("{name}: at most {latest} late");
        assert!(
            latest < gst::ClockTime::from_mseconds(250),
            "{name}: {latest} late"
        );
    };
    tokio::join!(check("vp8.webm"), check("h264.mkv"), check("h264.mp4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_goes_on_over_the_seam() {
    for name in ["vp8.webm", "h264.mkv", "h264.mp4"] {
        let form = "audioconvert ! audioresample ! capsfilter caps=audio/x-raw,format=S16LE,rate=48000,channels=1,layout=interleaved";
        let mut clip = Clip::play(name, "audio", form);
        let (begun, first) = clip.next().await;
        let mut end = begun + first.buffer().unwrap().duration().unwrap();
        let mut heard = mono(&first);
        let mut gap = gst::ClockTime::ZERO;
        while end < begun + gst::ClockTime::from_mseconds(4500) {
            let (pts, sample) = clip.next().await;
            gap = gap.max(pts.saturating_sub(end));
            end = pts + sample.buffer().unwrap().duration().unwrap();
            heard.extend(mono(&sample));
        }
        println!("{name}: the longest gap is {gap}");
        assert!(
            gap < gst::ClockTime::from_mseconds(35),
            "{name}: a gap of {gap}"
        );
        let tone = amplitude(&heard[48_000..72_000], 500);
        assert!(tone > 0.05, "{name}: 500 Hz at {tone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_play_the_same_file_are_in_step() {
    let form = "videoconvert ! capsfilter caps=video/x-raw,format=I420";
    let mut first = Clip::play("h264.mp4", "video", form);
    for _ in 0..30 {
        first.picture().await;
    }
    let mut second = Clip::play("h264.mp4", "video", form);
    let (at, number) = second.picture().await;
    let (there, other) = first.picture().await;
    let apart = i128::from(there.mseconds()) - i128::from(at.mseconds());
    let pictures = i128::from(other) - i128::from(number);
    assert_eq!(apart, pictures * 40, "{number} at {at}, {other} at {there}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_still_picture_comes_ten_times_a_second() {
    for name in ["still.png", "still.jpg"] {
        let mut clip = Clip::play(
            name,
            "video",
            "videoconvert ! capsfilter caps=video/x-raw,format=I420",
        );
        let (mut last, _) = clip.picture().await;
        for _ in 0..12 {
            let (pts, sample) = clip.next().await;
            assert_eq!(pts - last, gst::ClockTime::from_mseconds(100));
            assert!(with_luma(&sample, |luma| luma.data[luma.stride * 32 + 32]) > 230);
            last = pts;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_has_no_sound_and_that_is_only_a_notice() {
    LazyLock::force(&FOLDER);
    let pipeline = pipeline("attacheclip location=still.png media=audio ! fakesink async=false");
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let ends = [gst::MessageType::Error, gst::MessageType::Warning];
    let message = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(10), &ends)
        .unwrap();
    let gst::MessageView::Warning(warning) = message.view() else {
        panic!("{message:?}")
    };
    assert_eq!(warning.error().message(), "the clip still.png has no sound");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_that_cannot_be_played_says_why() {
    std::fs::write(FOLDER.join("broken.webm"), "this is no film").unwrap();
    for (location, media, wanted) in [
        ("gone.png", "video", "is not there; the media folder"),
        ("../clip.rs", "video", "is not the plain name of a file"),
        (
            "mpeg2.mkv",
            "video",
            "its picture is video/mpeg; VP8, VP9 or H.264 would be played",
        ),
        ("broken.webm", "video", "broken.webm: "),
    ] {
        let pipeline = pipeline(&format!(
            "attacheclip location={location} media={media} ! fakesink async=false"
        ));
        let _ = pipeline.set_state(gst::State::Playing);
        let bus = pipeline.bus().unwrap();
        let limit = gst::ClockTime::from_seconds(10);
        let message = bus
            .timed_pop_filtered(limit, &[gst::MessageType::Error])
            .expect(location);
        let gst::MessageView::Error(error) = message.view() else {
            unreachable!()
        };
        let error = error.error().to_string();
        println!("{error}");
        assert!(error.contains(wanted), "{error}");
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
