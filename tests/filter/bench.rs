//! An element alone, with a pad of the test on each side: buffers go in and out on the test's own thread.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstreamer as gst;

/// The element between two pads.
pub struct Bench {
    pub element: gst::Element,
    pub bus: gst::Bus,
    source: gst::Pad,
    sink: gst::Pad,
    received: Arc<Mutex<Vec<gst::Buffer>>>,
    bytes_per_frame: usize,
    rate: u64,
    sent: u64,
}

impl Bench {
    /// `attachedenoise`: sound of these caps goes in; the properties are set before.
    pub fn new(caps: &str, properties: &[(&str, &str)]) -> Self {
        Self::of("attachedenoise", caps, properties)
    }

    /// Any element with one pad on each side, likewise.
    pub fn of(factory: &str, caps: &str, properties: &[(&str, &str)]) -> Self {
        attache::media::init().unwrap();
        let element = gst::ElementFactory::make(factory).build().unwrap();
        for (name, value) in properties {
            element.set_property_from_str(name, value);
        }
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let received: Arc<Mutex<Vec<gst::Buffer>>> = Arc::default();
        let to = received.clone();
        // Without a template, a pad that has caps takes no others.
        let anything = gst::PadTemplate::new(
            "sink",
            gst::PadDirection::Sink,
            gst::PadPresence::Always,
            &gst::Caps::new_any(),
        );
        let sink = gst::Pad::builder_from_template(&anything.unwrap())
            .chain_function(move |_, _, buffer| {
                to.lock().unwrap().push(buffer);
                Ok(gst::FlowSuccess::Ok)
            })
            .event_function(|_, _, _| true)
            .build();
        // A live source that is 5 ms late.
        let source = gst::Pad::builder(gst::PadDirection::Src)
            .query_function(|pad, parent, query| match query.view_mut() {
                gst::QueryViewMut::Latency(latency) => {
                    latency.set(true, gst::ClockTime::from_mseconds(5), gst::ClockTime::NONE);
                    true
                }
                _ => gst::Pad::query_default(pad, parent, query),
            })
            .build();
        source.link(&element.static_pad("sink").unwrap()).unwrap();
        element.static_pad("src").unwrap().link(&sink).unwrap();
        source.set_active(true).unwrap();
        sink.set_active(true).unwrap();
        element.set_state(gst::State::Playing).unwrap();
        let bench = Self {
            element,
            bus,
            source,
            sink,
            received,
            bytes_per_frame: 4,
            rate: 48_000,
            sent: 0,
        };
        bench.begin(caps)
    }

    fn begin(mut self, caps: &str) -> Self {
        self.source.push_event(gst::event::StreamStart::new("test"));
        self.set_caps(caps);
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        assert!(self.source.push_event(gst::event::Segment::new(&segment)));
        self
    }

    /// Other caps from now on.
    pub fn set_caps(&mut self, caps: &str) {
        let caps: gst::Caps = caps.parse().unwrap();
        let info = gstreamer_audio::AudioInfo::from_caps(&caps).unwrap();
        self.bytes_per_frame = usize::try_from(info.bpf()).unwrap();
        self.rate = u64::from(info.rate());
        self.sent = 0;
        assert!(self.source.push_event(gst::event::Caps::new(&caps)));
    }

    pub fn time_of(&self, frames: u64) -> gst::ClockTime {
        gst::ClockTime::from_nseconds(frames * 1_000_000_000 / self.rate)
    }

    /// Sends one buffer; its time follows from the number of frames before.
    pub fn send(&mut self, bytes: Vec<u8>) {
        let pts = self.time_of(self.sent);
        self.send_at(bytes, pts);
    }

    /// Sends one buffer with this time.
    pub fn send_at(&mut self, bytes: Vec<u8>, pts: gst::ClockTime) {
        self.sent += u64::try_from(bytes.len() / self.bytes_per_frame).unwrap();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        buffer.get_mut().unwrap().set_pts(pts);
        self.source.push(buffer).unwrap();
    }

    pub fn event(&self, event: gst::Event) {
        assert!(self.source.push_event(event));
    }

    /// What came out since the last call.
    pub fn take(&self) -> Vec<gst::Buffer> {
        std::mem::take(&mut self.received.lock().unwrap())
    }

    /// The latency that the element tells, without the source's 5 ms.
    pub fn latency(&self) -> gst::ClockTime {
        let mut query = gst::query::Latency::new();
        assert!(self.sink.peer_query(&mut query));
        let (is_live, least, _) = query.result();
        assert!(is_live);
        least - gst::ClockTime::from_mseconds(5)
    }

    /// Frames in a buffer.
    pub fn frames(&self, buffer: &gst::Buffer) -> u64 {
        u64::try_from(buffer.size() / self.bytes_per_frame).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.element.set_state(gst::State::Null);
        let _ = self.sink.set_active(false);
        let _ = self.source.set_active(false);
    }
}

pub fn f32_bytes(samples: &[f32]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

pub fn f32_samples(buffers: &[gst::Buffer]) -> Vec<f32> {
    let mut samples = Vec::new();
    for buffer in buffers {
        let map = buffer.map_readable().unwrap();
        samples.extend(map.as_chunks().0.iter().copied().map(f32::from_le_bytes));
    }
    samples
}
