//! When a received frame was captured, on our clock: RTP time stamps and RTCP sender reports in, running time out. Pure.
//!
//! A sender's report (RFC 3550, 6.4.1) says which RTP time stamp of a track was captured at which moment of the sender's
//! own clock. With it, all tracks of one sender lie on one clock, whatever each took to be encoded and sent. That clock
//! is laid on ours by the smallest delay that was seen lately: packets come late for many reasons, but none comes before
//! it was sent. A sender's clock that runs fast or slow is followed in the same way.
//!
//! Before a track's first report (browsers send one after about a second for pictures, after up to five for sound), its
//! own smallest delay serves. The difference is then made up slowly, so that nobody hears or sees a step. Of sound that is
//! passed on as it came, the stamps keep their distances instead: a listener that finds others fills the gaps with what it
//! makes up. A difference that can be heard against the picture is made up at once there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::media::MediaKind;

/// Smallest delays are remembered for so long, in this many slots.
const SLOT: i64 = 1_000_000_000;
const SLOTS: usize = 10;
/// A change of place is made up by at most this part of the time that passes: sound that is stretched so little is not
/// heard as another pitch, since its samples stay what they are.
const SLEW: i64 = 50;
/// In its first seconds a track learns its smallest delay and gets its first report: it settles faster.
const YOUNG: i64 = 3 * SLOT;
const SLEW_YOUNG: i64 = 5;
/// A difference beyond this is no matter of delays: the sender began anew. It is made up at once.
const STEP: i64 = 500_000_000;
/// Sound that is passed on may be so far from its place.
const OFF: i64 = 10_000_000;
/// The seconds of NTP time stamps are in the upper half of 64 bits.
const NTP_FRACTION: u32 = 32;

/// Nanoseconds; differences of clocks, so signed.
type Nanos = i64;

/// One of a sender's tracks, or one of several encodings of a picture: each has time stamps of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Sound or picture.
    pub kind: MediaKind,
    /// Among several encodings of the picture the SSRC; else 0.
    pub encoding: u32,
}

impl From<MediaKind> for Stream {
    fn from(kind: MediaKind) -> Self {
        Self { kind, encoding: 0 }
    }
}

/// The clock of one sender: that of its PeerConnection.
#[derive(Debug, Default)]
pub struct SenderClock {
    /// Its sound is passed on as it came.
    passes_on: bool,
    audio: Track,
    video: BTreeMap<u32, Track>,
    /// Arrival minus capture on the sender's clock, of all tracks that reported.
    delay: Smallest,
}

#[derive(Debug, Default)]
struct Track {
    /// The newest RTP time stamp, without its wrap-around, in nanoseconds.
    newest: Option<(u32, Nanos)>,
    /// The sender's clock minus the track's RTP time.
    report: Option<Nanos>,
    /// Arrival minus RTP time.
    delay: Smallest,
    /// RTP time of the first frame.
    began: Option<Nanos>,
    /// What is added to RTP time, and the RTP time at which that was settled.
    applied: Option<(Nanos, Nanos)>,
}

/// The smallest value of the last seconds.
#[derive(Debug, Default)]
struct Smallest {
    slots: VecDeque<(i64, Nanos)>,
}

impl Smallest {
    fn see(&mut self, value: Nanos, now: Nanos) {
        let slot = now.div_euclid(SLOT);
        match self.slots.back_mut() {
            Some((last, smallest)) if *last == slot => *smallest = value.min(*smallest),
            Some(_) | None => self.slots.push_back((slot, value)),
        }
        if self.slots.len() > SLOTS {
            self.slots.pop_front();
        }
    }

    fn get(&self) -> Option<Nanos> {
        self.slots.iter().map(|(_, value)| *value).min()
    }
}

impl SenderClock {
    /// One whose tracks are passed on as they came.
    pub fn passing_on() -> Self {
        Self {
            passes_on: true,
            ..Self::default()
        }
    }

