//! What must hold for the room machine, whatever clients do.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::tests::{id, offer, rooms, wish};
use super::*;
use crate::signalling::ids::Generation;

/// What clients may do, with clients and rooms by number.
#[derive(Debug, Clone)]
enum Step {
    Join {
        client: usize,
        room: usize,
        send: bool,
    },
    Offer {
        client: usize,
        to: usize,
    },
    Answer {
        client: usize,
        to: usize,
    },
    Candidate {
        client: usize,
        to: usize,
    },
    Renew {
        client: usize,
        to: usize,
    },
    Update {
        client: usize,
        audio: bool,
    },
    JoinAgain {
        client: usize,
    },
    Leave {
        client: usize,
    },
    Lose {
        client: usize,
    },
    Remove {
        client: usize,
        room: usize,
    },
}

const CLIENTS: usize = 6;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0..CLIENTS;
    let pair = (client.clone(), client.clone());
    let step = prop_oneof![
        4 => (client.clone(), 0..3_usize, any::<bool>())
            .prop_map(|(client, room, send)| Step::Join { client, room, send }),
        2 => pair.clone().prop_map(|(client, to)| Step::Offer { client, to }),
        2 => pair.clone().prop_map(|(client, to)| Step::Answer { client, to }),
        4 => pair.clone().prop_map(|(client, to)| Step::Candidate { client, to }),
        1 => pair.prop_map(|(client, to)| Step::Renew { client, to }),
        2 => (client.clone(), any::<bool>()).prop_map(|(client, audio)| Step::Update { client, audio }),
        1 => client.clone().prop_map(|client| Step::JoinAgain { client }),
        1 => client.clone().prop_map(|client| Step::Leave { client }),
        1 => client.clone().prop_map(|client| Step::Lose { client }),
        1 => (client, 0..3_usize).prop_map(|(client, room)| Step::Remove { client, room }),
    ];
    prop::collection::vec(step, 0..120)
}

/// The machine under test beside a far simpler idea of it: who is where. Client numbers become fresh ids with
/// every join, as in the hub.
struct Model {
    rooms: Rooms,
    /// By client number: id and room.
    present: BTreeMap<usize, (ParticipantId, usize)>,
    last_ids: HashMap<usize, ParticipantId>,
    joins: usize,
    /// Candidates carry a number that grows; the last one each received from each.
    sent: u32,
    received: HashMap<(ParticipantId, ParticipantId), u32>,
}

impl Model {
    fn new() -> Self {
        Self {
            rooms: rooms(),
            present: BTreeMap::new(),
            last_ids: HashMap::new(),
            joins: 0,
            sent: 0,
            received: HashMap::new(),
        }
    }

    /// The client's id; one that left keeps its last, one that never came gets one nobody has.
    fn id_of(&self, client: usize) -> ParticipantId {
        self.last_ids
            .get(&client)
            .cloned()
            .unwrap_or_else(|| id("nobody"))
    }

    fn room_of(&self, member: &ParticipantId) -> Option<usize> {
        self.present
            .values()
            .find(|(id, _)| id == member)
            .map(|(_, room)| *room)
    }

    fn apply(&mut self, step: &Step) {
        let (client, message) = match *step {
            Step::Join { client, room, send } => return self.join(client, room, send),
            Step::Lose { client } => return self.lose(client),
            Step::Remove { client, room } => return self.remove(client, room),
            Step::Leave { client } => return self.leave(client),
            Step::Offer { client, to } => (client, offer(self.id_of(to).as_str(), "v=0")),
            Step::Answer { client, to } => {
                let (to, generation) = (self.id_of(to), Generation(1));
                (
                    client,
                    ClientMessage::Answer {
                        to,
                        generation,
                        sdp: String::new(),
                    },
                )
            }
            Step::Candidate { client, to } => {
                self.sent += 1;
                let (to, generation) = (self.id_of(to), Generation(self.sent));
                (
                    client,
                    ClientMessage::Candidate {
                        to,
                        generation,
                        candidate: String::new(),
                        mline: 0,
                    },
                )
            }
            Step::Renew { client, to } => (
                client,
                ClientMessage::Renew {
                    to: self.id_of(to),
                    generation: Generation(1),
                },
            ),
            Step::Update { client, audio } => {
                let sends = Some(Sends {
                    audio,
                    video: false,
                });
                (
                    client,
                    ClientMessage::Update {
                        sends,
                        name: None,
                        recording: None,
                        recordable: None,
                    },
                )
            }
            Step::JoinAgain { client } => (
                client,
                ClientMessage::Join {
                    protocol: 1,
                    room: room_name(0),
                    kind: Kind::Person,
                    name: None,
                    token: None,
                    sends: Sends::default(),
                    recording: false,
                    recordable: true,
                    enhances: None,
                    session: None,
                },
            ),
        };
        let sender = self.id_of(client);
        let actions = self.rooms.handle(&sender, message);
        if !self.present.contains_key(&client) {
            assert_eq!(actions, [], "somebody outside caused something");
        }
        self.check(&sender, &actions);
    }

