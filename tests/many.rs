//! Many recordings at once: what they cost together, and that nothing is missing in their files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/media.rs"]
mod media;

use std::path::Path;
use std::time::{Duration, Instant};

use daemon::{Daemon, media_files};
use media::Content;
use serde_json::{Value, json};

/// Pictures in a second that the kiosk sends.
const RATE: f64 = 30.0;
/// Of the kernel's books, on every architecture: `getconf CLK_TCK`.
const TICKS: f64 = 100.0;

/// Processor seconds that a process has used so far.
fn processor(pid: u64) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in brackets, may hold anything.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(12) + ticks(13)) / TICKS
}

/// Memory of a process in MiB: its fair share of it.
fn memory(pid: u64) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup
        .lines()
        .find(|line| line.starts_with("Pss:"))
        .unwrap();
    let kibibytes = line.split_whitespace().nth(1).unwrap();
    kibibytes.parse::<f64>().unwrap() / 1024.0
}

/// What is in a recording, and what should be.
#[derive(Debug, Default)]
struct Found {
    pictures: usize,
    pictures_sent: usize,
    flashes: usize,
    beeps: usize,
    seconds: usize,
}

impl Found {
    fn of(file: &Path) -> Self {
        let content = Content::of(file);
        let made: Vec<_> = content.pictures.iter().filter_map(|one| one.made).collect();
        let lasted = (made[made.len() - 1] - made[0]).as_seconds_f64();
        let (flashes, beeps) = (content.flashes(), content.beeps());
        // Full seconds between the first and the last of either.
        let whole = |times: &[Duration]| {
            let lasted = times[times.len() - 1] - times[0];
            lasted.as_secs_f64().round() as usize + 1
        };
        Self {
            pictures: content.pictures.len(),
            pictures_sent: (lasted * RATE).round() as usize + 1,
            flashes: flashes.len(),
            beeps: beeps.len(),
            seconds: whole(&flashes).min(whole(&beeps)),
        }
    }
}

/// Records a kiosk many times for so long; prints the figures as JSON.
async fn record(recordings: usize, lasts: Duration) -> Vec<Found> {
    let daemon = Daemon::start("maximum = 40\n");
    // One encoder for all: it is the recorders that are looked at.
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    let mut recorders = Vec::new();
    let written = |view: &Value| view["recordings"][0]["duration_ms"].as_u64().unwrap_or(0);
    for _ in 0..recordings {
        let recorder = daemon.job("recorder", "recorder", "lobby").await;
        let begun = |view: &Value| written(view) > 0;
        let view = daemon.until(&recorder, "its first frames", begun).await;
        recorders.push((recorder, view["pid"].as_u64().unwrap()));
    }
    let used = || {
        recorders
            .iter()
            .map(|(_, pid)| processor(*pid))
            .sum::<f64>()
    };
    let (before, since) = (used(), Instant::now());
    let (newest, _) = &recorders[recordings - 1];
    let end = written(&daemon.view(newest).await) + u64::try_from(lasts.as_millis()).unwrap();
    daemon
        .until(newest, "its length", |view| written(view) >= end)
        .await;
    let cores = (used() - before) / since.elapsed().as_secs_f64();
    let megabytes: f64 = recorders.iter().map(|(_, pid)| memory(*pid)).sum();
    for (recorder, _) in &recorders {
        daemon.end(recorder).await;
    }
    for (recorder, _) in &recorders {
        let stopped = |view: &Value| view["state"] == "stopped";
        daemon.until(recorder, "its end", stopped).await;
    }
    daemon.end(&kiosk).await;
    let files = daemon.recordings();
    let found: Vec<_> = files
        .iter()
        .flat_map(|folder| media_files(folder))
        .map(|file| Found::of(&file))
        .collect();
    let sum = |part: fn(&Found) -> usize| found.iter().map(part).sum::<usize>();
    println!(
        "{}",
        json!({
            "recordings": found.len(),
            "seconds": lasts.as_secs(),
            "cores": cores,
            "cores_each": cores / recordings as f64,
            "pss_mib_each": megabytes / recordings as f64,
            "pictures": sum(|found| found.pictures),
            "pictures_sent": sum(|found| found.pictures_sent),
            "flashes": sum(|found| found.flashes),
            "beeps": sum(|found| found.beeps),
            "full_seconds": sum(|found| found.seconds),
        })
    );
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_at_once_have_nearly_every_picture_and_each_flash_and_beep() {
    for found in record(3, Duration::from_secs(5)).await {
        // The kiosk itself may miss one on a busy machine.
        assert!(
            found.pictures * 100 >= found.pictures_sent * 99,
            "{found:?}"
        );
        assert!(
            found.flashes >= found.seconds && found.beeps >= found.seconds,
            "{found:?}"
        );
    }
}

/// For `make bench`, which reads the last line.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; make bench runs it"]
async fn what_twenty_recordings_at_once_cost_and_lack() {
    record(20, Duration::from_secs(20)).await;
}
