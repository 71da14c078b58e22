//! Keeps a recording's manifest while its writers write: takes in what they tell, saves it, adds checksums.
//!
//! Nothing here waits for the disk but the end: what writers tell is passed on at once, however long a save takes.

use std::fs;
use std::mem::Discriminant;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use time::OffsetDateTime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Command, RecordingError};
use crate::media::clock;
use crate::media::speaker::Speech;
use crate::recording::checksum::sha256;
use crate::recording::lock::Lock;
use crate::recording::manifest::{Because, FILE_NAME, Manifest, Saved, Visit};
use crate::recording::places::{Place, Places};
use crate::recording::report::{Event, News, Report};
use crate::recording::speakers::{Speakers, Spoke};

/// Growing files are brought up to date in the manifest so often.
const SAVE: Duration = Duration::from_secs(5);
/// The end of a recording waits so long for checksums; a manifest without them is as good.
const CHECKSUMS: Duration = Duration::from_secs(4);

/// Where a manifest is saved: the recording's folders, held.
#[derive(Debug)]
pub struct Home {
    places: Arc<Places>,
    first: Option<Lock>,
    second: Option<Lock>,
}

impl Home {
    /// Of folders of which the first's lock is ours, if it is there.
    pub fn new(places: Arc<Places>, lock: Option<Lock>) -> Self {
        Self {
            places,
            first: lock,
            second: None,
        }
    }

    /// Saves it; says what is wrong with the first folder where it went to the second.
    fn save(&mut self, manifest: &Manifest) -> Result<Option<RecordingError>, RecordingError> {
        let path = self.places.first().to_owned();
        // Why there is no folder says more than that there is none.
        let unmade = self.places.make(Place::First).err();
        match manifest.save(&path) {
            Ok(Saved::Here) => {
                hold(&mut self.first, &path);
                Ok(None)
            }
            Ok(Saved::InSecond(source)) => {
                let source = unmade.unwrap_or(source);
                let second = self.places.folder(Place::Second).to_owned();
                hold(&mut self.second, &second);
                Ok(Some(RecordingError::Elsewhere {
                    path,
                    source,
                    second,
                }))
            }
            Err(source) => {
                let source = source.because_of(unmade);
                Err(RecordingError::Manifest { path, source })
            }
        }
    }

    /// The recording is closed.
    fn leave(self) {
        let locks = self.first.into_iter().chain(self.second);
        locks.for_each(Lock::remove);
    }

