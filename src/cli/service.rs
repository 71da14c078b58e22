//! What `attache serve` tells systemd (sd_notify(3)): that it is ready, that it is alive, that it stops. Elsewhere, nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::supervisor::Supervisor;

/// The server takes calls. Dropping the handle ends the signs of life.
pub fn ready(supervisor: Supervisor) -> Option<AbortOnDropHandle<()>> {
    tell(NotifyState::Ready);
    let limit = sd_notify::watchdog_enabled()?;
    // Half of it, as sd_watchdog_enabled(3) advises.
    let signs = signs_of_life(supervisor, limit / 2);
    Some(AbortOnDropHandle::new(tokio::spawn(signs)))
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
