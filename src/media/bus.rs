//! A pipeline's bus: errors become [`MediaEvent`]s, changes of latency are seen to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;

use super::{MediaError, MediaEvent, notice};

/// The application message that ends a watch.
const END: &str = "attache-end";
/// A pipeline that stops empties its bus: that message may be lost, and its end is seen so much later.
const LOOK: gst::ClockTime = gst::ClockTime::from_seconds(1);

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
    is_over: Arc<AtomicBool>,
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
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        std::thread::Builder::new()
            .name(format!("{name}-bus"))
            .spawn(move || read(&reader, &over, &pipeline, name, &tell))
            .map_err(|error| MediaError::GStreamer {
                doing: "watch a pipeline",
                reason: error.to_string(),
            })?;
        Ok(Self { bus, is_over })
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        let message = gst::message::Application::new(gst::Structure::new_empty(END));
        // On the bus of a pipeline that has stopped it is lost: the thread ends a little later.
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
    is_over: &AtomicBool,
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
    while !is_over.load(Ordering::Relaxed) {
        let Some(message) = bus.timed_pop_filtered(LOOK, &wanted) else {
            continue;
        };
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
