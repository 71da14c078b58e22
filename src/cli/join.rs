//! `attache kiosk`, `attache record`, `attache filter` and `attache relay`: one job from the shell, in a room of any attache server.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use tokio::sync::mpsc;
use url::Url;

use super::due::Due;
use super::live::LiveLine;
use super::values::{RoomUrl, element, parameter, room_url, web_url};
use super::{Failure, StopSignals, print_line, upload};
use crate::config::{check_description, check_streams, default_pipelines};
use crate::job::{Assignment, Event, JobSpec, JobState, Of, PeerState, Role, ServerAddress, Value};
use crate::media::encoder::Policy;
use crate::pipeline::allowed::Allowed;
use crate::recording::recovery::{Roots, recover_old};
use crate::recording::upload::TargetUrl;
use crate::signalling::ids::{JobId, ParticipantId};
use crate::streaming::Hosts;
use crate::streaming::target::HostPort;
use crate::whip::client::{Protocol, Remote};
use crate::worker::pulse::Pulse;

#[derive(Debug, Args)]
pub struct KioskArguments {
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Debug, Args)]
pub struct RecordArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// The folder that the recording's folder is made in
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A folder on another disk: recording goes on there when the first one is full, read-only or gone
    #[arg(long, value_name = "DIR")]
    second: Option<PathBuf>,
    /// Upload the finished recording to s3://BUCKET/PREFIX, gs://..., az://... or file:///FOLDER, with keys from the
    /// environment; a second one takes what the first one does not. What earlier ones with this --out did not get to
    /// upload is uploaded, too
    #[arg(long, value_name = "URL", value_parser = upload::target)]
    upload: Vec<TargetUrl>,
    /// A server that the description's live stream may go to; can be given several times
    #[arg(long, value_name = "HOST:PORT")]
    stream_host: Vec<HostPort>,
}

#[derive(Debug, Args)]
pub struct FilterArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Whose sound and pictures: the id of one participant, as `attache record --json` and the API show it, or `all` for
    /// everybody who is there or comes
    #[arg(long, value_name = "PARTICIPANT|all")]
    of: Of,
}

