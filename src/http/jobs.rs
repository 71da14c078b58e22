//! Jobs in the API: listed, started, stopped, changed, paused, drawn.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ApiErrorCode};
use crate::admission::Load;
use crate::config::check_job;
use crate::job::{Answer, JobSpec, Of, Parameters, Request as JobRequest, Role};
use crate::signalling::ids::JobId;
use crate::supervisor::{JobView, RequestError};

/// Every job at work, and those that ended lately.
#[derive(Debug, Serialize, ToSchema)]
pub struct Jobs {
    /// In the order of their start.
    pub jobs: Vec<JobView>,
    /// What they take together, and what they may take.
    pub load: Load,
}

/// Lists the jobs at work and those that ended lately.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", responses(
    (status = 200, body = Jobs),
    (status = 401, body = ApiError),
))]
pub(super) async fn list_jobs(State(app): State<App>) -> Json<Jobs> {
    Json(Jobs {
        jobs: app.supervisor.list(),
        load: app.supervisor.load(),
    })
}

/// Starts a job. It is listed at once; whether it comes to its room is in its state.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", request_body = JobSpec, responses(
    (status = 201, body = JobView, headers(("location" = String, description = "The job's path"))),
    (status = 400, body = ApiError),
    (status = 401, body = ApiError),
    (status = 403, body = ApiError, description = "nobody may record in this room"),
    (status = 429, body = ApiError, description = "as many jobs as there may be are at work"),
    (status = 503, body = ApiError, description = "there is no room for it, or the server stops", headers(
        ("retry-after" = u32, description = "seconds after which another try may do better"),
    )),
))]
pub(super) async fn start_job(
    State(app): State<App>,
    body: Result<Json<JobSpec>, JsonRejection>,
) -> Result<
    (
        StatusCode,
        [(axum::http::HeaderName, String); 1],
        Json<JobView>,
    ),
    ApiError,
> {
    let Json(spec) = body?;
    let jobs = &app.jobs;
    check_job(&spec, &jobs.pipelines, &jobs.stream_hosts, &jobs.remotes).map_err(|wrong| {
        ApiError::new(
            ApiErrorCode::InvalidRequest,
            format!("{}: {}", wrong.field, wrong.message),
        )
    })?;
    if spec.role == Role::Recorder && app.hub.forbids_recording(&spec.room) {
        let message = format!(
            "nobody may record in the room {}: [rooms] not_recorded forbids it",
            spec.room
        );
        return Err(ApiError::new(ApiErrorCode::RecordingForbidden, message));
    }
    if let Some(Of::One(of)) = &spec.of
        && !app.hub.has(&spec.room, of)
    {
        let message = format!(
            "of: nobody in the room {} has the id {of}; GET /api/v1/rooms lists who is there, and `all` is everybody",
            spec.room
        );
        return Err(ApiError::new(ApiErrorCode::InvalidRequest, message));
    }
    let present = app.hub.present(&spec.room);
    let job = app.supervisor.start_if_room(spec, present)?;
    let location = format!("/api/v1/jobs/{}", job.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(job)))
}

/// Shows one job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobView), (status = 401, body = ApiError), (status = 404, body = ApiError))
)]
pub(super) async fn get_job(
    State(app): State<App>,
    id: Result<Path<JobId>, PathRejection>,
) -> Result<Json<JobView>, ApiError> {
    let Path(id) = id?;
    app.supervisor
        .get(&id)
        .map(Json)
        .ok_or_else(|| no_such_job(&id))
}

/// Asks a job to end: it leaves its room and finishes its files. Its state becomes `stopped` when that is done.
#[utoipa::path(delete, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 202, body = JobView), (status = 401, body = ApiError), (status = 404, body = ApiError))
)]
pub(super) async fn stop_job(
    State(app): State<App>,
    id: Result<Path<JobId>, PathRejection>,
) -> Result<(StatusCode, Json<JobView>), ApiError> {
    let Path(id) = id?;
    let job = app.supervisor.stop(&id).ok_or_else(|| no_such_job(&id))?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Gives a running job other values for some of its description's parameters. Its peers stay: what an element can change
/// while it plays is set at once, else the source is built anew behind them. Wrong values change nothing.
#[utoipa::path(patch, path = "/api/v1/jobs/{id}/parameters", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    request_body = Parameters,
    responses(
        (status = 200, body = JobView),
        (status = 400, body = ApiError, description = "a value is wrong; the message says what would be right"),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError),
        (status = 409, body = ApiError, description = "the job has no worker at this moment"),
    )
)]
pub(super) async fn set_parameters(
    State(app): State<App>,
    id: Result<Path<JobId>, PathRejection>,
    body: Result<Json<Parameters>, JsonRejection>,
) -> Result<Json<JobView>, ApiError> {
    let (Path(id), Json(parameters)) = (id?, body?);
    ask(&app, &id, JobRequest::SetParameters { parameters }).await
}

