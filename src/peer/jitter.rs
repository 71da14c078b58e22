//! How long a peer's jitter buffers wait for packets that are missing: always so long, or by what is lost.
//!
//! What comes in order passes a jitter buffer at once, however long that is; only behind a missing packet the others wait.
//! So a recorder's buffer is short while nothing is missing, for a killed recorder loses what waits, and becomes long
//! with the first packet that has to be sent again (RFC 4585, 6.2.1; RFC 4588): that one still comes in time, and is asked
//! for at once, as in every peer ([`report_quickly`]). Sound is never sent again: its buffer waits for what comes out of
//! order, and stays short.
//!
//! The times of a recording do not move with it: they come from the sender's stamps and reports.
//!
//! What is passed on to others is waited for, too: a picture that one gave up could not be decoded by any of them, and a
//! packet that is only late, on a busy machine, is none that is missing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;

use crate::media::clock;

/// While nothing is missing.
const SHORT: Duration = Duration::from_millis(200);
/// While packets are sent again: time for several requests, each of which may be lost, too.
const LONG: Duration = Duration::from_millis(300);
/// On a path so slow that [`LONG`] is less than [`ROUND_TRIPS`], at most.
const LONGEST: Duration = Duration::from_secs(2);
const ROUND_TRIPS: u32 = 4;
/// When nothing was missing for so long, the buffer becomes short again.
const CALM: Duration = Duration::from_secs(30);
/// What receiving is taken to be, in bits per second, of which RTCP may take a twentieth (RFC 3550, 6.2).
const RECEIVED: f64 = 4_000_000.0;
/// Senders and receivers report so often, where RTCP's share of the rate allows (RFC 4585, 3.4: `T_rr_interval`), and for the
/// first time in half of that: until then nobody knows how far sound and picture were apart when they were made.
const REPORT_EVERY: gst::ClockTime = gst::ClockTime::from_seconds(1);
/// Packets in order after which a buffer begins to pass them on; without that it waits out its whole length first.
const FAST_START: u32 = 3;
/// So often a missing picture packet is asked for in the time that it is waited for. By itself GStreamer counts what a
/// request waits for RTCP as a part of the round trip, and asks once.
const TURNS: u32 = 4;

/// The length of a peer's jitter buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// Always this.
    Fixed(Duration),
    /// 200 ms; of pictures 300 ms or more while packets are missing.
    FollowsLoss,
    /// This for sound; for pictures 300 ms, or more on a slow path. Nobody waits for what comes in order.
    Passing(Duration),
}

impl Latency {
    /// What a buffer begins with.
    pub(super) fn first(self) -> Duration {
        match self {
            Self::Fixed(length) | Self::Passing(length) => length,
            Self::FollowsLoss => SHORT,
        }
    }
}

/// The length of one jitter buffer that follows the loss, and so how often it asks. Pure: time is passed in, as running time.
#[derive(Debug)]
struct Patience {
    length: Duration,
    /// What it is while nothing is missing.
    calm: Duration,
    missed: Duration,
    /// Nothing is sent again.
    never: bool,
}

impl Patience {
    fn new(calm: Duration) -> Self {
        Self {
            length: calm,
            calm,
            missed: Duration::ZERO,
            never: false,
        }
    }

    /// It is never shorter than this from now on. Returns the new length, if it is another one.
    fn at_least(&mut self, length: Duration) -> Option<Duration> {
        self.calm = self.calm.max(length);
        (self.length < self.calm).then(|| self.take(self.calm))
    }

    /// A packet is missing; it takes so long to ask for it and to get it. Returns the new length, if it is another one.
    fn missing(&mut self, round_trip: Duration, now: Duration) -> Option<Duration> {
        self.missed = now;
        if self.never {
            return None;
        }
        // A measure of a slow moment does not make it shorter.
        let wanted = (round_trip * ROUND_TRIPS).clamp(LONG, LONGEST);
        let grows = wanted > self.length;
        grows.then(|| self.take(wanted))
    }

    /// What is missing will never come: waiting longer is of no use.
    fn never_again(&mut self) {
        self.never = true;
    }

