//! A server that speaks S3, as a child process that can be killed and started again, and recordings to upload.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::json;

pub const ACCESS_KEY: &str = "calls";
pub const SECRET_KEY: &str = "a secret of tests only";
pub const BUCKET: &str = "recordings";

/// The server; its objects are files below its folder.
pub struct S3 {
    child: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
}

impl S3 {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let mut server = Self {
            child: None,
            port,
            folder,
        };
        server.start_again();
        server
    }

    /// With what it had when it was killed.
    pub fn start_again(&mut self) {
        let mut child = Command::new(program())
            .arg(self.port.to_string())
            .arg(self.folder.path())
            .args([ACCESS_KEY, SECRET_KEY])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the S3 server starts");
        let output = child.stdout.take().expect("its output");
        let line = BufReader::new(output).lines().next();
        let line = line.expect("a line").expect("text");
        assert!(line.starts_with("listening"), "{line}");
        self.child = Some(child);
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is killed");
        child.wait().expect("it ended");
    }

    /// A target of `attache.toml`; the secret is in a file of `folder`.
    pub fn target(&self, folder: &Path, secret: &str) -> String {
        let file = folder.join("secret");
        std::fs::write(&file, secret).expect("the secret is written");
        format!(
            "[[recording.upload]]\nurl = \"s3://{BUCKET}/calls\"\nendpoint = \"http://127.0.0.1:{}\"\n\
             region = \"eu-central-1\"\naccess_key_id = \"{ACCESS_KEY}\"\nsecret_file = {file:?}\n",
            self.port
        )
    }

    /// What the clouds' own tools read, for this server.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            (
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", self.port),
            ),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// What it keeps of a file of a recording.
    pub fn object(&self, recording: &str, file: &str) -> PathBuf {
        let calls = self.folder.path().join(BUCKET).join("calls");
        calls.join(recording).join(file)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// Built once, since `cargo test --test` builds no example.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--example", "s3"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        let attache = Path::new(env!("CARGO_BIN_EXE_attache"));
        let program = attache.with_file_name("examples").join("s3");
        assert!(
            built.is_ok_and(|status| status.success()) && program.is_file(),
            "the S3 server is built into {}",
            program.display()
        );
        program
    };
    PROGRAM.get_or_init(build).clone()
}

pub const FILE: &str = "20261122T081531Z-7t3kq0v5m2p9x1ab.webm";

/// A finished recording with one file of so many bytes, which are no media but all different; what is in the file.
pub fn finished_recording(recordings: &Path, name: &str, bytes: usize) -> Vec<u8> {
    let folder = recordings.join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut state = 0x2545_f491_u32;
    let content: Vec<u8> = (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect();
    std::fs::write(folder.join(FILE), &content).expect("the file is written");
    let manifest = json!({
        "version": 2, "room": "lobby", "job": "4k2m9xqe", "state": "finished",
        "started": "2026-11-22T08:15:30Z", "ended": "stopped", "finished": "2026-11-22T08:47:02Z",
        "visits": [{
            "participant": "7t3kq0v5m2p9x1ab", "kind": "person", "arrived": "2026-11-22T08:15:31Z",
            "files": [{
                "file": FILE, "part": 1, "finished": true, "started": "2026-11-22T08:15:31Z",
                "duration_ms": 1000, "bytes": bytes, "tracks": []
            }]
        }]
    });
    std::fs::write(folder.join("recording.json"), manifest.to_string()).expect("a manifest");
    content
}
