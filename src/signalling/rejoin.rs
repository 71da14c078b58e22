//! A client's stay in a room: joins, and comes back by itself when the connection is lost.
//!
//! What was sent and may not have arrived is sent again, in order; whoever sends and receives here need not know. Media
//! goes on meanwhile: it does not pass the server.

use std::time::Duration;

use rand::RngExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tracing::info;

use super::client::{self, ConnectError, Ended, LinkError, Received, text_of};
use super::ids::ParticipantId;
use super::protocol::{
    ClientMessage, ErrorCode, Ice, Participant, ServerMessage, SessionGrant, SessionWish,
};
use super::session::{Capacity, Session};
use crate::job::ServerAddress;
use crate::network::Changes;

/// The wait before the first try to come back; doubled with each further one up to [`LONGEST_WAIT`]. A server that was
/// started anew has everybody back soon after it listens.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// A connection that is not there after so long may have been begun on a way that does not exist any more.
const CONNECTING: Duration = Duration::from_secs(1);
/// For the answer to `join`.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The server is told of what arrived at least this often.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// What may wait for the server, which takes a thousand messages at once.
const CAPACITY: Capacity = Capacity {
    messages: 900,
    bytes: 8 * 1024 * 1024,
};
/// Messages that wait for whoever takes part.
const QUEUE_MESSAGES: usize = 256;

