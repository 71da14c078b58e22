//! Workers of a server that is gone come to the next one, and are told from strangers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};

use super::lines::{Line, Lines};
use super::process::{self, Reading};
use crate::job::{Command, Hello};
use crate::signalling::ids::JobId;

/// For a worker's first line.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// A worker that has come.
pub struct Arrival {
    /// What it reports, from here on.
    pub lines: Lines<Reading>,
    /// Where commands go.
    pub commands: tokio::net::unix::OwnedWriteHalf,
}

/// Those who are expected, each with its process id and whoever waits for it.
type Expected = HashMap<JobId, (u32, oneshot::Sender<Arrival>)>;

/// Where they are let in.
#[derive(Clone, Default)]
pub struct Lobby {
    expected: Arc<Mutex<Expected>>,
}

impl Lobby {
    fn expected(&self) -> MutexGuard<'_, Expected> {
        // Never held across an await; nothing in it can be half done.
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Expects the worker of this job, which is this process.
    pub fn expect(&self, job: JobId, pid: u32) -> oneshot::Receiver<Arrival> {
        let (arrive, arrival) = oneshot::channel();
        self.expected().insert(job, (pid, arrive));
        arrival
    }

    /// Lets them in for ever.
    pub async fn serve(self, listener: UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(self.clone().meet(stream))),
                Err(error) => {
                    warn!(%error, "a worker of a former server could not come in");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn meet(self, stream: UnixStream) {
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let (read, commands) = stream.into_split();
        let mut lines = process::lines(read);
        let first = timeout(HELLO_LIMIT, lines.next()).await;
        let Ok(Ok(Some(Line::Text(text)))) = first else {
            return;
        };
        let Ok(hello) = serde_json::from_str::<Hello>(&text) else {
            return warn!("somebody who is no worker came to the workers' socket");
        };
        let job = hello.job.clone();
        let arrive = self.take(&hello, pid);
        let arrival = Arrival { lines, commands };
        let refused = match arrive {
            Some(arrive) => arrive.send(arrival).err(),
            None => Some(arrival),
        };
        if let Some(arrival) = refused {
            info!(%job, "a worker came whom nobody expects: it is told to end");
            send_away(arrival).await;
        }
    }

    /// Whoever waits for this worker, if it is the process that it was and speaks as we do.
    fn take(&self, hello: &Hello, pid: Option<i32>) -> Option<oneshot::Sender<Arrival>> {
        if *hello != Hello::new(hello.job.clone()) {
            return None;
        }
        let mut expected = self.expected();
        let (known, _) = expected.get(&hello.job)?;
        let is_it = pid.and_then(|pid| u32::try_from(pid).ok()) == Some(*known);
        is_it
            .then(|| expected.remove(&hello.job))
            .flatten()
            .map(|(_, arrive)| arrive)
    }
}

async fn send_away(arrival: Arrival) {
    let Ok(mut line) = serde_json::to_vec(&Command::Stop) else {
        return;
    };
    line.push(b'\n');
    let mut out = BufWriter::new(arrival.commands);
    let told = async {
        out.write_all(&line).await?;
        out.flush().await
    };
    // It ends by itself when it hears nothing.
    let _ = told.await;
}
