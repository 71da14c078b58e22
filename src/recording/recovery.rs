//! Finds recordings whose recorder was killed, and finishes them: files, checksums, manifest.
//!
//! A recording is an orphan when its manifest says `recording` and nobody holds its [`Lock`]. Everything here may take
//! as long as the disk does and belongs on a thread that may wait.

mod found;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::checksum::sha256;
use super::lock::Lock;
use super::manifest::{FILE_NAME, Glance, Manifest, MediaEntry, State};
use super::repair::{self, RepairError, Repaired};

/// A recording whose recorder was killed goes on if there was a sign of life of it so long ago at most.
pub const GOES_ON: Duration = Duration::from_secs(10 * 60);

/// The folders that recordings are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Where recordings are made.
    pub out: PathBuf,
    /// Where there is what that did not take.
    pub second: Option<PathBuf>,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only say what would be done.
    Look,
    /// Do it.
    Recover,
}

/// A recording that was finished, or could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Its folder.
    pub folder: PathBuf,
    /// Its files.
    pub files: usize,
    /// Of those, the ones that were unfinished.
    pub repaired: usize,
    /// Of those, the ones that the manifest did not know.
    pub unknown: usize,
    /// Bytes that belonged to no whole piece.
    pub torn: u64,
    /// What could not be repaired, in words.
    pub problems: Vec<String>,
}

impl std::fmt::Display for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            files,
            repaired,
            unknown,
            torn,
            ..
        } = self;
        let folder = self.folder.display();
        write!(
            f,
            "{folder}: {files} files, {repaired} of them finished now ({unknown} not known before), {torn} torn bytes cut off"
        )?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "; {problem}"))
    }
}

