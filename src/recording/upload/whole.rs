//! One recording: all its files go to a target, its manifest last; then the files here may go.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tracing::warn;

use super::patience::Try;
use super::progress::{Progress, UploadState};
use super::target::Target;
use super::transfer::{self, Content};
use super::{Mode, UploadError, UploadSettings};
use crate::recording::manifest::{FILE_NAME, Manifest, MediaEntry, State, Upload};

/// Files on their way at one time, over all recordings.
pub const FILES_AT_ONCE: usize = 2;

/// The upload of one recording.
#[derive(Debug)]
pub struct Whole {
    folder: PathBuf,
    name: String,
    /// How far it is.
    pub progress: Progress,
    /// What is known to be at a target, by target and name, so that it is not read back again.
    there: HashMap<(String, String), Content>,
}

impl Whole {
    /// Of the recording in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        Self {
            name: name.to_string_lossy().into_owned(),
            folder,
            progress: Progress::default(),
            there: HashMap::new(),
        }
    }

    /// The recording is known by this folder.
    pub fn moved_to(&mut self, folder: &Path) {
        if self.folder != folder {
            folder.clone_into(&mut self.folder);
        }
    }

    /// Uploads a recording that is finished or recovered, writes that into its manifest and, where files are not kept,
    /// removes them here.
    ///
    /// # Errors
    /// The last one of the last target; the recording's files are untouched then.
    pub async fn upload(
        &mut self,
        settings: &UploadSettings,
        slots: &Semaphore,
    ) -> Result<(), UploadError> {
        let result = self.use_targets(settings, slots).await;
        match &result {
            Ok(()) => self.progress.done(),
            Err(error) => self.progress.failed(UploadState::Failed, error),
        }
        result
    }

    /// Uploads those files of a recording that goes on which are finished. Once each; what fails waits for the end.
    ///
    /// # Errors
    /// Why a file is not there.
    pub async fn upload_finished_files(
        &mut self,
        settings: &UploadSettings,
        slots: &Semaphore,
    ) -> Result<(), UploadError> {
        let manifest = self.manifest().await?;
        let files = finished_files(&self.folder, &manifest);
        let targets = match settings.mode {
            Mode::Fallback => settings.targets.iter().take(1),
            Mode::Both => settings.targets.iter().take(settings.targets.len()),
        };
        for settings in targets {
            let target = Target::open(settings)?;
            self.progress.begin(&target.name);
            self.files(&target, &files, slots).await?;
        }
        Ok(())
    }

    async fn use_targets(
        &mut self,
        settings: &UploadSettings,
        slots: &Semaphore,
    ) -> Result<(), UploadError> {
        let mut uploads = Vec::new();
        let mut failed = None;
        for target in &settings.targets {
            match self.use_target(target, settings, &uploads, slots).await {
                Ok(upload) => uploads.push(upload),
                Err(error) => {
                    warn!(%error, recording = self.name, "not uploaded");
                    failed = Some(error);
                    continue;
                }
            }
            match settings.mode {
                Mode::Fallback => break,
                Mode::Both => {}
            }
        }
        let complete = match settings.mode {
            Mode::Fallback => !uploads.is_empty(),
            Mode::Both => failed.is_none(),
        };
        if let (false, Some(error)) = (complete, failed) {
            return Err(error);
        }
        self.close(uploads, settings.keep_local).await
    }

    /// Tries one target as long as the patience lasts.
    async fn use_target(
        &mut self,
        target: &super::TargetSettings,
        settings: &UploadSettings,
        earlier: &[Upload],
        slots: &Semaphore,
    ) -> Result<Upload, UploadError> {
        let since = Instant::now();
        self.progress.begin(&target.url.to_string());
        let mut number = 0;
        loop {
            number += 1;
            let error = match self.try_target(target, settings, earlier, slots).await {
                Ok(upload) => return Ok(upload),
                Err(error) => error,
            };
            let failed = Try {
                number,
                refused: error.is_refusal(),
                elapsed: since.elapsed(),
            };
            let Some(wait) = settings.patience.wait(failed, rand::random()) else {
                return Err(error);
            };
            warn!(%error, recording = self.name, wait_ms = wait.as_millis(), "an upload is tried again");
            self.progress.failed(UploadState::Retrying, &error);
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_target(
        &mut self,
        target: &super::TargetSettings,
        settings: &UploadSettings,
        earlier: &[Upload],
        slots: &Semaphore,
    ) -> Result<Upload, UploadError> {
        let target = Target::open(target)?;
        let manifest = self.manifest().await?;
        let (folder, listed) = (self.folder.clone(), manifest.clone());
        let files = blocking(&self.folder, move || all_files(&folder, &listed)).await?;
        self.files(&target, &files, slots).await?;

        let upload = Upload {
            target: format!("{}/{}", target.name, self.name),
            finished: OffsetDateTime::now_utc(),
            removed_here: !settings.keep_local,
        };
        let uploads = earlier.iter().cloned().chain([upload.clone()]).collect();
        let text = serde_json::to_vec_pretty(&uploaded(manifest, uploads))
            .map_err(|error| self.local(error.into()))?;
        let object = target.object(&self.name, FILE_NAME);
        transfer::ensure_text(&target, &object, text).await?;
        Ok(upload)
    }

    async fn files(
        &mut self,
        target: &Target,
        files: &Files,
        slots: &Semaphore,
    ) -> Result<(), UploadError> {
        let mut total = 0;
        for file in files.values() {
            let metadata = tokio::fs::metadata(&file.path).await;
            total += metadata.map_or(0, |metadata| metadata.len());
        }
        self.progress.again(total);
        // One whose disk is gone does not keep the others from being brought to safety.
        let mut missing = None;
        for (name, file) in files {
            let key = (target.name.clone(), name.clone());
            if let Some(known) = self.there.get(&key) {
                self.progress.moved(known.bytes);
                continue;
            }
            // Closed by nobody.
            let _slot = slots.acquire().await;
            let object = target.object(&self.name, name);
            let moved = |bytes| self.progress.moved(bytes);
            let content = match transfer::ensure(target, &object, &file.path, &moved).await {
                Err(error @ UploadError::Local { .. }) => {
                    missing.get_or_insert(error);
                    continue;
                }
                other => other?,
            };
            file.check(&content)?;
            self.there.insert(key, content);
        }
        missing.map_or(Ok(()), Err)
    }

    /// Writes down where everything is; from then on the files here are not needed.
    async fn close(&self, uploads: Vec<Upload>, keep_local: bool) -> Result<(), UploadError> {
        let folder = self.folder.clone();
        blocking(&self.folder, move || {
            let manifest = uploaded(Manifest::load(&folder)?, uploads);
            manifest.save(&folder)?;
            if keep_local {
                return Ok(());
            }
            remove_files(&folder, &manifest)
        })
        .await
    }

    async fn manifest(&self) -> Result<Manifest, UploadError> {
        let folder = self.folder.clone();
        blocking(&self.folder, move || Manifest::load(&folder)).await
    }

    fn local(&self, source: io::Error) -> UploadError {
        local(&self.folder.join(FILE_NAME), source)
    }
}

fn local(file: &Path, source: io::Error) -> UploadError {
    UploadError::Local {
        file: file.to_owned(),
        source,
    }
}

async fn blocking<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, UploadError> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| local(folder, error))
}

