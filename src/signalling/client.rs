//! The client's end of the signalling, as workers use it: over the server's private Unix socket, `ws` or `wss`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::debug;
use url::Url;

use super::parse;
use super::protocol::{ClientMessage, ServerMessage};
use crate::job::ServerAddress;
use crate::tls;

/// The path of the signalling endpoint.
pub const PATH: &str = "/api/v1/signalling";

/// For the connection, TLS and the WebSocket handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After so long without a sound from the server it is asked for one.
const QUIET: Duration = Duration::from_secs(5);
/// Without an answer it is lost after so long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(7);
/// The same after a [`Sender::probe`].
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest welcome (a full room) stays far below.
const MESSAGE_BYTES: usize = 1024 * 1024;

/// Messages in either direction that wait for the other end.
const QUEUE_MESSAGES: usize = 256;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is not one of a signalling endpoint.
    #[error("the signalling address {url:?} is not usable: {rule}")]
    Address {
        /// What was given.
        url: String,
        /// What would be right.
        rule: &'static str,
    },
    /// A file of certificates to trust cannot be read.
    #[error(transparent)]
    Certificates(#[from] tls::UntrustedError),
    /// Nobody listens there, or the name is unknown.
    #[error("cannot reach the server at {place}: {source}")]
    Unreachable {
        /// Host and port, or the socket's path.
        place: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// TLS failed, most often because the certificate is not trusted.
    #[error(
        "no secure connection to {place}: {source} (a certificate that the system does not know is given with `--ca`)"
    )]
    Tls {
        /// Host and port.
        place: String,
        /// What rustls says.
        source: std::io::Error,
    },
    /// The server answered, but not with a WebSocket.
    #[error("{place} refused the signalling with HTTP status {status}")]
    Status {
        /// Host and port, or the socket's path.
        place: String,
        /// The status code.
        status: u16,
    },
    /// Something else answered.
    #[error("{place} does not speak WebSocket: {source}")]
    Handshake {
        /// Host and port, or the socket's path.
        place: String,
        /// What was wrong.
        source: Box<tungstenite::Error>,
    },
    /// It took too long.
    #[error("no connection to {place} within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// Host and port, or the socket's path.
        place: String,
    },
}

impl ConnectError {
    /// Whether the other side is not who it should be: its certificate is not trusted, or it does not speak TLS. What
    /// else goes wrong with TLS (a connection that breaks, an overloaded server) may be better in a moment.
    pub fn is_distrust(&self) -> bool {
        let Self::Tls { source, .. } = self else {
            return false;
        };
        let said = source.get_ref().and_then(|error| error.downcast_ref());
        matches!(
            said,
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidMessage(_))
        )
    }
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Broken(#[source] Box<tungstenite::Error>),
    /// The server was silent for too long.
    #[error("nothing was heard from the server for {} s", .0.as_secs())]
    Silent(Duration),
    /// The server sent something that is not of this protocol.
    #[error("the server sent a message that is not of this protocol: {0}")]
    Invalid(String),
}

/// The connection has ended; the [`Receiver`] says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection to the server has ended")]
pub struct Ended;

/// Sends messages; clones send over the same connection, in the order of the calls. When the last one is dropped,
/// the connection is closed.
#[derive(Debug, Clone)]
pub struct Sender {
    queue: mpsc::Sender<Outgoing>,
}

#[derive(Debug)]
enum Outgoing {
    Text(String),
    Probe,
}

impl Sender {
    /// Asks the server for a sign of life: without one within two seconds the connection is lost.
    ///
    /// # Errors
    /// [`Ended`] when the connection is over.
    pub async fn probe(&self) -> Result<(), Ended> {
        self.queue.send(Outgoing::Probe).await.map_err(|_| Ended)
    }

    /// Sends one message; waits when very many are on their way already.
    ///
    /// # Errors
    /// [`Ended`] when the connection is over.
    pub async fn send(&self, message: ClientMessage) -> Result<(), Ended> {
        self.send_text(text_of(&message)).await
    }

    /// Sends the text of a message.
    pub(super) async fn send_text(&self, text: String) -> Result<(), Ended> {
        let text = Outgoing::Text(text);
        self.queue.send(text).await.map_err(|_| Ended)
    }
}

/// Receives what the server sends. It must be read all the time: pings are answered meanwhile.
#[derive(Debug)]
pub struct Receiver {
    queue: mpsc::Receiver<Result<Received, LinkError>>,
}

/// What the server has sent.
#[derive(Debug)]
pub(super) enum Received {
    /// A message of the protocol.
    Message(Box<ServerMessage>),
    /// One that this version does not know; a session counts it all the same.
    Unknown,
}

