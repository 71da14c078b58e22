//! When the next generation is made or asked for. Pure: time and chance are passed in.
//!
//! The first try follows at once, and pauses grow while nothing helps. Both sides find the same trouble at the same
//! time; since only one of them offers ([`super::generation`]), it makes one generation all the same: what the other
//! asks for is by then of an old one and passed over.

use std::time::Duration;

use tokio::time::Instant;

use crate::signalling::protocol::{Ice, IceTransportPolicy};

/// The first pause, after a try that did not help at once; each is twice as long, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);
/// An offer that was asked for is waited for so long at least.
const OFFER: Duration = Duration::from_secs(3);
/// A peer that has served for so long is a success: the next trouble is another one.
const STEADY: Duration = Duration::from_secs(10);
/// After so many tries in vain, every other one uses TURN servers only: a direct path that ICE finds again and again
/// may carry no media.
const DIRECT_TRIES: u32 = 2;

/// What becomes of a trouble with one participant.
#[derive(Debug, Default)]
pub struct Renewal {
    /// Tries since media flowed for a while.
    tries: u32,
    due: Option<Due>,
    well_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    /// The other side says that it is of no use; whatever we find.
    is_asked: bool,
}

impl Renewal {
    /// No peer serves: the next is wanted. Told again and again, it stays with the time that was set at first.
    /// `chance` is from 0 to 1.
    pub fn want(&mut self, now: Instant, chance: f64) {
        self.well_since = None;
        self.plan(now, chance, false);
    }

    /// The other side asks for it.
    pub fn asked(&mut self, now: Instant, chance: f64) {
        self.plan(now, chance, true);
    }

    /// A peer serves.
    pub fn well(&mut self, now: Instant) {
        self.due.take_if(|due| !due.is_asked);
        let since = *self.well_since.get_or_insert(now);
        if now - since >= STEADY {
            self.tries = 0;
        }
    }

    /// The host's addresses or routes have changed: what was in vain before may help now.
    pub fn on_network_change(&mut self, now: Instant) {
        self.tries = 0;
        if let Some(due) = &mut self.due {
            due.at = now;
        }
    }

    /// Whether it is time for the next try; says so once.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.take_if(|due| due.at <= now).is_some();
        self.tries = self.tries.saturating_add(u32::from(is_due));
        is_due
    }

    /// The other side was asked: without an offer, asks again later.
    pub fn waits(&mut self, now: Instant, chance: f64) {
        let at = now + OFFER + self.pause(chance);
        self.due = Some(Due {
            at,
            is_asked: false,
        });
    }

    /// The next generation has begun, ours or theirs.
    pub fn begun(&mut self) {
        self.due = None;
        self.well_since = None;
    }

    /// What the next generation uses of these servers.
    pub fn servers(&self, ice: &Ice) -> Ice {
        let mut ice = ice.clone();
        let may_relay = ice.servers.iter().any(|server| server.credential.is_some());
        let in_vain = self.tries.saturating_sub(DIRECT_TRIES);
        if may_relay && in_vain % 2 == 1 {
            ice.transport_policy = IceTransportPolicy::Relay;
        }
        ice
    }

    fn plan(&mut self, now: Instant, chance: f64, is_asked: bool) {
        let at = now + self.pause(chance);
        let due = self.due.get_or_insert(Due { at, is_asked });
        due.is_asked |= is_asked;
    }

    /// From half of it to all of it: many who lost the same path do not come back in step.
    fn pause(&self, chance: f64) -> Duration {
        let Some(doublings) = self.tries.checked_sub(1) else {
            return Duration::ZERO;
        };
        let pause = (FIRST * 2u32.saturating_pow(doublings.min(16))).min(LONGEST);
        pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
