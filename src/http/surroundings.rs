//! What a call needs besides this program: STUN and TURN servers that answer, a disk with room. Looked at again and again
//! in the background: whoever asks whether the server is ready does not wait for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use super::health::Health;
use crate::doctor::network;
use crate::doctor::{Check, Outcome};
use crate::ice::IceSettings;
use crate::recording::places;

/// Between two looks,
const LOOK: Duration = Duration::from_secs(60);
/// and while something is missing: it may just be starting, as this server is.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// A recording of one participant at 720p takes about this much in two hours.
const ROOM: u64 = 1024 * 1024 * 1024;

/// Looks for ever.
pub async fn watch(ice: IceSettings, folders: Vec<PathBuf>, health: Arc<Health>) {
    loop {
        let folders = folders.clone();
        let disk = tokio::task::spawn_blocking(move || disk(&folders));
        let servers = network::look(&ice).await;
        let missing = [disk.await.ok().flatten(), servers_reason(&servers)];
        let wait = match missing.iter().any(Option::is_some) {
            true => LOOK_AGAIN,
            false => LOOK,
        };
        let [disk, servers] = missing;
        tell("disk", &health.disk, disk);
        tell("servers", &health.servers, servers);
        sleep(wait).await;
    }
}

fn tell(what: &str, place: &tokio::sync::watch::Sender<Option<String>>, reason: Option<String>) {
    place.send_if_modified(|known| {
        let is_new = *known != reason;
        if let (true, Some(reason)) = (is_new, &reason) {
            warn!(what, reason, "not ready");
        }
        *known = reason;
        is_new
    });
}

/// Why those who are configured cannot help anybody. One that works is enough; TURN counts by itself, since without a relay
/// not everybody gets through.
fn servers_reason(checks: &[Check]) -> Option<String> {
    let is_turn = |check: &&Check| check.subject.starts_with("turn");
    let turn: Vec<_> = checks.iter().filter(is_turn).collect();
    let others = checks.iter().filter(|check| !is_turn(check)).collect();
    [("TURN", turn), ("STUN", others)]
        .into_iter()
        .find_map(|(kind, checks)| none_works(kind, &checks))
}

fn none_works(kind: &str, checks: &[&Check]) -> Option<String> {
    let works = checks.iter().any(|check| check.outcome == Outcome::Good);
    let bad = checks.iter().filter(|check| check.outcome == Outcome::Bad);
    let told: Vec<_> = bad
        .map(|check| format!("{}: {}", check.subject, check.finding))
        .collect();
    (!works && !told.is_empty())
        .then(|| format!("no {kind} server can be used: {}", told.join("; ")))
}

/// Why nothing can be recorded; one folder with room is enough.
fn disk(folders: &[PathBuf]) -> Option<String> {
    let most = folders.iter().filter_map(|folder| free(folder)).max()?;
    (most < ROOM).then(|| {
        let megabytes = |bytes: u64| bytes / (1024 * 1024);
        format!(
            "where recordings go, {} MB are left; {} MB are wanted",
            megabytes(most),
            megabytes(ROOM)
        )
    })
}

/// What is left where the folder is, or will be made.
fn free(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.exists());
    places::free(there.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcome: Outcome, url: &str) -> Check {
        Check::new(outcome, url, "no answer within 5 s")
    }

    #[test]
    fn one_turn_server_that_works_is_enough_and_stun_does_not_stand_in_for_it() {
        let (good, bad) = (Outcome::Good, Outcome::Bad);
        let works = [
            check(bad, "turn:a"),
            check(good, "turn:b"),
            check(good, "stun:c"),
        ];
        assert_eq!(servers_reason(&works), None);
        let stun_only = [check(bad, "turn:a"), check(good, "stun:c")];
        assert_eq!(
            servers_reason(&stun_only).unwrap(),
            "no TURN server can be used: turn:a: no answer within 5 s"
        );
        assert!(
            servers_reason(&[check(bad, "stun:c")])
                .unwrap()
                .contains("no STUN server")
        );
        let none = [Check::new(Outcome::Note, "servers", "none is configured")];
        assert_eq!(servers_reason(&none), None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_room_of_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        let found = free(&deep).unwrap();
        let above = free(folder.path()).unwrap();
        assert!(
            found.abs_diff(above) < 1024 * 1024 * 1024,
            "{found} {above}"
        );
    }
}
