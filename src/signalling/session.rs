//! One end of a session: what was sent and may have to be sent again, and what was received. Pure; both ends use it.
//!
//! Both ends count the messages of either direction from the welcome on (as XEP-0198 does for XMPP). A message is kept
//! until the other end has said that it arrived. When the connection was lost, each end says how many it has received,
//! and the other sends again what comes after: nothing is lost, nothing comes twice.

use std::collections::VecDeque;
use std::ops::Deref;

/// After so many messages received, the other end is told.
pub const ACK_EVERY: u64 = 16;

/// How much one end may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Messages.
    pub messages: usize,
    /// Bytes of their texts.
    pub bytes: usize,
}

/// There is no room for another message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many messages wait to be sent or acknowledged")]
pub struct Full;

/// The other end counts messages that were never sent, or forgets what it had received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, it must be from {least} to {most}")]
pub struct WrongCount {
    /// What the other end says.
    pub found: u64,
    /// What it said before.
    pub least: u64,
    /// How many were sent.
    pub most: u64,
}

/// One end of a session; `T` is a message's text.
#[derive(Debug)]
pub struct Session<T> {
    capacity: Capacity,
    /// Messages are kept until the other end has them; else only until they are sent.
    keeps: bool,
    kept: VecDeque<T>,
    bytes: usize,
    /// Messages of ours that the other end has, and that are kept no more.
    arrived: u64,
    /// Of those kept, the first so many are sent.
    sent: usize,
    received: u64,
    /// What the other end was told of `received`.
    told: u64,
}

impl<T: Clone + Deref<Target = str>> Session<T> {
    /// Nothing was sent. `keeps`: the other end says what it received, and may come back.
    pub fn new(capacity: Capacity, keeps: bool) -> Self {
        Self {
            capacity,
            keeps,
            kept: VecDeque::new(),
            bytes: 0,
            arrived: 0,
            sent: 0,
            received: 0,
            told: 0,
        }
    }

    /// Whether the other end may come back.
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// A message is to be sent.
    ///
    /// # Errors
    /// [`Full`].
    pub fn push(&mut self, text: T) -> Result<(), Full> {
        let bytes = self.bytes.saturating_add(text.len());
        if self.kept.len() >= self.capacity.messages || bytes > self.capacity.bytes {
            return Err(Full);
        }
        self.bytes = bytes;
        self.kept.push_back(text);
        Ok(())
    }

    /// The next message that has to be sent now.
    pub fn to_send(&mut self) -> Option<T> {
        let text = self.kept.get(self.sent)?.clone();
        self.sent += 1;
        if !self.keeps {
            self.drop_first(1);
        }
        Some(text)
    }

    /// The other end has received so many.
    ///
    /// # Errors
    /// [`WrongCount`]; nothing has changed then.
    pub fn on_ack(&mut self, received: u64) -> Result<(), WrongCount> {
        let most = self.arrived + self.sent as u64;
        if !(self.arrived..=most).contains(&received) {
            return Err(WrongCount {
                found: received,
                least: self.arrived,
                most,
            });
        }
        let count = usize::try_from(received - self.arrived).unwrap_or(usize::MAX);
        self.drop_first(count);
        Ok(())
    }

    /// A new connection: what comes after the first `received` is sent again.
    ///
    /// # Errors
    /// [`WrongCount`]; nothing has changed then.
    pub fn resume(&mut self, received: u64) -> Result<(), WrongCount> {
        self.on_ack(received)?;
        self.sent = 0;
        self.told = self.received;
        Ok(())
    }

    /// The other end has forgotten the session, and begins another: what it may not have received is sent anew, as far as
    /// that is to be kept.
    pub fn restart(&mut self, keep: impl Fn(&str) -> bool) {
        self.kept.retain(|text| keep(text));
        self.bytes = self.kept.iter().map(|text| text.len()).sum();
        self.arrived = 0;
        self.sent = 0;
        self.received = 0;
        self.told = 0;
    }

    /// A message that is counted has come.
    pub fn on_message(&mut self) {
        self.received += 1;
    }

    /// How many messages were received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// What to tell the other end now, if it is time: after [`ACK_EVERY`] messages, or, where the sender has waited for
    /// a while (`waited`), whatever it has not been told.
    pub fn ack(&mut self, waited: bool) -> Option<u64> {
        let untold = self.received - self.told;
        let is_due = self.keeps && (untold >= ACK_EVERY || (waited && untold > 0));
        is_due.then(|| {
            self.told = self.received;
            self.received
        })
    }

