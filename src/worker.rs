//! The child's side: one job, commands on standard input, events on standard output.

use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot::{Receiver, channel};

use crate::job::{Assignment, Command, Event, Request};
use crate::role::{self, JobError};

/// Once asked to stop, a worker that still hangs after this long ends itself: nobody may be left to kill it.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// The exit code of a worker that ended itself after [`STOP_LIMIT`].
const HUNG: i32 = 70;
/// How long the last events may take to be printed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs the one job that standard input assigns; the end of standard input asks it to stop.
///
/// # Errors
/// As [`run_one`], and when standard input assigns no job.
pub async fn run() -> Result<()> {
    let Commands {
        assignment,
        requests,
        stop,
    } = read_commands();
    let assignment = assignment
        .await
        .context("standard input ended before a job was assigned")??;
    let (events, printed) = print_events();
    let job = run_one(*assignment, events, requests, async {
        // An error means that the reader has ended, and so has standard input.
        let _ = stop.await;
    });
    let ended = job.await;
    // The last events tell why.
    let _ = tokio::time::timeout(LAST_WORDS, printed).await;
    ended
}

/// Numbered requests to a job.
pub type Requests = UnboundedReceiver<(u64, Request)>;

/// Does one job in this process until `stop` is ready; what happens is told through `events`, answers to requests
/// included.
///
/// # Errors
/// When the job ended before it was asked to; the same is told as a last event.
pub async fn run_one(
    assignment: Assignment,
    events: UnboundedSender<Event>,
    requests: Requests,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let Err(error) = role::attend(assignment, events.clone(), requests, stop).await else {
        return Ok(());
    };
    let fatal = matches!(error, JobError::Hopeless(_));
    let _ = events.send(Event::Error {
        message: error.to_string(),
        fatal,
    });
    bail!(error)
}

/// What standard input says.
struct Commands {
    assignment: Receiver<Result<Box<Assignment>>>,
    requests: Requests,
    stop: Receiver<()>,
}

/// Reads commands on a thread of its own: it works, and ends the process, even when everything else hangs.
fn read_commands() -> Commands {
    let (assign, assignment) = channel();
    let (ask, requests) = unbounded_channel();
    let (stop, stopped) = channel();
    std::thread::spawn(move || {
        let mut assign = Some(assign);
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Command::Start { assignment }) => {
                    let _ = assign.take().map(|assign| assign.send(Ok(assignment)));
                }
                Ok(Command::Request { number, request }) => {
                    // A job that has ended answers nothing.
                    let _ = ask.send((number, request));
                }
                Ok(Command::Stop) => break,
                Err(error) => {
                    let error = anyhow!(error).context("a line of standard input is not a command");
                    let _ = assign.take().map(|assign| assign.send(Err(error)));
                }
            }
        }
        let _ = stop.send(());
        std::thread::sleep(STOP_LIMIT);
        tracing::error!(
            "the job did not end within {} s of being asked to",
            STOP_LIMIT.as_secs()
        );
        std::process::exit(HUNG);
    });
    Commands {
        assignment,
        requests,
        stop: stopped,
    }
}

/// Prints events as JSON lines from a thread of its own: a parent that does not read holds up nothing else.
fn print_events() -> (UnboundedSender<Event>, Receiver<()>) {
    let (events, mut received) = unbounded_channel::<Event>();
    let (done, printed) = channel();
    std::thread::spawn(move || {
        let mut out = std::io::stdout().lock();
        while let Some(event) = received.blocking_recv() {
            let Ok(line) = serde_json::to_string(&event) else {
                continue;
            };
            if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                return;
            }
        }
        let _ = done.send(());
    });
    (events, printed)
}
