//! Films of recordings: everybody at the right time, in the right place, sound and picture in step.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/encode.rs"]
mod encode;
#[path = "support/media.rs"]
mod media;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use attache::media::Codec;
use attache::media::MediaKind::{Audio, Video};
use attache::recording::{Because, End, Manifest, Recording, Settings, Writer};
use attache::signalling::protocol::{Kind, Participant, Sends};
use encode::{audio, interleaved, video};
use gst::prelude::*;
use gstreamer as gst;
use media::Content;
use support::{named, pipeline, samples_of, with_luma};

const SMALL: (u32, u32) = (320, 240);

/// A recording that was left behind: who, the codec of its picture, from when to when, in milliseconds.
async fn recorded(out: &Path, stays: &[(&str, Codec, u64, u64)]) -> PathBuf {
    let mut recording = begin(out).await;
    let folder = recording.folder().to_owned();
    for (id, codec, from, to) in stays {
        let writer = recording.write(&participant(id));
        write(&writer, *codec, *from, *to).await;
    }
    recording.finish(Because::Stopped).await.unwrap();
    folder
}

async fn write(writer: &Writer, codec: Codec, from: u64, to: u64) {
    let pictures = video(codec, SMALL, from..to);
    push(writer, pictures, audio(from..to)).await;
}

async fn push(writer: &Writer, pictures: Vec<gst::Sample>, sound: Vec<gst::Sample>) {
    for (kind, sample) in interleaved([(Video, pictures), (Audio, sound)]) {
        writer.push(kind, sample);
    }
    writer.finish(End::Left).await;
}

async fn begin(out: &Path) -> Recording {
    attache::media::init().unwrap();
    let settings = Settings {
        out: out.to_owned(),
        second: None,
        description: None,
        room: "lobby".parse().unwrap(),
        job: "job1".parse().unwrap(),
        names: true,
        limits: Default::default(),
        format: attache::recording::Format::default(),
        beside: Default::default(),
    };
    let (mut recording, _) = Recording::create(settings).await;
    recording.entered();
    recording
}

fn participant(id: &str) -> Participant {
    Participant {
        id: id.parse().unwrap(),
        kind: Kind::Person,
        name: Some(format!("<b>{id}</b> & co")),
        identity: None,
        sends: Sends {
            audio: true,
            video: true,
        },
        recording: false,
        recordable: true,
        enhances: None,
        away: false,
    }
}

fn mix(arguments: &[&str], film: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attache"))
        .arg("mix")
        .args(arguments)
        .arg("-o")
        .arg(film)
        .output()
        .unwrap()
}

/// One picture of a film: its time, and how bright it is left and right of the middle.
struct Look {
    at: Duration,
    left: u8,
    right: u8,
}

async fn pictures(film: &Path) -> Vec<Look> {
    let text = format!(
        "filesrc location={} ! decodebin name=all all. ! queue ! videoconvert ! video/x-raw,format=I420 \
         ! appsink name=sink sync=false all. ! audioconvert ! fakesink",
        film.display()
    );
    let pipeline = pipeline(&text);
    let mut samples = samples_of(&named(&pipeline, "sink"));
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let ended = tokio::task::spawn_blocking(move || {
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends)
    });
    assert_eq!(ended.await.unwrap().unwrap().type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
    let mut looks = Vec::new();
    while let Ok(sample) = samples.try_recv() {
        let at = sample.buffer().unwrap().pts().unwrap().into();
        looks.push(with_luma(&sample, |luma| {
            let point = |x: f64| {
                let column = (x * luma.width as f64) as usize;
                luma.data[luma.height / 2 * luma.stride + column]
            };
            Look {
                at,
                left: point(0.2),
                right: point(0.8),
            }
        }));
    }
    looks
}

