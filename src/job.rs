//! What a worker is asked to do, and what it reports: the JSON lines on its standard input and output.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::filter::report::FilterReport;
use crate::graph::Graph;
use crate::media::devices::DeviceKind;
use crate::media::encoder::Policy;
use crate::media::speaker::Speech;
use crate::peer::Candidate;
use crate::pipeline::allowed::Allowed;
use crate::quality::Quality;
use crate::recording::Because;
use crate::signalling::ids::{Generation, JobId, ParticipantId, RoomName};
use crate::signalling::protocol::{Ice, Kind};
use crate::streaming::Hosts;
use crate::whip::client::Remote;

mod of;
mod state;

pub use of::Of;
pub use state::{EncoderInUse, JobState, PeerState, StallReason, StreamState};

/// What a worker does with its peers' media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sends a camera and a microphone, shows and plays what others send.
    Kiosk,
    /// Writes down what others send.
    Recorder,
    /// Gives one participant's media back, improved.
    Filter,
    /// Passes on what a publisher outside the room sends (WHIP), or what another server plays (WHEP); or publishes at
    /// another server what somebody in the room sends (WHIP).
    Relay,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kiosk => "kiosk",
            Self::Recorder => "recorder",
            Self::Filter => "filter",
            Self::Relay => "relay",
        })
    }
}

impl Role {
    /// How a participant of this role shows itself in a room.
    pub fn kind(self) -> Kind {
        match self {
            Self::Kiosk => Kind::Kiosk,
            Self::Recorder => Kind::Recorder,
            Self::Filter => Kind::Filter,
            Self::Relay => Kind::Relay,
        }
    }

    /// The description a job of this role uses when it names none.
    pub fn default_description(self) -> &'static str {
        match self {
            Self::Kiosk => "kiosk",
            Self::Recorder => "recorder",
            Self::Filter => "filter-denoise",
            Self::Relay => "relay",
        }
    }
}

/// A value for one of a description's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// Text.
    String(String),
}

/// Values by parameter name.
pub type Parameters = BTreeMap<String, Value>;

/// One role at work in one room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// What to do.
    pub role: Role,
    /// Where to do it.
    #[schema(value_type = String)]
    pub room: RoomName,
    /// The description to use; absent: the role's own (`kiosk`, `recorder`, `filter-denoise`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Values for the description's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: Parameters,
    /// The name the participant is shown by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of a filter: the participant whose media it improves, by its id, or `all`. Of a relay that publishes at another
    /// server: whom, by the id; absent: the first kiosk that sends, else the first participant that does. The job ends
    /// when the one named leaves. Of a relay without `remote`: `all`; it passes each person's media on to the others, as
    /// in large rooms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub of: Option<Of>,
    /// Of a relay, and only of one: the name of one of the operator's `[remotes]`, whose stream it brings into the room,
    /// or to which it publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// A worker that takes more memory than so many megabytes (64 to 1000000) is killed and started again; absent: what
    /// `[jobs] memory_limit_mb` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_mb: Option<u64>,
}

/// What [`JobSpec::memory_limit_mb`] may be.
pub const MEMORY_LIMITS_MB: std::ops::RangeInclusive<u64> = 64..=1_000_000;

impl JobSpec {
    /// The name of the description in use.
    pub fn description(&self) -> &str {
        let own = self.role.default_description();
        self.description.as_deref().unwrap_or(own)
    }
}

/// How a worker reaches the server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerAddress {
    /// The server's private Unix socket: a supervised worker on the same machine.
    Unix(PathBuf),
    /// `ws://` or `wss://` of the signalling endpoint.
    Url {
        /// The endpoint.
        url: String,
        /// A PEM file of certificates to trust besides the system's, for self-signed servers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<PathBuf>,
    },
}

/// Everything a worker needs to begin; the first line on its standard input.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The job's id, for logs and events.
    pub id: JobId,
    /// What to do.
    pub job: JobSpec,
    /// Where the room is.
    pub server: ServerAddress,
    /// The room token to join with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The folder of descriptions.
    pub pipelines: PathBuf,
    /// The folder of clips that descriptions name; absent: `media` in the folder of descriptions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<PathBuf>,
    /// Elements that descriptions may use besides those of attache's list.
    #[serde(default, skip_serializing_if = "Allowed::is_plain")]
    pub elements: Allowed,
    /// The folder recordings go to.
    pub recordings: PathBuf,
    /// The folder of what that does not take; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_folder: Option<PathBuf>,
    /// What the operator says of encoders.
    #[serde(default)]
    pub encoders: Policy,
    /// The servers that live streams may go to.
    #[serde(default, skip_serializing_if = "Hosts::is_empty")]
    pub stream_hosts: Hosts,
    /// The server that a relay fetches from or publishes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// A recorder begins paused: it was, when its former process ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The socket where the next server is found when this one is gone; absent: the worker ends with its server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<PathBuf>,
    /// How long the worker works on without a server, in seconds.
    #[serde(default)]
    pub server_wait_s: u64,
}

/// What a worker says first to a server that did not start it; events follow, the last ones on each subject again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Its job.
    pub job: JobId,
    /// attache's version: another one may speak otherwise.
    pub version: String,
}

