//! What webrtcbin brings along and a peer of ours does without: threads that only hand packets on, and a wait for a clock.
//!
//! With many viewers threads are most of what one costs. Seen in GStreamer 1.22 and 1.26; what a version lacks is left as it
//! is.

use std::sync::{Arc, Weak};

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;

use super::pacer::line::Line;

/// Who begins a DTLS handshake: webrtcbin does where it answers (RFC 8842, 5.3), the other side where it offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It hears of the handshake before its ICE has noticed a path: that waits in the queue.
    Offers,
    /// Nothing comes before it has begun.
    Answers,
}

/// Looks at each element that a webrtcbin makes, before it is at work.
pub fn prepare(webrtc: &gst::Element, side: Side, line: &Arc<Line>) -> Result<()> {
    let line = Arc::downgrade(line);
    let bin = webrtc
        .downcast_ref::<gst::Bin>()
        .context("webrtcbin is no bin")?;
    bin.connect_deep_element_added(move |_, parent, element| {
        let factory = element.factory();
        match factory.as_ref().map(|made| made.name()).as_deref() {
            Some("rtprtxsend") => repeat_elsewhere(element, &line),
            Some("queue") if side == Side::Answers => bypass(parent, element),
            // Frames come at their time, and packets leave at the pacer's: nobody else need wait.
            Some("clocksync") => element.set_property("sync", false),
            Some(_) | None => {}
        }
    });
    Ok(())
}

/// Packets are sent again by [`Line`], which keeps them anyway. Without payload types the element has no history, and no
/// thread; as what packets are sent again it would have told, the line knows then.
fn repeat_elsewhere(element: &gst::Element, line: &Weak<Line>) {
    let line = line.clone();
    let take = move |element: &gst::Element| {
        let types = element.property::<Option<gst::Structure>>("payload-type-map");
        let Some(types) = types.filter(|types| types.n_fields() > 0) else {
            return;
        };
        if let Some(line) = line.upgrade() {
            line.set_repeated_types(types);
            element.set_property("payload-type-map", empty());
        }
    };
    take(element);
    element.connect_notify(Some("payload-type-map"), move |element, _| take(element));
}

fn empty() -> gst::Structure {
    gst::Structure::new_empty("application/x-rtp-pt-map")
}

/// Between socket and DTLS stands a queue: what comes from the socket has waited in one already.
fn bypass(parent: &gst::Bin, queue: &gst::Element) {
    let is_receiving = parent
        .iterate_all_by_element_factory_name("nicesrc")
        .into_iter()
        .next()
        .is_some();
    let (Some(entry), Some(exit)) = (queue.static_pad("sink"), queue.static_pad("src")) else {
        return;
    };
    let (Some(before), Some(behind)) = (entry.peer(), exit.peer()) else {
        return;
    };
    if !is_receiving || before.unlink(&entry).is_err() || exit.unlink(&behind).is_err() {
        return;
    }
    // What is asked of everybody behind a packet waits for nobody there.
    before.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        match info.query().is_some_and(|query| query.is_serialized()) {
            true => gst::PadProbeReturn::Drop,
            false => gst::PadProbeReturn::Pass,
        }
    });
    if let Err(error) = before.link(&behind) {
        tracing::error!(%error, "the way from the socket to DTLS is cut");
    }
    // It is still spoken to, but never starts.
    queue.set_locked_state(true);
}
