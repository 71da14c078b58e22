//! Congestion control's edge: the element `attachepacer`, which webrtcbin puts between its retransmission buffer and its
//! RTP session, and what it is told of packets on their way.
//!
//! * [`line`] is one peer's packets: they wait there for their time, and the other side's feedback arrives there.
//! * [`packet`] reads and makes RTP packets. [`rounds`] is the thread that lets the packets of all peers go.
//! * [`gate`] leaves out pictures of a peer that is behind.
//!
//! An RTP session of GStreamer numbers packets behind this element and keeps of each what it thinks is enough, so the
//! numbers are read where packets leave the session, and feedback as it comes in.

mod element;
pub mod gate;
pub mod line;
pub mod packet;
mod rounds;

use std::sync::Arc;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use line::Line;

glib::wrapper! {
    /// RTP packets in, the same out at their time.
    pub struct Pacer(ObjectSubclass<element::Pacer>) @extends gst::Element, gst::Object;
}

impl Pacer {
    /// The element of a peer.
    pub fn of(line: &Arc<Line>) -> Self {
        let pacer: Self = glib::Object::new();
        pacer.imp().set_line(Arc::clone(line));
        pacer
    }
}

/// Puts the pacer into a webrtcbin, when that asks for it.
pub fn insert(webrtc: &gst::Element, line: &Arc<Line>) {
    let line = Arc::clone(line);
    webrtc.connect("request-aux-sender", false, move |_| {
        Some(Pacer::of(&line).upcast::<gst::Element>().to_value())
    });
}
