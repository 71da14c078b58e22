//! The pipelines that play in this process, whoever owns them: for pictures of a running job.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

static PIPELINES: Mutex<Vec<glib::WeakRef<gst::Pipeline>>> = Mutex::new(Vec::new());

/// A pipeline is about to run. It is forgotten when its owner drops it.
pub(super) fn note(pipeline: &gst::Pipeline) {
    let mut noted = noted();
    noted.retain(|known| known.upgrade().is_some());
    noted.push(pipeline.downgrade());
}

/// Those that play now, in the order in which they were made.
pub fn pipelines() -> Vec<gst::Pipeline> {
    let known: Vec<_> = noted().iter().filter_map(|known| known.upgrade()).collect();
    known
        .into_iter()
        .filter(|pipeline| pipeline.current_state() == gst::State::Playing)
        .collect()
}

fn noted() -> MutexGuard<'static, Vec<glib::WeakRef<gst::Pipeline>>> {
    PIPELINES.lock().unwrap_or_else(PoisonError::into_inner)
}
