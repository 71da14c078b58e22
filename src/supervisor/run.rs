//! One job from its start to its end, over all the processes it takes.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use rand::RngExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, info, info_span, warn};

use super::lines::Line;
use super::process::{Process, Step};
use super::restart::Crashes;
use super::{Asked, Deadline, JobView, Settings};
use crate::auth::Permission;
use crate::job::{Answer, Assignment, Command, Event, JobState, Request, Role};
use crate::signalling::rate::Bucket;

/// A worker that announced its own end and does not come to it is ended.
const FATAL_LIMIT: Duration = Duration::from_secs(5);

/// Events a worker may report at once, and per second on and on. Beyond that it has to wait at its pipe.
const EVENT_BURST: u32 = 500;
const EVENTS_PER_SECOND: u32 = 100;

/// Renewed with every process; workers that lose the server join again with the one they have.
const TOKEN_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How one process ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// As asked, or its work was done.
    Done(Option<String>),
    /// It cannot be done.
    Failed(String),
    /// It ended by itself.
    Crashed(String),
}

/// Runs a job to its end.
pub async fn run(
    settings: Arc<Settings>,
    view: watch::Sender<JobView>,
    stop: watch::Receiver<Option<Deadline>>,
    asked: mpsc::Receiver<Asked>,
) {
    let span = info_span!("job", id = %view.borrow().id);
    Job {
        settings,
        view,
        stop,
        asked,
    }
    .run()
    .instrument(span)
    .await;
}

/// Waits until the end is asked for, or asked for sooner than it was.
async fn asked_to_end(
    stop: &mut watch::Receiver<Option<Deadline>>,
    known: Option<Deadline>,
) -> Deadline {
    match stop
        .wait_for(|deadline| deadline.is_some() && *deadline != known)
        .await
        .map(|deadline| *deadline)
    {
        Ok(Some(deadline)) => deadline,
        // Nobody is left who could ask: the server itself is going down.
        Ok(None) | Err(_) if known.is_none() => Deadline::within(FATAL_LIMIT),
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

struct Job {
    settings: Arc<Settings>,
    view: watch::Sender<JobView>,
    stop: watch::Receiver<Option<Deadline>>,
    asked: mpsc::Receiver<Asked>,
}

impl Job {
    async fn run(mut self) {
        let mut crashes = Crashes::new(self.settings.restart.clone());
        loop {
            let started = Instant::now();
            let error = match self.run_process().await {
                Outcome::Done(error) => {
                    info!("ended");
                    return self.exit(JobState::Stopped, error);
                }
                Outcome::Failed(error) => {
                    warn!(error, "failed");
                    return self.exit(JobState::Failed, Some(error));
                }
                Outcome::Crashed(error) => error,
            };
            let delay = crashes.delay(started.elapsed(), rand::rng().random());
            warn!(
                error,
                delay_ms = delay.as_millis(),
                "the worker crashed and will be started again"
            );
            self.exit(JobState::Restarting, Some(error));
            let stopped = self.stop.wait_for(Option::is_some);
            if timeout(delay, stopped).await.is_ok() {
                return self.exit(JobState::Stopped, None);
            }
            self.view
                .send_modify(|view| view.restarts = view.restarts.saturating_add(1));
        }
    }

    fn exit(&self, state: JobState, error: Option<String>) {
        self.change(|view| view.on_exit(state, error));
    }

    /// Changes what is known, and tells it where the job moved on by it.
    fn change(&self, change: impl FnOnce(&mut JobView)) {
        let before = self.view.borrow().state;
        self.view.send_modify(change);
        let view = self.view.borrow();
        if view.state != before {
            self.settings.tell(&view);
        }
    }

    /// Runs one process to its end.
    async fn run_process(&mut self) -> Outcome {
        let mut process = match Process::start(&self.settings.executable, &self.settings.arguments)
        {
            Ok(process) => process,
            Err(error) => return self.not_started(&error),
        };
        process.command(Command::Start {
            assignment: Box::new(self.assignment()),
        });
        self.change(|view| view.on_process(process.pid()));
        info!(pid = process.pid(), "worker started");

        let mut watch = Watch::new();
        let status = loop {
            let step = tokio::select! {
                deadline = asked_to_end(&mut self.stop, watch.asked) => {
                    watch.on_asked(deadline);
                    self.change(|view| view.state = JobState::Stopping);
                    process.stop();
                    continue;
                }
                Some((request, answer)) = self.asked.recv() => {
                    process.command(watch.on_request(request, answer));
                    continue;
                }
                step = process.next(watch.lines_from(), watch.due()) => step,
            };
            match step {
                Step::Line(line) => self.on_line(line, &mut watch),
                Step::EndOfLines => {}
                Step::Due => process.signal(watch.next_signal()),
                Step::Ended(status) => break status,
            }
        };
        for line in process.last_lines().await {
            self.on_line(line, &mut watch);
        }
        watch.outcome(status)
    }

    fn not_started(&self, error: &std::io::Error) -> Outcome {
        let message = format!(
            "cannot start the worker {}: {error}",
            self.settings.executable.display()
        );
        if self.stop.borrow().is_some() {
            return Outcome::Done(Some(message));
        }
        match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
                Outcome::Failed(message)
            }
            _ => Outcome::Crashed(message),
        }
    }

    fn assignment(&self) -> Assignment {
        let view = self.view.borrow();
        let allow: &[Permission] = match view.spec.role {
            Role::Kiosk => &[Permission::Join, Permission::Send],
            Role::Filter => &[Permission::Join, Permission::Send, Permission::Filter],
            Role::Recorder => &[Permission::Join, Permission::Send, Permission::Record],
        };
        Assignment {
            id: view.id.clone(),
            job: view.spec.clone(),
            server: self.settings.server(),
            token: self.settings.auth.issue(
                &view.spec.room,
                None,
                allow,
                SystemTime::now() + TOKEN_LIFETIME,
            ),
            pipelines: self.settings.pipelines.clone(),
            media: self.settings.media.clone(),
            elements: self.settings.elements.clone(),
            recordings: self.settings.recordings.clone(),
            stream_hosts: self.settings.stream_hosts.clone(),
            second_folder: self.settings.second_folder.clone(),
            encoders: self.settings.encoders.clone(),
            paused: view.paused,
        }
    }

    fn on_line(&self, line: Line, watch: &mut Watch) {
        watch.allowance.take(1, std::time::Instant::now());
        let event = match line {
            Line::Text(text) => {
                serde_json::from_str::<Event>(&text).map_err(|error| error.to_string())
            }
            Line::TooLong => Err("the line is too long".to_owned()),
        };
        match event {
            Ok(Event::Answer { number, answer }) => {
                let Some((request, waiting)) = watch.open.remove(&number) else {
                    return;
                };
                if answer == Answer::Done {
                    self.view.send_modify(|view| view.on_done(request));
                }
                // Whoever asked may have gone.
                let _ = waiting.send(answer);
            }
            Ok(event) => {
                if let Event::Error { message, fatal } = &event {
                    watch.on_error(message.clone(), *fatal);
                }
                self.change(|view| view.on_event(event));
            }
            Err(error) => watch.on_garbage(&error),
        }
    }
}

