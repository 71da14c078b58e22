//! How a participant's stay begins, goes on over another connection, and ends.

use std::time::{Duration, SystemTime};

use tracing::info;

use super::{Entrance, Hub, Membership, State, server_stopping, text_of};
use crate::signalling::ids::ParticipantId;
use crate::signalling::keys::Bearer;
use crate::signalling::outbox::{Outbox, taken};
use crate::signalling::protocol::{ErrorCode, LeaveReason, ServerMessage, SessionWish};
use crate::signalling::room::{Join, Refusal};

/// A `join` as it came: its tokens are not looked at yet.
pub(in crate::signalling) struct Request {
    /// What is wanted; the grants are to be filled in.
    pub join: Join,
    /// The room token.
    pub token: Option<String>,
    /// The session, if one is wanted.
    pub session: Option<SessionWish>,
}

impl Hub {
    /// Lets a newcomer in, or somebody come back; its welcome is the first thing in its outbox.
    pub(in crate::signalling) fn enter(&self, request: Request) -> Result<Membership, Refusal> {
        let mut state = self.state();
        if state.stopping {
            return Err(server_stopping());
        }
        let wish = request.session.as_ref();
        let Some((token, received)) =
            wish.and_then(|wish| Some((wish.token.as_ref()?, wish.received)))
        else {
            return self.join(&mut state, request);
        };
        let bearer = self.shared.keys.read(token, SystemTime::now());
        let back = match bearer.filter(|bearer| bearer.room == request.join.room) {
            Some(bearer) if bearer.is_of_this_run => {
                self.resume(&mut state, &bearer.id, received)?
            }
            Some(bearer) => self.restore(&mut state, &bearer, &request.join)?,
            None => None,
        };
        back.ok_or_else(|| {
            Refusal::new(
                ErrorCode::SessionOver,
                "`join`: field `session.token`: there is no such session any more; join without it",
            )
        })
    }

    fn join(&self, state: &mut State, request: Request) -> Result<Membership, Refusal> {
        let Request {
            mut join,
            token,
            session,
        } = request;
        let grants = self.shared.auth.room(&join.room, token.as_deref());
        join.grants = grants.map_err(|error| {
            let message = format!("`join`: field `token`: {error}");
            Refusal::new(ErrorCode::Unauthorized, message)
        })?;
        let id = ParticipantId::random();
        let (room, kind) = (join.room.clone(), join.kind);
        let actions = state.rooms.join(id.clone(), join)?;
        let membership = self.seat(state, id, session.is_some());
        self.perform(state, actions);
        info!(participant = %membership.id, %room, ?kind, "joined");
        Ok(membership)
    }

    /// Goes on with a session whose connection was lost, or is about to be; `None` where there is none.
    fn resume(
        &self,
        state: &mut State,
        id: &ParticipantId,
        received: u64,
    ) -> Result<Option<Membership>, Refusal> {
        let connection = state.connections + 1;
        let outbox = state.outboxes.get_mut(id);
        let Some(outbox) = outbox.filter(|outbox| outbox.keeps()) else {
            return Ok(None);
        };
        outbox.resume(received).map_err(|wrong| {
            let message = format!("`join`: field `session.received`: {wrong}");
            Refusal::new(ErrorCode::InvalidMessage, message)
        })?;
        let (outgoing, farewell) = outbox.attach(connection);
        outbox.begin_with(text_of(&ServerMessage::Resumed {
            received: outbox.received(),
        }));
        state.connections = connection;
        let actions = state.rooms.set_away(id, false);
        self.perform(state, actions);
        info!(participant = %id, room = state.rooms.room_of(id).map(tracing::field::display), "came back");
        Ok(Some(Membership {
            id: id.clone(),
            outgoing,
            farewell,
        }))
    }

    /// Takes somebody back whom a server before this one had let in; `None` where it has left since.
    fn restore(
        &self,
        state: &mut State,
        bearer: &Bearer,
        join: &Join,
    ) -> Result<Option<Membership>, Refusal> {
        let id = bearer.id.clone();
        if state.restored.contains(&id) && !state.rooms.has(&bearer.room, &id) {
            return Ok(None);
        }
        let join = Join {
            kind: bearer.kind,
            grants: bearer.grants.clone(),
            ..join.clone()
        };
        let actions = state.rooms.restore(id.clone(), join, bearer.place)?;
        state.restored.insert(id.clone());
        if let Some(former) = state.outboxes.remove(&id) {
            former.close(Some(taken()));
        }
        let membership = self.seat(state, id, true);
        self.perform(state, actions);
        info!(participant = %membership.id, room = %bearer.room, "came back after the restart");
        Ok(Some(membership))
    }

    /// An outbox and the first connection to it.
    fn seat(&self, state: &mut State, id: ParticipantId, keeps: bool) -> Membership {
        let mut outbox = Outbox::new(&self.shared.limits, keeps);
        state.connections += 1;
        let (outgoing, farewell) = outbox.attach(state.connections);
        state.outboxes.insert(id.clone(), outbox);
        Membership {
            id,
            outgoing,
            farewell,
        }
    }

    /// A connection has ended. Its participant leaves with it, unless it was lost and may come back: then the time is
    /// returned within which that has to be, see [`Hub::expire`]. No network lies between a worker and the private socket:
    /// one that is lost there has died, and the next one is somebody else.
    pub(in crate::signalling) fn part(
        &self,
        id: &ParticipantId,
        connection: u64,
        reason: LeaveReason,
        entrance: Entrance,
    ) -> Option<Duration> {
        let mut state = self.state();
        let stopping = state.stopping;
        let outbox = state.outboxes.get_mut(id)?;
        if !outbox.is_current(connection) {
            return None;
        }
        let may_return = outbox.keeps() && !stopping && entrance == Entrance::Public;
        let actions = if reason == LeaveReason::Lost && may_return {
            outbox.detach();
            info!(participant = %id, room = state.rooms.room_of(id).map(tracing::field::display), "away");
            state.rooms.set_away(id, true)
        } else {
            state.outboxes.remove(id);
            info!(participant = %id, room = state.rooms.room_of(id).map(tracing::field::display), ?reason, "left");
            state.rooms.leave(id, reason)
        };
        self.perform(&mut state, actions);
        let is_away = state.outboxes.contains_key(id);
        is_away.then_some(self.shared.limits.resume_within)
    }

    /// Who has not come back by now has left.
    pub(in crate::signalling) fn expire(&self, id: &ParticipantId, connection: u64) {
        let mut state = self.state();
        let outbox = state.outboxes.get(id);
        if !outbox.is_some_and(|outbox| outbox.is_current(connection)) {
            return;
        }
        state.outboxes.remove(id);
        info!(participant = %id, room = state.rooms.room_of(id).map(tracing::field::display), "did not come back");
        let actions = state.rooms.leave(id, LeaveReason::Lost);
        self.perform(&mut state, actions);
    }
}
