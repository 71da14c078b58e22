//! The API's typed errors: `{"error": {"code": "...", "message": "..."}}`.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guard::Foreign;
use crate::auth::AuthError;
use crate::supervisor::{RequestError, StartError};

/// When there may be room again: nobody knows when a job ends; this keeps clients from asking all the time.
const RETRY_AFTER_S: u32 = 30;

/// What kind of mistake was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApiErrorCode {
    /// The body, a field or a name in the path is wrong.
    InvalidRequest,
    /// No API token, or a wrong one.
    Unauthorized,
    /// A page of another site, or a foreign host name.
    Forbidden,
    /// Nobody may record in this room.
    RecordingForbidden,
    /// There is no such job, room, participant or path.
    NotFound,
    /// The path exists; the method does not.
    MethodNotAllowed,
    /// The body is longer than it may be.
    BodyTooLarge,
    /// The body is not `application/json`.
    UnsupportedMediaType,
    /// `If-Match` names another state of the resource.
    PreconditionFailed,
    /// It is understood, and cannot be done.
    Unprocessable,
    /// The job has no worker at this moment.
    NotRunning,
    /// The recording is being written or uploaded.
    Busy,
    /// As many jobs as the configuration allows are running.
    TooManyJobs,
    /// The jobs at work leave too little of the machine for another one.
    NoRoom,
    /// The request was not complete in time.
    Timeout,
    /// The server stops.
    ServerStopping,
    /// The server's own fault; its log says more.
    Internal,
}

/// An answer that says what went wrong.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiError {
    /// The only field.
    pub error: ApiErrorBody,
}

/// What went wrong.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiErrorBody {
    /// For programs.
    pub code: ApiErrorCode,
    /// For people: where, what was found, what would be right.
    pub message: String,
}

impl ApiError {
    /// An error of this kind.
    pub fn new(code: ApiErrorCode, message: impl Into<String>) -> Self {
        Self {
            error: ApiErrorBody {
                code,
                message: message.into(),
            },
        }
    }

    fn status(&self) -> StatusCode {
        match self.error.code {
            ApiErrorCode::InvalidRequest => StatusCode::BAD_REQUEST,
            ApiErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
            ApiErrorCode::Forbidden | ApiErrorCode::RecordingForbidden => StatusCode::FORBIDDEN,
            ApiErrorCode::NotFound => StatusCode::NOT_FOUND,
            ApiErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ApiErrorCode::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ApiErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            ApiErrorCode::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            ApiErrorCode::NotRunning | ApiErrorCode::Busy => StatusCode::CONFLICT,
            ApiErrorCode::TooManyJobs => StatusCode::TOO_MANY_REQUESTS,
            ApiErrorCode::Timeout => StatusCode::REQUEST_TIMEOUT,
            ApiErrorCode::NoRoom | ApiErrorCode::ServerStopping => StatusCode::SERVICE_UNAVAILABLE,
            ApiErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), self.error.code);
        let mut response = (status, Json(self)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750 3.
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if code == ApiErrorCode::NoRoom {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let message =
            format!("{error}; send `Authorization: Bearer TOKEN` with the server's API token");
        Self::new(ApiErrorCode::Unauthorized, message)
    }
}

impl From<Foreign> for ApiError {
    fn from(foreign: Foreign) -> Self {
        Self::new(ApiErrorCode::Forbidden, foreign.to_string())
    }
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
