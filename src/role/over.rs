//! Why a stay in a room is over, and whether another try is of use.

use crate::recording::Because;
use crate::signalling::client::ConnectError;
use crate::signalling::protocol::ErrorCode;
use crate::signalling::rejoin::StayError;

/// Why a stay is over.
#[derive(Debug)]
pub enum Over {
    /// We were asked to end.
    Asked,
    /// The one whom the job is for has left.
    Done,
    /// The recording reached a limit.
    Limit(Because),
    /// The server will not have us; trying again is of no use.
    Refused(String),
    /// The server was lost.
    Lost(String),
    /// The server shows no certificate that we trust, or does not speak TLS at all.
    Untrusted(String),
    /// Our own media side broke.
    Broken(String),
}

impl Over {
    /// There is no connection.
    fn unreachable(error: &ConnectError) -> Self {
        match error {
            ConnectError::Address { .. } | ConnectError::Certificates { .. } => {
                Self::Refused(error.to_string())
            }
            ConnectError::Tls { .. } if error.is_distrust() => Self::Untrusted(error.to_string()),
            ConnectError::Unreachable { .. }
            | ConnectError::Tls { .. }
            | ConnectError::Status { .. }
            | ConnectError::Handshake { .. }
            | ConnectError::Timeout { .. } => Self::Lost(error.to_string()),
        }
    }

    /// The stay did not begin, or was ended by the other side.
    pub fn ended(error: &StayError) -> Self {
        match error {
            StayError::Unreachable(error) => Self::unreachable(error),
            StayError::Lost(why) => Self::Lost(why.clone()),
            StayError::Refused { code, message } => Self::refused(*code, message),
        }
    }

    /// The server sent a fatal error: it is final, or a matter of time.
    fn refused(code: ErrorCode, message: &str) -> Self {
        match code {
            ErrorCode::Unauthorized
            | ErrorCode::Forbidden
            | ErrorCode::RecordingForbidden
            | ErrorCode::FiltersForbidden
            | ErrorCode::NoFilter
            | ErrorCode::UnsupportedProtocol
            | ErrorCode::InvalidMessage
            | ErrorCode::NotJoined
            | ErrorCode::AlreadyJoined
            | ErrorCode::UnknownParticipant
            | ErrorCode::SessionTaken
            | ErrorCode::Removed => Self::Refused(format!("the server refused: {message}")),
            ErrorCode::MessageTooLarge
            | ErrorCode::JoinTimeout
            | ErrorCode::RoomFull
            | ErrorCode::ServerFull
            | ErrorCode::RateLimited
            | ErrorCode::TooSlow
            | ErrorCode::IdleTimeout
            | ErrorCode::SessionOver
            | ErrorCode::ServerStopping => Self::Lost(format!("the server said: {message}")),
        }
    }
}
