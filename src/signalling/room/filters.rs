//! Filters in a room: who asked for one, and what one may do with its source's media. Pure.

use super::rules::check_filter;
use super::{Action, Member, Refusal, Rooms};
use crate::signalling::ids::{ParticipantId, RoomName};
use crate::signalling::protocol::Participant;

impl Rooms {
    /// The filter of somebody has ended by itself: it may ask again.
    pub fn filter_ended(&mut self, of: &ParticipantId) {
        let room = self.whereabouts.get(of);
        let members = room.and_then(|room| self.rooms.get_mut(room));
        let mut members = members.into_iter().flatten();
        if let Some(member) = members.find(|member| member.participant.id == *of) {
            member.filtered = false;
        }
    }

    pub(super) fn filter(
        &mut self,
        room: &RoomName,
        of: &ParticipantId,
        on: bool,
    ) -> Result<Vec<Action>, Refusal> {
        let members = self.rooms.get_mut(room);
        let mut members = members.into_iter().flatten();
        let Some(member) = members.find(|member| member.participant.id == *of) else {
            return Ok(Vec::new());
        };
        check_filter(&self.limits, &member.grants)?;
        if std::mem::replace(&mut member.filtered, on) == on {
            return Ok(Vec::new());
        }
        Ok(vec![Action::Filter {
            room: room.clone(),
            of: of.clone(),
            on,
        }])
    }
}

/// Whether a filter's media may be recorded is for the one to say whose media it is.
pub(super) fn following(mut participant: Participant, members: &[Member]) -> Participant {
    let mut others = members.iter().map(|member| &member.participant);
    let source = participant.enhances.as_ref();
    if let Some(source) = source.and_then(|id| others.find(|other| other.id == *id)) {
        participant.recordable = source.recordable;
    }
    participant
}

/// The filters of a participant.
pub(super) fn followers(members: &[Member], id: &ParticipantId) -> Vec<Participant> {
    let participants = members.iter().map(|member| &member.participant);
    let of_it = participants.filter(|other| other.enhances.as_ref() == Some(id));
    of_it.cloned().collect()
}
