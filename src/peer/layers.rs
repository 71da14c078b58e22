//! Which encoding of a picture each received source is: read from its packets, before they leave webrtcbin.
//!
//! A browser names a source's encoding in a header extension (RFC 8852) until a receiver's report shows that its packets
//! arrive; later packets may be without. So it is kept as long as the peer lives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;

use super::pacer::packet;
use super::simulcast::Rid;

/// More sources are not remembered: nobody has so many who means well.
const MOST: usize = 32;

/// A peer's sources. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Sources(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The id of the extension, once several encodings were agreed on.
    extension: OnceLock<u8>,
    known: Mutex<BTreeMap<u32, Rid>>,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// All there is of the picture.
    Whole,
    /// One of several encodings.
    One {
        /// Its name.
        rid: Rid,
        /// Its SSRC.
        ssrc: u32,
    },
    /// Several encodings were agreed on, and no packet has said which of them this is.
    Unknown,
}

impl Sources {
    /// Reads the packets that come into a webrtcbin.
    pub fn watch(webrtc: &gst::Element) -> Result<Self> {
        let sources = Self::default();
        let rtpbin = webrtc
            .downcast_ref::<gst::Bin>()
            .and_then(|bin| bin.by_name("rtpbin"))
            .context("a webrtcbin without an rtpbin")?;
        let inner = sources.0.clone();
        rtpbin.connect_pad_added(move |_, pad| {
            if !pad.name().starts_with("recv_rtp_sink_") {
                return;
            }
            let inner = inner.clone();
            let types = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
            pad.add_probe(types, move |_, info| {
                match &info.data {
                    Some(gst::PadProbeData::Buffer(packet)) => inner.on_packet(packet),
                    Some(gst::PadProbeData::BufferList(packets)) => {
                        packets.iter().for_each(|packet| inner.on_packet(packet));
                    }
                    // The probe asks for nothing else.
                    Some(_) | None => {}
                }
                gst::PadProbeReturn::Ok
            });
        });
        Ok(sources)
    }

    /// Several encodings were agreed on; the header extension of this id names them.
    pub fn expect(&self, extension: u8) {
        self.0.extension.get_or_init(|| extension);
    }

    /// What leaves webrtcbin at a pad.
    pub fn at(&self, pad: &gst::Pad) -> Layer {
        if self.0.extension.get().is_none() {
            return Layer::Whole;
        }
        let found = source(pad).and_then(|ssrc| {
            let rid = self.0.known().get(&ssrc)?.clone();
            Some(Layer::One { rid, ssrc })
        });
        found.unwrap_or(Layer::Unknown)
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, BTreeMap<u32, Rid>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_packet(&self, buffer: &gst::BufferRef) {
        let Some(id) = self.extension.get() else {
            return;
        };
        let Ok(map) = buffer.map_readable() else {
            return;
        };
        let Some(ssrc) = packet::ssrc(&map) else {
            return;
        };
        let mut known = self.known();
        if known.contains_key(&ssrc) || known.len() >= MOST {
            return;
        }
        let read = |name: &[u8]| Rid::parse(std::str::from_utf8(name).ok()?);
        if let Some(rid) = packet::extension(&map, *id, read) {
            known.insert(ssrc, rid);
        }
    }
}

/// The SSRC of what leaves at a pad: rtpbin's pad behind it is named `recv_rtp_src_SESSION_SSRC_PAYLOADTYPE`.
fn source(pad: &gst::Pad) -> Option<u32> {
    let target = pad.downcast_ref::<gst::GhostPad>()?.target()?;
    target.name().split('_').nth(4)?.parse().ok()
}