    fn drop_first(&mut self, count: usize) {
        for text in self.kept.drain(..count.min(self.kept.len())) {
            self.bytes -= text.len();
            self.arrived += 1;
            self.sent = self.sent.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAPACITY: Capacity = Capacity {
        messages: 4,
        bytes: 10,
    };

    fn session(keeps: bool) -> Session<String> {
        Session::new(CAPACITY, keeps)
    }

    #[test]
    fn there_is_room_for_so_many_messages_and_bytes_until_they_are_acknowledged() {
        let mut ours = session(true);
        ours.push("12345678".into()).unwrap();
        assert_eq!(ours.push("123".into()), Err(Full));
        ours.push("1".into()).unwrap();
        assert_eq!(ours.to_send().as_deref(), Some("12345678"));
        assert_eq!(ours.push("12".into()), Err(Full));
        ours.on_ack(1).unwrap();
        ours.push("12".into()).unwrap();
        ours.push("3".into()).unwrap();
        ours.push("4".into()).unwrap();
        assert_eq!(ours.push("5".into()), Err(Full));
    }

    #[test]
    fn without_a_session_what_is_sent_is_forgotten() {
        let mut ours = session(false);
        for number in 0..20 {
            ours.push(number.to_string()).unwrap();
            assert_eq!(ours.to_send(), Some(number.to_string()));
        }
        assert_eq!(ours.to_send(), None);
        ours.on_message();
        assert_eq!(ours.ack(true), None);
    }

    #[test]
    fn counts_that_cannot_be_are_refused() {
        let mut ours = session(true);
        ours.push("a".into()).unwrap();
        ours.push("b".into()).unwrap();
        ours.to_send();
        assert!(ours.on_ack(2).is_err(), "the second was not sent");
        ours.on_ack(1).unwrap();
        assert!(ours.on_ack(0).is_err(), "it had one already");
        assert!(ours.resume(u64::MAX).is_err());
        assert_eq!(ours.to_send().as_deref(), Some("b"));
    }

    #[test]
    fn the_other_end_is_told_after_some_messages_or_some_time() {
        let mut ours = session(true);
        for _ in 0..ACK_EVERY - 1 {
            ours.on_message();
            assert_eq!(ours.ack(false), None);
        }
        ours.on_message();
        assert_eq!(ours.ack(false), Some(ACK_EVERY));
        assert_eq!(ours.ack(true), None);
        ours.on_message();
        assert_eq!(ours.ack(true), Some(ACK_EVERY + 1));
    }

    #[test]
    fn another_server_gets_what_the_former_one_may_not_have_had() {
        let mut ours = session(true);
        for text in ["a", "b", "x", "c"] {
            ours.push(text.into()).unwrap();
        }
        ours.to_send();
        ours.to_send();
        ours.on_ack(1).unwrap();
        ours.restart(|text| text != "x");
        assert_eq!(ours.to_send().as_deref(), Some("b"));
        ours.on_ack(1).unwrap();
        assert_eq!(ours.to_send().as_deref(), Some("c"));
    }

    /// What happens to two ends.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Say { left: bool },
        Carry { left: bool },
        Ack { left: bool },
        Break,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => any::<bool>().prop_map(|left| Step::Say { left }),
            3 => any::<bool>().prop_map(|left| Step::Carry { left }),
            1 => any::<bool>().prop_map(|left| Step::Ack { left }),
            1 => Just(Step::Break),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Whatever breaks and whenever: each end has what the other said, once and in order.
        #[test]
        fn nothing_is_lost_doubled_or_moved(steps in steps()) {
            let capacity = Capacity { messages: 1000, bytes: 100_000 };
            let mut ends = [Session::<String>::new(capacity, true), Session::new(capacity, true)];
            let (mut said, mut heard) = ([0_u64; 2], [Vec::new(), Vec::new()]);
            let carry = |ends: &mut [Session<String>; 2], heard: &mut [Vec<String>; 2], from: usize| {
                let Some(text) = ends[from].to_send() else { return false };
                ends[1 - from].on_message();
                heard[1 - from].push(text);
                true
            };
            for step in steps {
                match step {
                    Step::Say { left } => {
                        let from = usize::from(left);
                        said[from] += 1;
                        ends[from].push(said[from].to_string()).unwrap();
                    }
                    Step::Carry { left } => { carry(&mut ends, &mut heard, usize::from(left)); }
                    Step::Ack { left } => {
                        let from = usize::from(left);
                        if let Some(received) = ends[from].ack(true) {
                            ends[1 - from].on_ack(received).unwrap();
                        }
                    }
                    // What is under way is lost: here one message of each end.
                    Step::Break => {
                        ends.iter_mut().for_each(|end| drop(end.to_send()));
                        let counts = [ends[0].received(), ends[1].received()];
                        ends[0].resume(counts[1]).unwrap();
                        ends[1].resume(counts[0]).unwrap();
                    }
                }
            }
            for from in [0, 1] {
                while carry(&mut ends, &mut heard, from) {}
                let all: Vec<_> = (1..=said[from]).map(|number| number.to_string()).collect();
                prop_assert_eq!(&heard[1 - from], &all);
            }
        }
    }
}
