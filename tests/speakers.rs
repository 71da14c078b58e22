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
use attache::recording::manifest::Visit;
use daemon::Daemon;
use serde_json::{Value, json};

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
    let mixed = json!({
        "role": "recorder", "description": "recorder-mixed", "room": "lobby",
        "parameters": { "width": 320, "height": 180 },
    });
    let mixed = daemon.job_with(mixed).await;
    for (recorder, files) in [(&recorder, 2), (&mixed, 1)] {
        let seconds = |view: &Value| {
            let written = view["recordings"].as_array().cloned().unwrap_or_default();
            let long = |file: &&Value| file["duration_ms"].as_u64() >= Some(6000);
            written.iter().filter(long).count() == files
        };
        daemon.until(recorder, "seconds of both", seconds).await;
    }
    for recorder in [&recorder, &mixed] {
        daemon.end(recorder).await;
        let stopped = |view: &Value| view["state"] == "stopped";
        daemon.until(recorder, "the recorder's end", stopped).await;
    }
    loud.end().await;
    quiet.end().await;

    let recordings = daemon.recordings();
    assert_eq!(recordings.len(), 2, "{recordings:?}");
    for recording in recordings {
        let manifest = Manifest::load(&recording).unwrap();
        let [span] = &manifest.speakers[..] else {
            panic!("one speaks, all the time: {:?}", manifest.speakers)
        };
        assert_eq!(span.participant, speaker);
        let its = |visit: &&Visit| visit.participant == speaker;
        let of_speaker = manifest.visits.iter().find(its);
        let file = &of_speaker.unwrap_or(&manifest.visits[0]).files[0];
        let end = file.started + Duration::from_millis(file.duration_ms);
        let (late, early) = (span.from - file.started, (end - span.to.unwrap()).abs());
        println!("{late} late, {early} early");
        // The file of a mix begins before anybody is connected, and ends when what waits in it is written.
        match of_speaker {
            Some(_) => assert!(
                late.abs() < Duration::from_millis(1000),
                "it began {late} late"
            ),
            None => assert!(!late.is_negative() && late + early < end - file.started),
        }
        assert!(
            early < Duration::from_millis(1500),
            "it ended {early} apart from its file"
        );
    }
}
