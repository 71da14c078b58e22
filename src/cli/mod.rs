//! Arguments become a command. Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration.
//!
//! [`join`]: `attache kiosk`, `attache record` and `attache filter`; `mix`: films of recordings; [`api`]: a running server is asked;
//! `denoise`: files without noise; [`pipelines`], `doctor` and `prove`: what else they are called;
//! [`values`]: what stands in single arguments.

mod api;
mod denoise;
mod doctor;
mod due;
mod job;
mod join;
mod live;
mod mix;
mod pipelines;
mod prove;
mod recover;
mod service;
mod upload;
mod values;

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::auth::{self, Permission, SHORTEST_ROOM_KEY};
use crate::config::{Config, ConfigErrors, Overrides, parse_listen, read_key_file};
use crate::logging;
use crate::server::Server;
use crate::signalling::ids::RoomName;
use crate::supervisor::inherited::Inherited;

/// A headless daemon that attends WebRTC calls.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the page, rooms, signalling and the API, and run jobs
    Serve(ServeArguments),
    /// Make a room token (JWT) and print it
    Token(TokenArguments),
    /// Attend a room of any attache server as a kiosk
    Kiosk(join::KioskArguments),
    /// Record a room of any attache server
    Record(join::RecordArguments),
    /// Give one participant's sound or pictures back to a room of any attache server, improved
    Filter(join::FilterArguments),
    /// Bring what another server plays (WHEP) into a room of any attache server, or publish there what a room has (WHIP)
    Relay(join::RelayArguments),
    /// Make one film of a recording
    Mix(mix::MixArguments),
    /// Finish recordings whose recorder was killed
    Recover(recover::RecoverArguments),
    /// Look at this machine: plugins, encoders, devices, servers, configuration, and a call with itself
    Doctor(doctor::DoctorArguments),
    /// List, show and control the jobs of a server
    Job(job::JobArguments),
    /// Take the noise out of a file of sound, and measure an engine with it
    Denoise(denoise::DenoiseArguments),
    /// Check, list and show descriptions
    Pipelines(pipelines::PipelinesArguments),
    /// Run one job for a server that talks over standard input and output
    #[command(hide = true)]
    Worker,
    /// Prove one encoder and print the verdict
    #[command(hide = true)]
    ProveEncoder(prove::ProveArguments),
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// The configuration; without it attache reads none and listens on loopback
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here instead of where the configuration says, for example 127.0.0.1:9000
    #[arg(long, value_name = "ADDRESS", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
    /// Speak TLS with a certificate made at start, for trials
    #[arg(long)]
    self_signed: bool,
}

#[derive(Debug, Args)]
struct TokenArguments {
    /// The room that the token opens
    #[arg(long)]
    room: RoomName,
    /// Who its bearer is; others in the room see it
    #[arg(long)]
    identity: Option<String>,
    /// What its bearer may do
    #[arg(long, value_delimiter = ',', default_value = "join,send")]
    allow: Vec<Permission>,
    /// How long it lasts: 30s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = values::duration)]
    ttl: Duration,
    /// Take the room key of this configuration
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "key_file",
        required_unless_present = "key_file"
    )]
    config: Option<PathBuf>,
    /// Take this room key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Why a command did not do what it should.
#[derive(Debug)]
enum Failure {
    /// The arguments or the configuration are wrong.
    Usage(anyhow::Error),
    /// Something went wrong on the way.
    Failed(anyhow::Error),
    /// Something is wrong, and was told already.
    Told,
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let lines = errors.0.iter().map(|mistake| format!("\n  {mistake}"));
        Self::Usage(anyhow::anyhow!(
            "the configuration is not right:{}",
            lines.collect::<String>()
        ))
    }
}

