//! What a worker would have to tell a server that knows nothing of it yet: the last event on each subject. Pure.

use crate::job::{Event, PeerState};
use crate::signalling::ids::{Generation, ParticipantId};

/// Of events that do not replace each other, so many are kept: notes, and files that are finished.
const KEPT: usize = 50;

/// The last event on each subject, in the order in which they came.
#[derive(Debug, Default)]
pub struct Story {
    events: Vec<(Subject, Event)>,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    /// Each tells something new.
    Note,
    /// The one before says nothing any more.
    One(String),
}

impl Story {
    /// Something happened.
    pub fn add(&mut self, event: &Event) {
        if let Event::Peer {
            participant,
            generation,
            state: PeerState::Closed,
        } = event
        {
            self.forget_peer(participant, *generation);
            return;
        }
        let Some(subject) = subject(event) else {
            return;
        };
        match subject {
            Subject::One(_) => self.events.retain(|(known, _)| *known != subject),
            Subject::Note => self.keep_room_for(|(subject, _)| *subject == Subject::Note),
        }
        if is_finished(event) {
            self.keep_room_for(|(_, event)| is_finished(event));
        }
        self.events.push((subject, event.clone()));
    }

    /// All of it.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|(_, event)| event)
    }

    /// A peer is closed: nothing of it matters any more, nor of its participant when that was the last one.
    fn forget_peer(&mut self, participant: &ParticipantId, generation: Generation) {
        let of_peer = ["peer", "quality", "tier"].map(|what| one(what, participant, &generation));
        self.events
            .retain(|(subject, _)| !of_peer.contains(subject));
        let has_another = self.events.iter().any(
            |(_, event)| matches!(event, Event::Peer { participant: of, .. } if of == participant),
        );
        if !has_another {
            let receiving = receiving(participant);
            self.events.retain(|(subject, _)| *subject != receiving);
        }
    }

    /// Forgets the oldest one of a sort that many events may be of, before another one is added.
    fn keep_room_for(&mut self, is_of_sort: impl Fn(&(Subject, Event)) -> bool) {
        let count = self.events.iter().filter(|event| is_of_sort(event)).count();
        if count < KEPT {
            return;
        }
        if let Some(oldest) = self.events.iter().position(is_of_sort) {
            self.events.remove(oldest);
        }
    }
}

/// A file to which nothing is added any more.
fn is_finished(event: &Event) -> bool {
    matches!(event, Event::Recording { finished: true, .. })
}

fn receiving(participant: &ParticipantId) -> Subject {
    Subject::One(format!("receiving {participant}"))
}

fn one(what: &str, participant: &impl ToString, more: &impl ToString) -> Subject {
    Subject::One(format!(
        "{what} {} {}",
        participant.to_string(),
        more.to_string()
    ))
}

