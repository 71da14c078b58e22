//! One stay in a room: signalling in, participants met and parted from; [`peers`] has what becomes of their peers,
//! `returning` what happens when the server was lost and is back.

mod peers;
mod returning;
mod servers;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

use self::servers::Servers;
use super::order::{Act, Inbox, Order};
use super::other::Other;
use super::over::Over;
use super::{Events, RoleMedia, tell};
use crate::job::{Assignment, Event, JobState, PeerState};
use crate::network::Changes;
use crate::peer::generation::Side;
use crate::peer::{Candidate, Peer, PeerEvent};
use crate::recording::End;
use crate::signalling::ids::{Generation, ParticipantId};
use crate::signalling::protocol::{self, ClientMessage, Kind, Participant, Sends, ServerMessage};
use crate::signalling::rejoin;
use crate::worker::pulse::Pulse;

/// How often counters are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often connections are measured.
const MEASURE: Duration = Duration::from_secs(2);
/// How often received frames are reported when nothing new began.
const REPORT: Duration = Duration::from_secs(5);
/// How long our goodbye may take to reach the server.
const FAREWELL: Duration = Duration::from_millis(500);

/// One stay in a room.
pub struct Call {
    sender: rejoin::Sender,
    receiver: rejoin::Receiver,
    /// As whom.
    id: ParticipantId,
    /// Those who have not come back yet since the server was started anew, and by when they have to.
    missing: HashMap<ParticipantId, Instant>,
    events: Events,
    servers: Servers,
    others: HashMap<ParticipantId, Other>,
    from_peers: UnboundedReceiver<(ParticipantId, Generation, PeerEvent)>,
    to_us: UnboundedSender<(ParticipantId, Generation, PeerEvent)>,
    reported: Instant,
    closing: Closing,
    /// Absent where the kernel does not tell.
    network: Option<Changes>,
    /// What the room was told that we send.
    told: Sends,
    /// Those who asked to go on recording: the room was told, and the server's receipt is awaited.
    resuming: Vec<Order>,
}

impl Call {
    /// Connects, joins, and offers to those who are there already.
    pub async fn join(
        assignment: &Assignment,
        role: &mut dyn RoleMedia,
        events: &Events,
    ) -> Result<Self, Over> {
        let job = &assignment.job;
        let sends = role.sends();
        let join = ClientMessage::Join {
            protocol: protocol::VERSION,
            room: job.room.clone(),
            kind: role.kind(job.role),
            name: job.name.clone(),
            token: assignment.token.clone(),
            sends,
            recording: role.takes_away(),
            recordable: true,
            enhances: role.enhances().cloned(),
            session: None,
        };
        let joined = rejoin::join(&assignment.server, join).await;
        let (welcome, sender, receiver) = joined.map_err(|error| Over::ended(&error))?;
        tell(events, JobState::Joined, Some(welcome.you.id.clone()));
        let (to_us, from_peers) = unbounded_channel();
        let mut call = Self {
            sender,
            receiver,
            id: welcome.you.id,
            missing: HashMap::new(),
            events: events.clone(),
            servers: Servers::new(welcome.ice, Instant::now(), SystemTime::now()),
            others: HashMap::new(),
            from_peers,
            to_us,
            reported: Instant::now(),
            closing: Closing::default(),
            network: watch_network(),
            told: sends,
            resuming: Vec::new(),
        };
        let there = welcome.participants.iter().map(|one| one.id.clone());
        let there: Vec<_> = there.collect();
        for participant in welcome.participants {
            call.meet(participant, Side::Offerer, role);
        }
        // Its first peer is as it is to be.
        let _ = role.turn_to();
        for id in &there {
            call.offer(id, role).await;
        }
        call.tell_sends(role).await;
        Ok(call)
    }

    /// As whom we are here.
    pub fn me(&self) -> &ParticipantId {
        &self.id
    }

