//! The recordings that are on disk, as their manifests tell: looked at every second or two, for the API, uploads and
//! webhooks. The manifests are the only truth; nothing here outlives the process.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::manifest::{Because, FILE_NAME, Manifest, State};
use super::recovery::Roots;
use super::upload::UploadView;
use crate::signalling::ids::{JobId, ParticipantId, RoomName};

const PERIOD: Duration = Duration::from_secs(1);

/// A recording on disk.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct StoredRecording {
    /// Its folder in the folder of recordings.
    pub name: String,
    /// That folder: the second one where only that is there.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Where it was made.
    #[schema(value_type = String)]
    pub room: RoomName,
    /// The recorder's job.
    #[schema(value_type = String)]
    pub job: JobId,
    /// Where it stands.
    pub state: State,
    /// Why the recorder ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Because>,
    /// Of the state `failed`: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the recorder began.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub started: OffsetDateTime,
    /// When the files of a recorder that was killed were finished.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub recovered: Option<OffsetDateTime>,
    /// When it was done.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished: Option<OffsetDateTime>,
    /// Of all its media files.
    pub bytes: u64,
    /// Its media files, in order of the visits.
    pub parts: Vec<StoredPart>,
    /// Where its files are, too.
    pub targets: Vec<String>,
    /// Whether its media files are here no more.
    pub removed_here: bool,
    /// How far its upload is; absent where nothing is uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadView>,
}

/// A media file of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct StoredPart {
    /// Its name in the recording's folder; a whole path where it is in the second folder.
    pub file: String,
    /// Whose media.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// Nothing more will be written.
    pub finished: bool,
    /// Its size.
    pub bytes: u64,
    /// Media time in it, in milliseconds.
    pub duration_ms: u64,
}

impl StoredRecording {
    /// What the manifest says of it.
    pub fn new(name: String, folder: PathBuf, manifest: Manifest) -> Self {
        let part = |participant: &ParticipantId, file: super::manifest::MediaEntry| StoredPart {
            file: file.file.display().to_string(),
            participant: participant.clone(),
            finished: file.finished,
            bytes: file.bytes,
            duration_ms: file.duration_ms,
        };
        let parts: Vec<_> = manifest
            .visits
            .into_iter()
            .flat_map(|visit| {
                let participant = visit.participant;
                let files = visit.files.into_iter();
                files.map(move |file| part(&participant, file))
            })
            .collect();
        Self {
            name,
            folder,
            room: manifest.room,
            job: manifest.job,
            state: manifest.state,
            ended: manifest.ended,
            error: manifest.error,
            started: manifest.started,
            recovered: manifest.recovered,
            finished: manifest.finished,
            bytes: parts.iter().map(|part| part.bytes).sum(),
            parts,
            removed_here: manifest.uploads.iter().any(|upload| upload.removed_here),
            targets: manifest
                .uploads
                .into_iter()
                .map(|upload| upload.target)
                .collect(),
            upload: None,
        }
    }

    /// Media files that nothing is written to any more.
    pub fn finished_parts(&self) -> usize {
        self.parts.iter().filter(|part| part.finished).count()
    }
}

/// All recordings, by name.
pub type Recordings = Arc<Vec<Arc<StoredRecording>>>;

/// Looks at the folders of recordings; keeps what did not change.
#[derive(Debug)]
pub struct Catalog {
    roots: Roots,
    known: HashMap<String, Known>,
}

/// What was found at a manifest's last change; `None`: it cannot be read.
#[derive(Debug, Clone)]
struct Known {
    changed: Changed,
    recording: Option<Arc<StoredRecording>>,
}

/// When the manifests in a recording's two folders were written; absent where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Changed {
    first: Option<SystemTime>,
    second: Option<SystemTime>,
}

impl Catalog {
    /// Nothing was looked at yet.
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            known: HashMap::new(),
        }
    }

    /// Looks at the folders. One that is not there has no recordings.
    pub fn scan(&mut self) -> Recordings {
        let mut changes: HashMap<String, Changed> = HashMap::new();
        for (name, changed) in manifests(&self.roots.out) {
            changes.entry(name).or_default().first = Some(changed);
        }
        for (name, changed) in self.roots.second.iter().flat_map(|root| manifests(root)) {
            changes.entry(name).or_default().second = Some(changed);
        }
        let mut found = HashMap::new();
        for (name, changed) in changes {
            let known = match self.known.remove(&name) {
                Some(known) if known.changed == changed => known,
                Some(_) | None => Known {
                    recording: self.read(&name, &changed),
                    changed,
                },
            };
            found.insert(name, known);
        }
        self.known = found;
        let mut recordings: Vec<_> = self
            .known
            .values()
            .filter_map(|known| known.recording.clone())
            .collect();
        recordings.sort_by(|one, other| one.name.cmp(&other.name));
        Arc::new(recordings)
    }

    fn read(&self, name: &str, changed: &Changed) -> Option<Arc<StoredRecording>> {
        let folder = match (&changed.first, &self.roots.second) {
            (None, Some(second)) => second.join(name),
            (Some(_), _) | (None, None) => self.roots.out.join(name),
        };
        match Manifest::load(&folder) {
            Ok(manifest) => {
                let recording = StoredRecording::new(name.to_owned(), folder, manifest);
                Some(Arc::new(recording))
            }
            Err(error) => {
                warn!(recording = name, %error, "its manifest cannot be read; it is not listed");
                None
            }
        }
    }

    /// Looks again and again; whoever has a receiver is told of changes. Ends with the last receiver.
    pub async fn watch(mut self, recordings: watch::Sender<Recordings>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !recordings.is_closed() {
            ticks.tick().await;
            let scanned = tokio::task::spawn_blocking(move || {
                let found = self.scan();
                (self, found)
            });
            let Ok((again, found)) = scanned.await else {
                return;
            };
            self = again;
            recordings.send_if_modified(|known| {
                let changed = *known != found;
                *known = found;
                changed
            });
        }
    }
}

/// The recordings whose manifest is in this root, and when it was written.
fn manifests(root: &Path) -> Vec<(String, SystemTime)> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let one = |entry: fs::DirEntry| {
        let changed = fs::metadata(entry.path().join(FILE_NAME))
            .ok()?
            .modified()
            .ok()?;
        Some((entry.file_name().into_string().ok()?, changed))
    };
    entries.filter_map(one).collect()
}
