//! The server is killed in the middle of a call and a recording, and started again: its jobs have gone on.
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

use daemon::{Daemon, is_alive, kill, media_files, until_gone};
use media::{Content, SecondOpinion};
use serde_json::{Value, json};

const KIOSK: &str = "[[kiosk]]\nroom = \"lobby\"\ndescription = \"kiosk-test\"\n\
                     parameters = { width = 320, height = 180 }\n";

async fn kiosk_of(daemon: &Daemon) -> String {
    let jobs = daemon.get("/api/v1/jobs").await;
    let of_kiosk = |job: &&Value| job["spec"]["role"] == "kiosk";
    let kiosks: Vec<_> = jobs["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(of_kiosk)
        .collect();
    assert_eq!(kiosks.len(), 1, "{jobs:#}");
    kiosks[0]["id"].as_str().unwrap().to_owned()
}

/// Pictures and sound of its one peer come, so many pictures at least.
fn receives(view: &Value, frames: u64) -> bool {
    let peers = view["peers"].as_array().unwrap();
    peers.len() == 1
        && peers[0]["state"] == "connected"
        && peers[0]["video_frames"].as_u64() >= Some(frames)
        && peers[0]["audio_frames"].as_u64() > Some(0)
}

#[tokio::test]
async fn a_killed_server_finds_the_call_and_the_recording_going_on() {
    the_next_server_finds_all_at_work("KILL").await;
}

#[tokio::test]
async fn a_server_that_hands_over_leaves_the_call_and_the_recording_at_work() {
    the_next_server_finds_all_at_work("USR1").await;
}

async fn the_next_server_finds_all_at_work(signal: &str) {
    attache::media::init().unwrap();
    let mut daemon = Daemon::start(KIOSK);
    let kiosk = kiosk_of(&daemon).await;
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    let receiving = |view: &Value| receives(view, 60);
    let recorder_before = daemon.until(&recorder, "media comes", receiving).await;
    let kiosk_before = daemon.view(&kiosk).await;
    let worker = |view: &Value| u32::try_from(view["pid"].as_u64().unwrap()).unwrap();
    let frames = recorder_before["peers"][0]["video_frames"]
        .as_u64()
        .unwrap();

    daemon.signal(signal);
    for view in [&kiosk_before, &recorder_before] {
        assert!(is_alive(worker(view)), "a worker ended with its server");
    }
    daemon.start_again();
    let listens = Instant::now();
    let joined = |view: &Value| view["state"] == "joined";
    let kiosk_after = daemon.until(&kiosk, "the kiosk is back", joined).await;
    daemon
        .until(&recorder, "the recorder is back", joined)
        .await;
    println!("back {:?} after the server listened", listens.elapsed());
    let grows = |view: &Value| joined(view) && receives(view, frames + 60);
    let recorder_after = daemon.until(&recorder, "media goes on", grows).await;
    for (before, after) in [
        (&kiosk_before, &kiosk_after),
        (&recorder_before, &recorder_after),
    ] {
        for field in ["pid", "participant", "started_at", "restarts"] {
            assert_eq!(before[field], after[field], "{field}");
        }
    }
    assert_eq!(
        recorder_before["peers"][0]["generation"], recorder_after["peers"][0]["generation"],
        "nothing was negotiated anew"
    );
    assert_eq!(kiosk_of(&daemon).await, kiosk, "it was not started twice");
    let rooms = daemon.get("/api/v1/rooms").await;
    assert_eq!(
        rooms["rooms"][0]["participants"].as_array().unwrap().len(),
        2,
        "{rooms:#}"
    );

    // It does what it is told: the commands reach it, too.
    daemon.end(&recorder).await;
    let stopped = |view: &Value| view["state"] == "stopped";
    daemon.until(&recorder, "it has ended", stopped).await;
    let files = media_files(&daemon.recording());
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(SecondOpinion::of(&files[0]).complaints, "");
    // Flashes and beeps come every second, as far as the file goes: nothing was lost meanwhile.
    let content = Content::of(&files[0]);
    let (of_sound, _) = content.longest_silence_between_samples();
    let pictures = content.pictures.windows(2);
    let of_pictures = pictures.map(|pair| pair[1].at - pair[0].at).max().unwrap();
    println!("longest gap: {of_pictures:?} of pictures, {of_sound:?} of sound");
    for gap in [of_pictures, of_sound] {
        assert!(
            gap < Duration::from_secs(1),
            "{of_pictures:?}, {of_sound:?}"
        );
    }
    for marks in [content.flashes(), content.beeps()] {
        let gaps: Vec<_> = marks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() >= 3, "{marks:?}");
        let longest = gaps.iter().max().unwrap();
        assert!(*longest < Duration::from_millis(1500), "{marks:?}");
    }
}

