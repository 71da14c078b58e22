//! Webhooks: what happens to jobs and recordings is told to others' servers, signed, at least once, in order.
//!
//! [`changes`] finds what happened, [`event`] says it, [`spool`] keeps it on disk until it is told, [`queue`] decides what
//! is told when, [`sign`] signs it, [`send`] sends it. Signatures and headers are those of Standard Webhooks 1.0.0
//! (<https://www.standardwebhooks.com>).

pub mod changes;
pub mod event;
mod queue;
mod send;
pub mod sign;
mod spool;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::warn;
use url::Url;

use crate::recording::catalog::{Recordings, StoredRecording};
use crate::recording::upload::service::Uploads;
use changes::{Seen, changes};
use event::{Event, JobChange, Pattern};
use send::Sender;
use sign::Key;
use spool::Spool;

/// Uploads that fail change nothing on disk: they are looked at so often.
const LOOK: Duration = Duration::from_secs(2);

/// One server that is told.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where to.
    pub url: Url,
    /// Signs what is sent.
    pub key: Key,
    /// What it wants to know; empty: everything.
    pub events: Vec<Pattern>,
}

impl WebhookSettings {
    fn wants(&self, event: &Event) -> bool {
        let mut patterns = self.events.iter();
        self.events.is_empty() || patterns.any(|pattern| pattern.matches(event.name()))
    }

    /// What may be shown: path and query can hold secrets.
    fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// What was told since the server started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookCounts {
    /// Events that were taken.
    pub delivered: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Events that were given up, because nobody took them for a day or too many waited.
    pub dropped: u64,
}

/// The counts of all webhooks; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Mutex<WebhookCounts>>);

impl Counts {
    /// As they are now.
    pub fn read(&self) -> WebhookCounts {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, WebhookCounts> {
        // Never held across an await; nothing in it can be half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where what happens comes from.
#[derive(Debug)]
pub struct Sources {
    /// Jobs that changed their state.
    pub jobs: mpsc::UnboundedReceiver<JobChange>,
    /// The recordings on disk.
    pub recordings: watch::Receiver<Recordings>,
    /// Their uploads.
    pub uploads: Uploads,
}

/// All webhooks at work.
#[derive(Debug)]
pub struct Webhooks {
    seen: Seen,
    spools: Vec<(WebhookSettings, Spool, mpsc::UnboundedSender<spool::Entry>)>,
    folder: PathBuf,
    /// They end with this.
    _senders: JoinSet<()>,
}

impl Webhooks {
    /// Reads what waits in `folder` and begins to send it.
    ///
    /// # Errors
    /// Where the folder cannot be made or read, or no HTTP client can be made.
    pub fn start(
        settings: Vec<WebhookSettings>,
        folder: PathBuf,
        counts: &Counts,
    ) -> anyhow::Result<Self> {
        let seen =
            Seen::load(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let (mut spools, mut senders) = (Vec::new(), JoinSet::new());
        for webhook in settings {
            let (spool, waiting) = Spool::open(&folder, &webhook.url).with_context(|| {
                format!(
                    "cannot keep webhooks in {}; [server] state names another folder",
                    folder.display()
                )
            })?;
            let (entries, received) = mpsc::unbounded_channel();
            let sender = Sender::new(webhook.clone(), waiting, counts.clone())
                .context("cannot make an HTTP client")?;
            senders.spawn(sender.run(received));
            spools.push((webhook, spool, entries));
        }
        Ok(Self {
            seen,
            spools,
            folder,
            _senders: senders,
        })
    }

    /// Takes in what happens until the server ends.
    pub async fn run(mut self, mut sources: Sources) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let events = tokio::select! {
                change = sources.jobs.recv() => match change {
                    Some(change) => vec![Event::Job(change)],
                    None => return,
                },
                changed = sources.recordings.changed() => match changed {
                    Ok(()) => self.changes(&mut sources),
                    Err(_) => return,
                },
                _ = look.tick() => self.changes(&mut sources),
            };
            if !events.is_empty() {
                self = self.keep(events).await;
            }
        }
    }

    fn changes(&mut self, sources: &mut Sources) -> Vec<Event> {
        let recordings = sources.recordings.borrow_and_update().clone();
        let failures: HashMap<&str, String> = recordings
            .iter()
            .filter_map(|recording| {
                Some((recording.name.as_str(), self.failure(recording, sources)?))
            })
            .collect();
        changes(&mut self.seen, &recordings, &failures)
    }

    fn failure(&self, recording: &StoredRecording, sources: &Sources) -> Option<String> {
        sources.uploads.failure(&recording.name)
    }

    /// Puts them on disk, and only then into the queues: what is told was kept before.
    async fn keep(mut self, events: Vec<Event>) -> Self {
        let kept = tokio::task::spawn_blocking(move || {
            for event in &events {
                self.spool(event);
            }
            if let Err(error) = self.seen.save(&self.folder) {
                warn!(%error, "cannot write down what webhooks were told; they may be told again");
            }
            self
        });
        match kept.await {
            Ok(webhooks) => webhooks,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn spool(&mut self, event: &Event) {
        for (webhook, spool, entries) in &mut self.spools {
            if !webhook.wants(event) {
                continue;
            }
            match spool.add(event) {
                // The sender lives as long as this.
                Ok(entry) => drop(entries.send(entry)),
                Err(error) => {
                    warn!(to = webhook.shown(), event = event.name(), %error, "a webhook cannot be kept and is lost");
                }
            }
        }
    }
}
