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

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use daemon::{Daemon, LIMIT, kill, manifest};
use media::Content;
use playlist::Playlist;
use tempfile::TempDir;
use tokio::sync::Mutex;

const DESCRIPTION: &str = "role = \"recorder\"\nsummary = \"HLS\"\n\
    [settings.video]\ncodecs = [\"h264\"]\n\
    [recording]\nhls = true\nhls_segment_s = 1\n";

/// One call at a time: each decodes and encodes in real time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// `attache record` with a description of its own.
struct Recorder {
    child: Child,
    folder: TempDir,
}

impl Recorder {
    fn start(daemon: &Daemon, description: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("test.toml"), description).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_attache"))
            .args(["record", "--join", &format!("{}/r/lobby", daemon.url)])
            .args(["--description", "test", "--pipelines"])
            .arg(folder.path())
            .arg("--out")
            .arg(folder.path().join("out"))
            .stdout(Stdio::null())
            .spawn()
            .expect("attache starts");
        Self { child, folder }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Waits until a playlist has so many segments; gives the recording's folder and the playlist.
    async fn playlist(&self, segments: usize) -> (PathBuf, PathBuf) {
        let since = Instant::now();
        loop {
            for path in playlists(&self.out()) {
                let text = std::fs::read_to_string(&path).unwrap();
                if text.matches("#EXTINF").count() >= segments {
                    let recording = path.parent().and_then(Path::parent).unwrap();
                    return (recording.to_owned(), path.clone());
                }
            }
            assert!(
                since.elapsed() < LIMIT,
                "{segments} segments within {LIMIT:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn end(&mut self, signal: &str) {
        kill(self.child.id(), signal);
        self.child.wait().unwrap();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every playlist of the recordings in a folder.
fn playlists(out: &Path) -> Vec<PathBuf> {
    let inner = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    };
    inner(out.to_owned())
        .flat_map(inner)
        .map(|folder| folder.join("index.m3u8"))
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

    let (recording, path) = recorder.playlist(5).await;
    let growing = Playlist::read(&path);
    assert_eq!(growing.count("#EXT-X-ENDLIST"), 0);
    // The kiosk's encoder gives a key frame when it is asked for one, and not every second by itself.
    let median = {
        let mut durations = growing.durations.clone();
        durations.sort_by(f64::total_cmp);
        durations[durations.len() / 2]
    };
    assert!((0.4..1.7).contains(&median), "{:?}", growing.durations);
    assert_seconds(&growing.content(0));
    let entry = manifest(&recording)["visits"][0]["hls"].clone();
    assert_eq!(entry["finished"], false, "{entry}");
    assert_eq!(recording.join(entry["playlist"].as_str().unwrap()), path);

    recorder.playlist(8).await;
    recorder.end("TERM");
    daemon.end(&kiosk).await;
    assert_eq!(Playlist::read(&path).count("#EXT-X-ENDLIST"), 1);
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
    let (recording, path) = recorder.playlist(5).await;
    recorder.end("KILL");
    let left = std::fs::read_to_string(&path).unwrap();
    assert!(!left.contains("#EXT-X-ENDLIST"), "{left}");

    let recovered = Command::new(env!("CARGO_BIN_EXE_attache"))
        .arg("recover")
        .arg(recorder.out())
        .output()
        .unwrap();
    assert!(recovered.status.success(), "{recovered:?}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{left}#EXT-X-ENDLIST\n"));
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
    let (recording, path) = recorder.playlist(9).await;
    recorder.end("TERM");
    daemon.end(&kiosk).await;
    let entry = manifest(&recording)["visits"][0].clone();
    assert_eq!(entry["participant"], "everybody");
    assert_eq!(entry["hls"]["finished"], true, "{entry:#}");
    assert_eq!(playlists(&recorder.out()).len(), 1);
    assert_played(&recording, path).await;
}
