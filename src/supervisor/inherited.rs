//! Children that this process has from its former self, which began it anew by `exec`: only it can take note of their end.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// They end as zombies until somebody waits for them, and nothing in this program has started them.
pub struct Inherited {
    children: Vec<Pid>,
    a_child_ended: Signal,
}

impl Inherited {
    /// Finds them. Comes before anything starts a child of its own: those are waited for where they are started.
    ///
    /// # Errors
    /// The end of children cannot be listened to, or `/proc` cannot be read.
    pub fn find() -> std::io::Result<Self> {
        // Listened to first: one that ends between the two is not overlooked.
        let a_child_ended = signal(SignalKind::child())?;
        let me = Pid::this();
        let processes = std::fs::read_dir("/proc")?.flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let children = pids
            .map(Pid::from_raw)
            .filter(|pid| parent(*pid) == Some(me));
        Ok(Self {
            children: children.collect(),
            a_child_ended,
        })
    }

    /// Takes note of the end of each, and ends with the last.
    pub async fn reap(mut self) {
        loop {
            self.children.retain(|pid| runs(*pid));
            if self.children.is_empty() || self.a_child_ended.recv().await.is_none() {
                return;
            }
        }
    }
}

/// Only the one child is waited for: others are the business of whoever started them.
fn runs(child: Pid) -> bool {
    waitpid(child, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive)
}

/// Whose child a process is (proc(5), `ppid`).
fn parent(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may have spaces and brackets in it; its state and its parent come behind it.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn children_are_found_and_none_of_them_stays_a_zombie() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let mut inherited = Inherited::find().unwrap();
        assert!(
            inherited.children.contains(&pid),
            "{:?}",
            inherited.children
        );
        // Other tests of this process have children, too.
        inherited.children.retain(|found| *found == pid);
        drop(child.stdin.take());
        let reaped = tokio::time::timeout(std::time::Duration::from_secs(20), inherited.reap());
        reaped.await.unwrap();
        assert_eq!(parent(pid), None, "it is still there");
        assert!(child.wait().is_err(), "nothing is left to be waited for");
    }
}
