//! Sound and picture stay together: of a sender whose sound card is not right, and over an hour.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::daemon::{Daemon, media_files};
use crate::media::Content;
use crate::{fast_card, job};
use attache::job::{Parameters, Role, Value as Parameter};
use gstreamer as gst;
use serde_json::{Value, json};

/// How far apart flashes and beeps of a file are, and how that changes.
#[derive(Debug)]
struct Apart {
    /// When a flash comes, in seconds, and by how many milliseconds its beep is later.
    offsets: Vec<(f64, f64)>,
    /// Flashes whose beep is missing: the nearest one is of another second.
    alone: usize,
}

impl Apart {
    fn of(file: &Path) -> Self {
        let offsets = Content::within(file, gst::ClockTime::from_seconds(600)).offsets_at();
        let seconds = |(at, apart): (Duration, f64)| (at.as_secs_f64(), apart);
        let (offsets, alone): (Vec<_>, Vec<_>) = offsets
            .into_iter()
            .map(seconds)
            .partition(|(_, ms)| ms.abs() < 500.0);
        Self {
            offsets,
            alone: alone.len(),
        }
    }

    /// What that part of all flashes does not exceed, before or behind.
    fn percentile(&self, part: usize) -> f64 {
        let mut sorted: Vec<f64> = self.offsets.iter().map(|(_, ms)| ms.abs()).collect();
        sorted.sort_by(f64::total_cmp);
        sorted[(sorted.len() * part / 100).min(sorted.len() - 1)]
    }

    /// The slope of the line with the least squares, in milliseconds per hour.
    fn drift_per_hour(&self) -> f64 {
        let count = self.offsets.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| self.offsets.iter().map(of).sum::<f64>() / count;
        let (at, apart) = (mean(|(at, _)| *at), mean(|(_, ms)| *ms));
        let together = |(x, y): &(f64, f64)| (x - at) * (y - apart);
        let spread = |(x, _): &(f64, f64)| (x - at).powi(2);
        let slope = self.offsets.iter().map(together).sum::<f64>()
            / self.offsets.iter().map(spread).sum::<f64>();
        slope * 3600.0
    }

    fn told(&self, what: &str) -> Value {
        let quarter = self.offsets.len() / 4;
        let mean = |part: &[(f64, f64)]| {
            part.iter().map(|(_, ms)| *ms).sum::<f64>() / part.len().max(1) as f64
        };
        json!({
            "what": what,
            "seconds": self.offsets.last().map_or(0.0, |(at, _)| *at),
            "flashes": self.offsets.len() + self.alone,
            "without_a_beep": self.alone,
            "p50_ms": self.percentile(50),
            "p95_ms": self.percentile(95),
            "max_ms": self.percentile(100),
            "first_quarter_mean_ms": mean(&self.offsets[..quarter]),
            "last_quarter_mean_ms": mean(&self.offsets[self.offsets.len() - quarter..]),
            "drift_ms_per_hour": self.drift_per_hour(),
        })
    }
}

fn small() -> Parameters {
    let size = [("width", 320), ("height", 180), ("framerate", 15)];
    let mut values: Parameters = size
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Parameter::Integer(value)))
        .collect();
    values.insert("bitrate_kbps".to_owned(), Parameter::Integer(300));
    values
}

async fn until_stopped(daemon: &Daemon, recorder: &str) {
    daemon.end(recorder).await;
    let stopped = |view: &Value| view["state"] == "stopped";
    daemon.until(recorder, "the recorder's end", stopped).await;
}

#[tokio::test]
async fn a_sender_whose_sound_card_runs_fast_is_recorded_in_step() {
    attache::media::init().unwrap();
    let _fast = fast_card::insert();
    let daemon = Daemon::start("");
    let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let sender = ("kiosk-test", "lobby");
    let mut kiosk = job::start_with(&daemon, Role::Kiosk, &pipelines, sender, small());
    kiosk.joined().await;
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    // What is not followed is 150 ms by then.
    let long = |view: &Value| view["recordings"][0]["duration_ms"].as_u64() >= Some(30_000);
    daemon.until(&recorder, "half a minute", long).await;
    until_stopped(&daemon, &recorder).await;
    kiosk.end().await;

    let apart = Apart::of(&media_files(&daemon.recording())[0]);
    println!("{apart:.1?}");
    assert!(apart.offsets.len() >= 25, "{apart:?}");
    let most = apart.percentile(95);
    assert!(most <= 40.0, "95 of 100 are not further apart: {most} ms");
    let mut last: Vec<f64> = apart
        .offsets
        .iter()
        .rev()
        .take(10)
        .map(|(_, ms)| ms.abs())
        .collect();
    last.sort_by(f64::total_cmp);
    assert!(last[5] <= 40.0, "at the end they are apart: {last:?}");
}

/// Records a kiosk for so many seconds: as it comes, and mixed.
async fn record(seconds: u64) -> (Daemon, Vec<(&'static str, PathBuf)>) {
    let daemon = Daemon::start("");
    let spec = |role: &str, description: &str, parameters: Value| json!({ "role": role, "room": "lobby", "description": description, "parameters": parameters });
    let size = serde_json::to_value(small()).unwrap();
    let kiosk = daemon
        .job_with(spec("kiosk", "kiosk-test", size.clone()))
        .await;
    let recorder = daemon
        .job_with(spec("recorder", "recorder", json!({})))
        .await;
    let mixed = daemon
        .job_with(spec("recorder", "recorder-mixed", size))
        .await;
    let writes = |view: &Value| view["recordings"][0]["bytes"].as_u64() > Some(0);
    for job in [&recorder, &mixed] {
        daemon.until(job, "media is written", writes).await;
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    for job in [&recorder, &mixed] {
        until_stopped(&daemon, job).await;
    }
    daemon.end(&kiosk).await;
    let folders = std::fs::read_dir(daemon.folder.path().join("recordings")).unwrap();
    let files = folders
        .flatten()
        .flat_map(|entry| media_files(&entry.path()));
    (daemon, files.map(named).collect())
}

fn named(file: PathBuf) -> (&'static str, PathBuf) {
    let is_mix = file.to_string_lossy().contains("everybody");
    (if is_mix { "mixed" } else { "as received" }, file)
}

/// For `make bench`, which reads the last line: `ATTACHE_DRIFT_S` says for how long it records, or `ATTACHE_DRIFT_OF`
/// names files of `kiosk-test` that are there already, with a colon between them.
#[tokio::test]
#[ignore = "takes as long as it is told to; node benches/run.mjs drift runs it"]
async fn how_far_sound_and_picture_drift_apart() {
    attache::media::init().unwrap();
    let (_daemon, files) = match std::env::var("ATTACHE_DRIFT_OF") {
        Ok(files) => (
            None,
            files.split(':').map(|file| named(file.into())).collect(),
        ),
        Err(_) => {
            let seconds = std::env::var("ATTACHE_DRIFT_S").unwrap_or_else(|_| "60".to_owned());
            let (daemon, files) = record(seconds.parse().expect("a number of seconds")).await;
            (Some(daemon), files)
        }
    };
    let told: Vec<_> = files
        .iter()
        .map(|(what, file)| Apart::of(file).told(what))
        .collect();
    println!("{}", json!({ "files": told }));
}
