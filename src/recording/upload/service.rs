//! What `attache serve` does with its recordings: each that is not uploaded has a task until it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::whole::{self, FILES_AT_ONCE, Whole};
use super::{Progress, UploadSettings, UploadState, UploadView};
use crate::recording::catalog::{Recordings, StoredRecording};
use crate::recording::manifest::{Manifest, State};

/// After all targets failed: what is wrong may have been put right.
const AGAIN: Duration = Duration::from_secs(3600);

/// What was uploaded since the server started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UploadCounts {
    /// Recordings that are at their target.
    pub uploaded: u64,
    /// Times that no target took a recording.
    pub failed: u64,
    /// Bytes of recordings that are at their target.
    pub bytes: u64,
}

/// The handle of all uploads; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Uploads(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    progress: BTreeMap<String, Progress>,
    counts: UploadCounts,
}

impl Uploads {
    /// How far the upload of the recording of this name is; `None`: there is none.
    pub fn view(&self, name: &str) -> Option<UploadView> {
        self.lock().progress.get(name).map(Progress::view)
    }

    /// Whether files of this recording may be on their way.
    pub fn is_busy(&self, name: &str) -> bool {
        let state = self.view(name).map(|view| view.state);
        matches!(state, Some(UploadState::Uploading | UploadState::Retrying))
    }

    /// Why no target took the recording of this name, the last time all were tried.
    pub fn failure(&self, name: &str) -> Option<String> {
        let view = self.view(name)?;
        match view.state {
            UploadState::Failed => view.error,
            UploadState::Waiting
            | UploadState::Uploading
            | UploadState::Retrying
            | UploadState::Uploaded => None,
        }
    }

    /// What was done so far.
    pub fn counts(&self) -> UploadCounts {
        self.lock().counts
    }

    /// Uploads whatever is not uploaded, now and later, until the catalog ends.
    pub async fn run(self, settings: UploadSettings, mut recordings: watch::Receiver<Recordings>) {
        let service = Arc::new(Service {
            settings,
            slots: Semaphore::new(FILES_AT_ONCE),
            uploads: self,
        });
        let mut tasks = JoinSet::new();
        let mut seen = BTreeMap::new();
        loop {
            let now = recordings.borrow_and_update().clone();
            for recording in now.iter() {
                let state = seen.insert(recording.name.clone(), recording.state);
                if state.is_none() {
                    let name = recording.name.clone();
                    let task = Arc::clone(&service).follow(name, recordings.clone());
                    tasks.spawn(task);
                }
            }
            seen.retain(|name, _| find(&now, name).is_some());
            while tasks.try_join_next().is_some() {}
            if recordings.changed().await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Never held across an await; nothing in it can be half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Service {
    settings: UploadSettings,
    slots: Semaphore,
    uploads: Uploads,
}

impl Service {
    /// One recording until it is uploaded or gone.
    async fn follow(self: Arc<Self>, name: String, mut recordings: watch::Receiver<Recordings>) {
        let mut whole: Option<Whole> = None;
        let mut finished_parts = 0;
        loop {
            let recording = find(&recordings.borrow_and_update(), &name);
            let Some(recording) = recording else {
                self.uploads.lock().progress.remove(&name);
                return;
            };
            let whole = whole.get_or_insert_with(|| Whole::new(recording.folder.clone()));
            // A disk that came back has it in its own folder again.
            whole.moved_to(&recording.folder);
            match recording.state {
                State::Recording if recording.finished_parts() > finished_parts => {
                    finished_parts = recording.finished_parts();
                    self.show(whole, &name);
                    self.begin(whole, &name).await;
                }
                State::Recording => {}
                State::Finished | State::Recovered => {
                    self.show(whole, &name);
                    if self.complete(whole, &recording).await {
                        return;
                    }
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                State::Uploaded => return self.tidy(&recording).await,
                State::Failed => return,
            }
            if recordings.changed().await.is_err() {
                return;
            }
        }
    }

    fn show(&self, whole: &Whole, name: &str) {
        let mut shared = self.uploads.lock();
        shared
            .progress
            .insert(name.to_owned(), whole.progress.clone());
    }

    async fn begin(&self, whole: &mut Whole, name: &str) {
        let begun = whole
            .upload_finished_files(&self.settings, &self.slots)
            .await;
        whole.progress.wait();
        if let Err(error) = begun {
            warn!(recording = name, %error, "a finished part is not uploaded yet; it is tried again at the end");
        }
    }

    /// Says whether it is uploaded.
    async fn complete(&self, whole: &mut Whole, recording: &StoredRecording) -> bool {
        let result = whole.upload(&self.settings, &self.slots).await;
        let mut shared = self.uploads.lock();
        let name = &recording.name;
        match result {
            Ok(()) => {
                shared.counts.uploaded += 1;
                shared.counts.bytes += whole.progress.view().bytes_total;
                info!(recording = name, "uploaded");
                true
            }
            Err(error) => {
                shared.counts.failed += 1;
                warn!(recording = name, %error, "no target took it; it is tried again in an hour");
                false
            }
        }
    }

    /// A server that was killed between writing down that the files are not needed and removing them.
    async fn tidy(&self, recording: &StoredRecording) {
        if !recording.removed_here {
            return;
        }
        let folder = recording.folder.clone();
        let removed = tokio::task::spawn_blocking(move || remove_again(&folder)).await;
        if let Ok(Err(error)) = removed {
            warn!(recording = recording.name, %error, "its files are uploaded, but cannot be removed here");
        }
    }
}

fn remove_again(folder: &Path) -> std::io::Result<()> {
    let manifest = Manifest::load(folder)?;
    whole::remove_files(folder, &manifest)
}

fn find(recordings: &Recordings, name: &str) -> Option<Arc<StoredRecording>> {
    let found = recordings.binary_search_by(|recording| recording.name.as_str().cmp(name));
    found.ok().map(|index| Arc::clone(&recordings[index]))
}