/// Why a stay did not begin, or is over.
#[derive(Debug, thiserror::Error)]
pub enum StayError {
    /// There is no connection.
    #[error(transparent)]
    Unreachable(#[from] ConnectError),
    /// The connection broke before the welcome, or for good.
    #[error("{0}")]
    Lost(String),
    /// The server says why.
    #[error("the server said: {message}")]
    Refused {
        /// What kind of mistake.
        code: ErrorCode,
        /// In words.
        message: String,
    },
}

impl From<LinkError> for StayError {
    fn from(error: LinkError) -> Self {
        Self::Lost(error.to_string())
    }
}

/// The welcome.
#[derive(Debug)]
pub struct Welcome {
    /// Ourselves, as the others see us.
    pub you: Participant,
    /// Those who were there before.
    pub participants: Vec<Participant>,
    /// ICE servers and policy.
    pub ice: Ice,
}

/// What happens in a stay.
#[derive(Debug)]
pub enum Incoming {
    /// The server says something.
    Message(Box<ServerMessage>),
    /// The connection is lost; it is tried again and again. Media goes on.
    Away {
        /// Why.
        why: String,
    },
    /// The connection is there again; nothing was lost.
    Back,
    /// The server was started anew and has us back as who we were. These are there by now; others may follow.
    Restored(Box<Welcome>),
}

/// Sends messages, in the order of the calls; while the connection is lost, they wait. The stay ends when the last clone
/// is dropped.
#[derive(Debug, Clone)]
pub struct Sender {
    queue: mpsc::Sender<ClientMessage>,
}

impl Sender {
    /// Sends one message.
    ///
    /// # Errors
    /// [`Ended`] when the stay is over.
    pub async fn send(&self, message: ClientMessage) -> Result<(), Ended> {
        self.queue.send(message).await.map_err(|_| Ended)
    }
}

/// Receives what happens. It must be read all the time.
#[derive(Debug)]
pub struct Receiver {
    queue: mpsc::Receiver<Result<Incoming, StayError>>,
}

impl Receiver {
    /// What happens next; after an error or our goodbye there is nothing more but `None`.
    pub async fn next(&mut self) -> Option<Result<Incoming, StayError>> {
        self.queue.recv().await
    }
}

/// Enters a room. `join` is a [`ClientMessage::Join`]; its session is this module's business.
///
/// # Errors
/// [`StayError`].
pub async fn join(
    address: &ServerAddress,
    mut join: ClientMessage,
) -> Result<(Welcome, Sender, Receiver), StayError> {
    set_session(&mut join, SessionWish::default());
    let connection = Connection::open(address, &join).await?;
    let (connection, answer) = connection;
    let Answer::Welcome(welcome, grant) = answer else {
        return Err(StayError::Lost(
            "the server goes on with a session that was never begun".to_owned(),
        ));
    };
    let (queue, outgoing) = mpsc::channel(QUEUE_MESSAGES);
    let (incoming, received) = mpsc::channel(QUEUE_MESSAGES);
    let stay = Stay {
        address: address.clone(),
        join,
        id: welcome.you.id.clone(),
        token: grant.map(|grant| grant.token),
        session: Session::new(CAPACITY, true),
        is_leaving: false,
        outgoing,
        incoming,
        network: match address {
            ServerAddress::Url { .. } => Changes::watch()
                .inspect_err(|error| info!(%error, "no changes of the network are told"))
                .ok(),
            // Nothing on the way there changes.
            ServerAddress::Unix(_) => None,
        },
    };
    tokio::spawn(stay.run(connection));
    Ok((welcome, Sender { queue }, Receiver { queue: received }))
}

fn set_session(join: &mut ClientMessage, wish: SessionWish) {
    if let ClientMessage::Join { session, .. } = join {
        *session = Some(wish);
    }
}

/// One connection, after its `join` was answered.
struct Connection {
    sender: client::Sender,
    receiver: client::Receiver,
}

/// How a `join` was answered.
enum Answer {
    Welcome(Welcome, Option<SessionGrant>),
    Resumed { received: u64 },
}

impl Connection {
    async fn open(
        address: &ServerAddress,
        join: &ClientMessage,
    ) -> Result<(Self, Answer), StayError> {
        let (sender, mut receiver) = client::connect(address).await?;
        let lost = |why: &str| StayError::Lost(why.to_owned());
        let sent = sender.send(join.clone()).await;
        sent.map_err(|_| lost("the server closed the connection before its welcome"))?;
        let first = timeout(ANSWER_LIMIT, receiver.next()).await;
        let first = first.map_err(|_| lost("the server did not answer in time"))?;
        let answer = match first {
            Some(Ok(ServerMessage::Welcome {
                you,
                participants,
                ice,
                session,
                ..
            })) => {
                let welcome = Welcome {
                    you,
                    participants,
                    ice,
                };
                Answer::Welcome(welcome, session)
            }
            Some(Ok(ServerMessage::Resumed { received })) => Answer::Resumed { received },
            Some(Ok(ServerMessage::Error { code, message, .. })) => {
                return Err(StayError::Refused { code, message });
            }
            Some(Ok(_)) | None => {
                return Err(lost("the server closed the connection before its welcome"));
            }
            Some(Err(error)) => return Err(error.into()),
        };
        Ok((Self { sender, receiver }, answer))
    }
}

/// How a connection, or the stay with it, ended.
enum End {
    /// Whoever takes part wants no more.
    Over,
    /// The connection is lost; another one may go on.
    Lost(String),
    /// No other connection will.
    Failed(StayError),
}

/// The one owner of a stay.
struct Stay {
    address: ServerAddress,
    /// What to join with, as things stand now.
    join: ClientMessage,
    id: ParticipantId,
    /// Absent: the server does not take anybody back.
    token: Option<String>,
    session: Session<String>,
    /// We said goodbye: the server closes the connection then.
    is_leaving: bool,
    outgoing: mpsc::Receiver<ClientMessage>,
    incoming: mpsc::Sender<Result<Incoming, StayError>>,
    /// Absent where they do not matter, or the kernel does not tell.
    network: Option<Changes>,
}

impl Stay {
    async fn run(mut self, first: Connection) {
        let mut connection = first;
        loop {
            let why = match self.converse(&mut connection).await {
                End::Lost(_) if self.is_leaving => return,
                End::Lost(why) if self.token.is_some() => why,
                End::Lost(why) => return self.fail(StayError::Lost(why)).await,
                End::Failed(error) => return self.fail(error).await,
                End::Over => return self.close(connection).await,
            };
            drop(connection);
            info!(why, "the signalling is lost");
            if self
                .incoming
                .send(Ok(Incoming::Away { why }))
                .await
                .is_err()
            {
                return;
            }
            let (again, news) = match self.come_back().await {
                Ok(again) => again,
                Err(End::Over) => return,
                Err(End::Lost(why)) => return self.fail(StayError::Lost(why)).await,
                Err(End::Failed(error)) => return self.fail(error).await,
            };
            info!("the signalling is back");
            if self.incoming.send(Ok(news)).await.is_err() {
                return;
            }
            connection = again;
        }
    }

    async fn fail(self, error: StayError) {
        // Nobody listens any more when the receiver was dropped first.
        let _ = self.incoming.send(Err(error)).await;
    }

