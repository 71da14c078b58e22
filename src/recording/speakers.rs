//! Who speaks when: the loudness of everybody's sound in, spans of speech out. Pure, but for [`Ear`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::gate::Gate;
use super::session::Command;
use crate::media::speaker::{Level, Speech, Voices};
use crate::signalling::ids::ParticipantId;

/// What is said in less time is a cough, or a "yes": no span of its own.
const SHORTEST: Duration = Duration::from_millis(350);
/// An [`Ear`] tells the loudest of so much time.
const WINDOW: Duration = Duration::from_millis(100);

/// Times are running times, of when the sound was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoke {
    /// Somebody began to speak at this time, a moment ago.
    From(ParticipantId, Duration),
    /// Somebody was heard at this time for the last time.
    To(ParticipantId, Duration),
}

/// Everybody's speech. Several may speak at once.
#[derive(Debug)]
pub struct Speakers {
    voices: Voices<ParticipantId>,
    /// Running time zero for the voices, who count in instants: any will do.
    zero: Instant,
    /// Those who speak: since when, and when they were heard last.
    speaking: BTreeMap<ParticipantId, (Instant, Instant)>,
}

impl Default for Speakers {
    fn default() -> Self {
        Self {
            voices: Voices::default(),
            zero: Instant::now(),
            speaking: BTreeMap::new(),
        }
    }
}

impl Speakers {
    /// Somebody's sound was so loud at this time.
    pub fn heard(&mut self, who: &ParticipantId, level: Level, at: Duration) -> Vec<Spoke> {
        let now = self.zero + at;
        self.voices.heard(who, level, now);
        let Some(said) = self.voices.said(who) else {
            return Vec::new();
        };
        let mut told = Vec::new();
        let before = self.speaking.get(who).copied();
        if before.is_some_and(|(began, _)| began != said.0 || !self.voices.is_speaking(who, now)) {
            told.extend(self.falls_silent(who));
        }
        let is_long = said.1.saturating_duration_since(said.0) >= SHORTEST;
        if is_long && self.voices.is_speaking(who, now) {
            let known = self.speaking.insert(who.clone(), said);
            if known.is_none() {
                told.push(Spoke::From(who.clone(), self.time(said.0)));
            }
        }
        told
    }

    /// Those of whom nothing is heard any more have fallen silent. To be called every few seconds.
    pub fn look(&mut self, at: Duration) -> Vec<Spoke> {
        let now = self.zero + at;
        let is_silent = |who: &&ParticipantId| !self.voices.is_speaking(who, now);
        let silent: Vec<_> = self.speaking.keys().filter(is_silent).cloned().collect();
        let told = silent.iter().filter_map(|who| self.falls_silent(who));
        told.collect()
    }

    /// Somebody left.
    pub fn left(&mut self, who: &ParticipantId) -> Option<Spoke> {
        self.voices.silent(who);
        self.falls_silent(who)
    }

    /// The recording is over.
    pub fn end(&mut self) -> Vec<Spoke> {
        let all: Vec<_> = self.speaking.keys().cloned().collect();
        all.iter().filter_map(|who| self.left(who)).collect()
    }

    /// Who speaks at this time: those with a span that goes on.
    pub fn speech(&self, at: Duration) -> Speech {
        Speech {
            speaking: self.speaking.keys().cloned().collect(),
            ..self.voices.speech(self.zero + at)
        }
    }

    fn falls_silent(&mut self, who: &ParticipantId) -> Option<Spoke> {
        let (_, last) = self.speaking.remove(who)?;
        Some(Spoke::To(who.clone(), self.time(last)))
    }

    fn time(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.zero)
    }
}

/// Takes the loudness of one participant's sound on a streaming thread, never waits, and passes little of it on.
#[derive(Debug)]
pub struct Ear {
    who: ParticipantId,
    gate: Arc<Gate>,
    keeper: UnboundedSender<Command>,
    /// Since when, and the loudest since then.
    window: Mutex<Option<(Duration, Level)>>,
}

impl Ear {
    /// Nothing is passed on while the gate is closed: who speaks in a pause is not written down.
    pub(super) fn new(
        who: ParticipantId,
        gate: Arc<Gate>,
        keeper: UnboundedSender<Command>,
    ) -> Self {
        Self {
            who,
            gate,
            keeper,
            window: Mutex::default(),
        }
    }

    /// The sound that was captured at this running time was so loud.
    pub fn hear(&self, level: Level, at: Duration) {
        if self.gate.admit(at).is_none() {
            return;
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        // A smaller number is louder.
        let (since, loudest) = window.map_or((at, level), |(since, last)| (since, last.min(level)));
        if at.saturating_sub(since) < WINDOW {
            *window = Some((since, loudest));
            return;
        }
        *window = None;
        drop(window);
        let _ = self
            .keeper
            .send(Command::Heard(self.who.clone(), loudest, at));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end so")]
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn id(name: &str) -> ParticipantId {
        name.parse().unwrap()
    }

    /// Levels of 100 ms each, from this time on.
    fn play(speakers: &mut Speakers, who: &str, from: u64, levels: &[(u8, u64)]) -> Vec<Spoke> {
        let mut at = from;
        let mut told = Vec::new();
        for (level, times) in levels {
            for _ in 0..*times {
                told.extend(speakers.heard(&id(who), Level::new(*level), ms(at)));
                at += 100;
            }
        }
        told
    }

    #[test]
    fn a_sentence_is_a_span_with_its_pauses_and_the_next_one_another() {
        let mut speakers = Speakers::default();
        let sentence = [(70, 10), (25, 10), (70, 4), (25, 6), (70, 20), (30, 10)];
        let told = play(&mut speakers, "ann", 0, &sentence);
        let expected = [
            Spoke::From(id("ann"), ms(1000)),
            Spoke::To(id("ann"), ms(2900)),
            Spoke::From(id("ann"), ms(5000)),
        ];
        assert_eq!(told, expected);
        assert_eq!(speakers.end(), [Spoke::To(id("ann"), ms(5900))]);
    }

    #[test]
    fn a_cough_is_no_speech_and_two_may_speak_at_once() {
        let mut speakers = Speakers::default();
        assert_eq!(
            play(&mut speakers, "ann", 0, &[(70, 5), (20, 3), (70, 20)]),
            []
        );
        let ann = play(&mut speakers, "ann", 3000, &[(25, 10)]);
        let bob = play(&mut speakers, "bob", 3000, &[(25, 10)]);
        assert_eq!(ann, [Spoke::From(id("ann"), ms(3000))]);
        assert_eq!(bob, [Spoke::From(id("bob"), ms(3000))]);
    }

    #[test]
    fn who_is_not_heard_any_more_spoke_until_then() {
        let mut speakers = Speakers::default();
        play(&mut speakers, "ann", 0, &[(70, 5), (20, 10)]);
        assert_eq!(speakers.look(ms(1600)), []);
        assert_eq!(speakers.look(ms(5000)), [Spoke::To(id("ann"), ms(1400))]);
        play(&mut speakers, "bob", 5000, &[(70, 5), (20, 10)]);
        assert_eq!(
            speakers.left(&id("bob")),
            Some(Spoke::To(id("bob"), ms(6400)))
        );
    }
}
