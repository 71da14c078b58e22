//! Recordings go to a real S3 server, to folders, and to the second target; servers are killed on the way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/s3.rs"]
mod s3;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use daemon::{Daemon, kill, manifest};
use s3::{FILE, S3, SECRET_KEY, finished_recording};
use serde_json::Value;

const NAME: &str = "lobby-20261122T081530Z";
const PATH: &str = "/api/v1/recordings/lobby-20261122T081530Z";
/// Several parts of a multipart upload; takes seconds, since the test's program is not optimised.
const LARGE: usize = 20 * 1024 * 1024;

fn upload_is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |view| view["upload"]["state"] == state
}

fn is_underway(view: &Value) -> bool {
    let upload = &view["upload"];
    let (done, total) = (&upload["bytes_done"], &upload["bytes_total"]);
    upload["state"] == "uploading" && done.as_u64() > Some(0) && done.as_u64() < total.as_u64()
}

/// The object is what the file was, and the manifest there says that it is.
fn assert_uploaded(s3: &S3, content: &[u8]) {
    let object = fs::read(s3.object(NAME, FILE)).expect("the object");
    assert!(object == content, "{} bytes arrived", object.len());
    let there = manifest(s3.object(NAME, FILE).parent().expect("a folder"));
    assert_eq!(there["state"], "uploaded");
}

fn assert_only_the_manifest_is_left(recording: &Path) {
    let left: Vec<_> = fs::read_dir(recording)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["recording.json"]);
    let manifest = manifest(recording);
    assert_eq!(manifest["state"], "uploaded");
    assert_eq!(manifest["uploads"][0]["removed_here"], true);
    let target = format!("s3://recordings/calls/{NAME}");
    assert_eq!(manifest["uploads"][0]["target"], target.as_str());
}

#[tokio::test]
async fn an_upload_goes_on_after_its_target_was_killed_in_the_middle() {
    let (secrets, mut s3) = (tempfile::tempdir().unwrap(), S3::start());
    let target = s3.target(secrets.path(), SECRET_KEY);
    let daemon = Daemon::start(&format!("[recording]\nkeep_local = false\n{target}"));
    let recordings = daemon.folder.path().join("recordings");
    let content = finished_recording(&recordings, NAME, LARGE);

    daemon
        .until_at(PATH, "the upload is underway", is_underway)
        .await;
    s3.kill();
    let view = daemon
        .until_at(PATH, "the upload fails", upload_is("retrying"))
        .await;
    let error = view["upload"]["error"].as_str().expect("an error");
    assert!(error.starts_with("s3://recordings/calls: "), "{error}");
    assert!(error.contains(FILE), "{error}");
    assert_eq!(manifest(&recordings.join(NAME))["state"], "finished");
    assert!(fs::read(recordings.join(NAME).join(FILE)).unwrap() == content);
    assert!(!s3.object(NAME, FILE).exists(), "half an object");

    s3.start_again();
    daemon
        .until_at(PATH, "it is uploaded", upload_is("uploaded"))
        .await;
    assert_uploaded(&s3, &content);
    assert_only_the_manifest_is_left(&recordings.join(NAME));
}

#[tokio::test]
async fn a_server_that_was_killed_goes_on_with_its_uploads() {
    let (secrets, s3) = (tempfile::tempdir().unwrap(), S3::start());
    let target = s3.target(secrets.path(), SECRET_KEY);
    let mut daemon = Daemon::start(&format!("[recording]\nkeep_local = false\n{target}"));
    let recordings = daemon.folder.path().join("recordings");
    let content = finished_recording(&recordings, NAME, LARGE);

    daemon
        .until_at(PATH, "the upload is underway", is_underway)
        .await;
    daemon.signal("KILL");
    assert!(fs::read(recordings.join(NAME).join(FILE)).unwrap() == content);
    assert_eq!(manifest(&recordings.join(NAME))["state"], "finished");

    daemon.start_again();
    daemon
        .until_at(PATH, "it is uploaded", |view| view["state"] == "uploaded")
        .await;
    assert_uploaded(&s3, &content);
    assert_only_the_manifest_is_left(&recordings.join(NAME));
}

