//! What the way to the other side carries, as its peer tells whoever chooses what is sent.
//!
//! [`super::Peer::bandwidth`] gives a receiver. It holds `None` until the other side has answered with transport-wide
//! feedback for the first time, and for good where it does not (no such extension in its description): then nothing
//! is known, and what the description says is sent. After that it changes several times a second; whoever chooses
//! waits with `changed()` and takes the newest value. The estimate is of the whole connection: what is left for the
//! picture is [`Estimate::left_for_video`]. Retransmissions come out of it, too, probes do not.

use std::time::Duration;

use tokio::sync::watch;

use crate::pipeline::Bitrate;

/// What is known of the way to the other side at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// What may be sent: RTP packets whole, with header, extensions and payload of sound, picture and retransmissions;
    /// without SRTP's tag (10 bytes), UDP and IP (28 bytes, with IPv6 48), which come on top for each packet.
    pub bitrate: Bitrate,
    /// The part of the packets that is lost, 0 to 1, smoothed over the last reports.
    pub loss: f64,
    /// To the other side and back, with its feedback's delay: smoothed.
    pub round_trip: Duration,
    /// How long packets wait on the way, over the shortest time that was seen.
    pub queue: Duration,
    /// Less is sent than the way carries, so `bitrate` is what is known to go through, not the most that would. It
    /// grows when probes find more.
    pub is_application_limited: bool,
}

/// What a packet of sound or picture costs over its payload: RTP's header with the extensions that attache sends.
const HEADER_BYTES: u32 = 20;
/// Opus makes a packet every 20 ms.
const SOUND_PACKETS: u32 = 50;
/// Of the picture's packets the header is this part: 20 of 1,200 bytes, and frames end in shorter ones.
const PICTURE_HEADERS_PERCENT: u32 = 3;

impl Estimate {
    /// What the picture's encoder may make, when the sound's encoder makes `sound`: sound goes first.
    pub fn left_for_video(&self, sound: Bitrate) -> Bitrate {
        let headers = SOUND_PACKETS * HEADER_BYTES * 8;
        let left = self.bitrate.bits_per_second;
        let left = left.saturating_sub(sound.bits_per_second.saturating_add(headers));
        Bitrate {
            bits_per_second: left / 100 * (100 - PICTURE_HEADERS_PERCENT),
        }
    }
}

/// Where a peer's estimate is told.
#[derive(Debug)]
pub(super) struct Bandwidth(watch::Sender<Option<Estimate>>);

impl Bandwidth {
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// A receiver of the newest estimate.
    pub fn watch(&self) -> watch::Receiver<Option<Estimate>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(kilobits: u32) -> Estimate {
        Estimate {
            bitrate: Bitrate::from_kilobits(kilobits),
            loss: 0.0,
            round_trip: Duration::from_millis(50),
            queue: Duration::ZERO,
            is_application_limited: false,
        }
    }

    #[test]
    fn sound_goes_first_and_headers_are_paid() {
        let sound = Bitrate::from_kilobits(64);
        let left = estimate(1072).left_for_video(sound);
        assert_eq!(left, Bitrate::from_kilobits(970));
        assert_eq!(estimate(60).left_for_video(sound).bits_per_second, 0);
    }
}