#[tokio::test]
async fn a_worker_that_died_with_its_server_is_started_again_in_its_room() {
    let mut daemon = Daemon::start(KIOSK);
    let kiosk = kiosk_of(&daemon).await;
    let joined = |view: &Value| view["state"] == "joined";
    let before = daemon.until(&kiosk, "it is there", joined).await;
    daemon.signal("KILL");
    let pid = u32::try_from(before["pid"].as_u64().unwrap()).unwrap();
    kill(pid, "KILL");
    until_gone(pid).await;
    daemon.start_again();
    let after = daemon.until(&kiosk, "it is back", joined).await;
    assert_ne!(before["pid"], after["pid"]);
    assert_eq!(after["restarts"], 1);
    let why = after["last_error"].as_str().unwrap();
    assert!(why.contains("while no server was there"), "{why}");
    assert_eq!(kiosk_of(&daemon).await, kiosk, "it was not started twice");
}

#[tokio::test]
async fn a_kiosk_that_the_configuration_does_not_name_any_more_ends() {
    let mut daemon = Daemon::start(KIOSK);
    let kiosk = kiosk_of(&daemon).await;
    let joined = |view: &Value| view["state"] == "joined";
    let before = daemon.until(&kiosk, "it is there", joined).await;
    daemon.signal("KILL");
    let file = daemon.folder.path().join("attache.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace(KIOSK, "")).unwrap();
    daemon.start_again();
    let stopped = |view: &Value| view["state"] == "stopped";
    daemon.until(&kiosk, "it has ended", stopped).await;
    assert!(!is_alive(
        u32::try_from(before["pid"].as_u64().unwrap()).unwrap()
    ));
    assert_eq!(daemon.get("/api/v1/rooms").await, json!({ "rooms": [] }));
}

#[tokio::test]
async fn a_server_that_is_told_to_reload_takes_the_new_configuration_with_its_jobs_at_work() {
    let mut daemon = Daemon::start(KIOSK);
    let kiosk = kiosk_of(&daemon).await;
    let joined = |view: &Value| view["state"] == "joined";
    let before = daemon.until(&kiosk, "it is there", joined).await;
    let server = daemon.pid();
    let file = daemon.folder.path().join("attache.toml");
    let config = std::fs::read_to_string(&file).unwrap();

    let second = KIOSK.replace("room = \"lobby\"", "room = \"hall\"");
    assert_ne!(second, KIOSK);
    std::fs::write(&file, format!("{config}\n{second}")).unwrap();
    daemon.reload();
    assert_eq!(daemon.pid(), server, "it is the same process");
    let after = daemon.until(&kiosk, "it is still there", joined).await;
    assert_eq!(after["pid"], before["pid"], "its worker works on");
    assert_eq!(after["restarts"], 0);
    let both = |rooms: &Value| {
        rooms["rooms"]
            .as_array()
            .is_some_and(|rooms| rooms.len() == 2)
    };
    daemon
        .until_at("/api/v1/rooms", "the other kiosk", both)
        .await;

    // The former self started one worker, the present one the next: neither stays behind, not even as a zombie.
    let pid = |view: &Value| u32::try_from(view["pid"].as_u64().unwrap()).unwrap();
    kill(pid(&before), "KILL");
    let is_back = |view: &Value| joined(view) && view["restarts"] == 1;
    let next = daemon.until(&kiosk, "it is back", is_back).await;
    daemon.end(&kiosk).await;
    let stopped = |view: &Value| view["state"] == "stopped";
    daemon.until(&kiosk, "it has ended", stopped).await;
    for pid in [pid(&before), pid(&next)] {
        until_gone(pid).await;
    }
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_and_back_with_the_others_untouched() {
    let daemon = Daemon::start(KIOSK);
    let kiosk = kiosk_of(&daemon).await;
    let other = daemon.job("kiosk", "kiosk-test", "elsewhere").await;
    let joined = |view: &Value| view["state"] == "joined";
    let before = daemon.until(&kiosk, "it is there", joined).await;
    let other_before = daemon.until(&other, "the other, too", joined).await;
    kill(
        u32::try_from(before["pid"].as_u64().unwrap()).unwrap(),
        "STOP",
    );
    let is_new = |view: &Value| joined(view) && view["pid"] != before["pid"];
    let after = daemon.until(&kiosk, "it is back", is_new).await;
    let why = after["last_error"].as_str().unwrap();
    assert!(
        why.contains("the worker hangs: its heart has not beaten"),
        "{why}"
    );
    let other_after = daemon.view(&other).await;
    assert_eq!(other_before["pid"], other_after["pid"]);
}

#[tokio::test]
async fn a_worker_that_is_killed_is_back_with_its_peers() {
    let daemon = Daemon::start(KIOSK);
    let kiosk = kiosk_of(&daemon).await;
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    let receiving = |view: &Value| receives(view, 30);
    daemon.until(&recorder, "media comes", receiving).await;
    let before = daemon.view(&kiosk).await;
    let former = before["participant"].as_str().unwrap().to_owned();
    kill(
        u32::try_from(before["pid"].as_u64().unwrap()).unwrap(),
        "KILL",
    );
    let killed = Instant::now();
    let another = |view: &Value| view["peers"][0]["participant"] != *former && receives(view, 1);
    let view = daemon
        .until(&recorder, "media of the next one", another)
        .await;
    println!("media {:?} after the worker was killed", killed.elapsed());
    assert_eq!(view["peers"].as_array().unwrap().len(), 1, "{view:#}");
    assert_eq!(daemon.view(&kiosk).await["restarts"], 1);
}
