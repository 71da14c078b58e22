//! What a kiosk, a recorder, a filter and a relay do with their peers' media.
//!
//! [`attend`] keeps one job in its room: it connects, joins, and comes back when the server was lost. A [`call`] is one
//! stay: it owns the peers. `reload` moves a running job to another description or other values. [`media`]
//! is what all roles answer; [`kiosk`], [`recorder`], [`mixed`], [`filter`], [`everybody`] and [`relay`] are what differs.

mod attract;
mod call;
mod everybody;
mod filter;
mod hearing;
mod in_place;
mod kiosk;
mod live;
mod media;
mod mixed;
mod order;
mod other;
mod over;
mod recorder;
mod relay;
mod reload;
mod start;

use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::task::AbortOnDropHandle;

use self::call::Call;
use self::media::RoleMedia;
use self::order::Inbox;
use self::over::Over;
use self::reload::Reload;
use crate::job::{Assignment, Event, JobState};
use crate::media::{DeviceNews, MediaError, MediaEvent};
use crate::peer::Peer;
use crate::pipeline::Description;
use crate::recording::Because;
use crate::signalling::ids::ParticipantId;
use crate::worker::Requests;
use crate::worker::pulse::Pulse;

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
    crate::media::init().map_err(|error| JobError::Hopeless(error.to_string()))?;
    crate::media::clip::set_folder(&assignment.media());
    let loaded = load(&assignment).await;
    let description = loaded.map_err(|error| JobError::Hopeless(format!("{error:#}")))?;
    let mut role = start::start(&assignment, &description, &events).await?;
    let (orders, mut inbox) = unbounded_channel();
    let parts = role.parts(&assignment.job.room);
    let reload = Reload::new(&assignment, description, parts, orders);
    let _answering = AbortOnDropHandle::new(tokio::spawn(reload.serve(requests, events.clone())));
    let ended = stay(&assignment, &mut *role, &events, &pulse, &mut inbox, stop).await;
    pulse.ends();
    tell(&events, JobState::Stopping, None);
    let because = *ended.as_ref().unwrap_or(&Because::Stopped);
    let records = role.recording().is_some();
    let finished = role.finish(because).await;
    Peer::settle().await;
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
    role: &mut dyn RoleMedia,
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
                role.entered(call.me());
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
async fn wait_alone(wait: Duration, role: &mut dyn RoleMedia, inbox: &mut Inbox, pulse: &Pulse) {
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
        // Only filters and kiosks have such, and know whose sound it is.
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
