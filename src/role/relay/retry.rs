//! Sessions with another server, one after the other: how long to wait between them, and when to give up.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Events, Over};
use crate::job::Event;
use crate::whip::client::RemoteError;

/// The first wait after a session was lost; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// How a session with another server ended.
#[derive(Debug)]
pub enum Ended {
    /// It had begun: the next one is tried soon.
    Lost(String),
    /// It did not begin. The next one may, but not before this time is over.
    Failed(String, Duration),
    /// No further session is to be tried.
    Finally(Over),
}

impl Ended {
    /// An end before the beginning.
    pub fn before(error: &anyhow::Error) -> Self {
        let why = format!("{error:#}");
        match error.downcast_ref::<RemoteError>() {
            Some(remote) if remote.is_final() => Self::Finally(Over::Refused(why)),
            Some(remote) => Self::Failed(why, remote.pause()),
            None => Self::Failed(why, Duration::ZERO),
        }
    }
}

/// Waits between sessions, and tells why.
pub struct Retry {
    wait: Duration,
    events: Events,
    stop: CancellationToken,
}

impl Retry {
    /// Nothing was lost yet.
    pub fn new(events: Events, stop: CancellationToken) -> Self {
        Self {
            wait: FIRST_WAIT,
            events,
            stop,
        }
    }

    /// Waits until the next session is due.
    ///
    /// # Errors
    /// There is to be none, for this reason.
    pub async fn after(&mut self, ended: Ended) -> Result<(), Over> {
        let (why, least) = match ended {
            Ended::Lost(why) => {
                self.wait = FIRST_WAIT;
                (why, Duration::ZERO)
            }
            Ended::Failed(why, least) => (why, least),
            Ended::Finally(over) => return Err(over),
        };
        if self.stop.is_cancelled() {
            return Err(Over::Asked);
        }
        let wait = self.wait.max(least);
        let message = format!("{why}; trying again in {:.1} s", wait.as_secs_f32());
        // Nobody listens any more once the job has ended.
        let _ = self.events.send(Event::Error {
            message,
            fatal: false,
        });
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        tokio::select! {
            () = sleep(wait) => Ok(()),
            () = self.stop.cancelled() => Err(Over::Asked),
        }
    }
}
