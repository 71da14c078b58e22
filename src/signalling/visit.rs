//! A participant that speaks for itself inside the server, without a WebSocket.

use super::hub::{Admission, Entrance, Hub, Membership, Request};
use super::protocol::{ClientMessage, LeaveReason, ServerMessage};
use super::room::{Join, Refusal};

/// A stay in a room; it ends when this is dropped.
pub struct Visit {
    hub: Hub,
    membership: Membership,
    /// It takes the place of a connection.
    _admission: Admission,
}

impl Visit {
    /// Joins, as one that came in at the listening address; the grants of `join` are those of the token.
    ///
    /// # Errors
    /// What a WebSocket would be told.
    pub fn begin(hub: &Hub, join: Join, token: Option<&str>) -> Result<Self, Refusal> {
        let mut admission = hub.admission(Entrance::Public)?;
        let membership = hub.enter(Request {
            join,
            token: token.map(ToOwned::to_owned),
            session: None,
        })?;
        admission.not_joined = None;
        Ok(Self {
            hub: hub.clone(),
            membership,
            _admission: admission,
        })
    }

    /// Says something to the server; mistakes come back by [`Visit::hear`].
    pub fn say(&self, message: ClientMessage) {
        let connection = self.membership.outgoing.connection();
        self.hub
            .receive(&self.membership.id, connection, Ok(message));
    }

    /// The next message of the server; `None` when the server has ended this stay.
    pub async fn hear(&mut self) -> Option<ServerMessage> {
        loop {
            let text = tokio::select! {
                biased;
                text = self.membership.outgoing.next() => text?,
                _ = &mut self.membership.farewell => return None,
            };
            if let Ok(message) = serde_json::from_str(&text) {
                return Some(message);
            }
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let connection = self.membership.outgoing.connection();
        let id = &self.membership.id;
        self.hub
            .part(id, connection, LeaveReason::Left, Entrance::Public);
    }
}
