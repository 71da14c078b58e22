//! Fan-out: one encoder behind a tee, its frames for any number of consumers, their key frame requests merged.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_utils::StreamProducer;
use gstreamer_utils::streamproducer::ProducerSettings;
use gstreamer_video as gst_video;

use super::capture::add_linked;
use super::encoder::{self, make};
use super::key_frames::KeyFrames;
use super::{MediaError, MediaKind};
use crate::pipeline::Settings;

/// One encoder and its way out.
#[derive(Debug)]
pub(super) struct Branch {
    pub producer: StreamProducer,
    /// Between the tee and the encoder; shut while nobody is there.
    valve: gst::Element,
    key_frames: Arc<Mutex<KeyFrames>>,
}

impl Branch {
    /// Adds queue, encoder and appsink to the running pipeline and then lets frames in.
    pub fn add(
        pipeline: &gst::Pipeline,
        tee: &gst::Element,
        candidate: &encoder::Candidate,
        settings: &Settings,
    ) -> Result<Self, MediaError> {
        let valve = make("valve", "libgstreamer1.0-0")?;
        let queue = make("queue", "libgstreamer1.0-0")?;
        // An encoder that cannot keep up loses pictures instead of gathering delay.
        queue.set_property_from_str("leaky", "downstream");
        queue.set_property(
            "max-size-buffers",
            match candidate.codec.kind() {
                MediaKind::Video => 2u32,
                MediaKind::Audio => 25u32,
            },
        );
        queue.set_property("max-size-bytes", 0u32);
        queue.set_property("max-size-time", 0u64);
        let appsink = gst_app::AppSink::builder()
            .async_(false)
            .wait_on_eos(false)
            .build();
        let producer = StreamProducer::with(&appsink, ProducerSettings { sync: false });
        let key_frames = Arc::new(Mutex::new(KeyFrames::default()));
        if candidate.codec.kind() == MediaKind::Video {
            merge_key_frame_requests(&appsink, &key_frames);
        }
        let mut chain = vec![valve.clone(), queue];
        chain.extend(candidate.build(settings)?);
        if let Some(pad) = appsink.static_pad("sink") {
            stamp_running_time(&pad);
        }
        chain.push(appsink.upcast());
        add_linked(pipeline, &chain)?;
        for element in chain.iter().rev() {
            element
                .sync_state_with_parent()
                .map_err(MediaError::gstreamer("start an encoder"))?;
        }
        tee.link(&valve)
            .map_err(MediaError::gstreamer("start an encoder"))?;
        let branch = Self {
            producer,
            valve,
            key_frames,
        };
        branch.expect_newcomer();
        Ok(branch)
    }

    /// Somebody comes: frames flow, the next one a key frame.
    pub fn wake(&self) {
        self.valve.set_property("drop", false);
        self.expect_newcomer();
        let request = gst_video::UpstreamForceKeyUnitEvent::builder()
            .all_headers(true)
            .build();
        if let Some(pad) = self.producer.appsink().static_pad("sink") {
            pad.push_event(request);
        }
        self.expect_newcomer();
    }

    /// Nobody is there: no frame reaches the encoder.
    pub fn rest(&self) {
        self.valve.set_property("drop", true);
    }

    fn expect_newcomer(&self) {
        let mut key_frames = self
            .key_frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        key_frames.expect_newcomer();
    }
}

/// Lets only those key frame requests pass upstream that [`KeyFrames`] grants.
fn merge_key_frame_requests(appsink: &gst_app::AppSink, key_frames: &Arc<Mutex<KeyFrames>>) {
    let Some(pad) = appsink.static_pad("sink") else {
        return;
    };
    let requests = key_frames.clone();
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        let Some(gst::PadProbeData::Event(event)) = info.data.as_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        let is_request = gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok();
        let mut frames = requests.lock().unwrap_or_else(PoisonError::into_inner);
        if is_request && !frames.on_request(Instant::now()) {
            // Replaced by one that nobody knows: GStreamer 1.22 complains when an event of this way is dropped.
            *event = gst::event::CustomUpstream::new(gst::Structure::new_empty("attache-merged"));
        }
        gst::PadProbeReturn::Ok
    });
    let frames = key_frames.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if info
            .buffer()
            .is_some_and(|buffer| !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT))
        {
            frames
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .on_key_frame(Instant::now());
        }
        gst::PadProbeReturn::Ok
    });
}

/// Turns timestamps into running times and the segment into the plain one. x264enc counts from 1000 hours, to have
/// room for negative decoding times.
fn stamp_running_time(pad: &gst::Pad) {
    let segment = Mutex::new(gst::FormattedSegment::<gst::ClockTime>::new());
    let wanted = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(wanted, move |_, info| {
        let mut segment = segment.lock().unwrap_or_else(PoisonError::into_inner);
        match info.data.as_mut() {
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Segment(found) = event.view()
                    && let Some(found) = found.segment().downcast_ref::<gst::ClockTime>()
                {
                    *segment = found.clone();
                    *event =
                        gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new());
                }
            }
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let buffer = buffer.make_mut();
                let pts = segment.to_running_time(buffer.pts());
                buffer.set_pts(pts);
                // No encoder here reorders pictures.
                buffer.set_dts(pts);
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}
