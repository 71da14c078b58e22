//! `attache.toml` becomes a typed `Config`; unknown keys, wrong types and contradictions name file, line and key.
//!
//! [`read`] turns text into the tables of [`file`], with every mistake at once; [`check`] turns those into a
//! [`Config`] that does not contradict itself. `docs/configuration.md` explains every key.

mod check;
mod file;
mod machine;
mod read;
mod recording;
mod remotes;
mod webhooks;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::admission::Cost;
use crate::auth::{Auth, RoomPattern, Secret};
use crate::ice::IceSettings;
use crate::job::{JobSpec, MEMORY_LIMITS_MB, Of, Role, Value};
use crate::media::encoder::Policy;
use crate::pipeline::allowed::Allowed;
use crate::recording::recovery::Roots;
use crate::recording::upload::UploadSettings;
use crate::signalling::Limits;
use crate::signalling::limits::NAME_CHARACTERS;
use crate::streaming::{Hosts, Target, target};
use crate::webhooks::WebhookSettings;
use crate::whip::client::{Remote, Remotes};

pub use check::read_key_file;
pub use file::{Origin, parse_listen};

/// Where attache listens when nobody says otherwise.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What `attache serve` is to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// The listening address and what surrounds it.
    pub server: ServerConfig,
    /// Certificates of the listening address; absent: plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Keys and guests.
    pub auth: AuthConfig,
    /// Limits of rooms and connections.
    pub limits: Limits,
    /// STUN and TURN.
    pub ice: IceSettings,
    /// Folders and number of jobs.
    pub jobs: JobsConfig,
    /// Which encoders are used.
    pub encoders: Policy,
    /// Who is told what happens.
    pub webhooks: Vec<WebhookSettings>,
    /// Where recordings are uploaded to.
    pub uploads: UploadSettings,
    /// Kiosks that start with the server.
    pub kiosks: Vec<JobSpec>,
}

/// The listening address and what surrounds it.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// A reverse proxy that speaks TLS stands before attache.
    pub reverse_proxy: bool,
    /// Pages from elsewhere that may open the signalling, besides those of the server itself.
    pub origins: Vec<Origin>,
    /// The folder of what has to outlive the process: webhooks that nobody took yet.
    pub state: PathBuf,
    /// How long a stop may take, files finished.
    pub stop_timeout: Duration,
}

