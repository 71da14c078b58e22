//! What a worker would have to tell a server that knows nothing of it yet: the last event on each subject. Pure.

use crate::job::{Event, PeerState};

/// Of events that do not replace each other, so many are kept.
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
            let of_it = [
                one("peer", participant, generation),
                one("quality", participant, generation),
            ];
            self.events.retain(|(subject, _)| !of_it.contains(subject));
            return;
        }
        let Some(subject) = subject(event) else {
            return;
        };
        match subject {
            Subject::One(_) => self.events.retain(|(known, _)| *known != subject),
            Subject::Note => self.forget_old_notes(),
        }
        self.events.push((subject, event.clone()));
    }

    /// All of it.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|(_, event)| event)
    }

    fn forget_old_notes(&mut self) {
        let is_note = |(subject, _): &(Subject, Event)| *subject == Subject::Note;
        if self.events.iter().filter(|event| is_note(event)).count() < KEPT {
            return;
        }
        if let Some(oldest) = self.events.iter().position(is_note) {
            self.events.remove(oldest);
        }
    }
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
        Event::Receiving { participant, .. } => named(&format!("receiving {participant}")),
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
    use crate::signalling::ids::Generation;

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
