//! The real `attache record` as a child process, with a description of its own.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::daemon::{Daemon, LIMIT, kill};

/// A recorder in the room `lobby`.
pub struct Recorder {
    child: Child,
    folder: TempDir,
}

impl Recorder {
    pub fn start(daemon: &Daemon, description: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("test.toml"), description).expect("it is written");
        let child = Command::new(env!("CARGO_BIN_EXE_attache"))
            .args(["record", "--join", &format!("{}/r/lobby", daemon.url)])
            .args(["--description", "test", "--pipelines"])
            .arg(folder.path())
            .arg("--out")
            .arg(folder.path().join("out"))
            .stdout(Stdio::null())
            .spawn()
            .expect("attache starts");
        Self { child, folder }
    }

    /// The folder that recordings are made in.
    pub fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The one recording that is there, if it has its manifest.
    pub fn recording(&self) -> Option<PathBuf> {
        let folders = std::fs::read_dir(self.out()).ok()?;
        let mut folders = folders.flatten().map(|entry| entry.path());
        folders.find(|folder| folder.join("recording.json").exists())
    }

    /// Waits until what is looked for is true of the recording.
    pub async fn until(&self, what: &str, is_there: impl Fn(&Path) -> bool) -> PathBuf {
        let since = Instant::now();
        loop {
            if let Some(recording) = self.recording().filter(|recording| is_there(recording)) {
                return recording;
            }
            assert!(since.elapsed() < LIMIT, "within {LIMIT:?}: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a signal and waits for the end.
    pub fn end(&mut self, signal: &str) {
        kill(self.child.id(), signal);
        self.child.wait().expect("a child");
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
