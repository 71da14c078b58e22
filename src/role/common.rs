//! What the roles have in common: what a stay in a room asks of the media side, and who answers it.

use anyhow::bail;

use super::everybody::{self, Everybody};
use super::filter::Filter;
use super::kiosk::Kiosk;
use super::mixed::Mixed;
use super::over::Over;
use super::recorder::Recorder;
use super::relay::Relay;
use super::relay::pass::Pass;
use super::relay::push::Push;
use super::reload::Parts;
use super::{Events, JobError};
use crate::filter::report::FilterReport;
use crate::job::{Assignment, Of, Role};
use crate::peer::{PeerEvent, PeerSettings};
use crate::pipeline::Description;
use crate::pipeline::description::Fragments;
use crate::recording::{Because, End, Recording, RecordingError};
use crate::signalling::ids::{Generation, ParticipantId, RoomName};
use crate::signalling::protocol::{Ice, Kind, Participant, Sends};

/// The media side of a job; it outlives a lost server.
pub enum RoleMedia {
    Kiosk(Box<Kiosk>),
    Recorder(Box<Recorder>),
    Mixed(Box<Mixed>),
    Filter(Box<Filter>),
    /// Filters, one for each.
    Everybody(Box<Everybody>),
    Relay(Box<Relay>),
    /// A relay the other way: out of the room.
    Push(Box<Push>),
    /// A relay inside of the room.
    Pass(Box<Pass>),
}

impl RoleMedia {
    pub async fn start(
        assignment: &Assignment,
        description: &Description,
        events: &Events,
    ) -> Result<Self, JobError> {
        let started = match assignment.job.role {
            Role::Kiosk => Kiosk::start(assignment, description, events)
                .await
                .map(Box::new)
                .map(Self::Kiosk),
            Role::Recorder if description.record != Fragments::default() => {
                let mixed = Mixed::start(assignment, description, events).await;
                mixed.map(Box::new).map(Self::Mixed)
            }
            Role::Recorder => Recorder::start(assignment, description, events)
                .await
                .map(Box::new)
                .map(Self::Recorder),
            Role::Filter => Self::filter(assignment, description, events).await,
            Role::Relay if Push::is_meant(assignment) => {
                let push = Push::start(assignment, description, events);
                push.map(Box::new).map(Self::Push)
            }
            Role::Relay if assignment.job.of == Some(Of::Everybody) => {
                let everybody = Everybody::start(assignment, description, events).await;
                everybody.map(Box::new).map(Self::Everybody)
            }
            Role::Relay => Relay::start(assignment, description, events)
                .map(Box::new)
                .map(Self::Relay),
        };
        started.map_err(|error| JobError::Broken(format!("{error:#}")))
    }

    async fn filter(
        assignment: &Assignment,
        description: &Description,
        events: &Events,
    ) -> anyhow::Result<Self> {
        match assignment.job.of.clone() {
            Some(Of::One(of)) => Filter::start(assignment, description, of, events)
                .await
                .map(Box::new)
                .map(Self::Filter),
            Some(Of::Everybody) => Everybody::start(assignment, description, events)
                .await
                .map(Box::new)
                .map(Self::Everybody),
            None => bail!("of: a filter improves one participant, or `all`: say which"),
        }
    }

    /// What follows another description.
    pub fn parts(&self, room: &RoomName) -> Parts {
        match self {
            Self::Kiosk(kiosk) => kiosk.parts(),
            Self::Filter(filter) => filter.parts(),
            Self::Everybody(everybody) => Parts {
                crowd: Some(everybody.crowd()),
                ..Parts::default()
            },
            Self::Relay(relay) => relay.parts(),
            Self::Mixed(mixed) => Parts {
                arrangement: Some(mixed.arrangement(room)),
                ..Parts::default()
            },
            Self::Recorder(_) | Self::Push(_) | Self::Pass(_) => Parts::default(),
        }
    }

    /// What a recorder writes; others record nothing.
    pub fn recording(&self) -> Option<&Recording> {
        match self {
            Self::Kiosk(_)
            | Self::Filter(_)
            | Self::Everybody(_)
            | Self::Relay(_)
            | Self::Push(_)
            | Self::Pass(_) => None,
            Self::Recorder(recorder) => Some(recorder.recording()),
            Self::Mixed(mixed) => Some(mixed.recording()),
        }
    }

