//! HLS of a real call: a kiosk that flashes and beeps is recorded, and its playlist is read while it is, after its end, and
//! after the recorder was killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/media.rs"]
mod media;
#[path = "support/playlist.rs"]
mod playlist;
#[path = "support/record.rs"]
mod record;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use daemon::{Daemon, manifest};
use media::Content;
use playlist::Presentation;
use record::Recorder;
use tokio::sync::Mutex;

const DESCRIPTION: &str = "role = \"recorder\"\nsummary = \"HLS\"\n\
    [settings.video]\ncodecs = [\"h264\"]\n\
    [recording]\nhls = true\nhls_segment_s = 1\n";

/// One call at a time: each decodes and encodes in real time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Waits until the playlist has so many segments; gives the recording's folder and the playlist.
async fn until(recorder: &Recorder, segments: usize) -> (PathBuf, PathBuf) {
    let has_them = |recording: &Path| {
        playlists(recording).iter().any(|path| {
            // The playlist of the sound is replaced first.
            let text = std::fs::read_to_string(path.with_file_name("picture.m3u8"));
            text.unwrap_or_default().matches("#EXTINF").count() >= segments
        })
    };
    let what = format!("{segments} segments");
    let recording = recorder.until(&what, has_them).await;
    let playlists = playlists(&recording);
    assert_eq!(playlists.len(), 1, "{playlists:?}");
    (recording, playlists[0].clone())
}

/// Every playlist of a recording.
fn playlists(recording: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(recording).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path().join("index.m3u8"))
        .filter(|playlist| playlist.exists())
        .collect()
}

/// Some seconds flash and beep, together.
fn assert_seconds(content: &Content) {
    let (flashes, beeps) = (content.flashes(), content.beeps());
    println!("flashes {flashes:?}\nbeeps {beeps:?}");
    assert!(flashes.len() >= 3, "{flashes:?}");
    assert!(beeps.len() >= 3, "{beeps:?}");
    let mut offsets = content.offsets();
    offsets.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let median = offsets[offsets.len() / 2];
    assert!(median.abs() <= 40.0, "{offsets:?}");
}

/// Played from the playlist, as a player does it, there is all that the recording's file has, at the same times.
async fn assert_played(recording: &Path, playlist: PathBuf) {
    let manifest = manifest(recording);
    let file = recording.join(manifest["visits"][0]["files"][0]["file"].as_str().unwrap());
    let decode = move || (Content::of(&file), Content::of(&playlist));
    let (file, played) = tokio::task::spawn_blocking(decode).await.unwrap();
    assert_seconds(&played);
    assert_eq!(played.pictures.len(), file.pictures.len());
    let pairs = [
        (played.flashes(), file.flashes()),
        (played.beeps(), file.beeps()),
    ];
    for (played, recorded) in pairs {
        let near = |(a, b): (&Duration, &Duration)| a.abs_diff(*b) < Duration::from_millis(5);
        assert!(
            played.len() == recorded.len() && played.iter().zip(&recorded).all(near),
            "played {played:?}, recorded {recorded:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_can_be_played_while_it_is_recorded_and_after_its_end() {
    let _alone = ALONE.lock().await;
    attache::media::init().unwrap();
    let daemon = Daemon::start("");
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    let mut recorder = Recorder::start(&daemon, DESCRIPTION);

    let (recording, path) = until(&recorder, 5).await;
    let growing = Presentation::read(&path);
    assert_eq!(growing.main().count("#EXT-X-ENDLIST"), 0);
    // The kiosk's encoder gives a key frame when it is asked for one, and not every second by itself.
    let median = {
        let mut durations = growing.main().durations.clone();
        durations.sort_by(f64::total_cmp);
        durations[durations.len() / 2]
    };
    assert!(
        (0.4..1.7).contains(&median),
        "{:?}",
        growing.main().durations
    );
    assert_seconds(&growing.content(0));
    let entry = manifest(&recording)["visits"][0]["hls"].clone();
    assert_eq!(entry["finished"], false, "{entry}");
    assert_eq!(
        recording.join(entry["playlists"][0].as_str().unwrap()),
        path
    );

    until(&recorder, 8).await;
    recorder.end("TERM");
    daemon.end(&kiosk).await;
    for playlist in ["sound.m3u8", "picture.m3u8"] {
        let text = std::fs::read_to_string(path.with_file_name(playlist)).unwrap();
        assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    }
    assert_eq!(manifest(&recording)["visits"][0]["hls"]["finished"], true);
    assert_played(&recording, path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_playlist_of_a_killed_recorder_is_closed_by_its_recovery() {
    let _alone = ALONE.lock().await;
    attache::media::init().unwrap();
    let daemon = Daemon::start("");
    daemon.job("kiosk", "kiosk-test", "lobby").await;
    let mut recorder = Recorder::start(&daemon, DESCRIPTION);
    let (recording, path) = until(&recorder, 5).await;
    recorder.end("KILL");
    let read = |name| std::fs::read_to_string(path.with_file_name(name)).unwrap();
    let playlists = ["sound.m3u8", "picture.m3u8"];
    let left = playlists.map(read);
    assert!(!left.concat().contains("#EXT-X-ENDLIST"), "{left:?}");

    let recovered = Command::new(env!("CARGO_BIN_EXE_attache"))
        .arg("recover")
        .arg(recorder.out())
        .output()
        .unwrap();
    assert!(recovered.status.success(), "{recovered:?}");
    let closed = left.map(|text| format!("{text}#EXT-X-ENDLIST\n"));
    assert_eq!(playlists.map(read), closed);
    let manifest = manifest(&recording);
    assert_eq!(manifest["state"], "recovered", "{manifest:#}");
    assert_eq!(
        manifest["visits"][0]["hls"]["finished"], true,
        "{manifest:#}"
    );
    let played = tokio::task::spawn_blocking(move || Content::of(&path));
    assert_seconds(&played.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mix_is_one_playlist_with_aac_if_wanted() {
    let _alone = ALONE.lock().await;
    attache::media::init().unwrap();
    let daemon = Daemon::start("");
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    let mixed = format!(
        "{}audio = \"aac\"\n[record]\nvideo = \"videoconvert\"\naudio = \"audioconvert\"\n",
        DESCRIPTION.replace("codecs", "width = 320\nheight = 180\ncodecs")
    );
    let mut recorder = Recorder::start(&daemon, &mixed);
    let (recording, path) = until(&recorder, 9).await;
    recorder.end("TERM");
    daemon.end(&kiosk).await;
    let entry = manifest(&recording)["visits"][0].clone();
    assert_eq!(entry["participant"], "everybody");
    assert_eq!(entry["hls"]["finished"], true, "{entry:#}");
    assert_played(&recording, path).await;
}
