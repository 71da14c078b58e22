//! One recording: its folders and its writers; [`keeper`] keeps the manifest while they write.

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
use tracing::warn;

use super::beside::Beside;
use super::container::Format;
use super::gate::Gate;
use super::limits::{Limits, Watch};
use super::manifest::{Because, Manifest, SaveError};
use super::places::{Places, make_private};
use super::report::{News, Report, Stem, compact_utc};
use super::speakers::Ear;
use super::writer::Writer;
use crate::media::clock;
use crate::media::speaker::Level;
use crate::signalling::ids::{JobId, ParticipantId, RoomName};
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
    /// The folder in which there is one for what that does not take.
    pub second: Option<PathBuf>,
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

/// Why a recording is not as it should be.
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
    /// Its manifest is in the second folder.
    #[error(
        "cannot write the manifest in {path}: {source}; until that is put right it is in {second}"
    )]
    Elsewhere {
        /// The recording's folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
        /// The second folder.
        second: PathBuf,
    },
    /// Its manifest cannot be written.
    #[error(
        "cannot write the manifest in {path}: {source}; free space there, or mount its disk again"
    )]
    Manifest {
        /// The recording's folder.
        path: PathBuf,
        /// Why.
        source: SaveError,
    },
    /// The disk took nothing of what came.
    #[error("nothing could be recorded: {0}")]
    Nothing(String),
}

/// A recording that goes on. Dropped without [`Recording::finish`], it leaves a manifest of state `recording`.
#[derive(Debug)]
pub struct Recording {
    settings: Settings,
    places: Arc<Places>,
    stems: HashSet<String>,
    reports: UnboundedSender<Report>,
    commands: UnboundedSender<Command>,
    gate: Arc<Gate>,
    watch: Watch,
    ears: Arc<AtomicBool>,
    entered: bool,
}

#[derive(Debug)]
pub(super) enum Command {
    Paused,
    Resumed,
    Arrived {
        stem: Stem,
        participant: Participant,
        name: Option<String>,
    },
    Heard(ParticipantId, Level, Duration),
    Finish(Because, oneshot::Sender<Result<(), RecordingError>>),
    Discard(oneshot::Sender<Result<(), RecordingError>>),
}

impl Recording {
    /// Makes `<out>/<room>-<UTC>/` (0700) with a first manifest. What the writers tell comes out of the receiver.
    ///
    /// Where a recorder of the same job, or of the same room and description a moment ago, was killed, its recording goes
    /// on instead: everybody has a further visit in the same folder. Where neither folder can be made or written, that is
    /// told, and tried again while the recording goes on.
    pub async fn create(settings: Settings) -> (Self, UnboundedReceiver<News>) {
        let watch = Watch::new(settings.limits, Instant::now());
        let wanted = settings.clone();
        let begun = tokio::task::spawn_blocking(move || begin(wanted)).await;
        let begun = begun.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let (reports, from_writers) = mpsc::unbounded_channel();
        let (commands, received) = mpsc::unbounded_channel();
        let (to_role, told) = mpsc::unbounded_channel();
        if let Some(trouble) = begun.trouble {
            warn!("{trouble}");
            let _ = to_role.send(News::Trouble(trouble));
        }
        let stems = recovery::stems(&begun.manifest);
        let places = Arc::new(begun.places);
        let home = Home::new(places.clone(), begun.lock);
        let keeper = Keeper::begin(begun.manifest, home, to_role).await;
        tokio::spawn(keeper.run(received, from_writers));
        let recording = Self {
            settings,
            places,
            stems,
            reports,
            commands,
            gate: Arc::default(),
            watch,
            ears: Arc::default(),
            entered: false,
        };
        (recording, told)
    }

    /// The recording's own folder.
    pub fn folder(&self) -> &Path {
        self.places.first()
    }

    /// The recorder is in its room. Without this, [`Recording::finish`] leaves no folder: there was nothing to record.
    pub fn entered(&mut self) {
        self.entered = true;
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
            self.places.clone(),
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

    /// Takes in what was told, for the limits.
    pub fn note(&mut self, news: &News) {
        match news {
            News::Visit(report) => self.watch.on_report(report, Instant::now()),
            News::Trouble(_) | News::Speech(_) => {}
        }
    }

    /// What the writers ask for each frame.
    pub fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }

