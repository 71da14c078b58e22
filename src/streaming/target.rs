//! Where a stream goes: the URL, which holds a secret, taken apart; and the servers that the operator allows.

use serde::{Deserialize, Serialize};
use url::Url;
use url::form_urlencoded;

use crate::auth::Secret;

/// What stands in place of what is not told.
const HIDDEN: &str = "...";
/// SRT's own limits for a stream id and a passphrase, in bytes.
const STREAM_ID: usize = 512;
const PASSPHRASE: std::ops::RangeInclusive<usize> = 10..=79;

/// A server and what it wants to know. Only [`Target::told`] may be shown to anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The server.
    pub host: HostPort,
    /// How to speak to it.
    pub protocol: Protocol,
}

/// What a server is spoken to in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// Adobe's RTMP, FLV inside.
    Rtmp {
        /// Within TLS.
        tls: bool,
        /// The path up to the last part.
        application: Secret,
        /// The last part, with what stands behind `?`: the stream key.
        stream: Secret,
        /// User and password.
        login: Option<(String, Secret)>,
    },
    /// SRT as a caller, an MPEG transport stream inside.
    Srt {
        /// `streamid`.
        stream_id: Option<Secret>,
        /// `passphrase`: with it the stream is encrypted.
        passphrase: Option<Secret>,
        /// `latency` in milliseconds.
        latency_ms: Option<u16>,
    },
}

/// Why a text is no target. None of them shows what may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no URL.
    #[error(
        "found no URL ({0}); write rtmp://HOST/APPLICATION/KEY, rtmps://... or srt://HOST:PORT?streamid=ID"
    )]
    NoUrl(url::ParseError),
    /// Another protocol.
    #[error("found {0}:; a stream goes to rtmp:, rtmps: or srt:")]
    Scheme(String),
    /// No server.
    #[error("found no host; write rtmp://HOST/APPLICATION/KEY or srt://HOST:PORT")]
    NoHost,
    /// SRT has no port of its own.
    #[error("found no port; write srt://HOST:PORT")]
    NoPort,
    /// An RTMP server wants both.
    #[error("found no application or no key; write rtmp://HOST/APPLICATION/KEY")]
    NoKey,
    /// Not one of ours.
    #[error(
        "found another option than streamid, passphrase, latency and mode; write srt://HOST:PORT?streamid=ID"
    )]
    Option,
    /// Its value cannot be.
    #[error("found a wrong value of {option}; {right}")]
    Value {
        /// Which.
        option: &'static str,
        /// What would be right.
        right: &'static str,
    },
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong, see [`TargetError`].
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let url = Url::parse(text).map_err(TargetError::NoUrl)?;
        let usual = match url.scheme() {
            "rtmp" => Some(1935),
            "rtmps" => Some(443),
            "srt" => None,
            other => return Err(TargetError::Scheme(other.to_owned())),
        };
        let name = url.host_str().filter(|host| !host.is_empty());
        let host = HostPort {
            host: name.ok_or(TargetError::NoHost)?.to_ascii_lowercase(),
            port: url.port().or(usual).ok_or(TargetError::NoPort)?,
        };
        let protocol = match url.scheme() {
            "srt" => srt(&url)?,
            scheme => rtmp(&url, scheme == "rtmps")?,
        };
        Ok(Self { host, protocol })
    }

    /// Protocol, host and port: what may be told.
    pub fn told(&self) -> String {
        let scheme = match self.protocol {
            Protocol::Rtmp { tls: false, .. } => "rtmp",
            Protocol::Rtmp { tls: true, .. } => "rtmps",
            Protocol::Srt { .. } => "srt",
        };
        format!("{scheme}://{}", self.host)
    }

    /// A text of others without this target's secrets in it.
    pub fn without_secrets(&self, text: &str) -> String {
        let secrets = match &self.protocol {
            Protocol::Rtmp {
                application,
                stream,
                login,
                ..
            } => {
                let password = login.as_ref().map(|(_, password)| password);
                vec![Some(stream), password, Some(application)]
            }
            Protocol::Srt {
                stream_id,
                passphrase,
                ..
            } => vec![stream_id.as_ref(), passphrase.as_ref()],
        };
        let mut text = text.to_owned();
        // A secret of a letter or two would make holes everywhere, and hides nothing.
        for secret in secrets.into_iter().flatten() {
            if secret.reveal().len() > 3 {
                text = text.replace(secret.reveal(), HIDDEN);
            }
        }
        text
    }
}

