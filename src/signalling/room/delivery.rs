//! Messages from one participant to another.

use super::rules::{check_description, unknown_participant};
use super::{Action, Refusal, Rooms};
use crate::signalling::ids::{Generation, ParticipantId, RoomName};
use crate::signalling::protocol::{ErrorCode, ServerMessage};

/// Who may send a message to whom: it depends on who was there first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    ToEarlier,
    ToLater,
    Either,
}

impl Direction {
    /// Places are those in the order of joining.
    fn check(self, type_name: &str, sender: usize, addressee: usize) -> Result<(), Refusal> {
        let rule = match self {
            Self::ToEarlier if sender < addressee => {
                "the participant that joined later offers; ask it with `renew`"
            }
            Self::ToLater if sender > addressee => {
                "it goes to those who joined later; you are the one who offers"
            }
            Self::ToEarlier | Self::ToLater | Self::Either => return Ok(()),
        };
        Err(Refusal::new(
            ErrorCode::InvalidMessage,
            format!("`{type_name}`: {rule}"),
        ))
    }
}

impl Rooms {
    /// Hands a message on, or says why not.
    pub(super) fn deliver(
        &self,
        room: &RoomName,
        from: &ParticipantId,
        to: ParticipantId,
        generation: Generation,
        direction: Direction,
        parcel: ServerMessage,
    ) -> Result<Vec<Action>, Refusal> {
        let type_name = parcel.type_name();
        let members = self.rooms.get(room).map_or(&[][..], Vec::as_slice);
        let place = |id: &ParticipantId| {
            members
                .iter()
                .position(|member| member.participant.id == *id)
        };
        let (Some(sender), Some(addressee)) = (place(from), place(&to)) else {
            return Err(unknown_participant(type_name, "to"));
        };
        if sender == addressee {
            return Err(unknown_participant(type_name, "to"));
        }
        if generation < Generation::FIRST {
            let message =
                format!("`{type_name}`: field `generation`: found 0, generations count from 1");
            return Err(Refusal::new(ErrorCode::InvalidMessage, message));
        }
        direction.check(type_name, sender, addressee)?;
        check_description(&members[sender].grants, type_name, &parcel)?;
        Ok(vec![Action::Send {
            to: vec![to],
            message: parcel,
        }])
    }
}
