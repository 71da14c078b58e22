//! The element `attacheclip`: a picture, sound or film of the operator's media folder, over and over, in real time.
//!
//! The file is read and decoded in a pipeline of its own, which runs half a second ahead: that hides the moment in which
//! it goes back to the file's beginning. Elements that play the same file at the same time play it in step.

mod element;
mod file;
mod player;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

glib::wrapper! {
    /// Plays a file of the media folder as an endless loop of raw pictures or sound.
    pub struct ClipSource(ObjectSubclass<element::ClipSource>) @extends gst::Bin, gst::Element, gst::Object;
}

/// Makes the element known to this process's GStreamer. To be called once.
pub fn register() -> Result<(), glib::BoolError> {
    let element = ClipSource::static_type();
    gst::Element::register(None, "attacheclip", gst::Rank::NONE, element)
}

static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Says where clips are, for the whole process. To be called before media starts.
pub fn set_folder(folder: &Path) {
    *FOLDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.to_owned());
}

fn folder() -> Option<PathBuf> {
    FOLDER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}
