//! Recordings of a real sender on disks that are full, read-only or go away: the call goes on, the rest is found by content.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/media.rs"]
mod media;

use std::path::{Path, PathBuf};
use std::time::Duration;

use attache::recording::Manifest;
use attache::recording::manifest::{GapReason, MediaEntry, State, TrackKind};
use daemon::Daemon;
use disk::SmallDisk;
use media::{Content, SecondOpinion};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// A call with one who flashes and beeps, recorded.
struct Call {
    daemon: Daemon,
    second: PathBuf,
    recorder: String,
    kiosk: String,
}

impl Call {
    /// The disk of the recordings is made before anything is on it.
    async fn begin<T>(has_second: bool, make: impl FnOnce(&Path) -> T) -> (Self, T) {
        let other = tempfile::tempdir().unwrap().keep();
        let more = match has_second {
            true => format!("[recording]\nsecond_folder = {other:?}\n"),
            false => String::new(),
        };
        let daemon = Daemon::start(&more);
        let made = make(&daemon.folder.path().join("recordings"));
        let recorder = daemon.job("recorder", "recorder", "lobby").await;
        let small = json!({"width": 320, "height": 240});
        let kiosk = json!({
            "role": "kiosk", "description": "kiosk-test", "room": "lobby", "parameters": small
        });
        let call = Self {
            kiosk: daemon.job_with(kiosk).await,
            second: other,
            recorder,
            daemon,
        };
        (call, made)
    }

    async fn until(&self, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        self.daemon.until(&self.recorder, what, done).await
    }

    /// Waits until the last of so many files is so long.
    async fn recorded(&self, files: usize, seconds: u64) -> Value {
        let is_long = |view: &Value| {
            let all = view["recordings"].as_array().unwrap();
            let last = all.last().and_then(|last| last["duration_ms"].as_u64());
            all.len() == files && last >= Some(seconds * 1000)
        };
        self.until(&format!("{seconds} s of file {files}"), is_long)
            .await
    }

    async fn told(&self, what: &str) {
        let has = |view: &Value| view["errors"].to_string().contains(what);
        let view = self.until(&format!("an error: {what}"), has).await;
        assert_eq!(view["state"], "joined", "the call goes on: {view:#}");
    }

    /// Ends the call; how the API shows its recording.
    async fn end(&self) -> Value {
        self.daemon.end(&self.kiosk).await;
        self.daemon.end(&self.recorder).await;
        self.until("its end", |view| view["state"] == "stopped")
            .await;
        let closed = |list: &Value| {
            list["recordings"][0]["state"] != "recording" && list["recordings"][0].is_object()
        };
        let list = self
            .daemon
            .until_at("/api/v1/recordings", "it is closed", closed)
            .await;
        list["recordings"][0].clone()
    }

    /// Where the recording's own folder is.
    fn folder(&self, shown: &Value) -> PathBuf {
        let name = shown["name"].as_str().unwrap();
        self.daemon.folder.path().join("recordings").join(name)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.second);
    }
}

/// A part, decoded: nothing in it is missing, and it is in step.
struct Part {
    started: OffsetDateTime,
    flashes: Vec<Duration>,
}

fn part(entry: &MediaEntry, path: &Path) -> Part {
    assert!(entry.finished, "{entry:?}");
    let content = Content::of(path);
    let (flashes, beeps) = (content.flashes(), content.beeps());
    let length = Duration::from_millis(entry.duration_ms);
    let seconds = usize::try_from(length.as_secs()).unwrap();
    println!(
        "{}: {length:?}, flashes {flashes:?}, beeps {beeps:?}",
        path.display()
    );
    assert!(seconds >= 3, "{length:?}");
    // The first picture may come a little after the first sound.
    assert!(flashes.len() + 1 >= seconds, "{length:?}: {flashes:?}");
    assert!(beeps.len() >= seconds, "{length:?}: {beeps:?}");
    let apart = content.offsets().into_iter().map(f64::abs);
    let largest = apart.fold(0.0, f64::max);
    assert!(largest <= 40.0, "{:?}", content.offsets());
    assert_eq!(SecondOpinion::of(path).complaints, "");
    Part {
        started: entry.started,
        flashes,
    }
}

/// The sender flashes at each full second of its clock: two parts are right in time to each other if it still does.
fn assert_right_in_time(before: &Part, after: &Part) {
    let moment = |part: &Part| {
        (part.started + part.flashes[1] - OffsetDateTime::UNIX_EPOCH).whole_milliseconds()
    };
    let apart = (moment(after) - moment(before)).rem_euclid(1000);
    assert!(apart.min(1000 - apart) <= 70, "{apart} ms");
}

