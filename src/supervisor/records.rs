//! What the next server has to know of the jobs of this one: a file for each, while it is at work.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tracing::warn;

use super::JobView;
use crate::job::JobSpec;
use crate::signalling::ids::JobId;

/// A job and its worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The job's id.
    pub id: JobId,
    /// What it does.
    pub spec: JobSpec,
    /// What the operator's configuration asked for, where it did; values may have been changed since.
    pub configured: Option<JobSpec>,
    /// When it was started.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// How often its worker was started again.
    pub restarts: u32,
    /// A recorder that writes nothing.
    pub paused: bool,
    /// Its worker.
    pub worker: Option<WorkerId>,
}

/// A process, told from another one that has got its number since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerId {
    /// The process id.
    pub pid: u32,
    /// When it was started, in clock ticks since the machine was (proc(5), `starttime`).
    pub started: u64,
}

impl WorkerId {
    /// The process that has this number now.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name may have spaces and brackets in it; the state is the first field behind it.
        let (_, fields) = stat.rsplit_once(") ")?;
        let is_over = fields.starts_with(['Z', 'X']);
        let started = fields.split(' ').nth(19)?.parse().ok()?;
        (!is_over).then_some(Self { pid, started })
    }

    /// Whether it still runs.
    pub fn runs(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

impl Record {
    /// What is to be known of a job.
    pub fn new(view: &JobView, configured: Option<JobSpec>) -> Self {
        Self {
            id: view.id.clone(),
            spec: view.spec.clone(),
            configured,
            started_at: view.started_at,
            restarts: view.restarts,
            paused: view.paused,
            worker: view.pid.and_then(WorkerId::of),
        }
    }
}

/// The folder of records; absent: none are kept.
#[derive(Debug, Clone, Default)]
pub struct Records {
    folder: Option<PathBuf>,
}

impl Records {
    /// Records in this folder.
    pub fn at(folder: PathBuf) -> Self {
        Self {
            folder: Some(folder),
        }
    }

    /// Writes a job down, or what has changed of it. Whoever cannot is told: the job itself goes on.
    pub fn keep(&self, record: &Record) {
        let Some(folder) = &self.folder else {
            return;
        };
        if let Err(error) = write(folder, record) {
            let folder = folder.display();
            warn!(%error, "cannot write to {folder}: the job does not outlive this server");
        }
    }

    /// A job has ended.
    pub fn forget(&self, id: &JobId) {
        if let Some(folder) = &self.folder {
            // It may never have been written.
            let _ = std::fs::remove_file(path(folder, id));
        }
    }

    /// The jobs that a former server left, in the order of their start. What cannot be read is passed over with a warning.
    pub fn read(&self) -> Vec<Record> {
        let Some(folder) = &self.folder else {
            return Vec::new();
        };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let files = paths.filter(|path| path.extension().is_some_and(|it| it == "json"));
        let mut records: Vec<_> = files.filter_map(|path| read(&path)).collect();
        records.sort_by_key(|record| record.started_at);
        records
    }
}

fn path(folder: &Path, id: &JobId) -> PathBuf {
    folder.join(format!("{id}.json"))
}

/// The file appears whole or not at all; only the server's user reads it: parameters may be secrets.
fn write(folder: &Path, record: &Record) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let part = folder.join(format!("{}.part", record.id));
    let options = &mut std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(&serde_json::to_vec_pretty(record)?)?;
    std::fs::rename(part, path(folder, &record.id))
}

fn read(path: &Path) -> Option<Record> {
    let read = std::fs::read(path).map_err(|error| error.to_string());
    let record = read.and_then(|text| {
        serde_json::from_slice(&text).map_err(|error: serde_json::Error| error.to_string())
    });
    record
        .inspect_err(|error| warn!(error, "{} is no job's record", path.display()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Cost;
    use crate::job::Role;

    fn record(id: &str) -> Record {
        let spec = JobSpec {
            memory_limit_mb: None,
            role: Role::Kiosk,
            room: "lobby".parse().unwrap(),
            description: None,
            parameters: Default::default(),
            name: None,
            of: None,
            remote: None,
        };
        let view = JobView::new(id.parse().unwrap(), spec, Cost::default());
        Record::new(&view, Some(view.spec.clone()))
    }

    #[test]
    fn what_is_kept_is_read_again_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::at(folder.path().join("jobs"));
        assert_eq!(records.read(), []);
        let (first, mut second) = (record("a"), record("b"));
        records.keep(&first);
        records.keep(&second);
        second.restarts = 3;
        second.worker = WorkerId::of(std::process::id());
        records.keep(&second);
        std::fs::write(folder.path().join("jobs/c.json"), "{").unwrap();
        assert_eq!(records.read(), [first.clone(), second.clone()]);
        records.forget(&first.id);
        assert_eq!(records.read(), [second]);
    }

    #[test]
    fn a_process_is_told_from_one_that_has_its_number_later() {
        let us = WorkerId::of(std::process::id()).unwrap();
        assert!(us.runs());
        let other = WorkerId {
            started: us.started + 1,
            ..us
        };
        assert!(!other.runs());
        assert_eq!(WorkerId::of(u32::MAX), None);
    }
}
