//! Congestion control's edge: the element `attachepacer`, which webrtcbin puts before its RTP session, and what it is told
//! of packets on their way.
//!
//! * [`line`] is one peer's packets: they wait there for their time, and the other side's feedback arrives there.
//! * [`history`] has the packets that may be asked for again.
//! * [`batch`] is what leaves at once; [`packet`] reads and makes RTP packets. [`rounds`] is the thread for what has to wait,
//!   of all peers.
//! * [`gate`] leaves out pictures of a peer that is behind.
//!
//! An RTP session of GStreamer numbers packets behind this element and keeps of each what it thinks is enough, so the
//! numbers are read where packets leave the session, and feedback as it comes in.

mod batch;
mod element;
pub mod gate;
mod history;
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
        Some(as_new(&Pacer::of(&line)))
    });
}

/// The element as C hands over a new one, with a floating reference. Of one without, webrtcbin keeps a reference that it
/// never gives back: each peer left its pacer behind, and the packets in it.
#[expect(
    unsafe_code,
    reason = "no binding gives an element a floating reference, and webrtcbin expects one"
)]
fn as_new(pacer: &Pacer) -> glib::Value {
    let value = pacer.to_value();
    // SAFETY: `pacer` holds the object while this is called. The flag says that the reference in `value` is for the first
    // one who sinks it; `pacer` gives its own back before that.
    unsafe { glib::gobject_ffi::g_object_force_floating(pacer.as_ptr().cast()) };
    value
}