    /// Nothing was recorded: the folders go, but for what others put there.
    fn vanish(self) {
        let places = self.places.clone();
        for folder in [Some(places.first()), places.second()]
            .into_iter()
            .flatten()
        {
            let _ = fs::remove_file(folder.join(FILE_NAME));
        }
        self.leave();
        for folder in [Some(places.first()), places.second()]
            .into_iter()
            .flatten()
        {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Takes the folder's lock where it is not held yet.
fn hold(lock: &mut Option<Lock>, folder: &Path) {
    if lock.is_none() {
        match Lock::take(folder) {
            Ok(taken) => *lock = taken,
            Err(error) => warn!("{} is not locked: {error}", folder.display()),
        }
    }
}

/// What came of a save.
type Outcome = Result<Option<RecordingError>, RecordingError>;

/// A save that goes on.
type Saving = JoinHandle<(Home, Outcome)>;

async fn end_of(saving: &mut Option<Saving>) -> Option<(Home, Outcome)> {
    saving.as_mut()?.await.ok()
}

/// Owns the manifest.
pub struct Keeper {
    manifest: Manifest,
    speakers: Speakers,
    /// Who spoke when it was told last.
    speech: Speech,
    folder: PathBuf,
    /// What is wrong with the folders, and was told.
    trouble: Option<Discriminant<RecordingError>>,
    /// Absent while it is being saved.
    home: Option<Home>,
    saving: Option<Saving>,
    to_role: UnboundedSender<News>,
    /// Something is not saved yet; it is urgent.
    changed: bool,
    urgent: bool,
    checksums: JoinSet<Option<(PathBuf, String)>>,
    cancel: CancellationToken,
}

impl Keeper {
    /// Saves the first manifest, where it can be.
    pub async fn begin(manifest: Manifest, home: Home, to_role: UnboundedSender<News>) -> Self {
        let mut this = Self {
            manifest,
            speakers: Speakers::default(),
            speech: Speech::default(),
            folder: home.places.first().to_owned(),
            trouble: None,
            home: Some(home),
            saving: None,
            to_role,
            changed: false,
            urgent: false,
            checksums: JoinSet::new(),
            cancel: CancellationToken::new(),
        };
        let outcome = this.save().await;
        this.note(outcome);
        this
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
                    Some(Command::Discard(answer)) => {
                        let _ = answer.send(self.discard().await);
                        return;
                    }
                    Some(Command::Heard(who, level, at)) => {
                        let spoke = self.speakers.heard(&who, level, at);
                        self.spoke(spoke);
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
                _ = tick.tick() => {
                    let spoke = self.speakers.look(clock::running_time().into());
                    self.spoke(spoke);
                    self.urgent |= self.changed;
                }
            }
        }
    }

    fn spoke(&mut self, told: impl IntoIterator<Item = Spoke>) {
        for spoke in told {
            self.changed = true;
            match spoke {
                Spoke::From(who, at) => self.manifest.speaks(who, wall_clock(at)),
                Spoke::To(who, at) => self.manifest.fell_silent(&who, wall_clock(at)),
            }
        }
        let speech = self.speakers.speech(clock::running_time().into());
        if speech != self.speech {
            self.speech = speech.clone();
            let _ = self.to_role.send(News::Speech(speech));
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
            Command::Heard(..) | Command::Finish(..) | Command::Discard(..) => {}
        }
        self.urgent = true;
    }

    fn take(&mut self, report: Report) {
        self.changed = true;
        self.urgent |= self.manifest.apply(&report, OffsetDateTime::now_utc());
        if let Event::Finished(file) = &report.event {
            self.check(file.file.clone());
        }
        if let Event::Ended(_) = &report.event {
            let spoke = self.speakers.left(&report.stem.participant);
            self.spoke(spoke);
        }
        let _ = self.to_role.send(News::Visit(report));
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
        let Some(mut home) = self.home.take() else {
            return;
        };
        (self.changed, self.urgent) = (false, false);
        let manifest = self.manifest.clone();
        self.saving = Some(tokio::task::spawn_blocking(move || {
            let result = home.save(&manifest);
            (home, result)
        }));
    }

    fn saved(&mut self, saved: Option<(Home, Outcome)>) {
        self.saving = None;
        if let Some((home, outcome)) = saved {
            self.home = Some(home);
            self.note(outcome);
        }
    }

    /// Tells what is wrong, once until something else is or it is right again. The next tick saves again.
    fn note(&mut self, outcome: Outcome) {
        let trouble = match outcome {
            Ok(None) => {
                self.trouble = None;
                return;
            }
            Ok(Some(trouble)) | Err(trouble) => trouble,
        };
        self.changed = true;
        let kind = std::mem::discriminant(&trouble);
        if self.trouble.replace(kind) != Some(kind) {
            warn!("{trouble}");
            let _ = self.to_role.send(News::Trouble(trouble));
        }
    }

    /// Saves now, after a save that goes on.
    async fn save(&mut self) -> Outcome {
        if let Some(saving) = self.saving.take() {
            self.saved(saving.await.ok());
        }
        self.start_saving();
        let Some(saving) = self.saving.take() else {
            return Ok(None);
        };
        let saved = saving.await;
        let (home, outcome) =
            saved.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.home = Some(home);
        outcome
    }

    /// Ends a recording whose recorder never came into its room; one that was taken up is finished as it is.
    async fn discard(&mut self) -> Result<(), RecordingError> {
        let has_files = |visit: &Visit| !visit.files.is_empty();
        if self.manifest.visits.iter().any(has_files) {
            return self.finish(Because::Stopped).await;
        }
        if let Some(saving) = self.saving.take() {
            self.saved(saving.await.ok());
        }
        let Some(home) = self.home.take() else {
            return Ok(());
        };
        // The task cannot be cancelled and does not panic.
        let _ = tokio::task::spawn_blocking(|| home.vanish()).await;
        Ok(())
    }

    async fn finish(&mut self, because: Because) -> Result<(), RecordingError> {
        let spoke = self.speakers.end();
        self.spoke(spoke);
        self.manifest.finish(because, OffsetDateTime::now_utc());
        // Before the checksums, which take their time: whoever ends us then finds a finished recording.
        let mut outcome = self.save().await;
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
        if self.urgent || outcome.is_err() {
            outcome = self.save().await;
        }
        let trouble = outcome?;
        self.note(Ok(trouble));
        if let Some(home) = self.home.take() {
            home.leave();
        }
        match self.manifest.error.take() {
            Some(error) => Err(RecordingError::Nothing(error)),
            None => Ok(()),
        }
    }
}

fn wall_clock(at: Duration) -> OffsetDateTime {
    clock::wall_clock(gst::ClockTime::try_from(at).unwrap_or_default())
}