impl From<crate::recording::mix::MixError> for Failure {
    fn from(error: crate::recording::mix::MixError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Does what the arguments say.
pub async fn run(arguments: Arguments) -> ExitCode {
    logging::start();
    let result = match arguments.command {
        Command::Doctor(arguments) => return doctor::doctor(arguments).await,
        Command::Serve(arguments) => serve(arguments).await,
        Command::Token(arguments) => token(arguments),
        Command::Kiosk(arguments) => join::kiosk(arguments).await,
        Command::Job(arguments) => job::job(arguments).await,
        Command::Record(arguments) => join::record(arguments).await,
        Command::Filter(arguments) => join::filter(arguments).await,
        Command::Relay(arguments) => join::relay(arguments).await,
        Command::Recover(arguments) => recover::recover(arguments).await,
        Command::Mix(arguments) => mix::mix(arguments).await,
        Command::Denoise(arguments) => denoise::denoise(arguments).await,
        Command::ProveEncoder(arguments) => prove::prove(arguments).map_err(Failure::Failed),
        Command::Pipelines(arguments) => pipelines::run(arguments).await,
        Command::Worker => crate::worker::run().await.map_err(Failure::Failed),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(Failure::Failed(error)) => {
            eprintln!("attache: {error:#}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(error)) => {
            eprintln!("attache: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn serve(arguments: ServeArguments) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let inherited = Inherited::find().context("cannot see which children this process has")?;
    tokio::spawn(inherited.reap());
    let overrides = Overrides {
        listen: arguments.listen,
        self_signed: arguments.self_signed,
        is_for_tools: false,
    };
    let file = arguments.config.as_deref();
    let config = Config::load(file, overrides)?;
    if file.is_none() && PathBuf::from("attache.toml").exists() {
        warn!(
            "attache.toml is here and was not read; `attache serve --config attache.toml` reads it"
        );
    }
    let worker = std::env::current_exe().context("cannot find the program that workers run")?;
    let kiosks: Vec<_> = config
        .kiosks
        .iter()
        .map(|kiosk| kiosk.room.clone())
        .collect();
    let server = Server::start(config, worker.clone()).await?;
    for url in server.urls() {
        print_line(&format!("attache: open {url}"));
        for room in &kiosks {
            print_line(&format!("attache: a kiosk waits at {url}r/{room}"));
        }
    }

    let signs_of_life = service::ready(server.supervisor());
    signals
        .until_stop(|| begin_anew(&worker, file, overrides))
        .await;
    info!("stopping; a second signal ends at once");
    let stopped = tokio::select! {
        () = server.stop() => {
            info!("stopped");
            Ok(())
        }
        () = signals.stop.next() => Err(Failure::Failed(anyhow::anyhow!("ended at once by a second signal"))),
    };
    drop(signs_of_life);
    stopped
}

/// Replaces this process by one with the configuration as it is now, which finds the jobs at work. Returns why not.
fn begin_anew(program: &Path, file: Option<&Path>, overrides: Overrides) -> anyhow::Error {
    if let Err(wrong) = Config::load(file, overrides) {
        return anyhow::Error::new(wrong).context("the configuration is not taken");
    }
    info!("the server begins anew with its configuration, and finds the jobs at work");
    service::reloading();
    let arguments = std::env::args_os().skip(1);
    let failed = std::process::Command::new(program).args(arguments).exec();
    service::still_ready();
    anyhow::Error::new(failed).context("its program cannot be started")
}

fn token(arguments: TokenArguments) -> Result<(), Failure> {
    let usage = |message: String| Failure::Usage(anyhow::Error::msg(message));
    let key = match (&arguments.key_file, &arguments.config) {
        (Some(file), _) => read_key_file(file).map_err(usage)?,
        (None, config) => {
            let config = Config::load(config.as_deref(), Overrides::TOOLS)?;
            let missing = || {
                usage("the configuration has no [auth] room_key: the server takes everybody without a token".into())
            };
            config.auth.room_key.ok_or_else(missing)?
        }
    };
    let length = key.reveal().len();
    if length < SHORTEST_ROOM_KEY {
        return Err(usage(format!(
            "the room key has {length} bytes, expected at least {SHORTEST_ROOM_KEY}"
        )));
    }
    let expires = SystemTime::now() + arguments.ttl;
    let identity = arguments.identity.as_deref();
    print_line(&auth::issue(
        &key,
        &arguments.room,
        identity,
        &arguments.allow,
        expires,
    ));
    Ok(())
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("cannot listen to signals")
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What a server is told by signals.
struct Signals {
    stop: StopSignals,
    hand_over: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            stop: StopSignals::new()?,
            hand_over: listen(SignalKind::user_defined1())?,
            reload: listen(SignalKind::hangup())?,
        })
    }

    /// Waits until the server is to stop. Meanwhile SIGHUP is for `begin_anew`, which returns why it could not; with SIGUSR1
    /// this server alone ends at once, and another one is to follow soon.
    async fn until_stop(&mut self, begin_anew: impl Fn() -> anyhow::Error) {
        loop {
            tokio::select! {
                () = self.stop.next() => break,
                _ = self.reload.recv() => {
                    let error = begin_anew();
                    error!("the server goes on as it was: {error:#}");
                }
                _ = self.hand_over.recv() => {
                    service::stopping();
                    info!("the next server finds the jobs at work");
                    // Nothing is tidied up: to those who are in calls it is as if the server had been killed, which they survive.
                    std::process::exit(0);
                }
            }
        }
        service::stopping();
    }
}

/// A line on standard output, at once. Nobody reading it is no reason to end.
fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_goes_on_when_its_new_configuration_is_wrong_or_its_program_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("attache.toml");
        let gone = folder.path().join("attache");
        for (config, expected) in [
            ("[jobs]\nmaximun = 3\n", "maximun"),
            ("", "cannot be started"),
        ] {
            std::fs::write(&file, config).unwrap();
            let why = begin_anew(&gone, Some(&file), Overrides::default());
            assert!(format!("{why:#}").contains(expected), "{why:#}");
        }
    }
}
