//! What a kiosk, a recorder, a filter and a relay do with their peers' media.
//!
//! [`attend`] keeps one job in its room: it connects, joins, and comes back when the server was lost. A [`call`] is one
//! stay: it owns the peers. `reload` moves a running job to another description or other values. [`kiosk`],
//! [`recorder`], [`mixed`], [`filter`] and [`relay`] are what differs between the roles.

mod attract;
mod call;
mod filter;
mod hearing;
mod kiosk;
mod live;
mod mixed;
mod order;
mod other;
mod over;
mod recorder;
mod relay;
mod reload;

use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::task::AbortOnDropHandle;

use self::call::Call;
use self::over::Over;
use crate::filter::report::FilterReport;
use crate::job::{Assignment, Event, JobState, Role};
use crate::media::{self, DeviceNews, MediaError, MediaEvent};
use crate::peer::{PeerEvent, PeerSettings};
use crate::pipeline::Description;
use crate::pipeline::description::Fragments;
use crate::recording::{Because, End, Recording, RecordingError};
use crate::signalling::ids::{Generation, ParticipantId, RoomName};
use crate::signalling::protocol::{Ice, Kind, Participant, Sends};
use crate::worker::Requests;
use crate::worker::pulse::Pulse;

use filter::Filter;
use kiosk::Kiosk;
use mixed::Mixed;
use order::Inbox;
use recorder::Recorder;
use relay::Relay;
use reload::{Parts, Reload};

/// The first wait after the server was lost; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Where a job's events go.
pub type Events = UnboundedSender<Event>;

/// Why a job ended before it was asked to. A lost server is no reason; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// It cannot be done: a wrong description, no right to enter. Trying again is of no use.
    #[error("{0}")]
    Hopeless(String),
    /// Something broke: a device went away, GStreamer failed. A fresh process may do better.
    #[error("{0}")]
    Broken(String),
}

/// Takes part in the room until `stop` is ready, answering requests meanwhile; then leaves and finishes what is to be finished.
///
/// # Errors
/// See [`JobError`]; what was recorded is finished all the same.
pub async fn attend(
    assignment: Assignment,
    events: Events,
    requests: Requests,
    pulse: Pulse,
    stop: impl Future<Output = ()>,
) -> Result<(), JobError> {
    media::init().map_err(|error| JobError::Hopeless(error.to_string()))?;
    media::clip::set_folder(&assignment.media());
    let loaded = load(&assignment).await;
    let description = loaded.map_err(|error| JobError::Hopeless(format!("{error:#}")))?;
    let mut role = RoleMedia::start(&assignment, &description, &events).await?;
    let (orders, mut inbox) = unbounded_channel();
    let parts = role.parts(&assignment.job.room);
    let reload = Reload::new(&assignment, description, parts, orders);
    let _answering = AbortOnDropHandle::new(tokio::spawn(reload.serve(requests, events.clone())));
    let ended = stay(&assignment, &mut role, &events, &pulse, &mut inbox, stop).await;
    pulse.ends();
    tell(&events, JobState::Stopping, None);
    let because = *ended.as_ref().unwrap_or(&Because::Stopped);
    let records = role.recording().is_some();
    let finished = role.finish(because).await;
    ended?;
    // Trying again would begin another recording after the end of this one.
    finished.map_err(|error| JobError::Hopeless(error.to_string()))?;
    if records {
        let _ = events.send(Event::Ended { because });
    }
    tell(&events, JobState::Stopped, None);
    Ok(())
}

