//! The HTTP API, version 1: its paths and its description, behind the API token where there is one; rooms and descriptions.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use serde::Serialize;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::App;
use super::error::{ApiError, ApiErrorCode};
use super::{jobs, recordings, status};
use crate::descriptions::DescriptionView;
use crate::signalling::ids::{ParticipantId, RoomName};
use crate::signalling::room::RoomView;

/// Bytes of a request's body.
const BODY: usize = 64 * 1024;
/// How long a request may take, its body included.
const LIMIT: Duration = Duration::from_secs(40);

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
        super::jobs::list_jobs,
        super::jobs::start_job,
        super::jobs::get_job,
        super::jobs::stop_job,
        super::jobs::set_parameters,
        super::jobs::pause_job,
        super::jobs::resume_job,
        super::jobs::split_job,
        super::jobs::draw_job,
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
    components(schemas(super::jobs::PictureFormat)),
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
        .route("/api/v1/jobs", get(jobs::list_jobs).post(jobs::start_job))
        .route(
            "/api/v1/jobs/{id}",
            get(jobs::get_job).delete(jobs::stop_job),
        )
        .route("/api/v1/jobs/{id}/parameters", patch(jobs::set_parameters))
        .route("/api/v1/jobs/{id}/pause", post(jobs::pause_job))
        .route("/api/v1/jobs/{id}/resume", post(jobs::resume_job))
        .route("/api/v1/jobs/{id}/split", post(jobs::split_job))
        .route("/api/v1/jobs/{id}/graph", get(jobs::draw_job))
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
