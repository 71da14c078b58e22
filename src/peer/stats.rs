//! A peer's counters, as webrtcbin tells them (W3C WebRTC Statistics, with GStreamer's names).

use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_webrtc::WebRTCStatsType as Type;
use tokio::sync::mpsc::UnboundedSender;

use super::PeerEvent;
use super::reports::Reports;
use crate::media::MediaKind;
use crate::quality::{Count, Counts, Path};

/// Opus always runs at this rate in RTP (RFC 7587 4.1), pictures at 90 kHz.
const SOUND_RATE: u32 = 48_000;
/// Round trips are counted in units of 2^-16 s (RFC 3550 6.4.1).
const SHORT_NTP: f64 = 65_536.0;

/// Which sources are whose. What is sent again has sources of its own, which count nowhere: their packets are late, and
/// padding.
pub struct Sources {
    /// The tracks that are sent.
    pub sent: Vec<(u32, MediaKind)>,
    /// What the other side sends again.
    pub repeated: Vec<u32>,
}

/// Asks for the counters; they come as [`PeerEvent::Measured`]. The promise is there to be waited for: in GStreamer 1.22.0 RTP
/// sessions free their sources when they stop, whoever reads them meanwhile.
pub fn ask(
    webrtc: &gst::Element,
    sources: Sources,
    reports: &Reports,
    events: &UnboundedSender<PeerEvent>,
) -> gst::Promise {
    reports.watch(webrtc);
    let (events, reports) = (events.clone(), reports.clone());
    let promise = gst::Promise::with_change_func(move |reply| {
        if let Ok(Some(stats)) = reply {
            let _ = events.send(PeerEvent::Measured(Box::new(read(
                stats, &sources, &reports,
            ))));
        }
    });
    webrtc.emit_by_name::<()>("get-stats", &[&None::<gst::Pad>, &promise]);
    promise
}

fn read(stats: &gst::StructureRef, sources: &Sources, reports: &Reports) -> Counts {
    let mut counts = Counts::default();
    for (_, value) in stats.iter() {
        let Ok(entry) = value.get::<gst::Structure>() else {
            continue;
        };
        match entry.get::<Type>("type") {
            Ok(Type::InboundRtp) => add_received(&mut counts, &entry, sources),
            Ok(Type::OutboundRtp) => add_sent(&mut counts, &entry, sources, reports),
            Ok(Type::CandidatePair) => counts.path = path(stats, &entry),
            _ => {}
        }
    }
    counts
}

fn add_received(counts: &mut Counts, entry: &gst::StructureRef, sources: &Sources) {
    let Some((source, rate)) = source(entry) else {
        return;
    };
    if source.get::<bool>("have-rb").is_ok_and(|has| has) {
        let round_trip =
            Duration::from_secs_f64(number(&source, "rb-round-trip") as f64 / SHORT_NTP);
        // The session's sources share the way; the last report is as good as any.
        counts.round_trip = Some(counts.round_trip.unwrap_or_default().max(round_trip));
    }
    let packets = number(entry, "packets-received");
    let ssrc = entry.get::<u32>("ssrc").ok();
    let is_repeated = ssrc.is_some_and(|ssrc| sources.repeated.contains(&ssrc));
    // A source that only reports sends no media.
    if packets == 0 || is_repeated {
        return;
    }
    let count = counts.received.of(kind(rate)).get_or_insert_default();
    count.packets += packets;
    count.bytes += number(entry, "bytes-received");
    count.lost += entry.get::<i64>("packets-lost").unwrap_or(0);
    let jitter = Duration::try_from_secs_f64(entry.get("jitter").unwrap_or(0.0));
    count.jitter = count.jitter.max(jitter.unwrap_or_default());
    add_requests(count, entry);
}

fn add_sent(counts: &mut Counts, entry: &gst::StructureRef, sources: &Sources, reports: &Reports) {
    let ssrc = entry.get::<u32>("ssrc").ok();
    let known = sources.sent.iter().find(|(known, _)| Some(*known) == ssrc);
    let (Some(&(ssrc, kind)), Some((_, rate))) = (known, source(entry)) else {
        return;
    };
    let count = counts.sent.of(kind).get_or_insert_default();
    count.packets += number(entry, "packets-sent");
    count.bytes += number(entry, "bytes-sent");
    add_requests(count, entry);
    if let Some(report) = reports.of(ssrc) {
        count.fraction_lost = Some(report.fraction_lost);
        count.jitter = Duration::from_secs_f64(f64::from(report.jitter) / f64::from(rate));
    }
}

fn add_requests(count: &mut Count, entry: &gst::StructureRef) {
    count.nacks += number(entry, "nack-count");
    count.key_frame_requests += number(entry, "pli-count") + number(entry, "fir-count");
}

/// The RTP session's own counters of a source, and its clock rate. The `kind` and the codec that GStreamer 1.22 tells of
/// bundled tracks are those of the last m-line.
fn source(entry: &gst::StructureRef) -> Option<(gst::Structure, u32)> {
    let source = entry.get::<gst::Structure>("gst-rtpsource-stats").ok()?;
    let rate = source.get::<i32>("clock-rate").ok()?;
    let rate = u32::try_from(rate).ok().filter(|rate| *rate > 0);
    // A source that sends nothing has no rate.
    Some((source, rate.unwrap_or(SOUND_RATE)))
}

fn kind(rate: u32) -> MediaKind {
    match rate {
        SOUND_RATE => MediaKind::Audio,
        _ => MediaKind::Video,
    }
}

fn path(stats: &gst::StructureRef, pair: &gst::StructureRef) -> Option<Path> {
    let end = |field| {
        let id = pair.get::<String>(field).ok()?;
        let candidate = stats.get::<gst::Structure>(id).ok()?;
        candidate.get::<String>("candidate-type").ok()
    };
    let ends = [end("local-candidate-id")?, end("remote-candidate-id")?];
    let is_relayed = ends.iter().any(|kind| kind.starts_with("relay"));
    Some(if is_relayed {
        Path::Relayed
    } else {
        Path::Direct
    })
}

/// Counters are of different widths.
fn number(entry: &gst::StructureRef, field: &str) -> u64 {
    let wide = entry.get::<u64>(field).ok();
    let narrow = || entry.get::<u32>(field).ok().map(u64::from);
    wide.or_else(narrow).unwrap_or(0)
}