    /// Waits until the server has closed the connection, as it does after our goodbye.
    async fn close(self, connection: Connection) {
        let Connection {
            sender,
            mut receiver,
        } = connection;
        drop(sender);
        let _ = timeout(Duration::from_secs(1), async {
            while let Some(Ok(_)) = receiver.next_of_any().await {}
        })
        .await;
    }

    /// Carries messages both ways.
    async fn converse(&mut self, connection: &mut Connection) -> End {
        let mut acks = interval(ACK_WAIT);
        acks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(text) = self.session.to_send() {
                if connection.sender.send_text(text).await.is_err() {
                    break;
                }
            }
            let due = tokio::select! {
                received = connection.receiver.next_of_any() => match received {
                    Some(Ok(received)) => match self.on_received(received).await {
                        Ok(()) => false,
                        Err(end) => return end,
                    },
                    Some(Err(error)) => return End::Lost(error.to_string()),
                    None => return End::Lost("the server closed the connection".to_owned()),
                },
                message = self.outgoing.recv() => match message {
                    Some(message) => match self.keep(&message) {
                        Ok(()) => false,
                        Err(end) => return end,
                    },
                    None => return End::Over,
                },
                _ = acks.tick() => true,
                () = changed(&mut self.network) => {
                    // A connection that is over shows at the receiver.
                    let _ = connection.sender.probe().await;
                    false
                }
            };
            if let Some(received) = self.session.ack(due) {
                // A connection that is over shows at the receiver.
                let _ = connection
                    .sender
                    .send(ClientMessage::Ack { received })
                    .await;
            }
        }
    }

    async fn on_received(&mut self, received: Received) -> Result<(), End> {
        let message = match received {
            Received::Message(message) => message,
            Received::Unknown => {
                self.session.on_message();
                return Ok(());
            }
        };
        match *message {
            ServerMessage::Ack { received } => {
                return self.session.on_ack(received).map_err(|wrong| {
                    End::Failed(StayError::Lost(format!("the server's `ack`: {wrong}")))
                });
            }
            // Neither is counted, and neither comes here from a server that keeps to the protocol.
            ServerMessage::Welcome { .. } | ServerMessage::Resumed { .. } => return Ok(()),
            ServerMessage::Error {
                code,
                message,
                fatal: true,
            } => return Err(ended(code, message)),
            ServerMessage::Joined { .. }
            | ServerMessage::Updated { .. }
            | ServerMessage::Left { .. }
            | ServerMessage::Offer { .. }
            | ServerMessage::Answer { .. }
            | ServerMessage::Candidate { .. }
            | ServerMessage::Renew { .. }
            | ServerMessage::IceServers { .. }
            | ServerMessage::Error { .. } => {}
        }
        self.session.on_message();
        let told = self.incoming.send(Ok(Incoming::Message(message))).await;
        told.map_err(|_| End::Over)
    }

    /// Keeps a message until the server has it, and what it says of us for the next `join`.
    fn keep(&mut self, message: &ClientMessage) -> Result<(), End> {
        remember(&mut self.join, message);
        self.is_leaving |= matches!(message, ClientMessage::Leave);
        let kept = self.session.push(text_of(message));
        kept.map_err(|full| End::Failed(StayError::Lost(full.to_string())))
    }

    /// Tries until the server has us back.
    async fn come_back(&mut self) -> Result<(Connection, Incoming), End> {
        let mut wait = FIRST_WAIT;
        loop {
            // Jitter keeps many clients from coming back in step.
            let jittered = wait.mul_f64(rand::rng().random_range(0.5..1.0));
            self.wait(jittered).await?;
            wait = (wait * 2).min(LONGEST_WAIT);
            let token = self.token.clone();
            let received = self.session.received();
            set_session(&mut self.join, SessionWish { token, received });
            let network = &mut self.network;
            let superseded = async {
                sleep(CONNECTING).await;
                changed(network).await;
            };
            let opened = tokio::select! {
                opened = Connection::open(&self.address, &self.join) => opened,
                // The way there has changed: what is under way will not arrive.
                () = superseded => {
                    wait = FIRST_WAIT;
                    continue;
                }
            };
            match opened {
                Ok((connection, answer)) => {
                    let news = self.on_answer(answer)?;
                    return Ok((connection, news));
                }
                Err(StayError::Refused { code, message }) => match ended(code, message) {
                    End::Lost(_) => {}
                    end @ (End::Failed(_) | End::Over) => return Err(end),
                },
                Err(StayError::Unreachable(_) | StayError::Lost(_)) => {}
            }
        }
    }