    fn join(&mut self, client: usize, room: usize, send: bool) {
        if self.present.contains_key(&client) {
            return;
        }
        self.joins += 1;
        let newcomer = id(&format!("p{}", self.joins));
        let grants = Grants {
            send,
            ..Grants::everything()
        };
        let join = Join {
            grants,
            ..wish(room_name(room).as_str())
        };
        let actions = self.rooms.join(newcomer.clone(), join).unwrap();
        let Action::Welcome { participants, .. } = &actions[0] else {
            panic!("{actions:?}")
        };
        for participant in participants {
            assert_eq!(
                self.room_of(&participant.id),
                Some(room),
                "welcomed with a stranger"
            );
        }
        let others = self.present.values().filter(|(_, of)| *of == room).count();
        assert_eq!(participants.len(), others);
        self.present.insert(client, (newcomer.clone(), room));
        self.last_ids.insert(client, newcomer.clone());
        self.check(&newcomer, &actions);
    }

    fn leave(&mut self, client: usize) {
        let leaver = self.id_of(client);
        let actions = self.rooms.handle(&leaver, ClientMessage::Leave);
        self.gone(client, &actions);
    }

    fn lose(&mut self, client: usize) {
        let actions = self.rooms.leave(&self.id_of(client), LeaveReason::Lost);
        self.gone(client, &actions);
    }

    fn remove(&mut self, client: usize, room: usize) {
        let there = self.present.get(&client).is_some_and(|(_, of)| *of == room);
        let actions = self.rooms.remove(&room_name(room), &self.id_of(client));
        assert_eq!(actions.is_some(), there);
        if let Some(actions) = actions {
            self.gone(client, &actions);
        }
    }

    /// Everybody who stays in the room hears it, nobody else does.
    fn gone(&mut self, client: usize, actions: &[Action]) {
        let Some((_, room)) = self.present.remove(&client) else {
            assert_eq!(actions, []);
            return;
        };
        let mut told = Vec::new();
        for action in actions {
            if let Action::Send {
                to,
                message: ServerMessage::Left { .. },
            } = action
            {
                told.extend(to.clone());
            }
        }
        told.sort();
        let mut rest: Vec<_> = self
            .present
            .values()
            .filter(|(_, of)| *of == room)
            .map(|(id, _)| id.clone())
            .collect();
        rest.sort();
        assert_eq!(told, rest);
    }

    /// No message reaches a stranger, errors come to their cause only, candidates keep their order.
    fn check(&mut self, sender: &ParticipantId, actions: &[Action]) {
        let room = self.room_of(sender);
        for action in actions {
            match action {
                Action::Welcome { you, .. } => assert_eq!(you.id, *sender),
                Action::IceServers { to } => assert_eq!(to, sender),
                Action::Close { id, .. } => assert_eq!(id, sender),
                Action::Filter { .. } => panic!("nobody asked for a filter"),
                Action::Send {
                    to,
                    message: ServerMessage::Error { .. },
                } => assert_eq!(to.as_slice(), std::slice::from_ref(sender)),
                Action::Send { to, message } => {
                    for addressee in to {
                        assert_ne!(addressee, sender);
                        assert_eq!(self.room_of(addressee), room, "a stranger got {message:?}");
                    }
                    self.check_order(sender, to, message);
                }
            }
        }
    }

    fn check_order(
        &mut self,
        sender: &ParticipantId,
        to: &[ParticipantId],
        message: &ServerMessage,
    ) {
        let ServerMessage::Candidate {
            from, generation, ..
        } = message
        else {
            return;
        };
        assert_eq!(from, sender, "somebody spoke in another's name");
        let before = self
            .received
            .insert((sender.clone(), to[0].clone()), generation.0);
        assert!(before.is_none_or(|before| before < generation.0));
    }
}

fn room_name(number: usize) -> RoomName {
    format!("room{number}").parse().unwrap()
}

proptest! {
    #[test]
    fn no_message_ever_reaches_a_stranger_and_nothing_is_left_when_all_have_left(steps in steps()) {
        let mut model = Model::new();
        for step in &steps {
            model.apply(step);
            let seen: usize = model.rooms.views().iter().map(|room| room.participants.len()).sum();
            prop_assert_eq!(seen, model.present.len());
            prop_assert!(model.rooms.views().iter().all(|room| !room.participants.is_empty()));
        }
        for client in 0..CLIENTS {
            model.lose(client);
        }
        prop_assert!(model.rooms.is_empty());
    }
}