/// Has the worker do something, and shows the job as it is then.
async fn ask(app: &App, id: &JobId, request: JobRequest) -> Result<Json<JobView>, ApiError> {
    app.supervisor.request(id, request).await?;
    app.supervisor
        .get(id)
        .map(Json)
        .ok_or_else(|| no_such_job(id))
}

/// Pauses a recorder: nothing is written, and the room sees that nobody records. Paused already, it stays so.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/pause", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, body = JobView),
        (status = 400, body = ApiError, description = "the job is no recorder"),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError),
        (status = 409, body = ApiError, description = "the job has no worker at this moment"),
    )
)]
pub(super) async fn pause_job(
    State(app): State<App>,
    id: Result<Path<JobId>, PathRejection>,
) -> Result<Json<JobView>, ApiError> {
    let Path(id) = id?;
    ask(&app, &id, JobRequest::Pause).await
}

/// Lets a paused recorder go on: the room is told first, then it writes, pictures from a key frame that is asked for.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/resume", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, body = JobView),
        (status = 400, body = ApiError, description = "the job is no recorder, or the room forbids it"),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError),
        (status = 409, body = ApiError, description = "the job has no worker at this moment"),
    )
)]
pub(super) async fn resume_job(
    State(app): State<App>,
    id: Result<Path<JobId>, PathRejection>,
) -> Result<Json<JobView>, ApiError> {
    let Path(id) = id?;
    ask(&app, &id, JobRequest::Resume).await
}

/// Lets a recorder go on in the next part of every file: with a key frame, which is asked for, and without a gap.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/split", tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, body = JobView),
        (status = 400, body = ApiError, description = "the job is no recorder, or it is paused"),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError),
        (status = 409, body = ApiError, description = "the job has no worker at this moment"),
    )
)]
pub(super) async fn split_job(
    State(app): State<App>,
    id: Result<Path<JobId>, PathRejection>,
) -> Result<Json<JobView>, ApiError> {
    let Path(id) = id?;
    ask(&app, &id, JobRequest::Split).await
}

/// How a picture is written.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PictureFormat {
    /// Scalable, and its texts can be searched.
    #[default]
    Svg,
    /// Pixels.
    Png,
}

/// What may be asked of a picture.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PictureQuery {
    #[serde(default)]
    format: PictureFormat,
}

/// Draws the pipelines that a job runs at this moment: elements, what is set on them, links with their caps. Addresses
/// are shown without users, passwords and queries.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/graph", tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("format" = Option<PictureFormat>, Query, description = "`svg` or `png`"),
    ),
    responses(
        (status = 200, description = "the picture", content(
            (String = "image/svg+xml"),
            (Vec<u8> = "image/png"),
        )),
        (status = 400, body = ApiError),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError),
        (status = 409, body = ApiError, description = "the job has no worker at this moment"),
    )
)]
pub(super) async fn draw_job(
    State(app): State<App>,
    id: Result<Path<JobId>, PathRejection>,
    query: Result<Query<PictureQuery>, QueryRejection>,
) -> Result<([(HeaderName, &'static str); 2], Vec<u8>), ApiError> {
    let (Path(id), Query(PictureQuery { format })) = (id?, query?);
    let graph = match app.supervisor.request(&id, JobRequest::Graph).await? {
        Answer::Graph { graph } => graph,
        Answer::Done | Answer::Session { .. } | Answer::Refused { .. } => {
            return Err(RequestError::NoAnswer.into());
        }
    };
    let failed = |reason: String| {
        ApiError::new(
            ApiErrorCode::Internal,
            format!("cannot draw the job: {reason}"),
        )
    };
    // A large picture takes a while.
    let drawing = tokio::task::spawn_blocking(move || match format {
        PictureFormat::Svg => Ok(("image/svg+xml", graph.to_svg().into_bytes())),
        PictureFormat::Png => graph.to_png().map(|picture| ("image/png", picture)),
    });
    let drawn = drawing
        .await
        .map_err(|stopped| failed(stopped.to_string()))?;
    let (content, picture) = drawn.map_err(failed)?;
    // Nothing in a picture may run or load, whatever an element is called.
    let policy = (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'",
    );
    Ok(([(CONTENT_TYPE, content), policy], picture))
}

fn no_such_job(id: &JobId) -> ApiError {
    ApiError::new(ApiErrorCode::NotFound, format!("there is no job {id}"))
}
