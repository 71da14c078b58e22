//! The one owner of all rooms and of everybody's outbox: asks the room machine, delivers what it says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::ws::{Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;
use tracing::info;

use super::ids::{ParticipantId, RoomName};
use super::keys::SessionKeys;
use super::limits::Limits;
use super::outbox::{Farewell, Outbox, Outgoing};
use super::protocol::{
    ClientMessage, ErrorCode, Ice, Kind, LeaveReason, Participant, ServerMessage, SessionGrant,
    VERSION,
};
use super::room::{Action, Place, Refusal, RoomView, Rooms};
use super::socket;
use crate::auth::{Auth, AuthError, Grants};
use crate::ice::IceSettings;

mod stay;

pub(super) use stay::Request;

/// Where a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// The listening address.
    Public,
    /// The private Unix socket: a worker of this server. It is let in however many wait outside.
    Private,
}

/// Somebody wants a filter for itself, or none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterWish {
    /// Where.
    pub room: RoomName,
    /// For whom.
    pub of: ParticipantId,
    /// It is to run.
    pub on: bool,
}

/// The handle of all rooms; clones are the same rooms.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    auth: Auth,
    ice: IceSettings,
    keys: SessionKeys,
    /// Who runs filters.
    filters: Option<UnboundedSender<FilterWish>>,
    /// Held for one message at a time and never across an await: the queues behind it are not waited for.
    state: Mutex<State>,
    connections: Arc<Semaphore>,
    not_joined: Arc<Semaphore>,
    stopping: CancellationToken,
    sockets: TaskTracker,
}

#[derive(Debug)]
struct State {
    rooms: Rooms,
    outboxes: HashMap<ParticipantId, Outbox>,
    connections: u64,
    /// Those whom a former server had let in: who of them leaves does not come back as the same.
    restored: HashSet<ParticipantId>,
    stopping: bool,
}

/// A participant's side of the hub.
pub(super) struct Membership {
    pub id: ParticipantId,
    pub outgoing: Outgoing,
    pub farewell: Farewell,
}

/// A connection's place among those that are allowed; free again when dropped.
pub(super) struct Admission {
    _connection: Option<OwnedSemaphorePermit>,
    /// Given back with the join.
    pub not_joined: Option<OwnedSemaphorePermit>,
}

impl Hub {
    /// A hub without rooms, and nobody who runs filters; its sessions end with it.
    pub fn new(limits: Limits, auth: Auth, ice: IceSettings) -> Self {
        Self::with_filters(limits, auth, ice, SessionKeys::passing(), None)
    }

