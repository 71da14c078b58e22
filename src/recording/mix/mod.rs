//! One film of a recording: everybody's files laid on one clock, pictures in a grid, sounds mixed.
//!
//! [`plan`]: manifests become clips with their places in time and in the picture, purely; [`format`]: what the film is to
//! be; [`film`]: the pipeline that makes the file, with a [`branch`] for each clip.

mod branch;
pub mod film;
pub mod format;
pub mod plan;

use std::path::PathBuf;

use crate::media::MediaError;

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";

/// Why there is no film.
#[derive(Debug, thiserror::Error)]
pub enum MixError {
    /// A folder holds no recording.
    #[error("{folder} is no recording: {reason}; give a folder that has a recording.json")]
    NoRecording {
        /// Which.
        folder: PathBuf,
        /// In the system's words.
        reason: std::io::Error,
    },
    /// Parts that the manifests name are not there.
    #[error("{} of the parts are missing, the first is {}; with --partial the film is made without them", .0.len(), .0[0].display())]
    Missing(Vec<PathBuf>),
    /// Nothing was recorded.
    #[error("there is nothing to be shown or heard: no part has a picture or sound")]
    Empty,
    /// The file's name does not say what it should be.
    #[error("{file}: found the ending {found:?}; name a file that ends in .mp4, .mkv or .webm")]
    Ending {
        /// The file.
        file: PathBuf,
        /// What it ends in.
        found: String,
    },
    /// The film's file cannot be written.
    #[error("cannot write {file}: {reason}")]
    Write {
        /// The file.
        file: PathBuf,
        /// In the system's words.
        reason: std::io::Error,
    },
    /// An element failed while a file was read.
    #[error(
        "{file}: {reason}; is it whole? `attache recover` finishes the files of a recorder that was killed"
    )]
    Part {
        /// The file.
        file: PathBuf,
        /// What the element said.
        reason: String,
    },
    /// GStreamer does not do what it should.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// Somebody interrupted it.
    #[error("interrupted; nothing was written")]
    Interrupted,
}
