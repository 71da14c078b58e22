//! All rooms as one pure state machine: joins, messages and departures in, actions out. No sockets, no clock.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::ids::{ParticipantId, RoomName};
use super::limits::Limits;
use super::protocol::{
    ClientMessage, ErrorCode, Kind, LeaveReason, Participant, Sends, ServerMessage,
};
use crate::auth::Grants;

mod action;
mod changes;
mod delivery;
mod filters;
#[cfg(test)]
mod properties;
mod returning;
mod rules;
#[cfg(test)]
mod tests;

pub use action::{Action, Refusal};

use changes::Changes;
use delivery::Direction;
use filters::following;
use rules::{already_joined, check_grants, check_recording, checked_name, unknown_participant};

/// A `join` whose token was looked at already.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// The room to enter.
    pub room: RoomName,
    /// What the newcomer is.
    pub kind: Kind,
    /// The name to be shown by; an empty one is none.
    pub name: Option<String>,
    /// What it sends at the start.
    pub sends: Sends,
    /// It will write the call down.
    pub recording: bool,
    /// It may be recorded.
    pub recordable: bool,
    /// Whose media it improves.
    pub enhances: Option<ParticipantId>,
    /// What its token, or the lack of one, allows.
    pub grants: Grants,
}

/// A room as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RoomView {
    /// Its name.
    #[schema(value_type = String)]
    pub name: RoomName,
    /// Who is in it, in the order in which they came.
    pub participants: Vec<Participant>,
}

#[derive(Debug, PartialEq)]
struct Member {
    participant: Participant,
    /// Grows with every join, over restarts of the server, too.
    place: Place,
    grants: Grants,
    /// It asked for a filter.
    filtered: bool,
}

/// A participant's place in the order of joining, among all that ever joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(pub u64);

/// All rooms. A room is here as long as somebody is in it.
#[derive(Debug)]
pub struct Rooms {
    limits: Limits,
    next: Place,
    /// Members in the order in which they joined: of two, the one with the greater index offers.
    rooms: HashMap<RoomName, Vec<Member>>,
    whereabouts: HashMap<ParticipantId, RoomName>,
}

impl Rooms {
    /// No rooms yet; the first to join gets this place. It is above all places that a former server gave.
    pub fn new(limits: &Limits, first: Place) -> Self {
        Self {
            limits: limits.clone(),
            next: first,
            rooms: HashMap::new(),
            whereabouts: HashMap::new(),
        }
    }

    /// Lets somebody in, or says why not. `id` must be fresh.
    pub fn join(&mut self, id: ParticipantId, join: Join) -> Result<Vec<Action>, Refusal> {
        if self.whereabouts.contains_key(&id) {
            return Err(already_joined());
        }
        self.check_join(&join)?;
        self.check_source(&join)?;
        let place = self.next;
        self.enter(id, join, place)
    }

    fn enter(
        &mut self,
        id: ParticipantId,
        join: Join,
        place: Place,
    ) -> Result<Vec<Action>, Refusal> {
        let you = Participant {
            id: id.clone(),
            kind: join.kind,
            name: checked_name(join.name)?,
            identity: join.grants.identity.clone(),
            sends: join.sends,
            recording: join.recording,
            recordable: join.recordable,
            enhances: join.enhances,
            away: false,
        };
        self.next = self.next.max(Place(place.0.saturating_add(1)));
        self.whereabouts.insert(id, join.room.clone());
        let members = self.rooms.entry(join.room).or_default();
        let you = following(you, members);
        let index = members.partition_point(|member| member.place < place);
        let actions = greet(&you, members, index);
        let member = Member {
            participant: you,
            place,
            grants: join.grants,
            filtered: false,
        };
        members.insert(index, member);
        Ok(actions)
    }

