//! The requests and answers of WHEP (`/whep/{room}`, `/whep/{room}/{participant}`) and WHIP (`/whip/{room}`), and of
//! their sessions (`.../{session}`).
//!
//! RFC 9725 (WHIP), and draft-ietf-wish-whep-03, which follows it in all that matters here.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, LINK, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use axum::{Router, middleware};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

use super::App;
use super::api::{bearer, in_time};
use super::error::{ApiError, ApiErrorCode};
use crate::signalling::ids::{ParticipantId, RoomName, SessionId};
use crate::signalling::protocol::{ErrorCode, Ice};
use crate::whip::{Begun, SessionError};

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Bytes of a description or fragment: as many as a message of the signalling may have.
const BODY: usize = 64 * 1024;

/// Found text in errors is cut to this many characters.
const SHOWN: usize = 40;

/// The routes of WHEP and WHIP.
pub fn routes() -> Router<App> {
    let player = "/whep/{room}/{participant}/{session}";
    let publisher = "/whip/{room}/{job}/{session}";
    Router::new()
        .route("/whep/{room}", post(watch_anybody))
        .route("/whep/{room}/{participant}", post(watch))
        .route(player, patch(trickle_player).delete(end_player))
        .route("/whip/{room}", post(publish))
        .route(publisher, patch(trickle_publisher).delete(end_publisher))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(in_time))
        .layer(cross_origin())
        // RFC 9725, 4.2: OPTIONS tells what may be posted.
        .layer(SetResponseHeaderLayer::if_not_present(
            ACCEPT_POST,
            HeaderValue::from_static(SDP),
        ))
}

/// Clients on pages of other sites: those that the guard lets in, which stands before this.
fn cross_origin() -> CorsLayer {
    let exposed = [ETAG, LINK, LOCATION, ACCEPT_POST, ACCEPT_PATCH];
    CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_methods([Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_MATCH])
        .expose_headers(exposed)
}

async fn watch_anybody(
    State(app): State<App>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    watch_one(&app, &room, None, &headers, body).await
}

async fn watch(
    State(app): State<App>,
    Path((room, participant)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    watch_one(&app, &room, Some(participant), &headers, body).await
}

async fn watch_one(
    app: &App,
    room: &str,
    participant: Option<String>,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let room: RoomName = room.parse().map_err(invalid)?;
    let participant = participant.map(ParticipantId::try_from).transpose();
    let participant = participant.map_err(invalid)?;
    let (offer, token) = (offer(headers, body)?, token(headers)?);
    let begun = app.players.begin(&room, participant.as_ref(), token, offer);
    Ok(created("whep", &room, begun.await?))
}

async fn publish(
    State(app): State<App>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let room: RoomName = room.parse().map_err(invalid)?;
    let (offer, token) = (offer(&headers, body)?, token(&headers)?);
    let begun = app.publishers.begin(&room, token, offer).await?;
    Ok(created("whip", &room, begun))
}

/// 201 with all that the client needs.
fn created(protocol: &str, room: &RoomName, begun: Begun) -> Response {
    let Begun {
        session,
        place,
        answer,
        ice,
    } = begun;
    let location = format!("/{protocol}/{room}/{place}/{session}");
    let headers = [
        (CONTENT_TYPE, SDP.to_owned()),
        (LOCATION, location),
        (ETAG, entity_tag(&session)),
        (ACCEPT_PATCH, FRAGMENT.to_owned()),
    ];
    let mut response = (StatusCode::CREATED, headers, answer).into_response();
    for link in links(&ice) {
        response.headers_mut().append(LINK, link);
    }
    response
}

/// ICE servers as RFC 9725, 4.6 wants them.
fn links(ice: &Ice) -> Vec<HeaderValue> {
    let link = |url: &String, server: &crate::signalling::protocol::IceServer| {
        let mut link = format!("<{url}>; rel=\"ice-server\"");
        if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
            let credentials = format!(
                "; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\""
            );
            link.push_str(&credentials);
        }
        HeaderValue::try_from(link).ok()
    };
    let all = ice.servers.iter();
    all.flat_map(|server| server.urls.iter().filter_map(|url| link(url, server)))
        .collect()
}

/// It names the ICE session; since that cannot restart, it never changes.
fn entity_tag(session: &SessionId) -> String {
    format!("\"{session}\"")
}

/// Where a session stands in its URL.
type Place = Path<(String, String, String)>;

