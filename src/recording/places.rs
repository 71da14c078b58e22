//! Where a recording is written: into its own folder, or into the second one, which takes what the first does not.
//! [`Choice`] decides, purely; [`Places`] is it with the disk.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

/// A place that failed is tried again so much later.
const AGAIN: Duration = Duration::from_secs(3);
/// A place that was full is tried again when it has so much room, in bytes: with less, parts would be shorter than the
/// pauses between them.
const ROOM: u64 = 1024 * 1024;

/// One of a recording's two folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The recording's own.
    First,
    /// The one that takes what the first does not.
    Second,
}

/// Where the next part goes. What works is stayed with: a place that failed is tried again only when the other one
/// fails, too, or there is none.
#[derive(Debug, Clone)]
pub struct Choice {
    has_second: bool,
    at: Place,
    first: Option<Failure>,
    second: Option<Failure>,
}

/// A place did not take what was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Instant,
    /// It had no room left.
    pub full: bool,
}

impl Choice {
    /// Nothing was tried yet.
    pub fn new(has_second: bool) -> Self {
        Self {
            has_second,
            at: Place::First,
            first: None,
            second: None,
        }
    }

    /// What may be tried at this moment, the better one first.
    pub fn candidates(&self, now: Instant) -> Vec<Place> {
        let order = match (self.has_second, self.at) {
            (false, _) => [Some(Place::First), None],
            (true, Place::First) => [Some(Place::First), Some(Place::Second)],
            (true, Place::Second) => [Some(Place::Second), Some(Place::First)],
        };
        let rested = |place: &Place| {
            let failure = self.failure(*place);
            failure.is_none_or(|failure| now.saturating_duration_since(failure.at) >= AGAIN)
        };
        order.into_iter().flatten().filter(rested).collect()
    }

    /// How this place failed last, if it was not written since.
    pub fn failure(&self, place: Place) -> Option<Failure> {
        match place {
            Place::First => self.first,
            Place::Second => self.second,
        }
    }

    /// This place does not take what is to be written.
    pub fn failed(&mut self, place: Place, failure: Failure) {
        match place {
            Place::First => self.first = Some(failure),
            Place::Second => self.second = Some(failure),
        }
        if self.has_second && self.at == place {
            self.at = match place {
                Place::First => Place::Second,
                Place::Second => Place::First,
            };
        }
    }

    /// Something was written there.
    pub fn works(&mut self, place: Place) {
        match place {
            Place::First => self.first = None,
            Place::Second => self.second = None,
        }
    }
}

/// The folders of one recording; all its writers and whoever keeps its manifest share them.
#[derive(Debug)]
pub struct Places {
    first: PathBuf,
    second: Option<PathBuf>,
    /// The first folder was there once.
    made: AtomicBool,
    choice: Mutex<Choice>,
}

impl Places {
    /// A folder that is there.
    pub fn alone(folder: PathBuf) -> Self {
        Self::new(folder, None)
    }

    /// A folder that is there, and one that is made when it is needed.
    pub fn new(first: PathBuf, second: Option<PathBuf>) -> Self {
        Self {
            choice: Mutex::new(Choice::new(second.is_some())),
            first,
            second,
            made: AtomicBool::new(true),
        }
    }

    /// A first folder that could not be made at this moment; it is tried again.
    pub fn unmade(first: PathBuf, second: Option<PathBuf>, now: Instant) -> Self {
        let this = Self {
            made: AtomicBool::new(false),
            ..Self::new(first, second)
        };
        this.failed(Place::First, false, now);
        this
    }

    /// The recording's own folder.
    pub fn first(&self) -> &Path {
        &self.first
    }

    /// The folder that takes what the first does not.
    pub fn second(&self) -> Option<&Path> {
        self.second.as_deref()
    }

    /// Where a part may begin at this moment, if anywhere.
    pub fn next(&self, now: Instant) -> Option<Place> {
        let candidates = self.choice().candidates(now);
        candidates.into_iter().find(|place| {
            let was_full = self.choice().failure(*place).is_some_and(|last| last.full);
            let may = !was_full || free(self.folder(*place)).is_none_or(|free| free >= ROOM);
            if !may {
                self.failed(*place, true, now);
            }
            may
        })
    }

