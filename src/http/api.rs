//! The HTTP API, version 1: jobs and rooms, behind the API token where there is one.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::App;
use super::error::{ApiError, ApiErrorCode};
use super::{recordings, status};
use crate::admission::Load;
use crate::config::check_job;
use crate::descriptions::DescriptionView;
use crate::job::{Answer, JobSpec, Of, Parameters, Request as JobRequest, Role};
use crate::signalling::ids::{JobId, ParticipantId, RoomName};
use crate::signalling::room::RoomView;
use crate::supervisor::{JobView, RequestError, StartError};

/// Bytes of a request's body.
const BODY: usize = 64 * 1024;
/// How long a request may take, its body included.
const LIMIT: Duration = Duration::from_secs(40);

/// Every job at work, and those that ended lately.
#[derive(Debug, Serialize, ToSchema)]
pub struct Jobs {
    /// In the order of their start.
    pub jobs: Vec<JobView>,
    /// What they take together, and what they may take.
    pub load: Load,
}

/// Every room that somebody is in.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomList {
    /// By name.
    pub rooms: Vec<RoomView>,
}

/// Every description of the folder that was checked.
#[derive(Debug, Serialize, ToSchema)]
pub struct DescriptionList {
    /// By name.
    pub descriptions: Vec<DescriptionView>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "attache", description = "Jobs and rooms of an attache server."),
    paths(
        list_jobs,
        start_job,
        get_job,
        stop_job,
        set_parameters,
        pause_job,
        resume_job,
        split_job,
        draw_job,
        list_rooms,
        list_descriptions,
        super::status::get_status,
        super::status::stream_status,
        remove_participant,
        super::recordings::list_recordings,
        super::recordings::get_recording,
        super::recordings::remove_recording,
        super::health::healthz,
        super::health::readyz
    ),
    // Only a query names it.
    components(schemas(PictureFormat)),
    modifiers(&ApiToken),
    security(("api_token" = []))
)]
struct Document;

struct ApiToken;

impl Modify for ApiToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "The server's API token; a server on loopback may have none.",
            ));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("api_token", SecurityScheme::Http(bearer.build()));
    }
}

/// `/api/v1/*` but for the signalling.
pub fn routes(app: &App) -> Router<App> {
    let behind_token = Router::new()
        .route("/api/v1/jobs", get(list_jobs).post(start_job))
        .route("/api/v1/jobs/{id}", get(get_job).delete(stop_job))
        .route("/api/v1/jobs/{id}/parameters", patch(set_parameters))
        .route("/api/v1/jobs/{id}/pause", post(pause_job))
        .route("/api/v1/jobs/{id}/resume", post(resume_job))
        .route("/api/v1/jobs/{id}/split", post(split_job))
        .route("/api/v1/jobs/{id}/graph", get(draw_job))
        .route("/api/v1/rooms", get(list_rooms))
        .route("/api/v1/descriptions", get(list_descriptions))
        .route("/api/v1/status", get(status::get_status))
        .route("/api/v1/status/stream", get(status::stream_status))
        .route("/api/v1/recordings", get(recordings::list_recordings))
        .route(
            "/api/v1/recordings/{name}",
            get(recordings::get_recording).delete(recordings::remove_recording),
        )
        .route("/metrics", get(super::metrics::metrics))
        .route_layer(middleware::from_fn_with_state(app.clone(), api_token));
    Router::new()
        .route(
            "/api/v1/openapi.json",
            get(|| async { Json(Document::openapi()) }),
        )
        .merge(behind_token)
        .route(
            "/api/v1/rooms/{room}/participants/{id}",
            delete(remove_participant),
        )
        .route("/api/{*path}", axum::routing::any(no_such_path))
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(in_time))
        .layer(SetResponseHeaderLayer::if_not_present(
            CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
}

async fn api_token(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.auth.api(bearer(request.headers())) {
        Ok(()) => next.run(request).await,
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// RFC 6750 2.1; the scheme's case does not matter (RFC 9110 11.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(super) async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("the request was not complete within {} s", LIMIT.as_secs());
            ApiError::new(ApiErrorCode::Timeout, message).into_response()
        }
    }
}

async fn no_such_path() -> ApiError {
    ApiError::new(
        ApiErrorCode::NotFound,
        "there is no such path; /api/v1/openapi.json lists them",
    )
}

async fn no_such_method() -> ApiError {
    ApiError::new(
        ApiErrorCode::MethodNotAllowed,
        "this path has other methods; /api/v1/openapi.json lists them",
    )
}

/// Lists the jobs at work and those that ended lately.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", responses(
    (status = 200, body = Jobs),
    (status = 401, body = ApiError),
))]
async fn list_jobs(State(app): State<App>) -> Json<Jobs> {
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
async fn start_job(
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
async fn get_job(
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
async fn stop_job(
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
async fn set_parameters(
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
async fn pause_job(
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
async fn resume_job(
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
async fn split_job(
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
struct PictureQuery {
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
async fn draw_job(
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

/// Lists the rooms and who is in them.
#[utoipa::path(get, path = "/api/v1/rooms", tag = "rooms", responses(
    (status = 200, body = RoomList),
    (status = 401, body = ApiError),
))]
async fn list_rooms(State(app): State<App>) -> Json<RoomList> {
    Json(RoomList {
        rooms: app.hub.snapshot(),
    })
}

/// Lists the descriptions, whether each can be used, and how often jobs moved to a changed one.
#[utoipa::path(get, path = "/api/v1/descriptions", tag = "descriptions", responses(
    (status = 200, body = DescriptionList),
    (status = 401, body = ApiError),
))]
async fn list_descriptions(State(app): State<App>) -> Json<DescriptionList> {
    Json(DescriptionList {
        descriptions: app.descriptions.list(),
    })
}

/// Removes a participant from its room and ends its connection. A room token that allows `manage` serves, too.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/participants/{id}", tag = "rooms",
    params(
        ("room" = String, Path, description = "The room's name"),
        ("id" = String, Path, description = "The participant's id"),
    ),
    responses((status = 204), (status = 401, body = ApiError), (status = 404, body = ApiError))
)]
async fn remove_participant(
    State(app): State<App>,
    path: Result<Path<(RoomName, ParticipantId)>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let Path((room, id)) = path?;
    app.auth.manage(&room, bearer(&headers))?;
    if app.hub.remove(&room, &id) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::new(
        ApiErrorCode::NotFound,
        format!("there is no participant {id} in a room {room}"),
    ))
}

fn no_such_job(id: &JobId) -> ApiError {
    ApiError::new(ApiErrorCode::NotFound, format!("there is no job {id}"))
}

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        let code = match error {
            StartError::TooManyJobs { .. } => ApiErrorCode::TooManyJobs,
            StartError::NoRoom(_) => ApiErrorCode::NoRoom,
            StartError::Stopping => ApiErrorCode::ServerStopping,
        };
        Self::new(code, error.to_string())
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let code = match error {
            RequestError::NoSuchJob => ApiErrorCode::NotFound,
            RequestError::NotRunning => ApiErrorCode::NotRunning,
            RequestError::NoAnswer => ApiErrorCode::Timeout,
            RequestError::Refused(_) => ApiErrorCode::InvalidRequest,
        };
        Self::new(code, error.to_string())
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let code = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiErrorCode::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ApiErrorCode::UnsupportedMediaType,
            _ => ApiErrorCode::InvalidRequest,
        };
        Self::new(code, rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(ApiErrorCode::InvalidRequest, rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(ApiErrorCode::InvalidRequest, rejection.body_text())
    }
}
