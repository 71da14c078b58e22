//! A recording ends by itself when nobody was heard for as long as its description says, and not while somebody is.

use std::time::Duration;

use crate::daemon::{Daemon, media_files};
use crate::media::Content;
use serde_json::{Value, json};

/// In seconds: enough to be connected on a busy machine. The kiosk beeps once in each.
const LIMIT: u64 = 8;

/// As received, it is the loudness in the packets that counts; of a mix, that of the mix.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_ends_when_nobody_was_heard_for_so_long() {
    attache::media::init().unwrap();
    let daemon = Daemon::start("");
    let small = json!({ "width": 320, "height": 180 });
    let kiosk = json!({
        "role": "kiosk", "description": "kiosk-test", "room": "lobby", "parameters": small,
    });
    let kiosk = daemon.job_with(kiosk).await;
    let mut recorders = Vec::new();
    for (description, more) in [("recorder", json!({})), ("recorder-mixed", small)] {
        let mut spec = json!({
            "role": "recorder", "description": description, "room": "lobby", "parameters": more,
        });
        spec["parameters"]["max_silence_s"] = json!(LIMIT);
        recorders.push(daemon.job_with(spec).await);
    }
    for recorder in &recorders {
        let is_long = |view: &Value| {
            assert_ne!(view["state"], "stopped", "it beeps: {view:#}");
            view["recordings"][0]["duration_ms"].as_u64() >= Some(LIMIT * 1000 + 3000)
        };
        daemon.until(recorder, "more than the limit", is_long).await;
    }
    daemon.set(&kiosk, &json!({ "beep": false })).await.unwrap();
    for recorder in &recorders {
        let is_over = |view: &Value| view["state"] == "stopped";
        let ended = daemon.until(recorder, "its end by itself", is_over).await;
        assert_eq!(ended["ended_because"], "silence", "{ended:#}");
    }
    for recording in daemon.recordings() {
        let content = Content::of(&media_files(&recording)[0]);
        let (last, end) = (
            *content.beeps().last().unwrap(),
            content.sound.last().unwrap().at,
        );
        let silent = end - last;
        println!("{}: silent for {silent:?}", recording.display());
        // It looks once in a while.
        let limit = Duration::from_secs(LIMIT);
        assert!(
            silent >= limit && silent < limit + Duration::from_secs(3),
            "{silent:?}"
        );
    }
}
