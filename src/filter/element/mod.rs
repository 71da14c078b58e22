//! The element `attachedenoise`: an engine in a pipeline, for sound of any rate and any number of channels.
//!
//! Each channel has an engine of its own. [`flow`]: buffers and their times; [`properties`]: what can be set and read;
//! [`transform`]: the GStreamer side.

mod flow;
mod properties;
mod transform;

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

glib::wrapper! {
    /// Takes noise out of speech. Properties: `engine`, `strength`, `bypass`, `max-load`, and what it knows of itself.
    pub struct Denoise(ObjectSubclass<transform::Denoise>)
        @extends gstreamer_base::BaseTransform, gst::Element, gst::Object;
}

/// Makes the element known to this process's GStreamer. To be called once.
pub fn register() -> Result<(), glib::BoolError> {
    let element = Denoise::static_type();
    gst::Element::register(None, "attachedenoise", gst::Rank::NONE, element)
}

/// The name of the element messages that say that the engine rests (`resting` is true) or works again, and why
/// (`reason`).
pub const MESSAGE: &str = "attachedenoise";
