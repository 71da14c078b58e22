//! The verdicts on disk: one file for all processes, written atomically under a lock.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::verdict::Verdict;

/// Verdicts kept: old versions and drivers are forgotten in no special order.
const MOST: usize = 500;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    verdicts: BTreeMap<String, Verdict>,
}

/// The verdicts on disk.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// Held by the one process that proves; freed when dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "the lock lives as long as the file")] File);

impl Cache {
    /// In the folder that the operator or the surroundings name.
    pub fn new(configured: Option<&Path>) -> Self {
        let folder = configured
            .map(Path::to_owned)
            .unwrap_or_else(|| default_folder(|name| std::env::var_os(name).map(PathBuf::from)));
        Self { folder }
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.join("encoders.json")
    }

    /// All verdicts. A file that is not there has none, neither has one that cannot be read.
    pub fn read(&self) -> BTreeMap<String, Verdict> {
        let path = self.path();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return BTreeMap::new(),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the encoders' verdicts cannot be read");
                return BTreeMap::new();
            }
        };
        match serde_json::from_slice::<Content>(&text) {
            Ok(content) => content.verdicts,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the encoders' verdicts are broken and are found anew");
                BTreeMap::new()
            }
        }
    }

    /// Waits until no other process proves encoders: two at a time would measure each other. Blocks.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn turn(&self) -> std::io::Result<Turn> {
        std::fs::create_dir_all(&self.folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join("encoders.lock"))?;
        lock.lock()?;
        Ok(Turn(lock))
    }

    /// Adds a verdict, in our turn.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, _turn: &Turn, key: String, verdict: Verdict) -> std::io::Result<()> {
        let mut content = Content {
            verdicts: self.read(),
        };
        while content.verdicts.len() >= MOST {
            content.verdicts.pop_first();
        }
        content.verdicts.insert(key, verdict);
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer_pretty(&mut file, &content)?;
        file.write_all(b"\n")?;
        file.persist(self.path())?;
        Ok(())
    }
}

/// systemd's `CacheDirectory=`, the user's cache, or the system's.
fn default_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    if let Some(folder) = variable("CACHE_DIRECTORY") {
        return folder;
    }
    let user = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let user = user.filter(|folder| folder.is_absolute() && folder != Path::new("/.cache"));
    user.unwrap_or_else(|| PathBuf::from("/var/cache"))
        .join("attache")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(reason: &str) -> Verdict {
        Verdict::Failed {
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn a_verdict_is_found_again_and_a_broken_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(&folder.path().join("deep")));
        assert!(cache.read().is_empty());
        let turn = cache.turn().unwrap();
        cache.add(&turn, "a".to_owned(), verdict("1")).unwrap();
        cache.add(&turn, "b".to_owned(), verdict("2")).unwrap();
        assert_eq!(cache.read().len(), 2);
        assert_eq!(cache.read()["b"], verdict("2"));
        std::fs::write(cache.path(), "{\"verdicts\": 7").unwrap();
        assert!(cache.read().is_empty());
        cache.add(&turn, "c".to_owned(), verdict("3")).unwrap();
        assert_eq!(cache.read()["c"], verdict("3"));
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(folder.path()));
        std::thread::scope(|scope| {
            for at in 0..8 {
                let cache = cache.clone();
                scope.spawn(move || {
                    let turn = cache.turn().unwrap();
                    cache.add(&turn, format!("{at}"), verdict("x")).unwrap();
                });
            }
        });
        assert_eq!(cache.read().len(), 8);
    }

    #[test]
    fn the_folder_follows_the_surroundings() {
        let folder = |pairs: &'static [(&str, &str)]| {
            default_folder(|name| {
                let found = pairs.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| PathBuf::from(value))
            })
        };
        assert_eq!(folder(&[]), Path::new("/var/cache/attache"));
        assert_eq!(
            folder(&[("HOME", "/home/a")]),
            Path::new("/home/a/.cache/attache")
        );
        assert_eq!(folder(&[("HOME", "/")]), Path::new("/var/cache/attache"));
        assert_eq!(
            folder(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]),
            Path::new("/x/attache")
        );
        assert_eq!(
            folder(&[("HOME", "/h"), ("CACHE_DIRECTORY", "/c")]),
            Path::new("/c")
        );
    }
}