/// What is observed of one process besides its events, and when it has to be ended.
struct Watch {
    asked: Option<Deadline>,
    deadline: Option<Deadline>,
    terminated: bool,
    killed: bool,
    /// What the worker said of its last trouble, and whether it was a fatal one.
    error: Option<String>,
    fatal: bool,
    garbage: u64,
    allowance: Bucket,
    requests: u64,
    /// Those without an answer yet; dropped with the process, which tells who asked.
    open: HashMap<u64, Asked>,
}

impl Watch {
    fn new() -> Self {
        Self {
            asked: None,
            deadline: None,
            terminated: false,
            killed: false,
            error: None,
            fatal: false,
            garbage: 0,
            allowance: Bucket::new(EVENT_BURST, EVENTS_PER_SECOND, std::time::Instant::now()),
            requests: 0,
            open: HashMap::new(),
        }
    }

    /// The command that asks the worker.
    fn on_request(&mut self, request: Request, answer: oneshot::Sender<Answer>) -> Command {
        self.requests += 1;
        // Whoever stopped waiting needs no answer any more.
        self.open.retain(|_, (_, waiting)| !waiting.is_closed());
        self.open.insert(self.requests, (request.clone(), answer));
        Command::Request {
            number: self.requests,
            request,
        }
    }

    fn on_asked(&mut self, deadline: Deadline) {
        self.asked = Some(deadline);
        self.hurry(deadline);
    }

    /// An earlier deadline stays.
    fn hurry(&mut self, deadline: Deadline) {
        let sooner = self
            .deadline
            .filter(|earlier| earlier.kill <= deadline.kill);
        self.deadline = sooner.or(Some(deadline));
    }

    fn on_error(&mut self, message: String, fatal: bool) {
        if self.fatal {
            return;
        }
        self.error = Some(message);
        self.fatal = fatal;
        if fatal {
            self.hurry(Deadline::within(FATAL_LIMIT));
        }
    }

    /// Libraries print to standard output now and then; that is worth one line in the log, not one for each.
    fn on_garbage(&mut self, error: &str) {
        if self.garbage == 0 {
            warn!(
                error,
                "the worker printed something that is not an event; further ones are not reported"
            );
        }
        self.garbage += 1;
    }

    /// When the worker may report again.
    fn lines_from(&mut self) -> Instant {
        Instant::now() + self.allowance.wait(1, std::time::Instant::now())
    }

    /// When the next signal is due.
    fn due(&self) -> Option<Instant> {
        let deadline = self.deadline?;
        match (self.terminated, self.killed) {
            (_, true) => None,
            (true, false) => Some(deadline.kill),
            (false, false) => Some(deadline.terminate),
        }
    }

    /// The signal that is due.
    fn next_signal(&mut self) -> Signal {
        if self.terminated {
            self.killed = true;
            return Signal::SIGKILL;
        }
        self.terminated = true;
        Signal::SIGTERM
    }

    fn outcome(self, status: std::io::Result<ExitStatus>) -> Outcome {
        let ending = match &status {
            Ok(status) => describe(*status),
            Err(error) => format!("the worker was lost: {error}"),
        };
        if self.asked.is_some() {
            let forced = match (self.terminated, self.killed) {
                (_, true) => Some("it did not end in time and was killed; files may be unfinished"),
                (true, false) => Some("it did not end in time and was terminated"),
                (false, false) => None,
            };
            return Outcome::Done(forced.map(str::to_owned));
        }
        match (self.fatal, self.error, status) {
            (true, Some(message), _) => Outcome::Failed(message),
            (_, _, Ok(status)) if status.success() => Outcome::Done(None),
            // An exit code by itself explains nothing; a signal does.
            (_, Some(message), Ok(status)) if status.code().is_some() => {
                Outcome::Crashed(format!("{ending}: {message}"))
            }
            (_, _, Ok(_) | Err(_)) => Outcome::Crashed(ending),
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
            format!("the worker was ended by signal {signal} ({name})")
        }
        (None, Some(code)) => format!("the worker ended with exit code {code}"),
        (None, None) => "the worker ended".to_owned(),
    }
}