    /// Works until the stay is over.
    pub async fn run(
        &mut self,
        role: &mut dyn RoleMedia,
        inbox: &mut Inbox,
        pulse: &Pulse,
    ) -> Over {
        let mut look = interval(LOOK);
        let mut measure = interval(MEASURE);
        for interval in [&mut look, &mut measure] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            let over = tokio::select! {
                incoming = self.receiver.next() => match incoming {
                    Some(Ok(incoming)) => self.on_incoming(incoming, role).await,
                    Some(Err(error)) => Some(Over::ended(&error)),
                    None => Some(Over::Lost("the server closed the connection".to_owned())),
                },
                Some((id, generation, event)) = self.from_peers.recv() => {
                    self.on_peer(&id, generation, event, role).await;
                    None
                }
                Some(order) = inbox.recv() => {
                    self.on_order(order, role).await;
                    None
                }
                over = role.over() => Some(over),
                () = changed(&mut self.network) => {
                    self.on_network_change();
                    self.look_after(role).await;
                    None
                }
                _ = measure.tick() => {
                    self.others.values_mut().for_each(Other::measure);
                    if self.servers.is_due(Instant::now()) {
                        self.ask_for_servers().await;
                    }
                    None
                }
                _ = look.tick() => {
                    self.look_after(role).await;
                    self.report();
                    self.tell_reports(role);
                    self.tell_sends(role).await;
                    pulse.moved(role.captured(), std::time::Instant::now());
                    if let Some(id) = role.turn_to() {
                        self.renew(&id, role).await;
                    }
                    let over = self.part_from_missing(role);
                    over.or_else(|| role.look(self.others.len()).map(Over::Limit))
                }
            };
            if let Some(over) = over {
                return over;
            }
        }
    }

    /// Says goodbye, where somebody still listens, and closes all peers.
    pub async fn leave(mut self, role: &mut dyn RoleMedia) {
        let said = self.sender.send(ClientMessage::Leave).await;
        let why = if said.is_ok() {
            End::Stopped
        } else {
            End::Lost
        };
        // The server closes the connection when it has read our goodbye.
        let heard = async { while let Some(Ok(_)) = self.receiver.next().await {} };
        let _ = tokio::time::timeout(FAREWELL, heard).await;
        for (id, mut other) in self.others.drain() {
            role.left(&id, why);
            for (_, peer) in other.take_all() {
                peer.close().await;
            }
        }
        self.closing.done().await;
        role.alone();
    }

    async fn on_message(
        &mut self,
        message: ServerMessage,
        role: &mut dyn RoleMedia,
    ) -> Option<Over> {
        match message {
            // These are told as what they mean.
            ServerMessage::Welcome { .. }
            | ServerMessage::Resumed { .. }
            | ServerMessage::Ack { .. } => {}
            ServerMessage::Joined {
                participant,
                earlier,
            } => {
                self.on_joined(participant, earlier, role).await;
            }
            ServerMessage::Updated { participant } => {
                self.on_updated(participant, role).await;
                self.tell_sends(role).await;
            }
            ServerMessage::Left { id, .. } => {
                self.part(&id, role);
                if role.enhances() == Some(&id) {
                    return Some(Over::Done);
                }
            }
            ServerMessage::Offer {
                from,
                generation,
                sdp,
            } => self.on_offer(&from, generation, &sdp, role).await,
            ServerMessage::Answer {
                from,
                generation,
                sdp,
            } => self.on_answer(&from, generation, &sdp).await,
            ServerMessage::Candidate {
                from,
                generation,
                candidate,
                mline,
            } => {
                self.on_candidate(&from, generation, Candidate { candidate, mline });
            }
            ServerMessage::Renew { from, generation } => {
                self.on_renew(&from, generation, role).await;
            }
            ServerMessage::IceServers { ice } => {
                let (now, clock) = (Instant::now(), SystemTime::now());
                if self.servers.answered(ice, now, clock) {
                    self.on_receipt(role);
                }
            }
            // A fatal one ends the stay, and does not come here.
            ServerMessage::Error { message, .. } => {
                for order in self.resuming.drain(..) {
                    order.refuse(format!("the server does not allow it: {message}"));
                }
                self.error(format!("the server refused a message: {message}"));
            }
        }
        None
    }

    async fn on_order(&mut self, order: Order, role: &mut dyn RoleMedia) {
        let done = match order.act {
            Act::Pause => role.pause(),
            Act::Split => role.split(),
            Act::Resume if role.recording().is_some_and(|one| !one.is_paused()) => Ok(()),
            Act::Resume => {
                // Nothing is written before everybody was told. The server has told them when it answers what comes
                // after the update: it handles our messages in their order.
                self.send(recording_is(true)).await;
                self.ask_for_servers().await;
                self.resuming.push(order);
                return;
            }
        };
        match done {
            Ok(()) => {
                if order.act == Act::Pause {
                    self.send(recording_is(false)).await;
                    let _ = self.events.send(Event::Paused);
                }
                order.done();
            }
            Err(why) => order.refuse(why),
        }
    }

    /// The server has handled all that we sent before we asked for ICE servers.
    fn on_receipt(&mut self, role: &mut dyn RoleMedia) {
        for order in self.resuming.drain(..) {
            match role.resume() {
                Ok(()) => {
                    let _ = self.events.send(Event::Resumed);
                    order.done();
                }
                Err(why) => order.refuse(why),
            }
        }
    }

    fn meet(&mut self, participant: Participant, side: Side, role: &mut dyn RoleMedia) {
        role.met(&participant);
        // A viewer that was here before waits for somebody else: nobody offers to it.
        let is_anothers = participant.kind == Kind::Viewer && side == Side::Offerer;
        if is_anothers || !role.wants(&participant) {
            return;
        }
        if role.may_take(&participant) {
            role.arrived(&participant);
        }
        let other = Other::new(participant, side);
        self.others.insert(other.participant.id.clone(), other);
    }

    fn part(&mut self, id: &ParticipantId, role: &mut dyn RoleMedia) {
        role.gone(id);
        self.missing.remove(id);
        let Some(mut other) = self.others.remove(id) else {
            return;
        };
        role.left(id, End::Left);
        self.dismiss(id, other.take_all());
        if self.others.is_empty() {
            role.alone();
        }
    }

    async fn on_updated(&mut self, participant: Participant, role: &mut dyn RoleMedia) {
        role.met(&participant);
        let Some(other) = self.others.get_mut(&participant.id) else {
            return;
        };
        let id = participant.id.clone();
        let (before, now) = (
            role.may_take(&other.participant),
            role.may_take(&participant),
        );
        other.participant = participant;
        match (before, now) {
            (true, true) => role.updated(&other.participant),
            (true, false) => {
                role.left(&id, End::Forbidden);
                let gone = other.take_all();
                self.dismiss(&id, gone);
            }
            (false, true) => {
                role.arrived(&other.participant);
                self.renew(&id, role).await;
            }
            (false, false) => {}
        }
    }

    /// Tells of received frames: at once when a kind begins, else now and then.
    fn report(&mut self) {
        let regular = self.reported.elapsed() >= REPORT;
        if regular {
            self.reported = Instant::now();
        }
        for (id, other) in &mut self.others {
            let Some((audio_frames, video_frames)) = other.frames_to_tell(regular) else {
                continue;
            };
            let _ = self.events.send(Event::Receiving {
                participant: id.clone(),
                audio_frames,
                video_frames,
            });
        }
    }

    /// Tells those whose sound a filter improves what becomes of it.
    fn tell_reports(&self, role: &mut dyn RoleMedia) {
        for (id, other) in &self.others {
            if let Some(report) = role.report_for(id) {
                other.tell(&report);
            }
        }
    }

    /// Tells the room what we send, where that has changed.
    async fn tell_sends(&mut self, role: &dyn RoleMedia) {
        let sends = role.sends();
        if sends == self.told {
            return;
        }
        self.told = sends;
        self.send(ClientMessage::Update {
            sends: Some(sends),
            name: None,
            recording: None,
            recordable: None,
        })
        .await;
    }

    async fn ask_for_servers(&mut self) {
        self.servers.asked();
        self.send(ClientMessage::IceServers).await;
    }

    async fn send(&self, message: ClientMessage) {
        // A connection that is over shows at the receiver, where it is dealt with.
        let _ = self.sender.send(message).await;
    }

    fn error(&self, message: String) {
        let _ = self.events.send(Event::Error {
            message,
            fatal: false,
        });
    }
}