/// `None`: it was for the moment only.
fn subject(event: &Event) -> Option<Subject> {
    let named = |name: &str| Some(Subject::One(name.to_owned()));
    match event {
        Event::State { .. } => named("state"),
        Event::Notice { .. } | Event::Error { .. } | Event::Stalled { .. } => Some(Subject::Note),
        Event::Device { device, .. } => named(&format!("device {device}")),
        Event::Encoder(encoder) => named(&format!("encoder {}", encoder.codec)),
        Event::Peer {
            participant,
            generation,
            ..
        } => Some(one("peer", participant, generation)),
        Event::Receiving { participant, .. } => Some(receiving(participant)),
        Event::Quality {
            participant,
            generation,
            ..
        } => Some(one("quality", participant, generation)),
        Event::Tier {
            participant,
            generation,
            ..
        } => Some(one("tier", participant, generation)),
        Event::Speech(_) => named("speech"),
        Event::Filter { participant, .. } => named(&format!("filter {participant}")),
        Event::Recording { file, .. } => named(&format!("recording {}", file.display())),
        Event::Stream { .. } => named("stream"),
        Event::Paused | Event::Resumed => named("paused"),
        Event::Ended { .. } => named("ended"),
        Event::Message { .. } | Event::Answer { .. } | Event::Beat { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobState;

    fn peer(participant: &str, state: PeerState) -> Event {
        Event::Peer {
            participant: participant.parse().unwrap(),
            generation: Generation(1),
            state,
        }
    }

    fn state(state: JobState) -> Event {
        Event::State {
            state,
            participant: None,
        }
    }

    #[test]
    fn the_last_event_on_each_subject_is_told_in_order() {
        let mut story = Story::default();
        for event in [
            state(JobState::Joined),
            peer("a", PeerState::Connecting),
            peer("b", PeerState::Connected),
            peer("a", PeerState::Connected),
            state(JobState::Reconnecting),
            peer("b", PeerState::Closed),
            Event::Paused,
            Event::Resumed,
        ] {
            story.add(&event);
        }
        let told: Vec<_> = story.events().cloned().collect();
        let expected = [
            peer("a", PeerState::Connected),
            state(JobState::Reconnecting),
            Event::Resumed,
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn of_those_who_came_and_went_nothing_is_kept() {
        let mut story = Story::default();
        let receiving = |participant: &str| Event::Receiving {
            participant: participant.parse().unwrap(),
            audio_frames: 10,
            video_frames: 3,
        };
        let tier = |participant: &str| Event::Tier {
            participant: participant.parse().unwrap(),
            generation: Generation(1),
            tier: Some("720p30".to_owned()),
        };
        story.add(&peer("b", PeerState::Connected));
        story.add(&receiving("b"));
        for number in 0..1000 {
            let id = format!("a{number}");
            story.add(&peer(&id, PeerState::Connected));
            story.add(&tier(&id));
            story.add(&receiving(&id));
            story.add(&peer(&id, PeerState::Closed));
        }
        let told: Vec<_> = story.events().cloned().collect();
        assert_eq!(told, [peer("b", PeerState::Connected), receiving("b")]);
    }

    #[test]
    fn what_was_received_is_kept_while_the_next_generation_serves() {
        let mut story = Story::default();
        let next = Event::Peer {
            participant: "a".parse().unwrap(),
            generation: Generation(2),
            state: PeerState::Connected,
        };
        let receiving = Event::Receiving {
            participant: "a".parse().unwrap(),
            audio_frames: 10,
            video_frames: 3,
        };
        for event in [
            peer("a", PeerState::Connected),
            receiving.clone(),
            next.clone(),
            peer("a", PeerState::Closed),
        ] {
            story.add(&event);
        }
        let told: Vec<_> = story.events().cloned().collect();
        assert_eq!(told, [receiving, next]);
    }

    #[test]
    fn of_finished_files_the_last_are_kept_and_all_that_grow() {
        let mut story = Story::default();
        let file = |number: usize, finished: bool| Event::Recording {
            participant: "a".parse().unwrap(),
            file: format!("{number}.webm").into(),
            bytes: 1000,
            duration_ms: 1000,
            finished,
        };
        for number in 0..200 {
            story.add(&file(number, false));
            if number >= 100 {
                story.add(&file(number, true));
            }
        }
        let growing = (0..100).map(|number| file(number, false));
        let finished = (200 - KEPT..200).map(|number| file(number, true));
        let told: Vec<_> = story.events().cloned().collect();
        assert_eq!(told, growing.chain(finished).collect::<Vec<_>>());
    }

    #[test]
    fn of_notes_the_last_are_kept() {
        let mut story = Story::default();
        story.add(&state(JobState::Joined));
        for number in 0..1000 {
            let message = number.to_string();
            story.add(&Event::Notice { message });
        }
        assert_eq!(story.events().count(), KEPT + 1);
        let last = Event::Notice {
            message: "999".to_owned(),
        };
        assert_eq!(story.events().last(), Some(&last));
    }
}
