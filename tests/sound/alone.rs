//! A recorder of sound alone is sent no picture: nobody encodes one for it.

use std::path::{Path, PathBuf};

use crate::daemon::Daemon;
use crate::media::Content;
use crate::record::Recorder;
use serde_json::Value;

const DESCRIPTION: &str =
    "role = \"recorder\"\nsummary = \"a test\"\n[recording]\nmedia = \"audio\"\n";

fn sound(recording: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(recording).unwrap().flatten();
    let mut files = files.map(|entry| entry.path());
    files.find(|file| file.extension().is_some_and(|end| end == "opus"))
}

fn encoders(view: &Value) -> Vec<&str> {
    let encoders = view["encoders"].as_array().unwrap().iter();
    encoders
        .map(|used| used["codec"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_recorder_of_sound_alone_is_sent_no_picture() {
    let daemon = Daemon::start("");
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    let mut alone = Recorder::start(&daemon, DESCRIPTION);
    let seconds = |recording: &Path| {
        let file = sound(recording);
        file.is_some_and(|file| file.metadata().unwrap().len() > 20_000)
    };
    let recording = alone.until("seconds of sound", seconds).await;
    let view = daemon.view(&kiosk).await;
    assert_eq!(encoders(&view), ["Opus"], "{view:#}");
    alone.end("TERM");
    let beeps = Content::of(&sound(&recording).unwrap()).beeps();
    assert!(beeps.len() >= 3, "{beeps:?}");
    for pair in beeps.windows(2) {
        let apart = (pair[1] - pair[0]).as_millis().abs_diff(1000);
        assert!(apart <= 150, "a beep in each second: {beeps:?}");
    }

    // Whoever wants the picture gets it.
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    let has_picture = |view: &Value| view["peers"][0]["video_frames"].as_u64() > Some(0);
    daemon.until(&recorder, "a picture", has_picture).await;
    let view = daemon.view(&kiosk).await;
    assert_eq!(encoders(&view).len(), 2, "{view:#}");
}