impl Receiver {
    /// The next message; after an error or a close there is nothing more but `None`.
    pub async fn next(&mut self) -> Option<Result<ServerMessage, LinkError>> {
        loop {
            match self.next_of_any().await? {
                Ok(Received::Message(message)) => return Some(Ok(*message)),
                Ok(Received::Unknown) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next message, known or not.
    pub(super) async fn next_of_any(&mut self) -> Option<Result<Received, LinkError>> {
        self.queue.recv().await
    }
}

/// Connects to the signalling endpoint. The first message to send is `join`.
///
/// # Errors
/// [`ConnectError`]; those of the address and the certificates will not go away by trying again.
pub async fn connect(address: &ServerAddress) -> Result<(Sender, Receiver), ConnectError> {
    let place = place_of(address);
    let connecting = async {
        match address {
            ServerAddress::Unix(path) => connect_unix(path).await,
            ServerAddress::Url { url, ca } => connect_url(url, ca.as_deref()).await,
        }
    };
    timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or(Err(ConnectError::Timeout { place }))
}

fn place_of(address: &ServerAddress) -> String {
    match address {
        ServerAddress::Unix(path) => path.display().to_string(),
        // Never the whole URL: a person may have put a token into it.
        ServerAddress::Url { url, .. } => Url::parse(url)
            .map(|url| host_and_port(&url))
            .unwrap_or_default(),
    }
}

fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

async fn connect_unix(path: &Path) -> Result<(Sender, Receiver), ConnectError> {
    let place = path.display().to_string();
    let stream = UnixStream::connect(path)
        .await
        .map_err(|source| ConnectError::Unreachable {
            place: place.clone(),
            source,
        })?;
    handshake(&format!("ws://localhost{PATH}"), place, stream).await
}

async fn connect_url(text: &str, ca: Option<&Path>) -> Result<(Sender, Receiver), ConnectError> {
    let invalid = |rule| ConnectError::Address {
        url: text.chars().take(100).collect(),
        rule,
    };
    let url = Url::parse(text)
        .map_err(|_| invalid("write ws://HOST:PORT/api/v1/signalling or wss://..."))?;
    let secure = match url.scheme() {
        "ws" => false,
        "wss" => true,
        _ => return Err(invalid("it must begin with ws:// or wss://")),
    };
    let place = host_and_port(&url);
    let host = url
        .host_str()
        .ok_or_else(|| invalid("it names no host"))?
        .trim_matches(['[', ']'])
        .to_owned();
    let port = url
        .port_or_known_default()
        .ok_or_else(|| invalid("it names no port"))?;
    // Certificates first: a wrong file must not look like a network problem.
    let tls = if secure {
        Some(TlsConnector::from(Arc::new(tls::client_config(ca)?)))
    } else {
        None
    };

    let unreachable = |source| ConnectError::Unreachable {
        place: place.clone(),
        source,
    };
    let stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let Some(tls) = tls else {
        return handshake(text, place, stream).await;
    };
    let name = ServerName::try_from(host)
        .map_err(|_| invalid("its host is neither a name nor an address"))?;
    let stream = tls
        .connect(name, stream)
        .await
        .map_err(|source| ConnectError::Tls {
            place: place.clone(),
            source,
        })?;
    handshake(text, place, stream).await
}

async fn handshake<S>(
    url: &str,
    place: String,
    stream: S,
) -> Result<(Sender, Receiver), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    let websocket =
        match tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await {
            Ok((websocket, _response)) => websocket,
            Err(tungstenite::Error::Http(response)) => {
                return Err(ConnectError::Status {
                    place,
                    status: response.status().as_u16(),
                });
            }
            Err(source) => {
                return Err(ConnectError::Handshake {
                    place,
                    source: Box::new(source),
                });
            }
        };
    let (sender, outgoing) = mpsc::channel(QUEUE_MESSAGES);
    let (incoming, receiver) = mpsc::channel(QUEUE_MESSAGES);
    tokio::spawn(run(websocket, outgoing, incoming));
    Ok((Sender { queue: sender }, Receiver { queue: receiver }))
}

/// The one owner of the connection.
async fn run<S>(
    mut websocket: WebSocketStream<S>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    incoming: mpsc::Sender<Result<Received, LinkError>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut silence = Silence::new(Instant::now());
    let error = loop {
        tokio::select! {
            frame = websocket.next() => {
                silence.heard(Instant::now());
                let message = match frame {
                    None => break None,
                    Some(Err(error)) => break broken(error),
                    Some(Ok(Message::Text(text))) => Some(read(&text)),
                    Some(Ok(Message::Close(_))) => break None,
                    // Pings are answered by the WebSocket layer with the next read.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => None,
                };
                let Some(message) = message else { continue };
                if incoming.send(message).await.is_err() {
                    break None;
                }
            }
            message = outgoing.recv() => {
                let message = match message {
                    Some(Outgoing::Text(text)) => Message::text(text),
                    Some(Outgoing::Probe) => {
                        silence.asked(PROBE_TIMEOUT, Instant::now());
                        Message::Ping(Default::default())
                    }
                    None => break None,
                };
                if let Err(error) = send(&mut websocket, message).await {
                    break error;
                }
            }
            () = sleep_until(silence.next()) => {
                let now = Instant::now();
                if silence.is_over(now) {
                    break Some(LinkError::Silent(now.saturating_duration_since(silence.since)));
                }
                silence.asked(ANSWER_TIMEOUT, now);
                if let Err(error) = send(&mut websocket, Message::Ping(Default::default())).await {
                    break error;
                }
            }
        }
    };
    if let Some(error) = error {
        // Nobody listens any more when the receiver was dropped first.
        let _ = incoming.send(Err(error)).await;
        return;
    }
    let goodbye = async {
        websocket.close(None).await?;
        while websocket.next().await.transpose()?.is_some() {}
        Ok::<(), tungstenite::Error>(())
    };
    // The other side may be gone already; then there is nobody to say goodbye to.
    let _ = timeout(Duration::from_secs(1), goodbye).await;
}

/// Sends one frame. A path that is gone lets what is sent pile up, until nothing can be sent any more.
async fn send<S>(
    websocket: &mut WebSocketStream<S>,
    message: Message,
) -> Result<(), Option<LinkError>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match timeout(ANSWER_TIMEOUT, websocket.send(message)).await {
        Ok(sent) => sent.map_err(broken),
        Err(_) => Err(Some(LinkError::Silent(ANSWER_TIMEOUT))),
    }
}

/// How long nothing was heard, and whether it was asked for.
#[derive(Debug)]
struct Silence {
    since: Instant,
    /// When an answer has to be there, once there was a ping.
    end: Option<Instant>,
}

impl Silence {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            end: None,
        }
    }

    fn heard(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// A ping is sent now, to be answered within the limit.
    fn asked(&mut self, limit: Duration, now: Instant) {
        let end = now + limit;
        self.end = Some(self.end.map_or(end, |known| known.min(end)));
    }

    /// When there is something to do: to ask, or to give up.
    fn next(&self) -> Instant {
        self.end.unwrap_or(self.since + QUIET)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.end.is_some_and(|end| now >= end)
    }
}

