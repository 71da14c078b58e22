//! A filter for everybody: it waits in the room, and has a filter of its own for each who sends what its chain improves.
//! A relay for everybody likewise: one for each person who sends.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::filter::Filter;
use super::media::{NextPeer, RoleMedia};
use super::over::Over;
use super::relay::pass::{OVERLAP, Pass};
use super::reload::Parts;
use super::{Events, JobError, stay};
use crate::job::{Assignment, Event, Of, Parameters, Role};
use crate::media::MediaError;
use crate::media::chain::{Chains, Plan};
use crate::peer::{Latency, PeerSettings, Receive};
use crate::pipeline::Description;
use crate::recording::{Because, RecordingError};
use crate::signalling::ids::{ParticipantId, RoomName};
use crate::signalling::protocol::{Kind, Participant, Sends};
use crate::worker::pulse::Pulse;

/// How long somebody goes without a filter after one has ended.
const AGAIN: Duration = Duration::from_secs(10);

/// What everybody gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Helps {
    ByFilters,
    ByRelays,
}

impl Helps {
    fn of(role: Role) -> Result<Self> {
        match role {
            Role::Filter => Ok(Self::ByFilters),
            Role::Relay => Ok(Self::ByRelays),
            Role::Kiosk | Role::Recorder => {
                anyhow::bail!("of: there is no {role} for everybody: leave this out")
            }
        }
    }

    /// When one of them has to end, once all are told to. A relay ends by itself, and later.
    async fn ends(self, stop: CancellationToken) {
        stop.cancelled().await;
        match self {
            Self::ByFilters => {}
            Self::ByRelays => tokio::time::sleep(2 * OVERLAP).await,
        }
    }

    /// In words, one of them.
    fn name(self) -> &'static str {
        match self {
            Self::ByFilters => "filter",
            Self::ByRelays => "relay",
        }
    }
}

/// All the filters, or relays, of one job.
pub struct Everybody {
    assignment: Assignment,
    helps: Helps,
    crowd: Crowd,
    events: Events,
    /// Who is in the room, as far as this matters.
    people: HashMap<ParticipantId, Participant>,
    /// Whose filter ended, and when there may be another.
    waiting: HashMap<ParticipantId, Instant>,
    helpers: JoinSet<Result<(), JobError>>,
    whose: HashMap<Id, ParticipantId>,
    stop: CancellationToken,
}

impl Everybody {
    /// Checks the chain; the filters begin as people come.
    pub async fn start(
        assignment: &Assignment,
        description: &Description,
        events: &Events,
    ) -> Result<Self> {
        let crowd = Crowd::new(description, &assignment.job.parameters);
        let events = events.clone();
        let helps = Helps::of(assignment.job.role)?;
        let (wanted, job) = (description.clone(), assignment.job.clone());
        if helps == Helps::ByFilters {
            let checked = move || Plan::new(&wanted, &job.parameters, &job.room).map(drop);
            tokio::task::spawn_blocking(checked).await??;
        }
        Ok(Self {
            assignment: assignment.clone(),
            helps,
            crowd,
            events,
            people: HashMap::new(),
            waiting: HashMap::new(),
            helpers: JoinSet::new(),
            whose: HashMap::new(),
            stop: CancellationToken::new(),
        })
    }

    fn ended(&mut self, task: Id, result: Result<(), JobError>) {
        let Some(of) = self.whose.remove(&task) else {
            return;
        };
        if let Err(error) = result {
            let seconds = AGAIN.as_secs();
            let helper = self.helps.name();
            let message = format!("the {helper} of {of}: {error}; the next begins in {seconds} s");
            // Nobody listens any more once the job has ended.
            let _ = self.events.send(Event::Error {
                message,
                fatal: false,
            });
        }
        // Also after a good end: its source has left, which we may hear of later than it did.
        self.waiting.insert(of, Instant::now() + AGAIN);
    }

