//! Large rooms: where more people send than a mesh carries, a relay passes each one's media on to the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::job::{JobSpec, Of, Parameters, Role};
use crate::signalling::Hub;
use crate::signalling::ids::{JobId, RoomName};
use crate::signalling::protocol::Kind;
use crate::signalling::room::RoomView;
use crate::supervisor::{JobView, Supervisor};

/// How often rooms are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A room that became small keeps its relays for so long: somebody may come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a relay ended by itself, or could not be had, another one is tried after this.
const AGAIN: Duration = Duration::from_secs(30);

/// Has rooms relayed where more than `mesh_up_to` people send, for ever.
pub async fn serve(hub: Hub, supervisor: Supervisor, mesh_up_to: usize) {
    let mut rooms = LargeRooms::new(mesh_up_to);
    let mut jobs: HashMap<RoomName, JobId> = HashMap::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        jobs.retain(|_, job| supervisor.get(job).is_some_and(|view| !view.ended()));
        let sizes = hub.snapshot().iter().map(size).collect();
        let is_relayed = |room: &RoomName| jobs.contains_key(room);
        for (room, wish) in rooms.look(&sizes, is_relayed, Instant::now()) {
            match wish {
                Wish::Relay => {
                    let present = hub.present(&room);
                    if let Some(job) = relay(&supervisor, room.clone(), present) {
                        jobs.insert(room, job);
                    }
                }
                Wish::Mesh => {
                    if let Some(job) = jobs.get(&room) {
                        supervisor.stop(job);
                    }
                }
            }
        }
    }
}

/// How many people send in a room. Kiosks encode once for all anyway.
fn size(room: &RoomView) -> (RoomName, usize) {
    let sends = |kind: Kind, audio: bool, video: bool| kind == Kind::Person && (audio || video);
    let people = room.participants.iter();
    let people = people.filter(|one| sends(one.kind, one.sends.audio, one.sends.video));
    (room.name.clone(), people.count())
}

/// The relay of a room; one that a former server or an operator started serves as well.
fn relay(supervisor: &Supervisor, room: RoomName, present: usize) -> Option<JobId> {
    let works = |view: &JobView| {
        view.spec.role == Role::Relay
            && view.spec.of == Some(Of::Everybody)
            && view.spec.room == room
            && !view.ended()
    };
    if let Some(view) = supervisor.list().into_iter().find(works) {
        return Some(view.id);
    }
    let spec = JobSpec {
        memory_limit_mb: None,
        role: Role::Relay,
        room: room.clone(),
        description: None,
        parameters: Parameters::new(),
        name: None,
        of: Some(Of::Everybody),
        remote: None,
    };
    match supervisor.start_if_room(spec, present) {
        Ok(view) => {
            info!(%room, "it is large: its people are relayed from now on");
            Some(view.id)
        }
        Err(error) => {
            warn!(%room, %error, "it is large, and goes on without relays");
            None
        }
    }
}

/// What a room needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Relay,
    Mesh,
}

/// Which rooms are to be relayed. Pure.
struct LargeRooms {
    mesh_up_to: usize,
    /// When they were seen to be small, of those that are relayed.
    small: HashMap<RoomName, Instant>,
    /// When a relay was asked for last.
    asked: HashMap<RoomName, Instant>,
}

impl LargeRooms {
    fn new(mesh_up_to: usize) -> Self {
        Self {
            mesh_up_to,
            small: HashMap::new(),
            asked: HashMap::new(),
        }
    }

    /// What is to be done, with so many people in each room.
    fn look(
        &mut self,
        sizes: &HashMap<RoomName, usize>,
        is_relayed: impl Fn(&RoomName) -> bool,
        now: Instant,
    ) -> Vec<(RoomName, Wish)> {
        self.small.retain(|room, _| sizes.contains_key(room));
        self.asked.retain(|room, _| sizes.contains_key(room));
        let mut wishes = Vec::new();
        for (room, size) in sizes {
            let is_large = *size > self.mesh_up_to;
            if is_large {
                self.small.remove(room);
            }
            match (is_large, is_relayed(room)) {
                (true, false) => {
                    let asked = self.asked.get(room);
                    if asked.is_none_or(|asked| now - *asked >= AGAIN) {
                        self.asked.insert(room.clone(), now);
                        wishes.push((room.clone(), Wish::Relay));
                    }
                }
                (false, true) => {
                    let since = *self.small.entry(room.clone()).or_insert(now);
                    if now - since >= PATIENCE {
                        self.asked.remove(room);
                        wishes.push((room.clone(), Wish::Mesh));
                    }
                }
                (true, true) => {}
                (false, false) => {
                    self.small.remove(room);
                    self.asked.remove(room);
                }
            }
        }
        wishes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_relayed_while_it_is_large_and_a_little_longer() {
        let mut rooms = LargeRooms::new(4);
        let began = Instant::now();
        let mut look = |people: usize, is_relayed: bool, s: u64| {
            let sizes = HashMap::from([("hall".parse().unwrap(), people)]);
            let wishes = rooms.look(&sizes, |_| is_relayed, began + Duration::from_secs(s));
            wishes.first().map(|(_, wish)| *wish)
        };
        assert_eq!(look(4, false, 0), None);
        assert_eq!(look(5, false, 1), Some(Wish::Relay));
        assert_eq!(
            look(5, false, 2),
            None,
            "it could not be had: not at once again"
        );
        assert_eq!(look(5, false, 31), Some(Wish::Relay));
        assert_eq!(look(5, true, 32), None);
        assert_eq!(look(4, true, 33), None);
        assert_eq!(look(5, true, 37), None, "somebody came back");
        assert_eq!(look(4, true, 38), None);
        assert_eq!(look(4, true, 43), Some(Wish::Mesh));
        assert_eq!(look(5, false, 44), Some(Wish::Relay));
    }
}
