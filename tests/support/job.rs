//! A job in the test's own process, in a room of a real server: what it plays can be heard and seen through the inter
//! elements.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::path::Path;

use attache::job::{
    Answer, Assignment, Event, JobSpec, JobState, Parameters, Request, Role, ServerAddress,
};
use attache::signalling::client;
use attache::signalling::ids::{JobId, ParticipantId};
use attache::worker::pulse::Pulse;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::daemon::{Daemon, LIMIT};

pub struct Job {
    events: UnboundedReceiver<Event>,
    asks: UnboundedSender<(u64, Request)>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Starts the description `name` of a folder; clips are those of its folder `media`, or the shipped ones.
pub fn start(daemon: &Daemon, role: Role, pipelines: &Path, name: &str, room: &str) -> Job {
    start_with(daemon, role, pipelines, (name, room), Parameters::new())
}

/// The same with values for its parameters.
pub fn start_with(
    daemon: &Daemon,
    role: Role,
    pipelines: &Path,
    (name, room): (&str, &str),
    parameters: Parameters,
) -> Job {
    let spec = JobSpec {
        memory_limit_mb: None,
        of: None,
        remote: None,
        role,
        room: room.parse().unwrap(),
        description: Some(name.to_owned()),
        parameters,
        name: None,
    };
    run(daemon, spec, pipelines)
}

/// The same for any job.
pub fn run(daemon: &Daemon, job: JobSpec, pipelines: &Path) -> Job {
    let own = pipelines.join("media");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/media");
    let assignment = Assignment {
        id: JobId::random(),
        job,
        server: ServerAddress::Url {
            url: format!("{}{}", daemon.url.replace("http", "ws"), client::PATH),
            ca: None,
        },
        token: None,
        pipelines: pipelines.to_owned(),
        media: Some(if own.is_dir() { own } else { shipped }),
        elements: Default::default(),
        stream_hosts: Default::default(),
        recordings: daemon.folder.path().join("recordings"),
        second_folder: None,
        remote: None,
        encoders: Default::default(),
        paused: false,
        control: None,
        server_wait_s: 0,
    };
    let (to_us, events) = unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    let (asks, requests) = unbounded_channel();
    let task = tokio::spawn(attache::worker::run_one(
        assignment,
        to_us,
        requests,
        Pulse::new(std::time::Instant::now()),
        async {
            let _ = stopped.await;
        },
    ));
    Job {
        events,
        asks,
        stop,
        task,
    }
}

impl Job {
    /// Waits for an event and gives what is found in it.
    pub async fn until<T>(&mut self, what: &str, find: impl Fn(&Event) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the job lives");
                if let Some(found) = find(&event) {
                    return found;
                }
                println!("{event:?}");
                seen.push(event);
            }
        };
        let found = tokio::time::timeout(LIMIT, wait).await;
        found.unwrap_or_else(|_| panic!("{what} in time; found {seen:#?}"))
    }

    /// Waits until it is in its room, and says as whom.
    pub async fn joined(&mut self) -> ParticipantId {
        let joined = |event: &Event| match event {
            Event::State {
                state: JobState::Joined,
                participant,
            } => participant.clone(),
            _ => None,
        };
        self.until("the job joins", joined).await
    }

    /// Asks it for something, and waits until it is done.
    pub async fn ask(&mut self, request: Request) {
        self.asks.send((1, request)).expect("the job lives");
        let answer = |event: &Event| match event {
            Event::Answer { answer, .. } => Some(answer.clone()),
            _ => None,
        };
        let answer = self.until("an answer", answer).await;
        assert_eq!(answer, Answer::Done);
    }

    pub async fn end(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap().unwrap();
    }
}
