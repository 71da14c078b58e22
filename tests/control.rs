//! Pause, resume and split of running recorders over the API, with a kiosk that flashes and beeps each second.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/media.rs"]
mod media;

use std::time::Duration;

use daemon::{Daemon, manifest, media_files};
use media::Content;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A picture's time, and a little more: what lies between the last frame of one part and the first of the next.
const FRAME: Duration = Duration::from_millis(110);
const PACKET: Duration = Duration::from_millis(45);

fn recorded(view: &Value) -> u64 {
    let files = view["recordings"].as_array().unwrap().iter();
    files.filter_map(|file| file["duration_ms"].as_u64()).sum()
}

async fn post(daemon: &Daemon, id: &str, what: &str) -> (u16, Value) {
    let url = format!("{}/api/v1/jobs/{id}/{what}", daemon.url);
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Whether the room sees that somebody records.
async fn is_shown(daemon: &Daemon) -> bool {
    let rooms = daemon.get("/api/v1/rooms").await;
    let participants = rooms["rooms"][0]["participants"]
        .as_array()
        .unwrap()
        .clone();
    participants.iter().any(|who| who["recording"] == true)
}

fn moment(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

/// How far these lie from the last of them, each taken within its second, in milliseconds. A file may begin in the middle
/// of its first.
fn out_of_step(times: &[Duration]) -> i128 {
    let phase = |at: &Duration| i128::try_from(at.as_millis()).unwrap() % 1000;
    let last = phase(times.last().unwrap());
    let difference = |at| ((phase(at) - last + 1500).rem_euclid(1000) - 500).abs();
    times[1..].iter().map(difference).max().unwrap()
}

async fn pause_and_resume(description: &str) {
    let daemon = Daemon::start("");
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    let recorder = daemon.job("recorder", description, "lobby").await;
    daemon
        .until(&recorder, "three seconds", |view| recorded(view) > 3000)
        .await;
    assert!(is_shown(&daemon).await);

    let (status, paused) = post(&daemon, &recorder, "pause").await;
    assert_eq!(
        (status, &paused["paused"]),
        (200, &Value::Bool(true)),
        "{paused}"
    );
    assert!(!is_shown(&daemon).await, "the room sees the pause");
    let (status, refused) = post(&daemon, &recorder, "split").await;
    assert_eq!(status, 400);
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("paused"),
        "{refused}"
    );
    // The pause is to hold flashes and beeps.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let (status, resumed) = post(&daemon, &recorder, "resume").await;
    assert_eq!(
        (status, &resumed["paused"]),
        (200, &Value::Bool(false)),
        "{resumed}"
    );
    assert!(is_shown(&daemon).await, "the room sees that it goes on");
    let before = recorded(&resumed);
    daemon
        .until(&recorder, "four seconds more", |view| {
            recorded(view) > before + 7000
        })
        .await;
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "its end", |view| view["state"] == "stopped")
        .await;
    daemon.end(&kiosk).await;

    let folder = daemon.recording();
    let manifest = manifest(&folder);
    let files = media_files(&folder);
    assert_eq!(files.len(), 1, "{files:?}");
    let started = moment(&manifest["visits"][0]["files"][0]["started"]);
    let (from, to) = (
        moment(&manifest["pauses"][0]["from"]),
        moment(&manifest["pauses"][0]["to"]),
    );
    let content = Content::of(&files[0]);
    let paused = |at: Duration| (from..to).contains(&(started + at));
    // A jitter buffer that has not learnt the sender's clock yet is some tens of milliseconds wrong.
    let slack = Duration::from_millis(120);
    let inside = |at: Duration| paused(at.saturating_sub(slack)) && paused(at + slack);
    let seen = content
        .pictures
        .iter()
        .map(|picture| picture.at)
        .filter(|at| inside(*at));
    let loud = content
        .sound
        .iter()
        .filter(|level| level.rms > 0.02)
        .map(|level| level.at)
        .filter(|at| inside(*at));
    let leaked: Vec<_> = seen.chain(loud).collect();
    assert!(
        leaked.is_empty(),
        "{leaked:?} in {:?} to {:?}",
        from - started,
        to - started
    );
    // What goes on in the middle of a flash or a beep begins late.
    let whole = |times: Vec<Duration>, again: Duration| -> Vec<Duration> {
        let whole = |at: &Duration| started + *at < from || *at > again + slack;
        times.into_iter().filter(whole).collect()
    };
    let picture = content.pictures.iter().map(|picture| picture.at);
    let sound = content.sound.iter().map(|level| level.at);
    let goes_on = |at: &Duration| started + *at + slack > to;
    let flashes = whole(content.flashes(), picture.clone().find(goes_on).unwrap());
    let beeps = whole(content.beeps(), sound.clone().find(goes_on).unwrap());
    for times in [flashes, beeps] {
        let after = times.iter().filter(|at| started + **at > to).count();
        assert!(after >= 2 && times.len() > after, "{times:?}");
        assert!(out_of_step(&times) <= 80, "{times:?}");
    }
    let gaps = manifest["visits"][0]["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["reason"] == "paused"), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_pause_is_recorded_and_the_room_sees_it() {
    pause_and_resume("recorder").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixing_recorder_pauses_likewise() {
    pause_and_resume("recorder-mixed").await;
}

/// `attache job` with these arguments: whether it succeeded, and what it printed.
async fn job(daemon: &Daemon, arguments: &[&str]) -> (bool, String) {
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_attache"))
        .arg("job")
        .args(arguments)
        .args(["--server", &daemon.url])
        .output()
        .unwrap();
    let text = [run.stdout, run.stderr].concat();
    (run.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_controlled_from_the_shell_and_a_limit_ends_one_with_its_reason() {
    let daemon = Daemon::start("");
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    daemon
        .until(&recorder, "the room", |view| view["state"] == "joined")
        .await;
    let (_, listed) = job(&daemon, &["list"]).await;
    assert!(
        listed.contains(&recorder) && listed.contains("joined"),
        "{listed}"
    );
    let (done, paused) = job(&daemon, &["pause", &recorder]).await;
    assert!(done && paused.contains("paused"), "{paused}");
    let (done, refused) = job(&daemon, &["split", &recorder]).await;
    assert!(!done && refused.contains("resume it before"), "{refused}");
    assert!(job(&daemon, &["resume", &recorder]).await.0);
    assert!(job(&daemon, &["stop", &recorder]).await.0);
    daemon
        .until(&recorder, "its end", |view| {
            view["ended_because"] == "stopped" && view["state"] == "stopped"
        })
        .await;

    let spec = serde_json::json!({"role": "recorder", "room": "lobby", "parameters": {"max_empty_room_s": 1}});
    let url = format!("{}/api/v1/jobs", daemon.url);
    let lonely = reqwest::Client::new()
        .post(url)
        .json(&spec)
        .send()
        .await
        .unwrap();
    let lonely: Value = lonely.json().await.unwrap();
    let ended = daemon
        .until(
            lonely["id"].as_str().unwrap(),
            "its end by itself",
            |view| view["state"] == "stopped",
        )
        .await;
    assert_eq!(ended["ended_because"], "empty_room");
}

async fn split(description: &str) {
    let daemon = Daemon::start("");
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    let recorder = daemon.job("recorder", description, "lobby").await;
    daemon
        .until(&recorder, "three seconds", |view| recorded(view) > 3000)
        .await;
    let (status, view) = post(&daemon, &recorder, "split").await;
    assert_eq!(status, 200, "{view}");
    let files = |view: &Value| view["recordings"].as_array().unwrap().len();
    daemon
        .until(&recorder, "the second part", |view| files(view) == 2)
        .await;
    daemon
        .until(&recorder, "four seconds of it", |view| {
            view["recordings"][1]["duration_ms"].as_u64() > Some(4000)
        })
        .await;
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "its end", |view| view["state"] == "stopped")
        .await;
    let (status, _) = post(&daemon, &kiosk, "split").await;
    assert_eq!(status, 400, "a kiosk has no parts");
    daemon.end(&kiosk).await;

    let folder = daemon.recording();
    let parts = manifest(&folder)["visits"][0]["files"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(parts.len(), 2, "{parts:?}");
    let content = |part: &Value| Content::of(&folder.join(part["file"].as_str().unwrap()));
    let (first, second) = (content(&parts[0]), content(&parts[1]));
    let apart = moment(&parts[1]["started"]) - moment(&parts[0]["started"]);
    let apart = Duration::try_from(apart).unwrap();
    let (last, next) = (
        first.pictures.last().unwrap().at,
        apart + second.pictures[0].at,
    );
    assert!(
        next > last && next - last < FRAME,
        "pictures at {last:?} and {next:?}"
    );
    let (last, next) = (first.sound.last().unwrap().at, apart + second.sound[0].at);
    assert!(
        next.abs_diff(last) < PACKET,
        "sound until {last:?} and from {next:?}"
    );
    let joined = |first: Vec<Duration>, second: Vec<Duration>| {
        let later = second.into_iter().map(|at| at + apart);
        let all: Vec<_> = first.into_iter().chain(later).collect();
        assert!(out_of_step(&all) <= 80, "{all:?}");
        all
    };
    let flashes = joined(first.flashes(), second.flashes());
    joined(first.beeps(), second.beeps());
    assert!(flashes.len() >= 6, "{flashes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_loses_nothing_between_its_parts() {
    split("recorder").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixing_recorder_splits_likewise() {
    split("recorder-mixed").await;
}