/// When a side turns bright, to the tenth of a second.
fn flashes(looks: &[Look], side: impl Fn(&Look) -> u8) -> Vec<u128> {
    let mut was = false;
    let mut found = Vec::new();
    for look in looks {
        let is = side(look) > 150;
        if is && !was {
            found.push((look.at.as_millis() + 50) / 100);
        }
        was = is;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_shows_everybody_at_the_right_time_and_place_and_in_step() {
    let out = tempfile::tempdir().unwrap();
    let stays = [
        ("alice", Codec::Vp8, 0, 8000),
        ("bob", Codec::H264, 3000, 6000),
    ];
    let folder = recorded(out.path(), &stays).await;
    for ending in ["mp4", "webm", "mkv"] {
        let film = out.path().join(format!("film.{ending}"));
        let made = mix(&[folder.to_str().unwrap(), "--size", "640x360"], &film);
        assert!(made.status.success(), "{made:?}");
        let looks = pictures(&film).await;
        let left = flashes(&looks, |look| look.left);
        let right = flashes(&looks, |look| look.right);
        // Alone, a picture fills the middle of the film; of two, each has its half.
        assert_eq!(left, [0, 10, 20, 30, 40, 50, 60, 70], "{ending}: left");
        assert_eq!(right, [0, 10, 20, 30, 40, 50, 60, 70], "{ending}: right");
        let beeps = Content::of(&film).beeps();
        assert_eq!(beeps.len(), 8, "{ending}: {beeps:?}");
        for (index, beep) in beeps.iter().enumerate() {
            let late = beep.as_secs_f64() - index as f64;
            assert!(late.abs() <= 0.04, "{ending}: beep {index} is {late} s off");
        }
        for (before, after) in looks.iter().zip(&looks[1..]) {
            let step = (after.at - before.at).as_secs_f64();
            assert!(
                (step - 1.0 / 30.0).abs() < 0.002,
                "{ending}: a step of {step} s"
            );
        }
    }
}

/// Where a participant's first flash and beep are to be in a film, by the manifest: its file's own, so much later as that
/// began after the first one.
fn by_the_manifest(folder: &Path, id: &str) -> [Duration; 2] {
    let manifest = Manifest::load(folder).unwrap();
    let files = manifest.visits.iter().map(|visit| &visit.files[0]);
    let begin = files.map(|file| file.started).min().unwrap();
    let mut visits = manifest.visits.iter();
    let visit = visits.find(|visit| visit.participant.to_string() == id);
    let file = &visit.unwrap().files[0];
    let content = Content::of(&folder.join(&file.file));
    let late = (file.started - begin).unsigned_abs();
    [content.flashes()[0], content.beeps()[0]].map(|at| late + at)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_is_where_the_manifest_says_to_the_picture() {
    let out = tempfile::tempdir().unwrap();
    let stays = [
        ("alice", Codec::H264, 0, 7000),
        ("bob", Codec::Vp8, 2417, 6000),
    ];
    let folder = recorded(out.path(), &stays).await;
    let [flash, beep] = by_the_manifest(&folder, "bob");
    // Three seconds after the first one began, whose clock both have.
    assert!(
        flash.abs_diff(Duration::from_secs(3)) < Duration::from_millis(40),
        "{flash:?}"
    );
    let film = out.path().join("film.mkv");
    let made = mix(&[folder.to_str().unwrap(), "--size", "640x360"], &film);
    assert!(made.status.success(), "{made:?}");
    let looks = pictures(&film).await;
    let turns = looks
        .windows(2)
        .filter(|pair| pair[0].right < 150 && pair[1].right >= 150);
    let turns: Vec<Duration> = turns.map(|pair| pair[1].at).collect();
    let nearest = |times: &[Duration], wanted: Duration| {
        times.iter().map(|at| at.abs_diff(wanted)).min().unwrap()
    };
    let apart = [
        nearest(&turns, flash),
        nearest(&Content::of(&film).beeps(), beep),
    ];
    println!("flash {flash:?}, beep {beep:?}: apart {apart:?}");
    assert!(
        apart
            .iter()
            .all(|apart| *apart <= Duration::from_millis(40)),
        "{apart:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_off_for_long_holds_nothing_up() {
    let out = tempfile::tempdir().unwrap();
    let mut recording = begin(out.path()).await;
    let folder = recording.folder().to_owned();
    let alice = recording.write(&participant("alice"));
    let camera = [
        video(Codec::Vp8, SMALL, 0..2000),
        video(Codec::Vp8, SMALL, 30_000..32_000),
    ];
    push(&alice, camera.concat(), audio(0..32_000)).await;
    recording.finish(Because::Stopped).await.unwrap();

    let film = out.path().join("film.mkv");
    let made = mix(
        &[
            folder.to_str().unwrap(),
            "--size",
            "320x240",
            "--framerate",
            "10",
        ],
        &film,
    );
    assert!(made.status.success(), "{made:?}");
    let looks = pictures(&film).await;
    assert_eq!(flashes(&looks, |look| look.left), [0, 10, 300, 310]);
    assert_eq!(Content::of(&film).beeps().len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_a_film_that_is_there_stays() {
    let out = tempfile::tempdir().unwrap();
    let stays = [("alice", Codec::Vp8, 0, 1000), ("bob", Codec::Vp8, 0, 1000)];
    let folder = recorded(out.path(), &stays).await;
    let (folder, film) = (folder.to_str().unwrap(), out.path().join("film.mkv"));
    let said = |made: Output, words: &[&str]| {
        let text = String::from_utf8(made.stderr).unwrap();
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
        made.status.code()
    };

    let nothing = mix(&["no-such-folder"], &film);
    assert_eq!(
        said(nothing, &["no-such-folder", "recording.json"]),
        Some(2)
    );
    let ending = mix(&[folder], &out.path().join("film.avi"));
    assert_eq!(said(ending, &["film.avi", ".mp4, .mkv or .webm"]), Some(2));

    std::fs::write(&film, "mine").unwrap();
    assert_eq!(said(mix(&[folder], &film), &["--force"]), Some(2));
    assert_eq!(std::fs::read(&film).unwrap(), b"mine");

    let bobs = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("bob"))
        .unwrap();
    std::fs::write(&bobs, vec![b'?'; 100_000]).unwrap();
    let broken = mix(&[folder, "--force"], &film);
    assert_eq!(said(broken, &["bob", "is it whole?"]), Some(1));
    assert_eq!(std::fs::read(&film).unwrap(), b"mine");

    std::fs::remove_file(&bobs).unwrap();
    let missing = mix(&[folder, "--force"], &film);
    assert_eq!(said(missing, &["bob", "--partial"]), Some(2));
    let partial = mix(&[folder, "--force", "--partial"], &film);
    assert_eq!(said(partial, &["bob", "is missing"]), Some(0));
    assert_eq!(pictures(&film).await.len(), 30);
}
