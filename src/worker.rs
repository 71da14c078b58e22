//! The child's side: one job, commands on standard input, events on standard output. [`control`] carries them, also to
//! another server than the one that started the worker; [`story`] is what that one has to be told, [`diary`] what goes to the log. [`pulse`]: whether the job
//! gets on.

mod control;
mod diary;
pub mod pulse;
mod story;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio_util::task::AbortOnDropHandle;
use tracing::info_span;

use self::control::{Commands, Printer, print_events, read_commands};
use self::pulse::Pulse;
use crate::job::{Assignment, Event, Request};
use crate::logging;
use crate::role::{self, JobError};

/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(2);
/// How long the last events may take to be printed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs the one job that standard input assigns. When standard input ends without a word, the server is gone: the job goes
/// on for a while, and another server finds it; where the assignment names no place for that, it stops.
///
/// # Errors
/// As [`run_one`], and when standard input assigns no job.
pub async fn run() -> Result<()> {
    let printer = Printer::new();
    let Commands {
        assignment,
        requests,
        stop,
    } = read_commands(Arc::clone(&printer));
    let assignment = assignment
        .await
        .context("standard input ended before a job was assigned")??;
    let span = info_span!("job", job = %assignment.id, room = %assignment.job.room);
    let (events, printed) = print_events(printer, span);
    let pulse = Pulse::new(Instant::now());
    let beating = AbortOnDropHandle::new(tokio::spawn(beat(pulse.clone(), events.clone())));
    let job = run_one(*assignment, events, requests, pulse, async {
        // An error means that the reader has ended, and so has standard input.
        let _ = stop.await;
    });
    let ended = job.await;
    drop(beating);
    // The last events tell why.
    let _ = tokio::time::timeout(LAST_WORDS, printed).await;
    ended
}

/// Tells again and again that the worker lives, and whether its job gets on.
async fn beat(pulse: Pulse, events: UnboundedSender<Event>) {
    loop {
        let stalled = pulse.stalled(Instant::now());
        if events.send(Event::Beat { stalled }).is_err() {
            return;
        }
        tokio::time::sleep(BEAT).await;
    }
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
    pulse: Pulse,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    logging::is_about(&assignment.id, &assignment.job.room);
    let Err(error) = role::attend(assignment, events.clone(), requests, pulse, stop).await else {
        return Ok(());
    };
    let fatal = matches!(error, JobError::Hopeless(_));
    let _ = events.send(Event::Error {
        message: error.to_string(),
        fatal,
    });
    bail!(error)
}
