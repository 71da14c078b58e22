//! Every message of the signalling protocol, version 1. `docs/protocol.md` says the same in words.

use serde::{Deserialize, Serialize};

use super::ids::{Generation, ParticipantId, RoomName};

/// The version a client names in its `join`.
pub const VERSION: u32 = 1;

/// What a participant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Somebody at a browser's page.
    Person,
    /// A device that is always ready for a call.
    Kiosk,
    /// A bot that writes the call down.
    Recorder,
    /// A bot that gives better media back.
    Filter,
    /// Passes on what a publisher outside the room sends (WHIP).
    Relay,
    /// A player outside the room's page, which watches one participant and sends nothing (WHEP).
    Viewer,
}

/// The tracks a participant sends now. A muted track is `false`; its m-line stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sends {
    /// Sound.
    pub audio: bool,
    /// A picture.
    pub video: bool,
}

/// A participant as the others in its room see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// Named by the server.
    #[schema(value_type = String)]
    pub id: ParticipantId,
    /// What it is.
    pub kind: Kind,
    /// The name it wishes to be shown by, at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who its token says it is (the JWT's `sub`); absent for guests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// What it sends now.
    pub sends: Sends,
    /// It writes the call down at this moment.
    #[serde(default)]
    pub recording: bool,
    /// It may be recorded; `false`, which it says itself, forbids it to everybody. Absent in JSON: it may.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schema(default = true)]
    pub recordable: bool,
    /// It gives back this participant's media, improved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub enhances: Option<ParticipantId>,
    /// Its connection to the server is lost, and it may come back; its media goes on. Absent in JSON: it is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
}

/// A session, as a client asks for it or goes on with it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionWish {
    /// The session to go on with; absent: a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How many of the session's messages the client has received.
    #[serde(default)]
    pub received: u64,
}

impl std::fmt::Debug for SessionWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is as good as the participant itself: never in a log.
        f.debug_struct("SessionWish")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// A session that the server grants.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionGrant {
    /// What to come back with.
    pub token: String,
    /// For how many seconds after the connection was lost.
    pub seconds: u64,
}

impl std::fmt::Debug for SessionGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionGrant")
            .field("seconds", &self.seconds)
            .finish_non_exhaustive()
    }
}

/// From a client to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// The first message, within two seconds of the connection.
    Join {
        /// [`VERSION`].
        protocol: u32,
        /// The room to enter; it appears if it was not there.
        room: RoomName,
        /// What the newcomer is.
        kind: Kind,
        /// The name to be shown by.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// A room token (JWT), where the room wants one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// What it sends at the start.
        #[serde(default)]
        sends: Sends,
        /// It will write the call down.
        #[serde(default)]
        recording: bool,
        /// It may be recorded.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        recordable: bool,
        /// Whose media it improves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enhances: Option<ParticipantId>,
        /// Asks for a session, or goes on with one; absent: a lost connection is the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionWish>,
    },
    /// An SDP offer (RFC 8829) for one other participant. Of two, the one that joined later offers.
    Offer {
        /// The addressee.
        to: ParticipantId,
        /// Which PeerConnection between the two this is.
        generation: Generation,
        /// The session description.
        sdp: String,
    },
    /// The SDP answer to an offer.
    Answer {
        /// The addressee.
        to: ParticipantId,
        /// The generation of the offer.
        generation: Generation,
        /// The session description.
        sdp: String,
    },
    /// One trickled ICE candidate (RFC 8838); an empty `candidate` says that there are no more.
    Candidate {
        /// The addressee.
        to: ParticipantId,
        /// The generation it belongs to.
        generation: Generation,
        /// The candidate's attribute, as in `RTCIceCandidate.candidate`.
        candidate: String,
        /// The m-line's index.
        mline: u32,
    },
    /// Asks the one who offers (the later of the two) for the next generation.
    Renew {
        /// The addressee.
        to: ParticipantId,
        /// The generation that does not serve any more.
        generation: Generation,
    },
    /// What the participant sends or does has changed; an absent field stays as it was.
    Update {
        /// New tracks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sends: Option<Sends>,
        /// New name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Whether it records now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recording: Option<bool>,
        /// Whether it may be recorded from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recordable: Option<bool>,
    },
    /// Asks the server to run a filter for oneself, or to end it.
    Filter {
        /// Run it.
        on: bool,
    },
    /// Asks for ICE servers with fresh credentials.
    IceServers,
    /// Within a session: so many of the server's messages have arrived.
    Ack {
        /// How many, since the welcome.
        received: u64,
    },
    /// Goodbye.
    Leave,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

/// A STUN or TURN server, shaped as `RTCIceServer` of W3C WebRTC.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URLs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// TURN user name; it carries the expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The credential opens the TURN server: never in a log.
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// Which candidates a peer may use, as `RTCIceTransportPolicy` of W3C WebRTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceTransportPolicy {
    /// Any.
    #[default]
    All,
    /// Only those of a TURN server.
    Relay,
}

/// ICE settings, as the server hands them to everybody who joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ice {
    /// In order of preference.
    pub servers: Vec<IceServer>,
    /// Which candidates may be used.
    pub transport_policy: IceTransportPolicy,
}

/// Why somebody left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It said goodbye.
    Left,
    /// Its connection was lost.
    Lost,
    /// It broke the protocol's rules.
    Refused,
    /// It did not read its messages in time.
    TooSlow,
    /// A manager of the room removed it.
    Removed,
}