    /// A packet passed. Returns the new length, if it is another one.
    fn passed(&mut self, now: Duration) -> Option<Duration> {
        let is_calm = self.length > self.calm && now.saturating_sub(self.missed) >= CALM;
        is_calm.then(|| self.take(self.calm))
    }

    fn take(&mut self, length: Duration) -> Duration {
        self.length = length;
        length
    }
}

/// Lets every jitter buffer of a webrtcbin do as this says, and ask for no sound. To be called before its first packet.
pub(super) fn prepare(webrtc: &gst::Element, latency: Latency) -> Result<()> {
    let rtpbin = webrtc
        .downcast_ref::<gst::Bin>()
        .and_then(|bin| bin.by_name("rtpbin"))
        .context("a webrtcbin without an rtpbin")?;
    if let Some(rtpbin) = rtpbin.downcast_ref::<gst::Bin>() {
        rtpbin.connect_element_added(|_, element| report_quickly(element));
    }
    rtpbin.connect("new-jitterbuffer", false, move |values| {
        let buffer = values.get(1)?.get::<gst::Element>().ok()?;
        match latency {
            Latency::Fixed(_) => spare_sound(&buffer),
            Latency::FollowsLoss => follow_loss(&buffer, SHORT, SHORT),
            Latency::Passing(sound) => follow_loss(&buffer, sound, LONG),
        }
        None
    });
    Ok(())
}

/// Lets requests for lost packets go out at once, and reports soon. A session sends one report ahead of time in each of its
/// intervals (RFC 4585, 3.5.2), which follow from the rate that is received, and are calculated before anything is: half a
/// second, after which a request is of no use any more. So they are some 35 ms.
fn report_quickly(element: &gst::Element) {
    if element
        .factory()
        .is_some_and(|it| it.name() == "rtpsession")
    {
        element.set_property("bandwidth", RECEIVED);
        element.set_property("rtcp-min-interval", REPORT_EVERY.nseconds());
        // A report tells when something was captured. Without this it tells when it is sent, which is not known before the
        // pipeline's latency is: the first reports of a track would be of another clock than those after them.
        element.set_property("rtcp-sync-send-time", false);
    }
}

/// Sound is not asked for, least of all what was never sent: in silence Opus has a packet in 400 ms.
fn spare_sound(buffer: &gst::Element) {
    let Some(src) = buffer.static_pad("src") else {
        return;
    };
    src.add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        if info.buffer().is_some_and(|packet| is_sound(pad, packet)) {
            ask_for_nothing(pad);
        }
        gst::PadProbeReturn::Remove
    });
}

/// The length is `calm` while nothing is missing; `picture`, once it is known that pictures come.
fn follow_loss(buffer: &gst::Element, calm: Duration, picture: Duration) {
    buffer.set_property("faststart-min-packets", FAST_START);
    let (Some(sink), Some(src)) = (buffer.static_pad("sink"), buffer.static_pad("src")) else {
        return;
    };
    let patience = Arc::new(Mutex::new(Patience::new(calm)));
    let (asked, first) = (patience.clone(), patience.clone());
    src.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if info.buffer().is_some_and(|packet| is_sound(pad, packet)) {
            lock(&first).never_again();
            ask_for_nothing(pad);
        } else {
            let length = lock(&first).at_least(picture);
            set_length(pad, length);
        }
        gst::PadProbeReturn::Remove
    });
    sink.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |pad, info| {
        if let Some(round_trip) = missing(info, "GstRTPRetransmissionRequest") {
            let length = lock(&asked).missing(round_trip, clock::running_time().into());
            set_length(pad, length);
        }
        gst::PadProbeReturn::Ok
    });
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    src.add_probe(types, move |pad, info| {
        let now = clock::running_time().into();
        let length = match (missing(info, "GstRTPPacketLost"), &info.data) {
            (Some(round_trip), _) => lock(&patience).missing(round_trip, now),
            (None, Some(gst::PadProbeData::Buffer(_))) => lock(&patience).passed(now),
            (None, Some(_) | None) => None,
        };
        set_length(pad, length);
        gst::PadProbeReturn::Ok
    });
}

