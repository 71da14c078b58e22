//! What is known of a job, and how its worker's events change that. Pure; everything in it is bounded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use super::records::Record;
use crate::admission::Cost;
use crate::filter::report::FilterReport;
use crate::job::{
    EncoderInUse, Event, JobSpec, JobState, PeerState, Request, StallReason, StreamState, Value,
};
use crate::media::devices::DeviceKind;
use crate::media::speaker::Speech;
use crate::quality::Quality;
use crate::recording::Because;
use crate::signalling::ids::{Generation, JobId, ParticipantId};
use crate::streaming::target;

/// Of each list, the last so many are kept.
const KEPT: usize = 100;
/// Of each text, so many characters.
const TEXT_CHARACTERS: usize = 500;

/// A job as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct JobView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: JobId,
    /// What it was asked to do; URLs among its parameters are shown without user and password,
    /// those of live streams without path and query, too.
    #[serde(serialize_with = "without_passwords")]
    pub spec: JobSpec,
    /// Where it stands.
    pub state: JobState,
    /// As which participant it is in its room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub participant: Option<ParticipantId>,
    /// Its peers that are not closed.
    pub peers: Vec<PeerView>,
    /// How often peers of it did not serve any more, by reason; the next one was made each time.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stalls: BTreeMap<StallReason, u64>,
    /// Devices that were lost in the midst of it and are not back yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostDevice>,
    /// How often devices were lost, by what they are for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub losses: BTreeMap<DeviceKind, u64>,
    /// How often a peer was given another tier of the picture, because of its link.
    pub tier_changes: u64,
    /// The files it has written and writes; of very many, the last.
    pub recordings: Vec<RecordingView>,
    /// The encoders at work, one for each codec that somebody wants.
    pub encoders: Vec<EncoderInUse>,
    /// What the operator should know of, the last ones: devices and encoders that were chosen, and why.
    pub notices: Vec<String>,
    /// Who speaks, of a kiosk or a recorder: what it hears.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speech: Option<Speech>,
    /// What filters of sound do, one for each participant whose sound it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<FilterView>,
    /// Of a mix that goes out live: where that stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamView>,
    /// What is reserved for it.
    pub cost: Cost,
    /// A recorder that writes nothing until it is resumed.
    pub paused: bool,
    /// Of a recorder that ended: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_because: Option<Because>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What went wrong, the last ones.
    pub errors: Vec<String>,
    /// How often its worker was started again.
    pub restarts: u32,
    /// When the job was started.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: OffsetDateTime,
    /// Its worker's process id, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

fn without_passwords<S: Serializer>(spec: &JobSpec, serializer: S) -> Result<S::Ok, S::Error> {
    let mut spec = spec.clone();
    for value in spec.parameters.values_mut() {
        let Value::String(text) = value else {
            continue;
        };
        if let Some(hidden) = target::hidden(text) {
            *text = hidden;
        } else if let Ok(mut url) = url::Url::parse(text)
            && (!url.username().is_empty() || url.password().is_some())
            // A URL that has them can do without.
            && url.set_username("").and_then(|()| url.set_password(None)).is_ok()
        {
            *text = url.into();
        }
    }
    spec.serialize(serializer)
}

/// The tier of a peer that is sent no picture.
pub const NO_PICTURE: &str = "none";

/// A peer of a job.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PeerView {
    /// The other participant.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// Which PeerConnection.
    #[schema(value_type = u32)]
    pub generation: Generation,
    /// Where it stands.
    pub state: PeerState,
    /// Sound frames received.
    pub audio_frames: u64,
    /// Pictures received.
    pub video_frames: u64,
    /// The tier of the picture that it is sent, as `720p30` (lines and pictures per second), or `none` where its link
    /// carries sound only; absent where no picture is sent, or one that has no tiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// How good the connection was in the last two seconds; absent before it was measured twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

/// A device that is away.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct LostDevice {
    /// What it is for.
    pub device: DeviceKind,
    /// Why it is lost.
    pub reason: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub since: OffsetDateTime,
}

/// A filter of sound at work.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FilterView {
    /// Whose sound it is.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// What it does.
    #[serde(flatten)]
    pub report: FilterReport,
}

