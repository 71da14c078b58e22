//! Small file systems of their own: full, read-only or gone when a test wants it. They need root, as the links of `lossy` do.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

const BALLAST: &str = "ballast";

/// A file system in memory at a folder. Dropped, it is gone.
pub struct SmallDisk {
    folder: PathBuf,
    /// Keeps its files within reach when it is not mounted any more.
    root: File,
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let out = Command::new(program).args(arguments).arg(folder).output();
    let out = out.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&out.stderr);
    let what = arguments.join(" ");
    assert!(
        out.status.success(),
        "{program} {what}: {said}; this test needs to be root"
    );
}

impl SmallDisk {
    /// Of so many kilobytes.
    pub fn mount(folder: &Path, kilobytes: u32) -> Self {
        fs::create_dir_all(folder).unwrap();
        let options = format!("size={kilobytes}k,mode=700");
        run("mount", &["-t", "tmpfs", "-o", &options, "none"], folder);
        Self {
            root: File::open(folder).unwrap(),
            folder: folder.to_owned(),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = File::create(self.folder.join(BALLAST)).unwrap();
        while ballast.write(&[0; 4096]).is_ok() {}
    }

    /// Gives it back.
    pub fn relieve(&self) {
        fs::remove_file(self.folder.join(BALLAST)).unwrap();
    }

    pub fn make_read_only(&self) {
        run("mount", &["-o", "remount,ro"], &self.folder);
    }

    pub fn make_writable(&self) {
        run("mount", &["-o", "remount,rw"], &self.folder);
    }

    /// It is at its folder no more, as a network disk that went away; who has its files open goes on writing there.
    pub fn detach(&self) {
        run("umount", &["--lazy"], &self.folder);
    }

    /// The way to a file of it that is there also when it is detached.
    pub fn inside(&self, path: impl AsRef<Path>) -> PathBuf {
        let (pid, root) = (std::process::id(), self.root.as_raw_fd());
        PathBuf::from(format!("/proc/{pid}/fd/{root}")).join(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.folder)
            .output();
    }
}