    /// Where the recording goes on: what is made beside its files goes there, too.
    pub fn at(&self) -> Place {
        self.choice().at
    }

    /// This place does not take what is to be written; `full`: because it has no room.
    pub fn failed(&self, place: Place, full: bool, now: Instant) {
        self.choice().failed(place, Failure { at: now, full });
    }

    /// Something was written there.
    pub fn works(&self, place: Place) {
        self.choice().works(place);
    }

    /// The folder, made (0700) where that may be: a first folder that was there and is gone lay on a disk that is gone,
    /// and what is made in its stead would fill whatever lies beneath.
    ///
    /// # Errors
    /// Of the file system.
    pub fn make(&self, place: Place) -> io::Result<&Path> {
        let path = self.folder(place);
        match place {
            Place::First if self.made.load(Ordering::Relaxed) => {}
            Place::First => {
                make_private(path)?;
                self.made.store(true, Ordering::Relaxed);
            }
            Place::Second => make_private(path)?,
        }
        Ok(path)
    }

    /// A file of this place as the manifest names it: by its path in the recording's folder, by its whole path elsewhere.
    pub fn entry(&self, place: Place, file: &Path) -> PathBuf {
        match place {
            Place::First => file.strip_prefix(&self.first).unwrap_or(file).to_owned(),
            Place::Second => file.to_owned(),
        }
    }

    /// Where it is.
    pub fn folder(&self, place: Place) -> &Path {
        match (place, &self.second) {
            (Place::Second, Some(second)) => second,
            (Place::First, _) | (Place::Second, None) => &self.first,
        }
    }

    fn choice(&self) -> MutexGuard<'_, Choice> {
        // Nothing in it can be half done.
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a folder that only its owner enters, and those above it.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Bytes that the file system has for us; `None` where it does not say.
pub fn free(path: &Path) -> Option<u64> {
    let found = statvfs(path).ok()?;
    #[expect(clippy::useless_conversion, reason = "the types differ by platform")]
    Some(u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end so")]
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn fails(choice: &mut Choice, place: Place, at: Instant) {
        choice.failed(place, Failure { at, full: true });
    }

    #[test]
    fn without_a_second_folder_the_first_one_is_tried_again_every_three_seconds() {
        let now = Instant::now();
        let mut choice = Choice::new(false);
        assert_eq!(choice.candidates(now), [Place::First]);
        fails(&mut choice, Place::First, now);
        assert!(choice.candidates(now + S(2)).is_empty());
        assert_eq!(choice.candidates(now + S(3)), [Place::First]);
        fails(&mut choice, Place::First, now + S(3));
        assert!(choice.candidates(now + S(5)).is_empty());
        choice.works(Place::First);
        assert_eq!(choice.candidates(now + S(5)), [Place::First]);
    }

    #[test]
    fn the_second_folder_is_written_as_long_as_it_works() {
        let now = Instant::now();
        let mut choice = Choice::new(true);
        fails(&mut choice, Place::First, now);
        assert_eq!(choice.candidates(now), [Place::Second]);
        let later = now + S(60);
        assert_eq!(choice.candidates(later), [Place::Second, Place::First]);
        // Another writer's file was still open in the first folder.
        fails(&mut choice, Place::First, later);
        assert_eq!(choice.candidates(later), [Place::Second]);
        fails(&mut choice, Place::Second, later + S(1));
        assert!(choice.candidates(later + S(2)).is_empty());
        assert_eq!(choice.candidates(later + S(3)), [Place::First]);
        let both = choice.candidates(later + S(4));
        assert_eq!(both, [Place::First, Place::Second]);
    }

    #[test]
    fn a_first_folder_that_is_gone_is_not_made_again_but_one_that_never_was_is() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("recordings/lobby");
        let now = Instant::now();
        let places = Places::unmade(folder.clone(), None, now);
        assert_eq!(places.next(now), None);
        assert_eq!(places.next(now + S(3)), Some(Place::First));
        assert_eq!(places.make(Place::First).unwrap(), folder);
        assert!(folder.is_dir());
        fs::remove_dir(&folder).unwrap();
        places.make(Place::First).unwrap();
        assert!(!folder.exists());
    }
}
