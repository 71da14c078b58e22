//! The API's part about recordings: what is on disk, how far its upload is, and its removal.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ApiErrorCode};
use crate::recording::catalog::StoredRecording;
use crate::recording::manifest;
use crate::recording::upload::whole::remove_recording as remove_folder;

/// Every recording of the folder of recordings.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordingList {
    /// By name.
    pub recordings: Vec<StoredRecording>,
}

/// Lists the recordings on disk, with state, files and how far each upload is.
#[utoipa::path(get, path = "/api/v1/recordings", tag = "recordings", responses(
    (status = 200, body = RecordingList),
    (status = 401, body = ApiError),
))]
pub async fn list_recordings(State(app): State<App>) -> Json<RecordingList> {
    let recordings = app.recordings.borrow().clone();
    Json(RecordingList {
        recordings: recordings
            .iter()
            .map(|recording| with_upload(&app, recording))
            .collect(),
    })
}

/// Shows one recording.
#[utoipa::path(get, path = "/api/v1/recordings/{name}", tag = "recordings",
    params(("name" = String, Path, description = "The name of its folder")),
    responses(
        (status = 200, body = StoredRecording),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError),
    )
)]
pub async fn get_recording(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<StoredRecording>, ApiError> {
    let Path(name) = name?;
    let recording = find(&app, &name)?;
    Ok(Json(with_upload(&app, &recording)))
}

/// Removes a recording from this machine, files and manifest. What was uploaded stays where it is.
#[utoipa::path(delete, path = "/api/v1/recordings/{name}", tag = "recordings",
    params(("name" = String, Path, description = "The name of its folder")),
    responses(
        (status = 204),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError),
        (status = 409, body = ApiError, description = "it is being written or uploaded"),
    )
)]
pub async fn remove_recording(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(name) = name?;
    let recording = find(&app, &name)?;
    let busy = |message: String| Err(ApiError::new(ApiErrorCode::Busy, message));
    match recording.state {
        manifest::State::Recording => {
            let job = &recording.job;
            return busy(format!(
                "{name} is being written by the job {job}: stop that first"
            ));
        }
        manifest::State::Finished
        | manifest::State::Recovered
        | manifest::State::Uploaded
        | manifest::State::Failed => {}
    }
    if app.uploads.is_busy(&name) {
        return busy(format!("{name} is being uploaded: try again later"));
    }
    let folder = recording.folder.clone();
    let removed = tokio::task::spawn_blocking(move || remove_folder(&folder)).await;
    match removed {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(error)) => Err(internal(&name, &error)),
        Err(error) => Err(internal(&name, &error)),
    }
}

fn internal(name: &str, error: &dyn std::error::Error) -> ApiError {
    let message = format!("{name} cannot be removed: {error}");
    tracing::warn!("{message}");
    ApiError::new(ApiErrorCode::Internal, message)
}

/// Only names that were found in the folder are known, so no path leads out of it.
fn find(app: &App, name: &str) -> Result<Arc<StoredRecording>, ApiError> {
    let recordings = app.recordings.borrow();
    let found = recordings.iter().find(|recording| recording.name == name);
    found.cloned().ok_or_else(|| {
        ApiError::new(
            ApiErrorCode::NotFound,
            format!("there is no recording {name}"),
        )
    })
}

fn with_upload(app: &App, recording: &StoredRecording) -> StoredRecording {
    StoredRecording {
        upload: app.uploads.view(&recording.name),
        ..recording.clone()
    }
}
