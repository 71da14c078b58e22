//! One client's WebSocket, from its first frame to its close frame.

use std::error::Error as _;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_tungstenite::tungstenite;
use tracing::debug;

use super::hub::{Admission, Entrance, Hub, Membership, Request, server_stopping, text_of};
use super::ids::ParticipantId;
use super::limits::Limits;
use super::outbox::Outgoing;
use super::parse;
use super::protocol::{ClientMessage, ErrorCode, LeaveReason, VERSION};
use super::rate::{Bucket, message_cost};
use super::room::{Join, Refusal};
use crate::auth::Grants;

/// For the last words and the other side's close frame, each.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// A client hears of the messages that have come at least this often.
const ACK_WAIT: Duration = Duration::from_secs(5);

type Sink = SplitSink<WebSocket, Message>;
type Stream = SplitStream<WebSocket>;

/// How a connection came to its end.
enum End {
    /// The client closed or vanished; it hears nothing more.
    Gone(LeaveReason),
    /// This side ends it, with these last words.
    Refused(Option<Refusal>),
}

/// Serves one connection to its end.
pub async fn serve(hub: &Hub, websocket: WebSocket, entrance: Entrance) {
    let (mut sink, mut stream) = websocket.split();
    let mut away = None;
    let end = match join(hub, &mut stream, entrance).await {
        Ok((membership, admission)) => {
            let (id, connection) = (membership.id.clone(), membership.outgoing.connection());
            let (end, limit) = converse(hub, &mut sink, &mut stream, membership, entrance).await;
            away = limit.map(|limit| (id, connection, limit));
            drop(admission);
            end
        }
        Err(end) => end,
    };
    match end {
        End::Gone(_) => {}
        End::Refused(refusal) => say_goodbye(&mut sink, &mut stream, refusal).await,
    }
    drop((sink, stream));
    if let Some((id, connection, limit)) = away {
        tokio::select! {
            () = tokio::time::sleep(limit) => hub.expire(&id, connection),
            () = hub.stopped() => {}
        }
    }
}

/// Waits for `join` and asks the hub to let the client in.
async fn join(
    hub: &Hub,
    stream: &mut Stream,
    entrance: Entrance,
) -> Result<(Membership, Admission), End> {
    let refused = |refusal: Refusal| {
        debug!(code = ?refusal.code, "refused before joining");
        End::Refused(Some(refusal))
    };
    let mut admission = hub.admission(entrance).map_err(refused)?;
    let limits = hub.limits();
    let first = tokio::select! {
        first = timeout(limits.join_timeout, first_text(stream, limits)) => first,
        () = hub.stopped() => return Err(refused(server_stopping())),
    };
    let Ok(first) = first else {
        let message = format!(
            "no `join` within {} ms of the connection",
            limits.join_timeout.as_millis()
        );
        return Err(refused(Refusal::new(ErrorCode::JoinTimeout, message)));
    };
    let membership = parse::client_message(&first?)
        .and_then(request)
        .and_then(|request| hub.enter(request))
        .map_err(refused)?;
    admission.not_joined = None;
    Ok((membership, admission))
}

async fn first_text(stream: &mut Stream, limits: &Limits) -> Result<String, End> {
    loop {
        match next_frame(stream, limits).await? {
            Frame::Text(text) => return Ok(text.as_str().to_owned()),
            Frame::Binary(_) => return Err(End::Refused(Some(binary()))),
            Frame::Control => {}
        }
    }
}

/// The first message must be `join`.
fn request(message: ClientMessage) -> Result<Request, Refusal> {
    let ClientMessage::Join {
        protocol,
        room,
        kind,
        name,
        token,
        sends,
        recording,
        recordable,
        enhances,
        session,
    } = message
    else {
        return Err(Refusal::new(
            ErrorCode::NotJoined,
            "the first message must be `join`",
        ));
    };
    if protocol != VERSION {
        return Err(parse::unsupported(u64::from(protocol)));
    }
    let join = Join {
        room,
        kind,
        name,
        sends,
        recording,
        recordable,
        enhances,
        grants: Grants::default(),
    };
    Ok(Request {
        join,
        token,
        session,
    })
}

