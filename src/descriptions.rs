//! The folder of descriptions under a running server: a changed file is checked, then the jobs that use it move to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use notify_debouncer_mini::notify::RecursiveMode;
use notify_debouncer_mini::{DebounceEventResult, Debouncer, new_debouncer, notify};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::job::Request;
use crate::supervisor::{JobView, RequestError, Supervisor};

/// Editors write a file in several steps; what they leave for so long counts.
const SETTLED: Duration = Duration::from_millis(100);
/// A check that takes longer hangs, and so would a job.
const CHECK_LIMIT: Duration = Duration::from_secs(20);
/// Of a check's words, so many are kept.
const LINES: usize = 50;

/// What is known of a description.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct DescriptionView {
    /// The file's name without `.toml`.
    pub name: String,
    /// Whether the file, as it is now, can be used.
    pub valid: bool,
    /// Why not: file, line and column, what was found, what would be right. Running jobs keep what they have.
    pub problems: Vec<String>,
    /// How often jobs moved to it while they ran.
    pub reloads: u64,
    /// How often it was changed and could not be used.
    pub refused: u64,
    /// When it was checked last.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub checked_at: Option<OffsetDateTime>,
}

/// Descriptions by name; clones are the same.
#[derive(Debug, Clone)]
pub struct Descriptions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// The program that checks: this process has no GStreamer.
    program: PathBuf,
    /// What the operator allows besides, as arguments of the program.
    arguments: Vec<String>,
    views: Mutex<BTreeMap<String, DescriptionView>>,
    /// What each file said when it was checked: reading a file is an event, too.
    texts: Mutex<BTreeMap<String, String>>,
}

/// Ends the watch when dropped.
#[derive(Debug)]
pub struct Watch {
    _debouncer: Debouncer<notify::RecommendedWatcher>,
}

impl Descriptions {
    /// The files of a folder, not checked yet.
    pub fn new(folder: PathBuf, program: PathBuf, arguments: Vec<String>) -> Self {
        Self(Arc::new(Shared {
            folder,
            program,
            arguments,
            views: Mutex::default(),
            texts: Mutex::default(),
        }))
    }

    /// Those that were checked, by name.
    pub fn list(&self) -> Vec<DescriptionView> {
        self.views().values().cloned().collect()
    }

    /// Checks what is there and then whatever changes, until the watch is dropped; jobs follow.
    ///
    /// # Errors
    /// The folder cannot be watched.
    pub fn watch(&self, supervisor: Supervisor) -> anyhow::Result<Watch> {
        let (changed, changes) = unbounded_channel();
        let told = changed.clone();
        let mut debouncer = new_debouncer(SETTLED, move |events: DebounceEventResult| {
            // Nobody listens any more once the server stops.
            let tell = |path: &Path| drop(description_of(path).map(|name| told.send(name)));
            match events {
                Ok(events) => events.iter().for_each(|event| tell(&event.path)),
                Err(error) => warn!(%error, "changes of descriptions may go unnoticed"),
            }
        })
        .context("cannot watch files")?;
        let folder = &self.0.folder;
        debouncer
            .watcher()
            .watch(folder, RecursiveMode::NonRecursive)
            .with_context(|| format!("cannot watch the descriptions in {}", folder.display()))?;
        tokio::spawn(self.clone().follow(changes, supervisor));
        Ok(Watch {
            _debouncer: debouncer,
        })
    }

    async fn follow(self, mut changes: UnboundedReceiver<String>, supervisor: Supervisor) {
        self.check_all().await;
        while let Some(first) = changes.recv().await {
            let mut names = std::collections::BTreeSet::from([first]);
            while let Ok(name) = changes.try_recv() {
                names.insert(name);
            }
            for name in names {
                self.on_change(&name, &supervisor).await;
            }
        }
    }

    async fn check_all(&self) {
        let files = std::fs::read_dir(&self.0.folder).into_iter().flatten();
        let paths = files.flatten().map(|entry| entry.path());
        let mut names: Vec<_> = paths.filter_map(|path| description_of(&path)).collect();
        names.sort();
        for name in names {
            self.is_new(&name);
            self.check(&name).await;
        }
    }