fn rtmp(url: &Url, tls: bool) -> Result<Protocol, TargetError> {
    let path = url.path().trim_start_matches('/');
    let (application, key) = path.rsplit_once('/').ok_or(TargetError::NoKey)?;
    if application.is_empty() || key.is_empty() {
        return Err(TargetError::NoKey);
    }
    let stream = match url.query() {
        Some(query) => format!("{key}?{query}"),
        None => key.to_owned(),
    };
    let decoded = |text: &str| {
        let pair = format!("x={}", text.replace('+', "%2B"));
        let mut pairs = form_urlencoded::parse(pair.as_bytes());
        pairs
            .next()
            .map_or_else(String::new, |(_, value)| value.into_owned())
    };
    let login = url.password().map(|password| {
        let user = decoded(url.username());
        (user, Secret::new(decoded(password)))
    });
    Ok(Protocol::Rtmp {
        tls,
        application: Secret::new(application),
        stream: Secret::new(stream),
        login,
    })
}

fn srt(url: &Url) -> Result<Protocol, TargetError> {
    let (mut stream_id, mut passphrase, mut latency_ms) = (None, None, None);
    // A plus is a plus in SRT's URLs, not a space.
    let query = url.query().unwrap_or_default().replace('+', "%2B");
    for (option, value) in form_urlencoded::parse(query.as_bytes()) {
        let wrong = |option, right| TargetError::Value { option, right };
        match &*option {
            "streamid" if (1..=STREAM_ID).contains(&value.len()) => {
                stream_id = Some(Secret::new(value));
            }
            "streamid" => return Err(wrong("streamid", "it has 1 to 512 bytes")),
            "passphrase" if PASSPHRASE.contains(&value.len()) => {
                passphrase = Some(Secret::new(value));
            }
            "passphrase" => return Err(wrong("passphrase", "it has 10 to 79 bytes")),
            "latency" => {
                let right = "it is a number of milliseconds, at most 8000";
                let ms = value.parse().ok().filter(|ms| *ms <= 8000);
                latency_ms = Some(ms.ok_or(wrong("latency", right))?);
            }
            "mode" if value == "caller" => {}
            "mode" => return Err(wrong("mode", "attache calls servers: mode=caller")),
            // Its name may be the key of somebody who forgot "streamid=".
            _ => return Err(TargetError::Option),
        }
    }
    Ok(Protocol::Srt {
        stream_id,
        passphrase,
        latency_ms,
    })
}

/// A text with the URL of a stream in it, as it may be told: protocol, host and port; `None` for other texts. Also what
/// only looks like one, or is a broken one, is cut.
pub fn hidden(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if !["rtmp", "rtmps", "srt"]
        .iter()
        .any(|one| scheme.ends_with(one))
    {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    Some(format!("{scheme}://{host}/{HIDDEN}"))
}

/// A server's name or address and its port, as `live.example.com:1935`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    /// Lower case; an IPv6 address stands in brackets.
    host: String,
    port: u16,
}

impl HostPort {
    /// Name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl std::str::FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("found {text:?}, expected HOST:PORT, as \"live.example.com:1935\"");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_address = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        match port {
            Some(port) if is_address || (!host.is_empty() && host.chars().all(is_plain)) => {
                Ok(Self {
                    host: host.to_ascii_lowercase(),
                    port,
                })
            }
            Some(_) | None => Err(wrong()),
        }
    }
}

impl TryFrom<String> for HostPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(host: HostPort) -> Self {
        host.to_string()
    }
}

/// The servers that the operator lets streams go to (`[recording] stream_hosts`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hosts(Vec<HostPort>);

/// A server that is not among them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "streams may not go to {0}; whoever runs attache allows it with [recording] stream_hosts = [\"{0}\"] in attache.toml, \
     or `attache record --stream-host {0}`"
)]
pub struct NotAllowed(pub HostPort);