/// Carries messages both ways until either side ends; also, within which time the participant may come back.
async fn converse(
    hub: &Hub,
    sink: &mut Sink,
    stream: &mut Stream,
    membership: Membership,
    entrance: Entrance,
) -> (End, Option<Duration>) {
    let Membership {
        id,
        mut outgoing,
        mut farewell,
    } = membership;
    let connection = outgoing.connection();
    let mut writer = Box::pin(write(sink, &mut outgoing, hub.limits().ping_interval));
    let (end, written) = tokio::select! {
        end = read(hub, stream, &id, connection) => (end, false),
        result = &mut writer => match result {
            // The hub has closed the queue, and that is never without a farewell.
            Ok(()) => (End::Refused(farewell.await.unwrap_or_default()), true),
            Err(_) => (End::Gone(LeaveReason::Lost), true),
        },
        told = &mut farewell => (End::Refused(told.unwrap_or_default()), false),
    };
    let (reason, drain) = match &end {
        End::Gone(reason) => (*reason, false),
        End::Refused(Some(refusal)) => (
            leave_reason(refusal.code),
            refusal.code != ErrorCode::TooSlow,
        ),
        End::Refused(None) => (LeaveReason::Left, true),
    };
    let away = hub.part(&id, connection, reason, entrance);
    if drain && !written && away.is_none() {
        // The hub has closed the queue: the writer ends when it is empty. Who does not read does not hold it up.
        let _ = timeout(CLOSE_GRACE, writer).await;
    }
    (end, away)
}

/// How the others learn of an end that this connection caused.
fn leave_reason(code: ErrorCode) -> LeaveReason {
    match code {
        ErrorCode::IdleTimeout | ErrorCode::ServerStopping => LeaveReason::Lost,
        ErrorCode::TooSlow => LeaveReason::TooSlow,
        ErrorCode::Removed => LeaveReason::Removed,
        // Nobody learns of it: the participant is there.
        ErrorCode::SessionTaken => LeaveReason::Lost,
        ErrorCode::InvalidMessage
        | ErrorCode::MessageTooLarge
        | ErrorCode::UnsupportedProtocol
        | ErrorCode::JoinTimeout
        | ErrorCode::NotJoined
        | ErrorCode::AlreadyJoined
        | ErrorCode::Unauthorized
        | ErrorCode::Forbidden
        | ErrorCode::RecordingForbidden
        | ErrorCode::FiltersForbidden
        | ErrorCode::NoFilter
        | ErrorCode::RoomFull
        | ErrorCode::ServerFull
        | ErrorCode::UnknownParticipant
        | ErrorCode::SessionOver
        | ErrorCode::RateLimited => LeaveReason::Refused,
    }
}

/// Sends what is queued, and pings; ends well when the queue is closed and empty.
async fn write(
    sink: &mut Sink,
    outgoing: &mut Outgoing,
    ping_interval: Duration,
) -> Result<(), axum::Error> {
    let mut pings = tokio::time::interval(ping_interval);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    let mut acks = tokio::time::interval(ACK_WAIT);
    acks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            text = outgoing.next() => match text {
                Some(text) => Message::Text(text),
                None => return Ok(()),
            },
            _ = acks.tick() => match outgoing.ack() {
                Some(ack) => Message::Text(ack),
                None => continue,
            },
            _ = pings.tick() => Message::Ping(Default::default()),
        };
        sink.send(message).await?;
    }
}

/// Hands the client's messages to the hub until the client ends or breaks a limit.
async fn read(hub: &Hub, stream: &mut Stream, id: &ParticipantId, connection: u64) -> End {
    let limits = hub.limits();
    let mut allowance = Bucket::new(
        limits.message_burst,
        limits.messages_per_second,
        Instant::now(),
    );
    loop {
        let Ok(frame) = timeout(limits.idle_timeout, next_frame(stream, limits)).await else {
            let message = format!(
                "nothing was heard from you for {} s",
                limits.idle_timeout.as_secs_f32()
            );
            return End::Refused(Some(Refusal::new(ErrorCode::IdleTimeout, message)));
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(end) => return end,
        };
        if !allowance.take(message_cost(frame.bytes()), Instant::now()) {
            let message = format!(
                "more than {} messages at once, or {} per second on and on",
                limits.message_burst, limits.messages_per_second
            );
            return End::Refused(Some(Refusal::new(ErrorCode::RateLimited, message)));
        }
        match frame {
            Frame::Text(text) => hub.receive(id, connection, parse::client_message(&text)),
            Frame::Binary(_) => hub.receive(id, connection, Err(binary())),
            Frame::Control => {}
        }
    }
}

