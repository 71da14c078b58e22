//! Webhooks reach the receiver that `docs/webhooks.md` shows, although it is dead, refuses, and attache is killed.

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
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use daemon::{Daemon, LIMIT};
use s3::finished_recording;
use serde_json::Value;

const NAME: &str = "lobby-20261122T081530Z";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The receiver of the documentation, word for word.
struct Example {
    child: Child,
    events: Receiver<(String, Value)>,
}

impl Example {
    fn start(folder: &Path, port: u16, secret: &str) -> Self {
        let text = fs::read_to_string("docs/webhooks.md").expect("the documentation");
        let (_, from) = text.split_once("```python\n").expect("an example");
        let (program, _) = from.split_once("```").expect("its end");
        let (file, secret_file) = (folder.join("receiver.py"), folder.join("its-secret"));
        fs::write(&file, program).unwrap();
        fs::write(&secret_file, format!("{secret}\n")).unwrap();
        let mut child = Command::new("python3")
            .arg(&file)
            .arg(port.to_string())
            .arg(&secret_file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (told, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let (name, data) = line.split_once(' ').expect("a name and JSON");
                let data = serde_json::from_str(data).expect("JSON");
                if told.send((name.to_owned(), data)).is_err() {
                    return;
                }
            }
        });
        Self { child, events }
    }

    fn next(&self) -> (String, Value) {
        self.events.recv_timeout(LIMIT).expect("an event in time")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn failures(daemon: &Daemon) -> u64 {
    let metrics = daemon.text("/metrics").await;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("attache_webhooks_total{result=\"failed\"} "));
    line.expect("the metric").parse().expect("a number")
}

async fn until_it_failed_again(daemon: &Daemon) {
    let before = failures(daemon).await;
    let more = async {
        while failures(daemon).await < before + 2 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, more)
        .await
        .expect("it is tried again");
}

fn waiting(state: &Path) -> usize {
    let folders = fs::read_dir(state.join("webhooks")).unwrap().flatten();
    let folders = folders.filter(|entry| entry.path().is_dir());
    folders
        .map(|folder| fs::read_dir(folder.path()).unwrap().count())
        .sum()
}

#[tokio::test]
async fn events_reach_a_receiver_that_was_dead_and_refused_while_the_server_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let secret_file = folder.path().join("secret");
    fs::write(&secret_file, SECRET).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut daemon = Daemon::start(&format!(
        "[server]\nstate = {state:?}\n[[webhooks]]\nurl = \"http://127.0.0.1:{port}/calls\"\nsecret_file = {secret_file:?}\n"
    ));
    let recordings = daemon.folder.path().join("recordings");

    // Nobody is there.
    let job = daemon.job("recorder", "recorder", "lobby").await;
    daemon
        .until(&job, "it joins", |view| view["state"] == "joined")
        .await;
    daemon.end(&job).await;
    daemon
        .until(&job, "it stops", |view| view["state"] == "stopped")
        .await;
    finished_recording(&recordings, NAME, 1000);
    let path = format!("/api/v1/recordings/{NAME}");
    daemon
        .until_at(&path, "it is found", |view| view["state"] == "finished")
        .await;
    until_it_failed_again(&daemon).await;

    // Somebody is there and refuses.
    let refuses = Example::start(folder.path(), port, OTHER_SECRET);
    until_it_failed_again(&daemon).await;
    assert!(
        refuses.events.try_recv().is_err(),
        "it took a wrong signature"
    );

    daemon.signal("KILL");
    assert!(waiting(&state) >= 8, "{}", waiting(&state));
    drop(refuses);
    let takes = Example::start(folder.path(), port, SECRET);
    daemon.start_again();

    let mut states = Vec::new();
    let mut steps = Vec::new();
    while states.last().map(String::as_str) != Some("stopped") || steps.len() < 3 {
        let (name, data) = takes.next();
        if name == "job.state" {
            assert_eq!(data["job"], job.as_str());
            states.push(data["state"].as_str().unwrap().to_owned());
        } else if data["recording"] == NAME {
            assert_eq!(data["room"], "lobby");
            steps.push(name);
        }
    }
    assert_eq!(states, ["starting", "joined", "stopping", "stopped"]);
    assert_eq!(
        steps,
        [
            "recording.started",
            "recording.part_finished",
            "recording.finished"
        ]
    );
    let emptied = async {
        while waiting(&state) > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, emptied)
        .await
        .expect("what was taken is removed");
}
