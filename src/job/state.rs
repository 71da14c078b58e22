//! Where a job, its peers, its streams and its encoders stand.

use serde::{Deserialize, Serialize};

/// Where a job stands. It only goes forward, but for `Reconnecting`, which goes back to `Joined`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// The process is being started.
    Starting,
    /// It is in its room.
    Joined,
    /// The signalling was lost; it tries again.
    Reconnecting,
    /// It was asked to end and finishes its files.
    Stopping,
    /// It ended as asked.
    Stopped,
    /// It ended by itself with an error and will be started again.
    Restarting,
    /// It cannot be done; nobody tries again.
    Failed,
}

/// Where a peer stands; `RTCPeerConnectionState` of W3C WebRTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names and meanings are W3C's")]
pub enum PeerState {
    New,
    Connecting,
    Connected,
    Disconnected,
    Failed,
    Closed,
}

/// Why a peer does not serve any more.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum StallReason {
    /// Nothing arrives from the other side, no RTP, no RTCP, no answer to a probe.
    Silence,
    /// The same, just after the host's addresses or routes have changed.
    Network,
    /// What goes out does not arrive there, by the other side's reports.
    Unheard,
    /// ICE lost its path and looks for it.
    Disconnected,
    /// ICE or DTLS failed.
    Failed,
    /// The other side closed it.
    Closed,
    /// It was not connected in time.
    Timeout,
    /// GStreamer failed.
    Broken,
    /// The other side asks for another one.
    Asked,
}

impl StallReason {
    /// As events and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Network => "network",
            Self::Unheard => "unheard",
            Self::Disconnected => "disconnected",
            Self::Failed => "failed",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Asked => "asked",
        }
    }
}

impl std::fmt::Display for StallReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Silence => "nothing arrives from the other side",
            Self::Network => "nothing arrives since the network has changed",
            Self::Unheard => "nothing arrives at the other side",
            Self::Disconnected => "ICE lost its path",
            Self::Failed => "the connection failed: no path to the other side carries media",
            Self::Closed => "the other side closed it",
            Self::Timeout => "it was not connected in time",
            Self::Broken => "its pipeline failed",
            Self::Asked => "the other side asks for another one",
        })
    }
}

/// Where a live stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// The server is being asked.
    Connecting,
    /// The server takes what is sent.
    Live,
    /// The server was lost, or not found; it is tried again.
    Waiting,
    /// It ended with its recording.
    Ended,
    /// Nothing can be sent: nobody tries again.
    Failed,
}

impl std::fmt::Display for StreamState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
            Self::Failed => "failed",
        })
    }
}

/// The encoder that a job uses for a codec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EncoderInUse {
    /// What it makes, as people write it: `VP8`, `H.264`, `Opus`.
    pub codec: String,
    /// The GStreamer element.
    pub encoder: String,
    /// Whether a device of its own does the work.
    pub hardware: bool,
    /// Why this one.
    pub reason: String,
    /// Why the one before it does not work any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
}

impl std::fmt::Display for EncoderInUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(former) = &self.instead_of {
            write!(f, "{former}; ")?;
        }
        let Self {
            codec,
            encoder,
            reason,
            ..
        } = self;
        write!(f, "{codec} is encoded by {encoder} ({reason})")
    }
}
