//! What the way to the other side carries, as its peer tells whoever chooses what is sent.
//!
//! It is estimated by `attache-congestion` from what [`super::pacer`] sends and what the other side says of that.
//! [`super::Peer::bandwidth`] gives a receiver. It holds `None` until the other side has answered with transport-wide
//! feedback for the first time, and for good where it does not (no such extension in its description): then nothing
//! is known, and what the description says is sent. After that it changes several times a second; whoever chooses
//! waits with `changed()` and takes the newest value. The estimate is of the whole connection: what is left for the
//! picture is [`Estimate::left_for_video`]. Retransmissions come out of it, too, probes do not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_sdp as gst_sdp;
use gstreamer_webrtc::WebRTCSessionDescription;
use tokio::sync::watch;

use super::pacer::line::Line;
use super::pacer::packet::Retransmission;
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

/// How often the other side is told what became of its packets: as often as browsers do.
const FEEDBACK_EVERY: gst::ClockTime = gst::ClockTime::from_mseconds(50);
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
pub struct Bandwidth(watch::Sender<Option<Estimate>>);

impl Bandwidth {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(super) fn tell(&self, estimate: Estimate) {
        self.0.send_replace(Some(estimate));
    }

    /// A receiver of the newest estimate.
    pub fn watch(&self) -> watch::Receiver<Option<Estimate>> {
        self.0.subscribe()
    }
}

/// Tells a peer's line of the packets that leave webrtcbin's RTP session and of the RTCP that comes in, and how its
/// packets are sent again. Called when the connection is there, before media flows; called again, it does nothing.
pub(super) fn follow(webrtc: &gst::Element, line: &Arc<Line>) -> Result<()> {
    if line.is_followed() {
        return Ok(());
    }
    let session = super::reports::session(webrtc).context("webrtcbin has no RTP session")?;
    if session.find_property("twcc-feedback-interval").is_some() {
        session.set_property("twcc-feedback-interval", FEEDBACK_EVERY.nseconds());
    }
    // With each feedback that does not wait for its turn GStreamer else sends a report of every source: some 80 kb/s, more
    // than a weak link has left beside the sound.
    if takes_reduced_size(webrtc) {
        session.set_property("rtcp-reduced-size", true);
    }
    let rtpbin = webrtc
        .downcast_ref::<gst::Bin>()
        .and_then(|bin| bin.by_name("rtpbin"));
    let rtpbin = rtpbin.context("a webrtcbin without an rtpbin")?;
    let pad = rtpbin.static_pad("recv_rtcp_sink_0");
    hear_rtcp(&pad.context("webrtcbin takes no RTCP")?, line);
    let pad = rtpbin.static_pad("send_rtp_src_0");
    // One who sends nothing has none.
    if let Some(pad) = pad {
        let sent = Arc::downgrade(line);
        let types = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(types, move |_, info| {
            if let Some(line) = sent.upgrade() {
                on_numbered(&line, info);
            }
            gst::PadProbeReturn::Ok
        });
    }
    if let Some(how) = retransmission(webrtc, line) {
        line.pad_with(how);
    }
    Ok(())
}

/// Whether the other side takes feedback without reports (RFC 5506; RFC 8834 4.1 wants it).
fn takes_reduced_size(webrtc: &gst::Element) -> bool {
    let described = webrtc.property::<Option<WebRTCSessionDescription>>("remote-description");
    described.is_some_and(|described| {
        let mut media = described
            .sdp()
            .medias()
            .filter(|media| media.media() != Some("application"));
        media.all(|media| {
            media
                .attributes()
                .any(|attribute| attribute.key() == "rtcp-rsize")
        })
    })
}

/// RTCP comes through this pad, decrypted.
fn hear_rtcp(pad: &gst::Pad, line: &Arc<Line>) {
    let line = Arc::downgrade(line);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let packet = info.buffer().and_then(|packet| packet.map_readable().ok());
        if let (Some(line), Some(packet)) = (line.upgrade(), packet)
            && !line.on_rtcp(&packet)
        {
            // With `Drop` GStreamer 1.22 complains that there is nothing to free.
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

fn on_numbered(line: &Line, info: &gst::PadProbeInfo) {
    let tell = |packet: &gst::BufferRef| {
        if let Ok(map) = packet.map_readable() {
            line.on_numbered(&map);
        }
    };
    match &info.data {
        Some(gst::PadProbeData::Buffer(packet)) => tell(packet),
        Some(gst::PadProbeData::BufferList(packets)) => packets.iter().for_each(tell),
        // The probe asks for nothing else.
        Some(_) | None => {}
    }
}

/// How the picture's packets are sent again: webrtcbin chose the source and the payload type.
fn retransmission(webrtc: &gst::Element, line: &Line) -> Option<Retransmission> {
    let video = line.video()?;
    let described = webrtc.property::<Option<WebRTCSessionDescription>>("local-description")?;
    let (_, ssrc) = repeaters(&described)
        .into_iter()
        .find(|(original, _)| *original == video)?;
    Some(Retransmission {
        ssrc,
        payload_type: line.repeated_type()?,
    })
}

/// The sources of a description that repeat another one's packets, with that one before each (RFC 5576 4.2).
pub(super) fn repeaters(described: &WebRTCSessionDescription) -> Vec<(u32, u32)> {
    let media = described.sdp().medias();
    let attributes = media.flat_map(|media| media.attributes());
    let groups = attributes.filter(|attribute| attribute.key() == "ssrc-group");
    let pair = |group: &gst_sdp::SDPAttribute| {
        let (original, again) = group.value()?.strip_prefix("FID ")?.split_once(' ')?;
        Some((original.parse().ok()?, again.trim().parse().ok()?))
    };
    groups.filter_map(pair).collect()
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
