//! What a participant changes of itself, and who is told.

use super::filters::{followers, following};
use super::rules::{check_grants, check_recording, checked_name};
use super::{Action, Member, Refusal, Rooms};
use crate::signalling::ids::{ParticipantId, RoomName};
use crate::signalling::protocol::{Participant, Sends, ServerMessage};

/// An `update`; what is absent stays.
pub(super) struct Changes {
    pub sends: Option<Sends>,
    pub name: Option<String>,
    pub recording: Option<bool>,
    pub recordable: Option<bool>,
}

impl Rooms {
    /// Takes the changes over, and those of whoever improves its media; or says why not.
    pub(super) fn update(
        &mut self,
        room: &RoomName,
        id: &ParticipantId,
        changes: Changes,
    ) -> Result<Vec<Action>, Refusal> {
        let Some(members) = self.rooms.get_mut(room) else {
            return Ok(Vec::new());
        };
        let Some(member) = members.iter().find(|member| member.participant.id == *id) else {
            return Ok(Vec::new());
        };
        let mut changed = member.participant.clone();
        changed.sends = changes.sends.unwrap_or(changed.sends);
        changed.recording = changes.recording.unwrap_or(changed.recording);
        changed.recordable = changes.recordable.unwrap_or(changed.recordable);
        if changes.name.is_some() {
            changed.name = checked_name(changes.name)?;
        }
        check_grants(
            &member.grants,
            changed.kind,
            changed.sends,
            changed.recording,
        )?;
        if changes.recording == Some(true) {
            check_recording(&self.limits, room)?;
        }
        let changed = following(changed, members);
        let mut actions = replace(members, changed);
        for follower in followers(members, id) {
            let follower = following(follower, members);
            actions.extend(replace(members, follower));
        }
        Ok(actions)
    }
}

/// Puts a participant's new state in the place of its old one, and tells the others if it is another.
pub(super) fn replace(members: &mut [Member], changed: Participant) -> Vec<Action> {
    let id = changed.id.clone();
    let member = members.iter_mut().find(|one| one.participant.id == id);
    let Some(member) = member.filter(|member| member.participant != changed) else {
        return Vec::new();
    };
    member.participant = changed.clone();
    let others = members.iter().map(|member| member.participant.id.clone());
    let to: Vec<_> = others.filter(|other| *other != id).collect();
    if to.is_empty() {
        return Vec::new();
    }
    vec![Action::Send {
        to,
        message: ServerMessage::Updated {
            participant: changed,
        },
    }]
}
