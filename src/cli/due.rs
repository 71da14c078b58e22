//! Which recordings of a folder `attache record --upload` still has to upload: an empty file for each job, so that a
//! recorder or an upload that was killed is taken up by the next one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use crate::recording::catalog::StoredRecording;
use crate::recording::manifest::State;
use crate::signalling::ids::JobId;

/// The beginning of the files' names; the job's id follows.
const PREFIX: &str = ".upload-";

/// What is due in one folder of recordings.
pub struct Due {
    folder: PathBuf,
}

impl Due {
    /// In the folder that recordings are made in.
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// What this job records is to be uploaded. Where that cannot be noted, it is uploaded all the same, unless somebody
    /// ends it before. The job goes on as long as what is returned is kept.
    pub fn note(&self, job: &JobId) -> Option<File> {
        let file = self.file(job);
        let noted = File::create(&file).and_then(|noted| {
            noted.try_lock()?;
            Ok(noted)
        });
        noted
            .inspect_err(|error| {
                warn!(%error, file = %file.display(), "an upload that is interrupted would not be taken up");
            })
            .ok()
    }

    /// Whether this recording waits for its upload: of `own` in any case, of others where they noted it.
    pub fn has(&self, recording: &StoredRecording, own: &JobId) -> bool {
        let is_asked_for = recording.job == *own || self.file(&recording.job).exists();
        is_asked_for
            && match recording.state {
                State::Finished | State::Recovered => true,
                // Somebody records, or there is nothing to upload, or no more.
                State::Recording | State::Uploaded | State::Failed => false,
            }
    }

    /// Nothing is due of this job any more.
    pub fn done(&self, job: &JobId) {
        match fs::remove_file(self.file(job)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(%error, %job, "it would be looked for again");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Forgets what jobs noted that have ended and whose recordings wait for nothing: another recorder went on with them,
    /// or they never came into their room.
    pub fn forget_others(&self, recordings: &[Arc<StoredRecording>]) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let job = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let Some(job) = job else {
                continue;
            };
            let waits = |recording: &Arc<StoredRecording>| recording.job.as_str() == job;
            let has_ended = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if !recordings.iter().any(waits) && has_ended() {
                // Another one that ends now may have been quicker.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn file(&self, job: &JobId) -> PathBuf {
        self.folder.join(format!("{PREFIX}{job}"))
    }
}
