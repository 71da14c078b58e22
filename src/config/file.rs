//! What may stand in `attache.toml`: one struct for each table. Ranges and forms are checked here, so that a
//! mistake is reported at its line; what one key means for another is checked in `check.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::recording::Recording;
use super::remotes::Remote;
use super::webhooks::Webhook;
use crate::auth::{RoomPattern, Secret};
use crate::ice::{StunUrl, TurnUrl};
use crate::job::Parameters;
use crate::media::encoder::Policy;
use crate::pipeline::allowed::is_factory_name;
use crate::signalling::ids::RoomName;
use crate::signalling::protocol::IceTransportPolicy;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    pub server: Server,
    pub tls: Tls,
    pub auth: Auth,
    pub rooms: Rooms,
    pub limits: Limits,
    pub ice: Ice,
    pub descriptions: Descriptions,
    pub jobs: Jobs,
    pub admission: Admission,
    pub encoders: Policy,
    pub recording: Recording,
    pub webhooks: Vec<Webhook>,
    pub remotes: BTreeMap<String, Remote>,
    pub kiosk: Vec<Kiosk>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    pub listen: Option<Address>,
    pub reverse_proxy: bool,
    pub origins: Vec<Origin>,
    pub stop_timeout_s: Option<Whole<1, 600>>,
    pub state: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub self_signed: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    pub api_token: Option<Secret>,
    pub api_token_file: Option<PathBuf>,
    pub room_key: Option<Secret>,
    pub room_key_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rooms {
    pub guests: Vec<RoomPattern>,
    pub not_recorded: Vec<RoomPattern>,
    pub filters: bool,
    pub mesh_up_to: Option<Whole<1, 1000>>,
    pub max_participants: Option<Whole<2, 1000>>,
    pub max_rooms: Option<Whole<1, 100_000>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub connections: Option<Whole<1, 100_000>>,
    pub message_bytes: Option<Whole<4096, 1_048_576>>,
    pub join_timeout_ms: Option<Whole<100, 60_000>>,
    pub ping_s: Option<Whole<1, 3600>>,
    pub idle_s: Option<Whole<2, 7200>>,
    pub queue: Option<Whole<16, 65_536>>,
    pub messages_per_s: Option<Whole<1, 10_000>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ice {
    pub stun: Vec<StunUrl>,
    pub transport_policy: IceTransportPolicy,
    pub turn: Vec<Turn>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turn {
    pub urls: Vec<TurnUrl>,
    pub secret: Option<Secret>,
    pub secret_file: Option<PathBuf>,
    pub ttl_s: Option<Whole<60, 604_800>>,
    pub username: Option<String>,
    pub credential: Option<Secret>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jobs {
    pub pipelines: Option<PathBuf>,
    pub recordings: Option<PathBuf>,
    pub maximum: Option<Whole<1, 1000>>,
    pub memory_limit_mb: Option<Whole<64, 1_000_000>>,
    pub server_wait_s: Option<Whole<1, 3600>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admission {
    pub enabled: Option<bool>,
    pub cores: Option<Cores>,
    pub memory_mb: Option<Whole<64, 100_000_000>>,
}

/// Processor cores; parts of one count, too.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
pub struct Cores(pub f64);

impl TryFrom<f64> for Cores {
    type Error = String;

    fn try_from(cores: f64) -> Result<Self, String> {
        if (0.1..=4096.0).contains(&cores) {
            return Ok(Self(cores));
        }
        Err(format!("found {cores}, expected a number from 0.1 to 4096"))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Descriptions {
    pub media: Option<PathBuf>,
    pub elements: Vec<ElementName>,
}

/// The name of a GStreamer element's factory.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct ElementName(pub String);

impl TryFrom<String> for ElementName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_factory_name(&text) {
            return Ok(Self(text));
        }
        Err(format!(
            "found {text:?}, expected the name of one element, such as \"glupload\""
        ))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kiosk {
    pub room: Option<RoomName>,
    pub description: Option<String>,
    pub name: Option<String>,
    pub parameters: Parameters,
    pub memory_limit_mb: Option<Whole<64, 1_000_000>>,
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy)]
pub struct Whole<const MIN: u32, const MAX: u32>(pub u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InRange<const MIN: u32, const MAX: u32>;

        impl<const MIN: u32, const MAX: u32> Visitor<'_> for InRange<MIN, MAX> {
            type Value = Whole<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                match u32::try_from(value) {
                    Ok(number) if (MIN..=MAX).contains(&number) => Ok(Whole(number)),
                    Ok(_) | Err(_) => Err(E::custom(format!(
                        "found {value}, expected a whole number from {MIN} to {MAX}"
                    ))),
                }
            }
        }

        deserializer.deserialize_i64(InRange)
    }
}

/// An IP address and a port to listen on.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct Address(pub SocketAddr);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_listen(&text).map(Self)
    }
}

/// An address to listen on: `127.0.0.1:8080`, `[::]:8443`.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is not an IP address with a port: write \"127.0.0.1:8080\", or \"0.0.0.0:8443\" for all of IPv4")
    })
}

/// Where a page comes from (RFC 6454): scheme, host and, unless it is the scheme's own, port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

impl Origin {
    /// As a browser writes it in the `Origin` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not an origin: write \"https://calls.example.org\", without path")
        };
        let url = url::Url::parse(&text).map_err(|_| wrong())?;
        let is_web = matches!(url.scheme(), "http" | "https");
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty();
        if !is_web || !bare || text.ends_with('/') {
            return Err(wrong());
        }
        Ok(Self(url.origin().ascii_serialization()))
    }
}