    fn check_join(&self, join: &Join) -> Result<(), Refusal> {
        if !join.grants.join {
            return Err(Refusal::new(
                ErrorCode::Forbidden,
                "`join`: the token does not allow to join this room",
            ));
        }
        check_grants(&join.grants, join.kind, join.sends, join.recording)?;
        if join.kind == Kind::Recorder || join.recording {
            check_recording(&self.limits, &join.room)?;
        }
        let members = self.rooms.get(&join.room).map_or(&[][..], Vec::as_slice);
        if members.is_empty() && self.rooms.len() >= self.limits.rooms {
            let message = format!(
                "`join`: the server has {} rooms, as many as it may",
                self.rooms.len()
            );
            return Err(Refusal::new(ErrorCode::ServerFull, message));
        }
        if members.len() >= self.limits.participants_per_room {
            let message = format!(
                "`join`: the room has {} participants, as many as it may",
                members.len()
            );
            return Err(Refusal::new(ErrorCode::RoomFull, message));
        }
        Ok(())
    }

    /// Whether the one whose media it improves is there.
    fn check_source(&self, join: &Join) -> Result<(), Refusal> {
        let Some(enhanced) = &join.enhances else {
            return Ok(());
        };
        let members = self.rooms.get(&join.room).map_or(&[][..], Vec::as_slice);
        if !matches!(join.kind, Kind::Filter | Kind::Relay) {
            let message =
                "`join`: `enhances` is for participants of kind `filter` and `relay` only";
            return Err(Refusal::new(ErrorCode::InvalidMessage, message));
        }
        // It is seen and heard in the place of another one.
        if !join.grants.filter {
            let message = "field `enhances`: the token does not allow to filter";
            return Err(Refusal::new(ErrorCode::Forbidden, message));
        }
        if !members
            .iter()
            .any(|member| member.participant.id == *enhanced)
        {
            return Err(unknown_participant("join", "enhances"));
        }
        Ok(())
    }

    /// A message of somebody who joined. Mistakes come back to the sender; nobody else learns of them.
    pub fn handle(&mut self, from: &ParticipantId, message: ClientMessage) -> Vec<Action> {
        let Some(room) = self.whereabouts.get(from).cloned() else {
            return Vec::new();
        };
        let result = match message {
            ClientMessage::Join { .. } => Err(already_joined()),
            ClientMessage::Offer {
                to,
                generation,
                sdp,
            } => {
                let parcel = ServerMessage::Offer {
                    from: from.clone(),
                    generation,
                    sdp,
                };
                self.deliver(&room, from, to, generation, Direction::ToEarlier, parcel)
            }
            ClientMessage::Answer {
                to,
                generation,
                sdp,
            } => {
                let parcel = ServerMessage::Answer {
                    from: from.clone(),
                    generation,
                    sdp,
                };
                self.deliver(&room, from, to, generation, Direction::ToLater, parcel)
            }
            ClientMessage::Candidate {
                to,
                generation,
                candidate,
                mline,
            } => {
                let parcel = ServerMessage::Candidate {
                    from: from.clone(),
                    generation,
                    candidate,
                    mline,
                };
                self.deliver(&room, from, to, generation, Direction::Either, parcel)
            }
            ClientMessage::Renew { to, generation } => {
                let parcel = ServerMessage::Renew {
                    from: from.clone(),
                    generation,
                };
                self.deliver(&room, from, to, generation, Direction::ToLater, parcel)
            }
            ClientMessage::Update {
                sends,
                name,
                recording,
                recordable,
            } => {
                let changes = Changes {
                    sends,
                    name,
                    recording,
                    recordable,
                };
                self.update(&room, from, changes)
            }
            ClientMessage::Filter { on } => self.filter(&room, from, on),
            ClientMessage::IceServers => Ok(vec![Action::IceServers { to: from.clone() }]),
            // Whoever keeps messages for the client hears of it before.
            ClientMessage::Ack { .. } => Ok(Vec::new()),
            ClientMessage::Leave => {
                let mut actions = self.leave(from, LeaveReason::Left);
                actions.push(Action::Close {
                    id: from.clone(),
                    refusal: None,
                });
                Ok(actions)
            }
        };
        result.unwrap_or_else(|refusal| {
            vec![Action::Send {
                to: vec![from.clone()],
                message: refusal.into_message(false),
            }]
        })
    }

