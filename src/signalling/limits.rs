//! How much of everything clients may have, and how long they may take.

use std::time::Duration;

use super::ids::RoomName;
use crate::auth::RoomPattern;

/// The limits of rooms and connections. `docs/protocol.md` tells clients the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Participants in one room.
    pub participants_per_room: usize,
    /// Rooms at the same time.
    pub rooms: usize,
    /// Where more people than this send, relays pass their media on.
    pub mesh_up_to: usize,
    /// Rooms in which nobody may record.
    pub not_recorded: Vec<RoomPattern>,
    /// Whether the server runs a filter for each participant that asks.
    pub filters: bool,
    /// Connections at the same time, those that have joined and those that have not.
    pub connections: usize,
    /// Of these, how many may be about to join. Workers on the private socket are not counted here: a crowd
    /// outside cannot lock them out.
    pub connections_not_joined: usize,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// From the connection to `join`.
    pub join_timeout: Duration,
    /// Between two pings of the server.
    pub ping_interval: Duration,
    /// Without a sign of life (a message or a pong); well above `ping_interval`.
    pub idle_timeout: Duration,
    /// Messages a client may send at once after a pause; a long message counts as several (see
    /// [`super::rate::message_cost`]). A newcomer in a full room needs about ten for each participant.
    pub message_burst: u32,
    /// Messages per second a client may send on and on.
    pub messages_per_second: u32,
    /// How long a participant whose connection was lost may come back to its session.
    pub resume_within: Duration,
    /// Messages that wait for a client that reads slowly, is away, or has not said that it received them.
    pub queue_messages: usize,
    /// Bytes of these.
    pub queue_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            participants_per_room: 50,
            rooms: 1000,
            mesh_up_to: 4,
            not_recorded: Vec::new(),
            filters: false,
            connections: 5000,
            connections_not_joined: 200,
            message_bytes: 64 * 1024,
            join_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(40),
            message_burst: 1000,
            messages_per_second: 100,
            resume_within: Duration::from_secs(30),
            // Above `message_burst`: one participant alone cannot fill another's queue.
            queue_messages: 2000,
            queue_bytes: 8 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// Whether recording is forbidden in this room.
    pub fn forbid_recording(&self, room: &RoomName) -> bool {
        self.not_recorded.iter().any(|rooms| rooms.matches(room))
    }
}

/// Characters of a participant's name.
pub const NAME_CHARACTERS: usize = 64;
