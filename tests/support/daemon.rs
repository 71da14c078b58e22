//! The real `attache serve` as a child process, driven over its API.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Everything awaited here comes within this time, also on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A running server with a folder of its own.
pub struct Daemon {
    child: Child,
    printed: Lines<BufReader<ChildStdout>>,
    /// Where its API is.
    pub url: String,
    /// Holds configuration and recordings.
    pub folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    http: reqwest::Client,
}

fn launch(
    host: &str,
    config: &Path,
    environment: &[(String, String)],
) -> (Child, Lines<BufReader<ChildStdout>>, String) {
    // `make bench` names a release build.
    let built = env!("CARGO_BIN_EXE_attache").to_owned();
    let mut child = Command::new(std::env::var("ATTACHE_BIN").unwrap_or(built))
        .args(["serve", "--listen", &format!("{host}:0"), "--config"])
        .arg(config)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .spawn()
        .expect("attache starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let url = address(&mut lines);
    (child, lines, url)
}

fn address(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    lines
        .map_while(Result::ok)
        .find_map(|line| {
            let url = line.strip_prefix("attache: open ")?;
            Some(url.trim_end_matches('/').to_owned())
        })
        .expect("attache prints its address")
}

impl Daemon {
    /// Starts it on a free port of loopback; `more` is added to the configuration.
    pub fn start(more: &str) -> Self {
        Self::start_with(more, &[])
    }

    /// The same with these environment variables.
    pub fn start_with(more: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_on("127.0.0.1", more, environment)
    }

    /// The same on an address of this machine.
    pub fn start_on(host: &str, more: &str, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        let recordings = folder.path().join("recordings");
        let config =
            format!("[jobs]\npipelines = {pipelines:?}\nrecordings = {recordings:?}\n{more}");
        // Tests put more on a machine than an operator would.
        let config = match more.contains("[admission]") {
            true => config,
            false => format!("[admission]\nenabled = false\n{config}"),
        };
        let file = folder.path().join("attache.toml");
        std::fs::write(&file, config).expect("the configuration is written");
        let state = folder.path().join("state");
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .chain([("XDG_STATE_HOME".to_owned(), state.display().to_string())])
            .collect();
        let (child, printed, url) = launch(host, &file, &environment);
        attache::tls::install_ring();
        Self {
            child,
            printed,
            url,
            folder,
            environment,
            http: reqwest::Client::new(),
        }
    }

    /// Starts it again with the same folder, after it was ended by a signal; its address is another one.
    pub fn start_again(&mut self) {
        let file = self.folder.path().join("attache.toml");
        (self.child, self.printed, self.url) = launch("127.0.0.1", &file, &self.environment);
    }

    /// Has it take its configuration anew; its address is another one then.
    pub fn reload(&mut self) {
        kill(self.child.id(), "HUP");
        self.url = address(&mut self.printed);
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts a job; returns its id.
    pub async fn job(&self, role: &str, description: &str, room: &str) -> String {
        self.job_with(json!({ "role": role, "room": room, "description": description }))
            .await
    }

    /// Starts the job that the API is told of so; returns its id.
    pub async fn job_with(&self, spec: Value) -> String {
        let answer = self
            .http
            .post(format!("{}/api/v1/jobs", self.url))
            .json(&spec)
            .send()
            .await
            .expect("an answer");
        let status = answer.status();
        let view: Value = answer.json().await.expect("JSON");
        assert!(status.is_success(), "{status}: {view}");
        view["id"].as_str().expect("an id").to_owned()
    }

    /// Status and answer for a job that is not taken.
    pub async fn refusal(&self, spec: &Value) -> (u16, String) {
        let post = self.http.post(format!("{}/api/v1/jobs", self.url));
        let answer = post.json(spec).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    /// What the server says of a job.
    pub async fn view(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/jobs/{id}")).await
    }

    /// What the server says at a path of its API.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self
            .http
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// Waits until what the server says at a path is what `done` looks for.
    pub async fn until_at(&self, path: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        loop {
            let view = self.get(path).await;
            if done(&view) {
                return view;
            }
            assert!(
                since.elapsed() < LIMIT,
                "within {LIMIT:?}: {what}; found {view:#}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The text at a path.
    pub async fn text(&self, path: &str) -> String {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await;
        let answer = answer.expect("an answer");
        answer.text().await.expect("text")
    }

    /// Asks for a removal: status and answer.
    pub async fn delete(&self, path: &str) -> (u16, String) {
        let answer = self
            .http
            .delete(format!("{}{path}", self.url))
            .send()
            .await
            .expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    /// Gives a running job other values for some of its parameters.
    ///
    /// # Errors
    /// What the server says if it refuses.
    pub async fn set(&self, id: &str, parameters: &Value) -> Result<(), String> {
        let answer = self
            .http
            .patch(format!("{}/api/v1/jobs/{id}/parameters", self.url))
            .json(parameters)
            .send()
            .await
            .expect("an answer");
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(answer.text().await.expect("a text")),
        }
    }

    /// Asks a job to end.
    pub async fn end(&self, id: &str) {
        let answer = self
            .http
            .delete(format!("{}/api/v1/jobs/{id}", self.url))
            .send()
            .await
            .expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Waits until the server says of a job what `done` looks for.
    pub async fn until(&self, id: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        self.until_at(&format!("/api/v1/jobs/{id}"), what, done)
            .await
    }

    /// Sends a signal and waits for the end.
    pub fn signal(&mut self, name: &str) -> ExitStatus {
        kill(self.child.id(), name);
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(
                since.elapsed() < LIMIT,
                "the server did not end within {LIMIT:?} of SIG{name}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The one recording that was made.
    pub fn recording(&self) -> PathBuf {
        let found = self.recordings();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    /// The folders of all recordings.
    pub fn recordings(&self) -> Vec<PathBuf> {
        let folder = self.folder.path().join("recordings");
        let found = std::fs::read_dir(folder).expect("recordings").flatten();
        found.map(|entry| entry.path()).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("TERM");
        }
    }
}

/// Sends a signal to a process.
pub fn kill(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .expect("kill runs");
    assert!(sent.success(), "SIG{name} to {pid}");
}

/// Whether a process is there and not a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// Waits until nothing is left of a process, not even a zombie.
pub async fn until_gone(pid: u32) {
    let since = Instant::now();
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(since.elapsed() < LIMIT, "{pid} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The media files of a recording, by name.
pub fn media_files(recording: &Path) -> Vec<PathBuf> {
    let is_media = |path: &PathBuf| {
        path.extension()
            .is_some_and(|end| end == "webm" || end == "mkv" || end == "mp4")
    };
    let mut files: Vec<_> = std::fs::read_dir(recording)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .filter(is_media)
        .collect();
    files.sort();
    files
}

/// Its `recording.json`.
pub fn manifest(recording: &Path) -> Value {
    let text = std::fs::read_to_string(recording.join("recording.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}
