//! Received pictures begin with a key frame, and after a loss, too: for a depayloader that does not see to it by itself
//! (H.265, GStreamer 1.22).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::media::clock;

/// Least time between two requests.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What becomes of pictures. Pure: time is passed in, as running time.
#[derive(Debug, Default)]
struct Gate {
    is_open: bool,
    asked: Option<Duration>,
}

/// What to do with a picture.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passes,
    /// It cannot be decoded.
    Dropped,
    /// Likewise, and the sender is to be asked for a key frame.
    DroppedAndAsked,
}

impl Gate {
    fn lost(&mut self) {
        self.is_open = false;
    }

    fn picture(&mut self, is_key: bool, now: Duration) -> Verdict {
        self.is_open |= is_key;
        if self.is_open {
            self.asked = None;
            return Verdict::Passes;
        }
        let is_soon = |asked: Duration| now.saturating_sub(asked) < ASK_AGAIN;
        if self.asked.is_some_and(is_soon) {
            return Verdict::Dropped;
        }
        self.asked = Some(now);
        Verdict::DroppedAndAsked
    }
}

/// Drops the pictures at `pictures` that cannot be decoded; `packets` is where the packets come in, and requests go out.
pub(super) fn wait_for_it(packets: &gst::Pad, pictures: &gst::Pad) {
    let gate = Arc::new(Mutex::new(Gate::default()));
    let closed = gate.clone();
    packets.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let told = info.event().and_then(|event| event.structure());
        if told.is_some_and(|told| told.name() == "GstRTPPacketLost") {
            closed.lock().unwrap_or_else(PoisonError::into_inner).lost();
        }
        gst::PadProbeReturn::Ok
    });
    let packets = packets.downgrade();
    pictures.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer() else {
            return gst::PadProbeReturn::Ok;
        };
        let is_key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let now = clock::running_time().into();
        let verdict = gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .picture(is_key, now);
        match verdict {
            Verdict::Passes => return gst::PadProbeReturn::Ok,
            Verdict::Dropped => {}
            Verdict::DroppedAndAsked => {
                let request = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true);
                packets
                    .upgrade()
                    .map(|packets| packets.push_event(request.build()));
            }
        }
        gst::PadProbeReturn::Drop
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn after_a_loss_a_key_frame_is_asked_for_until_it_comes_and_nothing_else_passes() {
        let mut gate = Gate::default();
        let mut at = |ms: u32, is_key| gate.picture(is_key, ms * MS);
        assert_eq!(at(0, false), Verdict::DroppedAndAsked);
        assert_eq!(at(33, true), Verdict::Passes);
        assert_eq!(at(66, false), Verdict::Passes);
        gate.lost();
        let mut at = |ms: u32, is_key| gate.picture(is_key, ms * MS);
        assert_eq!(at(100, false), Verdict::DroppedAndAsked);
        assert_eq!(at(133, false), Verdict::Dropped);
        assert_eq!(at(600, false), Verdict::DroppedAndAsked);
        assert_eq!(at(633, true), Verdict::Passes);
        assert_eq!(at(666, false), Verdict::Passes);
    }

    #[test]
    fn a_lost_packet_closes_the_way_and_asks_the_sender() {
        gst::init().unwrap();
        clock::base_time();
        let asked = Arc::new(Mutex::new(0));
        let requests = asked.clone();
        let webrtc = gst::Pad::builder(gst::PadDirection::Src)
            .event_function(move |_, _, event| {
                let is_request = gst_video::UpstreamForceKeyUnitEvent::parse(&event).is_ok();
                *requests.lock().unwrap() += u32::from(is_request);
                true
            })
            .build();
        let packets = gst::Pad::builder(gst::PadDirection::Sink)
            .event_function(|_, _, _| true)
            .build();
        let passed = Arc::new(Mutex::new(Vec::new()));
        let out = passed.clone();
        let pictures = gst::Pad::new(gst::PadDirection::Src);
        let file = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, buffer| {
                out.lock().unwrap().push(buffer.pts().unwrap().mseconds());
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        wait_for_it(&packets, &pictures);
        for (from, to) in [(&webrtc, &packets), (&pictures, &file)] {
            from.link(to).unwrap();
            from.set_active(true).unwrap();
            to.set_active(true).unwrap();
            from.push_event(gst::event::StreamStart::new("a test"));
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            from.push_event(gst::event::Segment::new(&segment));
        }
        let picture = |ms: u64, is_key: bool| {
            let mut buffer = gst::Buffer::new();
            let writable = buffer.get_mut().unwrap();
            writable.set_pts(gst::ClockTime::from_mseconds(ms));
            if !is_key {
                writable.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
            pictures.push(buffer).unwrap();
        };
        picture(0, true);
        picture(33, false);
        let lost = gst::Structure::builder("GstRTPPacketLost").build();
        webrtc.push_event(gst::event::CustomDownstream::new(lost));
        picture(66, false);
        picture(100, false);
        picture(133, true);
        picture(166, false);
        assert_eq!(*passed.lock().unwrap(), [0, 33, 133, 166]);
        assert_eq!(*asked.lock().unwrap(), 1);
    }
}