    /// A packet came: its RTP time stamp, and the running time at which it arrived.
    pub fn on_packet(&mut self, of: impl Into<Stream>, timestamp: u32, arrival: Duration) {
        let of = of.into();
        let arrival = nanos(arrival);
        let track = self.track(of);
        let at = track.extend(of.kind, timestamp);
        track.delay.see(arrival - at, arrival);
        if let Some(report) = track.report {
            self.delay.see(arrival - (at + report), arrival);
        }
    }

    /// A sender report came: an NTP time stamp in its 64 bits and the RTP time stamp of the same moment.
    pub fn on_report(&mut self, of: impl Into<Stream>, ntp: u64, timestamp: u32) {
        let of = of.into();
        let seconds = i64::from((ntp >> NTP_FRACTION) as u32) * 1_000_000_000;
        let fraction = ((ntp & u64::from(u32::MAX)) * 1_000_000_000) >> NTP_FRACTION;
        let track = self.track(of);
        let at = track.near(of.kind, timestamp);
        let report = seconds + i64::try_from(fraction).unwrap_or(0) - at;
        let before = track.report.replace(report);
        if before.is_none_or(|before| (report - before).abs() > STEP) {
            // What was learnt of the path belongs to another clock, or to none.
            let learnt = track.delay.get().map(|delay| delay - report);
            let newest = track.delay.slots.back().map(|(slot, _)| slot * SLOT);
            if before.is_some() {
                self.delay = Smallest::default();
            }
            if let (Some(learnt), Some(newest)) = (learnt, newest) {
                self.delay.see(learnt, newest);
            }
        }
    }

    /// The running time at which the frame with this RTP time stamp was captured, the shortest way through the network
    /// included. Frames of a track are to be asked for in their order.
    pub fn capture(&mut self, of: impl Into<Stream>, timestamp: u32) -> Option<Duration> {
        let of = of.into();
        let path = self.delay.get();
        let keeps_distances = self.passes_on && of.kind == MediaKind::Audio;
        let track = self.track(of);
        let at = track.near(of.kind, timestamp);
        let target = match (track.report, path) {
            (Some(report), Some(path)) => report + path,
            (Some(_) | None, _) => track.delay.get()?,
        };
        let applied = match track.applied {
            None => target,
            Some((applied, _)) if (target - applied).abs() > STEP => target,
            Some((applied, _)) if keeps_distances => match (target - applied).abs() > OFF {
                true => target,
                false => applied,
            },
            Some((applied, settled)) => {
                let is_young = at - *track.began.get_or_insert(at) < YOUNG;
                let most = (at - settled).max(0) / if is_young { SLEW_YOUNG } else { SLEW };
                applied + (target - applied).clamp(-most, most)
            }
        };
        track.applied = Some((applied, at));
        u64::try_from(at + applied).ok().map(Duration::from_nanos)
    }

    fn track(&mut self, of: Stream) -> &mut Track {
        match of.kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => self.video.entry(of.encoding).or_default(),
        }
    }
}

impl Track {
    /// RTP time without its wrap-around; remembers the newest.
    fn extend(&mut self, kind: MediaKind, timestamp: u32) -> Nanos {
        let at = self.near(kind, timestamp);
        if self.newest.is_none_or(|(_, newest)| at > newest) {
            self.newest = Some((timestamp, at));
        }
        at
    }

    /// RTP time of a stamp near the newest one.
    fn near(&self, kind: MediaKind, timestamp: u32) -> Nanos {
        let Some((newest, at)) = self.newest else {
            return ticks(kind, i64::from(timestamp));
        };
        // Half the circle forward, half of it back.
        let difference = timestamp.wrapping_sub(newest).cast_signed();
        at + ticks(kind, i64::from(difference))
    }
}

/// RTP clocks: Opus 48 kHz (RFC 7587, 4.1), pictures 90 kHz.
fn ticks(kind: MediaKind, ticks: i64) -> Nanos {
    match kind {
        MediaKind::Audio => ticks * 1_000_000 / 48,
        MediaKind::Video => ticks * 100_000 / 9,
    }
}

fn nanos(duration: Duration) -> Nanos {
    i64::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
#[path = "sender_clock_tests.rs"]
mod tests;