    /// To be set by whoever hears somebody.
    pub fn ears(&self) -> Arc<AtomicBool> {
        self.ears.clone()
    }

    /// Hears who speaks. A filter has no voice of its own.
    pub fn ear(&self, participant: &Participant) -> Option<Ear> {
        let (gate, keeper) = (self.gate.clone(), self.commands.clone());
        let is_heard = participant.enhances.is_none();
        is_heard.then(|| Ear::new(participant.id.clone(), gate, keeper))
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
    /// Where the manifest cannot be written, or nothing could be recorded.
    pub async fn finish(self, because: Because) -> Result<(), RecordingError> {
        let (answer, done) = oneshot::channel();
        let _ = self.commands.send(match self.entered {
            true => Command::Finish(because, answer),
            false => Command::Discard(answer),
        });
        // The keeper answers before it ends.
        done.await.unwrap_or(Ok(()))
    }
}

/// A recording that begins.
struct Begun {
    places: Places,
    manifest: Manifest,
    /// Of its own folder, where that could be made.
    lock: Option<Lock>,
    trouble: Option<RecordingError>,
}

/// Takes up the recording of a killed recorder, or makes a new folder. Whole paths: they stand in the manifest.
fn begin(mut settings: Settings) -> Begun {
    settings.out = whole(settings.out);
    settings.second = settings.second.map(whole);
    let roots = Roots {
        out: settings.out.clone(),
        second: settings.second.clone(),
    };
    let fits = |manifest: &Manifest, silent: Duration| {
        let same = manifest.room == settings.room && manifest.description == settings.description;
        same && (manifest.job == settings.job || silent <= GOES_ON)
    };
    if let Some((folder, mut manifest, lock)) = recovery::resume(&roots, fits) {
        manifest.job = settings.job.clone();
        let second = manifest.second_beside(&folder).map(Path::to_owned);
        return Begun {
            places: Places::new(folder, second),
            manifest,
            lock: Some(lock),
            trouble: None,
        };
    }
    let now = OffsetDateTime::now_utc();
    let (places, trouble) = make_folder(&settings, now);
    let mut manifest = Manifest::new(settings.room.clone(), settings.job.clone(), now);
    manifest.description.clone_from(&settings.description);
    manifest.second_folder = places.second().map(Path::to_owned);
    Begun {
        // Without one it is taken with the first save.
        lock: Lock::take(places.first()).ok().flatten(),
        places,
        manifest,
        trouble,
    }
}

fn whole(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Makes a folder that nobody has, or says why there is none yet.
fn make_folder(settings: &Settings, now: OffsetDateTime) -> (Places, Option<RecordingError>) {
    let second = |name: &str| settings.second.as_ref().map(|second| second.join(name));
    let base = format!("{}-{}", settings.room, compact_utc(now));
    match new_folder(settings, &base) {
        Ok(name) => (Places::new(settings.out.join(&name), second(&name)), None),
        Err(trouble) => {
            // Nobody else can have it when it is made later.
            let name = format!("{base}-{}", settings.job);
            let places = Places::unmade(settings.out.join(&name), second(&name), Instant::now());
            (places, Some(trouble))
        }
    }
}

/// The name of a folder that was made now, and is not in the second folder either.
fn new_folder(settings: &Settings, base: &str) -> Result<String, RecordingError> {
    let failed = |path: &Path, source| RecordingError::Folder {
        path: path.to_owned(),
        source,
    };
    let out = &settings.out;
    make_private(out).map_err(|source| failed(out, source))?;
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    let mut name = base.to_owned();
    for next in 2..FOLDERS {
        let path = out.join(&name);
        let second = settings.second.as_ref().map(|second| second.join(&name));
        if !second.is_some_and(|second| second.exists()) {
            match builder.create(&path) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(failed(&path, source)),
            }
        }
        name = format!("{base}-{next}");
    }
    Err(failed(&out.join(base), io::ErrorKind::AlreadyExists.into()))
}