    /// The same, to change it.
    pub fn recording_mut(&mut self) -> Result<&mut Recording, String> {
        match self {
            Self::Kiosk(_)
            | Self::Filter(_)
            | Self::Everybody(_)
            | Self::Relay(_)
            | Self::Push(_)
            | Self::Pass(_) => {
                Err("only a recorder records: there is nothing to pause or split".to_owned())
            }
            Self::Recorder(recorder) => Ok(recorder.recording_mut()),
            Self::Mixed(mixed) => Ok(mixed.recording_mut()),
        }
    }

    /// It is in its room, for the first time or again, as this participant.
    pub fn entered(&mut self, me: &ParticipantId) {
        if let Self::Kiosk(kiosk) = self {
            kiosk.entered(me);
        }
        if let Ok(recording) = self.recording_mut() {
            recording.entered();
        }
    }

    /// Whether somebody waits for it who can put a wrong address or certificate right. A kiosk starts with its machine,
    /// maybe before that has the time of day by which a certificate is valid.
    pub fn gives_up(&self) -> bool {
        match self {
            Self::Kiosk(_) => false,
            Self::Recorder(_)
            | Self::Mixed(_)
            | Self::Filter(_)
            | Self::Everybody(_)
            | Self::Relay(_)
            | Self::Push(_)
            | Self::Pass(_) => true,
        }
    }

    /// How it shows itself in its room.
    pub fn kind(&self, role: Role) -> Kind {
        match self {
            Self::Push(_) => Kind::Recorder,
            // It waits as a filter for everybody does; its relays are what is seen.
            Self::Everybody(_) => Kind::Filter,
            Self::Kiosk(_)
            | Self::Recorder(_)
            | Self::Mixed(_)
            | Self::Filter(_)
            | Self::Relay(_)
            | Self::Pass(_) => role.kind(),
        }
    }

    /// Whether it takes the call away at this moment: into files, or to another server.
    pub fn takes_away(&self) -> bool {
        matches!(self, Self::Push(_)) || self.is_recording()
    }

    /// The one whose media it takes from now on, where it has just chosen one. A peer for that is to be made.
    pub fn turn_to(&mut self) -> Option<ParticipantId> {
        match self {
            Self::Push(push) => push.turn_to(),
            Self::Kiosk(_)
            | Self::Recorder(_)
            | Self::Mixed(_)
            | Self::Filter(_)
            | Self::Everybody(_)
            | Self::Relay(_)
            | Self::Pass(_) => None,
        }
    }

    /// Whether it writes the call down at this moment.
    pub fn is_recording(&self) -> bool {
        self.recording()
            .is_some_and(|recording| !recording.is_paused())
    }

    pub fn pause(&mut self) -> Result<(), String> {
        self.recording_mut().map(Recording::pause)
    }

    pub fn resume(&mut self) -> Result<(), String> {
        self.recording_mut().map(Recording::resume)
    }

    pub fn split(&mut self) -> Result<(), String> {
        let recording = self.recording_mut()?;
        if recording.is_paused() {
            return Err("the recorder is paused; resume it before".to_owned());
        }
        recording.split();
        Ok(())
    }

    /// The limit of the recording that is reached, with so many others in the room.
    pub fn look(&mut self, others: usize) -> Option<Because> {
        self.recording_mut().ok()?.look(others)
    }

    /// How many frames its source has given, where it has one that always gives some.
    pub fn captured(&self) -> Option<u64> {
        match self {
            Self::Kiosk(kiosk) => kiosk.captured(),
            Self::Recorder(_)
            | Self::Mixed(_)
            | Self::Filter(_)
            | Self::Everybody(_)
            | Self::Relay(_)
            | Self::Push(_)
            | Self::Pass(_) => None,
        }
    }

    /// What the participant sends.
    pub fn sends(&self) -> Sends {
        match self {
            Self::Kiosk(kiosk) => kiosk.sends(),
            Self::Filter(filter) => filter.sends(),
            Self::Relay(relay) => relay.sends(),
            Self::Pass(pass) => pass.sends(),
            Self::Recorder(_) | Self::Mixed(_) | Self::Everybody(_) | Self::Push(_) => {
                Sends::default()
            }
        }
    }

    /// Whose media it gives back.
    pub fn enhances(&self) -> Option<&ParticipantId> {
        match self {
            Self::Filter(filter) => Some(filter.of()),
            Self::Pass(pass) => Some(pass.of()),
            Self::Kiosk(_)
            | Self::Recorder(_)
            | Self::Mixed(_)
            | Self::Everybody(_)
            | Self::Relay(_)
            | Self::Push(_) => None,
        }
    }

