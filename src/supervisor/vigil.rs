//! What is observed of one process besides its events: when it has to be ended, and what its end means.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use super::patient::Patient;
use super::process::Exit;
use super::{Asked, Deadline, Settings};
use crate::job::{Answer, Command, JobSpec, JobState, Request};
use crate::signalling::rate::Bucket;

/// A worker that announced its own end and does not come to it is ended.
pub const FATAL_LIMIT: Duration = Duration::from_secs(5);

/// Events a worker may report at once, and per second on and on. Beyond that it has to wait at its pipe.
const EVENT_BURST: u32 = 500;
const EVENTS_PER_SECOND: u32 = 100;

/// How one process ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As asked, or its work was done.
    Done(Option<String>),
    /// It cannot be done.
    Failed(String),
    /// It ended by itself.
    Crashed(String),
}

/// What is observed of one process besides its events, and when it has to be ended.
pub struct Watch {
    /// By when it was asked to end.
    pub asked: Option<Deadline>,
    deadline: Option<Deadline>,
    terminated: bool,
    killed: bool,
    /// What the worker said of its last trouble, and whether it was a fatal one.
    error: Option<String>,
    fatal: bool,
    /// Whether it is well.
    pub patient: Patient,
    /// Why it is ended although nobody asked for that.
    sick: Option<String>,
    /// Where it said that the job stands.
    pub said: Option<JobState>,
    garbage: u64,
    /// What it may report.
    pub allowance: Bucket,
    requests: u64,
    /// Those without an answer yet; dropped with the process, which tells who asked.
    pub open: HashMap<u64, Asked>,
}

impl Watch {
    /// A process that has just been started.
    pub fn new(settings: &Settings, spec: &JobSpec) -> Self {
        let memory_limit_mb = spec.memory_limit_mb.or(settings.memory_limit_mb);
        Self {
            patient: Patient::new(settings.beat_limit, memory_limit_mb),
            sick: None,
            asked: None,
            deadline: None,
            terminated: false,
            killed: false,
            error: None,
            fatal: false,
            said: None,
            garbage: 0,
            allowance: Bucket::new(EVENT_BURST, EVENTS_PER_SECOND, std::time::Instant::now()),
            requests: 0,
            open: HashMap::new(),
        }
    }

    /// The command that asks the worker.
    pub fn on_request(&mut self, request: Request, answer: oneshot::Sender<Answer>) -> Command {
        self.requests += 1;
        // Whoever stopped waiting needs no answer any more.
        self.open.retain(|_, (_, waiting)| !waiting.is_closed());
        self.open.insert(self.requests, (request.clone(), answer));
        Command::Request {
            number: self.requests,
            request,
        }
    }

    /// It is asked to end by then.
    pub fn on_asked(&mut self, deadline: Deadline) {
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

    /// It told of trouble.
    pub fn on_error(&mut self, message: String, fatal: bool) {
        if self.fatal {
            return;
        }
        self.error = Some(message);
        self.fatal = fatal;
        if fatal {
            self.hurry(Deadline::within(FATAL_LIMIT));
        }
    }

    /// Its heart has beaten.
    pub fn on_beat(&mut self, stalled: Option<&str>) {
        let now = Instant::now();
        self.patient.on_beat(now);
        let why = self.patient.judge(stalled, now);
        self.on_sick(why);
    }

    /// Its memory was measured.
    pub fn on_memory(&mut self, used_mb: Option<u64>) {
        let why = used_mb.and_then(|used| self.patient.judge_memory(used));
        self.on_sick(why);
    }

    /// Whoever hangs or takes too much is killed at once: it may not be able to do anything any more, and what a killed
    /// recorder leaves is finished afterwards.
    fn on_sick(&mut self, why: Option<String>) {
        if self.sick.is_none() && why.is_some() {
            self.sick = why;
            self.terminated = true;
            let now = Instant::now();
            self.hurry(Deadline {
                terminate: now,
                kill: now,
            });
        }
    }

    /// Libraries print to standard output now and then; that is worth one line in the log, not one for each.
    pub fn on_garbage(&mut self, error: &str) {
        if self.garbage == 0 {
            warn!(
                error,
                "the worker printed something that is not an event; further ones are not reported"
            );
        }
        self.garbage += 1;
    }

    /// When the worker may report again.
    pub fn lines_from(&mut self) -> Instant {
        Instant::now() + self.allowance.wait(1, std::time::Instant::now())
    }

    /// When the next signal is due.
    pub fn due(&self) -> Option<Instant> {
        let Some(deadline) = self.deadline else {
            return self.patient.due();
        };
        match (self.terminated, self.killed) {
            (_, true) => None,
            (true, false) => Some(deadline.kill),
            (false, false) => Some(deadline.terminate),
        }
    }

    /// The signal that is due; `None` where it is time to feel the pulse only.
    pub fn next_signal(&mut self) -> Option<Signal> {
        if self.deadline.is_none() {
            let why = self.patient.judge(None, Instant::now());
            self.on_sick(why);
            self.deadline?;
        }
        if self.terminated {
            self.killed = true;
            return Some(Signal::SIGKILL);
        }
        self.terminated = true;
        Some(Signal::SIGTERM)
    }

    /// What its end means for the job.
    pub fn outcome(self, exit: Exit) -> Outcome {
        if self.asked.is_some() {
            let forced = match (self.terminated, self.killed) {
                (_, true) => Some("it did not end in time and was killed; files may be unfinished"),
                (true, false) => Some("it did not end in time and was terminated"),
                (false, false) => None,
            };
            return Outcome::Done(forced.map(str::to_owned));
        }
        if let (true, Some(message)) = (self.fatal, &self.error) {
            return Outcome::Failed(message.clone());
        }
        if let Some(why) = self.sick {
            return Outcome::Crashed(why);
        }
        match exit {
            Exit::Status(Ok(status)) if status.success() => Outcome::Done(None),
            // An exit code by itself explains nothing; a signal does.
            Exit::Status(Ok(status)) => match self.error.filter(|_| status.code().is_some()) {
                Some(message) => Outcome::Crashed(format!("{}: {message}", describe(status))),
                None => Outcome::Crashed(describe(status)),
            },
            Exit::Status(Err(error)) => Outcome::Crashed(format!("the worker was lost: {error}")),
            Exit::Unknown if self.said == Some(JobState::Stopped) => Outcome::Done(None),
            Exit::Unknown => {
                let ending = "the worker ended; how, only the former server would know";
                Outcome::Crashed(match self.error {
                    Some(message) => format!("{ending}: {message}"),
                    None => ending.to_owned(),
                })
            }
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
