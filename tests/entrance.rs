//! `attache record` before doors that stay closed: it ends where somebody has to put something right, and leaves no folder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use daemon::{Daemon, LIMIT, kill};

/// `attache` with these arguments, in the room `lobby` of the server; its lines.
struct Attache {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Attache {
    fn start(url: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_attache"))
            .args(arguments)
            .args(["--join", &format!("{url}/r/lobby"), "--pipelines"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("attache starts");
        let (to_us, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let told = BufReader::new(child.stderr.take().expect("its errors"));
        let errors = to_us.clone();
        std::thread::spawn(move || send(out, &to_us));
        std::thread::spawn(move || send(told, &errors));
        Self { child, lines }
    }

    fn record(url: &str, out: &Path) -> Self {
        Self::start(url, &["record", "--out", out.to_str().expect("UTF-8")])
    }

    /// Waits for a line with this in it.
    fn until(&self, what: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|error| panic!("{what:?} in a line: {error}"));
            if line.contains(what) {
                return line;
            }
        }
    }

    /// Waits until it ends by itself: the exit code, and all that it said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => said = format!("{said}{line}\n"),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it goes on: {said}"),
            }
        }
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Attache {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(from: impl BufRead, to: &mpsc::Sender<String>) {
    for line in from.lines().map_while(Result::ok) {
        let _ = to.send(line);
    }
}

fn assert_empty(out: &Path) {
    let left: Vec<_> = std::fs::read_dir(out).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_recorder_without_a_right_to_enter_leaves_no_folder() {
    let key = "of tests only, 32 bytes and more of it";
    let daemon = Daemon::start(&format!("[auth]\nroom_key = {key:?}\napi_token = {key:?}"));
    let out = tempfile::tempdir().unwrap();
    let (code, said) = Attache::record(&daemon.url, out.path()).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the server refused"), "{said}");
    assert_empty(out.path());
}

#[test]
fn a_recorder_that_is_stopped_while_it_looks_for_its_server_leaves_no_folder() {
    let out = tempfile::tempdir().unwrap();
    // Nobody listens on the port that is reserved for nothing.
    let recorder = Attache::record("http://127.0.0.1:1", out.path());
    recorder.until("trying again");
    kill(recorder.child.id(), "TERM");
    let (code, said) = recorder.end();
    assert_eq!(code, Some(0), "{said}");
    assert_empty(out.path());
}

#[test]
fn a_certificate_that_is_not_trusted_ends_a_recorder_at_once_and_a_kiosk_tries_again() {
    let daemon = Daemon::start("[tls]\nself_signed = true");
    assert!(daemon.url.starts_with("https://"), "{}", daemon.url);
    let out = tempfile::tempdir().unwrap();
    let (code, said) = Attache::record(&daemon.url, out.path()).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("certificate") && said.contains("ca"),
        "{said}"
    );
    assert!(!said.contains("trying again"), "{said}");
    assert_empty(out.path());

    let kiosk = Attache::start(&daemon.url, &["kiosk", "--description", "kiosk-test"]);
    for _ in 0..2 {
        let line = kiosk.until("trying again in");
        assert!(line.contains("certificate"), "{line}");
    }
}

#[test]
fn a_server_without_tls_ends_a_recorder_that_was_told_to_use_it() {
    let daemon = Daemon::start("");
    let out = tempfile::tempdir().unwrap();
    let url = daemon.url.replace("http://", "https://");
    let (code, said) = Attache::record(&url, out.path()).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no secure connection"), "{said}");
    assert_empty(out.path());
}
