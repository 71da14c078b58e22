//! Sends what waits for one server, one message after the other.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use time::OffsetDateTime;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{debug, warn};

use super::queue::{Next, Queue};
use super::spool::{self, Entry, Message};
use super::{Counts, WebhookSettings};

const CONNECT: Duration = Duration::from_secs(5);
/// Of a whole request; who takes longer should answer first and work later.
const REQUEST: Duration = Duration::from_secs(15);

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{0}")]
    Unreachable(String),
    #[error("it answered {0}, expected 2xx")]
    Refused(reqwest::StatusCode),
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
}

/// Sends to one server.
#[derive(Debug)]
pub struct Sender {
    settings: WebhookSettings,
    client: Client,
    queue: Queue,
    counts: Counts,
}

impl Sender {
    /// With what waited before.
    pub fn new(
        settings: WebhookSettings,
        waiting: VecDeque<Entry>,
        counts: Counts,
    ) -> reqwest::Result<Self> {
        crate::tls::install_ring();
        // A redirect would take signed messages to where nobody sent them.
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .user_agent(concat!("attache/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            settings,
            client,
            queue: Queue::new(waiting),
            counts,
        })
    }

    /// Sends until nobody adds any more.
    pub async fn run(mut self, mut added: UnboundedReceiver<Entry>) {
        loop {
            while let Ok(entry) = added.try_recv() {
                self.queue.add(entry);
            }
            self.give_up().await;
            let wait = match self.queue.next(OffsetDateTime::now_utc()) {
                Next::Send(entry) => {
                    self.send(entry).await;
                    continue;
                }
                Next::Wait(wait) => wait,
                Next::Idle => Duration::MAX,
            };
            match tokio::time::timeout(wait, added.recv()).await {
                Ok(Some(entry)) => self.queue.add(entry),
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }

    async fn give_up(&mut self) {
        for entry in self.queue.expired(OffsetDateTime::now_utc()) {
            warn!(to = self.settings.shown(), job = %entry.job, "a webhook is given up: nobody took it for a day, or too many wait");
            self.counts.lock().dropped += 1;
            self.remove(&entry).await;
        }
    }

    async fn send(&mut self, entry: Entry) {
        let result = self.try_send(&entry).await;
        match result {
            Ok(()) => {
                debug!(to = self.settings.shown(), job = %entry.job, "webhook taken");
                self.counts.lock().delivered += 1;
                self.queue.delivered(&entry);
                self.remove(&entry).await;
            }
            Err(SendError::Unreadable(error)) => {
                warn!(file = %entry.file.display(), %error, "a webhook that waited cannot be read and is lost");
                self.counts.lock().dropped += 1;
                self.queue.delivered(&entry);
            }
            Err(error @ (SendError::Unreachable(_) | SendError::Refused(_))) => {
                warn!(to = self.settings.shown(), job = %entry.job, %error, "a webhook was not taken; it is sent again");
                self.counts.lock().failed += 1;
                let now = OffsetDateTime::now_utc();
                self.queue.failed(&entry, now, rand::random());
            }
        }
    }

    async fn try_send(&self, entry: &Entry) -> Result<(), SendError> {
        let file = entry.file.clone();
        let read = tokio::task::spawn_blocking(move || spool::read(&file)).await;
        let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        let Message { id, body, .. } = read.map_err(SendError::Unreadable)?;
        let timestamp = OffsetDateTime::now_utc().unix_timestamp();
        let answer = self
            .client
            .post(self.settings.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(
                "webhook-signature",
                self.settings.key.sign(&id, timestamp, &body),
            )
            .header("webhook-timestamp", timestamp)
            .header("webhook-id", id)
            .body(body)
            .send()
            .await
            // The URL may hold a secret.
            .map_err(|error| SendError::Unreachable(in_words(&error.without_url())))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(SendError::Refused(answer.status()))
    }

    async fn remove(&self, entry: &Entry) {
        if let Err(error) = tokio::fs::remove_file(&entry.file).await {
            warn!(file = %entry.file.display(), %error, "a webhook that was taken cannot be removed; it will be sent again");
        }
    }
}

fn in_words(error: &dyn std::error::Error) -> String {
    crate::recording::upload::target::in_words(error)
}