/// A live stream of a job.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct StreamView {
    /// Protocol, host and port of the server.
    pub target: String,
    /// Where it stands.
    pub state: StreamState,
    /// How often it has been live.
    pub connections: u32,
    /// Why it was not live, the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A file of a job.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RecordingView {
    /// Whose media.
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// The file.
    #[schema(value_type = String)]
    pub file: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// Media time in it, in milliseconds.
    pub duration_ms: u64,
    /// Nothing more will be written.
    pub finished: bool,
}

impl JobView {
    /// A job that begins now.
    pub fn new(id: JobId, spec: JobSpec, cost: Cost) -> Self {
        Self {
            id,
            spec,
            state: JobState::Starting,
            participant: None,
            peers: Vec::new(),
            stalls: BTreeMap::new(),
            lost: Vec::new(),
            losses: BTreeMap::new(),
            tier_changes: 0,
            recordings: Vec::new(),
            encoders: Vec::new(),
            notices: Vec::new(),
            speech: None,
            filters: Vec::new(),
            stream: None,
            cost,
            paused: false,
            ended_because: None,
            last_error: None,
            errors: Vec::new(),
            restarts: 0,
            started_at: OffsetDateTime::now_utc(),
            pid: None,
        }
    }

    /// A former server began it; its worker, if there is one, is about to come.
    pub fn on_taken_over(&mut self, record: &Record, pid: Option<u32>) {
        self.started_at = record.started_at;
        self.restarts = record.restarts;
        self.paused = record.paused;
        self.pid = pid;
        self.state = match pid {
            Some(_) => JobState::Reconnecting,
            None => JobState::Restarting,
        };
    }

    /// Nothing will happen to it any more.
    pub fn ended(&self) -> bool {
        match self.state {
            JobState::Stopped | JobState::Failed => true,
            JobState::Starting
            | JobState::Joined
            | JobState::Reconnecting
            | JobState::Stopping
            | JobState::Restarting => false,
        }
    }

    /// A worker process runs.
    pub fn on_process(&mut self, pid: Option<u32>) {
        self.state = JobState::Starting;
        self.pid = pid;
    }

    /// It is no more: who it was and its peers are gone with it, its files stay.
    pub fn on_exit(&mut self, state: JobState, error: Option<String>) {
        self.state = state;
        self.pid = None;
        self.participant = None;
        self.peers.clear();
        self.encoders.clear();
        self.lost.clear();
        self.speech = None;
        self.filters.clear();
        self.stream = None;
        if let Some(error) = error {
            self.on_error(error);
        }
    }

    fn on_error(&mut self, error: String) {
        let error = cut(error);
        self.errors.push(error.clone());
        keep_last(&mut self.errors);
        self.last_error = Some(error);
    }

    /// The worker did what was asked: a new process begins with the same values.
    pub fn on_done(&mut self, request: Request) {
        match request {
            Request::SetParameters { parameters } => self.spec.parameters.extend(parameters),
            Request::Pause => self.paused = true,
            Request::Resume => self.paused = false,
            Request::Reload
            | Request::Split
            | Request::Graph
            | Request::Receive { .. }
            | Request::Trickle { .. } => {}
        }
    }

