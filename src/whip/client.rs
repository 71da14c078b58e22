//! The client's side of WHIP and WHEP: an offer over HTTP to another server, its answer, and a goodbye at the end
//! (RFC 9725; draft-ietf-wish-whep-03, which follows it).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, LINK, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::links;
use crate::signalling::protocol::{Ice, IceServer, IceTransportPolicy};
use crate::tls::{self, UntrustedError};

const CONNECT: Duration = Duration::from_secs(5);
/// Of a whole request: a server that starts something for its answer takes a moment.
const REQUEST: Duration = Duration::from_secs(20);
/// RFC 9725, 4.5: a server may send its clients on with 307 or 308.
const REDIRECTS: usize = 3;
/// So much of a server's word of refusal is shown.
const SHOWN: usize = 200;
/// More than this is no description of a session.
const LONGEST_ANSWER: usize = 256 * 1024;
/// A server that asks to be left alone for longer is asked again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
const SDP: &str = "application/sdp";

/// What a stream of another server is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The server plays it.
    Whep,
    /// The server takes it.
    Whip,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whep => "WHEP",
            Self::Whip => "WHIP",
        })
    }
}

/// The streams of other servers that the operator allows, by their names.
pub type Remotes = BTreeMap<String, Remote>;

/// A stream of another server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Which way it flows.
    pub protocol: Protocol,
    /// Its endpoint, `http` or `https`.
    pub url: Url,
    /// The bearer token that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A PEM file of certificates to trust besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("protocol", &self.protocol)
            .field("url", &self.shown())
            .finish_non_exhaustive()
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The PEM file is not what it should be.
    #[error(transparent)]
    Untrusted(#[from] UntrustedError),
    /// No answer came.
    #[error("{at}: {why}")]
    Unreachable {
        /// The server.
        at: String,
        /// What failed.
        why: String,
    },
    /// The server does not take the offer.
    #[error("{at} answered {status}, expected 201{said}{hint}")]
    Refused {
        /// The server.
        at: String,
        /// Its status.
        status: StatusCode,
        /// What it says, behind a colon; or nothing.
        said: String,
        /// What that means, in parentheses; or nothing.
        hint: String,
        /// It wants to be asked again after this, not before (RFC 9110, 10.2.3).
        pause: Option<Duration>,
    },
    /// What it sent is no answer to an offer.
    #[error("{at}: {why}")]
    NoAnswer {
        /// The server.
        at: String,
        /// What is wrong with it.
        why: String,
    },
}

impl RemoteError {
    /// Whether another try with the same offer has the same end. A stream that is not there yet may come.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Untrusted(_) => true,
            Self::Refused { status, .. } => matches!(
                *status,
                StatusCode::UNAUTHORIZED
                    | StatusCode::FORBIDDEN
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::UNSUPPORTED_MEDIA_TYPE
            ),
            Self::Unreachable { .. } | Self::NoAnswer { .. } => false,
        }
    }

    /// Whether the server understood the offer and takes no such media: another codec may do.
    pub fn refuses_media(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(
                *status,
                StatusCode::NOT_ACCEPTABLE | StatusCode::UNPROCESSABLE_ENTITY
            ),
            Self::Untrusted(_) | Self::Unreachable { .. } | Self::NoAnswer { .. } => false,
        }
    }

    /// How long the server wants not to be asked.
    pub fn pause(&self) -> Duration {
        match self {
            Self::Refused { pause, .. } => pause.unwrap_or_default(),
            Self::Untrusted(_) | Self::Unreachable { .. } | Self::NoAnswer { .. } => Duration::ZERO,
        }
    }
}

/// A session with the other server, until it is ended.
#[derive(Debug)]
pub struct Session {
    remote: Remote,
    client: Client,
    place: Option<Url>,
    servers: Vec<IceServer>,
}

impl Remote {
    /// Whether the server takes what is sent to it.
    pub fn is_published_to(&self) -> bool {
        match self.protocol {
            Protocol::Whip => true,
            Protocol::Whep => false,
        }
    }

