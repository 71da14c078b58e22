//! What is told: the events' names and their JSON.

use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use crate::job::{JobState, Role};
use crate::recording::catalog::{StoredPart, StoredRecording};
use crate::signalling::ids::{JobId, RoomName};
use crate::supervisor::JobView;

/// Every name there is.
pub const NAMES: [&str; 8] = [
    "job.state",
    "recording.started",
    "recording.part_finished",
    "recording.finished",
    "recording.recovered",
    "recording.uploaded",
    "recording.upload_failed",
    "recording.failed",
];

/// A name of [`NAMES`], or a beginning with a star: `recording.*`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether it means the event of this name.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.0,
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let pattern = Self(text);
        if NAMES.iter().any(|name| pattern.matches(name)) {
            return Ok(pattern);
        }
        Err(format!(
            "found {:?}, expected \"job.*\", \"recording.*\", or one of {}",
            pattern.0,
            NAMES.join(", ")
        ))
    }
}

/// A job moved on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobChange {
    /// Which.
    pub job: JobId,
    /// What it does.
    pub role: Role,
    /// Where.
    pub room: RoomName,
    /// Where it stands now.
    pub state: JobState,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl JobChange {
    /// As the job is now.
    pub fn new(view: &JobView) -> Self {
        Self {
            job: view.id.clone(),
            role: view.spec.role,
            room: view.spec.room.clone(),
            state: view.state,
            error: view.last_error.clone(),
        }
    }
}

/// What happened to a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordingChange {
    /// The recorder began.
    Started,
    /// Nothing more is written to a file.
    PartFinished(StoredPart),
    /// The recorder is done.
    Finished,
    /// Its recorder was killed; what was on disk was finished later.
    Recovered,
    /// Every file is at its target.
    Uploaded,
    /// No target took it; it is tried again later.
    UploadFailed(String),
    /// It could not be written or recovered.
    Failed,
}

/// Something that is told. Nothing in it is secret, and nobody's display name.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A job moved on.
    Job(JobChange),
    /// A recording moved on.
    Recording(std::sync::Arc<StoredRecording>, RecordingChange),
}

impl Event {
    /// Its name, one of [`NAMES`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Job(_) => "job.state",
            Self::Recording(_, change) => match change {
                RecordingChange::Started => "recording.started",
                RecordingChange::PartFinished(_) => "recording.part_finished",
                RecordingChange::Finished => "recording.finished",
                RecordingChange::Recovered => "recording.recovered",
                RecordingChange::Uploaded => "recording.uploaded",
                RecordingChange::UploadFailed(_) => "recording.upload_failed",
                RecordingChange::Failed => "recording.failed",
            },
        }
    }

    /// The job it is about: events of the same one are told in order.
    pub fn job(&self) -> &JobId {
        match self {
            Self::Job(change) => &change.job,
            Self::Recording(recording, _) => &recording.job,
        }
    }

    /// The body: `type`, `timestamp`, `data`.
    ///
    /// # Errors
    /// None in practice; serde's.
    pub fn body(&self, now: OffsetDateTime) -> Result<String, serde_json::Error> {
        let data = match self {
            Self::Job(change) => serde_json::to_value(change)?,
            Self::Recording(recording, change) => recording_data(recording, change)?,
        };
        let timestamp = now.format(&time::format_description::well_known::Rfc3339);
        serde_json::to_string(&json!({
            "type": self.name(),
            "timestamp": timestamp.unwrap_or_default(),
            "data": data,
        }))
    }
}

fn recording_data(
    recording: &StoredRecording,
    change: &RecordingChange,
) -> Result<serde_json::Value, serde_json::Error> {
    let mut data = json!({
        "recording": recording.name,
        "job": recording.job,
        "room": recording.room,
        "state": recording.state,
    });
    match change {
        RecordingChange::Started => {}
        RecordingChange::PartFinished(part) => data["part"] = serde_json::to_value(part)?,
        RecordingChange::Finished | RecordingChange::Recovered => {
            data["ended"] = serde_json::to_value(recording.ended)?;
            data["bytes"] = recording.bytes.into();
            data["parts"] = serde_json::to_value(&recording.parts)?;
        }
        RecordingChange::Uploaded => data["targets"] = serde_json::to_value(&recording.targets)?,
        RecordingChange::UploadFailed(error) => data["error"] = error.as_str().into(),
        RecordingChange::Failed => data["error"] = serde_json::to_value(&recording.error)?,
    }
    Ok(data)
}