/// Why the job is over.
async fn stay(
    assignment: &Assignment,
    role: &mut RoleMedia,
    events: &Events,
    pulse: &Pulse,
    inbox: &mut Inbox,
    stop: impl Future<Output = ()>,
) -> Result<Because, JobError> {
    tokio::pin!(stop);
    tokio::select! {
        () = &mut stop => return Ok(Because::Stopped),
        ready = role.ready() => ready?,
    }
    let mut wait = FIRST_WAIT;
    let mut was_there = false;
    loop {
        let joined = tokio::select! {
            () = &mut stop => return Ok(Because::Stopped),
            joined = Call::join(assignment, role, events) => joined,
        };
        let over = match joined {
            Ok(mut call) => {
                wait = FIRST_WAIT;
                was_there = true;
                role.entered();
                let over = tokio::select! {
                    () = &mut stop => Over::Asked,
                    over = call.run(role, inbox, pulse) => over,
                };
                call.leave(role).await;
                over
            }
            Err(over) => over,
        };
        let lost = match over {
            Over::Asked | Over::Done => return Ok(Because::Stopped),
            Over::Limit(because) => return Ok(because),
            Over::Refused(message) => return Err(JobError::Hopeless(message)),
            Over::Broken(message) => return Err(JobError::Broken(message)),
            Over::Untrusted(message) if !was_there && role.gives_up() => {
                return Err(JobError::Hopeless(message));
            }
            Over::Lost(reason) | Over::Untrusted(reason) => reason,
        };
        if let Some(because) = role.look(0) {
            return Ok(because);
        }
        tell(events, JobState::Reconnecting, None);
        let message = format!("{lost}; trying again in {:.1} s", wait.as_secs_f32());
        let _ = events.send(Event::Error {
            message,
            fatal: false,
        });
        // Jitter keeps many clients from coming back in step.
        let jittered = wait.mul_f64(rand::RngExt::random_range(&mut rand::rng(), 0.5..1.0));
        tokio::select! {
            () = &mut stop => return Ok(Because::Stopped),
            () = wait_alone(jittered, role, inbox, pulse) => wait = (wait * 2).min(LONGEST_WAIT),
        }
    }
}

/// Waits without a room; orders are carried out all the same.
async fn wait_alone(wait: Duration, role: &mut RoleMedia, inbox: &mut Inbox, pulse: &Pulse) {
    pulse.moved(role.captured(), std::time::Instant::now());
    let until = tokio::time::Instant::now() + wait;
    while let Ok(Some(order)) = tokio::time::timeout_at(until, inbox.recv()).await {
        order.carry_out_alone(role);
    }
    tokio::time::sleep_until(until).await;
}

/// Tells what the media side tells; an error is one that the media side does not survive.
fn pass_on(event: MediaEvent, events: &Events) -> Result<(), MediaError> {
    let event = match event {
        MediaEvent::Notice(message) => Event::Notice { message },
        MediaEvent::Encoder(encoder) => Event::Encoder(encoder),
        MediaEvent::Speech(speech) => Event::Speech(speech),
        MediaEvent::Device(DeviceNews { device, lost }) => Event::Device { device, lost },
        // Only a filter has such, and knows whose sound it is.
        MediaEvent::Filter(_) => return Ok(()),
        MediaEvent::Failed(error) => return Err(error),
    };
    // Nobody listens any more once the job has ended.
    let _ = events.send(event);
    Ok(())
}

fn tell(events: &Events, state: JobState, participant: Option<ParticipantId>) {
    let _ = events.send(Event::State { state, participant });
}

/// The media side of a job; it outlives a lost server.
enum RoleMedia {
    Kiosk(Box<Kiosk>),
    Recorder(Box<Recorder>),
    Mixed(Box<Mixed>),
    Filter(Box<Filter>),
    Relay(Box<Relay>),
}

