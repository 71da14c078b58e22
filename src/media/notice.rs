//! What elements of ours tell the operator: warnings that become notices of the job.

use gst::prelude::*;
use gstreamer as gst;

/// Names the details of a warning that is meant for the operator.
const NOTICE: &str = "attache-notice";

/// Posts a text for the operator.
pub fn post(element: &gst::Element, text: &str) {
    let message = gst::message::Warning::builder(gst::ResourceError::Failed, text)
        .details(gst::Structure::new_empty(NOTICE))
        .src(element)
        .build();
    // Without a bus nobody listens.
    let _ = element.post_message(message);
}

/// The text of a warning that [`post`] made.
pub fn of(warning: &gst::message::Warning) -> Option<String> {
    let is_notice = warning
        .details()
        .is_some_and(|details| details.name() == NOTICE);
    is_notice.then(|| warning.error().message().to_owned())
}
