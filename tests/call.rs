//! Kiosk and recorder in a call with each other: real processes, real media, real files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/media.rs"]
mod media;

use std::time::{Duration, Instant};

use daemon::{Daemon, LIMIT, is_alive, kill, manifest, media_files};
use media::Content;
use serde_json::Value;

/// Starts a kiosk and a recorder and waits until `seconds` are recorded.
async fn a_call(daemon: &Daemon, seconds: u64) -> (String, String) {
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    daemon
        .until(&kiosk, "the kiosk is in its room", |view| {
            view["state"] == "joined"
        })
        .await;
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    daemon
        .until(&recorder, "seconds on disk", |view| {
            recorded(view) >= seconds * 1000
        })
        .await;
    (kiosk, recorder)
}

/// Milliseconds in the longest file of a recorder.
fn recorded(view: &Value) -> u64 {
    let files = view["recordings"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    files
        .iter()
        .filter_map(|file| file["duration_ms"].as_u64())
        .max()
        .unwrap_or(0)
}

/// Until the sender's first reports, sound and picture lie where they arrived.
const SETTLED: Duration = Duration::from_millis(2500);

/// How long workers wait for another server.
const ALONE: Duration = Duration::from_secs(5);

/// Looks for a flash and a beep per second, together, over the whole file.
fn assert_flash_and_beep(content: &Content, at_least: usize) {
    let (flashes, beeps) = (content.flashes(), content.beeps());
    assert!(
        flashes.len() >= at_least && beeps.len() >= at_least,
        "flashes {flashes:?}, beeps {beeps:?}"
    );
    for pair in flashes.windows(2) {
        let tolerance = if pair[0] >= SETTLED { 0.07 } else { 0.3 };
        let distance = (pair[1] - pair[0]).as_secs_f64();
        assert!(
            (distance - 1.0).abs() < tolerance,
            "a flash per second: {flashes:?}"
        );
    }
    let offsets = content.offsets_at();
    println!("by how much a beep is later than its flash, in ms: {offsets:.1?}");
    for (at, offset) in offsets {
        let tolerance = if at >= SETTLED { 40.0 } else { 150.0 };
        assert!(
            offset.abs() <= tolerance,
            "sound and picture belong together: {offset} ms at {at:?}"
        );
    }
}

#[tokio::test]
async fn a_recorder_writes_down_what_a_kiosk_sends() {
    let daemon = Daemon::start("");
    let (_, recorder) = a_call(&daemon, 6).await;
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "the recorder has ended", |view| {
            view["state"] == "stopped"
        })
        .await;
    let recording = daemon.recording();
    let files = media_files(&recording);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_flash_and_beep(&Content::of(&files[0]), 5);
    let manifest = manifest(&recording);
    assert_eq!(manifest["state"], "finished", "{manifest:#}");
    assert_eq!(manifest["room"], "lobby");
}

#[tokio::test]
async fn a_killed_kiosk_comes_back_and_is_recorded_again() {
    let daemon = Daemon::start("");
    let (kiosk, recorder) = a_call(&daemon, 2).await;
    let pid = daemon.view(&kiosk).await["pid"].as_u64().expect("a pid");
    let killed = Instant::now();
    kill(u32::try_from(pid).expect("a pid"), "KILL");
    let two = |view: &Value| {
        view["recordings"]
            .as_array()
            .is_some_and(|files| files.len() == 2)
    };
    daemon.until(&recorder, "a second file", two).await;
    println!("recorded again {:?} after the kill", killed.elapsed());
    let view = daemon.view(&kiosk).await;
    assert_eq!(view["restarts"], 1, "{view:#}");
    assert_ne!(view["pid"].as_u64(), Some(pid));
    daemon
        .until(&recorder, "two seconds more", |view| {
            let files = view["recordings"].as_array();
            files.is_some_and(|files| {
                files
                    .iter()
                    .all(|file| file["duration_ms"].as_u64() >= Some(2000))
            })
        })
        .await;
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "the recorder has ended", |view| {
            view["state"] == "stopped"
        })
        .await;
    let files = media_files(&daemon.recording());
    assert_eq!(files.len(), 2, "one for each visit: {files:?}");
    files.iter().for_each(|file| {
        assert!(
            !Content::of(file).flashes().is_empty(),
            "{file:?} has pictures"
        )
    });
}

#[tokio::test]
async fn a_server_that_is_asked_to_stop_finishes_its_files() {
    let mut daemon = Daemon::start("");
    a_call(&daemon, 3).await;
    let status = daemon.signal("TERM");
    assert!(status.success(), "{status}");
    let recording = daemon.recording();
    assert_eq!(manifest(&recording)["state"], "finished");
    assert_flash_and_beep(&Content::of(&media_files(&recording)[0]), 2);
}

#[tokio::test]
async fn workers_whose_server_is_killed_and_does_not_come_back_end_in_time_and_finish_their_files()
{
    let mut daemon = Daemon::start("server_wait_s = 5\n");
    let (kiosk, recorder) = a_call(&daemon, 3).await;
    let mut pids = Vec::new();
    for job in [&kiosk, &recorder] {
        let pid = daemon.view(job).await["pid"].as_u64().expect("a pid");
        pids.push(u32::try_from(pid).expect("a pid"));
    }
    daemon.signal("KILL");
    let since = Instant::now();
    while pids.iter().any(|pid| is_alive(*pid)) {
        assert!(
            since.elapsed() < ALONE + LIMIT,
            "workers {pids:?} outlive their server"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("workers ended {:?} after their server", since.elapsed());
    assert!(since.elapsed() >= ALONE, "they wait for another server");
    let recording = daemon.recording();
    assert_eq!(manifest(&recording)["state"], "finished");
    assert_flash_and_beep(&Content::of(&media_files(&recording)[0]), 2);
}

#[tokio::test]
async fn the_server_loads_no_gstreamer_plugin() {
    let daemon = Daemon::start("");
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    let view = daemon
        .until(&kiosk, "the kiosk is in its room", |view| {
            view["state"] == "joined"
        })
        .await;
    let plugins = |pid: u64| {
        let maps =
            std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process is there");
        maps.lines()
            .filter(|line| line.contains("gstreamer-1.0/"))
            .count()
    };
    assert_eq!(
        plugins(u64::from(daemon.pid())),
        0,
        "GStreamer stays out of the control process"
    );
    assert!(
        plugins(view["pid"].as_u64().expect("a pid")) > 0,
        "the worker has plugins: the test looks at the right place"
    );
}