/// Changes of the host's network, where the kernel tells of them.
fn watch_network() -> Option<Changes> {
    Changes::watch()
        .inspect_err(
            |error| tracing::warn!(%error, "changes of the network are noticed by silence alone"),
        )
        .ok()
}

/// Waits for the next change.
async fn changed(network: &mut Option<Changes>) {
    let Some(changes) = network else {
        return std::future::pending().await;
    };
    if let Err(error) = changes.next().await {
        tracing::warn!(%error, "changes of the network are noticed by silence alone from now on");
        *network = None;
    }
}

/// Tells the room whether we write it down.
fn recording_is(on: bool) -> ClientMessage {
    ClientMessage::Update {
        sends: None,
        name: None,
        recording: Some(on),
        recordable: None,
    }
}

/// Peers that are being closed beside the call.
#[derive(Default)]
struct Closing(TaskTracker);

impl Closing {
    /// Closes a peer, and tells that it is gone.
    fn dismiss(
        &self,
        events: &Events,
        participant: &ParticipantId,
        generation: Generation,
        peer: Peer,
    ) {
        let _ = events.send(Event::Peer {
            participant: participant.clone(),
            generation,
            state: PeerState::Closed,
        });
        self.0.spawn(peer.close());
    }

    /// Waits until all are closed: the process must not end while their threads run.
    async fn done(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
