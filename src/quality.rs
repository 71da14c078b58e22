//! How good a connection is: from a peer's counters to rates, loss and a score. Pure; times are passed in.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::media::MediaKind;
use crate::peer::bandwidth::Estimate;

/// What a peer counted since it was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// To the other side and back, as the other side's last report has it (RFC 3550 6.4.1).
    pub round_trip: Option<Duration>,
    /// How packets travel, once a way is chosen.
    pub path: Option<Path>,
    /// What went out.
    pub sent: Tracks<Count>,
    /// What came in.
    pub received: Tracks<Count>,
}

/// Sound and picture of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tracks<T> {
    /// The sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<T>,
    /// The picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<T>,
}

impl<T> Tracks<T> {
    /// The track of a kind.
    pub fn of(&mut self, kind: MediaKind) -> &mut Option<T> {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }

    /// Both that are there.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.audio.iter().chain(&self.video)
    }
}

/// What was counted of one track.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// Packets that went out or came in.
    pub packets: u64,
    /// Bytes of their payload.
    pub bytes: u64,
    /// Packets that did not arrive, less those that came twice: it may fall.
    pub lost: i64,
    /// The part that was lost by the receiver's last report, 0 to 1; only of what was sent.
    pub fraction_lost: Option<f64>,
    /// How unevenly packets arrive (RFC 3550 6.4.1).
    pub jitter: Duration,
    /// Packets that were asked for again (RFC 4585 6.2.1).
    pub nacks: u64,
    /// Key frames that were asked for (RFC 4585 6.3.1).
    pub key_frame_requests: u64,
}

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// From one side to the other.
    Direct,
    /// Through a TURN server.
    Relayed,
}

/// How good a connection was since it was last looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// To the other side and back, in milliseconds; absent until the other side reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// How packets travel, once a way is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    /// Kilobits per second that the way to the other side carries, as it is estimated; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_kbps: Option<f64>,
    /// How long packets wait on that way, in milliseconds, over the shortest time that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<f64>,
    /// What goes out.
    pub sent: Tracks<Track>,
    /// What comes in.
    pub received: Tracks<Track>,
    /// How good a conversation it allows, from 1 (bad) to 5 (excellent): the worse direction of the sound, see [`score`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// One track since it was last looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Track {
    /// Kilobits of payload per second.
    pub kbps: f64,
    /// The part of the packets that was lost, 0 to 1; of what is sent, by the receiver's last report.
    pub loss: f64,
    /// How unevenly packets arrive, in milliseconds.
    pub jitter_ms: f64,
    /// Packets that were asked for again since the peer was made.
    pub nacks: u64,
    /// Key frames that were asked for since the peer was made.
    pub key_frame_requests: u64,
}

impl Counts {
    /// How good the connection was between `before`, which was counted `elapsed` ago, and now. `buffer` is what the
    /// receiver holds sound back for.
    pub fn since(&self, before: &Self, elapsed: Duration, buffer: Duration) -> Quality {
        let tracks = |now: &Tracks<Count>, before: &Tracks<Count>| Tracks {
            audio: track(now.audio, before.audio, elapsed),
            video: track(now.video, before.video, elapsed),
        };
        let sent = tracks(&self.sent, &before.sent);
        let received = tracks(&self.received, &before.received);
        let one_way = self
            .round_trip
            .map(|round_trip| round_trip / 2 + buffer + PACKET);
        let sound = [sent.audio, received.audio].into_iter().flatten();
        let loss = sound.map(|track| track.loss).reduce(f64::max);
        Quality {
            round_trip_ms: self.round_trip.map(milliseconds),
            path: self.path,
            estimate_kbps: None,
            queue_ms: None,
            sent,
            received,
            score: one_way.zip(loss).map(|(delay, loss)| score(delay, loss)),
        }
    }
}

impl Quality {
    /// Adds what is known of the way to the other side.
    pub fn with(self, estimate: Option<Estimate>) -> Self {
        let rate = |estimate: Estimate| f64::from(estimate.bitrate.bits_per_second) / 1000.0;
        Self {
            estimate_kbps: estimate.map(rate),
            queue_ms: estimate.map(|estimate| milliseconds(estimate.queue)),
            ..self
        }
    }
}