/// From the server to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The answer to `join`.
    Welcome {
        /// [`VERSION`].
        protocol: u32,
        /// The newcomer itself, as the others see it.
        you: Participant,
        /// Those who were there before: the newcomer offers to each of them it wants media with.
        participants: Vec<Participant>,
        /// ICE servers and policy.
        ice: Ice,
        /// The server runs a filter for those who ask by `filter`. Absent in JSON: it does not.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        filters: bool,
        /// What to come back with, where the client asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionGrant>,
    },
    /// The session goes on: what came meanwhile follows.
    Resumed {
        /// How many of the client's messages have arrived, since the welcome.
        received: u64,
    },
    /// Within a session: so many of the client's messages have arrived.
    Ack {
        /// How many, since the welcome.
        received: u64,
    },
    /// Somebody came: it will offer.
    Joined {
        /// The newcomer.
        participant: Participant,
        /// It was in the room before, and came back after the server was started anew: the addressee offers, if the
        /// two have no peer. Absent in JSON: it has just come.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        earlier: bool,
    },
    /// Somebody changed.
    Updated {
        /// Its new state, whole.
        participant: Participant,
    },
    /// Somebody left; PeerConnections with it are to be closed.
    Left {
        /// Who.
        id: ParticipantId,
        /// Why.
        reason: LeaveReason,
    },
    /// See [`ClientMessage::Offer`].
    Offer {
        /// The sender.
        from: ParticipantId,
        /// Which PeerConnection.
        generation: Generation,
        /// The session description.
        sdp: String,
    },
    /// See [`ClientMessage::Answer`].
    Answer {
        /// The sender.
        from: ParticipantId,
        /// Which PeerConnection.
        generation: Generation,
        /// The session description.
        sdp: String,
    },
    /// See [`ClientMessage::Candidate`].
    Candidate {
        /// The sender.
        from: ParticipantId,
        /// Which PeerConnection.
        generation: Generation,
        /// The candidate's attribute.
        candidate: String,
        /// The m-line's index.
        mline: u32,
    },
    /// See [`ClientMessage::Renew`].
    Renew {
        /// The sender.
        from: ParticipantId,
        /// The generation that does not serve any more.
        generation: Generation,
    },
    /// ICE servers with fresh credentials.
    IceServers {
        /// The new settings.
        ice: Ice,
    },
    /// Something the client sent was refused.
    Error {
        /// What kind of mistake.
        code: ErrorCode,
        /// In words: where, what was found, what would be right.
        message: String,
        /// The connection ends with this.
        fatal: bool,
    },
}

impl ServerMessage {
    /// The message's `type`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Resumed { .. } => "resumed",
            Self::Ack { .. } => "ack",
            Self::Joined { .. } => "joined",
            Self::Updated { .. } => "updated",
            Self::Left { .. } => "left",
            Self::Offer { .. } => "offer",
            Self::Answer { .. } => "answer",
            Self::Candidate { .. } => "candidate",
            Self::Renew { .. } => "renew",
            Self::IceServers { .. } => "ice_servers",
            Self::Error { .. } => "error",
        }
    }
}

/// What kind of mistake was made. `docs/protocol.md` has one line for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, not a message of this protocol, or a field is wrong.
    InvalidMessage,
    /// Larger than the limit of a message.
    MessageTooLarge,
    /// `join` named another version.
    UnsupportedProtocol,
    /// The first message did not come in time.
    JoinTimeout,
    /// The first message was not `join`.
    NotJoined,
    /// A second `join`.
    AlreadyJoined,
    /// The room wants a token, and there was none or a wrong or expired one.
    Unauthorized,
    /// The token does not allow this.
    Forbidden,
    /// Nobody may record in this room.
    RecordingForbidden,
    /// The server runs no filters for those who ask.
    FiltersForbidden,
    /// The filter that was asked for cannot be started, or has failed for good.
    NoFilter,
    /// The room is full.
    RoomFull,
    /// The server has as many rooms or connections as it may.
    ServerFull,
    /// The addressee is not in this room.
    UnknownParticipant,
    /// Too many messages in a short time.
    RateLimited,
    /// The client did not read its messages in time.
    TooSlow,
    /// Nothing was heard from the client for too long.
    IdleTimeout,
    /// A manager of the room removed the participant.
    Removed,
    /// The session goes on over another connection.
    SessionTaken,
    /// There is no such session any more: join anew.
    SessionOver,
    /// The server stops; come back.
    ServerStopping,
}

impl ErrorCode {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 21] = [
        Self::InvalidMessage,
        Self::MessageTooLarge,
        Self::UnsupportedProtocol,
        Self::JoinTimeout,
        Self::NotJoined,
        Self::AlreadyJoined,
        Self::Unauthorized,
        Self::Forbidden,
        Self::RecordingForbidden,
        Self::FiltersForbidden,
        Self::NoFilter,
        Self::RoomFull,
        Self::ServerFull,
        Self::UnknownParticipant,
        Self::RateLimited,
        Self::TooSlow,
        Self::IdleTimeout,
        Self::Removed,
        Self::SessionTaken,
        Self::SessionOver,
        Self::ServerStopping,
    ];

    /// The code as it stands in messages, and in the close frame's reason.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidMessage => "invalid_message",
            Self::MessageTooLarge => "message_too_large",
            Self::UnsupportedProtocol => "unsupported_protocol",
            Self::JoinTimeout => "join_timeout",
            Self::NotJoined => "not_joined",
            Self::AlreadyJoined => "already_joined",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RecordingForbidden => "recording_forbidden",
            Self::FiltersForbidden => "filters_forbidden",
            Self::NoFilter => "no_filter",
            Self::RoomFull => "room_full",
            Self::ServerFull => "server_full",
            Self::UnknownParticipant => "unknown_participant",
            Self::RateLimited => "rate_limited",
            Self::TooSlow => "too_slow",
            Self::IdleTimeout => "idle_timeout",
            Self::Removed => "removed",
            Self::SessionTaken => "session_taken",
            Self::SessionOver => "session_over",
            Self::ServerStopping => "server_stopping",
        }
    }
}
