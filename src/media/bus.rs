//! A pipeline's bus: errors become [`MediaEvent`]s, changes of latency are seen to.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;

use super::{MediaError, MediaEvent, notice};

/// The application message that ends a watch.
const END: &str = "attache-end";

/// What failed first in a pipeline. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<MediaError>>>);

impl Failure {
    /// Something failed; what failed before counts.
    pub fn set(&self, error: MediaError) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
    }

    /// What failed.
    pub fn get(&self) -> Option<MediaError> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.clone()
    }
}

/// A thread that reads a pipeline's bus until [`Watch::end`] or drop.
#[derive(Debug)]
pub struct Watch {
    bus: gst::Bus,
}

impl Watch {
    /// Starts to read. `name` is the pipeline's in errors; `tell` is called on a thread of its own.
    pub fn start(
        pipeline: &gst::Pipeline,
        name: &'static str,
        tell: impl Fn(MediaEvent) + Send + 'static,
    ) -> Result<Self, MediaError> {
        let bus = pipeline.bus().ok_or(MediaError::GStreamer {
            doing: "watch a pipeline",
            reason: "it has no bus".to_owned(),
        })?;
        let (reader, pipeline) = (bus.clone(), pipeline.downgrade());
        std::thread::Builder::new()
            .name(format!("{name}-bus"))
            .spawn(move || read(&reader, &pipeline, name, &tell))
            .map_err(|error| MediaError::GStreamer {
                doing: "watch a pipeline",
                reason: error.to_string(),
            })?;
        Ok(Self { bus })
    }

    /// Ends the thread.
    pub fn end(&self) {
        let message = gst::message::Application::new(gst::Structure::new_empty(END));
        // A flushing bus has no reader any more.
        let _ = self.bus.post(message);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

fn read(
    bus: &gst::Bus,
    pipeline: &gst::glib::WeakRef<gst::Pipeline>,
    name: &str,
    tell: &impl Fn(MediaEvent),
) {
    let wanted = [
        gst::MessageType::Application,
        gst::MessageType::Error,
        gst::MessageType::Warning,
        gst::MessageType::Latency,
        gst::MessageType::Eos,
    ];
    while let Some(message) = bus.timed_pop_filtered(gst::ClockTime::NONE, &wanted) {
        let element = || {
            message
                .src()
                .map(|src| src.name().to_string())
                .unwrap_or_default()
        };
        let failed = |reason: String| {
            let error = MediaError::Element {
                pipeline: name.to_owned(),
                element: element(),
                reason,
            };
            tell(MediaEvent::Failed(error));
        };
        match message.view() {
            gst::MessageView::Application(ended)
                if ended.structure().is_some_and(|s| s.name() == END) =>
            {
                return;
            }
            gst::MessageView::Error(error) => failed(error.error().to_string()),
            gst::MessageView::Eos(_) => failed("the source has ended".to_owned()),
            gst::MessageView::Warning(warning) => {
                if let Some(notice) = notice::of(warning) {
                    tell(MediaEvent::Notice(notice));
                    continue;
                }
                tracing::warn!(pipeline = name, element = element(), reason = %warning.error(), "warning");
            }
            gst::MessageView::Latency(_) => {
                if let Some(pipeline) = pipeline.upgrade() {
                    // It reports nothing that helps: an element that cannot say its latency yet posts again.
                    let _ = pipeline.recalculate_latency();
                }
            }
            _ => {}
        }
    }
}
