//! Small steps in building pipelines, with errors that say what to install.

use gst::prelude::*;
use gstreamer as gst;

use super::MediaError;

/// Makes an element or says what to install.
pub fn make(factory: &'static str, package: &'static str) -> Result<gst::Element, MediaError> {
    gst::ElementFactory::make(factory)
        .build()
        .map_err(|_| MediaError::Missing {
            element: factory.to_owned(),
            package,
        })
}

/// A filter of these caps.
pub fn capsfilter(caps: &str) -> Result<gst::Element, MediaError> {
    let filter = make("capsfilter", "libgstreamer1.0-0")?;
    filter.set_property_from_str("caps", caps);
    Ok(filter)
}

/// Adds elements to a pipeline and links each to the next.
pub fn add_linked(pipeline: &gst::Pipeline, chain: &[gst::Element]) -> Result<(), MediaError> {
    pipeline
        .add_many(chain)
        .map_err(MediaError::gstreamer("build a pipeline"))?;
    gst::Element::link_many(chain).map_err(MediaError::gstreamer("link a pipeline"))
}
