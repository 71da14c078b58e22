//! What a stay in a room asks of the media side of a job. Each role answers what has a meaning for it.

use async_trait::async_trait;
use gstreamer_utils::StreamProducer;

use super::JobError;
use super::over::Over;
use super::reload::Parts;
use crate::filter::report::FilterReport;
use crate::job::Role;
use crate::media::MediaKind;
use crate::peer::PeerSettings;
use crate::recording::{Because, End, Recording, RecordingError};
use crate::signalling::ids::{Generation, ParticipantId, RoomName};
use crate::signalling::protocol::{Ice, Kind, Participant, Sends};

/// A peer that is to be made.
pub struct NextPeer<'a> {
    /// Of its pipeline, for people who look at one.
    pub name: String,
    /// With whom.
    pub other: &'a ParticipantId,
    /// The how-manyth with this participant it is.
    pub generation: Generation,
    /// How it finds a way.
    pub ice: Ice,
}

/// The media side of a job; it outlives a lost server.
#[async_trait]
pub trait RoleMedia: Send + Sync {
    /// What follows another description.
    fn parts(&self, _: &RoomName) -> Parts {
        Parts::default()
    }

    /// What a recorder writes; others record nothing.
    fn recording(&self) -> Option<&Recording> {
        None
    }

    /// The same, to change it.
    fn recording_mut(&mut self) -> Option<&mut Recording> {
        None
    }

    /// Waits until there is something to join a room with.
    async fn ready(&mut self) -> Result<(), JobError> {
        Ok(())
    }

    /// How it shows itself in its room.
    fn kind(&self, role: Role) -> Kind {
        role.kind()
    }

    /// It is in its room, for the first time or again, as this participant.
    fn entered(&mut self, _: &ParticipantId) {
        if let Some(recording) = self.recording_mut() {
            recording.entered();
        }
    }

    /// Whether somebody waits for it who can put a wrong address or certificate right.
    fn gives_up(&self) -> bool {
        true
    }

    /// What the participant sends.
    fn sends(&self) -> Sends {
        Sends::default()
    }

    /// Whose media it gives back.
    fn enhances(&self) -> Option<&ParticipantId> {
        None
    }

    /// Whether it takes the call away at this moment: into files, or to another server.
    fn takes_away(&self) -> bool {
        self.recording()
            .is_some_and(|recording| !recording.is_paused())
    }

    /// Whether it has something to do with the media of such participants.
    fn wants_kind(&self, kind: Kind) -> bool;

    /// Whether this participant lets its media be taken for what the role does with it.
    fn may_take(&self, _: &Participant) -> bool {
        true
    }

    /// Somebody is in the room, or has changed, whether media of that one is wanted or not.
    fn met(&mut self, _: &Participant) {}

    /// Somebody has left the room.
    fn gone(&mut self, _: &ParticipantId) {}

    /// Somebody whose media is wanted has come.
    fn arrived(&mut self, _: &Participant) {}

    /// The same one has changed.
    fn updated(&mut self, _: &Participant) {}

    /// The same one has left, or takes its media away.
    fn left(&mut self, _: &ParticipantId, _: End) {}

    /// The last other participant has left.
    fn alone(&mut self) {}

    /// The server was started anew: whoever is there is met again.
    fn forgets(&mut self) {}

    /// The one whose media it takes from now on, where it has just chosen one. A peer for that is to be made.
    fn turn_to(&mut self) -> Option<ParticipantId> {
        None
    }

    /// What the next peer is to be.
    fn peer_settings(&self, next: NextPeer<'_>) -> PeerSettings;

    /// A participant's track arrives.
    fn track(&mut self, _: &ParticipantId, _: MediaKind, _: &StreamProducer) {}

    /// What a filter has to tell the one whose sound it is.
    fn report_for(&mut self, _: &ParticipantId) -> Option<FilterReport> {
        None
    }

    /// How many frames its source has given, where it has one that always gives some.
    fn captured(&self) -> Option<u64> {
        None
    }

    /// Waits for an end that comes from the media side: trouble that the job does not survive, or a publisher's goodbye.
    /// What was waited for is not lost when the waiting is given up.
    async fn over(&mut self) -> Over;

    /// Frees what it holds, finishes what it writes.
    ///
    /// # Errors
    /// Where a manifest cannot be written, or nothing could be recorded.
    async fn finish(self: Box<Self>, _: Because) -> Result<(), RecordingError> {
        Ok(())
    }
}

/// What follows from the answers.
impl dyn RoleMedia + '_ {
    /// Whether media is wanted from or for this participant.
    pub fn wants(&self, other: &Participant) -> bool {
        match (other.kind, &other.enhances) {
            // It waits for others, whom it gives filters of their own.
            (Kind::Filter, None) => false,
            // People have their media from relays of a large room; others from each other, as everywhere.
            (Kind::Relay, Some(_)) => false,
            // A viewer sends nothing.
            (kind, _) => self.wants_kind(kind),
        }
    }

    /// What the next peer with this participant is to be.
    pub fn next_peer(&self, other: &Participant, generation: Generation, ice: Ice) -> PeerSettings {
        self.peer_settings(NextPeer {
            name: format!("peer-{}-{generation}", other.id),
            other: &other.id,
            generation,
            ice,
        })
    }

    pub fn pause(&mut self) -> Result<(), String> {
        self.recorded().map(Recording::pause)
    }

    pub fn resume(&mut self) -> Result<(), String> {
        self.recorded().map(Recording::resume)
    }

    pub fn split(&mut self) -> Result<(), String> {
        let recording = self.recorded()?;
        if recording.is_paused() {
            return Err("the recorder is paused; resume it before".to_owned());
        }
        recording.split();
        Ok(())
    }

    /// The limit of the recording that is reached, with so many others in the room.
    pub fn look(&mut self, others: usize) -> Option<Because> {
        self.recording_mut()?.look(others)
    }

    fn recorded(&mut self) -> Result<&mut Recording, String> {
        let recording = self.recording_mut();
        recording
            .ok_or_else(|| "only a recorder records: there is nothing to pause or split".to_owned())
    }
}

/// Whether the media of such participants is taken away: neither recorders nor viewers send any.
pub fn is_recorded(kind: Kind) -> bool {
    match kind {
        Kind::Person | Kind::Kiosk | Kind::Filter | Kind::Relay => true,
        Kind::Recorder | Kind::Viewer => false,
    }
}
