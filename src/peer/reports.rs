//! What the other side's receiver reports say of each track that we send (RFC 3550 6.4).
//!
//! An RTP session of GStreamer keeps the last block of a report only, which may be of another track than the one that is
//! asked for; so the reports are read as they come.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gstreamer as gst;
use rtcp_types::{Compound, Packet, ReportBlock};

/// What was reported last of one of our sources.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// The part of its packets that was lost since the report before, 0 to 1.
    pub fraction_lost: f64,
    /// How unevenly they arrive, in units of its RTP clock.
    pub jitter: u32,
    /// The highest sequence number that arrived, with its cycles.
    pub highest: u32,
    /// How many reports of it there were.
    pub reports: u64,
}

/// The reports of a peer, by our SSRC. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    last: Arc<Mutex<HashMap<u32, Report>>>,
    is_watching: Arc<AtomicBool>,
}

impl Reports {
    /// Reads what comes from now on; called again, it does nothing.
    pub fn watch(&self, webrtc: &gst::Element) {
        if self.is_watching.load(Ordering::Relaxed) {
            return;
        }
        let Some(session) = session(webrtc) else {
            return;
        };
        if self.is_watching.swap(true, Ordering::Relaxed) {
            return;
        }
        let reports = self.clone();
        session.connect("on-receiving-rtcp", false, move |values| {
            if let Some(Ok(buffer)) = values.get(1).map(|value| value.get::<gst::Buffer>())
                && let Ok(map) = buffer.map_readable()
            {
                reports.on_rtcp(&map);
            }
            None
        });
    }

    /// What was reported last of a source of ours.
    pub fn of(&self, ssrc: u32) -> Option<Report> {
        self.lock().get(&ssrc).copied()
    }

    fn on_rtcp(&self, packet: &[u8]) {
        let Ok(compound) = Compound::parse(packet) else {
            return;
        };
        for part in compound.flatten() {
            match part {
                Packet::Rr(report) => self.take(report.report_blocks()),
                Packet::Sr(report) => self.take(report.report_blocks()),
                // What else RTCP carries is the session's.
                _ => {}
            }
        }
    }

    fn take<'a>(&self, blocks: impl Iterator<Item = ReportBlock<'a>>) {
        let mut last = self.lock();
        for block in blocks {
            let before = last.get(&block.ssrc()).map_or(0, |report| report.reports);
            let report = Report {
                fraction_lost: f64::from(block.fraction_lost()) / 256.0,
                jitter: block.interarrival_jitter(),
                highest: block.extended_sequence_number(),
                reports: before + 1,
            };
            last.insert(block.ssrc(), report);
            // Somebody invents sources: ours are few.
            if last.len() > MOST {
                last.clear();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Report>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More sources than a peer of ours ever has.
const MOST: usize = 32;

/// webrtcbin's RTP session: with max-bundle there is one.
pub fn session(webrtc: &gst::Element) -> Option<gst::glib::Object> {
    let rtpbin = webrtc.downcast_ref::<gst::Bin>()?.by_name("rtpbin")?;
    rtpbin.emit_by_name::<Option<gst::glib::Object>>("get-internal-session", &[&0u32])
}

#[cfg(test)]
mod tests {
    use rtcp_types::prelude::*;

    use super::*;

    #[test]
    fn each_block_of_a_report_is_kept_for_its_source() {
        let block = |ssrc, lost| {
            ReportBlock::builder(ssrc)
                .fraction_lost(lost)
                .extended_sequence_number(70_000)
                .interarrival_jitter(90)
        };
        let report = rtcp_types::ReceiverReport::builder(7)
            .add_report_block(block(1, 64))
            .add_report_block(block(2, 0));
        let compound = Compound::builder().add_packet(report);
        let mut bytes = [0; 128];
        let length = compound.write_into(&mut bytes).unwrap();
        let reports = Reports::default();
        reports.on_rtcp(&bytes[..length]);
        assert_eq!(
            reports.of(1),
            Some(Report {
                fraction_lost: 0.25,
                jitter: 90,
                highest: 70_000,
                reports: 1,
            })
        );
        assert_eq!(reports.of(2).unwrap().fraction_lost, 0.0);
        assert_eq!(reports.of(7), None);
        reports.on_rtcp(&bytes[..5]);
    }
}
