//! A kiosk in a network namespace, and on this machine a server and a recorder: real processes.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lossy::Link;

const KEY: &str = "a key that signs the tokens of rooms, for tests";
/// For whatever is awaited, on a machine that may be busy with other things.
const LIMIT: Duration = Duration::from_secs(90);

/// A child that is asked to end when it is dropped.
pub struct Running(Child);

impl Running {
    fn start(mut command: Command) -> (Self, impl Iterator<Item = String>) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (Self(child), lines.map_while(Result::ok))
    }

    pub fn end(&mut self) {
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

/// A job that tells its events.
pub struct Job {
    running: Running,
    events: Receiver<(Instant, Value)>,
    name: &'static str,
}

impl Job {
    fn start(name: &'static str, command: Command) -> Self {
        let (running, lines) = Running::start(command);
        let (tell, events) = channel();
        std::thread::spawn(move || {
            for line in lines {
                let event = serde_json::from_str(&line).unwrap();
                if tell.send((Instant::now(), event)).is_err() {
                    // Nobody reads on: the pipe must not hold the job up.
                    continue;
                }
            }
        });
        Self {
            running,
            events,
            name,
        }
    }

    /// Waits for an event: when it came.
    pub fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Instant {
        let deadline = Instant::now() + LIMIT;
        let mut before = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((at, event)) = self.events.recv_timeout(left) else {
                panic!(
                    "{}: within {LIMIT:?}: {what}; before it {before:#?}",
                    self.name
                );
            };
            if wanted(&event) {
                return at;
            }
            if event["event"] != "quality" {
                before.push(event.to_string());
            }
        }
    }

    /// Waits until so much was recorded.
    pub fn until_recorded(&self, time: Duration) -> Instant {
        let time = u64::try_from(time.as_millis()).unwrap();
        self.until(&format!("{time} ms on disk"), |event| {
            event["duration_ms"].as_u64() >= Some(time)
        })
    }

    /// How much is recorded by now.
    pub fn recorded(&self) -> Duration {
        // What it told before is old.
        self.events.try_iter().for_each(drop);
        let found = Cell::new(0);
        self.until("how much is on disk", |event| {
            let time = event["duration_ms"].as_u64();
            found.set(time.unwrap_or_default());
            time.is_some()
        });
        Duration::from_millis(found.get())
    }

    /// Waits until a generation stands so.
    pub fn until_peer(&self, generation: u32, state: &str) -> Instant {
        let what = format!("generation {generation} is {state}");
        self.until(&what, |event| {
            event["event"] == "peer" && event["generation"] == generation && event["state"] == state
        })
    }

    /// Waits until it says that a peer stalls: why.
    pub fn until_stalled(&self) -> Instant {
        self.until("a peer stalls", |event| event["event"] == "stalled")
    }

    pub fn end(&mut self) {
        self.running.end();
    }
}

/// A server that a namespace reaches, with a folder of its own.
pub struct Place {
    pub folder: tempfile::TempDir,
    /// Where the server listens.
    pub port: String,
    room: String,
    _server: Running,
}

fn attache() -> &'static str {
    env!("CARGO_BIN_EXE_attache")
}

fn pipelines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")
}

impl Place {
    /// Starts the server at an address of this machine; `more` is added to its configuration.
    pub fn at(address: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("attache.toml");
        let text = format!(
            "[server]\nreverse_proxy = true\n[auth]\napi_token = \"a token that opens the API\"\nroom_key = \"{KEY}\"\n{more}"
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(attache());
        command
            .args(["serve", "--listen", &format!("{address}:0"), "--config"])
            .arg(&config)
            .env("XDG_STATE_HOME", folder.path().join("state"));
        let (server, mut lines) = Running::start(command);
        let url = lines
            .find_map(|line| {
                let url = &line[line.find("http://")?..];
                Some(url.trim().trim_end_matches('/').to_owned())
            })
            .expect("the server tells its address");
        Self {
            folder,
            port: url.rsplit(':').next().unwrap().to_owned(),
            room: format!("{url}/r/lobby"),
            _server: server,
        }
    }

    fn token(&self, allow: &str) -> String {
        let out = Command::new(attache())
            .args(["token", "--room", "lobby", "--allow", allow, "--config"])
            .arg(self.folder.path().join("attache.toml"))
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// A kiosk with the test picture, at the far end of a link, in its room.
    pub fn kiosk(&self, link: &Link) -> Job {
        self.kiosk_by(link.command(attache()), &["width=640", "height=360"])
    }

    /// The same on this machine, with these values.
    pub fn kiosk_here(&self, values: &[&str]) -> Job {
        self.kiosk_by(Command::new(attache()), values)
    }

    fn kiosk_by(&self, mut command: Command, values: &[&str]) -> Job {
        command
            .args(["kiosk", "--join", &self.room, "--json"])
            .args(["--description", "kiosk-test", "--pipelines"])
            .arg(pipelines())
            .args(values.iter().flat_map(|value| ["--set", value]))
            .env("ATTACHE_TOKEN", self.token("join,send"));
        let kiosk = Job::start("kiosk", command);
        kiosk.until("it joins", |event| event["state"] == "joined");
        kiosk
    }

    /// A recorder on this machine.
    pub fn recorder(&self) -> Job {
        let recordings = self.folder.path().join("recordings");
        self.recorder_by(Command::new(attache()), &recordings)
    }

    /// A recorder at the far end of a link, with a folder of its own.
    pub fn recorder_at(&self, link: &Link) -> Job {
        self.recorder_by(link.command(attache()), &self.folder_of(link))
    }

    fn recorder_by(&self, mut command: Command, recordings: &Path) -> Job {
        command
            .args(["record", "--join", &self.room, "--json", "--out"])
            .arg(recordings)
            .arg("--pipelines")
            .arg(pipelines())
            .env("ATTACHE_TOKEN", self.token("join,send,record"));
        Job::start("recorder", command)
    }

    fn folder_of(&self, link: &Link) -> PathBuf {
        self.folder.path().join(&link.near)
    }

    /// The one recording, and its one media file.
    pub fn recorded(&self) -> (PathBuf, PathBuf) {
        let (recording, files) = self.all_recorded();
        let [file] = &files[..] else {
            panic!("one file: {files:?}");
        };
        (recording, file.clone())
    }

    /// What the recorder at the far end of a link wrote.
    pub fn recorded_at(&self, link: &Link) -> PathBuf {
        let (_, files) = Self::all_in(&self.folder_of(link));
        let [file] = &files[..] else {
            panic!("one file: {files:?}");
        };
        file.clone()
    }

    /// The one recording, and its media files in the order of their beginnings.
    pub fn all_recorded(&self) -> (PathBuf, Vec<PathBuf>) {
        Self::all_in(&self.folder.path().join("recordings"))
    }

    fn all_in(folder: &Path) -> (PathBuf, Vec<PathBuf>) {
        let recordings = std::fs::read_dir(folder).unwrap();
        let mut recordings = recordings.flatten().map(|entry| entry.path());
        let recording = recordings.next().expect("a recording");
        assert_eq!(recordings.next(), None, "one recording");
        let files = std::fs::read_dir(&recording).unwrap().flatten();
        let mut files: Vec<_> = files
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending != "json"))
            .collect();
        files.sort();
        (recording, files)
    }
}
