//! A consumer of an outlet that hands each frame to a function.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_utils::{ConsumptionLink, StreamProducer};
use gstreamer_video as gst_video;

use super::{MediaError, clock};

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// All is well.
    Well,
    /// The encoder should make a key frame.
    WithoutKeyFrame,
}

/// Frames on their way to a function, in a pipeline of its own. Dropped, it ends: not on async threads.
pub struct Tap {
    pipeline: gst::Pipeline,
    link: ConsumptionLink,
}

impl Tap {
    /// Calls `take` on a streaming thread for each frame from now on.
    ///
    /// # Errors
    /// GStreamer refuses.
    pub fn open(
        name: &str,
        producer: &StreamProducer,
        mut take: impl FnMut(gst::Sample) -> Taken + Send + 'static,
    ) -> Result<Self, MediaError> {
        let taken = move |sink: &gst_app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if take(sample) == Taken::WithoutKeyFrame {
                let request = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true);
                let pad = sink.static_pad("sink");
                pad.map(|pad| pad.push_event(request.build()));
            }
            Ok(gst::FlowSuccess::Ok)
        };
        let pipeline = gst::Pipeline::with_name(name);
        clock::prepare(&pipeline);
        let source = gst_app::AppSrc::builder().build();
        StreamProducer::configure_consumer(&source);
        let callbacks = gst_app::AppSinkCallbacks::builder()
            .new_sample(taken)
            .build();
        let sink = gst_app::AppSink::builder()
            .sync(false)
            .async_(false)
            .callbacks(callbacks)
            .build();
        let doing = "lead frames on";
        pipeline
            .add_many([source.upcast_ref::<gst::Element>(), sink.upcast_ref()])
            .map_err(MediaError::gstreamer(doing))?;
        source.link(&sink).map_err(MediaError::gstreamer(doing))?;
        let failed = |reason: String| MediaError::GStreamer { doing, reason };
        let playing = pipeline.set_state(gst::State::Playing);
        playing.map_err(|error| failed(error.to_string()))?;
        let link = producer.add_consumer(&source);
        let link = link.map_err(|error| failed(error.to_string()))?;
        Ok(Self { pipeline, link })
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.link.disconnect();
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "a tap did not stop");
        }
    }
}