#[tokio::test]
async fn the_second_target_takes_what_the_first_one_refuses() {
    let (secrets, s3) = (tempfile::tempdir().unwrap(), S3::start());
    let second = tempfile::tempdir().unwrap();
    let first = s3.target(secrets.path(), "not the secret");
    let daemon = Daemon::start(&format!(
        "{first}\n[[recording.upload]]\nurl = \"file://{}\"",
        second.path().display()
    ));
    let recordings = daemon.folder.path().join("recordings");
    let content = finished_recording(&recordings, NAME, 100_000);

    let refused = daemon
        .until_at(PATH, "the first refuses", upload_is("retrying"))
        .await;
    let error = refused["upload"]["error"].to_string();
    assert!(error.contains("s3://recordings/calls"), "{error}");
    assert!(!error.contains("not the secret"), "{error}");
    let view = daemon
        .until_at(PATH, "it is uploaded", |view| view["state"] == "uploaded")
        .await;
    let target = format!("file://{}/{NAME}", second.path().display());
    assert_eq!(view["targets"], serde_json::json!([target]));
    assert!(fs::read(second.path().join(NAME).join(FILE)).unwrap() == content);
    // Kept, since nothing else was asked for.
    assert!(fs::read(recordings.join(NAME).join(FILE)).unwrap() == content);
}

