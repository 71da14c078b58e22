//! Orders to a running recorder, on their way from whoever asks to the call that carries them out.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::RoleMedia;

/// What a recorder is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Write nothing, and say so in the room.
    Pause,
    /// Say in the room that it records, then write again.
    Resume,
    /// Begin the next part of every file.
    Split,
}

/// Where orders are given.
pub type Orders = UnboundedSender<Order>;
/// Where they arrive.
pub type Inbox = UnboundedReceiver<Order>;

/// One order, and who waits for it.
#[derive(Debug)]
pub struct Order {
    /// What to do.
    pub act: Act,
    answer: oneshot::Sender<Result<(), String>>,
}

impl Order {
    /// It is done.
    pub fn done(self) {
        // Whoever asked may have gone.
        let _ = self.answer.send(Ok(()));
    }

    /// It cannot be done; everything is as it was.
    pub fn refuse(self, why: String) {
        // Whoever asked may have gone.
        let _ = self.answer.send(Err(why));
    }

    /// Carries it out while there is no room to tell of it: the next `join` says how things stand.
    pub fn carry_out_alone(self, role: &mut dyn RoleMedia) {
        let done = match self.act {
            Act::Pause => role.pause(),
            Act::Resume => role.resume(),
            Act::Split => role.split(),
        };
        match done {
            Ok(()) => self.done(),
            Err(why) => self.refuse(why),
        }
    }
}

/// Gives an order and waits until it is carried out.
///
/// # Errors
/// Why it cannot be done, in words.
pub async fn give(orders: &Orders, act: Act) -> anyhow::Result<()> {
    let (answer, answered) = oneshot::channel();
    let lost = || anyhow::anyhow!("the recorder lost its room meanwhile; ask again");
    orders.send(Order { act, answer }).map_err(|_| lost())?;
    answered
        .await
        .map_err(|_| lost())?
        .map_err(anyhow::Error::msg)
}
