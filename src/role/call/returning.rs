//! The server was lost and is back: who was there goes on, with the peers as they are.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::super::over::Over;
use super::super::{RoleMedia, tell};
use super::Call;
use super::servers::Servers;
use crate::job::JobState;
use crate::peer::generation::Side;
use crate::signalling::protocol::Participant;
use crate::signalling::rejoin::{Incoming, Welcome};

/// How long the others may take to come back after the server was started anew; as long as it keeps a session.
const RETURN_LIMIT: Duration = Duration::from_secs(30);

impl Call {
    pub(super) async fn on_incoming(
        &mut self,
        incoming: Incoming,
        role: &mut dyn RoleMedia,
    ) -> Option<Over> {
        match incoming {
            Incoming::Message(message) => return self.on_message(*message, role).await,
            Incoming::Away { why } => {
                tell(&self.events, JobState::Reconnecting, None);
                self.error(format!("{why}; trying again, the calls go on"));
            }
            Incoming::Back => tell(&self.events, JobState::Joined, Some(self.id.clone())),
            Incoming::Restored(welcome) => {
                tell(&self.events, JobState::Joined, Some(self.id.clone()));
                self.on_restored(*welcome, role).await;
            }
        }
        None
    }

    /// The server knows of us what we told it and of the others what they will. Who does not come is gone.
    async fn on_restored(&mut self, welcome: Welcome, role: &mut dyn RoleMedia) {
        role.forgets();
        self.servers = Servers::new(welcome.ice, Instant::now(), SystemTime::now());
        let until = Instant::now() + RETURN_LIMIT;
        self.missing = self.others.keys().map(|id| (id.clone(), until)).collect();
        for participant in welcome.participants {
            self.on_joined(participant, true, role).await;
        }
    }

    /// Somebody came, or came back. `earlier`: it was in the room before us.
    pub(super) async fn on_joined(
        &mut self,
        participant: Participant,
        earlier: bool,
        role: &mut dyn RoleMedia,
    ) {
        let id = participant.id.clone();
        self.missing.remove(&id);
        if self.others.contains_key(&id) {
            return self.on_updated(participant, role).await;
        }
        let side = if earlier {
            Side::Offerer
        } else {
            Side::Answerer
        };
        self.meet(participant, side, role);
        // The newcomer's first peer is as it is to be.
        if let Some(chosen) = role.turn_to()
            && chosen != id
        {
            self.renew(&chosen, role).await;
        }
        if side == Side::Offerer {
            self.offer(&id, role).await;
        }
    }

    /// Takes leave of those who did not come back. Without the one whom the job is for, it is over.
    pub(super) fn part_from_missing(&mut self, role: &mut dyn RoleMedia) -> Option<Over> {
        let now = Instant::now();
        let late = self.missing.iter().filter(|(_, until)| **until <= now);
        let late: Vec<_> = late.map(|(id, _)| id.clone()).collect();
        for id in &late {
            self.part(id, role);
        }
        let source = role.enhances();
        let is_done = source.is_some_and(|source| late.contains(source));
        is_done.then_some(Over::Done)
    }
}
