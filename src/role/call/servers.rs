//! ICE servers of a stay: TURN credentials are short-lived, so fresh ones are asked for in time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::signalling::protocol::{Ice, IceServer};

/// Fresh ones are asked for at most this often.
const PAUSE: Duration = Duration::from_secs(30);

/// The servers, as the signalling server told them last.
#[derive(Debug)]
pub struct Servers {
    ice: Ice,
    /// When half of the credentials' time is over; absent: they do not end.
    ask_at: Option<Instant>,
    unanswered: u32,
}

impl Servers {
    /// What the welcome brought at this time, by both clocks.
    pub fn new(ice: Ice, now: Instant, clock: SystemTime) -> Self {
        let ask_at = expiry(&ice).map(|end| {
            let left = end.duration_since(clock).unwrap_or_default();
            now + (left / 2).max(PAUSE)
        });
        Self {
            ice,
            ask_at,
            unanswered: 0,
        }
    }

    /// The newest.
    pub fn ice(&self) -> &Ice {
        &self.ice
    }

    /// Whether it is time to ask for fresh ones; says so once, and again when no answer comes.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.ask_at.is_some_and(|at| at <= now);
        if is_due {
            self.ask_at = Some(now + PAUSE);
        }
        is_due
    }

    /// They were asked for, for whatever reason.
    pub fn asked(&mut self) {
        self.unanswered += 1;
    }

    /// An answer came. Whether it is the one to what was asked last: then the server has handled all that was sent before.
    pub fn answered(&mut self, ice: Ice, now: Instant, clock: SystemTime) -> bool {
        let unanswered = self.unanswered.saturating_sub(1);
        *self = Self::new(ice, now, clock);
        self.unanswered = unanswered;
        unanswered == 0
    }
}

/// When the first of the credentials ends: the user name begins with it, in seconds since 1970
/// (draft-uberti-behave-turn-rest-00 2.2). Fixed ones have no such number.
fn expiry(ice: &Ice) -> Option<SystemTime> {
    let seconds = |server: &IceServer| {
        let (seconds, _) = server.username.as_deref()?.split_once(':')?;
        seconds.parse().ok()
    };
    let first = ice.servers.iter().filter_map(seconds).min()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signalling::protocol::IceTransportPolicy;

    fn ice(usernames: &[&str]) -> Ice {
        let server = |username: &&str| IceServer {
            urls: vec![],
            username: Some((*username).to_owned()),
            credential: Some("x".to_owned()),
        };
        Ice {
            servers: usernames.iter().map(server).collect(),
            transport_policy: IceTransportPolicy::All,
        }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn fresh_credentials_are_asked_for_when_half_of_their_time_is_over() {
        let (now, clock) = (Instant::now(), UNIX_EPOCH + s(1_000_000));
        let mut servers = Servers::new(ice(&["1009000:a", "1001000:a", "fixed"]), now, clock);
        assert!(!servers.is_due(now + s(499)));
        assert!(servers.is_due(now + s(500)));
        assert!(!servers.is_due(now + s(529)), "an answer is waited for");
        assert!(servers.is_due(now + s(530)));
        servers.answered(ice(&["1002000:a"]), now + s(531), clock + s(531));
        assert!(!servers.is_due(now + s(1200)));
        assert!(servers.is_due(now + s(1300)));

        let mut fixed = Servers::new(ice(&["anna", "anna:b"]), now, clock);
        assert!(!fixed.is_due(now + s(1_000_000)), "they do not end");
        let mut wrong = Servers::new(ice(&["900000:a"]), now, clock);
        assert!(!wrong.is_due(now), "clocks differ: now and then is enough");
        assert!(wrong.is_due(now + s(30)));
    }

    #[test]
    fn only_the_answer_to_the_last_question_is_a_receipt() {
        let (now, clock) = (Instant::now(), UNIX_EPOCH);
        let mut servers = Servers::new(ice(&[]), now, clock);
        servers.asked();
        servers.asked();
        assert!(!servers.answered(ice(&[]), now, clock));
        assert!(servers.answered(ice(&[]), now, clock));
    }
}
