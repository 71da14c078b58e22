//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-03): media in and out of a room over plain HTTP signalling.
//!
//! A player's POST becomes a viewer in the room that offers to one participant: the server translates signalling and no
//! more ([`viewers`], one [`session`] each). A publisher's POST starts a relay, a worker that sends on what it receives
//! ([`publishers`]). A relay can also fetch what another server plays, or publish there ([`client`]). [`sdp`] knows what of a description
//! travels over HTTP. No GStreamer here.

pub mod client;
mod links;
pub mod publishers;
mod sdp;
mod session;
pub mod viewers;

use crate::auth::AuthError;
use crate::signalling::ids::{ParticipantId, SessionId};
use crate::signalling::protocol::Ice;
use crate::signalling::room::Refusal;
use crate::supervisor::StartError;

pub use publishers::Publishers;
pub use sdp::{FragmentError, with_candidates};
pub use viewers::Viewers;

/// Why there is no session, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The room token is wrong, or one is needed.
    #[error("{0}; send `Authorization: Bearer TOKEN` with a room token")]
    Token(#[from] AuthError),
    /// The room does not let the client in.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The description is not an offer of the right kind.
    #[error("{0}")]
    Offer(&'static str),
    /// There is nothing to watch.
    #[error("{0}")]
    Nobody(String),
    /// The publisher's job cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The participant did not answer, or could not.
    #[error("the participant {id} gave no answer: {why}")]
    NoAnswer {
        /// Who was asked.
        id: ParticipantId,
        /// What is known.
        why: String,
    },
    /// The relay did not answer, or could not.
    #[error("the offer is not answered: {0}")]
    NoRelay(String),
    /// No such session, or it has ended.
    #[error("there is no such session, or it has ended; POST a new offer")]
    NoSession,
    /// What was trickled cannot be taken.
    #[error("{0}")]
    Fragment(#[from] FragmentError),
}

/// A session that has begun.
#[derive(Debug)]
pub struct Begun {
    /// For its URL.
    pub session: SessionId,
    /// What stands before it there: the participant that is watched, or the job that publishes.
    pub place: String,
    /// The answer, with all candidates.
    pub answer: String,
    /// Servers for the client.
    pub ice: Ice,
}

/// A body that can be a session description.
fn description(body: &str) -> Result<&str, SessionError> {
    if body.starts_with("v=0") && body.contains("\nm=") {
        return Ok(body);
    }
    Err(SessionError::Offer(
        "the body is no session description (RFC 8866) with an m-line; send the offer as it is",
    ))
}
