//! `attache doctor`: a call with itself, a real TURN server, and exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attache::doctor::{Check, Outcome, Report};
use daemon::Daemon;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);
const SECRET: &str = "north-by-north-west";

/// What the doctor says, and whether its exit code is 0.
fn doctor(arguments: &[&str]) -> (Report, bool) {
    let cache = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_attache"))
        .args(["doctor", "--json"])
        .args(arguments)
        .env("CACHE_DIRECTORY", cache.path())
        .output()
        .expect("attache runs");
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (report, output.status.success())
}

fn checks(report: &Report) -> Vec<&Check> {
    report
        .sections
        .iter()
        .flat_map(|section| &section.checks)
        .collect()
}

fn check<'a>(report: &'a Report, subject: &str) -> &'a Check {
    let all = checks(report);
    let found = all.iter().find(|check| check.subject == subject);
    found.unwrap_or_else(|| panic!("{subject} is told of in {all:?}"))
}

/// A coturn on loopback.
struct Turn {
    child: Child,
    port: u16,
}

impl Turn {
    fn start() -> Self {
        // Free now; taken by nobody else in the moment until coturn has it.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new("turnserver")
            .args([
                "-n",
                "--listening-ip",
                "127.0.0.1",
                "--relay-ip",
                "127.0.0.1",
            ])
            .args(["--listening-port", &port.to_string()])
            .args(["--use-auth-secret", "--static-auth-secret", SECRET])
            .args([
                "--realm",
                "attache.test",
                "--no-tls",
                "--no-dtls",
                "--no-cli",
                "--no-rfc5780",
            ])
            .args(["--log-file", "stdout", "--pidfile", "/dev/null"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("coturn is there");
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < LIMIT, "coturn listens");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, port }
    }

    /// A configuration that names it.
    fn config(&self, secret: &str, more: &str) -> (TempDir, String) {
        let port = self.port;
        let text = format!(
            "[ice]\nstun = [\"stun:127.0.0.1:{port}\"]\n{more}\n[[ice.turn]]\n\
             urls = [\"turn:127.0.0.1:{port}\", \"turn:127.0.0.1:{port}?transport=tcp\"]\nsecret = \"{secret}\"\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("attache.toml");
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        (folder, file)
    }

    fn urls(&self) -> [String; 2] {
        let port = self.port;
        [
            format!("turn:127.0.0.1:{port}"),
            format!("turn:127.0.0.1:{port}?transport=tcp"),
        ]
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_stun_server_answers_and_a_turn_server_allocates_over_udp_and_tcp() {
    let turn = Turn::start();
    let (_folder, file) = turn.config(SECRET, "transport_policy = \"relay\"");
    let (report, is_well) = doctor(&["--only", "network", "--config", &file]);
    let stun = check(&report, &format!("stun:127.0.0.1:{}", turn.port));
    assert_eq!(stun.outcome, Outcome::Good, "{}", stun.finding);
    for url in turn.urls() {
        let found = check(&report, &url);
        assert_eq!(found.outcome, Outcome::Good, "{}", found.finding);
        assert!(
            found
                .finding
                .starts_with("usable, an allocation was made after ")
        );
    }
    assert!(is_well);
}

#[test]
fn a_wrong_secret_is_named_and_keeps_from_a_call_where_all_goes_through_the_relay() {
    let turn = Turn::start();
    let (_folder, file) = turn.config("south", "transport_policy = \"relay\"");
    let (report, is_well) = doctor(&["--only", "network", "--config", &file]);
    for url in turn.urls() {
        let found = check(&report, &url);
        assert_eq!(found.outcome, Outcome::Bad);
        assert!(
            found
                .finding
                .contains("the shared secret, are not the server's"),
            "{}",
            found.finding
        );
    }
    assert_eq!(check(&report, "relay").outcome, Outcome::Fatal);
    assert!(!is_well && !report.can_carry_a_call);
    let (_folder, file) = turn.config("south", "");
    let (_, is_well) = doctor(&["--only", "network", "--config", &file]);
    assert!(is_well, "calls may go without the relay");
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attache.toml");
    // Bound and never read: nothing answers, nothing is refused.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("stun:{}", silent.local_addr().unwrap());
    std::fs::write(&file, format!("[ice]\nstun = [{url:?}]\n")).unwrap();
    let (report, is_well) = doctor(&["--only", "network", "--config", file.to_str().unwrap()]);
    assert_eq!(check(&report, &url).finding, "no answer within 5 s");
    assert!(is_well);
}

#[test]
fn this_machine_carries_a_call_with_itself_and_tells_its_latency() {
    let (report, is_well) = doctor(&["--only", "call"]);
    let call = check(&report, "loopback");
    assert_eq!(call.outcome, Outcome::Good, "{}", call.finding);
    assert!(
        call.finding.contains(" ms from picture to picture"),
        "{}",
        call.finding
    );
    println!("{}", call.finding);
    assert!(is_well);
}

#[test]
fn without_an_encoder_no_call_is_carried_and_the_exit_code_says_so() {
    let policy = r#"{"forbid": ["hardware", "software"]}"#;
    let (report, is_well) = doctor(&["--quick", "--only", "encoders", "--encoders", policy]);
    assert_eq!(check(&report, "encoders").outcome, Outcome::Fatal);
    assert!(!is_well && !report.can_carry_a_call);
    assert!(report.obstacles()[0].starts_with("encoders: "));
}

#[test]
fn a_wrong_configuration_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attache.toml");
    std::fs::write(&file, "[encoders]\npreffer = []\n").unwrap();
    let file = file.display().to_string();
    let (report, is_well) = doctor(&["--only", "configuration", "--config", &file]);
    let mistake = check(&report, "configuration");
    assert!(
        mistake
            .finding
            .starts_with(&format!("{file}:2: encoders.preffer")),
        "{}",
        mistake.finding
    );
    assert!(!is_well);
    assert_eq!(check(&report, "description kiosk").outcome, Outcome::Good);
}

#[tokio::test]
async fn a_server_with_a_kiosk_on_a_machine_that_carries_no_call_is_not_ready() {
    let server = Daemon::start(
        "[encoders]\nforbid = [\"hardware\", \"software\"]\n[[kiosk]]\nroom = \"lobby\"\ndescription = \"kiosk-test\"\n",
    );
    let expected = "this machine cannot carry a call; `attache doctor` tells why";
    let begin = Instant::now();
    loop {
        attache::tls::install_ring();
        let ready = reqwest::get(format!("{}/readyz", server.url))
            .await
            .unwrap();
        let status = ready.status();
        let body: serde_json::Value = ready.json().await.unwrap();
        let reasons = body["reasons"].as_array().unwrap();
        if reasons.iter().any(|reason| reason == expected) {
            assert_eq!(status, 503);
            return;
        }
        assert!(begin.elapsed() < LIMIT, "{body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
