//! What `attache serve` tells systemd (sd_notify(3)): that it is ready, that it is alive, how its jobs stand, that it stops.
//! Elsewhere, nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::job::{JobState, PeerState};
use crate::supervisor::{JobView, Supervisor};

/// How often it is looked whether there is something else to say of the jobs.
const LOOK: Duration = Duration::from_secs(1);

/// What tells systemd again and again; dropped, it ends.
pub struct Telling {
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// The server takes calls.
pub fn ready(supervisor: Supervisor) -> Telling {
    tell(NotifyState::Ready);
    let mut tasks = Vec::new();
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        tasks.push(tokio::spawn(tell_jobs(supervisor.clone())));
    }
    if let Some(limit) = sd_notify::watchdog_enabled() {
        // Half of it, as sd_watchdog_enabled(3) advises.
        tasks.push(tokio::spawn(signs_of_life(supervisor, limit / 2)));
    }
    Telling {
        _tasks: tasks.into_iter().map(AbortOnDropHandle::new).collect(),
    }
}

/// Says how the jobs stand whenever that has changed; `systemctl status` shows it.
async fn tell_jobs(supervisor: Supervisor) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    loop {
        ticks.tick().await;
        let now = in_words(&supervisor.list());
        if now != told {
            tell(NotifyState::Status(&now));
            told = now;
        }
    }
}

/// As `2 jobs (1 joined, 1 restarting), 3 peers connected`.
fn in_words(jobs: &[JobView]) -> String {
    let states = [
        (JobState::Starting, "starting"),
        (JobState::Joined, "joined"),
        (JobState::Reconnecting, "reconnecting"),
        (JobState::Restarting, "restarting"),
        (JobState::Stopping, "stopping"),
        (JobState::Failed, "failed"),
    ];
    let count = |state| jobs.iter().filter(|job| job.state == state).count();
    let counts = states.map(|(state, name)| (count(state), name));
    let all: usize = counts.iter().map(|(count, _)| count).sum();
    if all == 0 {
        return "no jobs".to_owned();
    }
    let told: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let peers = jobs.iter().flat_map(|job| &job.peers);
    let connected = peers
        .filter(|peer| peer.state == PeerState::Connected)
        .count();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    format!(
        "{all} job{} ({}), {connected} peer{} connected",
        plural(all),
        told.join(", "),
        plural(connected),
    )
}

/// The server begins anew with another configuration, in the same process.
pub fn reloading() {
    tell(NotifyState::Reloading);
}

/// It could not, and goes on.
pub fn still_ready() {
    tell(NotifyState::Ready);
}

/// The server stops, in order.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says that the server lives as long as tasks run and the list of jobs can be had: neither is so in a deadlock.
async fn signs_of_life(supervisor: Supervisor, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let _ = supervisor.load();
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    let told = state.to_string();
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "systemd did not hear {told}");
    }
}