impl ServerConfig {
    /// Whether others than this machine's users can come: it listens beyond loopback, or a proxy brings them.
    pub fn is_exposed(&self) -> bool {
        self.reverse_proxy || !self.listen.ip().is_loopback()
    }
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsConfig {
    /// PEM files, read again when they change.
    Files {
        /// The certificate and those that signed it.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made at start, kept in memory: for trials.
    SelfSigned,
}

/// Keys and guests.
#[derive(Debug, Clone, Default)]
pub struct AuthConfig {
    /// Opens the HTTP API.
    pub api_token: Option<Secret>,
    /// Signs room tokens.
    pub room_key: Option<Secret>,
    /// Rooms that need no token.
    pub guests: Vec<RoomPattern>,
}

impl AuthConfig {
    /// The judge of tokens made of these keys.
    pub fn to_auth(&self) -> Auth {
        Auth::new(
            self.api_token.clone(),
            self.room_key.clone(),
            self.guests.clone(),
        )
    }
}

/// Folders and number of jobs.
#[derive(Debug, Clone)]
pub struct JobsConfig {
    /// The folder of descriptions.
    pub pipelines: PathBuf,
    /// The folder of clips that descriptions name; absent: `media` in the folder of descriptions.
    pub media: Option<PathBuf>,
    /// Elements that descriptions may use besides those of attache's list.
    pub elements: Allowed,
    /// The folder recordings go to.
    pub recordings: PathBuf,
    /// The servers that live streams may go to.
    pub stream_hosts: Hosts,
    /// The servers that relays may fetch from, by name.
    pub remotes: Remotes,
    /// The folder of what that does not take.
    pub second_folder: Option<PathBuf>,
    /// Jobs at one time.
    pub maximum: usize,
    /// Megabytes of memory that one job may take; absent: what it likes.
    pub memory_limit_mb: Option<u64>,
    /// How long jobs whose server was killed work on until the next one is there.
    pub server_wait: Duration,
    /// What all jobs together may take; absent: whatever they like.
    pub capacity: Option<Cost>,
}

impl JobsConfig {
    /// The folders that recordings are in.
    pub fn roots(&self) -> Roots {
        Roots {
            out: self.recordings.clone(),
            second: self.second_folder.clone(),
        }
    }
}

/// A field of a job's settings that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongField {
    /// Its name.
    pub field: &'static str,
    /// What was found and what would be right.
    pub message: String,
}

/// Whether a job like this can be started: its description's file is there, its name is not too long, a recorder's
/// stream goes where the operator lets it, a relay's comes from there. What the description says is the worker's to judge.
///
/// # Errors
/// The first field that is wrong.
pub fn check_job(
    spec: &JobSpec,
    pipelines: &Path,
    stream_hosts: &Hosts,
    remotes: &Remotes,
) -> Result<(), WrongField> {
    let about_of = match (spec.role, &spec.of) {
        (Role::Filter, None) => Some("a filter improves one participant: give its id, or `all`"),
        (Role::Relay, Some(Of::Everybody)) if spec.remote.is_none() => None,
        (Role::Relay, Some(Of::One(_))) if publishes(spec, remotes) => None,
        (Role::Relay, Some(Of::Everybody)) if publishes(spec, remotes) => {
            Some("one participant is published: give its id, or leave this out")
        }
        (Role::Kiosk | Role::Recorder | Role::Relay, Some(_)) => Some(
            "only a filter improves somebody's media, only a relay to another server publishes it: leave this out",
        ),
        (Role::Filter, Some(_)) | (Role::Kiosk | Role::Recorder | Role::Relay, None) => None,
    };
    if let Some(message) = about_of {
        return Err(WrongField {
            field: "of",
            message: message.to_owned(),
        });
    }
    if let Some(limit) = spec.memory_limit_mb
        && !MEMORY_LIMITS_MB.contains(&limit)
    {
        let (least, most) = MEMORY_LIMITS_MB.into_inner();
        return Err(WrongField {
            field: "memory_limit_mb",
            message: format!("{limit} MB; {least} to {most} can be"),
        });
    }
    check_remote(spec, remotes)?;
    check_description(spec, pipelines)?;
    check_streams(spec, stream_hosts)
}

/// Whether a job's description is there, and its name is not too long.
///
/// # Errors
/// The first field that is wrong.
pub fn check_description(spec: &JobSpec, pipelines: &Path) -> Result<(), WrongField> {
    let name = spec
        .description
        .as_deref()
        .unwrap_or(spec.role.default_description());
    let wrong = |message: String| {
        Err(WrongField {
            field: "description",
            message,
        })
    };
    let is_plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if name.is_empty() || !is_plain {
        return wrong(format!(
            "{name:?} is not a description's name: use A-Z a-z 0-9 - _, without \".toml\""
        ));
    }
    let file = pipelines.join(format!("{name}.toml"));
    if !file.is_file() {
        return wrong(format!(
            "there is no file {}; descriptions are read from ./pipelines where attache is started, else from {INSTALLED}, \
             or from where [jobs] pipelines says",
            file.display()
        ));
    }
    if spec
        .name
        .as_ref()
        .is_some_and(|name| name.chars().count() > NAME_CHARACTERS)
    {
        let message = format!("is longer than {NAME_CHARACTERS} characters");
        return Err(WrongField {
            field: "name",
            message,
        });
    }
    Ok(())
}

/// Whether this is a relay that publishes at another server.
fn publishes(spec: &JobSpec, remotes: &Remotes) -> bool {
    let remote = spec.remote.as_ref().and_then(|name| remotes.get(name));
    spec.role == Role::Relay && remote.is_some_and(Remote::is_published_to)
}

/// Whether a relay knows from or to where, and nobody else does.
fn check_remote(spec: &JobSpec, remotes: &Remotes) -> Result<(), WrongField> {
    let message = match (spec.role, &spec.remote) {
        (Role::Relay, Some(name)) if remotes.contains_key(name) => return Ok(()),
        (Role::Relay, Some(name)) => {
            let known: Vec<_> = remotes.keys().map(String::as_str).collect();
            let known = match known.is_empty() {
                true => "none".to_owned(),
                false => known.join(", "),
            };
            format!("there is no [remotes.{name}] in the configuration; known: {known}")
        }
        (Role::Relay, None) if spec.of == Some(Of::Everybody) => return Ok(()),
        (Role::Relay, None) => {
            "missing: a relay fetches from or publishes to one of the [remotes], named here; one for a publisher \
            begins with its offer, POSTed to /whip/ROOM"
                .to_owned()
        }
        (Role::Kiosk | Role::Recorder | Role::Filter, Some(_)) => {
            "only a relay has to do with another server: leave this out".to_owned()
        }
        (Role::Kiosk | Role::Recorder | Role::Filter, None) => return Ok(()),
    };
    Err(WrongField {
        field: "remote",
        message,
    })
}

/// Whether the parameters of a recorder that are URLs of live servers are whole, and allowed.
///
/// # Errors
/// The first field that is wrong.
pub fn check_streams(spec: &JobSpec, hosts: &Hosts) -> Result<(), WrongField> {
    if spec.role != Role::Recorder {
        return Ok(());
    }
    for (name, value) in &spec.parameters {
        let Value::String(text) = value else {
            continue;
        };
        if target::hidden(text).is_none() {
            continue;
        }
        let wrong = |message: String| WrongField {
            field: "parameters",
            message: format!("{name}: {message}"),
        };
        let target = Target::parse(text).map_err(|error| wrong(error.to_string()))?;
        hosts
            .allow(&target)
            .map_err(|error| wrong(error.to_string()))?;
    }
    Ok(())
}

/// What the command line says over the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--self-signed`.
    pub self_signed: bool,
    /// Only a part of the configuration is wanted: what a server would need to be reachable is not asked for.
    pub is_for_tools: bool,
}

