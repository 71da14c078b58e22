//! Recordings go to their targets: S3, Google, Azure or a folder. No GStreamer here.
//!
//! [`target`]: where to; [`transfer`]: one file, put and compared; [`patience`]: when to try again; [`whole`]: all files
//! of a recording, its manifest last; [`service`]: what `attache serve` does with its recordings. Whether a recording is
//! uploaded is in its manifest and nowhere else, so a server that was killed goes on where it was.

pub mod patience;
pub mod progress;
pub mod service;
pub mod target;
pub mod transfer;
pub mod whole;

use std::io;
use std::path::PathBuf;

use serde::Deserialize;

pub use patience::Patience;
pub use progress::{Progress, UploadState, UploadView};
use target::in_words;
pub use target::{Target, TargetSettings, TargetUrl};
use transfer::Content;

/// What two targets are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The second one takes what the first one does not.
    #[default]
    Fallback,
    /// Both get everything.
    Both,
}

/// What is uploaded, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadSettings {
    /// One or two; none: nothing is uploaded.
    pub targets: Vec<TargetSettings>,
    /// What the second one is for.
    pub mode: Mode,
    /// Files stay here when they are uploaded.
    pub keep_local: bool,
    /// With each target.
    pub patience: Patience,
}

impl Default for UploadSettings {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            mode: Mode::default(),
            keep_local: true,
            patience: Patience::default(),
        }
    }
}

/// Why something is not at its target.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The target cannot be used as it is configured.
    #[error("{target}: {message}")]
    Options {
        /// Which.
        target: String,
        /// What is wrong.
        message: String,
    },
    /// The target did not do what it was asked.
    #[error("{target}: cannot {doing} {object}: {}", in_words(.source))]
    Store {
        /// Which.
        target: String,
        /// The object's name in it.
        object: String,
        /// What it was asked.
        doing: &'static str,
        /// What it said.
        source: Box<object_store::Error>,
    },
    /// What came back is not what was sent.
    #[error("{target}: {object}: found {found}, expected {expected}; nothing is removed here")]
    Differs {
        /// Which.
        target: String,
        /// The object's name in it.
        object: String,
        /// What is there.
        found: Content,
        /// What is here.
        expected: Content,
    },
    /// A file is not what its manifest says.
    #[error("{}: the manifest says SHA-256 {expected}, found {found}: the file was changed or damaged here", file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// In the manifest.
        expected: String,
        /// What it has.
        found: String,
    },
    /// A file of this machine cannot be read.
    #[error("{}: {source}", file.display())]
    Local {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl UploadError {
    /// Whether asking again promises little: the target can be reached and says no.
    pub fn is_refusal(&self) -> bool {
        use object_store::Error as Store;
        match self {
            Self::Options { .. } | Self::Damaged { .. } | Self::Local { .. } => true,
            Self::Differs { .. } => false,
            Self::Store { source, .. } => matches!(
                **source,
                Store::NotFound { .. }
                    | Store::PermissionDenied { .. }
                    | Store::Unauthenticated { .. }
                    | Store::InvalidPath { .. }
                    | Store::NotSupported { .. }
                    | Store::NotImplemented { .. }
                    | Store::UnknownConfigurationKey { .. }
            ),
        }
    }
}

impl Target {
    fn error(
        &self,
        object: &object_store::path::Path,
        doing: &'static str,
        source: object_store::Error,
    ) -> UploadError {
        UploadError::Store {
            target: self.name.clone(),
            object: object.to_string(),
            doing,
            source: Box::new(source),
        }
    }
}