fn broken(error: tungstenite::Error) -> Option<LinkError> {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => None,
        other => Some(LinkError::Broken(Box::new(other))),
    }
}

/// Messages of a type that this version does not know are passed over, as the protocol asks.
fn read(text: &str) -> Result<Received, LinkError> {
    match serde_json::from_str(text) {
        Ok(message) => Ok(Received::Message(Box::new(message))),
        Err(error) if error.to_string().starts_with("unknown variant") => {
            debug!("message of an unknown type passed over");
            Ok(Received::Unknown)
        }
        Err(error) => Err(LinkError::Invalid(parse::without_value(&error.to_string()))),
    }
}

#[expect(
    clippy::expect_used,
    reason = "the messages have text keys only and no maps of other kinds"
)]
pub(super) fn text_of(message: &ClientMessage) -> String {
    serde_json::to_string(message).expect("a message of the protocol is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_asked_and_then_given_up() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        assert_eq!(silence.next(), start + QUIET);
        assert!(!silence.is_over(start + QUIET));
        silence.asked(ANSWER_TIMEOUT, start + QUIET);
        let end = start + QUIET + ANSWER_TIMEOUT;
        assert_eq!(silence.next(), end);
        assert!(silence.is_over(end));
        silence.heard(end);
        assert!(!silence.is_over(end + QUIET));
    }

    #[test]
    fn after_a_change_of_the_network_the_server_is_given_up_sooner() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.asked(ANSWER_TIMEOUT, start + QUIET);
        let changed = start + QUIET + Duration::from_secs(1);
        silence.asked(PROBE_TIMEOUT, changed);
        assert_eq!(silence.next(), changed + PROBE_TIMEOUT);
        // Another change does not put it off.
        silence.asked(PROBE_TIMEOUT, changed + Duration::from_secs(1));
        assert!(silence.is_over(changed + PROBE_TIMEOUT));
    }
}
