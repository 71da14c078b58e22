//! STUN servers asked and TURN allocations made, as a PeerConnection will.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::report::{Check, Outcome};
use super::stun::{self, Answer, Login, Method};
use crate::ice::IceSettings;
use crate::signalling::ids::ParticipantId;
use crate::signalling::protocol::{IceServer, IceTransportPolicy};

/// For one server, name lookup and all.
const LIMIT: Duration = Duration::from_secs(5);
/// UDP may be lost: asked again after this long (RFC 8489 6.2.1).
const AGAIN: Duration = Duration::from_millis(500);

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Udp,
    Tcp,
    Tls,
}

/// A server's URL taken apart (RFC 7064, RFC 7065).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    way: Way,
    is_turn: bool,
}

impl Target {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once(':')?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let is_tls = scheme.ends_with('s');
        let way = match (is_tls, query) {
            (true, _) => Way::Tls,
            (false, "transport=tcp") => Way::Tcp,
            (false, _) => Way::Udp,
        };
        let usual = if is_tls { 5349 } else { 3478 };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        Some(Self {
            host: host.to_owned(),
            port: port.map_or(Some(usual), |port| port.parse().ok())?,
            way,
            is_turn: scheme.starts_with("turn"),
        })
    }
}

/// Asks each server: one check for each of its URLs.
pub async fn look(ice: &IceSettings) -> Vec<Check> {
    if ice.stun.is_empty() && ice.turn.is_empty() {
        let finding =
            "none is configured: calls stay within networks where all can reach each other";
        return vec![Check::new(Outcome::Note, "servers", finding)];
    }
    let needs_relay = ice.transport_policy == IceTransportPolicy::Relay;
    let Ok(doctor) = ParticipantId::try_from("doctor".to_owned()) else {
        return vec![];
    };
    let servers = ice.for_participant(&doctor, SystemTime::now()).servers;
    let mut checks = Vec::new();
    let mut relays = 0;
    for server in &servers {
        for url in &server.urls {
            let begin = Instant::now();
            let asked = tokio::time::timeout(LIMIT, ask(server, url)).await;
            let asked = asked.unwrap_or_else(|_| {
                Err(io::Error::other(format!(
                    "no answer within {} s",
                    LIMIT.as_secs()
                )))
            });
            checks.push(match asked {
                Ok(what) => {
                    relays += usize::from(url.starts_with("turn"));
                    let time = begin.elapsed().as_millis();
                    Check::new(Outcome::Good, url, format!("{what} after {time} ms"))
                }
                Err(error) => Check::new(Outcome::Bad, url, error.to_string()),
            });
        }
    }
    if needs_relay && relays == 0 {
        let finding = "transport_policy is \"relay\" and no TURN server can be used";
        checks.push(Check::new(Outcome::Fatal, "relay", finding));
    }
    checks
}

async fn ask(server: &IceServer, url: &str) -> io::Result<&'static str> {
    let target = Target::parse(url).ok_or_else(|| io::Error::other("the URL cannot be read"))?;
    let mut line = Line::open(&target).await?;
    if !target.is_turn {
        let answer = line.ask(Method::Binding, None).await?;
        return match answer.mapped {
            Some(_) => Ok("reachable, answered"),
            None => Err(refused(&answer)),
        };
    }
    let first = line.ask(Method::Allocate, None).await?;
    let (Some(realm), Some(nonce)) = (first.realm.clone(), first.nonce.clone()) else {
        return Err(refused(&first));
    };
    let login = Login {
        username: server.username.as_deref().unwrap_or_default(),
        password: server.credential.as_deref().unwrap_or_default(),
        realm,
        nonce,
    };
    let answer = line.ask(Method::Allocate, Some(&login)).await?;
    if answer.relayed.is_none() {
        return Err(refused(&answer));
    }
    // The server takes it back by itself in ten minutes; this is quicker.
    let _ = line.ask(Method::Refresh, Some(&login)).await;
    Ok("usable, an allocation was made")
}

fn refused(answer: &Answer) -> io::Error {
    io::Error::other(match &answer.error {
        Some((401, reason)) => format!(
            "refused with 401 {reason}: user name and password, or the shared secret, are not the server's"
        ),
        Some((code, reason)) => format!("refused with {code} {reason}"),
        None => "answered without an address".to_owned(),
    })
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A way to a server.
enum Line {
    Datagrams(UdpSocket),
    Stream(Box<dyn Stream>),
}

impl Line {
    async fn open(target: &Target) -> io::Result<Self> {
        let address = (target.host.as_str(), target.port);
        match target.way {
            Way::Udp => {
                let found = tokio::net::lookup_host(address).await?.next();
                let server = found.ok_or_else(|| io::Error::other("the host has no address"))?;
                let any: SocketAddr = if server.is_ipv4() {
                    ([0, 0, 0, 0], 0).into()
                } else {
                    ([0u16; 8], 0).into()
                };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(server).await?;
                Ok(Self::Datagrams(socket))
            }
            Way::Tcp => Ok(Self::Stream(Box::new(TcpStream::connect(address).await?))),
            Way::Tls => {
                let stream = TcpStream::connect(address).await?;
                let name =
                    tokio_rustls::rustls::pki_types::ServerName::try_from(target.host.clone());
                let name = name.map_err(io::Error::other)?;
                let stream = tls()?.connect(name, stream).await?;
                Ok(Self::Stream(Box::new(stream)))
            }
        }
    }

    async fn ask(&mut self, method: Method, login: Option<&Login<'_>>) -> io::Result<Answer> {
        let id: [u8; 12] = rand::random();
        let request = stun::request(method, id, login);
        match self {
            Self::Datagrams(socket) => loop {
                socket.send(&request).await?;
                let mut buffer = [0; 1500];
                // Lost, perhaps: asked again until the server's time is over.
                let Ok(received) = tokio::time::timeout(AGAIN, socket.recv(&mut buffer)).await
                else {
                    continue;
                };
                let message = buffer.get(..received?).unwrap_or_default();
                if let Some(answer) = stun::answer(message, id) {
                    return Ok(answer);
                }
            },
            Self::Stream(stream) => {
                stream.write_all(&request).await?;
                loop {
                    let mut header = [0; 20];
                    stream.read_exact(&mut header).await?;
                    let mut message = header.to_vec();
                    message.resize(20 + stun::length_behind(&header), 0);
                    stream
                        .read_exact(message.get_mut(20..).unwrap_or_default())
                        .await?;
                    if let Some(answer) = stun::answer(&message, id) {
                        return Ok(answer);
                    }
                }
            }
        }
    }
}

/// Trusts whom the system trusts.
fn tls() -> io::Result<tokio_rustls::TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tokio_rustls::TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_as_the_rfcs_say() {
        let target = |url| Target::parse(url).map(|one| (one.host, one.port, one.way, one.is_turn));
        let host = || "a.example".to_owned();
        assert_eq!(
            target("stun:a.example"),
            Some((host(), 3478, Way::Udp, false))
        );
        assert_eq!(
            target("turn:a.example:9?transport=tcp"),
            Some((host(), 9, Way::Tcp, true))
        );
        assert_eq!(
            target("turns:a.example?transport=tcp"),
            Some((host(), 5349, Way::Tls, true))
        );
        assert_eq!(
            target("turn:[::1]:7"),
            Some(("::1".to_owned(), 7, Way::Udp, true))
        );
    }
}
