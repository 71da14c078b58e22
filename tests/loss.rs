//! A recorder at the end of a network that loses packets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/lossy.rs"]
mod lossy;
#[path = "support/media.rs"]
mod media;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lossy::Lossy;
use media::Content;
use serde_json::Value;

const KEY: &str = "a key that signs the tokens of rooms, for tests";
const LIMIT: Duration = Duration::from_secs(90);

/// A child that is asked to end when it is dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> (Self, impl Iterator<Item = String>) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (Self(child), lines.map_while(Result::ok))
    }

    fn end(&mut self) {
        let pid = self.0.id().to_string();
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-TERM", &pid]).status();
            let _ = self.0.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn attache() -> &'static str {
    env!("CARGO_BIN_EXE_attache")
}

/// A server that the namespace reaches.
fn server(folder: &Path, address: &str) -> (Running, String) {
    let config = folder.join("attache.toml");
    let text = format!(
        "[server]\nreverse_proxy = true\n[auth]\napi_token = \"a token that opens the API\"\nroom_key = \"{KEY}\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(attache());
    command
        .args(["serve", "--listen", &format!("{address}:0"), "--config"])
        .arg(&config);
    let (server, mut lines) = Running::start(command);
    let url = lines
        .find_map(|line| {
            let url = &line[line.find("http://")?..];
            Some(url.trim().trim_end_matches('/').to_owned())
        })
        .expect("the server tells its address");
    (server, url)
}

fn token(folder: &Path, allow: &str) -> String {
    let out = Command::new(attache())
        .args(["token", "--room", "lobby", "--allow", allow, "--config"])
        .arg(folder.join("attache.toml"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// Records a kiosk through the lossy link for so many seconds; what is in the file.
fn recorded(loss: f64, seconds: u64) -> (Content, u64) {
    let network = Lossy::new(loss);
    let folder = tempfile::tempdir().unwrap();
    let (_server, url) = server(folder.path(), &network.here);
    let room = format!("{url}/r/lobby");
    let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");

    let mut command = network.command(attache());
    command
        .args(["kiosk", "--join", &room, "--description", "kiosk-test"])
        .args([
            "--set",
            "width=640",
            "--set",
            "height=360",
            "--json",
            "--pipelines",
        ])
        .arg(&pipelines)
        .env("ATTACHE_TOKEN", token(folder.path(), "join,send"));
    let (_kiosk, mut told) = Running::start(command);
    let joined = |line: &String| line.contains("\"joined\"");
    told.find(joined).expect("the kiosk joins");
    // Nobody reads on: the pipe must not hold the kiosk up.
    std::thread::spawn(move || told.for_each(drop));

    let mut command = Command::new(attache());
    command
        .args(["record", "--join", &room, "--json", "--out"])
        .arg(folder.path().join("recordings"))
        .arg("--pipelines")
        .arg(&pipelines)
        .env("ATTACHE_TOKEN", token(folder.path(), "join,send,record"));
    let (mut recorder, events) = Running::start(command);
    let since = Instant::now();
    for line in events {
        assert!(since.elapsed() < LIMIT, "no {seconds} s within {LIMIT:?}");
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["duration_ms"].as_u64() >= Some(seconds * 1000) {
            break;
        }
    }
    recorder.end();
    let recording = std::fs::read_dir(folder.path().join("recordings")).unwrap();
    let recording = recording.flatten().next().unwrap().path();
    let files = std::fs::read_dir(recording).unwrap().flatten();
    let mut files = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending != "json"));
    let file = files.next().expect("a file");
    assert!(files.next().is_none(), "one file");
    (Content::of(&file), network.lost())
}

/// Nearly every flash and beep is there, and they belong together.
fn assert_whole(content: &Content, seconds: usize, lost: u64) {
    let (flashes, beeps) = (content.flashes(), content.beeps());
    let mut offsets: Vec<f64> = content.offsets().iter().map(|ms| ms.abs()).collect();
    offsets.sort_by(f64::total_cmp);
    println!(
        "{lost} packets lost; {} flashes, {} beeps; apart, in ms: {offsets:.1?}",
        flashes.len(),
        beeps.len()
    );
    assert!(lost > 10, "the link loses packets: {lost}");
    assert!(flashes.len() >= seconds, "flashes: {flashes:?}");
    assert!(beeps.len() >= seconds, "beeps: {beeps:?}");
    let settled = offsets[offsets.len() * 95 / 100];
    assert!(
        settled <= 40.0,
        "95 of 100 are not further apart: {settled} ms"
    );
}

/// One after the other: a retransmission has to come in time, also on a busy machine.
#[test]
fn a_network_that_loses_one_packet_of_a_hundred_or_of_twenty_costs_no_flash_and_no_beep() {
    for loss in [0.01, 0.05] {
        let (content, lost) = recorded(loss, 18);
        assert_whole(&content, 17, lost);
    }
}