    /// Whether media is wanted from or for this participant.
    /// A viewer sends nothing, and only a kiosk or a relay has something for it. A relay takes nothing. A filter for
    /// everybody leaves media to its filters.
    pub fn wants(&self, other: &Participant) -> bool {
        if other.kind == Kind::Filter && other.enhances.is_none() {
            return false;
        }
        // People have their media from relays; others from each other, as everywhere.
        if other.kind == Kind::Relay && other.enhances.is_some() {
            return false;
        }
        match (self, other.kind) {
            (Self::Everybody(_), _) => false,
            (Self::Pass(_), kind) => kind == Kind::Person,
            (Self::Recorder(_) | Self::Mixed(_) | Self::Push(_), Kind::Recorder | Kind::Viewer)
            | (Self::Filter(_), Kind::Filter | Kind::Viewer) => false,
            (Self::Relay(_), Kind::Relay) => false,
            (Self::Kiosk(_) | Self::Relay(_), Kind::Viewer) => true,
            (
                Self::Recorder(_)
                | Self::Mixed(_)
                | Self::Kiosk(_)
                | Self::Filter(_)
                | Self::Relay(_)
                | Self::Push(_),
                Kind::Person | Kind::Kiosk | Kind::Filter | Kind::Recorder | Kind::Relay,
            ) => true,
        }
    }

    /// Whether this participant lets its media be taken for what the role does with it.
    pub fn may_take(&self, other: &Participant) -> bool {
        match self {
            Self::Kiosk(_)
            | Self::Filter(_)
            | Self::Everybody(_)
            | Self::Relay(_)
            | Self::Pass(_) => true,
            Self::Recorder(_) | Self::Mixed(_) | Self::Push(_) => other.recordable,
        }
    }

    /// Somebody is in the room, or has changed, whether media of that one is wanted or not.
    pub fn met(&mut self, other: &Participant) {
        match self {
            Self::Everybody(everybody) => everybody.met(other),
            Self::Push(push) => push.met(other),
            Self::Pass(pass) => pass.met(other),
            Self::Kiosk(_)
            | Self::Recorder(_)
            | Self::Mixed(_)
            | Self::Filter(_)
            | Self::Relay(_) => {}
        }
    }

    /// Somebody has left the room.
    pub fn gone(&mut self, other: &ParticipantId) {
        match self {
            Self::Everybody(everybody) => everybody.gone(other),
            Self::Push(push) => push.gone(other),
            Self::Kiosk(_)
            | Self::Recorder(_)
            | Self::Mixed(_)
            | Self::Filter(_)
            | Self::Relay(_)
            | Self::Pass(_) => {}
        }
    }

    /// The server was started anew: whoever is there is met again.
    pub fn forgets(&mut self) {
        if let Self::Everybody(everybody) = self {
            everybody.alone();
        }
    }

    /// Somebody whose media is wanted has come.
    pub fn arrived(&mut self, other: &Participant) {
        match self {
            Self::Kiosk(kiosk) => kiosk.arrived(other),
            Self::Filter(filter) => filter.heard_of(other),
            Self::Relay(_) | Self::Push(_) | Self::Pass(_) | Self::Everybody(_) => {}
            Self::Recorder(recorder) => recorder.arrived(other),
            Self::Mixed(mixed) => mixed.arrived(other),
        }
    }

    /// The same one has changed.
    pub fn updated(&mut self, other: &Participant) {
        match self {
            Self::Kiosk(_)
            | Self::Relay(_)
            | Self::Push(_)
            | Self::Pass(_)
            | Self::Everybody(_) => {}
            Self::Filter(filter) => filter.heard_of(other),
            Self::Recorder(recorder) => recorder.updated(other),
            Self::Mixed(mixed) => mixed.updated(other),
        }
    }

    /// The same one has left, or takes its media away.
    pub fn left(&mut self, other: &ParticipantId, why: End) {
        match self {
            Self::Kiosk(kiosk) => kiosk.left(other),
            Self::Filter(_) | Self::Everybody(_) | Self::Relay(_) => {}
            Self::Push(push) => push.left(other),
            Self::Pass(_) => {}
            Self::Recorder(recorder) => recorder.left(other, why),
            Self::Mixed(mixed) => mixed.left(other),
        }
    }