    /// For logs: without what may be secret in it.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// Offers, and returns the server's answer.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn begin(&self, offer: String) -> Result<(Session, String), RemoteError> {
        let client = self.client()?;
        let mut url = self.url.clone();
        for _ in 0..=REDIRECTS {
            let post = self.request(&client, Method::POST, &url);
            let post = post.header(CONTENT_TYPE, SDP);
            let sent = post.body(offer.clone()).send().await;
            let response = sent.map_err(|error| self.unreachable(&error))?;
            let place = location(&response);
            match (response.status(), place) {
                (StatusCode::CREATED, place) => {
                    let session = Session {
                        remote: self.clone(),
                        client,
                        place,
                        servers: servers(response.headers()),
                    };
                    // A session that began and cannot be used is ended again.
                    let answer = match self.answer(response).await {
                        Ok(answer) => answer,
                        Err(error) => {
                            session.end().await;
                            return Err(error);
                        }
                    };
                    return Ok((session, answer));
                }
                (StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT, Some(next))
                    if self.follows(&next) =>
                {
                    url = next;
                }
                (status, _) => return Err(self.refused(&url, status, response).await),
            }
        }
        Err(self.no_answer(format!("it sends on more than {REDIRECTS} times")))
    }

    fn client(&self) -> Result<Client, RemoteError> {
        let tls = tls::client_config(self.ca.as_deref())?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .user_agent(concat!("attache/", env!("CARGO_PKG_VERSION")));
        client.build().map_err(|error| self.unreachable(&error))
    }

    /// A request with the token, where that is for this server: it is for no other.
    fn request(&self, client: &Client, method: Method, url: &Url) -> RequestBuilder {
        let request = client.request(method, url.clone());
        let is_there = url.origin() == self.url.origin();
        match self.token.as_ref().filter(|_| is_there) {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Whether to go where the server sends us on: nobody can read along there who could not here.
    fn follows(&self, next: &Url) -> bool {
        next.scheme() == "https" || (next.scheme() == "http" && self.url.scheme() == "http")
    }

    /// What a status means here, and what would be right.
    fn hint(&self, at: &Url, status: StatusCode) -> String {
        let protocol = self.protocol;
        let is_there = at.origin() == self.url.origin();
        let hint = match (status, protocol) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) if !is_there => {
                let first = self.shown();
                format!("{first} sent us on there; the token is not for another server")
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => match self.token {
                Some(_) => "the bearer token is wrong, or not for this".to_owned(),
                None => "it asks for a bearer token".to_owned(),
            },
            (StatusCode::NOT_FOUND, Protocol::Whip) => {
                "no WHIP endpoint is there: is the path right?".to_owned()
            }
            (StatusCode::NOT_FOUND, Protocol::Whep) => return String::new(),
            (StatusCode::NOT_ACCEPTABLE | StatusCode::UNPROCESSABLE_ENTITY, Protocol::Whip) => {
                "it does not take such media".to_owned()
            }
            (StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE, _) => {
                format!("it is no {protocol} endpoint")
            }
            (other, _) if other.is_success() => format!("it is no {protocol} endpoint"),
            _ => return String::new(),
        };
        format!(" ({hint})")
    }

    async fn answer(&self, mut response: Response) -> Result<String, RemoteError> {
        let mut answer = Vec::new();
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(&error))?
        {
            answer.extend_from_slice(&piece);
            if answer.len() > LONGEST_ANSWER {
                return Err(
                    self.no_answer(format!("its answer is longer than {LONGEST_ANSWER} bytes"))
                );
            }
        }
        let answer = String::from_utf8(answer);
        let answer = answer.map_err(|_| self.no_answer("its answer is not UTF-8".to_owned()))?;
        match answer.starts_with("v=0") {
            true => Ok(answer),
            false => {
                Err(self.no_answer("its answer is no SDP: it does not begin with v=0".to_owned()))
            }
        }
    }

    async fn refused(&self, url: &Url, status: StatusCode, mut response: Response) -> RemoteError {
        let pause = response.headers().get(RETRY_AFTER);
        let pause = pause.and_then(|pause| pause.to_str().ok()?.trim().parse().ok());
        // Whatever cannot be read is not shown.
        let said = response.chunk().await.ok().flatten().unwrap_or_default();
        let said: String = String::from_utf8_lossy(&said)
            .chars()
            .filter(|letter| !letter.is_control())
            .take(SHOWN)
            .collect();
        RemoteError::Refused {
            at: shown(url),
            status,
            hint: self.hint(url, status),
            pause: pause.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE)),
            said: match said.is_empty() {
                true => said,
                false => format!(": {said}"),
            },
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> RemoteError {
        let mut why = String::new();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(one) = cause {
            why = one.to_string();
            cause = one.source();
        }
        RemoteError::Unreachable {
            at: self.shown(),
            why: match (why.is_empty(), error.is_timeout()) {
                (_, true) => format!("no answer within {} s", REQUEST.as_secs()),
                (true, false) => "the request failed".to_owned(),
                (false, false) => why,
            },
        }
    }

    fn no_answer(&self, why: String) -> RemoteError {
        RemoteError::NoAnswer {
            at: self.shown(),
            why,
        }
    }
}

impl Session {
    /// STUN and TURN servers that the server has for its clients (RFC 9725, 4.6).
    pub fn ice(&self) -> Ice {
        Ice {
            servers: self.servers.clone(),
            transport_policy: IceTransportPolicy::All,
        }
    }

    /// Says goodbye. A server that does not hear it notices by the silence.
    pub async fn end(self) {
        let Some(place) = self.place else {
            return;
        };
        let delete = self.remote.request(&self.client, Method::DELETE, &place);
        if let Err(error) = delete.send().await {
            let error = self.remote.unreachable(&error);
            tracing::debug!(%error, "the goodbye was not heard");
        }
    }
}

/// A URL without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    // Only URLs that can have no user at all refuse this.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.into()
}

fn servers(headers: &HeaderMap) -> Vec<IceServer> {
    let links = headers.get_all(LINK).into_iter();
    links::ice_servers(links.filter_map(|link| link.to_str().ok()))
}

/// Where a response points: relative to where it came from (RFC 9110, 10.2.2).
fn location(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}
