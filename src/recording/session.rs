//! One recording: its folder and its writers; [`keeper`] keeps the manifest while they write.

mod keeper;

use std::collections::HashSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::beside::Beside;
use super::container::Format;
use super::gate::Gate;
use super::limits::{Limits, Watch};
use super::manifest::{Because, Manifest};
use super::report::{Report, Stem, compact_utc};
use super::writer::Writer;
use crate::media::clock;
use crate::signalling::ids::{JobId, RoomName};
use crate::signalling::protocol::Participant;

use self::keeper::{Home, Keeper};
use super::lock::Lock;
use super::recovery::{self, GOES_ON, Roots};
/// Folders of the same room and second that are tried before giving up.
const FOLDERS: u32 = 100;

/// What a recording is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder in which the recording's own folder is made.
    pub out: PathBuf,
    /// The room.
    pub room: RoomName,
    /// The recorder's job.
    pub job: JobId,
    /// The description it works by.
    pub description: Option<String>,
    /// Whether display names go into the manifest.
    pub names: bool,
    /// When it ends by itself.
    pub limits: Limits,
    /// What the files are to be.
    pub format: Format,
    /// What is made beside them.
    pub beside: Beside,
}

/// Why a recording cannot begin or be finished.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Its folder cannot be made.
    #[error("cannot make the recording's folder {path}: {source}; give a folder that is writable")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its manifest cannot be written.
    #[error("cannot write the manifest in {path}: {source}")]
    Manifest {
        /// The recording's folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A recording that goes on. Dropped without [`Recording::finish`], it leaves a manifest of state `recording`.
#[derive(Debug)]
pub struct Recording {
    settings: Settings,
    folder: PathBuf,
    stems: HashSet<String>,
    reports: UnboundedSender<Report>,
    commands: UnboundedSender<Command>,
    gate: Arc<Gate>,
    watch: Watch,
    ears: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Command {
    Paused,
    Resumed,
    Arrived {
        stem: Stem,
        participant: Participant,
        name: Option<String>,
    },
    Finish(Because, oneshot::Sender<Result<(), RecordingError>>),
}

impl Recording {
    /// Makes `<out>/<room>-<UTC>/` (0700) with a first manifest. What the writers tell comes out of the receiver.
    ///
    /// Where a recorder of the same job, or of the same room and description a moment ago, was killed, its recording goes
    /// on instead: everybody has a further visit in the same folder.
    ///
    /// # Errors
    /// Where the folder or the manifest cannot be written.
    pub async fn create(
        settings: Settings,
    ) -> Result<(Self, UnboundedReceiver<Report>), RecordingError> {
        let watch = Watch::new(settings.limits, Instant::now());
        let wanted = settings.clone();
        let begun = tokio::task::spawn_blocking(move || begin(&wanted)).await;
        let begun = begun.map_err(|panic| RecordingError::Folder {
            path: settings.out.clone(),
            source: io::Error::other(panic),
        })??;
        let Begun {
            folder,
            manifest,
            lock,
        } = begun;
        let (reports, from_writers) = mpsc::unbounded_channel();
        let (commands, received) = mpsc::unbounded_channel();
        let (to_role, told) = mpsc::unbounded_channel();
        let stems = recovery::stems(&manifest);
        let home = Home::new(folder.clone(), lock);
        let keeper = Keeper::begin(manifest, home, to_role).await?;
        tokio::spawn(keeper.run(received, from_writers));
        Ok((
            Self {
                settings,
                folder,
                stems,
                reports,
                commands,
                gate: Arc::default(),
                watch,
                ears: Arc::default(),
            },
            told,
        ))
    }

    /// The recording's own folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A writer for a participant that arrives, or comes back. Makes no file before media comes.
    pub fn write(&mut self, participant: &Participant) -> Writer {
        let now = OffsetDateTime::now_utc();
        let mut visit = 1;
        let mut stem = Stem::new(now, participant.id.clone(), visit);
        while !self.stems.insert(stem.to_string()) {
            visit += 1;
            stem = Stem::new(now, participant.id.clone(), visit);
        }
        let name = if self.settings.names {
            participant.name.clone()
        } else {
            None
        };
        let arrived = Command::Arrived {
            stem: stem.clone(),
            participant: participant.clone(),
            name,
        };
        let _ = self.commands.send(arrived);
        Writer::new(
            self.folder.clone(),
            stem,
            self.settings.format.media.of(participant.sends),
            self.settings.format,
            self.reports.clone(),
        )
        .following(self.gate.clone())
        .making(self.settings.beside)
    }

    /// Nothing of what comes from now on is written; the files stay open.
    pub fn pause(&mut self) {
        if !self.gate.is_closed() {
            self.gate.close();
            self.watch.pause(Instant::now());
            let _ = self.commands.send(Command::Paused);
        }
    }

    /// Goes on: sound at once, pictures with the next key frame. The pause is a gap in the files.
    pub fn resume(&mut self) {
        if self.gate.is_closed() {
            self.watch.resume(Instant::now());
            // First: the gap that the next frame ends is one of the pause.
            let _ = self.commands.send(Command::Resumed);
            self.gate.open(clock::running_time().into());
        }
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.gate.is_closed()
    }

    /// Every visit goes on in its next part: with the next key frame, or where only sound comes, at once.
    pub fn split(&self) {
        self.gate.split();
    }

    /// Takes in what a writer told, for the limits.
    pub fn note(&mut self, report: &Report) {
        self.watch.on_report(report, Instant::now());
    }

    /// What the writers ask for each frame.
    pub fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }

    /// To be set by whoever hears somebody.
    pub fn ears(&self) -> Arc<AtomicBool> {
        self.ears.clone()
    }

    /// Looks at the limits; `others` are those in the room. To be called several times in a second.
    pub fn look(&mut self, others: usize) -> Option<Because> {
        let now = Instant::now();
        if self.ears.swap(false, Ordering::Relaxed) {
            self.watch.heard(now);
        }
        if others > 0 {
            self.watch.met(now);
        }
        self.watch.reached(now)
    }

    /// Closes the manifest. To be called when every writer is finished: what they told until now is taken in.
    ///
    /// # Errors
    /// Where the manifest cannot be written.
    pub async fn finish(self, because: Because) -> Result<(), RecordingError> {
        let (answer, done) = oneshot::channel();
        let _ = self.commands.send(Command::Finish(because, answer));
        // The keeper answers before it ends.
        done.await.unwrap_or(Ok(()))
    }
}

/// A recording's folder, held.
struct Begun {
    folder: PathBuf,
    manifest: Manifest,
    lock: Lock,
}

/// Takes up the recording of a killed recorder, or makes a new folder.
fn begin(settings: &Settings) -> Result<Begun, RecordingError> {
    let roots = Roots {
        out: settings.out.clone(),
    };
    let fits = |manifest: &Manifest, silent: Duration| {
        let same = manifest.room == settings.room && manifest.description == settings.description;
        same && (manifest.job == settings.job || silent <= GOES_ON)
    };
    if let Some((folder, mut manifest, lock)) = recovery::resume(&roots, fits) {
        manifest.job = settings.job.clone();
        return Ok(Begun {
            folder,
            manifest,
            lock,
        });
    }
    let now = OffsetDateTime::now_utc();
    let folder = make_folder(settings, now)?;
    let lock = Lock::take(&folder).and_then(|lock| lock.ok_or(io::ErrorKind::WouldBlock.into()));
    let lock = lock.map_err(|source| RecordingError::Folder {
        path: folder.clone(),
        source,
    })?;
    let mut manifest = Manifest::new(settings.room.clone(), settings.job.clone(), now);
    manifest.description.clone_from(&settings.description);
    Ok(Begun {
        folder,
        manifest,
        lock,
    })
}

fn make_folder(settings: &Settings, now: OffsetDateTime) -> Result<PathBuf, RecordingError> {
    let failed = |path: &Path, source| RecordingError::Folder {
        path: path.to_owned(),
        source,
    };
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
        .recursive(true)
        .create(&settings.out)
        .map_err(|source| failed(&settings.out, source))?;
    builder.recursive(false);
    let name = format!("{}-{}", settings.room, compact_utc(now));
    let mut path = settings.out.join(&name);
    for next in 2..FOLDERS {
        match builder.create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                path = settings.out.join(format!("{name}-{next}"))
            }
            Err(source) => return Err(failed(&path, source)),
        }
    }
    Err(failed(&path, io::ErrorKind::AlreadyExists.into()))
}