    /// The last other participant has left.
    pub fn alone(&mut self) {
        match self {
            Self::Kiosk(kiosk) => kiosk.alone(),
            Self::Everybody(everybody) => everybody.alone(),
            Self::Push(push) => push.alone(),
            Self::Recorder(_)
            | Self::Mixed(_)
            | Self::Filter(_)
            | Self::Relay(_)
            | Self::Pass(_) => {}
        }
    }

    pub fn peer_settings(
        &self,
        other: &Participant,
        generation: Generation,
        ice: &Ice,
    ) -> PeerSettings {
        let name = format!("peer-{}-{generation}", other.id);
        match self {
            Self::Kiosk(kiosk) => kiosk.peer_settings(name, ice.clone()),
            Self::Mixed(mixed) => mixed.peer_settings(name, ice.clone()),
            Self::Relay(relay) => relay.peer_settings(name, ice.clone()),
            Self::Push(push) => push.peer_settings(name, &other.id, ice.clone()),
            Self::Pass(pass) => pass.peer_settings(name, &other.id, ice.clone()),
            Self::Filter(filter) => filter.peer_settings(name, &other.id, ice.clone()),
            Self::Everybody(_) => everybody::peer_settings(name, ice.clone()),
            Self::Recorder(recorder) => {
                recorder.peer_settings(name, &other.id, generation, ice.clone())
            }
        }
    }

    /// What a filter has to tell the one whose sound it is.
    pub fn report_for(&mut self, other: &ParticipantId) -> Option<FilterReport> {
        match self {
            Self::Filter(filter) => filter.report_for(other),
            Self::Kiosk(_)
            | Self::Recorder(_)
            | Self::Mixed(_)
            | Self::Everybody(_)
            | Self::Relay(_)
            | Self::Push(_)
            | Self::Pass(_) => None,
        }
    }

    /// Takes what only the role knows to use; other events come back.
    pub fn take(&mut self, other: &ParticipantId, event: PeerEvent) -> Option<PeerEvent> {
        match (self, event) {
            (Self::Kiosk(kiosk), PeerEvent::Track { kind, producer }) => {
                kiosk.track(other, kind, &producer);
                None
            }
            (Self::Mixed(mixed), PeerEvent::Track { kind, producer }) => {
                mixed.track(other, kind, &producer);
                None
            }
            (Self::Filter(filter), PeerEvent::Track { kind, producer }) => {
                filter.track(kind, &producer);
                None
            }
            (
                Self::Kiosk(_)
                | Self::Recorder(_)
                | Self::Mixed(_)
                | Self::Filter(_)
                | Self::Everybody(_)
                | Self::Relay(_)
                | Self::Push(_)
                | Self::Pass(_),
                event,
            ) => Some(event),
        }
    }

    /// Waits for an end that comes from the media side: trouble that the job does not survive, or a publisher's goodbye.
    pub async fn over(&mut self) -> Over {
        let error = match self {
            Self::Kiosk(kiosk) => kiosk.failed().await,
            Self::Filter(filter) => filter.failed().await,
            Self::Everybody(everybody) => everybody.look_after().await,
            Self::Recorder(recorder) => recorder.failed().await,
            Self::Mixed(mixed) => mixed.failed().await,
            Self::Relay(relay) => return relay.over().await,
            Self::Push(push) => return push.over().await,
            Self::Pass(pass) => return pass.over().await,
        };
        Over::Broken(error)
    }

    /// Waits until there is something to join a room with.
    pub async fn ready(&mut self) -> Result<(), JobError> {
        match self {
            Self::Kiosk(_)
            | Self::Recorder(_)
            | Self::Mixed(_)
            | Self::Filter(_)
            | Self::Everybody(_)
            | Self::Push(_)
            | Self::Pass(_) => Ok(()),
            Self::Relay(relay) => relay.ready().await,
        }
    }

    pub async fn finish(self, because: Because) -> Result<(), RecordingError> {
        match self {
            Self::Kiosk(kiosk) => {
                kiosk.finish().await;
                Ok(())
            }
            Self::Filter(filter) => {
                filter.finish().await;
                Ok(())
            }
            Self::Everybody(everybody) => {
                everybody.finish().await;
                Ok(())
            }
            Self::Relay(relay) => {
                relay.finish().await;
                Ok(())
            }
            Self::Push(push) => {
                push.finish().await;
                Ok(())
            }
            Self::Pass(_) => Ok(()),
            Self::Recorder(recorder) => recorder.finish(because).await,
            Self::Mixed(mixed) => mixed.finish(because).await,
        }
    }
}
