//! The tables of `file.rs` become a `Config` that does not contradict itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{self, File, Whole};
use super::machine;
use super::read::Source;
use super::webhooks::default_state;
use super::{
    AuthConfig, Config, ConfigErrors, DEFAULT_LISTEN, JobsConfig, Mistake, Overrides, ServerConfig,
    TlsConfig, check_job, default_pipelines,
};
use crate::admission::Cost;
use crate::auth::{SHORTEST_API_TOKEN, SHORTEST_ROOM_KEY, Secret};
use crate::ice::{IceSettings, Turn, TurnCredentials};
use crate::job::{JobSpec, Role};
use crate::media::encoder::Policy;
use crate::pipeline::allowed::Allowed;
use crate::signalling::Limits;
use crate::signalling::protocol::IceTransportPolicy;
use crate::streaming::Hosts;

/// How to make a key that nobody guesses.
const MAKE_A_KEY: &str = "make one with `(umask 077; openssl rand -base64 32 > FILE)`";

pub(super) struct Checker<'t> {
    source: Source<'t>,
    mistakes: Vec<Mistake>,
}

/// Judges the file as a whole.
pub fn check(
    mut file: File,
    source: Source<'_>,
    overrides: Overrides,
) -> Result<Config, ConfigErrors> {
    let mut checker = Checker {
        source,
        mistakes: Vec::new(),
    };
    let server = ServerConfig {
        listen: overrides
            .listen
            .or(file.server.listen.map(|address| address.0))
            .unwrap_or(DEFAULT_LISTEN),
        reverse_proxy: file.server.reverse_proxy,
        origins: file.server.origins,
        state: file.server.state.map_or_else(
            || default_state(|name| std::env::var_os(name).map(PathBuf::from)),
            |path| checker.resolve(&path),
        ),
        stop_timeout: seconds(file.server.stop_timeout_s).unwrap_or(Duration::from_secs(10)),
    };
    let tls = checker.tls(file.tls, overrides.self_signed);
    let auth = checker.auth(file.auth, &file.rooms);
    if !overrides.is_for_tools {
        checker.exposure(&server, tls.is_some(), &auth);
    }
    let limits = checker.limits(&file.limits, &file.rooms);
    let ice = checker.ice(file.ice);
    let recordings = file.jobs.recordings;
    let recordings = checker.resolve(&recordings.unwrap_or_else(|| "recordings".into()));
    let jobs = JobsConfig {
        pipelines: file
            .jobs
            .pipelines
            .map_or_else(default_pipelines, |path| checker.resolve(&path)),
        media: file.descriptions.media.map(|path| checker.resolve(&path)),
        elements: Allowed::with(
            file.descriptions
                .elements
                .into_iter()
                .map(|element| element.0),
        ),
        second_folder: checker.second_folder(&file.recording, &recordings),
        recordings,
        stream_hosts: Hosts::new(std::mem::take(&mut file.recording.stream_hosts)),
        remotes: checker.remotes(file.remotes),
        maximum: file.jobs.maximum.map_or(16, as_usize),
        memory_limit_mb: file
            .jobs
            .memory_limit_mb
            .map(|limit| as_usize(limit) as u64),
        server_wait: seconds(file.jobs.server_wait_s).unwrap_or(Duration::from_secs(60)),
        capacity: capacity(&file.admission),
    };
    let encoders = checker.encoders(file.encoders);
    let uploads = checker.uploads(file.recording);
    let webhooks = checker.webhooks(file.webhooks);
    let kiosks = checker.kiosks(file.kiosk, &jobs);

    if checker.mistakes.is_empty() {
        return Ok(Config {
            server,
            tls,
            auth,
            limits,
            ice,
            jobs,
            encoders,
            uploads,
            webhooks,
            kiosks,
        });
    }
    Err(ConfigErrors(checker.mistakes))
}

/// What all jobs together may take: what the file says, else what the machine has.
fn capacity(admission: &file::Admission) -> Option<Cost> {
    let machine = machine::capacity();
    admission.enabled.unwrap_or(true).then(|| Cost {
        cores: admission.cores.map_or(machine.cores, |cores| cores.0),
        memory_mb: admission
            .memory_mb
            .map_or(machine.memory_mb, |whole| f64::from(whole.0)),
    })
}

