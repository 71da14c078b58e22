//! One worker process: its pipes, its signals, its end.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, ChildStdout, Command as Program};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::lines::{Line, Lines};
use crate::job::Command;

/// A report of a recording is some 300 bytes.
const LINE_BYTES: usize = 1024 * 1024;

/// What a dead worker left in its pipe is there at once; a grandchild that holds the pipe is not waited for.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(1);

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
    Ended(std::io::Result<ExitStatus>),
}

/// A running worker. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Lines<ChildStdout>,
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
            child,
            lines: Lines::new(stdout, LINE_BYTES),
            end_of_lines: false,
            commands: Some(commands),
        })
    }

    /// Its process id, until it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
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
        let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) else {
            return;
        };
        // The group may be empty already.
        let _ = killpg(Pid::from_raw(pid), signal);
    }

    /// Waits for what happens next; may be cancelled. Lines are read from `lines_from` on: until then the worker
    /// has to wait at its pipe.
    pub async fn next(&mut self, lines_from: Instant, due: Option<Instant>) -> Step {
        let line = async {
            sleep_until(lines_from).await;
            self.lines.next().await
        };
        tokio::select! {
            status = self.child.wait() => Step::Ended(status),
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

/// Ends when the worker is gone or no more commands come, which closes its standard input.
async fn write_commands(mut stdin: ChildStdin, mut queue: mpsc::Receiver<Command>) {
    while let Some(command) = queue.recv().await {
        let Ok(mut line) = serde_json::to_vec(&command) else {
            return;
        };
        line.push(b'\n');
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}