async fn trickle_player(
    State(app): State<App>,
    Path((_, _, session)): Place,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    let (session, fragment) = trickled(session, &headers, body)?;
    app.players.trickle(&session, &fragment).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn trickle_publisher(
    State(app): State<App>,
    Path((_, _, session)): Place,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    let (session, fragment) = trickled(session, &headers, body)?;
    app.publishers.trickle(&session, &fragment).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_player(
    State(app): State<App>,
    Path((_, _, session)): Place,
) -> Result<StatusCode, ApiError> {
    app.players.end(&parse_session(session)?)?;
    Ok(StatusCode::OK)
}

async fn end_publisher(
    State(app): State<App>,
    Path((_, _, session)): Place,
) -> Result<StatusCode, ApiError> {
    app.publishers.end(&parse_session(session)?)?;
    Ok(StatusCode::OK)
}

/// The session and the fragment of a PATCH. Many clients send no `If-Match` though RFC 9725, 4.3.1 asks for it: there is
/// only one ICE session it could mean.
fn trickled(
    session: String,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(SessionId, String), ApiError> {
    let session = parse_session(session)?;
    check_type(headers, FRAGMENT)?;
    let tag = headers.get(IF_MATCH).map(HeaderValue::as_bytes);
    if tag.is_some_and(|tag| tag != b"*" && tag != entity_tag(&session).as_bytes()) {
        let message = "If-Match: not the ETag of this session; send the one of the answer to POST";
        return Err(ApiError::new(ApiErrorCode::PreconditionFailed, message));
    }
    Ok((session, text(body)?))
}

fn offer(headers: &HeaderMap, body: Bytes) -> Result<String, ApiError> {
    check_type(headers, SDP)?;
    text(body)
}

fn parse_session(text: String) -> Result<SessionId, ApiError> {
    SessionId::try_from(text).map_err(|_| SessionError::NoSession.into())
}

fn invalid(error: crate::signalling::ids::InvalidName) -> ApiError {
    ApiError::new(ApiErrorCode::InvalidRequest, error.to_string())
}

fn check_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), ApiError> {
    let found = headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
    let found = found.and_then(Result::ok).unwrap_or("none");
    let kind = found.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let found: String = kind.chars().take(SHOWN).collect();
    let message = format!("Content-Type: found {found}; {wanted} is needed here");
    Err(ApiError::new(ApiErrorCode::UnsupportedMediaType, message))
}

fn text(body: Bytes) -> Result<String, ApiError> {
    String::from_utf8(body.into())
        .map_err(|_| ApiError::new(ApiErrorCode::InvalidRequest, "the body is no text (UTF-8)"))
}

/// The room token (RFC 6750, 2.1); another kind of authorization is a mistake.
fn token(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let token = bearer(headers);
    if token.is_none() && headers.contains_key(AUTHORIZATION) {
        let message = "Authorization: `Bearer` and a room token are needed";
        return Err(ApiError::new(ApiErrorCode::Unauthorized, message));
    }
    Ok(token)
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        let code = match error {
            SessionError::Start(error) => return error.into(),
            SessionError::Token(_) => ApiErrorCode::Unauthorized,
            SessionError::Refused(ref refusal) => code_of(refusal.code),
            SessionError::Offer(_) => ApiErrorCode::InvalidRequest,
            SessionError::Nobody(_) | SessionError::NoSession => ApiErrorCode::NotFound,
            SessionError::NoAnswer { .. }
            | SessionError::NoRelay(_)
            | SessionError::Fragment(_) => ApiErrorCode::Unprocessable,
        };
        Self::new(code, error.to_string())
    }
}

/// How HTTP says what the signalling says.
fn code_of(code: ErrorCode) -> ApiErrorCode {
    match code {
        ErrorCode::Unauthorized => ApiErrorCode::Unauthorized,
        ErrorCode::Forbidden | ErrorCode::RecordingForbidden | ErrorCode::FiltersForbidden => {
            ApiErrorCode::Forbidden
        }
        ErrorCode::RoomFull | ErrorCode::ServerFull => ApiErrorCode::NoRoom,
        ErrorCode::ServerStopping => ApiErrorCode::ServerStopping,
        ErrorCode::UnknownParticipant => ApiErrorCode::NotFound,
        ErrorCode::InvalidMessage
        | ErrorCode::MessageTooLarge
        | ErrorCode::UnsupportedProtocol
        | ErrorCode::JoinTimeout
        | ErrorCode::NotJoined
        | ErrorCode::AlreadyJoined
        | ErrorCode::NoFilter
        | ErrorCode::RateLimited
        | ErrorCode::SessionTaken
        | ErrorCode::SessionOver
        | ErrorCode::TooSlow
        | ErrorCode::IdleTimeout
        | ErrorCode::Removed => ApiErrorCode::InvalidRequest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signalling::protocol::{IceServer, IceTransportPolicy};

    #[test]
    fn servers_become_links_with_their_credentials() {
        let server = |url: &str, user: Option<&str>| IceServer {
            urls: vec![url.to_owned()],
            username: user.map(ToOwned::to_owned),
            credential: user.map(|_| "secret".to_owned()),
        };
        let ice = Ice {
            servers: vec![
                server("stun:stun.example.org", None),
                server("turn:turn.example.org?transport=udp", Some("17:ada")),
            ],
            transport_policy: IceTransportPolicy::All,
        };
        assert_eq!(
            links(&ice),
            [
                "<stun:stun.example.org>; rel=\"ice-server\"",
                "<turn:turn.example.org?transport=udp>; rel=\"ice-server\"; username=\"17:ada\"; \
                 credential=\"secret\"; credential-type=\"password\""
            ]
        );
    }

    #[test]
    fn a_room_token_is_read_and_anything_else_is_refused() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
        };
        assert_eq!(token(&HeaderMap::new()).unwrap(), None);
        assert_eq!(token(&headers("bearer abc")).unwrap(), Some("abc"));
        assert!(token(&headers("Basic abc")).is_err());
    }
}
