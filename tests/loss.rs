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
        .arg(&config)
        .env("XDG_STATE_HOME", folder.join("state"));
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

/// Records a kiosk through a link that loses every so-manieth packet for so many seconds; what is in the file.
fn recorded(every: u32, seconds: u64) -> (Content, u64) {
    let network = Lossy::new(every);
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

/// Flashes and beeps that were found, and by how many milliseconds they are apart, in order.
struct Found {
    flashes: usize,
    beeps: usize,
    apart: Vec<f64>,
}

fn found(every: u32, seconds: u64) -> Found {
    let (content, lost) = recorded(every, seconds);
    let mut apart: Vec<f64> = content.offsets().iter().map(|ms| ms.abs()).collect();
    apart.sort_by(f64::total_cmp);
    let (flashes, beeps) = (content.flashes().len(), content.beeps().len());
    println!("{lost} packets lost; {flashes} flashes, {beeps} beeps; apart, in ms: {apart:.1?}");
    // The sound alone is 50 packets in each second.
    let least = seconds * 50 / u64::from(every);
    assert!(lost >= least, "the link loses packets: {lost} of {least}");
    Found {
        flashes,
        beeps,
        apart,
    }
}

#[test]
fn a_network_that_loses_packets_costs_no_sound_and_pictures_come_back_in_step() {
    let little = found(100, 18);
    assert!(little.beeps >= 17, "{} beeps", little.beeps);
    assert!(little.flashes >= 17, "{} flashes", little.flashes);
    let most = little.apart[little.apart.len() * 95 / 100];
    assert!(most <= 40.0, "95 of 100 are not further apart: {most} ms");

    // A frame that is not whole in time is waited for until the next key frame: that may cost some pictures.
    let much = found(20, 18);
    assert!(much.beeps >= 17, "{} beeps", much.beeps);
    assert!(much.flashes >= 6, "{} flashes", much.flashes);
    let middle = much.apart[much.apart.len() / 2];
    assert!(
        middle <= 40.0,
        "half of them are not further apart: {middle} ms"
    );
}
