//! Who speaks is in the manifest: told by the loudness that senders put into their packets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/job.rs"]
mod job;

use std::path::Path;
use std::time::Duration;

use attache::job::Role;
use attache::recording::Manifest;
use daemon::Daemon;
use serde_json::Value;

/// A kiosk that sends this sound.
fn kiosk(folder: &Path, name: &str, sound: &str) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/kiosk-test.toml");
    let text = std::fs::read_to_string(shipped).unwrap();
    let silent = "audiotestsrc wave=silence";
    assert!(text.contains(silent));
    let text = text.replace(silent, &format!("audiotestsrc {sound}"));
    let text = text.replace("attachebeep enabled={beep}", "attachebeep enabled=false");
    std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
}

#[tokio::test]
async fn who_speaks_and_since_when_is_in_the_manifest() {
    attache::media::init().unwrap();
    let daemon = Daemon::start("");
    let pipelines = tempfile::tempdir().unwrap();
    kiosk(pipelines.path(), "loud", "wave=sine volume=0.2");
    kiosk(pipelines.path(), "quiet", "wave=silence");
    let start = |name| job::start(&daemon, Role::Kiosk, pipelines.path(), name, "lobby");
    let (mut loud, mut quiet) = (start("loud"), start("quiet"));
    let (speaker, _) = (loud.joined().await, quiet.joined().await);
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    let seconds = |view: &Value| {
        let files = view["recordings"].as_array().cloned().unwrap_or_default();
        let long = |file: &&Value| file["duration_ms"].as_u64() >= Some(4000);
        files.iter().filter(long).count() == 2
    };
    daemon.until(&recorder, "seconds of both", seconds).await;
    daemon.end(&recorder).await;
    let stopped = |view: &Value| view["state"] == "stopped";
    daemon.until(&recorder, "the recorder's end", stopped).await;
    loud.end().await;
    quiet.end().await;

    let manifest = Manifest::load(&daemon.recording()).unwrap();
    let [span] = &manifest.speakers[..] else {
        panic!("one speaks, all the time: {:?}", manifest.speakers)
    };
    assert_eq!(span.participant, speaker);
    let its = |visit: &&attache::recording::manifest::Visit| visit.participant == speaker;
    let file = &manifest.visits.iter().find(its).unwrap().files[0];
    let end = file.started + Duration::from_millis(file.duration_ms);
    let (late, early) = (
        (span.from - file.started).abs(),
        (end - span.to.unwrap()).abs(),
    );
    println!("{late} late, {early} early");
    assert!(
        late < Duration::from_millis(500),
        "it began {late} apart from its file"
    );
    assert!(
        early < Duration::from_millis(500),
        "it ended {early} apart from its file"
    );
}