impl RoleMedia {
    async fn start(
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
            Role::Filter => Filter::start(assignment, description, events)
                .await
                .map(Box::new)
                .map(Self::Filter),
            Role::Relay => Relay::start(assignment, description)
                .map(Box::new)
                .map(Self::Relay),
        };
        started.map_err(|error| JobError::Broken(format!("{error:#}")))
    }

    /// What follows another description.
    fn parts(&self, room: &RoomName) -> Parts {
        match self {
            Self::Kiosk(kiosk) => kiosk.parts(),
            Self::Filter(filter) => filter.parts(),
            Self::Relay(relay) => relay.parts(),
            Self::Mixed(mixed) => Parts {
                arrangement: Some(mixed.arrangement(room)),
                ..Parts::default()
            },
            Self::Recorder(_) => Parts::default(),
        }
    }

    /// What a recorder writes; others record nothing.
    fn recording(&self) -> Option<&Recording> {
        match self {
            Self::Kiosk(_) | Self::Filter(_) | Self::Relay(_) => None,
            Self::Recorder(recorder) => Some(recorder.recording()),
            Self::Mixed(mixed) => Some(mixed.recording()),
        }
    }

    /// The same, to change it.
    fn recording_mut(&mut self) -> Result<&mut Recording, String> {
        match self {
            Self::Kiosk(_) | Self::Filter(_) | Self::Relay(_) => {
                Err("only a recorder records: there is nothing to pause or split".to_owned())
            }
            Self::Recorder(recorder) => Ok(recorder.recording_mut()),
            Self::Mixed(mixed) => Ok(mixed.recording_mut()),
        }
    }

    /// It is in its room, for the first time or again.
    fn entered(&mut self) {
        if let Ok(recording) = self.recording_mut() {
            recording.entered();
        }
    }

    /// Whether somebody waits for it who can put a wrong address or certificate right. A kiosk starts with its machine,
    /// maybe before that has the time of day by which a certificate is valid.
    fn gives_up(&self) -> bool {
        match self {
            Self::Kiosk(_) => false,
            Self::Recorder(_) | Self::Mixed(_) | Self::Filter(_) | Self::Relay(_) => true,
        }
    }

    /// Whether it writes the call down at this moment.
    fn is_recording(&self) -> bool {
        self.recording()
            .is_some_and(|recording| !recording.is_paused())
    }

    fn pause(&mut self) -> Result<(), String> {
        self.recording_mut().map(Recording::pause)
    }

    fn resume(&mut self) -> Result<(), String> {
        self.recording_mut().map(Recording::resume)
    }

    fn split(&mut self) -> Result<(), String> {
        let recording = self.recording_mut()?;
        if recording.is_paused() {
            return Err("the recorder is paused; resume it before".to_owned());
        }
        recording.split();
        Ok(())
    }

    /// The limit of the recording that is reached, with so many others in the room.
    fn look(&mut self, others: usize) -> Option<Because> {
        self.recording_mut().ok()?.look(others)
    }

    /// How many frames its source has given, where it has one that always gives some.
    fn captured(&self) -> Option<u64> {
        match self {
            Self::Kiosk(kiosk) => kiosk.captured(),
            Self::Recorder(_) | Self::Mixed(_) | Self::Filter(_) | Self::Relay(_) => None,
        }
    }

    /// What the participant sends.
    fn sends(&self) -> Sends {
        match self {
            Self::Kiosk(kiosk) => kiosk.sends(),
            Self::Filter(filter) => filter.sends(),
            Self::Relay(relay) => relay.sends(),
            Self::Recorder(_) | Self::Mixed(_) => Sends::default(),
        }
    }

    /// Whose media it gives back.
    fn enhances(&self) -> Option<&ParticipantId> {
        match self {
            Self::Filter(filter) => Some(filter.of()),
            Self::Kiosk(_) | Self::Recorder(_) | Self::Mixed(_) | Self::Relay(_) => None,
        }
    }

    /// Whether media is wanted from or for this participant.
    /// A viewer sends nothing, and only a kiosk or a relay has something for it. A relay takes nothing.
    fn wants(&self, other: &Participant) -> bool {
        match (self, other.kind) {
            (Self::Recorder(_) | Self::Mixed(_), Kind::Recorder | Kind::Viewer)
            | (Self::Filter(_), Kind::Filter | Kind::Viewer) => false,
            (Self::Relay(_), Kind::Relay) => false,
            (Self::Kiosk(_) | Self::Relay(_), Kind::Viewer) => true,
            (
                Self::Recorder(_)
                | Self::Mixed(_)
                | Self::Kiosk(_)
                | Self::Filter(_)
                | Self::Relay(_),
                Kind::Person | Kind::Kiosk | Kind::Filter | Kind::Recorder | Kind::Relay,
            ) => true,
        }
    }

    /// Whether this participant lets its media be taken for what the role does with it.
    fn may_take(&self, other: &Participant) -> bool {
        match self {
            Self::Kiosk(_) | Self::Filter(_) | Self::Relay(_) => true,
            Self::Recorder(_) | Self::Mixed(_) => other.recordable,
        }
    }

    fn arrived(&mut self, other: &Participant) {
        match self {
            Self::Kiosk(kiosk) => kiosk.arrived(other),
            Self::Filter(filter) => filter.heard_of(other),
            Self::Relay(_) => {}
            Self::Recorder(recorder) => recorder.arrived(other),
            Self::Mixed(mixed) => mixed.arrived(other),
        }
    }

    fn updated(&mut self, other: &Participant) {
        match self {
            Self::Kiosk(_) | Self::Relay(_) => {}
            Self::Filter(filter) => filter.heard_of(other),
            Self::Recorder(recorder) => recorder.updated(other),
            Self::Mixed(mixed) => mixed.updated(other),
        }
    }

    fn left(&mut self, other: &ParticipantId, why: End) {
        match self {
            Self::Kiosk(kiosk) => kiosk.left(other),
            Self::Filter(_) | Self::Relay(_) => {}
            Self::Recorder(recorder) => recorder.left(other, why),
            Self::Mixed(mixed) => mixed.left(other),
        }
    }

    /// The last other participant has left.
    fn alone(&mut self) {
        match self {
            Self::Kiosk(kiosk) => kiosk.alone(),
            Self::Recorder(_) | Self::Mixed(_) | Self::Filter(_) | Self::Relay(_) => {}
        }
    }

    fn peer_settings(
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
            Self::Filter(filter) => filter.peer_settings(name, &other.id, ice.clone()),
            Self::Recorder(recorder) => {
                recorder.peer_settings(name, &other.id, generation, ice.clone())
            }
        }
    }

    /// What a filter has to tell the one whose sound it is.
    fn report_for(&mut self, other: &ParticipantId) -> Option<FilterReport> {
        match self {
            Self::Filter(filter) => filter.report_for(other),
            Self::Kiosk(_) | Self::Recorder(_) | Self::Mixed(_) | Self::Relay(_) => None,
        }
    }

    /// Takes what only the role knows to use; other events come back.
    fn take(&mut self, other: &ParticipantId, event: PeerEvent) -> Option<PeerEvent> {
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
                | Self::Relay(_),
                event,
            ) => Some(event),
        }
    }

    /// Waits for an end that comes from the media side: trouble that the job does not survive, or a publisher's goodbye.
    async fn over(&mut self) -> Over {
        let error = match self {
            Self::Kiosk(kiosk) => kiosk.failed().await,
            Self::Filter(filter) => filter.failed().await,
            Self::Recorder(recorder) => recorder.failed().await,
            Self::Mixed(mixed) => mixed.failed().await,
            Self::Relay(relay) => return relay.over().await,
        };
        Over::Broken(error)
    }

    /// Waits until there is something to join a room with.
    async fn ready(&mut self) -> Result<(), JobError> {
        match self {
            Self::Kiosk(_) | Self::Recorder(_) | Self::Mixed(_) | Self::Filter(_) => Ok(()),
            Self::Relay(relay) => relay.ready().await,
        }
    }

    async fn finish(self, because: Because) -> Result<(), RecordingError> {
        match self {
            Self::Kiosk(kiosk) => {
                kiosk.finish().await;
                Ok(())
            }
            Self::Filter(filter) => {
                filter.finish().await;
                Ok(())
            }
            Self::Relay(_) => Ok(()),
            Self::Recorder(recorder) => recorder.finish(because).await,
            Self::Mixed(mixed) => mixed.finish(because).await,
        }
    }
}

/// The job's description, with the given values checked against its parameters.
async fn load(assignment: &Assignment) -> anyhow::Result<Description> {
    let job = &assignment.job;
    let name = job
        .description
        .clone()
        .unwrap_or_else(|| job.role.default_description().to_owned());
    let folder = assignment.pipelines.clone();
    let allowed = assignment.elements.clone();
    let description =
        tokio::task::spawn_blocking(move || Description::load_with(&folder, &name, &allowed))
            .await??;
    if description.role != job.role {
        let file = description.file.display();
        return Err(anyhow!(
            "{file}: it is for the role {:?}; the job has the role {:?}",
            description.role,
            job.role
        ));
    }
    description.values(&job.parameters, &job.room)?;
    Ok(description)
}