    /// Takes somebody out of its room; the others learn why. Nothing happens if it is in none.
    pub fn leave(&mut self, id: &ParticipantId, reason: LeaveReason) -> Vec<Action> {
        let Some(room) = self.whereabouts.remove(id) else {
            return Vec::new();
        };
        let Some(members) = self.rooms.get_mut(&room) else {
            return Vec::new();
        };
        let is_it = |member: &&Member| member.participant.id == *id;
        let filtered = members.iter().find(is_it).is_some_and(|it| it.filtered);
        let mut actions = Vec::new();
        if filtered {
            let (room, of) = (room.clone(), id.clone());
            actions.push(Action::Filter {
                room,
                of,
                on: false,
            });
        }
        members.retain(|member| member.participant.id != *id);
        if members.is_empty() {
            self.rooms.remove(&room);
            return actions;
        }
        let to = members
            .iter()
            .map(|member| member.participant.id.clone())
            .collect();
        actions.push(Action::Send {
            to,
            message: ServerMessage::Left {
                id: id.clone(),
                reason,
            },
        });
        actions
    }

    /// Removes somebody from this room and ends its connection; `None` if it is not there.
    pub fn remove(&mut self, room: &RoomName, id: &ParticipantId) -> Option<Vec<Action>> {
        if self.whereabouts.get(id) != Some(room) {
            return None;
        }
        let mut actions = self.leave(id, LeaveReason::Removed);
        let refusal = Refusal::new(ErrorCode::Removed, "a manager of the room removed you");
        actions.push(Action::Close {
            id: id.clone(),
            refusal: Some(refusal),
        });
        Some(actions)
    }

    /// Every room, by name.
    pub fn views(&self) -> Vec<RoomView> {
        let mut views: Vec<_> = self
            .rooms
            .iter()
            .map(|(name, members)| RoomView {
                name: name.clone(),
                participants: members
                    .iter()
                    .map(|member| member.participant.clone())
                    .collect(),
            })
            .collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// Whether somebody is in this room.
    pub fn has(&self, room: &RoomName, id: &ParticipantId) -> bool {
        self.whereabouts.get(id) == Some(room)
    }

    /// Which room somebody is in.
    pub fn room_of(&self, id: &ParticipantId) -> Option<&RoomName> {
        self.whereabouts.get(id)
    }

    /// The first of those in this room who is such, in the order in which they came.
    pub fn find(
        &self,
        room: &RoomName,
        is_such: impl Fn(&Participant) -> bool,
    ) -> Option<&Participant> {
        let members = self.rooms.get(room).map_or(&[][..], Vec::as_slice);
        let mut participants = members.iter().map(|member| &member.participant);
        participants.find(|participant| is_such(participant))
    }

    /// How many of those in this room are such.
    pub fn count(&self, room: &RoomName, is_such: impl Fn(&Participant) -> bool) -> usize {
        let members = self.rooms.get(room).map_or(&[][..], Vec::as_slice);
        members
            .iter()
            .filter(|member| is_such(&member.participant))
            .count()
    }

    /// Nobody is anywhere, and nothing is remembered of those who were.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty() && self.whereabouts.is_empty()
    }
}

/// What is told when somebody takes this index among the members: whom it finds before it, and who finds it.
fn greet(you: &Participant, members: &[Member], index: usize) -> Vec<Action> {
    let (before, after) = members.split_at(index);
    let participants = |members: &[Member]| -> Vec<_> {
        let each = members.iter().map(|member| member.participant.clone());
        each.collect()
    };
    let mut actions = vec![Action::Welcome {
        you: you.clone(),
        participants: participants(before),
    }];
    for participant in participants(after) {
        actions.push(Action::Send {
            to: vec![you.id.clone()],
            message: ServerMessage::Joined {
                participant,
                earlier: false,
            },
        });
    }
    for (to, earlier) in [(before, false), (after, true)] {
        if to.is_empty() {
            continue;
        }
        let to = to.iter().map(|member| member.participant.id.clone());
        actions.push(Action::Send {
            to: to.collect(),
            message: ServerMessage::Joined {
                participant: you.clone(),
                earlier,
            },
        });
    }
    actions
}