    /// A hub without rooms; wishes for filters go to whoever runs them. Who has a token that is signed with these keys
    /// comes back as who it was.
    pub fn with_filters(
        limits: Limits,
        auth: Auth,
        ice: IceSettings,
        keys: SessionKeys,
        filters: Option<UnboundedSender<FilterWish>>,
    ) -> Self {
        let state = State {
            rooms: Rooms::new(&limits, first_place()),
            outboxes: HashMap::new(),
            connections: 0,
            restored: HashSet::new(),
            stopping: false,
        };
        let shared = Shared {
            connections: Arc::new(Semaphore::new(limits.connections)),
            not_joined: Arc::new(Semaphore::new(limits.connections_not_joined)),
            limits,
            auth,
            ice,
            keys,
            filters,
            state: Mutex::new(state),
            stopping: CancellationToken::new(),
            sockets: TaskTracker::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Answers the request of the signalling endpoint and serves the connection from there.
    pub fn upgrade(&self, request: WebSocketUpgrade, entrance: Entrance) -> Response {
        let hub = self.clone();
        // A message that is somewhat too long is read to its end and answered with the typed error; beyond that
        // the connection ends in the middle of it.
        let at_most = self.shared.limits.message_bytes.saturating_mul(2);
        let request = request.max_message_size(at_most).max_frame_size(at_most);
        request.on_upgrade(move |websocket| async move { hub.serve(websocket, entrance).await })
    }

    /// Serves one connection to its end.
    pub async fn serve(&self, websocket: WebSocket, entrance: Entrance) {
        let _token = self.shared.sockets.token();
        socket::serve(self, websocket, entrance).await;
    }

    /// Every room with its participants, by name.
    pub fn snapshot(&self) -> Vec<RoomView> {
        self.state().rooms.views()
    }

    /// ICE servers and policy for one who is in no room yet.
    pub fn ice(&self, id: &ParticipantId) -> Ice {
        self.shared.ice.for_participant(id, SystemTime::now())
    }

    /// Whether nobody may record in this room.
    pub fn forbids_recording(&self, room: &RoomName) -> bool {
        self.shared.limits.forbid_recording(room)
    }

    /// Whether somebody is in this room.
    pub fn has(&self, room: &RoomName, id: &ParticipantId) -> bool {
        self.state().rooms.has(room, id)
    }

    /// What a token, or the lack of one, allows in a room.
    ///
    /// # Errors
    /// The token is wrong, or one is needed.
    pub fn grants(&self, room: &RoomName, token: Option<&str>) -> Result<Grants, AuthError> {
        self.shared.auth.room(room, token)
    }

    /// The first of those in this room of whom this is true, in the order in which they came.
    pub fn find(
        &self,
        room: &RoomName,
        is_it: impl Fn(&Participant) -> bool,
    ) -> Option<Participant> {
        self.state().rooms.find(room, is_it).cloned()
    }

    /// How many are in this room who may send something: all but recorders and viewers.
    pub fn present(&self, room: &RoomName) -> usize {
        let may_send = |one: &Participant| !matches!(one.kind, Kind::Recorder | Kind::Viewer);
        self.state().rooms.count(room, may_send)
    }

    /// Tells somebody that the filter it asked for is not there, and why; it may ask again.
    pub fn filter_ended(&self, of: &ParticipantId, why: String) {
        self.state().rooms.filter_ended(of);
        self.complain(of, Refusal::new(ErrorCode::NoFilter, why));
    }

    /// Removes a participant from this room and ends its connection; `false` if it is not there.
    pub fn remove(&self, room: &RoomName, id: &ParticipantId) -> bool {
        let mut state = self.state();
        let Some(actions) = state.rooms.remove(room, id) else {
            return false;
        };
        self.perform(&mut state, actions);
        true
    }

    /// Tells everybody that the server stops, closes all connections and returns when they are closed. A client
    /// that does not close its side is waited for about a second.
    pub async fn stop(&self) {
        {
            let mut state = self.state();
            state.stopping = true;
            state.rooms = Rooms::new(&self.shared.limits, first_place());
            for (_, outbox) in state.outboxes.drain() {
                outbox.close(Some(server_stopping()));
            }
        }
        self.shared.stopping.cancel();
        self.shared.sockets.close();
        self.shared.sockets.wait().await;
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(super) fn stopped(&self) -> WaitForCancellationFuture<'_> {
        self.shared.stopping.cancelled()
    }

    /// A place for one more connection, or the refusal.
    pub(super) fn admission(&self, entrance: Entrance) -> Result<Admission, Refusal> {
        let take = |places: &Arc<Semaphore>, what: &str| match entrance {
            Entrance::Private => Ok(None),
            Entrance::Public => Arc::clone(places)
                .try_acquire_owned()
                .map(Some)
                .map_err(|_| {
                    let message =
                        format!("the server has as many {what} as it may; come back later");
                    Refusal::new(ErrorCode::ServerFull, message)
                }),
        };
        Ok(Admission {
            _connection: take(&self.shared.connections, "connections")?,
            not_joined: take(&self.shared.not_joined, "connections that have not joined")?,
        })
    }

    /// What a connection has received of a participant: it is counted, done or refused. Nothing comes of it where another
    /// connection has taken over meanwhile.
    pub(super) fn receive(
        &self,
        from: &ParticipantId,
        connection: u64,
        message: Result<ClientMessage, Refusal>,
    ) {
        let mut state = self.state();
        let outbox = state.outboxes.get(from);
        let Some(outbox) = outbox.filter(|outbox| outbox.is_current(connection)) else {
            return;
        };
        let actions = match message {
            Ok(ClientMessage::Ack { received }) => match outbox.on_ack(received) {
                Ok(()) => return,
                Err(wrong) => {
                    let message = format!("`ack`: field `received`: {wrong}");
                    complaint(from, Refusal::new(ErrorCode::InvalidMessage, message))
                }
            },
            Ok(message) => {
                outbox.on_message();
                state.rooms.handle(from, message)
            }
            Err(refusal) => {
                outbox.on_message();
                complaint(from, refusal)
            }
        };
        self.perform(&mut state, actions);
    }

    /// Tells a participant that something it asked for is refused; it stays.
    fn complain(&self, to: &ParticipantId, refusal: Refusal) {
        let mut state = self.state();
        self.perform(&mut state, complaint(to, refusal));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // One connection's panic must not end all others; what it left half done ends with its connection.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn perform(&self, state: &mut State, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Welcome { you, participants } => self.welcome(state, you, participants),
                Action::IceServers { to } => {
                    let ice = self.shared.ice.for_participant(&to, SystemTime::now());
                    actions.extend(send(state, &[to], &ServerMessage::IceServers { ice }));
                }
                Action::Filter { room, of, on } => {
                    let wish = FilterWish { room, of, on };
                    if let Some(filters) = &self.shared.filters {
                        // Nobody runs filters any more while the server stops.
                        let _ = filters.send(wish);
                    }
                }
                Action::Send { to, message } => actions.extend(send(state, &to, &message)),
                Action::Close { id, refusal } => {
                    if let Some(outbox) = state.outboxes.remove(&id) {
                        outbox.close(refusal);
                    }
                }
            }
        }
    }