impl Overrides {
    /// For commands that take something from the configuration and do not listen.
    pub const TOOLS: Self = Self {
        listen: None,
        self_signed: false,
        is_for_tools: true,
    };
}

impl Config {
    /// Reads the file, if one is named: attache reads no configuration that nobody pointed it to.
    ///
    /// # Errors
    /// All mistakes that were found, each with file, line and key.
    pub fn load(path: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigErrors> {
        let Some(path) = path else {
            return Self::parse("", None, overrides);
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, Some(path), overrides),
            Err(error) => Err(ConfigErrors(vec![Mistake {
                file: Some(path.to_owned()),
                line: None,
                key: String::new(),
                message: format!("cannot be read: {error}"),
            }])),
        }
    }

    /// Reads a configuration's text; relative paths in it start at the folder of `path`.
    ///
    /// # Errors
    /// All mistakes that were found.
    pub fn parse(
        text: &str,
        path: Option<&Path>,
        overrides: Overrides,
    ) -> Result<Self, ConfigErrors> {
        let (file, source) = read::read(text, path)?;
        check::check(file, source, overrides)
    }
}

/// Where a package puts the descriptions.
const INSTALLED: &str = "/usr/share/attache/pipelines";

/// The folder of descriptions when nobody names one: the clone's, or the installed one.
pub fn default_pipelines() -> PathBuf {
    let clone = Path::new("pipelines");
    if clone.is_dir() {
        clone.to_owned()
    } else {
        PathBuf::from(INSTALLED)
    }
}

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file; absent when there is none.
    pub file: Option<PathBuf>,
    /// Its line, counted from 1; absent when the key is not in it.
    pub line: Option<usize>,
    /// The key's path, such as `ice.turn[0].ttl_s`.
    pub key: String,
    /// What was found and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Every mistake that was found in a configuration; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Mistake>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests;