    fn help(&mut self) {
        let needy = match self.helps {
            Helps::ByFilters => needy(&self.people, self.crowd.tracks()),
            Helps::ByRelays => relayed(&self.people),
        };
        for of in needy {
            let has_one = self.whose.values().any(|helped| *helped == of);
            if has_one || self.waiting.contains_key(&of) {
                continue;
            }
            let helper = help_one(
                &self.assignment,
                self.helps,
                of.clone(),
                self.crowd.clone(),
                self.events.clone(),
                self.stop.clone(),
            );
            let task = self.helpers.spawn(helper).id();
            self.whose.insert(task, of);
        }
    }
}

#[async_trait]
impl RoleMedia for Everybody {
    /// What follows another description.
    fn parts(&self, _: &RoomName) -> Parts {
        Parts {
            crowd: Some(self.crowd.clone()),
            ..Parts::default()
        }
    }

    /// Somebody is in the room, or has changed.
    fn met(&mut self, other: &Participant) {
        self.people.insert(other.id.clone(), other.clone());
        self.help();
    }

    /// Somebody has left. The filter of that one notices by itself.
    fn gone(&mut self, id: &ParticipantId) {
        self.people.remove(id);
        self.waiting.remove(id);
        self.help();
    }

    /// The room is out of sight; whoever is met next is there.
    fn alone(&mut self) {
        self.people.clear();
    }

    /// Gives a filter to each who needs one, while the job lasts. Never ends.
    async fn over(&mut self) -> Over {
        loop {
            let due = self.waiting.values().min().copied();
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(ended) = self.helpers.join_next_with_id() => {
                    // A helper that panicked broke, too.
                    let (task, result) = match ended {
                        Ok((task, result)) => (task, result),
                        Err(error) => (error.id(), Err(JobError::Broken(error.to_string()))),
                    };
                    self.ended(task, result);
                }
                () = due => {
                    let now = Instant::now();
                    self.waiting.retain(|_, due| *due > now);
                }
            }
            self.help();
        }
    }

    /// Ends all filters.
    async fn finish(mut self: Box<Self>, _: Because) -> Result<(), RecordingError> {
        self.stop.cancel();
        while self.helpers.join_next().await.is_some() {}
        Ok(())
    }

    /// The server was started anew: whoever is there is met again.
    fn forgets(&mut self) {
        self.people.clear();
    }

    /// It waits as a filter for everybody does; its relays are what is seen.
    fn kind(&self, _: Role) -> Kind {
        Kind::Filter
    }

    /// It leaves media to its filters.
    fn wants_kind(&self, _: Kind) -> bool {
        false
    }

    /// Should there ever be a peer: it takes nothing and gives nothing.
    fn peer_settings(&self, next: NextPeer<'_>) -> PeerSettings {
        PeerSettings {
            name: next.name,
            ice: next.ice,
            sends: Sends::default(),
            producers: None,
            video_codecs: Vec::new(),
            receive: Receive::Nothing,
            latency: Latency::Fixed(Duration::ZERO),
            is_outside: false,
        }
    }
}

/// Who sends what these tracks improve, and has no filter. The job's own filters count, too: whoever has one needs none.
fn needy(people: &HashMap<ParticipantId, Participant>, tracks: Sends) -> Vec<ParticipantId> {
    let has_filter = |id: &ParticipantId| has(people, Kind::Filter, id);
    let sends = |participant: &Participant| {
        (tracks.audio && participant.sends.audio) || (tracks.video && participant.sends.video)
    };
    let can_have = |participant: &Participant| match participant.kind {
        Kind::Person | Kind::Kiosk | Kind::Relay => true,
        Kind::Recorder | Kind::Filter | Kind::Viewer => false,
    };
    let candidates = people.values().filter(|one| can_have(one) && sends(one));
    let needy = candidates.filter(|one| !has_filter(&one.id));
    needy.map(|one| one.id.clone()).collect()
}

/// Which people send, and are neither relayed nor heard by way of a filter.
fn relayed(people: &HashMap<ParticipantId, Participant>) -> Vec<ParticipantId> {
    let sends =
        |one: &&Participant| one.kind == Kind::Person && (one.sends.audio || one.sends.video);
    let needy = people
        .values()
        .filter(sends)
        .filter(|one| !has(people, Kind::Filter, &one.id) && !has(people, Kind::Relay, &one.id));
    needy.map(|one| one.id.clone()).collect()
}

