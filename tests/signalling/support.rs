//! A server that is only a hub, and clients that are only a WebSocket.

use std::net::SocketAddr;
use std::time::Duration;

use attache::auth::Auth;
use attache::ice::IceSettings;
use attache::signalling::client;
use attache::signalling::ids::ParticipantId;
use attache::signalling::protocol::{ErrorCode, LeaveReason, Participant, ServerMessage};
use attache::signalling::{Entrance, Hub, Limits};
use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// For anything that must happen; far above what it takes.
pub const SOON: Duration = Duration::from_secs(20);

pub fn limits() -> Limits {
    Limits {
        join_timeout: SOON,
        ..Limits::default()
    }
}

pub fn open_hub(limits: Limits) -> Hub {
    Hub::new(limits, Auth::default(), IceSettings::default())
}

pub fn router(hub: &Hub, entrance: Entrance) -> Router {
    let hub = hub.clone();
    let endpoint = move |request: WebSocketUpgrade| async move { hub.upgrade(request, entrance) };
    Router::new().route(client::PATH, get(endpoint))
}

pub async fn serve(hub: &Hub, entrance: Entrance) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router(hub, entrance);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

pub struct Client {
    pub websocket: WebSocketStream<TcpStream>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), address).await
    }

    pub async fn over(stream: TcpStream, address: SocketAddr) -> Self {
        let url = format!("ws://{address}{}", client::PATH);
        let (websocket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        Self { websocket }
    }

    pub async fn send(&mut self, message: Value) {
        self.websocket
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// The next message; `None` at the close frame or the end.
    pub async fn next(&mut self) -> Option<ServerMessage> {
        loop {
            match timeout(SOON, self.websocket.next())
                .await
                .expect("a message should have come")
            {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(other)) => panic!("{other:?}"),
            }
        }
    }

    pub async fn message(&mut self) -> ServerMessage {
        self.next().await.expect("the connection should be open")
    }

    /// Joins, and returns itself and those who were there.
    pub async fn join(&mut self, room: &str) -> (Participant, Vec<Participant>) {
        self.send(join(room)).await;
        match self.message().await {
            ServerMessage::Welcome {
                you, participants, ..
            } => (you, participants),
            other => panic!("{other:?}"),
        }
    }

    pub async fn joined(address: SocketAddr, room: &str) -> (Self, ParticipantId) {
        let mut client = Self::connect(address).await;
        let (you, _) = client.join(room).await;
        (client, you.id)
    }

    /// The next message is this error, and then the connection ends.
    pub async fn is_refused(&mut self, expected: ErrorCode) -> String {
        let text = match self.message().await {
            ServerMessage::Error {
                code,
                message,
                fatal,
            } => {
                assert_eq!((code, fatal), (expected, true), "{message}");
                message
            }
            other => panic!("expected {expected:?}, found {other:?}"),
        };
        assert_eq!(self.next().await, None);
        text
    }

    /// The next message is this error, and the connection goes on.
    pub async fn is_told(&mut self, expected: ErrorCode) -> String {
        match self.message().await {
            ServerMessage::Error {
                code,
                message,
                fatal,
            } => {
                assert_eq!((code, fatal), (expected, false), "{message}");
                message
            }
            other => panic!("expected {expected:?}, found {other:?}"),
        }
    }

    pub async fn sees_leaving(&mut self, expected: &ParticipantId) -> LeaveReason {
        loop {
            if let ServerMessage::Left { id, reason } = self.message().await {
                assert_eq!(id, *expected);
                return reason;
            }
        }
    }
}

pub fn join(room: &str) -> Value {
    json!({ "type": "join", "protocol": 1, "room": room, "kind": "person" })
}

pub fn candidate(to: &ParticipantId, number: u32, text: &str) -> Value {
    json!({ "type": "candidate", "to": to, "generation": 1, "candidate": text, "mline": number })
}
