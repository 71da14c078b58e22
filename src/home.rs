//! The server's state folder: claimed by one server at a time, with the sockets at which workers find it.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tracing::warn;

use crate::signalling::keys::SessionKeys;
use crate::supervisor::records::Records;

/// Held by the server that works in the folder.
const LOCK: &str = "lock";
/// Only the server's user looks into this folder.
const RUN: &str = "run";
/// Where workers join rooms.
const SIGNALLING: &str = "attache.sock";
/// Where workers come whose server is gone.
const CONTROL: &str = "control.sock";
/// One file for each job.
const JOBS: &str = "jobs";

/// What one run of the server leaves to the next.
#[derive(Debug)]
pub struct Home {
    /// The workers' entrance to rooms.
    pub signalling: (PathBuf, UnixListener),
    /// The entrance of workers whose server is gone; absent where jobs end with their server.
    pub control: Option<(PathBuf, UnixListener)>,
    /// What is known of jobs.
    pub records: Records,
    /// What participants come back with.
    pub keys: SessionKeys,
    /// Kept while the server lives.
    pub hold: Hold,
}

/// What makes the folder this server's.
#[derive(Debug)]
pub enum Hold {
    /// The state folder is claimed.
    Claimed(Claim),
    /// A folder that ends with the server.
    Passing(TempDir),
}

/// The state folder, as long as the server has it. Its sockets go when it ends in order.
#[derive(Debug)]
pub struct Claim {
    _lock: Flock<File>,
    sockets: [PathBuf; 2],
}

impl Drop for Claim {
    fn drop(&mut self) {
        for socket in &self.sockets {
            // Nobody listens there any more; the next server would remove it, too.
            let _ = std::fs::remove_file(socket);
        }
    }
}

impl Home {
    /// Claims the state folder. Where that cannot be had, jobs end with the server and its participants join anew after a
    /// restart: that is told, and the server works all the same.
    ///
    /// # Errors
    /// There is no place for the workers' socket at all.
    pub fn open(state: &Path) -> Result<Self> {
        Self::claim(state).or_else(|error| {
            warn!("{error:#}; neither jobs nor calls outlive this server; [server] state names another folder");
            Self::passing()
        })
    }

    fn claim(state: &Path) -> Result<Self> {
        let shown = state.display();
        std::fs::create_dir_all(state).with_context(|| format!("cannot make {shown}"))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(state.join(LOCK))
            .with_context(|| format!("cannot write to {shown}"))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| anyhow!("{shown}: another attache works with it ({error})"))?;
        let run = state.join(RUN);
        private_folder(&run).with_context(|| format!("cannot make {}", run.display()))?;
        let (signalling, control) = (listen(&run, SIGNALLING)?, listen(&run, CONTROL)?);
        let claim = Claim {
            _lock: lock,
            sockets: [signalling.0.clone(), control.0.clone()],
        };
        Ok(Self {
            signalling,
            control: Some(control),
            records: Records::at(state.join(JOBS)),
            keys: SessionKeys::of_folder(state)?,
            hold: Hold::Claimed(claim),
        })
    }

    fn passing() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("attache-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .context("cannot make a folder for the workers' socket; TMPDIR names where")?;
        Ok(Self {
            signalling: listen(folder.path(), SIGNALLING)?,
            control: None,
            records: Records::default(),
            keys: SessionKeys::passing(),
            hold: Hold::Passing(folder),
        })
    }
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// A socket that only this user's processes can open; one that a former server left gives way.
fn listen(folder: &Path, name: &str) -> Result<(PathBuf, UnixListener)> {
    let path = folder.join(name);
    let cannot = || format!("cannot listen on {}", path.display());
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(cannot);
        }
        Ok(()) | Err(_) => {}
    }
    let socket = UnixListener::bind(&path).with_context(cannot)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(cannot)?;
    Ok((path, socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_server_at_a_time_has_the_folder_and_the_next_one_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Home::open(folder.path()).unwrap();
        assert!(first.control.is_some());
        let second = Home::open(folder.path()).unwrap();
        assert!(second.control.is_none());
        assert_ne!(first.signalling.0, second.signalling.0);
        let place = first.signalling.0.clone();
        drop(first);
        let third = Home::open(folder.path()).unwrap();
        assert!(third.control.is_some());
        assert_eq!(third.signalling.0, place);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&place), 0o600);
        assert_eq!(mode(place.parent().unwrap()), 0o700);
    }
}