/// One gap in sound and one in picture, from the end of the one file to the begin of the other.
fn assert_gaps(manifest: &Manifest, before: &MediaEntry, after: &MediaEntry) {
    let gaps = &manifest.visits[0].gaps;
    for kind in [TrackKind::Audio, TrackKind::Video] {
        let of_kind = |gap: &&attache::recording::manifest::Gap| {
            gap.kind == kind && gap.reason == GapReason::Disk
        };
        let mut found = gaps.iter().filter(of_kind);
        let gap = found
            .next()
            .unwrap_or_else(|| panic!("no gap of {kind:?}: {gaps:?}"));
        assert!(found.next().is_none(), "{gaps:?}");
        let end = before.started + Duration::from_millis(before.duration_ms);
        let early = (end - gap.from).whole_milliseconds();
        // All of them are rounded to the millisecond.
        assert!(
            (-2..=100).contains(&early),
            "{early} ms before {end}: {gap:?}"
        );
        let track = after.tracks.iter().find(|track| track.kind == kind);
        let begin = after.started + Duration::from_millis(track.unwrap().offset_ms);
        let apart = (gap.to - begin).whole_milliseconds();
        assert!(
            (-2..=2).contains(&apart),
            "{apart} ms after {begin}: {gap:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_sends_the_recording_to_the_second_folder() {
    let (call, disk) = Call::begin(true, |folder| SmallDisk::mount(folder, 8192)).await;
    call.recorded(1, 4).await;
    disk.fill();
    call.told("the disk is full").await;
    call.recorded(2, 4).await;
    let shown = call.end().await;

    assert_eq!(shown["state"], "finished");
    let manifest = Manifest::load(&call.folder(&shown)).unwrap();
    let [before, after] = &manifest.visits[0].files[..] else {
        panic!("{:?}", manifest.visits)
    };
    let second = call.second.join(shown["name"].as_str().unwrap());
    assert!(after.file.starts_with(&second), "{}", after.file.display());
    let first = part(before, &call.folder(&shown).join(&before.file));
    assert_right_in_time(&first, &part(after, &after.file));
    assert_gaps(&manifest, before, after);
    let gap = manifest.visits[0]
        .gaps
        .iter()
        .map(|gap| gap.to - gap.from)
        .max();
    println!("the longest gap is {}", gap.unwrap());
    assert_eq!(shown["parts"].as_array().unwrap().len(), 2, "{shown:#}");

    // One film of both.
    let film = call.second.join("film.mkv");
    let mut mix = std::process::Command::new(env!("CARGO_BIN_EXE_attache"));
    mix.arg("mix").arg(call.folder(&shown)).arg("-o").arg(&film);
    let mixed = mix.args(["--size", "320x240"]).output().unwrap();
    assert!(mixed.status.success(), "{mixed:?}");
    let beeps = Content::of(&film).beeps();
    let least = (before.duration_ms + after.duration_ms) / 1000;
    assert!(beeps.len() as u64 >= least, "{least}: {beeps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_folder_it_goes_on_when_there_is_space_again() {
    let (call, disk) = Call::begin(false, |folder| SmallDisk::mount(folder, 8192)).await;
    call.recorded(1, 4).await;
    disk.fill();
    call.told("the disk is full").await;
    disk.relieve();
    let view = call.recorded(2, 4).await;
    let notices = view["notices"].to_string();
    assert!(notices.contains("writing goes on"), "{notices}");
    let shown = call.end().await;

    let folder = call.folder(&shown);
    let manifest = Manifest::load(&folder).unwrap();
    assert_eq!(manifest.state, State::Finished);
    let [before, after] = &manifest.visits[0].files[..] else {
        panic!("{:?}", manifest.visits)
    };
    let first = part(before, &folder.join(&before.file));
    assert_right_in_time(&first, &part(after, &folder.join(&after.file)));
    assert_gaps(&manifest, before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_read_only_at_the_start_sends_everything_to_the_second_one() {
    let make = |folder: &Path| {
        let disk = SmallDisk::mount(folder, 1024);
        disk.make_read_only();
        disk
    };
    let (call, _disk) = Call::begin(true, make).await;
    call.told("Read-only file system").await;
    call.recorded(1, 4).await;
    let shown = call.end().await;

    assert_eq!(shown["state"], "finished");
    let second = call.second.join(shown["name"].as_str().unwrap());
    let manifest = Manifest::load(&second).unwrap();
    let [entry] = &manifest.visits[0].files[..] else {
        panic!("{:?}", manifest.visits)
    };
    assert!(entry.file.starts_with(&second), "{}", entry.file.display());
    part(entry, &entry.file);
    assert!(
        manifest.visits[0].gaps.is_empty(),
        "{:?}",
        manifest.visits[0].gaps
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_folder_alone_is_written_as_soon_as_it_can_be() {
    let make = |folder: &Path| {
        let disk = SmallDisk::mount(folder, 8192);
        disk.make_read_only();
        disk
    };
    let (call, disk) = Call::begin(false, make).await;
    call.told("cannot create").await;
    disk.make_writable();
    call.recorded(1, 4).await;
    let shown = call.end().await;
    let folder = call.folder(&shown);
    let manifest = Manifest::load(&folder).unwrap();
    let [entry] = &manifest.visits[0].files[..] else {
        panic!("{:?}", manifest.visits)
    };
    part(entry, &folder.join(&entry.file));
    let missing: Vec<_> = manifest.visits[0]
        .gaps
        .iter()
        .map(|gap| gap.reason)
        .collect();
    assert_eq!(missing, [GapReason::Disk; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_goes_away_leaves_its_part_whole_and_the_rest_to_the_second_folder() {
    let (call, disk) = Call::begin(true, |folder| SmallDisk::mount(folder, 8192)).await;
    call.recorded(1, 4).await;
    disk.detach();
    call.told("vanished").await;
    call.recorded(2, 4).await;
    let shown = call.end().await;

    assert_eq!(shown["state"], "finished");
    let name = shown["name"].as_str().unwrap();
    let manifest = Manifest::load(&call.second.join(name)).unwrap();
    let [before, after] = &manifest.visits[0].files[..] else {
        panic!("{:?}", manifest.visits)
    };
    assert_eq!(
        before.file.parent(),
        Some(&*call.folder(&shown)),
        "it says where that was"
    );
    let file = before.file.file_name().unwrap();
    let there = disk.inside(Path::new(name).join(file));
    let whole = MediaEntry {
        finished: true,
        ..before.clone()
    };
    let first = part(&whole, &there);
    assert_right_in_time(&first, &part(after, &after.file));
    assert_gaps(&manifest, before, after);
}
