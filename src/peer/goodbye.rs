//! The other side's last word: DTLS' close_notify (RFC 5246, 7.2.1), which browsers send when a PeerConnection is closed.
//! webrtcbin keeps it to itself.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;
use tokio::sync::mpsc::UnboundedSender;

use super::PeerEvent;
use crate::job::PeerState;

/// Tells [`PeerState::Closed`] when the other side has closed the connection. Of one that vanishes nothing comes.
pub fn listen(webrtc: &gst::Element, events: &UnboundedSender<PeerEvent>) -> Result<()> {
    let bin = webrtc
        .downcast_ref::<gst::Bin>()
        .context("webrtcbin is no bin")?;
    let events = events.clone();
    bin.connect_deep_element_added(move |_, _, element| {
        let is_decoder = element
            .factory()
            .is_some_and(|made| made.name() == "dtlsdec");
        if is_decoder {
            watch(element, events.clone());
        }
    });
    Ok(())
}

fn watch(decoder: &gst::Element, events: UnboundedSender<PeerEvent>) {
    // Before the handshake it may be closed as well.
    let was_connected = AtomicBool::new(false);
    decoder.connect_notify(Some("connection-state"), move |decoder, _| {
        match nick(decoder).as_deref() {
            Some("connected") => was_connected.store(true, Ordering::Relaxed),
            Some("closed") if was_connected.load(Ordering::Relaxed) => {
                // Whoever closes it here does not listen any more.
                let _ = events.send(PeerEvent::State(PeerState::Closed));
            }
            Some(_) | None => {}
        }
    });
}

/// The state's name: the type has no binding.
fn nick(decoder: &gst::Element) -> Option<String> {
    let state = decoder.property_value("connection-state");
    let (_, value) = gst::glib::EnumValue::from_value(&state)?;
    Some(value.nick().to_owned())
}
