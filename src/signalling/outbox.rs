//! The queue between the hub and the connections of one participant: bounded, never waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{Notify, oneshot};

use super::limits::Limits;
use super::protocol::{ErrorCode, ServerMessage};
use super::room::Refusal;
use super::session::{Capacity, Full, Session, WrongCount};

/// The hub's end. Dropped without [`Outbox::close`], it ends the connection without a word.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
    farewell: Option<oneshot::Sender<Option<Refusal>>>,
}

/// A connection's end.
#[derive(Debug)]
pub struct Outgoing {
    shared: Arc<Shared>,
    connection: u64,
}

/// Resolves when the connection is to end, with the last word to its client.
pub type Farewell = oneshot::Receiver<Option<Refusal>>;

#[derive(Debug)]
struct Shared {
    /// Held for one message at a time and never across an await.
    state: Mutex<State>,
    /// There is something to send, or an end.
    news: Notify,
}

#[derive(Debug)]
struct State {
    session: Session<Utf8Bytes>,
    /// The number of the connection that sends; those before send nothing more.
    connection: u64,
    closed: bool,
    /// Goes before everything else, and is not counted.
    first: Option<Utf8Bytes>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it can be half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    /// A queue within these limits, without a connection. `keeps`: messages are kept until the client says that it has
    /// them.
    pub fn new(limits: &Limits, keeps: bool) -> Self {
        let capacity = Capacity {
            messages: limits.queue_messages.max(1),
            bytes: limits.queue_bytes,
        };
        let state = State {
            session: Session::new(capacity, keeps),
            connection: 0,
            closed: false,
            first: None,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                news: Notify::new(),
            }),
            farewell: None,
        }
    }

    /// Puts another connection, of this number, in the place of the one before, which hears that.
    pub fn attach(&mut self, connection: u64) -> (Outgoing, Farewell) {
        self.shared.state().connection = connection;
        self.shared.news.notify_waiters();
        let (farewell, told) = oneshot::channel();
        if let Some(former) = self.farewell.replace(farewell) {
            // A connection that has ended already needs no last word.
            let _ = former.send(Some(taken()));
        }
        let outgoing = Outgoing {
            shared: Arc::clone(&self.shared),
            connection,
        };
        (outgoing, told)
    }

    /// Puts a text before everything that is queued; it is not counted.
    pub fn begin_with(&self, text: Utf8Bytes) {
        self.shared.state().first = Some(text);
        self.shared.news.notify_waiters();
    }

    /// The connection is gone; messages wait for the next one.
    pub fn detach(&mut self) {
        self.farewell = None;
    }

    /// Whether this is the connection that counts.
    pub fn is_current(&self, connection: u64) -> bool {
        self.shared.state().connection == connection
    }

    /// Queues one message at once, or says that there is no room for it.
    pub fn push(&self, text: Utf8Bytes) -> Result<(), Full> {
        self.shared.state().session.push(text)?;
        self.shared.news.notify_waiters();
        Ok(())
    }

    /// A message of the client has come, and is counted.
    pub fn on_message(&self) {
        let mut state = self.shared.state();
        state.session.on_message();
        drop(state);
        self.shared.news.notify_waiters();
    }

    /// How many of the client's messages have come.
    pub fn received(&self) -> u64 {
        self.shared.state().session.received()
    }

    /// Whether the client may come back.
    pub fn keeps(&self) -> bool {
        self.shared.state().session.keeps()
    }

    /// The client has received so many.
    pub fn on_ack(&self, received: u64) -> Result<(), WrongCount> {
        self.shared.state().session.on_ack(received)
    }

    /// The client comes back, and has received so many.
    pub fn resume(&self, received: u64) -> Result<(), WrongCount> {
        self.shared.state().session.resume(received)
    }

    /// Ends the connection after what is queued; `refusal` goes last.
    pub fn close(mut self, refusal: Option<Refusal>) {
        self.shared.state().closed = true;
        self.shared.news.notify_waiters();
        if let Some(farewell) = self.farewell.take() {
            // Nobody listens to a connection that ended by itself.
            let _ = farewell.send(refusal);
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.news.notify_waiters();
    }
}

impl Outgoing {
    /// Which connection of the participant this is.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// The next text to send; `None` when the outbox was closed and everything was taken, or another connection has
    /// taken over.
    pub async fn next(&mut self) -> Option<Utf8Bytes> {
        loop {
            let news = self.shared.news.notified();
            tokio::pin!(news);
            // From here on nothing is missed.
            news.as_mut().enable();
            match self.take() {
                Taken::Text(text) => return Some(text),
                Taken::Nothing => news.await,
                Taken::Ended => return None,
            }
        }
    }

    /// What the client has not been told of the messages it sent, after a while.
    pub fn ack(&self) -> Option<Utf8Bytes> {
        let mut state = self.shared.state();
        (state.connection == self.connection)
            .then(|| state.session.ack(true).map(ack))
            .flatten()
    }

    fn take(&self) -> Taken {
        let mut state = self.shared.state();
        if state.connection != self.connection {
            return Taken::Ended;
        }
        if let Some(first) = state.first.take() {
            return Taken::Text(first);
        }
        if let Some(received) = state.session.ack(false) {
            return Taken::Text(ack(received));
        }
        match state.session.to_send() {
            Some(text) => Taken::Text(text),
            None if state.closed => Taken::Ended,
            None => Taken::Nothing,
        }
    }
}

enum Taken {
    Text(Utf8Bytes),
    Nothing,
    Ended,
}

/// Another connection has taken over.
pub fn taken() -> Refusal {
    Refusal::new(
        ErrorCode::SessionTaken,
        "your session goes on over another connection",
    )
}

fn ack(received: u64) -> Utf8Bytes {
    super::hub::text_of(&ServerMessage::Ack { received })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_queued_comes_out_after_the_end() {
        let mut outbox = Outbox::new(&Limits::default(), false);
        let (mut outgoing, farewell) = outbox.attach(1);
        outbox.begin_with("first".into());
        outbox.push("last".into()).unwrap();
        outbox.close(None);
        assert_eq!(farewell.await, Ok(None));
        assert_eq!(outgoing.next().await.unwrap().as_str(), "first");
        assert_eq!(outgoing.next().await.unwrap().as_str(), "last");
        assert_eq!(outgoing.next().await, None);
    }

    #[tokio::test]
    async fn another_connection_takes_over_and_the_former_one_hears_it() {
        let mut outbox = Outbox::new(&Limits::default(), true);
        let (mut former, farewell) = outbox.attach(1);
        outbox.begin_with("welcome".into());
        outbox.push("a".into()).unwrap();
        outbox.push("b".into()).unwrap();
        for expected in ["welcome", "a", "b"] {
            assert_eq!(former.next().await.unwrap().as_str(), expected);
        }
        outbox.resume(1).unwrap();
        let (mut next, _farewell) = outbox.attach(2);
        outbox.begin_with("resumed".into());
        assert_eq!(
            farewell.await.unwrap().unwrap().code,
            ErrorCode::SessionTaken
        );
        assert_eq!(former.next().await, None);
        for expected in ["resumed", "b"] {
            assert_eq!(next.next().await.unwrap().as_str(), expected);
        }
        assert!(!outbox.is_current(former.connection()));
        assert!(outbox.is_current(next.connection()));
    }
}
