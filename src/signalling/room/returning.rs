//! Participants whose connection is lost, and those who come back after the server was started anew. Pure.

use super::changes::replace;
use super::{Action, Join, Place, Refusal, Rooms};
use crate::auth::Grants;
use crate::signalling::ids::{ParticipantId, RoomName};
use crate::signalling::protocol::Kind;

/// What a participant is to come back as.
#[derive(Debug)]
pub struct Standing<'a> {
    /// Where it is.
    pub room: &'a RoomName,
    /// What it is.
    pub kind: Kind,
    /// When it came, among all.
    pub place: Place,
    /// What it may do.
    pub grants: &'a Grants,
}

impl Rooms {
    /// Takes somebody back whom a former server had let in, at its former place, or says why not. Whom it enhances may
    /// come back later than itself.
    pub fn restore(
        &mut self,
        id: ParticipantId,
        join: Join,
        place: Place,
    ) -> Result<Vec<Action>, Refusal> {
        self.check_join(&join)?;
        self.forget(&id);
        self.enter(id, join, place)
    }

    /// The connection of somebody is lost, or there again: the others learn of it.
    pub fn set_away(&mut self, id: &ParticipantId, away: bool) -> Vec<Action> {
        let room = self.whereabouts.get(id);
        let Some(members) = room.and_then(|room| self.rooms.get_mut(room)) else {
            return Vec::new();
        };
        let member = members.iter().find(|member| member.participant.id == *id);
        let Some(mut changed) = member.map(|member| member.participant.clone()) else {
            return Vec::new();
        };
        changed.away = away;
        replace(members, changed)
    }

    /// Who somebody is, and what it may do.
    pub fn standing(&self, id: &ParticipantId) -> Option<Standing<'_>> {
        let room = self.whereabouts.get(id)?;
        let mut members = self.rooms.get(room)?.iter();
        let member = members.find(|member| member.participant.id == *id)?;
        Some(Standing {
            room,
            kind: member.participant.kind,
            place: member.place,
            grants: &member.grants,
        })
    }

    /// Takes somebody out of its room; nobody hears of it.
    fn forget(&mut self, id: &ParticipantId) {
        let Some(room) = self.whereabouts.remove(id) else {
            return;
        };
        if let Some(members) = self.rooms.get_mut(&room) {
            members.retain(|member| member.participant.id != *id);
            if members.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }
}