/// Why a recording could not be recovered. It is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A folder cannot be read.
    #[error("recordings in {path} cannot be looked for: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A manifest is missing, torn or of another version.
    #[error(
        "{folder} cannot be recovered: its {FILE_NAME} {found}; its media files play as they are, and nothing was changed"
    )]
    Manifest {
        /// The recording's folder.
        folder: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// The file system refuses.
    #[error("{folder} cannot be recovered: {source}; free or mount its disk, and try again")]
    Io {
        /// The recording's folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Recovers every orphan in these folders, one after the other, and logs a line for each. What fails harms nothing else.
pub fn recover_all(roots: &Roots, mode: Mode) -> Vec<Result<Recovered, RecoveryError>> {
    recover_if(roots, mode, |_| true)
}

fn recover_if(
    roots: &Roots,
    mode: Mode,
    wanted: impl Fn(&Path) -> bool,
) -> Vec<Result<Recovered, RecoveryError>> {
    let (folders, unreadable) = recordings(roots);
    let mut results: Vec<_> = unreadable.into_iter().map(Err).collect();
    let orphans = folders
        .iter()
        .filter(|folder| wanted(folder))
        .filter_map(|folder| recover(folder, mode).transpose());
    results.extend(orphans);
    for result in &results {
        match (result, mode) {
            (Ok(recovered), Mode::Recover) => info!("recovered {recovered}"),
            (Ok(_), Mode::Look) => {}
            (Err(error), _) => warn!("{error}"),
        }
    }
    results
}

/// The same, but for recordings that went on until a moment ago: a recorder that begins now may take them up.
pub fn recover_old(roots: &Roots) -> Vec<Result<Recovered, RecoveryError>> {
    recover_if(roots, Mode::Recover, |folder| {
        found::silent(folder).is_none_or(|silent| silent > GOES_ON)
    })
}

/// The recordings of these roots, each by the folder to know it by; and the roots that cannot be read.
fn recordings(roots: &Roots) -> (Vec<PathBuf>, Vec<RecoveryError>) {
    let mut unreadable = Vec::new();
    let mut look = |root: &Path| {
        recordings_in(root).unwrap_or_else(|source| {
            let path = root.to_owned();
            unreadable.push(RecoveryError::Folder { path, source });
            Vec::new()
        })
    };
    let mut folders = look(&roots.out);
    if let Some(second) = &roots.second {
        // What is known by a folder of the first root may have files and a newer manifest here.
        let known = |folder: &PathBuf| {
            let twin = folder.file_name().map(|name| roots.out.join(name));
            twin.is_some_and(|twin| twin.join(FILE_NAME).is_file())
        };
        folders.extend(look(second).into_iter().filter(|folder| !known(folder)));
    }
    (folders, unreadable)
}

/// The folder itself where it is a recording's, else those in it.
fn recordings_in(root: &Path) -> io::Result<Vec<PathBuf>> {
    if root.join(FILE_NAME).is_file() {
        return Ok(vec![root.to_owned()]);
    }
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

/// Recovers one recording; `None` where there is nothing to do: it goes on, it is closed, or it is no recording.
///
/// # Errors
/// Where the manifest or the file system does not allow it.
pub fn recover(folder: &Path, mode: Mode) -> Result<Option<Recovered>, RecoveryError> {
    let Some(mut orphan) = Orphan::open(folder, mode)? else {
        return Ok(None);
    };
    let recovered = orphan.finish_files(mode);
    if mode == Mode::Recover {
        orphan.manifest.recover(OffsetDateTime::now_utc());
        orphan.close()?;
    }
    Ok(Some(recovered))
}

/// A recording of the same kind that was going on until a moment ago, made ready to go on: its files are finished, and
/// its lock is ours.
///
/// `fits` says whether it is the wanted one. Failures are for [`recover_all`] to tell: another recording begins then.
pub(super) fn resume(
    roots: &Roots,
    fits: impl Fn(&Manifest, Duration) -> bool,
) -> Option<(PathBuf, Manifest, Lock)> {
    let (folders, _) = recordings(roots);
    for folder in folders.into_iter().rev() {
        let silent = found::silent(&folder).unwrap_or(Duration::MAX);
        let wanted = Manifest::load(&folder)
            .is_ok_and(|manifest| manifest.state == State::Recording && fits(&manifest, silent));
        if !wanted {
            continue;
        }
        let Ok(Some(mut orphan)) = Orphan::open(&folder, Mode::Recover) else {
            continue;
        };
        let recovered = orphan.finish_files(Mode::Recover);
        info!("going on with {recovered}");
        orphan.manifest.recover(OffsetDateTime::now_utc());
        orphan.manifest.state = State::Recording;
        orphan.manifest.finished = None;
        return Some((orphan.folder, orphan.manifest, orphan.lock?));
    }
    None
}

/// What the files of each visit in the manifest begin with.
pub(super) fn stems(manifest: &Manifest) -> HashSet<String> {
    let files = manifest.visits.iter().flat_map(|visit| &visit.files);
    files
        .filter_map(|entry| found::stem_of(&entry.file))
        .collect()
}

/// A recording whose recorder was killed, held so that nobody else recovers it meanwhile.
#[derive(Debug)]
struct Orphan {
    folder: PathBuf,
    manifest: Manifest,
    /// Absent while one only looks.
    lock: Option<Lock>,
}

impl Orphan {
    /// `None` if the folder holds none.
    fn open(folder: &Path, mode: Mode) -> Result<Option<Self>, RecoveryError> {
        let failed = |source| RecoveryError::Io {
            folder: folder.to_owned(),
            source,
        };
        if !is_open(folder)? || Lock::is_held(folder).map_err(failed)? {
            return Ok(None);
        }
        let load = || {
            Manifest::load(folder).map_err(|error| RecoveryError::Manifest {
                folder: folder.to_owned(),
                found: format!("is not readable: {error}"),
            })
        };
        // A recorder whose first disk is gone for it, and back for us, holds the second folder.
        if let Some(second) = load()?.second_beside(folder)
            && Lock::is_held(second).map_err(failed)?
        {
            return Ok(None);
        }
        let lock = match mode {
            Mode::Look => None,
            Mode::Recover => match Lock::take(folder).map_err(failed)? {
                Some(lock) => Some(lock),
                None => return Ok(None),
            },
        };
        // Whoever held the lock may just have closed it.
        if !is_open(folder)? {
            return Ok(None);
        }
        Ok(Some(Self {
            folder: folder.to_owned(),
            manifest: load()?,
            lock,
        }))
    }

    /// Finishes every file that is not, and takes in those that the manifest does not know.
    fn finish_files(&mut self, mode: Mode) -> Recovered {
        let mut result = Recovered {
            folder: self.folder.clone(),
            files: 0,
            repaired: 0,
            unknown: 0,
            torn: 0,
            problems: Vec::new(),
        };
        result.unknown = found::take_in(&mut self.manifest, &self.folder, mode);
        for visit in &mut self.manifest.visits {
            let mut problems = Vec::new();
            visit.files.retain_mut(|entry| {
                let path = self.folder.join(&entry.file);
                match finish_file(&path, entry, mode) {
                    Ok(Some(repaired)) => {
                        result.repaired += 1;
                        result.torn += repaired.torn;
                        true
                    }
                    Ok(None) => true,
                    Err(error) => {
                        problems.push(error.to_string());
                        !matches!(error, RepairError::NoMedia { .. })
                    }
                }
            });
            result.files += visit.files.len();
            if !problems.is_empty() && mode == Mode::Recover {
                visit
                    .error
                    .get_or_insert_default()
                    .push_str(&problems.join("; "));
            }
            result.problems.extend(problems);
        }
        if mode == Mode::Recover
            && let Err(error) = found::close_playlists(&mut self.manifest, &self.folder)
        {
            result
                .problems
                .push(format!("a playlist of HLS stays open: {error}"));
        }
        result
    }

    /// Saves the manifest and gives the lock back.
    fn close(self) -> Result<(), RecoveryError> {
        let Self {
            folder,
            manifest,
            lock,
        } = self;
        manifest.save(&folder).map_err(|error| RecoveryError::Io {
            folder,
            source: error.into(),
        })?;
        if let Some(lock) = lock {
            lock.remove();
        }
        Ok(())
    }
}

/// Whether the folder's manifest says that the recording goes on.
fn is_open(folder: &Path) -> Result<bool, RecoveryError> {
    let wrong = |found: String| RecoveryError::Manifest {
        folder: folder.to_owned(),
        found,
    };
    match Glance::at(folder) {
        Ok(glance) => Ok(glance.state == State::Recording),
        // Other people's folders are not ours to complain about.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match found::looks_like_a_recording(folder) {
                true => Err(wrong(
                    "is missing; is it in the other folder of recordings?".to_owned(),
                )),
                false => Ok(false),
            }
        }
        Err(error) if is_torn(&error) => {
            Err(wrong(format!("is torn or was changed by hand: {error}")))
        }
        Err(source) => Err(RecoveryError::Io {
            folder: folder.to_owned(),
            source,
        }),
    }
}

fn is_torn(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// Finishes a file that is not; `None` if it was.
fn finish_file(
    path: &Path,
    entry: &mut MediaEntry,
    mode: Mode,
) -> Result<Option<Repaired>, RepairError> {
    let repaired = match (entry.finished, mode) {
        (true, _) => None,
        (false, Mode::Look) => Some(repair::examine(path)?),
        (false, Mode::Recover) => Some(repair::repair(path)?),
    };
    if mode == Mode::Look {
        return Ok(repaired);
    }
    if let Some(repaired) = &repaired {
        entry.repaired(repaired);
    }
    if entry.sha256.is_none() {
        entry.sha256 =
            sha256(path, &CancellationToken::new()).map_err(|source| RepairError::Io {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(repaired)
}

#[cfg(test)]
mod tests;
