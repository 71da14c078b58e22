//! A mixing recorder in a real room: two kiosks that flash and beep, one of which comes later and leaves earlier.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/media.rs"]
mod media;
mod support;

use std::path::Path;
use std::time::Duration;

use attache::media::timecode::Luma;
use daemon::{Daemon, manifest, media_files};
use gst::prelude::*;
use gstreamer as gst;
use media::{Content, SecondOpinion};
use serde_json::{Value, json};
use support::{named, pipeline, samples_of, with_luma};

/// Each counts every flash: they do not share a machine.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Brightness at a point, in parts of the picture's size.
fn at(luma: &Luma<'_>, x: f64, y: f64) -> u8 {
    let (column, row) = (x * luma.width as f64, y * luma.height as f64);
    luma.data[row as usize * luma.stride + column as usize]
}

/// One picture of the file: where it flashes.
struct Look {
    at: Duration,
    whole: bool,
    left: bool,
    right: bool,
}

/// The flash lies in the upper right of a kiosk's picture: alone it fills the grid, of two each has half its width.
async fn pictures(file: &Path) -> Vec<Look> {
    let text = format!(
        "filesrc location={} ! matroskademux ! vp8dec ! videoconvert ! video/x-raw,format=I420 ! appsink name=sink sync=false",
        file.display()
    );
    let pipeline = pipeline(&text);
    let mut samples = samples_of(&named(&pipeline, "sink"));
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let bus = pipeline.bus().unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends)
    });
    assert_eq!(ended.await.unwrap().unwrap().type_(), gst::MessageType::Eos);
    let mut looks = Vec::new();
    while let Ok(sample) = samples.try_recv() {
        let pts = sample.buffer().unwrap().pts().unwrap();
        looks.push(with_luma(&sample, |luma| Look {
            at: pts.into(),
            whole: at(luma, 0.8, 0.1) > 180,
            left: at(luma, 0.41, 0.35) > 180,
            right: at(luma, 0.91, 0.35) > 180,
        }));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    looks
}

/// When it begins to flash, as `is` sees it; a flash that moves to another place is one.
fn flashes(pictures: &[Look], is: impl Fn(&Look) -> bool) -> Vec<Duration> {
    let mut flashes: Vec<Duration> = Vec::new();
    for look in pictures.iter().filter(|look| is(look)) {
        let is_new = |last: &Duration| look.at - *last > Duration::from_millis(500);
        if flashes.last().is_none_or(is_new) {
            flashes.push(look.at);
        }
    }
    flashes
}

/// Of what happens each second, 99 of 100 are there between the first and the last.
fn assert_nearly_all(what: &str, times: &[Duration]) {
    let lasted = times[times.len() - 1] - times[0];
    let expected = lasted.as_secs_f64().round() + 1.0;
    println!("{what}: {} of {expected}", times.len());
    assert!(times.len() as f64 >= 0.99 * expected, "{what}: {times:?}");
}

