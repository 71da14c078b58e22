//! How far a recording's upload is: written by the upload, read by the API, metrics and the progress line.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Where an upload stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// Files are on their way.
    Uploading,
    /// The last try failed; another one follows.
    Retrying,
    /// No target took it. It is tried again within the hour, and when the server starts.
    Failed,
    /// Every file is there and was compared.
    Uploaded,
}

/// How far an upload is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct UploadView {
    /// Where it stands.
    pub state: UploadState,
    /// The target in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Bytes at that target or on their way there.
    pub bytes_done: u64,
    /// Bytes of all files that are to go there.
    pub bytes_total: u64,
    /// Failed tries of this target.
    pub retries: u32,
    /// Why the last try failed: target, object, what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The handle of one upload's view; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<UploadView>>);

impl Progress {
    /// As it is now.
    pub fn view(&self) -> UploadView {
        self.lock().clone()
    }

    pub(super) fn begin(&self, target: &str) {
        *self.lock() = UploadView {
            state: UploadState::Uploading,
            target: Some(target.to_owned()),
            ..UploadView::default()
        };
    }

    pub(super) fn again(&self, total: u64) {
        let mut view = self.lock();
        view.state = UploadState::Uploading;
        view.bytes_done = 0;
        view.bytes_total = total;
    }

    pub(super) fn moved(&self, bytes: u64) {
        self.lock().bytes_done += bytes;
    }

    pub(super) fn failed(&self, state: UploadState, error: &super::UploadError) {
        let mut view = self.lock();
        view.state = state;
        view.retries += 1;
        view.error = Some(error.to_string());
    }

    pub(super) fn wait(&self) {
        self.lock().state = UploadState::Waiting;
    }

    pub(super) fn done(&self) {
        let mut view = self.lock();
        view.state = UploadState::Uploaded;
        view.bytes_done = view.bytes_total;
        view.error = None;
    }

    fn lock(&self) -> MutexGuard<'_, UploadView> {
        // Never held across an await; nothing in it can be half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