impl Hello {
    /// The worker of this job, as this program is.
    pub fn new(job: JobId) -> Self {
        Self {
            job,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Assignment {
    /// The folder of clips that descriptions name.
    pub fn media(&self) -> PathBuf {
        let default = || self.pipelines.join("media");
        self.media.clone().unwrap_or_else(default)
    }
}

/// Down to the worker.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Always first, once.
    Start {
        /// The job.
        assignment: Box<Assignment>,
    },
    /// Leave the room, finish the files, end. The end of standard input says the same.
    Stop,
    /// Do something and answer with an [`Event::Answer`] of the same number.
    Request {
        /// Chosen by whoever asks.
        number: u64,
        /// What to do.
        request: Request,
    },
}

/// Something asked of a worker while it works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Read the description again, which was checked, and move to it; peers stay.
    Reload,
    /// Go on with other values for some of the description's parameters; peers stay.
    SetParameters {
        /// Those that change.
        parameters: Parameters,
    },
    /// A recorder writes nothing from now on, and says so in its room.
    Pause,
    /// A recorder says in its room that it records, then writes again.
    Resume,
    /// A recorder goes on in the next part of every file.
    Split,
    /// Tell the pipelines that run now.
    Graph,
    /// A relay answers its publisher.
    Receive {
        /// The publisher's offer.
        offer: String,
        /// Servers for the connection.
        ice: Ice,
    },
    /// A relay takes candidates of its publisher.
    Trickle {
        /// In the order in which they came.
        candidates: Vec<Candidate>,
    },
}

/// How a [`Request`] ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// The pipelines that run.
    Graph {
        /// All of the worker's process.
        graph: Graph,
    },
    /// A relay's answer to its publisher.
    Session {
        /// With all candidates.
        sdp: String,
    },
    /// It cannot be done; everything is as it was.
    Refused {
        /// Where, what was found, what would be right.
        message: String,
    },
}

/// Up from the worker; also what `attache kiosk`, `record` and `filter` print with `--json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The job moved on.
    State {
        /// Where to.
        state: JobState,
        /// As which participant, once joined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participant: Option<ParticipantId>,
    },
    /// A choice the operator should know of: which device, and why.
    Notice {
        /// In words.
        message: String,
    },
    /// An encoder begins to work.
    Encoder(EncoderInUse),
    /// A device was lost, or is back. The calls go on: meanwhile a picture that says so, or silence, is sent; what was to
    /// be shown or played is not.
    Device {
        /// What it is for.
        device: DeviceKind,
        /// Why it is lost; absent: it is back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<String>,
    },
    /// A peer moved on.
    Peer {
        /// The other participant.
        participant: ParticipantId,
        /// Which PeerConnection.
        generation: Generation,
        /// Where to.
        state: PeerState,
    },
    /// A peer does not serve any more; the next generation is made beside it. Told once for each time.
    Stalled {
        /// The other participant.
        participant: ParticipantId,
        /// Which PeerConnection.
        generation: Generation,
        /// What is wrong, and so in which direction.
        reason: StallReason,
    },
    /// Media of another participant arrives: reported with the first frame of each kind, then every few seconds.
    Receiving {
        /// The other participant.
        participant: ParticipantId,
        /// Sound frames since its peer was made.
        audio_frames: u64,
        /// Pictures since its peer was made.
        video_frames: u64,
    },
    /// How good a peer's connection is; reported every two seconds while it is connected.
    Quality {
        /// The other participant.
        participant: ParticipantId,
        /// Which PeerConnection.
        generation: Generation,
        /// Since the last time.
        quality: Quality,
    },
    /// Another tier of the picture is sent to a peer.
    Tier {
        /// The other participant.
        participant: ParticipantId,
        /// Which PeerConnection.
        generation: Generation,
        /// Lines and pictures per second, as `720p30`; absent: its link carries sound only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tier: Option<String>,
    },
    /// A message came over a data channel.
    Message {
        /// From whom.
        participant: ParticipantId,
        /// What, cut to 200 characters.
        text: String,
    },
    /// Somebody else speaks, or nobody any more: what the job hears.
    Speech(Speech),
    /// What a filter of sound does; reported every two seconds.
    Filter {
        /// Whose sound it is.
        participant: ParticipantId,
        /// In the last two seconds.
        report: FilterReport,
    },
    /// A recording moved on.
    Recording {
        /// Whose media.
        participant: ParticipantId,
        /// The file, in the job's recording folder.
        file: PathBuf,
        /// Bytes on disk.
        bytes: u64,
        /// Media time in it, in milliseconds.
        duration_ms: u64,
        /// It is finished: nothing more will be written.
        finished: bool,
    },
    /// A live stream moved on.
    Stream {
        /// Protocol, host and port.
        target: String,
        /// Where to.
        state: StreamState,
        /// Why it is not live.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A recorder is done.
    Ended {
        /// Why.
        because: Because,
    },
    /// A recorder writes nothing until it is resumed.
    Paused,
    /// It writes again.
    Resumed,
    /// The worker lives: told every two seconds. A supervisor that hears nothing for long ends it.
    Beat {
        /// What does not move although it should; absent: all is well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stalled: Option<String>,
    },
    /// A request was answered.
    Answer {
        /// Which one.
        number: u64,
        /// How.
        #[serde(flatten)]
        answer: Answer,
    },
    /// Something went wrong; the job goes on unless `fatal`.
    Error {
        /// Where, what was found, what would be right.
        message: String,
        /// The worker ends with this.
        fatal: bool,
    },
}
