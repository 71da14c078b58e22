//! Thumbnails of recordings, read back and looked at.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/encode.rs"]
mod encode;
#[path = "support/media.rs"]
mod media;
#[path = "support/record.rs"]
mod record;
mod support;
#[path = "support/trial.rs"]
mod trial;

use std::path::Path;
use std::time::Duration;

use attache::media::Codec;
use attache::media::MediaKind::{Audio, Video};
use attache::media::timecode::{self, Luma};
use attache::recording::Beside;
use attache::recording::report::Event;
use attache::recording::thumbnails::Told;
use daemon::{Daemon, manifest};
use encode::{audio, interleaved, video};
use gst::prelude::*;
use gstreamer as gst;
use record::Recorder;
use serde_json::Value;
use support::with_luma;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use trial::{BOTH, EPOCH, SMALL, Trial};

/// Decodes a JPEG and looks at its luma.
fn look<T>(file: &Path, look: impl FnOnce(&Luma<'_>) -> T) -> T {
    gst::init().unwrap();
    let launch = format!(
        "filesrc location={} ! jpegparse ! jpegdec ! videoconvert ! video/x-raw,format=I420 ! appsink name=sink sync=false",
        file.display()
    );
    let pipeline = gst::parse::launch(&launch).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let sink: gstreamer_app::AppSink = support::named(&pipeline, "sink");
    pipeline.set_state(gst::State::Playing).unwrap();
    let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(20));
    let found = with_luma(&sample.expect("a picture"), look);
    pipeline.set_state(gst::State::Null).unwrap();
    found
}

/// A writer that makes a thumbnail every two seconds.
fn trial() -> Trial {
    Trial::new(BOTH).making(Beside {
        thumbnails: Some(Duration::from_secs(2)),
        ..Beside::default()
    })
}

async fn told(trial: &mut Trial) -> Told {
    let of_it = |event| match event {
        Event::Thumbnail(told) => Some(told),
        _ => None,
    };
    trial.until(of_it).await
}

#[tokio::test]
async fn a_key_frame_of_every_codec_becomes_a_small_picture_of_its_moment() {
    for codec in [Codec::Vp8, Codec::H264, Codec::H265, Codec::Vp9, Codec::Av1] {
        let mut trial = trial();
        // Key frames: one in a flash, one in the dark.
        for (number, start, is_bright) in [(1_u32, 0, true), (2, 2500, false)] {
            trial.push(&interleaved([
                (Video, video(codec, (640, 360), start..start + 1000)),
                (Audio, audio(start..start + 1000)),
            ]));
            let (file, at) = match told(&mut trial).await {
                Told::Made { file, at } => (file, at),
                other => panic!("{codec:?}: no thumbnail {number}: {other:?}"),
            };
            assert_eq!(at, EPOCH + Duration::from_millis(start));
            let name = format!("20261122T081530Z-alice-{number:05}.jpg");
            assert_eq!(file.to_str().unwrap(), name);
            let (size, mean) = look(&trial.folder().join(file), |luma| {
                let lines = luma.data.chunks(luma.stride).take(luma.height);
                let pixels = lines.flat_map(|line| &line[..luma.width]);
                let sum: usize = pixels.map(|&pixel| usize::from(pixel)).sum();
                let size = (luma.width, luma.height);
                (size, sum / (luma.width * luma.height))
            });
            assert_eq!(size, (320, 180));
            assert_eq!(mean > 128, is_bright, "{codec:?}: brightness {mean}");
        }
        trial.finish().await;
    }
}

#[tokio::test]
async fn a_thumbnail_that_cannot_be_written_is_told_and_the_recording_is_whole() {
    let mut trial = trial();
    // Where the first one would be.
    std::fs::create_dir(trial.folder().join("20261122T081530Z-alice-00001.jpg")).unwrap();
    let media = |range: std::ops::Range<u64>| {
        interleaved([
            (Video, video(Codec::Vp8, SMALL, range.clone())),
            (Audio, audio(range)),
        ])
    };
    trial.push(&media(0..2000));
    let first = told(&mut trial).await;
    let Told::Failed(why) = first else {
        panic!("{first:?}")
    };
    assert!(why.contains("alice-00001.jpg"), "{why}");
    trial.push(&media(2000..4000));
    let second = told(&mut trial).await;
    assert!(matches!(second, Told::Made { .. }), "{second:?}");
    let summary = trial.finish().await;
    assert!(summary.error.is_none(), "{summary:?}");
    let content = trial.content(&summary.files[0]);
    assert_eq!(content.flashes().len(), 4);
}

/// The thumbnails that a manifest names, each with the time that the test picture in it tells, in milliseconds of UTC.
fn listed(recording: &Path) -> Vec<(Value, Option<u64>)> {
    let entries = manifest(recording)["thumbnails"].clone();
    let entries = entries.as_array().cloned().unwrap_or_default();
    let read = |entry: Value| {
        let file = recording.join(entry["file"].as_str().unwrap());
        let told = look(&file, timecode::read);
        (entry, told)
    };
    entries.into_iter().map(read).collect()
}

fn milliseconds(entry: &Value) -> i128 {
    let at = OffsetDateTime::parse(entry["at"].as_str().unwrap(), &Rfc3339).unwrap();
    at.unix_timestamp_nanos() / 1_000_000
}

async fn record(daemon: &Daemon, description: &str) -> Recorder {
    let mut recorder = Recorder::start(daemon, description);
    let is_there = |recording: &Path| {
        let manifest = manifest(recording);
        manifest["thumbnails"].as_array().map_or(0, Vec::len) >= 3
    };
    recorder
        .until("three thumbnails are listed", is_there)
        .await;
    recorder.end("TERM");
    recorder
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnails_of_a_call_show_the_moments_that_the_manifest_tells() {
    attache::media::init().unwrap();
    let daemon = Daemon::start("");
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    let head = "role = \"recorder\"\nsummary = \"s\"\n[recording]\nthumbnails_s = 2\n";
    let recorder = record(&daemon, head).await;
    let recording = recorder.recording().unwrap();
    let thumbnails = listed(&recording);
    let participant = manifest(&recording)["visits"][0]["participant"].clone();
    let mut before = 0;
    for (entry, told) in &thumbnails {
        assert_eq!(entry["participant"], participant);
        let at = milliseconds(entry);
        let told = i128::from(told.expect("the test picture's time can be read"));
        println!("{entry}: shows {} ms later", told - at);
        assert!((told - at).abs() < 150, "{entry}: {told}");
        // The last key frame serves, if it is no older than half the time.
        assert!(at - before > 900, "{entry} after {before}");
        before = at;
    }

    let mixed = format!(
        "{head}[settings.video]\nwidth = 640\nheight = 360\n\
         [record]\nvideo = \"videoconvert\"\naudio = \"audioconvert\"\n"
    );
    let recorder = record(&daemon, &mixed).await;
    daemon.end(&kiosk).await;
    let thumbnails = listed(&recorder.recording().unwrap());
    let whole = thumbnails.iter().filter(|(_, told)| told.is_some()).count();
    assert!(whole >= 2, "the kiosk fills the mix: {thumbnails:?}");
    for (entry, _) in &thumbnails {
        assert!(entry.get("participant").is_none(), "{entry}");
    }
}
