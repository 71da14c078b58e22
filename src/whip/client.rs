//! The client's side of WHEP: an offer over HTTP to another server, its answer, and a goodbye at the end
//! (draft-ietf-wish-whep-03; RFC 9725 has the rules of the requests).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::tls::{self, UntrustedError};

const CONNECT: Duration = Duration::from_secs(5);
/// Of a whole request: a server that starts something for its answer takes a moment.
const REQUEST: Duration = Duration::from_secs(20);
/// RFC 9725, 4.5: a server may send its clients on with 307.
const REDIRECTS: usize = 3;
/// So much of a server's word of refusal is shown.
const SHOWN: usize = 200;
/// More than this is no description of a session.
const LONGEST_ANSWER: usize = 256 * 1024;
const SDP: &str = "application/sdp";

/// The streams of other servers that the operator allows, by their names.
pub type Remotes = BTreeMap<String, Remote>;

/// A stream of another server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Its WHEP endpoint, `http` or `https`.
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
    #[error("{at} answered {status}, expected 201{said}")]
    Refused {
        /// The server.
        at: String,
        /// Its status.
        status: StatusCode,
        /// What it says, behind a colon; or nothing.
        said: String,
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
}

/// A session with the other server, until it is ended.
#[derive(Debug)]
pub struct Session {
    remote: Remote,
    client: Client,
    place: Option<Url>,
}

impl Remote {
    /// For logs: without what may be secret in it.
    pub fn shown(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        // Only URLs that can have no user at all refuse this.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        url.into()
    }

    /// Offers, and returns the server's answer.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn begin(&self, offer: String) -> Result<(Session, String), RemoteError> {
        let client = self.client()?;
        let mut url = self.url.clone();
        for _ in 0..=REDIRECTS {
            let post = client.request(Method::POST, url.clone());
            let post = self.authorized(post).header(CONTENT_TYPE, SDP);
            let sent = post.body(offer.clone()).send().await;
            let response = sent.map_err(|error| self.unreachable(&error))?;
            let place = location(&response);
            match (response.status(), place) {
                (StatusCode::CREATED, place) => {
                    let answer = self.answer(response).await?;
                    let session = Session {
                        remote: self.clone(),
                        client,
                        place,
                    };
                    return Ok((session, answer));
                }
                // The token is for this server only.
                (StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT, Some(next))
                    if next.origin() == self.url.origin() =>
                {
                    url = next;
                }
                (status, _) => return Err(self.refused(status, response).await),
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

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
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

    async fn refused(&self, status: StatusCode, mut response: Response) -> RemoteError {
        // Whatever cannot be read is not shown.
        let said = response.chunk().await.ok().flatten().unwrap_or_default();
        let said: String = String::from_utf8_lossy(&said)
            .chars()
            .filter(|letter| !letter.is_control())
            .take(SHOWN)
            .collect();
        RemoteError::Refused {
            at: self.shown(),
            status,
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
    /// Says goodbye. A server that does not hear it notices by the silence.
    pub async fn end(self) {
        let Some(place) = self.place else {
            return;
        };
        let delete = self.client.request(Method::DELETE, place);
        if let Err(error) = self.remote.authorized(delete).send().await {
            let error = self.remote.unreachable(&error);
            tracing::debug!(%error, "the goodbye was not heard");
        }
    }
}

/// Where a response points: relative to where it came from (RFC 9110, 10.2.2).
fn location(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}
