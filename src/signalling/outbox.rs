//! The queue between the hub and one connection: bounded, never waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{mpsc, oneshot};

use super::limits::Limits;
use super::room::Refusal;

/// The hub's end. Dropped without [`Outbox::close`], it ends the connection without a word.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::Sender<Utf8Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
    bytes_at_most: usize,
    farewell: oneshot::Sender<Option<Refusal>>,
}

/// The connection's end.
#[derive(Debug)]
pub struct Outgoing {
    queue: mpsc::Receiver<Utf8Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// Resolves when the connection is to end, with the last word to its client.
pub type Farewell = oneshot::Receiver<Option<Refusal>>;

/// The client does not read fast enough.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// A queue within these limits.
pub fn outbox(limits: &Limits) -> (Outbox, Outgoing, Farewell) {
    let (sender, receiver) = mpsc::channel(limits.queue_messages.max(1));
    let (farewell, told) = oneshot::channel();
    let waiting_bytes = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox {
        queue: sender,
        waiting_bytes: Arc::clone(&waiting_bytes),
        bytes_at_most: limits.queue_bytes,
        farewell,
    };
    (
        outbox,
        Outgoing {
            queue: receiver,
            waiting_bytes,
        },
        told,
    )
}

impl Outbox {
    /// Queues one message at once, or says that there is no room for it.
    pub fn push(&self, text: Utf8Bytes) -> Result<(), Full> {
        let bytes = text.len();
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.bytes_at_most {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Full);
        }
        match self.queue.try_send(text) {
            // A connection that is just ending needs nothing more.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
                Err(Full)
            }
        }
    }

    /// Ends the connection after what is queued; `refusal` goes last.
    pub fn close(self, refusal: Option<Refusal>) {
        // Nobody listens to a connection that ended by itself.
        let _ = self.farewell.send(refusal);
    }
}

impl Outgoing {
    /// The next message; `None` when the outbox was closed and everything was taken.
    pub async fn next(&mut self) -> Option<Utf8Bytes> {
        let text = self.queue.recv().await?;
        self.waiting_bytes.fetch_sub(text.len(), Ordering::Relaxed);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_is_full_by_number_or_by_bytes_and_frees_what_is_taken() {
        let limits = Limits {
            queue_messages: 2,
            queue_bytes: 10,
            ..Limits::default()
        };
        let (outbox, mut outgoing, _farewell) = outbox(&limits);
        outbox.push("12345678".into()).unwrap();
        assert_eq!(outbox.push("123".into()), Err(Full));
        outbox.push("1".into()).unwrap();
        assert_eq!(outbox.push("1".into()), Err(Full));

        assert_eq!(outgoing.next().await.unwrap().as_str(), "12345678");
        outbox.push("123456789".into()).unwrap();
    }

    #[tokio::test]
    async fn what_was_queued_comes_out_after_the_end() {
        let (outbox, mut outgoing, farewell) = outbox(&Limits::default());
        outbox.push("last".into()).unwrap();
        outbox.close(None);
        assert_eq!(farewell.await, Ok(None));
        assert_eq!(outgoing.next().await.unwrap().as_str(), "last");
        assert_eq!(outgoing.next().await, None);
    }
}