#[tokio::test]
async fn a_part_whose_disk_is_gone_is_named_while_the_others_are_brought_to_the_target() {
    let (target, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let second = other.path().join("second");
    let daemon = Daemon::start(&format!(
        "[recording]\nsecond_folder = {second:?}\n[[recording.upload]]\nurl = \"file://{}\"",
        target.path().display()
    ));
    let recordings = daemon.folder.path().join("recordings");
    let content = finished_recording(other.path(), NAME, 100_000);
    let path = other.path().join(NAME).join("recording.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let files = manifest["visits"][0]["files"].as_array_mut().unwrap();
    let mut part = files[0].clone();
    let there = second
        .join(NAME)
        .join("20261122T081531Z-7t3kq0v5m2p9x1ab-2.webm");
    part["file"] = there.to_str().unwrap().into();
    part["part"] = 2.into();
    files.push(part);
    fs::write(&path, manifest.to_string()).unwrap();
    fs::create_dir_all(&recordings).unwrap();
    fs::rename(other.path().join(NAME), recordings.join(NAME)).unwrap();

    let view = daemon
        .until_at(PATH, "it is given up", upload_is("failed"))
        .await;
    let error = view["upload"]["error"].as_str().unwrap();
    assert!(error.contains(there.to_str().unwrap()), "{error}");
    assert_eq!(view["state"], "finished");
    assert!(fs::read(target.path().join(NAME).join(FILE)).unwrap() == content);
    assert!(!target.path().join(NAME).join("recording.json").exists());
}

#[tokio::test]
async fn finished_parts_of_a_recording_that_goes_on_are_uploaded_and_it_cannot_be_removed() {
    let target = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&format!(
        "[[recording.upload]]\nurl = \"file://{}\"",
        target.path().display()
    ));
    let recordings = daemon.folder.path().join("recordings");
    let prepared = tempfile::tempdir_in(daemon.folder.path()).unwrap();
    let content = finished_recording(prepared.path(), NAME, 100_000);
    let file = prepared.path().join(NAME).join("recording.json");
    let text = fs::read_to_string(&file).unwrap();
    let going_on = text.replace(r#""state":"finished""#, r#""state":"recording""#);
    assert_ne!(text, going_on);
    fs::write(&file, going_on).unwrap();
    fs::create_dir_all(&recordings).unwrap();
    fs::rename(prepared.path().join(NAME), recordings.join(NAME)).unwrap();

    let all_there = |view: &Value| view["upload"]["bytes_done"] == 100_000;
    daemon
        .until_at(PATH, "the part is uploaded", all_there)
        .await;
    let there = target.path().join(NAME);
    assert!(!there.join("recording.json").exists(), "it is the last");
    let refused = daemon.delete(PATH).await;
    assert_eq!(refused.0, 409, "{}", refused.1);

    fs::write(recordings.join(NAME).join("recording.json"), text).unwrap();
    daemon
        .until_at(PATH, "it is uploaded", |view| view["state"] == "uploaded")
        .await;
    assert!(fs::read(there.join(FILE)).unwrap() == content);
    let removed = daemon.delete(PATH).await;
    assert_eq!(removed.0, 204, "{}", removed.1);
    assert!(!recordings.join(NAME).exists());
    assert!(there.join(FILE).exists(), "what was uploaded stays");
}

#[tokio::test]
async fn what_a_recorder_wrote_is_uploaded_when_it_ends() {
    let target = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&format!(
        "[[recording.upload]]\nurl = \"file://{}\"",
        target.path().display()
    ));
    daemon.job("kiosk", "kiosk-test", "lobby").await;
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    let has_media = |view: &Value| view["recordings"][0]["bytes"].as_u64() > Some(20_000);
    daemon.until(&recorder, "media is written", has_media).await;
    daemon.end(&recorder).await;

    let is_uploaded = |list: &Value| list["recordings"][0]["state"] == "uploaded";
    daemon
        .until_at("/api/v1/recordings", "it is uploaded", is_uploaded)
        .await;
    let (here, there) = (daemon.recording(), target.path());
    let there = there.join(here.file_name().unwrap());
    let files = daemon::media_files(&here);
    assert!(!files.is_empty());
    for file in files {
        let copy = fs::read(there.join(file.file_name().unwrap())).unwrap();
        assert!(copy == fs::read(&file).unwrap(), "{}", file.display());
    }
    assert_eq!(manifest(&there)["visits"], manifest(&here)["visits"]);
}

/// `attache record --upload` in the room `lobby` of the server.
fn record(daemon: &Daemon, s3: &S3, out: &Path) -> (Child, mpsc::Receiver<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_attache"))
        .args(["record", "--join", &format!("{}/r/lobby", daemon.url)])
        .args(["--upload", "s3://recordings/calls", "--json", "--out"])
        .arg(out)
        .arg("--pipelines")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines"))
        .envs(s3.environment())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("attache starts");
    let (to_us, lines) = mpsc::channel();
    let (out, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let also = to_us.clone();
    std::thread::spawn(move || send(BufReader::new(out), &to_us));
    std::thread::spawn(move || send(BufReader::new(errors), &also));
    (child, lines)
}

fn send(from: impl BufRead, to: &mpsc::Sender<String>) {
    for line in from.lines().map_while(Result::ok) {
        let _ = to.send(line);
    }
}

fn until(lines: &mpsc::Receiver<String>, what: &str) {
    loop {
        let line = lines.recv_timeout(daemon::LIMIT);
        let line = line.unwrap_or_else(|error| panic!("{what:?} in a line: {error}"));
        if line.contains(what) {
            return;
        }
    }
}

/// The folders of recordings, in order of time.
fn recordings(out: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[tokio::test]
async fn an_upload_from_the_shell_that_was_interrupted_is_taken_up_by_the_next_one() {
    let (out, mut s3) = (tempfile::tempdir().unwrap(), S3::start());
    let daemon = Daemon::start("");
    let kiosk = daemon.job("kiosk", "kiosk-test", "lobby").await;
    s3.kill();
    let (mut child, lines) = record(&daemon, &s3, out.path());
    until(&lines, "\"connected\"");
    until(&lines, "\"event\":\"recording\"");
    kill(child.id(), "TERM");
    until(&lines, "an upload is tried again");
    kill(child.id(), "TERM");
    until(&lines, "a second signal ends it at once");
    kill(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let first = recordings(out.path()).remove(0);
    assert_eq!(manifest(&first)["state"], "finished");
    // Another one, whose recorder is killed while it records.
    let (mut child, lines) = record(&daemon, &s3, out.path());
    until(&lines, "\"event\":\"recording\"");
    kill(child.id(), "KILL");
    child.wait().unwrap();
    daemon.end(&kiosk).await;

    s3.start_again();
    let (mut child, lines) = record(&daemon, &s3, out.path());
    until(&lines, "\"joined\"");
    kill(child.id(), "TERM");
    until(&lines, "uploaded to s3://recordings/calls/");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    for recording in recordings(out.path()) {
        assert_eq!(manifest(&recording)["state"], "uploaded", "{recording:?}");
        let name = recording.file_name().unwrap().to_str().unwrap();
        for file in daemon::media_files(&recording) {
            let object = s3.object(name, file.file_name().unwrap().to_str().unwrap());
            assert!(
                fs::read(&object).unwrap() == fs::read(&file).unwrap(),
                "{object:?}"
            );
        }
    }
    assert!(!daemon::media_files(&first).is_empty());
    let left = fs::read_dir(out.path()).unwrap().flatten();
    let mut notes = left.map(|entry| entry.path()).filter(|path| path.is_file());
    let note = notes.next();
    assert!(note.is_none(), "nothing is due any more: {note:?}");
}