/// Whether somebody of this kind gives back the media of one participant.
fn has(people: &HashMap<ParticipantId, Participant>, kind: Kind, of: &ParticipantId) -> bool {
    let is_it = |other: &Participant| other.kind == kind && other.enhances.as_ref() == Some(of);
    people.values().any(is_it)
}

/// One filter or relay, from its way into the room to its end. The type is written out since a stay of everybody's filter begins
/// further stays.
fn help_one(
    assignment: &Assignment,
    helps: Helps,
    of: ParticipantId,
    crowd: Crowd,
    events: Events,
    stop: CancellationToken,
) -> Pin<Box<dyn Future<Output = Result<(), JobError>> + Send>> {
    let (description, parameters) = crowd.current();
    let mut assignment = assignment.clone();
    assignment.job.of = Some(Of::One(of.clone()));
    assignment.job.parameters = parameters;
    Box::pin(async move {
        let (to_us, told) = unbounded_channel();
        let passing = tokio::spawn(pass_on(told, helps, of.clone(), events));
        let begun = begin(
            &assignment,
            helps,
            &description,
            &of,
            &crowd,
            (&to_us, &stop),
        );
        let role = begun.await;
        let ended = match role {
            Ok(role) => attend_one(&assignment, role, to_us, helps.ends(stop)).await,
            Err(error) => {
                // Nothing more is told.
                drop(to_us);
                Err(JobError::Broken(format!("{error:#}")))
            }
        };
        crowd.remove(&of);
        // It ends with its channel.
        let _ = passing.await;
        ended
    })
}

async fn begin(
    assignment: &Assignment,
    helps: Helps,
    description: &Description,
    of: &ParticipantId,
    crowd: &Crowd,
    (events, stop): (&Events, &CancellationToken),
) -> Result<Box<dyn RoleMedia>> {
    Ok(match helps {
        Helps::ByFilters => {
            let filter = Filter::start(assignment, description, of.clone(), events).await?;
            crowd.add(of.clone(), filter.chains());
            Box::new(filter)
        }
        Helps::ByRelays => {
            let pass = Pass::start(assignment, description, of.clone(), stop.clone())?;
            Box::new(pass)
        }
    })
}

async fn attend_one(
    assignment: &Assignment,
    mut role: Box<dyn RoleMedia>,
    events: Events,
    stop: impl Future<Output = ()>,
) -> Result<(), JobError> {
    // Orders are for recorders; the job's own pulse is that of the one who waits.
    let (_orders, mut inbox) = unbounded_channel();
    let pulse = Pulse::new(Instant::now());
    let ended = stay(assignment, &mut *role, &events, &pulse, &mut inbox, stop).await;
    let finished = role.finish(Because::Stopped).await;
    ended?;
    finished.map_err(|error| JobError::Broken(error.to_string()))
}

/// Of each filter the job tells what concerns the one whose media it improves. Where it stands is no state of the job.
async fn pass_on(
    mut told: UnboundedReceiver<Event>,
    helps: Helps,
    of: ParticipantId,
    events: Events,
) {
    let helper = helps.name();
    while let Some(event) = told.recv().await {
        let event = match event {
            Event::Peer {
                ref participant, ..
            }
            | Event::Quality {
                ref participant, ..
            }
            | Event::Receiving {
                ref participant, ..
            }
            | Event::Stalled {
                ref participant, ..
            }
            | Event::Tier {
                ref participant, ..
            } if *participant != of => continue,
            Event::State { .. } => continue,
            Event::Notice { message } => Event::Notice {
                message: format!("the {helper} of {of}: {message}"),
            },
            Event::Error { message, .. } => Event::Error {
                message: format!("the {helper} of {of}: {message}"),
                fatal: false,
            },
            event @ (Event::Peer { .. }
            | Event::Quality { .. }
            | Event::Receiving { .. }
            | Event::Stalled { .. }
            | Event::Tier { .. }
            | Event::Encoder(_)
            | Event::Speech(_)
            | Event::Filter { .. }
            | Event::Message { .. }) => event,
            // Recorders' and streams' events, and those of a whole job.
            Event::Recording { .. }
            | Event::Stream { .. }
            | Event::Device { .. }
            | Event::Paused
            | Event::Resumed
            | Event::Ended { .. }
            | Event::Answer { .. }
            | Event::Beat { .. } => continue,
        };
        // Nobody listens any more once the job has ended.
        let _ = events.send(event);
    }
}