fn uploaded(mut manifest: Manifest, uploads: Vec<Upload>) -> Manifest {
    manifest.state = State::Uploaded;
    manifest.uploads = uploads;
    manifest
}

/// A file that is to be uploaded.
#[derive(Debug, Clone)]
struct LocalFile {
    path: PathBuf,
    /// What the manifest says of it.
    sha256: Option<String>,
}

impl LocalFile {
    fn check(&self, content: &Content) -> Result<(), UploadError> {
        match &self.sha256 {
            Some(expected) if *expected != content.sha256 => Err(UploadError::Damaged {
                file: self.path.clone(),
                expected: expected.clone(),
                found: content.sha256.clone(),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// By the name they get at the target, below the recording.
type Files = BTreeMap<String, LocalFile>;

/// The finished media files.
fn finished_files(folder: &Path, manifest: &Manifest) -> Files {
    listed_files(folder, manifest, |entry| entry.finished)
}

/// Those of the manifest's media files. One in the second folder has a whole path in it.
fn listed_files(folder: &Path, manifest: &Manifest, which: fn(&MediaEntry) -> bool) -> Files {
    let entries = manifest.visits.iter().flat_map(|visit| &visit.files);
    entries
        .filter(|entry| which(entry))
        .filter_map(|entry| {
            let name = entry.file.file_name()?.to_string_lossy().into_owned();
            let file = LocalFile {
                path: folder.join(&entry.file),
                sha256: entry.sha256.clone(),
            };
            Some((name, file))
        })
        .collect()
}

/// Those of the manifest, and whatever else is in the folder; but for the manifest itself and hidden files.
fn all_files(folder: &Path, manifest: &Manifest) -> io::Result<Files> {
    let mut files = listed_files(folder, manifest, |_| true);
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((inner, prefix)) = folders.pop() {
        for entry in fs::read_dir(&inner)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || (prefix.is_empty() && name == FILE_NAME) {
                continue;
            }
            let kind = entry.file_type()?;
            let name = format!("{prefix}{name}");
            if kind.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            } else if kind.is_file() {
                files.entry(name).or_insert_with(|| LocalFile {
                    path: entry.path(),
                    sha256: None,
                });
            }
        }
    }
    Ok(files)
}

/// Removes every file of a recording but its manifest. Those that are gone already are no trouble.
///
/// # Errors
/// Of the file system.
pub fn remove_files(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    for file in all_files(folder, manifest)?.into_values() {
        match fs::remove_file(&file.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Removes a recording, its manifest last: what is half removed is still known as a recording.
///
/// # Errors
/// Of the file system.
pub fn remove_recording(folder: &Path) -> io::Result<()> {
    let manifest = Manifest::load(folder)?;
    remove_files(folder, &manifest)?;
    if let Some(second) = manifest.second_beside(folder) {
        let _ = fs::remove_file(second.join(FILE_NAME));
        // What else is in it is not ours to remove.
        let _ = fs::remove_dir(second);
    }
    fs::remove_dir_all(folder)
}
