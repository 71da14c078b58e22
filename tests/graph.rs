//! Pictures of a running job, from its server and by the command, with a real worker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/camera.rs"]
mod camera;
#[path = "support/daemon.rs"]
mod daemon;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use camera::{Camera, free_port};
use daemon::{Daemon, LIMIT};
use serde_json::{Value, json};

/// `attache pipelines graph`, asking this server.
fn graph(daemon: &Daemon, name: &str, out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attache"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["pipelines", "graph", name, "--server", &daemon.url, "-o"])
        .arg(out)
        .output()
        .unwrap()
}

/// A kiosk of a camera that wants a password; returns its id.
async fn kiosk_of(daemon: &Daemon, port: u16) -> String {
    let spec = json!({
        "role": "kiosk", "room": "door", "description": "kiosk-rtsp",
        "parameters": {"camera": format!("rtsp://admin:s3cret@127.0.0.1:{port}/live?token=s3cret")},
    });
    let jobs = format!("{}/api/v1/jobs", daemon.url);
    let request = reqwest::Client::new().post(jobs).json(&spec);
    let job: Value = request.send().await.unwrap().json().await.unwrap();
    job["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{job}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_drawn_as_it_is_without_passwords() {
    let port = free_port();
    let _camera = Camera::start(port, &["h264"]);
    let daemon = Daemon::start("");
    let id = kiosk_of(&daemon, port).await;
    let joined = |view: &Value| view["state"] == "joined";
    let view = daemon.until(&id, "the kiosk joins", joined).await;
    let shown = format!("rtsp://127.0.0.1:{port}/live?token=s3cret");
    assert_eq!(view["spec"]["parameters"]["camera"], shown);

    let path = format!("{}/api/v1/jobs/{id}/graph", daemon.url);
    let answer = reqwest::get(&path).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "image/svg+xml");
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    // Its source, by its real elements and not by stand-ins, and the pipeline within the camera's element.
    let wanted = ["attachertsp", "rtspsrc", "rtph264depay", "video/raw I420"];
    let since = Instant::now();
    loop {
        let svg = reqwest::get(&path).await.unwrap().text().await.unwrap();
        assert!(!svg.contains("s3cret") && !svg.contains("admin"), "{svg}");
        if wanted.iter().all(|wanted| svg.contains(wanted)) {
            break;
        }
        assert!(since.elapsed() < LIMIT, "{wanted:?} should be in {svg}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let wrong = reqwest::get(format!("{path}?format=gif")).await.unwrap();
    assert_eq!(wrong.status(), 400);
    let nobody = format!("{}/api/v1/jobs/nobody/graph", daemon.url);
    assert_eq!(reqwest::get(nobody).await.unwrap().status(), 404);

    let out = daemon.folder.path().join("door.png");
    let drawn = graph(&daemon, &id, &out);
    assert!(drawn.status.success(), "{drawn:?}");
    assert!(std::fs::read(&out).unwrap().starts_with(b"\x89PNG"));

    daemon.end(&id).await;
    daemon
        .until(&id, "the kiosk ends", |view| view["state"] == "stopped")
        .await;
    let ended = graph(&daemon, &id, &out);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the job has no worker at this moment"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_a_description_nor_a_job_is_told_with_what_would_be_right() {
    let daemon = Daemon::start("");
    let out = daemon.folder.path().join("x.svg");
    let none = graph(&daemon, "kiosc", &out);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert_eq!(none.status.code(), Some(1), "{said}");
    for wanted in [
        "there is no description kiosc.toml",
        &daemon.url,
        "there is no such job",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!out.exists());
}
