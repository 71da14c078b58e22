//! Packets of a peer, counted where they enter and leave webrtcbin.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;

/// A number of packets. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Packets(Arc<AtomicU64>);

impl Packets {
    /// So many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts what passes a pad from now on.
    pub fn count(&self, pad: &gst::Pad) {
        let packets = self.clone();
        let types = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(types, move |_, info| {
            let more = match &info.data {
                Some(gst::PadProbeData::BufferList(list)) => list.len(),
                Some(_) | None => 1,
            };
            packets.0.fetch_add(more as u64, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    }
}

/// Counts everything that the other side sends: RTP, RTCP, DTLS and SCTP; ICE's own checks stay inside libnice.
pub fn hear(webrtc: &gst::Element) -> Result<Packets> {
    let heard = Packets::default();
    let packets = heard.clone();
    let bin = webrtc
        .downcast_ref::<gst::Bin>()
        .context("webrtcbin is no bin")?;
    bin.connect_deep_element_added(move |_, _, element| {
        let is_source = element
            .factory()
            .is_some_and(|made| made.name() == "nicesrc");
        if let Some(pad) = element.static_pad("src").filter(|_| is_source) {
            packets.count(&pad);
        }
    });
    Ok(heard)
}
