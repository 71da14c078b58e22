//! RTP time stamps and sender reports led around the depayloaders: a received frame gets the time of its capture.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gstreamer as gst;

use super::sender_clock::{SenderClock, Stream};

/// Frames whose stamps are remembered: more than a jitter buffer and a depayloader hold.
const REMEMBERED: usize = 256;
/// A track's reports are looked for so often, until there is one and afterwards.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(100);
const LOOK_AGAIN: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// The clock of a peer's sender, shared by its tracks.
#[derive(Debug, Clone, Default)]
pub struct PeerClock(Arc<Mutex<SenderClock>>);

/// One track's stamps.
#[derive(Debug)]
pub struct TrackTiming {
    of: Stream,
    clock: PeerClock,
    stamps: Mutex<Stamps>,
}

#[derive(Debug, Default)]
struct Stamps {
    /// What the jitter buffer made of RTP time stamps, the newest last.
    recent: VecDeque<(gst::ClockTime, u32)>,
    look_at: gst::ClockTime,
    report: Option<(u64, u32)>,
}

/// What an RTP header tells (RFC 3550, 5.1).
struct Header {
    timestamp: u32,
    ssrc: u32,
}

impl Header {
    fn read(buffer: &gst::BufferRef) -> Option<Self> {
        let mut bytes = [0; 12];
        buffer.copy_to_slice(0, &mut bytes).ok()?;
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Some(Self {
            timestamp: word(4),
            ssrc: word(8),
        })
    }
}

impl TrackTiming {
    /// Watches the packets that leave webrtcbin at `pad`.
    pub fn watch(
        clock: &PeerClock,
        of: Stream,
        webrtc: &gst::Element,
        pad: &gst::Pad,
    ) -> Arc<Self> {
        let timing = Arc::new(Self {
            of,
            clock: clock.clone(),
            stamps: Mutex::default(),
        });
        let (watched, webrtc) = (timing.clone(), webrtc.downgrade());
        let types = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(types, move |_, info| {
            let ssrc = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => watched.on_packet(buffer),
                Some(gst::PadProbeData::BufferList(list)) => list
                    .iter()
                    .fold(None, |due, buffer| watched.on_packet(buffer).or(due)),
                Some(_) | None => None,
            };
            if let (Some(ssrc), Some(webrtc)) = (ssrc, webrtc.upgrade())
                && let Some((ntp, timestamp)) = sender_report(&webrtc, ssrc)
            {
                watched.on_report(ntp, timestamp);
            }
            gst::PadProbeReturn::Ok
        });
        timing
    }

    /// Returns the SSRC when it is time to look for a report of it.
    fn on_packet(&self, buffer: &gst::BufferRef) -> Option<u32> {
        let header = Header::read(buffer)?;
        let pts = buffer.pts()?;
        // The jitter buffer keeps the arrival there.
        let arrival = buffer.dts().unwrap_or(pts);
        self.clock
            .lock()
            .on_packet(self.of, header.timestamp, arrival.into());
        let mut stamps = self.stamps();
        if stamps
            .recent
            .back()
            .is_none_or(|(_, last)| *last != header.timestamp)
        {
            stamps.recent.push_back((pts, header.timestamp));
            if stamps.recent.len() > REMEMBERED {
                stamps.recent.pop_front();
            }
        }
        if arrival < stamps.look_at {
            return None;
        }
        let wait = if stamps.report.is_some() {
            LOOK_AGAIN
        } else {
            LOOK
        };
        stamps.look_at = arrival + wait;
        Some(header.ssrc)
    }

    fn on_report(&self, ntp: u64, timestamp: u32) {
        let is_new = self.stamps().report.replace((ntp, timestamp)) != Some((ntp, timestamp));
        if is_new {
            self.clock.lock().on_report(self.of, ntp, timestamp);
        }
    }

    /// The frame with the running time of its capture as PTS. One whose packets were not seen stays as it is.
    pub fn stamp(&self, sample: gst::Sample) -> gst::Sample {
        let at = sample.buffer().and_then(|buffer| self.capture(buffer));
        let Some(at) = at else {
            return sample;
        };
        let Some(mut buffer) = sample.buffer_owned() else {
            return sample;
        };
        let writable = buffer.make_mut();
        writable.set_pts(at);
        writable.set_dts(gst::ClockTime::NONE);
        let stamped = gst::Sample::builder().buffer(&buffer);
        match sample.caps_owned() {
            Some(caps) => stamped.caps(&caps).build(),
            None => stamped.build(),
        }
    }

    /// The running time of a frame's capture; none where its packets were not seen.
    pub fn capture(&self, frame: &gst::BufferRef) -> Option<gst::ClockTime> {
        let pts = frame.pts()?;
        let stamps = self.stamps();
        let distance = |(at, _): &&(gst::ClockTime, u32)| at.nseconds().abs_diff(pts.nseconds());
        // All packets of a frame have one time; a depayloader keeps it.
        let (_, timestamp) = *stamps.recent.iter().rev().min_by_key(distance)?;
        drop(stamps);
        let at = self.clock.lock().capture(self.of, timestamp)?;
        gst::ClockTime::try_from(at).ok()
    }

    fn stamps(&self) -> MutexGuard<'_, Stamps> {
        self.stamps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PeerClock {
    /// Of a sender whose tracks are passed on as they came.
    pub fn passing_on() -> Self {
        Self(Arc::new(Mutex::new(SenderClock::passing_on())))
    }

    /// Held for a calculation, never across a call of GStreamer.
    fn lock(&self) -> MutexGuard<'_, SenderClock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest sender report that webrtcbin's RTP session has of a source: NTP and RTP time.
fn sender_report(webrtc: &gst::Element, ssrc: u32) -> Option<(u64, u32)> {
    let session = super::reports::session(webrtc)?;
    let source =
        session.emit_by_name::<Option<gst::glib::Object>>("get-source-by-ssrc", &[&ssrc])?;
    let stats = source.property::<gst::Structure>("stats");
    if !stats.get::<bool>("have-sr").ok()? {
        return None;
    }
    Some((stats.get("sr-ntptime").ok()?, stats.get("sr-rtptime").ok()?))
}