    /// The worker reports something.
    pub fn on_event(&mut self, event: Event) {
        match event {
            Event::State { state, participant } => self.on_state(state, participant),
            Event::Notice { message } => {
                self.notices.push(cut(message));
                keep_last(&mut self.notices);
            }
            Event::Encoder(encoder) => {
                self.notices.push(cut(encoder.to_string()));
                keep_last(&mut self.notices);
                self.encoders.retain(|known| known.codec != encoder.codec);
                self.encoders.push(encoder);
                keep_last(&mut self.encoders);
            }
            Event::Device { device, lost } => self.on_device(device, lost),
            Event::Peer {
                participant,
                generation,
                state,
            } => self.on_peer(participant, generation, state),
            Event::Stalled {
                participant,
                generation,
                reason,
            } => {
                *self.stalls.entry(reason).or_default() += 1;
                self.notices.push(cut(format!(
                    "connection {generation} with {participant}: {reason}; the next one is made"
                )));
                keep_last(&mut self.notices);
            }
            Event::Receiving {
                participant,
                audio_frames,
                video_frames,
            } => {
                // The newest generation is the one whose media is shown.
                let of_it = self
                    .peers
                    .iter_mut()
                    .filter(|peer| peer.participant == participant);
                if let Some(peer) = of_it.max_by_key(|peer| peer.generation) {
                    peer.audio_frames = audio_frames;
                    peer.video_frames = video_frames;
                }
            }
            Event::Quality {
                participant,
                generation,
                quality,
            } => {
                let this = |peer: &&mut PeerView| {
                    peer.participant == participant && peer.generation == generation
                };
                if let Some(peer) = self.peers.iter_mut().find(this) {
                    peer.quality = Some(quality);
                }
            }
            Event::Tier {
                participant,
                generation,
                tier,
            } => {
                let this = |peer: &&mut PeerView| {
                    peer.participant == participant && peer.generation == generation
                };
                if let Some(peer) = self.peers.iter_mut().find(this) {
                    let tier = tier.unwrap_or_else(|| NO_PICTURE.to_owned());
                    let former = peer.tier.replace(tier);
                    self.tier_changes +=
                        u64::from(former.is_some_and(|former| Some(former) != peer.tier));
                }
            }
            Event::Speech(speech) => self.speech = Some(speech),
            Event::Filter {
                participant,
                report,
            } => {
                self.filters
                    .retain(|known| known.participant != participant);
                self.filters.push(FilterView {
                    participant,
                    report,
                });
                keep_last(&mut self.filters);
            }
            // What people write to each other is not the operator's; answers are for whoever asked.
            Event::Message { .. } | Event::Answer { .. } => {}
            // Whether it beats is for whoever watches the process.
            Event::Beat { .. } => {}
            Event::Recording {
                participant,
                file,
                bytes,
                duration_ms,
                finished,
            } => {
                self.on_recording(RecordingView {
                    participant,
                    file,
                    bytes,
                    duration_ms,
                    finished,
                });
            }
            Event::Stream {
                target,
                state,
                reason,
            } => self.on_stream(target, state, reason),
            Event::Ended { because } => self.ended_because = Some(because),
            Event::Paused => self.paused = true,
            Event::Resumed => self.paused = false,
            Event::Error { message, fatal: _ } => self.on_error(message),
        }
    }

    fn on_state(&mut self, state: JobState, participant: Option<ParticipantId>) {
        match state {
            // Only the end of the process tells that it is stopped.
            JobState::Stopping | JobState::Stopped => self.state = JobState::Stopping,
            JobState::Starting | JobState::Joined | JobState::Reconnecting => {
                if self.state != JobState::Stopping {
                    self.state = state;
                }
                if participant.is_some() {
                    self.participant = participant;
                }
            }
            // These two are the supervisor's to say.
            JobState::Restarting | JobState::Failed => {}
        }
    }

    fn on_device(&mut self, device: DeviceKind, lost: Option<String>) {
        self.notices.push(cut(device.told(lost.as_deref())));
        keep_last(&mut self.notices);
        self.lost.retain(|known| known.device != device);
        if let Some(reason) = lost {
            *self.losses.entry(device).or_default() += 1;
            self.lost.push(LostDevice {
                device,
                reason: cut(reason),
                since: OffsetDateTime::now_utc(),
            });
        }
    }

    fn on_stream(&mut self, target: String, state: StreamState, reason: Option<String>) {
        let stream = self.stream.get_or_insert_with(|| StreamView {
            target: cut(target),
            state,
            connections: 0,
            last_error: None,
        });
        stream.state = state;
        stream.connections += u32::from(state == StreamState::Live);
        if let Some(reason) = reason {
            stream.last_error = Some(cut(reason));
        }
    }

    fn on_peer(&mut self, participant: ParticipantId, generation: Generation, state: PeerState) {
        let this =
            |peer: &PeerView| peer.participant == participant && peer.generation == generation;
        if state == PeerState::Closed {
            self.peers.retain(|peer| !this(peer));
            return;
        }
        if let Some(peer) = self.peers.iter_mut().find(|peer| this(peer)) {
            peer.state = state;
            return;
        }
        self.peers.push(PeerView {
            participant,
            generation,
            state,
            audio_frames: 0,
            video_frames: 0,
            tier: None,
            quality: None,
        });
        keep_last(&mut self.peers);
    }

    fn on_recording(&mut self, recording: RecordingView) {
        match self
            .recordings
            .iter_mut()
            .find(|known| known.file == recording.file)
        {
            Some(known) => *known = recording,
            None => self.recordings.push(recording),
        }
        keep_last(&mut self.recordings);
    }
}

fn keep_last<T>(list: &mut Vec<T>) {
    if list.len() > KEPT {
        list.drain(..list.len() - KEPT);
    }
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARACTERS) {
        text.truncate(end);
        text.push('…');
    }
    text
}