impl Hosts {
    /// These.
    pub fn new(hosts: Vec<HostPort>) -> Self {
        Self(hosts)
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a stream may go there.
    ///
    /// # Errors
    /// It may not.
    pub fn allow(&self, target: &Target) -> Result<(), NotAllowed> {
        match self.0.contains(&target.host) {
            true => Ok(()),
            false => Err(NotAllowed(target.host.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cret-key";

    #[test]
    fn an_rtmp_url_is_taken_apart_as_servers_do() {
        let target =
            Target::parse("rtmp://me:p%40ss@Live.Example.com/app/instance/s3cret-key?x=1&y=2");
        let target = target.unwrap();
        assert_eq!(target.told(), "rtmp://live.example.com:1935");
        let Protocol::Rtmp {
            tls,
            application,
            stream,
            login,
        } = &target.protocol
        else {
            panic!("{target:?}")
        };
        assert!(!tls);
        assert_eq!(application.reveal(), "app/instance");
        assert_eq!(stream.reveal(), "s3cret-key?x=1&y=2");
        let (user, password) = login.as_ref().unwrap();
        assert_eq!((user.as_str(), password.reveal()), ("me", "p@ss"));
        let secure = Target::parse("rtmps://h/live/key").unwrap();
        assert_eq!(secure.told(), "rtmps://h:443");
    }

    #[test]
    fn an_srt_url_says_only_what_a_caller_may() {
        let target = Target::parse(
            "srt://h:7000?streamid=%23!::r=live/a+b,m=publish&passphrase=0123456789&latency=200&mode=caller",
        );
        let Protocol::Srt {
            stream_id,
            passphrase,
            latency_ms,
        } = target.unwrap().protocol
        else {
            panic!("not SRT")
        };
        assert_eq!(stream_id.unwrap().reveal(), "#!::r=live/a+b,m=publish");
        assert_eq!(passphrase.unwrap().reveal(), "0123456789");
        assert_eq!(latency_ms, Some(200));
        for (wrong, said) in [
            ("srt://h:1?mode=listener", "mode=caller"),
            ("srt://h:1?localaddress=0.0.0.0", "another option"),
            ("srt://h:1?passphrase=short", "10 to 79"),
            ("srt://h:1?latency=9000", "8000"),
            ("srt://h", "no port"),
        ] {
            let error = Target::parse(wrong).unwrap_err().to_string();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_without_telling_the_key() {
        for wrong in [
            "",
            "live.example.com/app/s3cret-key",
            "http://h/app/s3cret-key",
            "file:///s3cret-key",
            "rtmp:///app/s3cret-key",
            "rtmp://h/s3cret-key",
            "rtmp://h/s3cret-key/",
            "srt://h?streamid=s3cret-key",
            "srt://h:1?s3cret-key",
        ] {
            let error = Target::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains(SECRET), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_key_is_never_told() {
        let target = Target::parse("rtmp://h/app/s3cret-key").unwrap();
        assert!(!format!("{target:?} {}", target.told()).contains(SECRET));
        let said = target.without_secrets("cannot publish s3cret-key to app");
        assert_eq!(said, "cannot publish ... to app");
        for text in [
            "rtmp://h/app/s3cret-key",
            "RTMPS://u:s3cret-key@h:1/app/x",
            "srt://h?streamid=s3cret-key",
            "x rtmp://h s3/app/s3cret-key",
        ] {
            let told = hidden(text).unwrap();
            assert!(!told.contains(SECRET) && told.contains("://h"), "{told}");
        }
        assert_eq!(hidden("rtsp://camera/stream"), None);
        assert_eq!(hidden("plain"), None);
    }

    #[test]
    fn only_the_hosts_that_are_listed_are_allowed() {
        let list = ["Live.Example.com:1935", "[::1]:7000"];
        let hosts = Hosts::new(list.iter().map(|host| host.parse().unwrap()).collect());
        let allowed = |url: &str| hosts.allow(&Target::parse(url).unwrap());
        assert_eq!(allowed("rtmp://live.example.com/app/key"), Ok(()));
        assert_eq!(allowed("srt://[::1]:7000"), Ok(()));
        for other in [
            "rtmps://live.example.com/app/key",
            "rtmp://live.example.com:1936/app/key",
            "rtmp://live.example.com:1935@evil.example/app/key",
            "rtmp://evil.example/live.example.com:1935/key",
            "rtmp://live%2Eexample.com/app/key",
        ] {
            let error = allowed(other).unwrap_err().to_string();
            assert!(error.contains("stream_hosts"), "{other}: {error}");
        }
        for wrong in ["h", "h:0", ":1", "h:x", "rtmp://h:1", "[::g]:1", "a b:1"] {
            assert!(wrong.parse::<HostPort>().is_err(), "{wrong}");
        }
    }
}