#[derive(Debug, Args)]
pub struct RelayArguments {
    #[command(flatten)]
    common: CommonArguments,
    #[command(flatten)]
    way: Way,
    /// With --to: whom to publish, by the id [default: the first kiosk that sends, else the first participant that does]
    #[arg(long, value_name = "PARTICIPANT", requires = "to")]
    of: Option<ParticipantId>,
    /// The bearer token that that server asks for
    #[arg(long, env = "ATTACHE_REMOTE_TOKEN", hide_env_values = true)]
    remote_token: Option<String>,
    /// Trust the certificates of this PEM file there, too
    #[arg(long, value_name = "FILE")]
    remote_ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Way {
    /// What another server plays comes into the room: its WHEP endpoint. It is asked again and again until it has something
    #[arg(long, value_name = "URL", value_parser = web_url)]
    from: Option<Url>,
    /// What somebody in the room sends is published at another server: its WHIP endpoint
    #[arg(long, value_name = "URL", value_parser = web_url)]
    to: Option<Url>,
}

#[derive(Debug, Args)]
struct CommonArguments {
    /// The room, as a browser opens it: http://HOST/r/ROOM
    #[arg(long, value_name = "URL", value_parser = room_url)]
    join: RoomUrl,
    /// The description to use
    #[arg(long, value_name = "NAME")]
    description: Option<String>,
    /// A value for one of the description's parameters; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parameter)]
    parameters: Vec<(String, Value)>,
    /// The name to be shown by
    #[arg(long)]
    name: Option<String>,
    /// The room token; in the environment other users do not see it
    #[arg(long, env = "ATTACHE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Trust the certificates of this PEM file, too
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The folder of descriptions [default: ./pipelines, else /usr/share/attache/pipelines]
    #[arg(long, value_name = "DIR")]
    pipelines: Option<PathBuf>,
    /// The folder of clips that descriptions name [default: media in the folder of descriptions]
    #[arg(long, value_name = "DIR")]
    media: Option<PathBuf>,
    /// An element that the description may use besides those of attache's list; can be given several times
    #[arg(long, value_name = "ELEMENT", value_parser = element)]
    allow: Vec<String>,
    /// Print every event as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Attends a room as a kiosk until the signal to stop.
pub async fn kiosk(arguments: KioskArguments) -> Result<(), Failure> {
    let recordings = PathBuf::from("recordings");
    let common = arguments.common;
    attend(assignment(
        Role::Kiosk,
        None,
        common,
        recordings,
        Hosts::default(),
    )?)
    .await
}

/// Improves one participant's media until the signal to stop, or until that one leaves; everybody's until the signal.
pub async fn filter(arguments: FilterArguments) -> Result<(), Failure> {
    let recordings = PathBuf::from("recordings");
    let common = arguments.common;
    attend(assignment(
        Role::Filter,
        Some(arguments.of),
        common,
        recordings,
        Hosts::default(),
    )?)
    .await
}

/// Brings what another server plays into a room, or publishes there what somebody in the room sends, until the signal to
/// stop.
pub async fn relay(arguments: RelayArguments) -> Result<(), Failure> {
    let (protocol, url) = match (arguments.way.from, arguments.way.to) {
        (Some(from), None) => (Protocol::Whep, from),
        (None, Some(to)) => (Protocol::Whip, to),
        (Some(_), Some(_)) | (None, None) => {
            let message = "--from or --to: one of them is needed";
            return Err(Failure::Usage(anyhow::anyhow!(message)));
        }
    };
    let (mut assignment, json) = assignment(
        Role::Relay,
        arguments.of.map(Of::One),
        arguments.common,
        PathBuf::from("recordings"),
        Hosts::default(),
    )?;
    assignment.remote = Some(Remote {
        protocol,
        url,
        token: arguments.remote_token,
        ca: arguments.remote_ca,
    });
    attend((assignment, json)).await
}

/// Records a room until the signal to stop.
pub async fn record(arguments: RecordArguments) -> Result<(), Failure> {
    let roots = Roots {
        out: arguments.out,
        second: arguments.second,
    };
    let made = std::fs::create_dir_all(&roots.out)
        .with_context(|| format!("--out {}: cannot be made", roots.out.display()));
    // With a second folder it begins there, and tells why.
    if roots.second.is_none() {
        made.map_err(Failure::Usage)?;
    }
    if arguments.upload.len() > 2 {
        let found = arguments.upload.len();
        let message = anyhow::anyhow!("--upload: found {found}, expected at most two");
        return Err(Failure::Usage(message));
    }
    recover_others(roots.clone()).await;
    let hosts = Hosts::new(arguments.stream_host);
    let (mut assignment, json) = assignment(
        Role::Recorder,
        None,
        arguments.common,
        roots.out.clone(),
        hosts,
    )?;
    assignment.second_folder.clone_from(&roots.second);
    let job = assignment.id.clone();
    let noted = (!arguments.upload.is_empty()).then(|| Due::of(&roots.out).note(&job));
    let recorded = attend((assignment, json)).await;
    drop(noted);
    if !arguments.upload.is_empty() {
        upload::upload(roots, &job, arguments.upload).await?;
    }
    recorded
}

/// Finishes recordings of killed recorders, but for one that this recorder may go on with.
async fn recover_others(roots: Roots) {
    // What fails is logged; it is no reason not to record.
    let _ = tokio::task::spawn_blocking(move || recover_old(&roots)).await;
}

async fn attend((assignment, json): (Assignment, bool)) -> Result<(), Failure> {
    let mut signals = StopSignals::new()?;
    let (events, mut received) = mpsc::unbounded_channel();
    let is_watched = assignment.job.role == Role::Recorder && !json;
    let printer = tokio::spawn(async move {
        let mut line = is_watched.then(LiveLine::new);
        while let Some(event) = received.recv().await {
            let Some(line) = &mut line else {
                print_event(&event, json);
                continue;
            };
            if !line.note(&event, Instant::now()) {
                line.aside(|| print_event(&event, json));
            }
        }
    });
    let (_, no_requests) = mpsc::unbounded_channel();
    let stop = async move { signals.next().await };
    let pulse = Pulse::new(std::time::Instant::now());
    let result = crate::worker::run_one(assignment, events, no_requests, pulse, stop).await;
    printer.await.context("the events could not be printed")?;
    result.map_err(Failure::Failed)
}

fn assignment(
    role: Role,
    of: Option<Of>,
    arguments: CommonArguments,
    recordings: PathBuf,
    stream_hosts: Hosts,
) -> Result<(Assignment, bool), Failure> {
    let json = arguments.json;
    let job = JobSpec {
        memory_limit_mb: None,
        role,
        room: arguments.join.room,
        description: arguments.description,
        parameters: arguments.parameters.into_iter().collect(),
        name: arguments.name,
        of,
        // The command line has the server itself.
        remote: None,
    };
    let pipelines = arguments.pipelines.unwrap_or_else(default_pipelines);
    check_description(&job, &pipelines)
        .and_then(|()| check_streams(&job, &stream_hosts))
        .map_err(|wrong| Failure::Usage(anyhow::anyhow!("--{}: {}", wrong.field, wrong.message)))?;
    let assignment = Assignment {
        id: JobId::random(),
        job,
        server: ServerAddress::Url {
            url: arguments.join.signalling,
            ca: arguments.ca,
        },
        token: arguments.token.or(arguments.join.token),
        pipelines,
        media: arguments.media,
        elements: Allowed::with(arguments.allow),
        recordings,
        stream_hosts,
        second_folder: None,
        remote: None,
        encoders: Policy::default(),
        paused: false,
        control: None,
        server_wait_s: 0,
    };
    Ok((assignment, json))
}

fn print_event(event: &Event, json: bool) {
    let line = if json {
        serde_json::to_string(event).ok()
    } else {
        words(event)
    };
    if let Some(line) = line {
        print_line(&line);
    }
}

/// The event for people; `None` when it says nothing new to them.
fn words(event: &Event) -> Option<String> {
    let line = match event {
        Event::State { state, participant } => match (state, participant) {
            (JobState::Joined, Some(id)) => format!("joined as {id}"),
            (state, _) => state_in_words(*state).to_owned(),
        },
        Event::Notice { message } => message.clone(),
        Event::Encoder(encoder) => encoder.to_string(),
        Event::Device { device, lost } => device.told(lost.as_deref()),
        Event::Peer {
            participant,
            generation,
            state,
        } => match state {
            PeerState::New | PeerState::Connecting => return None,
            PeerState::Connected => format!("{participant}: connected"),
            PeerState::Disconnected => format!("{participant}: connection interrupted"),
            PeerState::Failed => format!("{participant}: connection {generation} failed"),
            PeerState::Closed => format!("{participant}: connection closed"),
        },
        Event::Stalled {
            participant,
            generation,
            reason,
        } => format!("{participant}: connection {generation}: {reason}; the next one is made"),
        Event::Receiving {
            participant,
            audio_frames,
            video_frames,
        } => {
            format!("{participant}: {audio_frames} sound frames, {video_frames} pictures received")
        }
        Event::Message { participant, text } => format!("{participant} writes: {text}"),
        Event::Recording {
            participant,
            file,
            bytes,
            duration_ms,
            finished,
        } => {
            let (seconds, kilobytes) = (duration_ms / 1000, bytes / 1000);
            let done = if *finished { "finished" } else { "recording" };
            format!(
                "{participant}: {done} {} ({seconds} s, {kilobytes} kB)",
                file.display()
            )
        }
        Event::Stream {
            target,
            state,
            reason,
        } => match reason {
            Some(reason) => format!("the stream to {target} is {state}: {reason}"),
            None => format!("the stream to {target} is {state}"),
        },
        Event::Tier {
            participant,
            tier: Some(tier),
            ..
        } => format!("{participant} is sent {tier}"),
        Event::Tier {
            participant,
            tier: None,
            ..
        } => format!("{participant} is sent no picture: its link carries sound only"),
        Event::Ended { because } => format!("the recording ended: {because}"),
        Event::Paused => "paused: nothing is written".to_owned(),
        Event::Resumed => "recording again".to_owned(),
        // Lines all the time would hide everything else; `--json` has them.
        Event::Quality { .. }
        | Event::Speech(_)
        | Event::Filter { .. }
        | Event::Answer { .. }
        | Event::Beat { .. } => return None,
        Event::Error { message, fatal } => {
            format!("{}: {message}", if *fatal { "fatal" } else { "error" })
        }
    };
    Some(line)
}

fn state_in_words(state: JobState) -> &'static str {
    match state {
        JobState::Starting => "starting",
        JobState::Joined => "joined",
        JobState::Reconnecting => "the server is not there; trying again",
        JobState::Stopping => "stopping",
        JobState::Stopped => "stopped",
        JobState::Restarting => "starting again",
        JobState::Failed => "failed",
    }
}