enum Frame {
    Text(axum::extract::ws::Utf8Bytes),
    Binary(usize),
    /// A ping, which the WebSocket layer answers, or a pong.
    Control,
}

impl Frame {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => *bytes,
            Self::Control => 0,
        }
    }
}

async fn next_frame(stream: &mut Stream, limits: &Limits) -> Result<Frame, End> {
    let too_large = || {
        let message = format!("the message is longer than {} bytes", limits.message_bytes);
        End::Refused(Some(Refusal::new(ErrorCode::MessageTooLarge, message)))
    };
    match stream.next().await {
        Some(Ok(Message::Text(text))) if text.len() > limits.message_bytes => Err(too_large()),
        Some(Ok(Message::Text(text))) => Ok(Frame::Text(text)),
        Some(Ok(Message::Binary(data))) if data.len() > limits.message_bytes => Err(too_large()),
        Some(Ok(Message::Binary(data))) => Ok(Frame::Binary(data.len())),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Frame::Control),
        // A page that goes elsewhere closes with `AWAY`: that is a goodbye, too.
        Some(Ok(Message::Close(Some(frame))))
            if matches!(frame.code, close_code::NORMAL | close_code::AWAY) =>
        {
            Err(End::Gone(LeaveReason::Left))
        }
        Some(Err(error)) if is_capacity(&error) => Err(too_large()),
        Some(Err(error)) => {
            debug!(%error, "connection lost");
            Err(End::Gone(LeaveReason::Lost))
        }
        Some(Ok(Message::Close(_))) | None => Err(End::Gone(LeaveReason::Lost)),
    }
}

/// Longer than even the WebSocket layer takes.
fn is_capacity(error: &axum::Error) -> bool {
    let error = error
        .source()
        .and_then(|error| error.downcast_ref::<tungstenite::Error>());
    matches!(error, Some(tungstenite::Error::Capacity(_)))
}

fn binary() -> Refusal {
    Refusal::new(
        ErrorCode::InvalidMessage,
        "found a binary frame, messages are text frames with JSON",
    )
}

/// The last message and the close frame; then whatever still comes is read and dropped until the client has
/// closed its side, since closing over unread data resets the connection and the last message would be lost.
async fn say_goodbye(sink: &mut Sink, stream: &mut Stream, refusal: Option<Refusal>) {
    let frame = CloseFrame {
        code: refusal
            .as_ref()
            .map_or(close_code::NORMAL, |refusal| close_code_of(refusal.code)),
        reason: refusal
            .as_ref()
            .map_or("", |refusal| refusal.code.name())
            .into(),
    };
    let last_words = async {
        if let Some(refusal) = refusal {
            sink.send(Message::Text(text_of(&refusal.into_message(true))))
                .await?;
        }
        sink.send(Message::Close(Some(frame))).await
    };
    let Ok(Ok(())) = timeout(CLOSE_GRACE, last_words).await else {
        return;
    };
    let _ = timeout(CLOSE_GRACE, async {
        while let Some(Ok(_)) = stream.next().await {}
    })
    .await;
}

/// RFC 6455 7.4.1.
pub(super) fn close_code_of(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::MessageTooLarge => close_code::SIZE,
        ErrorCode::ServerStopping => close_code::RESTART,
        ErrorCode::RoomFull | ErrorCode::ServerFull => close_code::AGAIN,
        ErrorCode::InvalidMessage
        | ErrorCode::UnsupportedProtocol
        | ErrorCode::JoinTimeout
        | ErrorCode::NotJoined
        | ErrorCode::AlreadyJoined
        | ErrorCode::Unauthorized
        | ErrorCode::Forbidden
        | ErrorCode::RecordingForbidden
        | ErrorCode::FiltersForbidden
        | ErrorCode::NoFilter
        | ErrorCode::UnknownParticipant
        | ErrorCode::RateLimited
        | ErrorCode::TooSlow
        | ErrorCode::IdleTimeout
        | ErrorCode::SessionTaken
        | ErrorCode::SessionOver
        | ErrorCode::Removed => close_code::POLICY,
    }
}