    fn on_answer(&mut self, answer: Answer) -> Result<Incoming, End> {
        let lost = |why: String| End::Failed(StayError::Lost(why));
        match answer {
            Answer::Resumed { received } => {
                let resumed = self.session.resume(received);
                resumed.map_err(|wrong| lost(format!("the server's `resumed`: {wrong}")))?;
                Ok(Incoming::Back)
            }
            Answer::Welcome(welcome, grant) if welcome.you.id == self.id => {
                self.session.restart(is_for_the_server);
                self.token = grant.map(|grant| grant.token);
                Ok(Incoming::Restored(Box::new(welcome)))
            }
            Answer::Welcome(..) => Err(lost("the server took us for somebody else".to_owned())),
        }
    }

    /// Waits, keeping what is to be sent.
    async fn wait(&mut self, wait: Duration) -> Result<(), End> {
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return Ok(()),
                message = self.outgoing.recv() => match message {
                    Some(message) => self.keep(&message)?,
                    None => return Err(End::Over),
                },
                () = self.incoming.closed() => return Err(End::Over),
            }
        }
    }
}

/// Waits for the next change.
async fn changed(network: &mut Option<Changes>) {
    let Some(changes) = network else {
        return std::future::pending().await;
    };
    if let Err(error) = changes.next().await {
        tracing::warn!(%error, "the signalling hears of no more changes of the network");
        *network = None;
        std::future::pending().await
    }
}

/// Whether a message says something even to a server that was started anew. What goes to one participant has reached it,
/// most likely, and must not come twice; who has not come back yet could not be reached, and a peer that is not connected is
/// made anew.
fn is_for_the_server(text: &str) -> bool {
    match serde_json::from_str(text) {
        Ok(
            ClientMessage::Offer { .. }
            | ClientMessage::Answer { .. }
            | ClientMessage::Candidate { .. }
            | ClientMessage::Renew { .. },
        ) => false,
        Ok(
            ClientMessage::Join { .. }
            | ClientMessage::Update { .. }
            | ClientMessage::Filter { .. }
            | ClientMessage::IceServers
            | ClientMessage::Ack { .. }
            | ClientMessage::Leave,
        )
        | Err(_) => true,
    }
}

/// What the next `join` has to say, after this message.
fn remember(join: &mut ClientMessage, message: &ClientMessage) {
    let ClientMessage::Join {
        sends,
        name,
        recording,
        recordable,
        ..
    } = join
    else {
        return;
    };
    let ClientMessage::Update {
        sends: new_sends,
        name: new_name,
        recording: new_recording,
        recordable: new_recordable,
    } = message
    else {
        return;
    };
    *sends = new_sends.unwrap_or(*sends);
    *recording = new_recording.unwrap_or(*recording);
    *recordable = new_recordable.unwrap_or(*recordable);
    if new_name.is_some() {
        name.clone_from(new_name);
    }
}

/// The server has ended a connection with these words: whether another one may go on.
fn ended(code: ErrorCode, message: String) -> End {
    match code {
        ErrorCode::JoinTimeout
        | ErrorCode::RoomFull
        | ErrorCode::ServerFull
        | ErrorCode::IdleTimeout
        | ErrorCode::ServerStopping => End::Lost(message),
        ErrorCode::SessionOver
        | ErrorCode::MessageTooLarge
        | ErrorCode::RateLimited
        | ErrorCode::TooSlow => End::Failed(StayError::Lost(message)),
        ErrorCode::InvalidMessage
        | ErrorCode::UnsupportedProtocol
        | ErrorCode::NotJoined
        | ErrorCode::AlreadyJoined
        | ErrorCode::Unauthorized
        | ErrorCode::Forbidden
        | ErrorCode::RecordingForbidden
        | ErrorCode::FiltersForbidden
        | ErrorCode::NoFilter
        | ErrorCode::UnknownParticipant
        | ErrorCode::SessionTaken
        | ErrorCode::Removed => End::Failed(StayError::Refused { code, message }),
    }
}