fn track(now: Option<Count>, before: Option<Count>, elapsed: Duration) -> Option<Track> {
    let now = now?;
    let before = before.unwrap_or_default();
    let lost = now.lost.saturating_sub(before.lost).max(0) as f64;
    let packets = now.packets.saturating_sub(before.packets) as f64;
    let counted = if lost > 0.0 {
        lost / (lost + packets)
    } else {
        0.0
    };
    let bits = now.bytes.saturating_sub(before.bytes) as f64 * 8.0;
    let seconds = elapsed.as_secs_f64().max(1e-3);
    Some(Track {
        kbps: bits / 1000.0 / seconds,
        loss: now.fraction_lost.unwrap_or(counted),
        jitter_ms: milliseconds(now.jitter),
        nacks: now.nacks,
        key_frame_requests: now.key_frame_requests,
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Sound waits for its packet to be full.
const PACKET: Duration = Duration::from_millis(20);
/// The rating of a call without any impairment (ITU-T G.107, table 3: the defaults).
const BEST: f64 = 93.2;
/// How well Opus hides loss: half of the quality is lost at this many per cent. ITU-T G.113 has no figure for Opus; with
/// in-band FEC it is set as high as that of the codecs with the best concealment there.
const ROBUSTNESS: f64 = 20.0;

/// How good a conversation is, by the E-model (ITU-T G.107) with its defaults: `delay` is from mouth to ear, `loss` the
/// part of the packets that is lost, 0 to 1. From 1 (bad) to 4.5, as its annex B maps the rating to opinions.
pub fn score(delay: Duration, loss: f64) -> f64 {
    let delay = milliseconds(delay);
    // The delay's impairment as R. Cole and J. Rosenbluth fitted it (Voice over IP performance monitoring, 2001).
    let of_delay = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
    // G.107 7.5 for random loss of a codec that is without fault otherwise (Ie = 0).
    let percent = loss.clamp(0.0, 1.0) * 100.0;
    let of_loss = 95.0 * percent / (percent + ROBUSTNESS);
    let rating = (BEST - of_delay - of_loss).clamp(0.0, 100.0);
    let opinion = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    // Below a rating of 6.5 the polynomial falls under 1.
    opinion.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn delay_and_loss_make_the_score_worse() {
        let best = score(ms(60), 0.0);
        assert!((4.3..=4.5).contains(&best), "{best}");
        let steps = [(60, 0.0), (200, 0.0), (400, 0.0), (400, 0.05), (400, 0.3)];
        let scores = steps.map(|(delay, loss)| score(ms(delay), loss));
        assert!(
            scores.is_sorted_by(|better, worse| better > worse),
            "{scores:?}"
        );
        assert!((1.0..1.1).contains(&score(ms(3000), 1.0)));
    }

    #[test]
    fn rates_and_loss_are_those_of_the_time_between() {
        let received = |packets, bytes, lost| Counts {
            received: Tracks {
                audio: Some(Count {
                    packets,
                    bytes,
                    lost,
                    jitter: ms(3),
                    ..Count::default()
                }),
                video: None,
            },
            ..Counts::default()
        };
        let before = received(1000, 100_000, 50);
        let quality = received(1090, 112_500, 60).since(&before, ms(2000), ms(40));
        let audio = quality.received.audio.unwrap();
        assert!((audio.kbps - 50.0).abs() < 1e-9, "{audio:?}");
        assert!((audio.loss - 0.1).abs() < 1e-9, "{audio:?}");
        assert!((audio.jitter_ms - 3.0).abs() < 1e-9, "{audio:?}");
        // Packets that came after all: nothing was lost meanwhile.
        let late = received(1200, 120_000, 40).since(&before, ms(2000), ms(40));
        assert!(late.received.audio.unwrap().loss.abs() < 1e-9);
        assert_eq!(
            late.score, None,
            "without a round trip nothing is known of the delay"
        );
    }

    #[test]
    fn what_is_sent_is_judged_by_the_other_sides_report_and_the_worse_direction_counts() {
        let both = |fraction_lost, lost| Counts {
            round_trip: Some(ms(50)),
            sent: Tracks {
                audio: Some(Count {
                    fraction_lost: Some(fraction_lost),
                    packets: 100,
                    ..Count::default()
                }),
                video: None,
            },
            received: Tracks {
                audio: Some(Count {
                    packets: 100,
                    lost,
                    ..Count::default()
                }),
                video: None,
            },
            ..Counts::default()
        };
        let none = Counts::default();
        let good = both(0.0, 0).since(&none, ms(2000), ms(40)).score.unwrap();
        let there = both(0.2, 0).since(&none, ms(2000), ms(40)).score.unwrap();
        let back = both(0.0, 25).since(&none, ms(2000), ms(40)).score.unwrap();
        assert!((there - back).abs() < 1e-9, "{there} {back}");
        assert!(good > there + 1.0, "{good} {there}");
    }
}