    /// Whether a file says something else than when this was asked last.
    fn is_new(&self, name: &str) -> bool {
        let mut texts = self.0.texts.lock().unwrap_or_else(PoisonError::into_inner);
        match std::fs::read_to_string(self.file(name)) {
            Ok(text) => texts.insert(name.to_owned(), text.clone()) != Some(text),
            Err(_) => texts.remove(name).is_some(),
        }
    }

    /// Checks a changed file and those of which it is the fallback, and has jobs follow.
    async fn on_change(&self, name: &str, supervisor: &Supervisor) {
        if !self.is_new(name) {
            return;
        }
        if !self.file(name).exists() {
            self.views().remove(name);
        }
        let known: Vec<String> = self.views().keys().cloned().collect();
        let is_its_fallback = |other: &String| self.fallback_of(other).as_deref() == Some(name);
        let others = known.into_iter().filter(|other| other != name);
        let mut concerned: Vec<String> = others.filter(is_its_fallback).collect();
        if self.file(name).exists() {
            concerned.insert(0, name.to_owned());
        }
        for name in concerned {
            self.follow_one(&name, supervisor).await;
        }
    }

    async fn follow_one(&self, name: &str, supervisor: &Supervisor) {
        let problems = self.check(name).await;
        if !problems.is_empty() {
            self.change(name, |view| view.refused += 1);
            warn!(description = name, problems = ?problems, "a changed description is wrong; jobs keep what they have");
            return;
        }
        for job in supervisor.list() {
            if !job.ended() && job.spec.description() == name {
                self.reload(name, &job, supervisor).await;
            }
        }
    }

    async fn reload(&self, name: &str, job: &JobView, supervisor: &Supervisor) {
        match supervisor.request(&job.id, Request::Reload).await {
            Ok(_) => {
                info!(description = name, job = %job.id, "the job moved to the changed description");
                self.change(name, |view| view.reloads += 1);
            }
            // Its next worker reads the new file.
            Err(RequestError::NotRunning | RequestError::NoSuchJob) => {}
            Err(error) => {
                warn!(description = name, job = %job.id, %error, "the job keeps what it has");
                let problem = format!("job {}: {error}", job.id);
                self.change(name, |view| {
                    view.refused += 1;
                    view.problems.push(problem);
                });
            }
        }
    }

    fn fallback_of(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.file(name)).ok()?;
        let table: toml::Table = text.parse().ok()?;
        Some(table.get("fallback")?.as_str()?.to_owned())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.folder.join(format!("{name}.toml"))
    }

    /// Has a file checked by a process of its own: a plugin may crash, a device may hang.
    async fn check(&self, name: &str) -> Vec<String> {
        let problems = self.problems(name).await;
        self.change(name, |view| {
            view.valid = problems.is_empty();
            view.problems.clone_from(&problems);
            view.checked_at = Some(OffsetDateTime::now_utc());
        });
        problems
    }

    async fn problems(&self, name: &str) -> Vec<String> {
        let checking = Command::new(&self.0.program)
            .args(["pipelines", "check", "--pipelines"])
            .arg(&self.0.folder)
            .args(&self.0.arguments)
            .arg(self.file(name))
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match timeout(CHECK_LIMIT, checking).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return vec![format!("it cannot be checked: {error}")],
            Err(_) => {
                let limit = CHECK_LIMIT.as_secs();
                return vec![format!("its check hung: it was ended after {limit} s")];
            }
        };
        if output.status.success() {
            return Vec::new();
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut problems: Vec<String> = lines.take(LINES).map(str::to_owned).collect();
        if problems.is_empty() {
            problems.push(format!("its check ended badly: {}", output.status));
        }
        problems
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut DescriptionView)) {
        let mut views = self.views();
        let view = views
            .entry(name.to_owned())
            .or_insert_with(|| DescriptionView {
                name: name.to_owned(),
                ..DescriptionView::default()
            });
        change(view);
    }

    fn views(&self) -> MutexGuard<'_, BTreeMap<String, DescriptionView>> {
        self.0.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The description's name, of a file that is one.
fn description_of(path: &Path) -> Option<String> {
    let is_toml = path.extension().is_some_and(|end| end == "toml");
    let name = path.file_stem()?.to_str()?;
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    (is_toml && is_name).then(|| name.to_owned())
}