    /// Puts the welcome before everything else that a newcomer hears.
    fn welcome(&self, state: &State, you: Participant, participants: Vec<Participant>) {
        let id = you.id.clone();
        let Some(outbox) = state.outboxes.get(&id) else {
            return;
        };
        let standing = state.rooms.standing(&id).filter(|_| outbox.keeps());
        let session = standing.map(|it| SessionGrant {
            token: self
                .shared
                .keys
                .sign(&id, it.room, it.kind, it.place, it.grants),
            seconds: self.shared.limits.resume_within.as_secs(),
        });
        outbox.begin_with(text_of(&ServerMessage::Welcome {
            protocol: VERSION,
            ice: self.shared.ice.for_participant(&you.id, SystemTime::now()),
            you,
            participants,
            filters: self.shared.limits.filters,
            session,
        }));
    }
}

/// Places count from the microsecond of the server's start: nobody joins a million times in a second, so they are above
/// those of all servers before.
fn first_place() -> Place {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.unwrap_or(Duration::ZERO).as_micros();
    Place(u64::try_from(micros).unwrap_or(u64::MAX))
}

fn complaint(to: &ParticipantId, refusal: Refusal) -> Vec<Action> {
    vec![Action::Send {
        to: vec![to.clone()],
        message: refusal.into_message(false),
    }]
}

/// Queues a message for each addressee; who has no room for it is taken out.
fn send(state: &mut State, to: &[ParticipantId], message: &ServerMessage) -> Vec<Action> {
    let text = text_of(message);
    let mut consequences = Vec::new();
    for id in to {
        let Some(outbox) = state.outboxes.get(id) else {
            continue;
        };
        if outbox.push(text.clone()).is_ok() {
            continue;
        }
        info!(participant = %id, "reads too slowly, closed");
        consequences.extend(state.rooms.leave(id, LeaveReason::TooSlow));
        let refusal = Refusal::new(ErrorCode::TooSlow, "you did not read your messages in time");
        consequences.push(Action::Close {
            id: id.clone(),
            refusal: Some(refusal),
        });
    }
    consequences
}

#[expect(
    clippy::expect_used,
    reason = "the messages have text keys only and no maps of other kinds"
)]
pub(super) fn text_of(message: &ServerMessage) -> Utf8Bytes {
    serde_json::to_string(message)
        .expect("a message of the protocol is JSON")
        .into()
}

pub(super) fn server_stopping() -> Refusal {
    Refusal::new(
        ErrorCode::ServerStopping,
        "the server stops; come back in a while",
    )
}
