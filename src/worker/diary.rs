//! What of a job's events goes to the log, too: what an operator looks for after a call that was bad.

use tracing::{info, warn};

use crate::job::Event;

/// Notes an event, where it is not one of every few seconds or told elsewhere.
pub fn note(event: &Event) {
    match event {
        Event::Notice { message } => info!("{message}"),
        Event::Device { device, lost: None } => info!(%device, "back"),
        Event::Device {
            device,
            lost: Some(reason),
        } => warn!(%device, reason, "lost; the calls go on without it"),
        Event::Stalled {
            participant,
            generation,
            reason,
        } => {
            warn!(%participant, %generation, %reason, "a peer stalls, and the next one is made beside it")
        }
        Event::Error {
            message,
            fatal: false,
        } => warn!("{message}"),
        // The process says it when it ends.
        Event::Error { fatal: true, .. }
        | Event::State { .. }
        | Event::Encoder(_)
        | Event::Peer { .. }
        | Event::Receiving { .. }
        | Event::Quality { .. }
        | Event::Tier { .. }
        | Event::Message { .. }
        | Event::Speech(_)
        | Event::Filter { .. }
        | Event::Recording { .. }
        | Event::Stream { .. }
        | Event::Ended { .. }
        | Event::Paused
        | Event::Resumed
        | Event::Beat { .. }
        | Event::Answer { .. } => {}
    }
}
