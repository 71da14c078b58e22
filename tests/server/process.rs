//! The real binary: what it prints, how it refuses, how it ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{KEYS, LIMIT, write};

fn attache(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        // What one test leaves is nothing to the next.
        .env("XDG_STATE_HOME", "/nonexistent")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    attache(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A child that does not outlive its test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Serving {
    /// Starts it and waits for the line with its address.
    fn start(arguments: &[&str]) -> (Self, String) {
        let mut serving = Self(
            attache(arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let mut line = String::new();
        BufReader::new(serving.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .trim()
            .strip_prefix("attache: open ")
            .unwrap_or_else(|| panic!("{line:?}"))
            .to_owned();
        (serving, url)
    }

    /// Sends the signal; the exit code, if it ends in time.
    fn end(&mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
        let begin = Instant::now();
        while begin.elapsed() < LIMIT {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

#[tokio::test]
async fn it_prints_its_address_and_ends_cleanly_on_either_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut serving, url) = Serving::start(&["serve", "--listen", "127.0.0.1:0"]);
        attache::tls::install_ring();
        let page = reqwest::get(&url).await.unwrap();
        assert!(page.status().is_success());
        assert_eq!(serving.end(signal), Some(0), "{signal}");
        assert!(reqwest::get(&url).await.is_err(), "nobody listens any more");
    }
}

#[test]
fn beyond_loopback_it_refuses_to_start_and_says_how_it_would() {
    let refused = run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(2));
    let message = text(&refused.stderr);
    for remedy in [
        "--self-signed",
        "reverse_proxy = true",
        "api_token_file",
        "room_key_file",
        "openssl rand",
    ] {
        assert!(message.contains(remedy), "{remedy} in {message}");
    }
    assert!(refused.stdout.is_empty());
}

#[test]
fn beyond_loopback_with_keys_and_tls_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(&folder.path().join("attache.toml"), KEYS);
    let config = config.to_str().unwrap();
    let (_serving, url) = Serving::start(&[
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--self-signed",
        "--config",
        config,
    ]);
    assert!(url.starts_with("https://localhost:"), "{url}");
}

#[test]
fn a_wrong_configuration_is_refused_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(
        &folder.path().join("attache.toml"),
        "[server]\nlisten = 1\nport = 2\n",
    );
    let refused = run(&["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    let message = text(&refused.stderr);
    for line in [2, 3] {
        assert!(
            message.contains(&format!("{}:{line}: server.", config.display())),
            "{message}"
        );
    }
    let missing = run(&["serve", "--config", "/nonexistent/attache.toml"]);
    assert!(text(&missing.stderr).contains("/nonexistent/attache.toml: cannot be read"));
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = run(&["serve", "--listen", &address]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains(&format!("cannot listen on {address}")));
}

#[test]
fn token_makes_a_token_that_the_server_takes() {
    let folder = tempfile::tempdir().unwrap();
    let key = "0123456789abcdef0123456789abcdef";
    let file = write(&folder.path().join("key"), &format!("{key}\n"));
    let config = write(&folder.path().join("attache.toml"), KEYS);
    let auth = attache::auth::Auth::new(None, Some(attache::auth::Secret::new(key)), Vec::new());
    for (option, path) in [("--key-file", &file), ("--config", &config)] {
        let made = run(&[
            "token",
            "--room",
            "a",
            "--identity",
            "ann",
            "--allow",
            "join,record",
            option,
            as_str(path),
        ]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        let grants = auth
            .room(&"a".parse().unwrap(), Some(text(&made.stdout).trim()))
            .unwrap();
        assert_eq!(grants.identity.as_deref(), Some("ann"));
        assert!(grants.join && grants.record && !grants.send && !grants.manage);
    }
    let short = write(&folder.path().join("short"), "short");
    assert_eq!(
        run(&["token", "--room", "a", "--key-file", as_str(&short)])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(
        run(&["token", "--room", "a"]).status.code(),
        Some(2),
        "it wants a key"
    );
}

#[test]
fn wrong_arguments_of_a_job_are_refused_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let pipelines = as_str(folder.path());
    for (arguments, reason) in [
        (
            &["kiosk", "--join", "http://localhost/"][..],
            "it names no room",
        ),
        (
            &["kiosk", "--join", "http://localhost/r/a", "--set", "width"],
            "write key=value",
        ),
        (
            &[
                "kiosk",
                "--join",
                "http://localhost/r/a",
                "--pipelines",
                pipelines,
            ],
            "there is no file",
        ),
        (&["record", "--join", "http://localhost/r/a"], "--out"),
    ] {
        let refused = run(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&refused.stderr).contains(reason),
            "{}",
            text(&refused.stderr)
        );
    }
}

fn as_str(path: &Path) -> &str {
    path.to_str().unwrap()
}
