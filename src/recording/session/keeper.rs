//! Keeps a recording's manifest while its writers write: takes in what they tell, saves it, adds checksums.
//!
//! Nothing here waits for the disk but the end: what writers tell is passed on at once, however long a save takes.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Command, RecordingError};
use crate::recording::checksum::sha256;
use crate::recording::lock::Lock;
use crate::recording::manifest::{Because, Manifest};
use crate::recording::report::{Event, Report};

/// Growing files are brought up to date in the manifest so often.
const SAVE: Duration = Duration::from_secs(5);
/// The end of a recording waits so long for checksums; a manifest without them is as good.
const CHECKSUMS: Duration = Duration::from_secs(4);

/// Where a manifest is saved: the recording's folder, held.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    lock: Lock,
}

impl Home {
    /// Of a folder whose lock is ours.
    pub fn new(folder: PathBuf, lock: Lock) -> Self {
        Self { folder, lock }
    }

    fn save(&self, manifest: &Manifest) -> Result<(), RecordingError> {
        manifest
            .save(&self.folder)
            .map_err(|source| RecordingError::Manifest {
                path: self.folder.clone(),
                source,
            })
    }
}

/// A save that goes on.
type Saving = JoinHandle<(Home, Result<(), RecordingError>)>;

async fn end_of(saving: &mut Option<Saving>) -> Option<(Home, Result<(), RecordingError>)> {
    saving.as_mut()?.await.ok()
}

/// Owns the manifest.
pub struct Keeper {
    manifest: Manifest,
    folder: PathBuf,
    /// Absent while it is being saved.
    home: Option<Home>,
    saving: Option<Saving>,
    to_role: UnboundedSender<Report>,
    /// Something is not saved yet; it is urgent.
    changed: bool,
    urgent: bool,
    checksums: JoinSet<Option<(PathBuf, String)>>,
    cancel: CancellationToken,
}

impl Keeper {
    /// Saves the first manifest.
    pub async fn begin(
        manifest: Manifest,
        home: Home,
        to_role: UnboundedSender<Report>,
    ) -> Result<Self, RecordingError> {
        let mut this = Self {
            manifest,
            folder: home.folder.clone(),
            home: Some(home),
            saving: None,
            to_role,
            changed: false,
            urgent: false,
            checksums: JoinSet::new(),
            cancel: CancellationToken::new(),
        };
        this.save().await?;
        Ok(this)
    }

    /// Until the recording is finished, or dropped and its writers have ended.
    pub async fn run(
        mut self,
        mut commands: UnboundedReceiver<Command>,
        mut reports: UnboundedReceiver<Report>,
    ) {
        let mut tick = interval(SAVE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut dropped = false;
        loop {
            if self.urgent {
                self.start_saving();
            }
            // Commands first: a visit is known before its reports come.
            tokio::select! {
                biased;
                command = commands.recv(), if !dropped => match command {
                    Some(Command::Finish(because, answer)) => {
                        while let Ok(report) = reports.try_recv() {
                            self.take(report);
                        }
                        let _ = answer.send(self.finish(because).await);
                        return;
                    }
                    Some(command) => self.obey(command),
                    None => dropped = true,
                },
                report = reports.recv() => match report {
                    Some(report) => self.take(report),
                    // Its writers were dropped without an end; the files are for the next start to finish.
                    None => return,
                },
                Some(done) = self.checksums.join_next() => self.checked(done.ok().flatten()),
                saved = end_of(&mut self.saving), if self.saving.is_some() => self.saved(saved),
                _ = tick.tick() => self.urgent |= self.changed,
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let now = OffsetDateTime::now_utc();
        match command {
            Command::Arrived {
                stem,
                participant,
                name,
            } => self.manifest.arrived(stem, &participant, name, now),
            Command::Paused => self.manifest.paused(now),
            Command::Resumed => self.manifest.resumed(now),
            // The loop's own.
            Command::Finish(..) => {}
        }
        self.urgent = true;
    }

    fn take(&mut self, report: Report) {
        self.changed = true;
        self.urgent |= self.manifest.apply(&report, OffsetDateTime::now_utc());
        if let Event::Finished(file) = &report.event {
            self.check(file.file.clone());
        }
        let _ = self.to_role.send(report);
    }

    /// Reads a finished file through, on a thread that may wait for the disk.
    fn check(&mut self, file: PathBuf) {
        let (path, cancel) = (self.folder.join(&file), self.cancel.clone());
        self.checksums
            .spawn_blocking(move || match sha256(&path, &cancel) {
                Ok(sum) => Some((file, sum?)),
                Err(error) => {
                    warn!("{} has no checksum: {error}", path.display());
                    None
                }
            });
    }

    fn checked(&mut self, sum: Option<(PathBuf, String)>) {
        if let Some((file, sum)) = sum {
            self.manifest.set_checksum(&file, sum);
            self.urgent = true;
        }
    }

    fn start_saving(&mut self) {
        let Some(home) = self.home.take() else {
            return;
        };
        (self.changed, self.urgent) = (false, false);
        let manifest = self.manifest.clone();
        self.saving = Some(tokio::task::spawn_blocking(move || {
            let result = home.save(&manifest);
            (home, result)
        }));
    }

    fn saved(&mut self, saved: Option<(Home, Result<(), RecordingError>)>) {
        self.saving = None;
        let Some((home, result)) = saved else {
            return;
        };
        self.home = Some(home);
        if let Err(error) = result {
            warn!("the manifest is not up to date: {error}");
            self.changed = true;
        }
    }

    /// Saves now, after a save that goes on.
    async fn save(&mut self) -> Result<(), RecordingError> {
        if let Some(saving) = self.saving.take() {
            self.saved(saving.await.ok());
        }
        self.start_saving();
        let Some(saving) = self.saving.take() else {
            return Ok(());
        };
        match saving.await {
            Ok((home, result)) => {
                self.home = Some(home);
                result
            }
            Err(panic) => Err(RecordingError::Manifest {
                path: self.folder.clone(),
                source: io::Error::other(panic),
            }),
        }
    }

    async fn finish(&mut self, because: Because) -> Result<(), RecordingError> {
        self.manifest.finish(because, OffsetDateTime::now_utc());
        // Before the checksums, which take their time: whoever ends us then finds a finished recording.
        let finished = self.save().await;
        let all = async {
            while let Some(done) = self.checksums.join_next().await {
                self.checked(done.ok().flatten());
            }
        };
        let in_time = tokio::time::timeout(CHECKSUMS, all).await;
        self.cancel.cancel();
        if in_time.is_err() {
            warn!(
                "the files are too large to be read through now: the manifest has no checksum of some"
            );
        }
        let result = if self.urgent {
            self.save().await
        } else {
            finished
        };
        if let (Ok(()), Some(home)) = (&result, self.home.take()) {
            home.lock.remove();
        }
        result
    }
}