/// The round trip that an event of this name tells, zero where it tells none; `None` for other events.
fn missing(info: &gst::PadProbeInfo<'_>, name: &str) -> Option<Duration> {
    let told = info.event()?.structure()?;
    let round_trip = told.get::<u32>("avg-rtt").unwrap_or(0);
    (told.name() == name).then(|| Duration::from_millis(round_trip.into()))
}

/// Whether a packet that leaves a jitter buffer is one of sound, by its payload type (RFC 3550, 5.1). Caps do not say so
/// there: the tracks of a bundle come in together.
fn is_sound(pad: &gst::Pad, packet: &gst::BufferRef) -> bool {
    let mut header = [0; 2];
    let (Ok(()), Some(buffer)) = (packet.copy_to_slice(0, &mut header), pad.parent_element())
    else {
        return false;
    };
    let payload_type = u32::from(header[1] & 0x7f);
    let caps = buffer.emit_by_name::<Option<gst::Caps>>("request-pt-map", &[&payload_type]);
    caps.is_some_and(|caps| {
        let media = caps.structure(0);
        media.is_some_and(|media| media.get::<&str>("media") == Ok("audio"))
    })
}

/// webrtcbin lets all buffers of a bundle ask where one of its m-lines may be asked for.
fn ask_for_nothing(pad: &gst::Pad) {
    if let Some(buffer) = pad.parent_element() {
        buffer.call_async(|buffer| buffer.set_property("do-retransmission", false));
    }
}

/// Held for a calculation, never across a call of GStreamer.
fn lock(patience: &Mutex<Patience>) -> std::sync::MutexGuard<'_, Patience> {
    patience.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set_length(pad: &gst::Pad, length: Option<Duration>) {
    let (Some(length), Some(buffer)) = (length, pad.parent_element()) else {
        return;
    };
    tracing::debug!(length_ms = length.as_millis(), "jitter buffer");
    let turn = i32::try_from((length / TURNS).as_millis()).unwrap_or(i32::MAX);
    let length = u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
    // It tells the pipeline of it: not from its own thread.
    buffer.call_async(move |buffer| {
        buffer.set_property("rtx-retry-timeout", turn);
        buffer.set_property("latency", length);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_buffer_is_long_from_the_first_missing_packet_until_it_was_calm_for_half_a_minute() {
        let mut patience = Patience::new(SHORT);
        assert_eq!(patience.passed(seconds(100)), None);
        assert_eq!(patience.missing(SOON, seconds(100)), Some(LONG));
        assert_eq!(patience.missing(SOON, seconds(120)), None);
        assert_eq!(patience.passed(seconds(149)), None);
        assert_eq!(patience.passed(seconds(150)), Some(SHORT));
        assert_eq!(patience.passed(seconds(151)), None);
        assert_eq!(patience.missing(SOON, seconds(152)), Some(LONG));
    }

    #[test]
    fn a_slow_path_gets_four_round_trips_up_to_two_seconds_and_keeps_them() {
        let mut patience = Patience::new(SHORT);
        let slow = Duration::from_millis(300);
        assert_eq!(patience.missing(slow, seconds(1)), Some(slow * 4));
        assert_eq!(patience.missing(SOON, seconds(2)), None);
        assert_eq!(patience.missing(seconds(1), seconds(3)), Some(LONGEST));
        assert_eq!(patience.passed(seconds(33)), Some(SHORT));
    }

    #[test]
    fn pictures_that_are_passed_on_are_waited_for_from_the_first_and_after_a_calm() {
        let mut patience = Patience::new(SHORT / 5);
        assert_eq!(patience.at_least(LONG), Some(LONG));
        assert_eq!(patience.at_least(LONG), None);
        let slow = Duration::from_millis(200);
        assert_eq!(patience.missing(slow, seconds(1)), Some(slow * 4));
        assert_eq!(patience.passed(seconds(31)), Some(LONG));
        assert_eq!(patience.passed(seconds(99)), None);
    }

    #[test]
    fn what_is_never_sent_again_is_not_waited_for() {
        let mut patience = Patience::new(SHORT);
        patience.never_again();
        assert_eq!(patience.missing(seconds(1), seconds(1)), None);
        assert_eq!(patience.passed(seconds(50)), None);
    }
}