/// The chains of all filters of a job, and what the next one begins with. Clones are the same.
#[derive(Debug, Clone)]
pub struct Crowd(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    description: Description,
    parameters: Parameters,
    chains: HashMap<ParticipantId, Chains>,
}

impl Crowd {
    fn new(description: &Description, parameters: &Parameters) -> Self {
        Self(Arc::new(Mutex::new(State {
            description: description.clone(),
            parameters: parameters.clone(),
            chains: HashMap::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it can be half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> (Description, Parameters) {
        let state = self.state();
        (state.description.clone(), state.parameters.clone())
    }

    fn tracks(&self) -> Sends {
        super::filter::tracks(&self.state().description)
    }

    fn add(&self, of: ParticipantId, chains: Chains) {
        self.state().chains.insert(of, chains);
    }

    fn remove(&self, of: &ParticipantId) {
        self.state().chains.remove(of);
    }

    /// Moves all filters to another description or other values, and those that come.
    ///
    /// # Errors
    /// Whatever keeps one of them; then all go on as before.
    pub async fn replace(
        &self,
        (description, parameters): (&Description, &Parameters),
        (former, before): (&Description, &Parameters),
    ) -> Result<(), MediaError> {
        let chains: Vec<_> = self.state().chains.values().cloned().collect();
        for (done, chain) in chains.iter().enumerate() {
            let Err(error) = chain.replace(description, parameters).await else {
                continue;
            };
            for chain in &chains[..done] {
                chain.replace(former, before).await?;
            }
            return Err(error);
        }
        let mut state = self.state();
        state.description = description.clone();
        state.parameters = parameters.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Sends = Sends {
        audio: true,
        video: false,
    };

    fn participant(id: &str, kind: Kind, sends: Sends) -> (ParticipantId, Participant) {
        let id: ParticipantId = id.parse().unwrap();
        let participant = Participant {
            id: id.clone(),
            kind,
            name: None,
            identity: None,
            sends,
            recording: false,
            recordable: true,
            enhances: None,
            away: false,
        };
        (id, participant)
    }

    fn ids(people: &HashMap<ParticipantId, Participant>) -> Vec<String> {
        let mut ids: Vec<_> = needy(people, SOUND)
            .iter()
            .map(ToString::to_string)
            .collect();
        ids.sort();
        ids
    }

    #[test]
    fn who_sends_sound_and_has_no_filter_needs_one() {
        let silent = Sends {
            audio: false,
            video: true,
        };
        let mut people = HashMap::from([
            participant("ada", Kind::Person, SOUND),
            participant("bob", Kind::Kiosk, SOUND),
            participant("mute", Kind::Person, silent),
            participant("writer", Kind::Recorder, SOUND),
            participant("waiting", Kind::Filter, SOUND),
        ]);
        assert_eq!(ids(&people), ["ada", "bob"]);

        let (id, mut filter) = participant("other", Kind::Filter, SOUND);
        filter.enhances = Some("ada".parse().unwrap());
        people.insert(id.clone(), filter);
        assert_eq!(ids(&people), ["bob"]);
        // Only people need relays, and none who are heard by way of a filter.
        let who_is_relayed = |people: &HashMap<_, _>| {
            let mut ids: Vec<_> = relayed(people).iter().map(ToString::to_string).collect();
            ids.sort();
            ids
        };
        assert_eq!(who_is_relayed(&people), ["mute"]);
        people.remove(&id);
        assert_eq!(ids(&people), ["ada", "bob"]);
    }
}