impl Checker<'_> {
    pub(super) fn wrong(&mut self, key: &str, message: impl Into<String>) {
        self.mistakes.push(self.source.mistake(key, message.into()));
    }

    /// Relative paths start at the file's folder.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        let folder = self
            .source
            .path
            .as_deref()
            .and_then(Path::parent)
            .unwrap_or(Path::new(""));
        folder.join(path)
    }

    fn encoders(&mut self, mut policy: Policy) -> Policy {
        for (key, message) in policy.mistakes() {
            self.wrong(&format!("encoders.{key}"), message);
        }
        policy.cache = policy.cache.map(|folder| self.resolve(&folder));
        policy
    }

    fn tls(&mut self, tls: file::Tls, self_signed: bool) -> Option<TlsConfig> {
        if tls.self_signed && (tls.certificate.is_some() || tls.key.is_some()) {
            self.wrong(
                "tls.self_signed",
                "true, but there are certificate files too: keep one of the two",
            );
        } else if self_signed && (tls.certificate.is_some() || tls.key.is_some()) {
            self.wrong(
                "tls",
                "--self-signed was given, but there are certificate files too: keep one of the two",
            );
        }
        match (tls.certificate, tls.key) {
            (Some(certificate), Some(key)) => Some(TlsConfig::Files {
                certificate: self.resolve(&certificate),
                key: self.resolve(&key),
            }),
            (Some(_), None) => {
                self.wrong(
                    "tls.certificate",
                    "there is no tls.key to it: name the PEM file of its private key",
                );
                None
            }
            (None, Some(_)) => {
                self.wrong(
                    "tls.key",
                    "there is no tls.certificate to it: name the PEM file of its certificate",
                );
                None
            }
            (None, None) => (tls.self_signed || self_signed).then_some(TlsConfig::SelfSigned),
        }
    }

    fn auth(&mut self, auth: file::Auth, rooms: &file::Rooms) -> AuthConfig {
        let api_token = self.secret(
            "auth.api_token",
            auth.api_token,
            auth.api_token_file,
            SHORTEST_API_TOKEN,
        );
        let room_key = self.secret(
            "auth.room_key",
            auth.room_key,
            auth.room_key_file,
            SHORTEST_ROOM_KEY,
        );
        AuthConfig {
            api_token,
            room_key,
            guests: rooms.guests.clone(),
        }
    }

    /// A secret that stands in the file itself or in a file of its own (`KEY_file`).
    pub(super) fn secret(
        &mut self,
        key: &str,
        text: Option<Secret>,
        path: Option<PathBuf>,
        shortest: usize,
    ) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let (key, secret) = match (text, path) {
            (Some(_), Some(_)) => {
                self.wrong(
                    &file_key,
                    format!("{key} is there too: keep one of the two"),
                );
                return None;
            }
            (Some(text), None) => (key, text),
            (None, Some(path)) => match read_key_file(&self.resolve(&path)) {
                Ok(secret) => (file_key.as_str(), secret),
                Err(message) => {
                    self.wrong(&file_key, message);
                    return None;
                }
            },
            (None, None) => return None,
        };
        let length = secret.reveal().len();
        if length < shortest {
            self.wrong(
                key,
                format!("found {length} bytes, expected at least {shortest}; {MAKE_A_KEY}"),
            );
        }
        Some(secret)
    }

    /// Where others can come, they are kept from listening in, and from what they may not do.
    fn exposure(&mut self, server: &ServerConfig, tls: bool, auth: &AuthConfig) {
        if !server.is_exposed() {
            return;
        }
        let listen = server.listen;
        let why = match server.reverse_proxy {
            true => "a reverse proxy brings others to it".to_owned(),
            false => format!("other machines can reach {listen}"),
        };
        if !tls && !server.reverse_proxy {
            self.wrong(
                "tls",
                format!(
                    "missing, and {why}: browsers give cameras only to secure pages. Set [tls] certificate and key; \
                     or start with --self-signed for a trial; or, where a reverse proxy speaks TLS before attache, \
                     set [server] reverse_proxy = true; or listen on 127.0.0.1 only"
                ),
            );
        }
        if auth.api_token.is_none() && !self.has_mistake("auth.api_token") {
            self.wrong(
                "auth.api_token",
                format!("missing, and {why}: anybody could start jobs. Set [auth] api_token_file = \"FILE\"; {MAKE_A_KEY}"),
            );
        }
        if auth.room_key.is_none() && !self.has_mistake("auth.room_key") {
            self.wrong(
                "auth.room_key",
                format!(
                    "missing, and {why}: anybody could enter every room. Set [auth] room_key_file = \"FILE\"; \
                     {MAKE_A_KEY}. Rooms that shall be open to all are named in [rooms] guests"
                ),
            );
        }
    }

    fn has_mistake(&self, key: &str) -> bool {
        self.mistakes
            .iter()
            .any(|mistake| mistake.key.starts_with(key))
    }

    fn limits(&mut self, limits: &file::Limits, rooms: &file::Rooms) -> Limits {
        let mut result = Limits::default();
        set(
            &mut result.participants_per_room,
            rooms.max_participants.map(as_usize),
        );
        set(&mut result.rooms, rooms.max_rooms.map(as_usize));
        result.not_recorded = rooms.not_recorded.clone();
        result.filters = rooms.filters;
        set(&mut result.mesh_up_to, rooms.mesh_up_to.map(as_usize));
        set(&mut result.connections, limits.connections.map(as_usize));
        set(
            &mut result.message_bytes,
            limits.message_bytes.map(as_usize),
        );
        set(
            &mut result.join_timeout,
            limits
                .join_timeout_ms
                .map(|ms| Duration::from_millis(ms.0.into())),
        );
        set(&mut result.ping_interval, seconds(limits.ping_s));
        set(&mut result.idle_timeout, seconds(limits.idle_s));
        set(&mut result.queue_messages, limits.queue.map(as_usize));
        set(
            &mut result.messages_per_second,
            limits.messages_per_s.map(|whole| whole.0),
        );
        if result.ping_interval >= result.idle_timeout {
            let (ping, idle) = (
                result.ping_interval.as_secs(),
                result.idle_timeout.as_secs(),
            );
            self.wrong(
                "limits.idle_s",
                format!("{idle} is not more than ping_s ({ping}): healthy connections would be closed; make it at least twice that"),
            );
        }
        result
    }

    fn ice(&mut self, ice: file::Ice) -> IceSettings {
        if ice.transport_policy == IceTransportPolicy::Relay && ice.turn.is_empty() {
            self.wrong(
                "ice.transport_policy",
                "\"relay\", but there is no [[ice.turn]]: no peer could connect",
            );
        }
        let turn = ice
            .turn
            .into_iter()
            .enumerate()
            .filter_map(|(index, turn)| self.turn(index, turn))
            .collect();
        IceSettings {
            stun: ice.stun,
            turn,
            transport_policy: ice.transport_policy,
        }
    }

    fn turn(&mut self, index: usize, turn: file::Turn) -> Option<Turn> {
        let at = format!("ice.turn[{index}]");
        if turn.urls.is_empty() {
            self.wrong(
                &format!("{at}.urls"),
                "missing: name at least one, such as \"turn:HOST:3478\"",
            );
        }
        let has_secret = turn.secret.is_some() || turn.secret_file.is_some();
        let credentials = match (has_secret, turn.username, turn.credential) {
            (true, None, None) => TurnCredentials::Ephemeral {
                secret: self.secret(&format!("{at}.secret"), turn.secret, turn.secret_file, 1)?,
                ttl: seconds(turn.ttl_s).unwrap_or(Duration::from_secs(12 * 3600)),
            },
            (false, Some(username), Some(credential)) => {
                if turn.ttl_s.is_some() {
                    self.wrong(
                        &format!("{at}.ttl_s"),
                        "a fixed credential does not expire: remove it, or use a secret",
                    );
                }
                TurnCredentials::Fixed {
                    username,
                    credential,
                }
            }
            (true, Some(_), _) | (true, None, Some(_)) => {
                self.wrong(&at, "a secret and a username or credential: keep the secret, which makes short-lived ones");
                return None;
            }
            (false, _, _) => {
                self.wrong(&at, "no credentials: set secret_file (coturn's static-auth-secret), or username and credential");
                return None;
            }
        };
        Some(Turn {
            urls: turn.urls,
            credentials,
        })
    }

    fn kiosks(&mut self, kiosks: Vec<file::Kiosk>, jobs: &JobsConfig) -> Vec<JobSpec> {
        if kiosks.len() > jobs.maximum {
            let message = format!(
                "{}, but {} kiosks are configured: raise it",
                jobs.maximum,
                kiosks.len()
            );
            self.wrong("jobs.maximum", message);
        }
        let kiosks = kiosks.into_iter().enumerate();
        kiosks
            .filter_map(|(index, kiosk)| self.kiosk(&format!("kiosk[{index}]"), kiosk, jobs))
            .collect()
    }

    fn kiosk(&mut self, at: &str, kiosk: file::Kiosk, jobs: &JobsConfig) -> Option<JobSpec> {
        let Some(room) = kiosk.room else {
            self.wrong(
                &format!("{at}.room"),
                "missing: name the room that the kiosk waits in",
            );
            return None;
        };
        let spec = JobSpec {
            of: None,
            remote: None,
            memory_limit_mb: kiosk.memory_limit_mb.map(|limit| limit.0.into()),
            role: Role::Kiosk,
            room,
            description: kiosk.description,
            parameters: kiosk.parameters,
            name: kiosk.name,
        };
        if let Err(wrong) = check_job(&spec, &jobs.pipelines, &jobs.stream_hosts, &jobs.remotes) {
            self.wrong(&format!("{at}.{}", wrong.field), wrong.message);
        }
        Some(spec)
    }
}

fn set<T>(default: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *default = value;
    }
}

/// Reads a key's file: its text without the line's end.
///
/// # Errors
/// A message that names the file and what is wrong with it.
pub fn read_key_file(path: &Path) -> Result<Secret, String> {
    use std::os::unix::fs::PermissionsExt;

    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let mode = std::fs::metadata(path)
        .map_err(failed)?
        .permissions()
        .mode();
    if mode & 0o004 != 0 {
        tracing::warn!(file = %path.display(), "everybody on this machine can read this key: chmod o-r it");
    }
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(format!("{} is empty; {MAKE_A_KEY}", path.display()));
    }
    Ok(Secret::new(text))
}

fn seconds<const MIN: u32, const MAX: u32>(whole: Option<Whole<MIN, MAX>>) -> Option<Duration> {
    whole.map(|whole| Duration::from_secs(whole.0.into()))
}

fn as_usize<const MIN: u32, const MAX: u32>(whole: Whole<MIN, MAX>) -> usize {
    whole.0 as usize
}
