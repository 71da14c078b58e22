//! What comes of a message: actions in order, or a refusal in words.

use crate::signalling::ids::{ParticipantId, RoomName};
use crate::signalling::protocol::{ErrorCode, Participant, ServerMessage};

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Greet a newcomer; the ICE settings of the message are the caller's.
    Welcome {
        /// The newcomer.
        you: Participant,
        /// Those who were there before.
        participants: Vec<Participant>,
    },
    /// Hand out ICE servers with fresh credentials.
    IceServers {
        /// To whom.
        to: ParticipantId,
    },
    /// Run a filter for somebody, or end it.
    Filter {
        /// Where.
        room: RoomName,
        /// For whom.
        of: ParticipantId,
        /// Run it.
        on: bool,
    },
    /// Deliver a message.
    Send {
        /// To whom; all of them are in one room.
        to: Vec<ParticipantId>,
        /// What.
        message: ServerMessage,
    },
    /// End a connection whose participant is out of its room by now.
    Close {
        /// Whose.
        id: ParticipantId,
        /// What to tell it last.
        refusal: Option<Refusal>,
    },
}

/// Why something a client asked for was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind of mistake.
    pub code: ErrorCode,
    /// Where, what was found, what would be right.
    pub message: String,
}

impl Refusal {
    /// A refusal in words.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The message to the client; after a fatal one its connection ends.
    pub fn into_message(self, fatal: bool) -> ServerMessage {
        ServerMessage::Error {
            code: self.code,
            message: self.message,
            fatal,
        }
    }
}