fn recorded(view: &Value) -> u64 {
    view["recordings"][0]["duration_ms"].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_in_one_picture_and_one_sound_while_they_are_there() {
    let _alone = ALONE.lock().await;
    attache::media::init().unwrap();
    let daemon = Daemon::start("");
    let first = daemon.job("kiosk", "kiosk-test", "lobby").await;
    let recorder = daemon.job("recorder", "recorder-mixed", "lobby").await;
    daemon
        .until(&recorder, "three seconds", |view| recorded(view) > 3000)
        .await;
    let second = daemon.job("kiosk", "kiosk-test", "lobby").await;
    daemon
        .until(&recorder, "both", |view| recorded(view) > 8000)
        .await;
    daemon.end(&second).await;
    let alone = daemon.view(&recorder).await;

    daemon
        .until(&recorder, "one again", |view| {
            recorded(view) > recorded(&alone) + 2500
        })
        .await;
    daemon.end(&first).await;
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "its end", |view| view["state"] == "stopped")
        .await;

    let recording = daemon.recording();
    let files = media_files(&recording);
    assert_eq!(files.len(), 1, "{files:?}");
    let pictures = pictures(&files[0]).await;
    let longest = pictures.windows(2).map(|pair| {
        assert!(
            pair[1].at > pair[0].at,
            "{:?} after {:?}",
            pair[1].at,
            pair[0].at
        );
        pair[1].at - pair[0].at
    });
    let longest = longest.max().unwrap();
    println!("{} pictures, at most {longest:?} apart", pictures.len());
    assert!(
        longest < Duration::from_millis(300),
        "{longest:?} without a picture"
    );
    // Alone, or with somebody at the other's side; each flashes at the full seconds of its own clock.
    let (first, second) = (
        flashes(&pictures, |look| look.whole || look.left),
        flashes(&pictures, |look| look.right && !look.whole),
    );
    assert!(
        first.len() >= 10 && second.len() >= 3,
        "{first:?} {second:?}"
    );
    assert_nearly_all("flashes of who was there first", &first);
    assert_nearly_all("flashes of who came later and left", &second);
    let content = Content::of(&files[0]);
    let beeps = content.beeps();
    assert!(beeps.len() >= 10, "{beeps:?}");
    assert_nearly_all("beeps", &beeps);
    let manifest = manifest(&recording);
    assert_eq!(manifest["state"], "finished", "{manifest:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mix_in_mp4_has_its_sound_as_aac_in_step_with_the_picture() {
    let _alone = ALONE.lock().await;
    let daemon = Daemon::start("");
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    let recorder = daemon.job("recorder", "recorder-live", "lobby").await;
    daemon
        .until(&recorder, "eight seconds", |view| recorded(view) > 8000)
        .await;
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "its end", |view| view["state"] == "stopped")
        .await;
    daemon.end(&kiosk).await;

    let recording = daemon.recording();
    let files = media_files(&recording);
    assert_eq!(files.len(), 1, "{files:?}");
    let content = Content::of(&files[0]);
    let mut offsets: Vec<f64> = content.offsets().iter().map(|ms| ms.abs()).collect();
    offsets.sort_by(f64::total_cmp);
    println!(
        "{} beeps, apart from the flashes: {offsets:.1?} ms",
        content.beeps().len()
    );
    assert!(content.beeps().len() >= 6, "{:?}", content.beeps());
    // A compositor puts a picture up to half of one too early or too late; the next one would be too late.
    let middle = offsets[offsets.len() / 2];
    assert!(middle <= 30.0, "{middle:.1} ms: {offsets:.1?}");
    let second = SecondOpinion::of(&files[0]);
    assert_eq!(second.codecs, ["h264", "aac"], "{second:?}");
    assert_eq!(second.complaints, "");
    let tracks = &manifest(&recording)["visits"][0]["files"][0]["tracks"];
    assert_eq!(tracks[1]["codec"], "aac", "{tracks:#}");
}

/// For `make bench`, which reads the last line.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute; make bench runs it"]
async fn how_far_apart_sound_and_picture_are_in_ten_mixes() {
    const MIXES: usize = 10;
    let _alone = ALONE.lock().await;
    let daemon = Daemon::start("");
    let size = json!({ "width": 640, "height": 360 });
    let spec = |role: &str, description: &str| json!({ "role": role, "description": description, "room": "lobby", "parameters": size });
    daemon.job_with(spec("kiosk", "kiosk-test")).await;
    for _ in 0..MIXES / 2 {
        // Two of them at a time: each is a worker of its own, with a connection and a mix that begin by chance.
        let webm = daemon.job_with(spec("recorder", "recorder-mixed")).await;
        let mp4 = daemon.job_with(spec("recorder", "recorder-live")).await;
        for recorder in [webm, mp4] {
            let is_long = |view: &Value| recorded(view) > 9000;
            daemon.until(&recorder, "nine seconds", is_long).await;
            daemon.end(&recorder).await;
            let is_over = |view: &Value| view["state"] == "stopped";
            daemon.until(&recorder, "its end", is_over).await;
        }
    }
    let mut all = Vec::new();
    for recording in daemon.recordings() {
        let file = &media_files(&recording)[0];
        let offsets = Content::of(file).offsets();
        println!("{}: {offsets:.1?} ms", file.display());
        assert!(offsets.len() >= 7, "{}: {offsets:?}", file.display());
        all.extend(offsets.iter().map(|ms| ms.abs()));
    }
    all.sort_by(f64::total_cmp);
    let figures = json!({
        "mixes": MIXES,
        "flashes": all.len(),
        "p50_ms": all[all.len() / 2],
        "p95_ms": all[(all.len() * 95).div_ceil(100) - 1],
        "max_ms": all[all.len() - 1],
    });
    println!("{figures}");
}
