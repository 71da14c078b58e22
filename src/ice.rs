//! STUN and TURN servers for those who join, with short-lived TURN credentials.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha1::Sha1;

use crate::auth::Secret;
use crate::signalling::ids::ParticipantId;
use crate::signalling::protocol::{Ice, IceServer, IceTransportPolicy};

/// A `stun:` or `stuns:` URL (RFC 7064).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct StunUrl(String);

/// A `turn:` or `turns:` URL (RFC 7065).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TurnUrl(String);

impl TryFrom<String> for StunUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let host = ["stun:", "stuns:"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        match host {
            Some(host) if is_host_and_port(host) => Ok(Self(text)),
            Some(_) | None => Err(format!(
                "{text:?} is not a STUN URL: write it as \"stun:HOST:3478\" (RFC 7064)"
            )),
        }
    }
}

impl TryFrom<String> for TurnUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let rest = ["turn:", "turns:"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let (host, query) = match rest {
            Some(rest) => rest.split_once('?').unwrap_or((rest, "transport=udp")),
            None => ("", ""),
        };
        if is_host_and_port(host) && ["transport=udp", "transport=tcp"].contains(&query) {
            return Ok(Self(text));
        }
        Err(format!(
            "{text:?} is not a TURN URL: write it as \"turn:HOST:3478\", \"turn:HOST:3478?transport=tcp\" or \
             \"turns:HOST:5349?transport=tcp\" (RFC 7065)"
        ))
    }
}

/// `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`; RFC 7064 has no `//` and no path.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                (host, port.strip_prefix(':'))
            }
            Some(_) | None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let host_fits = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    host_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// How a participant proves to a TURN server that it may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnCredentials {
    /// Made for each participant from a secret that the TURN server shares (coturn's `static-auth-secret`).
    Ephemeral {
        /// The shared secret.
        secret: Secret,
        /// How long one lasts.
        ttl: Duration,
    },
    /// The same for everybody.
    Fixed {
        /// TURN user name.
        username: String,
        /// TURN password.
        credential: Secret,
    },
}

/// One TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The ways to reach it.
    pub urls: Vec<TurnUrl>,
    /// What opens it.
    pub credentials: TurnCredentials,
}

/// The servers and the policy that everybody who joins is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IceSettings {
    /// STUN servers.
    pub stun: Vec<StunUrl>,
    /// TURN servers, in order of preference.
    pub turn: Vec<Turn>,
    /// Which candidates may be used.
    pub transport_policy: IceTransportPolicy,
}

impl IceSettings {
    /// The settings for one participant, with TURN credentials of its own that begin at `now`.
    pub fn for_participant(&self, participant: &ParticipantId, now: SystemTime) -> Ice {
        let stun = (!self.stun.is_empty()).then(|| IceServer {
            urls: self.stun.iter().map(|url| url.0.clone()).collect(),
            username: None,
            credential: None,
        });
        let turn = self.turn.iter().map(|turn| {
            let (username, credential) = match &turn.credentials {
                TurnCredentials::Ephemeral { secret, ttl } => {
                    ephemeral(secret, participant, now + *ttl)
                }
                TurnCredentials::Fixed {
                    username,
                    credential,
                } => (username.clone(), credential.reveal().to_owned()),
            };
            IceServer {
                urls: turn.urls.iter().map(|url| url.0.clone()).collect(),
                username: Some(username),
                credential: Some(credential),
            }
        });
        Ice {
            servers: stun.into_iter().chain(turn).collect(),
            transport_policy: self.transport_policy,
        }
    }
}

/// draft-uberti-behave-turn-rest-00 2.2: the user name is `expiry:name`, the password its HMAC-SHA1 in base64.
fn ephemeral(
    secret: &Secret,
    participant: &ParticipantId,
    expires: SystemTime,
) -> (String, String) {
    let seconds = expires
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let username = format!("{seconds}:{participant}");
    #[expect(clippy::expect_used, reason = "RFC 2104 2: keys of any length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.reveal().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(username.as_bytes());
    let credential = STANDARD.encode(mac.finalize().into_bytes());
    (username, credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(id: &str) -> ParticipantId {
        id.to_owned().try_into().unwrap()
    }

    fn settings() -> IceSettings {
        IceSettings {
            stun: vec![StunUrl::try_from("stun:stun.example.org:3478".to_owned()).unwrap()],
            turn: vec![Turn {
                urls: vec![
                    TurnUrl::try_from("turn:turn.example.org?transport=tcp".to_owned()).unwrap(),
                ],
                credentials: TurnCredentials::Ephemeral {
                    secret: Secret::new("north"),
                    ttl: Duration::from_secs(600),
                },
            }],
            transport_policy: IceTransportPolicy::Relay,
        }
    }

    #[test]
    fn turn_credentials_are_those_that_a_turn_server_computes() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let ice = settings().for_participant(&participant("p1"), now);
        assert_eq!(ice.transport_policy, IceTransportPolicy::Relay);
        assert_eq!(ice.servers[0].urls, ["stun:stun.example.org:3478"]);
        assert_eq!(ice.servers[0].username, None);
        assert_eq!(ice.servers[1].username.as_deref(), Some("1700000600:p1"));
        // printf 1700000600:p1 | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(
            ice.servers[1].credential.as_deref(),
            Some("gtYcMIwsZwPry2k029gvl2J7YF0=")
        );
    }

    #[test]
    fn each_participant_has_credentials_of_its_own() {
        let now = SystemTime::now();
        let one = settings().for_participant(&participant("p1"), now);
        let two = settings().for_participant(&participant("p2"), now);
        assert_ne!(one.servers[1].username, two.servers[1].username);
        assert_ne!(one.servers[1].credential, two.servers[1].credential);
    }

    #[test]
    fn without_servers_nobody_is_told_of_any() {
        let ice = IceSettings::default().for_participant(&participant("p1"), SystemTime::now());
        assert_eq!(ice, Ice::default());
    }

    #[test]
    fn urls_that_browsers_would_refuse_are_refused() {
        for right in [
            "stun:a.example",
            "stuns:a.example:5349",
            "stun:192.0.2.1:3478",
            "stun:[2001:db8::1]:3478",
        ] {
            assert!(StunUrl::try_from(right.to_owned()).is_ok(), "{right}");
        }
        for wrong in [
            "a.example",
            "stun://a.example",
            "stun:",
            "turn:a.example",
            "stun:a:0",
            "stun:a?transport=udp",
        ] {
            assert!(StunUrl::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        for right in [
            "turn:a.example",
            "turn:a:3478?transport=udp",
            "turns:[::1]:5349?transport=tcp",
        ] {
            assert!(TurnUrl::try_from(right.to_owned()).is_ok(), "{right}");
        }
        for wrong in [
            "stun:a",
            "turn:a?transport=sctp",
            "turn:a:70000",
            "turn:user@a",
            "turn:[::1",
        ] {
            assert!(TurnUrl::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
