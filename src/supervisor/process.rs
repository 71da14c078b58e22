//! One worker process: its pipes or its socket, its signals, its end.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command as Program};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::adoption::Arrival;
use super::lines::{Line, Lines};
use super::records::WorkerId;
use crate::job::Command;

/// A report of a recording is some 300 bytes.
const LINE_BYTES: usize = 1024 * 1024;

/// What a dead worker left in its pipe is there at once; a grandchild that holds the pipe is not waited for.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(1);

/// How often it is looked whether a process that is not our child still runs.
const LOOK: Duration = Duration::from_millis(100);

/// Where a worker's lines are read from.
pub type Reading = Box<dyn AsyncRead + Send + Unpin>;

/// A worker's lines.
pub fn lines(from: impl AsyncRead + Send + Unpin + 'static) -> Lines<Reading> {
    Lines::new(Box::new(from), LINE_BYTES)
}

/// What can happen to a process.
#[derive(Debug)]
pub enum Step {
    /// It reported something.
    Line(Line),
    /// It closed its standard output, and will report nothing more.
    EndOfLines,
    /// It is time for the next signal.
    Due,
    /// It has ended.
    Ended(Exit),
}

/// How a process ended.
#[derive(Debug)]
pub enum Exit {
    /// As a child of ours does.
    Status(std::io::Result<ExitStatus>),
    /// Another server started it: nobody tells us.
    Unknown,
}

/// A process, ours or another's.
enum Body {
    /// We started it. Dropped, it is killed.
    Child(Box<Child>),
    /// A former server did.
    Adopted(WorkerId),
}

/// A running worker.
pub struct Process {
    body: Body,
    lines: Lines<Reading>,
    end_of_lines: bool,
    /// `None` after `stop`: the end of its standard input tells the worker the same.
    commands: Option<mpsc::Sender<Command>>,
}

impl Process {
    /// Starts the worker in a process group of its own: Ctrl-C in the terminal is for the server, which ends its
    /// workers in order.
    pub fn start(executable: &Path, arguments: &[String]) -> std::io::Result<Self> {
        let mut child = Program::new(executable)
            .args(arguments)
            // glibc gives every thread an arena of its own; GStreamer has many threads, and each arena keeps memory.
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::other("the worker's pipes are missing"));
        };
        let (commands, queue) = mpsc::channel(8);
        tokio::spawn(write_commands(stdin, queue));
        Ok(Self {
            body: Body::Child(Box::new(child)),
            lines: lines(stdout),
            end_of_lines: false,
            commands: Some(commands),
        })
    }

    /// Goes on with a worker that a former server had started and that has come here.
    pub fn adopt(worker: WorkerId, arrival: Arrival) -> Self {
        let (commands, queue) = mpsc::channel(8);
        tokio::spawn(write_commands(arrival.commands, queue));
        Self {
            body: Body::Adopted(worker),
            lines: arrival.lines,
            end_of_lines: false,
            commands: Some(commands),
        }
    }

    /// Its process id, until it has ended.
    pub fn pid(&self) -> Option<u32> {
        match &self.body {
            Body::Child(child) => child.id(),
            Body::Adopted(worker) => worker.runs().then_some(worker.pid),
        }
    }

    /// Sends a command, if the worker still listens; never waits for it.
    pub fn command(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // A worker that reads nothing will be ended by its deadline.
            let _ = commands.try_send(command);
        }
    }

    /// Asks it to end: the command, and then the end of its standard input.
    pub fn stop(&mut self) {
        self.command(Command::Stop);
        self.commands = None;
    }

    /// Signals the worker and whatever it has started.
    pub fn signal(&self, signal: Signal) {
        // Without an id it was waited for: its number may be another process's by now.
        if let Some(pid) = self.pid() {
            signal_group(pid, signal);
        }
    }

    /// Waits for what happens next; may be cancelled. Lines are read from `lines_from` on: until then the worker
    /// has to wait at its pipe.
    pub async fn next(&mut self, lines_from: Instant, due: Option<Instant>) -> Step {
        let line = async {
            sleep_until(lines_from).await;
            self.lines.next().await
        };
        tokio::select! {
            exit = self.body.ended() => Step::Ended(exit),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Step::Due,
            line = line, if !self.end_of_lines => match line {
                Ok(Some(line)) => Step::Line(line),
                Ok(None) | Err(_) => {
                    self.end_of_lines = true;
                    Step::EndOfLines
                }
            },
        }
    }

    /// What an ended worker said last.
    pub async fn last_lines(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let reading = async {
            while let Ok(Some(line)) = self.lines.next().await {
                lines.push(line);
                if lines.len() >= 1000 {
                    return;
                }
            }
        };
        let _ = timeout(LAST_LINES_LIMIT, reading).await;
        lines
    }
}

impl Body {
    /// Waits for its end; may be cancelled.
    async fn ended(&mut self) -> Exit {
        match self {
            Self::Child(child) => Exit::Status(child.wait().await),
            Self::Adopted(worker) => {
                while worker.runs() {
                    tokio::time::sleep(LOOK).await;
                }
                Exit::Unknown
            }
        }
    }
}

/// Signals a worker and whatever it has started: each worker leads a process group of its own.
pub fn signal_group(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        // The group may be empty already.
        let _ = killpg(Pid::from_raw(pid), signal);
    }
}

/// Ends when the worker is gone or no more commands come, which closes its standard input.
async fn write_commands(mut to: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Command>) {
    while let Some(command) = queue.recv().await {
        let Ok(mut line) = serde_json::to_vec(&command) else {
            return;
        };
        line.push(b'\n');
        if to.write_all(&line).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}
