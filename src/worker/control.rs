//! How a worker is told what to do and tells what happens: over its standard input and output, and, when the server that
//! started it is gone, over a socket to the one that comes after. Threads of their own: they work even when everything
//! else hangs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot::{Receiver, Sender, channel};
use tracing::{Span, info, warn};

use super::story::Story;
use super::{Requests, diary};
use crate::job::{Assignment, Command, Event, Hello};

/// Once asked to stop, a worker that still hangs after this long ends itself: nobody may be left to kill it.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// The exit code of a worker that ended itself after [`STOP_LIMIT`].
const HUNG: i32 = 70;
/// Between two looks for another server.
const LOOK: Duration = Duration::from_millis(250);

/// What the worker is told.
pub struct Commands {
    /// The first command.
    pub assignment: Receiver<Result<Box<Assignment>>>,
    /// What is asked of it while it works.
    pub requests: Requests,
    /// It is to end.
    pub stop: Receiver<()>,
}

/// Why no more commands come from a server.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It said that the worker is to end.
    Stop,
    /// It is gone.
    Lost,
}

/// Where events go at the moment.
pub struct Printer {
    state: Mutex<Printing>,
}

struct Printing {
    /// Absent while there is no server.
    out: Option<Box<dyn Write + Send>>,
    story: Story,
}

impl Printer {
    /// Prints to standard output.
    pub fn new() -> Arc<Self> {
        let state = Printing {
            out: Some(Box::new(std::io::stdout())),
            story: Story::default(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, Printing> {
        // Held by two threads of plain input and output; nothing in it can be half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, event: &Event) {
        let mut state = self.state();
        state.story.add(event);
        let printed = state.out.as_mut().map(|out| write_line(out, event));
        if printed.is_some_and(|printed| printed.is_err()) {
            state.out = None;
        }
    }

    /// Tells another server who comes, and everything that it has to know.
    fn move_to(&self, stream: UnixStream, hello: &Hello) -> std::io::Result<()> {
        let mut out: Box<dyn Write + Send> = Box::new(stream);
        let mut state = self.state();
        state.out = None;
        write_line(&mut out, hello)?;
        for event in state.story.events() {
            write_line(&mut out, event)?;
        }
        state.out = Some(out);
        Ok(())
    }
}

fn write_line(out: &mut impl Write, line: &impl serde::Serialize) -> std::io::Result<()> {
    let line = serde_json::to_string(line)?;
    writeln!(out, "{line}")?;
    out.flush()
}

/// Prints events as JSON lines from a thread of its own: a parent that does not read holds up nothing else.
pub fn print_events(printer: Arc<Printer>, job: Span) -> (UnboundedSender<Event>, Receiver<()>) {
    let (events, mut received) = unbounded_channel::<Event>();
    let (done, printed) = channel();
    std::thread::spawn(move || {
        while let Some(event) = received.blocking_recv() {
            printer.print(&event);
            job.in_scope(|| diary::note(&event));
        }
        let _ = done.send(());
    });
    (events, printed)
}

/// Reads commands on a thread of its own: it works, and ends the process, even when everything else hangs.
pub fn read_commands(printer: Arc<Printer>) -> Commands {
    let (assign, assignment) = channel();
    let (ask, requests) = unbounded_channel();
    let (stop, stopped) = channel();
    std::thread::spawn(move || {
        let mut reader = Reader {
            assign: Some(assign),
            ask,
            home: None,
        };
        let mut end = reader.read(std::io::stdin().lock());
        while end == End::Lost {
            let Some(stream) = reader.next_server(&printer) else {
                break;
            };
            end = reader.read(BufReader::new(stream));
        }
        // Whoever still waits for an assignment learns that none comes.
        drop(reader);
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

/// Where a worker hopes for the next server.
struct Home {
    /// The socket that it listens at.
    path: PathBuf,
    /// What is said to it first.
    hello: Hello,
    /// How long the worker works on without one.
    wait: Duration,
}

struct Reader {
    assign: Option<Sender<Result<Box<Assignment>>>>,
    ask: UnboundedSender<(u64, crate::job::Request)>,
    /// Absent: the worker ends with its server.
    home: Option<Home>,
}

impl Reader {
    fn read(&mut self, lines: impl BufRead) -> End {
        for line in lines.lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Command::Start { assignment }) => {
                    let hello = Hello::new(assignment.id.clone());
                    let wait = Duration::from_secs(assignment.server_wait_s);
                    let home = |path| Home { path, hello, wait };
                    self.home = assignment.control.clone().map(home);
                    let _ = self.assign.take().map(|assign| assign.send(Ok(assignment)));
                }
                Ok(Command::Request { number, request }) => {
                    // A job that has ended answers nothing.
                    let _ = self.ask.send((number, request));
                }
                Ok(Command::Stop) => return End::Stop,
                Err(error) => {
                    let error = anyhow!(error).context("a line of standard input is not a command");
                    let _ = self.assign.take().map(|assign| assign.send(Err(error)));
                }
            }
        }
        End::Lost
    }

    /// Works on alone until another server is there; `None` where there is none to hope for.
    fn next_server(&self, printer: &Printer) -> Option<UnixStream> {
        let Home { path, hello, wait } = self.home.as_ref()?;
        warn!("the server is gone; the job goes on and waits for the next one");
        let since = Instant::now();
        while since.elapsed() < *wait {
            std::thread::sleep(LOOK);
            if let Ok(stream) = come_to(path, printer, hello) {
                info!("another server has taken the job over");
                return Some(stream);
            }
        }
        warn!("no server came within {} s: the job ends", wait.as_secs());
        None
    }
}

fn come_to(path: &Path, printer: &Printer, hello: &Hello) -> std::io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    printer.move_to(stream.try_clone()?, hello)?;
    Ok(stream)
}
