//! Whether a peer still carries media, each way. Pure: counters and times are passed in.
//!
//! Debian 12's libnice does not check consent (RFC 7675), and a browser takes five seconds and more to notice that a
//! path is gone. What counts here is what arrives: packets of any sort. Who is muted sends none, so after a while of
//! silence a probe goes out over the data channel, which the other side's SCTP has to acknowledge.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::job::{PeerState, StallReason};

/// Nothing came for so long: the peer does not serve any more.
const SILENCE: Duration = Duration::from_millis(1500);
/// The same just after the host's addresses or routes have changed.
const SILENCE_AFTER_CHANGE: Duration = Duration::from_millis(750);
/// How long a change of the network makes impatient.
const ALERT: Duration = Duration::from_secs(3);
/// After so much silence it is asked whether anybody is there.
const PROBE_AFTER: Duration = Duration::from_millis(700);
/// SCTP may acknowledge 200 ms late (RFC 9260 6.2); the rest is the way there and back.
const ANSWER: Duration = Duration::from_millis(750);
/// ICE and DTLS take a second on a bad path, and some more through a TURN server over TCP.
const CONNECT: Duration = Duration::from_secs(10);
/// What has been connecting for so long when the host's addresses change knows only the former ones.
const OUTDATED: Duration = Duration::from_millis(500);
/// What has only begun may know them, or not: it gets so long.
const DOUBTFUL: Duration = Duration::from_secs(3);
/// Between two looks no more time than this counts as silence: what is more, this process itself was held up.
const LONGEST_LOOK: Duration = Duration::from_millis(500);
/// Without a data channel, silence means something only after so many packets.
const FLOW: u64 = 50;
/// So many packets are no coincidence when none of them has arrived.
const UNHEARD: u64 = 50;

/// What is seen of a peer when it is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Packets that arrived since it was made, of any sort.
    pub heard: u64,
    /// The data channel is open: silence can be asked for its reason.
    pub can_probe: bool,
    /// The other side says that it sends sound or pictures.
    pub expects: bool,
}

/// What the other side's newest report says of one track of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// Reports of this track so far.
    pub reports: u64,
    /// The highest sequence number that arrived there, with its cycles (RFC 3550 6.4.1).
    pub highest: u32,
    /// Packets of it that went out so far.
    pub sent: u64,
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is being connected.
    Connecting,
    /// Media can flow.
    Well,
    /// The same, as far as known; the other side is to be asked for a sign of life.
    Probe,
    /// It does not serve.
    Stalled(StallReason),
}

/// One peer's signs of life.
#[derive(Debug)]
pub struct Liveness {
    state: PeerState,
    looked: Instant,
    /// How long it has been connecting, as far as it was looked at.
    connecting: Duration,
    /// How long it may.
    patience: Duration,
    heard: u64,
    /// How long nothing came, as far as it was looked at.
    silent: Duration,
    /// How much silence there was when it was asked.
    probed: Option<Duration>,
    /// How long a change of the network makes impatient yet.
    alert: Duration,
    tracks: HashMap<u32, Track>,
}

/// A track of ours at the last report that told of progress.
#[derive(Debug)]
struct Track {
    at: Instant,
    then: Reported,
    reports: u64,
    /// By the last report, much was sent since then, and nothing of it arrived.
    is_unheard: bool,
}

impl Liveness {
    /// Of a peer that is made now.
    pub fn new(now: Instant) -> Self {
        Self {
            state: PeerState::New,
            looked: now,
            connecting: Duration::ZERO,
            patience: CONNECT,
            heard: 0,
            silent: Duration::ZERO,
            probed: None,
            alert: Duration::ZERO,
            tracks: HashMap::new(),
        }
    }

    /// The connection moved on.
    pub fn on_state(&mut self, state: PeerState) {
        self.state = state;
        self.silent = Duration::ZERO;
        self.probed = None;
    }

    /// The host's addresses or routes have changed: perhaps nothing comes any more, and what is still being connected
    /// is given up for another that knows them, soon or at once.
    pub fn on_network_change(&mut self) {
        self.patience = match self.connecting >= OUTDATED {
            true => Duration::ZERO,
            false => DOUBTFUL,
        };
        self.alert = ALERT;
        self.silent = Duration::ZERO;
        self.probed = None;
    }

    /// What is known of the track with this SSRC; the same report may be told again.
    pub fn on_report(&mut self, ssrc: u32, reported: Reported, now: Instant) {
        let fresh = Track {
            at: now,
            then: reported,
            reports: reported.reports,
            is_unheard: false,
        };
        let Some(track) = self.tracks.get_mut(&ssrc) else {
            self.tracks.insert(ssrc, fresh);
            return;
        };
        if track.then.highest != reported.highest {
            *track = fresh;
        } else if track.reports != reported.reports {
            track.reports = reported.reports;
            track.is_unheard =
                now - track.at >= SILENCE && reported.sent - track.then.sent >= UNHEARD;
        }
    }

    /// Looks at it; to be done several times a second.
    pub fn look(&mut self, seen: Seen, now: Instant) -> Verdict {
        let passed = (now - self.looked).min(LONGEST_LOOK);
        self.looked = now;
        match self.state {
            PeerState::New | PeerState::Connecting => {
                self.connecting += passed;
                if self.connecting >= self.patience {
                    return Verdict::Stalled(StallReason::Timeout);
                }
                Verdict::Connecting
            }
            PeerState::Disconnected => Verdict::Stalled(StallReason::Disconnected),
            PeerState::Failed => Verdict::Stalled(StallReason::Failed),
            PeerState::Closed => Verdict::Stalled(StallReason::Closed),
            PeerState::Connected => self.listen(seen, passed),
        }
    }

    fn listen(&mut self, seen: Seen, passed: Duration) -> Verdict {
        let is_alert = !self.alert.is_zero();
        self.alert = self.alert.saturating_sub(passed);
        if seen.heard > self.heard {
            self.heard = seen.heard;
            self.silent = Duration::ZERO;
            self.probed = None;
            // A change is not over with the packets that were under way.
            if !is_alert {
                return match self.tracks.values().any(|track| track.is_unheard) {
                    true => Verdict::Stalled(StallReason::Unheard),
                    false => Verdict::Well,
                };
            }
        } else {
            self.silent += passed;
        }
        let (limit, ask_after) = match is_alert {
            true => (SILENCE_AFTER_CHANGE, Duration::ZERO),
            false => (SILENCE, PROBE_AFTER),
        };
        let is_due = self.silent >= ask_after && self.probed.is_none();
        if is_due && seen.can_probe {
            self.probed = Some(self.silent);
            return Verdict::Probe;
        }
        let limit = match self.probed {
            Some(at) => limit.max(at + ANSWER),
            None => limit,
        };
        let means_something = self.probed.is_some() || (seen.expects && self.heard >= FLOW);
        if self.silent < limit || !means_something {
            return Verdict::Well;
        }
        Verdict::Stalled(match is_alert {
            true => StallReason::Network,
            false => StallReason::Silence,
        })
    }
}

#[cfg(test)]
#[path = "liveness_tests.rs"]
mod tests;
