//! Filters in calls: real processes, real media, what others then hear and write down.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/job.rs"]
mod job;
#[path = "filter/sound.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod sound;

use std::path::Path;

use attache::job::Role;
use daemon::{Daemon, manifest};
use serde_json::{Value, json};

/// The other engine is too slow for a call where it is built without optimization.
const LIGHT: &str = "rnnoise";

/// The folder of a test's descriptions: `voice` speaks in noise, over and over.
fn descriptions() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let clean = sound::speech();
    let noisy = sound::mixed(clean, &sound::noise(clean.len(), 0.02));
    let media = folder.path().join("media");
    std::fs::create_dir(&media).unwrap();
    sound::encode(
        &noisy,
        1,
        &media.join("noisy.mkv"),
        &["-c:a", "libopus", "-b:a", "128k"],
    );
    let voice = "role = 'kiosk'\nsummary = 'a voice in noise'\n\
        [capture]\naudio = 'attacheclip location=noisy.mkv media=audio'\n";
    std::fs::write(folder.path().join("voice.toml"), voice).unwrap();
    attache::media::init().unwrap();
    folder
}

/// How loud it is where nobody speaks, and where somebody does: tenth and nineteenth of twenty parts of all 20 ms, in dB.
fn levels(sound: &[f32]) -> (f32, f32) {
    let mut levels: Vec<f32> = sound
        .chunks_exact(960)
        .map(|part| sound::decibels(sound::power(part)))
        .collect();
    levels.sort_by(f32::total_cmp);
    (levels[levels.len() / 10], levels[levels.len() * 19 / 20])
}

/// The file of a visit, decoded, without its first second.
fn written(recording: &Path, visit: &Value) -> Vec<f32> {
    let file = visit["files"][0]["file"].as_str().expect("a file");
    let sound = sound::decoded(&recording.join(file), 1);
    sound[48_000.min(sound.len())..].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_writes_a_voice_as_it_came_and_beside_it_without_its_noise() {
    let daemon = Daemon::start("");
    let folder = descriptions();
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    let mut voice = job::start(&daemon, Role::Kiosk, folder.path(), "voice", "lobby");
    let id = voice.joined().await.to_string();
    let filter = daemon
        .job_with(
            json!({"role": "filter", "room": "lobby", "of": id, "parameters": { "engine": LIGHT }}),
        )
        .await;
    let both = |view: &Value| {
        let files = view["recordings"].as_array();
        let long = |file: &&Value| file["duration_ms"].as_u64() >= Some(6000);
        files.is_some_and(|files| files.iter().filter(long).count() == 2)
    };
    daemon.until(&recorder, "both are written", both).await;
    voice.end().await;
    let ended = |view: &Value| view["state"] == "stopped";
    daemon
        .until(&filter, "the filter has ended, too", ended)
        .await;
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "the recorder has ended", ended)
        .await;

    let recording = daemon.recording();
    let manifest = manifest(&recording);
    let visits = manifest["visits"].as_array().unwrap();
    let [raw, enhanced] = &visits[..] else {
        panic!("two visits: {manifest:#}");
    };
    assert_eq!(raw["participant"], id.as_str());
    assert_eq!(enhanced["kind"], "filter");
    assert_eq!(enhanced["enhances"], id.as_str());
    let (noise, speech) = levels(&written(&recording, raw));
    let (less_noise, same_speech) = levels(&written(&recording, enhanced));
    println!("noise {noise:.1} -> {less_noise:.1} dB, speech {speech:.1} -> {same_speech:.1} dB");
    assert!(less_noise < noise - 10.0, "{noise} -> {less_noise}");
    assert!(
        (speech - same_speech).abs() < 3.0,
        "{speech} -> {same_speech}"
    );
}
