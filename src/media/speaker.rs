//! Who speaks, told from the loudness of everybody's sound. Pure: time is passed in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::signalling::ids::ParticipantId;

/// Loudness as RFC 6464 writes it: decibels below overload (-dBov), 0 the loudest, 127 silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

/// Nothing quieter than this is a voice.
const QUIETEST_VOICE: f32 = 50.0;
/// The noise of a quiet room; nobody's is taken to be lower.
const QUIET_ROOM: f32 = 70.0;
/// A voice is so many decibels over what is heard between words.
const OVER_THE_NOISE: f32 = 9.0;
/// A noise that stays is taken for the room's own: the floor rises by so many decibels in a second.
const FLOOR_RISES: f32 = 3.0;
/// A pause of this length is still speech.
const PAUSE: Duration = Duration::from_millis(600);
/// Who is heard for so long while nobody else speaks becomes the active speaker: a cough does not.
const TAKES_OVER: Duration = Duration::from_millis(350);

impl Level {
    /// Silence.
    pub const SILENCE: Self = Self(127);

    /// From -dBov; what is quieter than 127 is silence.
    pub fn new(below_overload: u8) -> Self {
        Self(below_overload.min(127))
    }

    /// In -dBov.
    pub fn below_overload(self) -> u8 {
        self.0
    }

    /// Whether it is as loud as the quietest voice.
    pub fn may_be_a_voice(self) -> bool {
        f32::from(self.0) <= QUIETEST_VOICE
    }

    /// The loudness of little-endian 16-bit samples, of whatever channels (RFC 6465 appendix A.1: root mean square).
    pub fn of_s16le(bytes: &[u8]) -> Self {
        let samples = bytes.chunks_exact(2);
        let count = samples.len();
        if count == 0 {
            return Self::SILENCE;
        }
        let square = |pair: &[u8]| f64::from(i16::from_le_bytes([pair[0], pair[1]])).powi(2);
        let mean = samples.map(square).sum::<f64>() / count as f64;
        let decibels = 10.0 * (mean / 32768.0_f64.powi(2)).log10();
        // Silence is minus infinity; the cast saturates.
        Self::new((-decibels).round() as u8)
    }
}

/// Who speaks in a room, as one of those who hear it finds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Speech {
    /// Those who speak now, or paused just a moment ago.
    #[schema(value_type = Vec<String>)]
    pub speaking: Vec<ParticipantId>,
    /// The active speaker: who spoke last, until another one speaks alone; it may have fallen silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub active: Option<ParticipantId>,
}

/// Everybody's voice, and who is the active speaker: the one who spoke last, until another one speaks alone.
#[derive(Debug)]
pub struct Voices<K> {
    voices: BTreeMap<K, Voice>,
    active: Option<K>,
}

#[derive(Debug)]
struct Voice {
    /// The loudness between words, in -dBov.
    floor: f32,
    heard: Instant,
    /// The beginning and the newest moment of what is being said.
    said: Option<(Instant, Instant)>,
}

impl<K> Default for Voices<K> {
    fn default() -> Self {
        Self {
            voices: BTreeMap::new(),
            active: None,
        }
    }
}

impl<K: Ord + Clone> Voices<K> {
    /// Somebody's sound was so loud just now. To be told several times in a second.
    pub fn heard(&mut self, who: &K, level: Level, now: Instant) {
        let loudness = f32::from(level.0);
        let voice = self.voices.entry(who.clone()).or_insert(Voice {
            floor: QUIET_ROOM,
            heard: now,
            said: None,
        });
        let since = now.saturating_duration_since(voice.heard).as_secs_f32();
        voice.heard = now;
        voice.floor = loudness
            .min(QUIET_ROOM)
            .max(voice.floor - FLOOR_RISES * since);
        if loudness <= QUIETEST_VOICE && loudness + OVER_THE_NOISE <= voice.floor {
            let began = voice
                .said
                .filter(|(_, last)| now.saturating_duration_since(*last) <= PAUSE);
            voice.said = Some((began.map_or(now, |(began, _)| began), now));
        }
        self.choose(now);
    }

    /// Those who speak now.
    pub fn speaking(&self, now: Instant) -> impl Iterator<Item = &K> {
        let voices = self.voices.iter();
        voices.filter_map(move |(who, voice)| voice.speaks(now).then_some(who))
    }

    /// Those of whom this is not true are gone.
    pub fn keep(&mut self, is_there: impl Fn(&K) -> bool) {
        self.voices.retain(|who, _| is_there(who));
    }

    /// Somebody is muted or gone.
    pub fn silent(&mut self, who: &K) {
        self.voices.remove(who);
    }

    /// Whether somebody speaks now, or paused just a moment ago.
    pub fn is_speaking(&self, who: &K, now: Instant) -> bool {
        self.voices.get(who).is_some_and(|voice| voice.speaks(now))
    }

    /// The beginning and the newest moment of what somebody says, or said last.
    pub fn said(&self, who: &K) -> Option<(Instant, Instant)> {
        self.voices.get(who)?.said
    }

    /// Who spoke last; it may have fallen silent, or be gone.
    pub fn active(&self) -> Option<&K> {
        self.active.as_ref()
    }

    fn choose(&mut self, now: Instant) {
        let goes_on = |who: &K| self.is_speaking(who, now);
        if self.active.as_ref().is_some_and(goes_on) {
            return;
        }
        let speaks = |(who, voice): (&K, &Voice)| {
            let (began, last) = voice.said.filter(|_| voice.speaks(now))?;
            let long = last.saturating_duration_since(began) >= TAKES_OVER;
            long.then(|| (began, who.clone()))
        };
        if let Some((_, who)) = self.voices.iter().filter_map(speaks).min() {
            self.active = Some(who);
        }
    }
}

impl Voices<ParticipantId> {
    /// Who speaks now. Nobody who is gone or muted is the active speaker.
    pub fn speech(&self, now: Instant) -> Speech {
        let is_there = |who: &&ParticipantId| self.voices.contains_key(*who);
        Speech {
            speaking: self.speaking(now).cloned().collect(),
            active: self.active().filter(is_there).cloned(),
        }
    }
}

impl Voice {
    fn speaks(&self, now: Instant) -> bool {
        self.said
            .is_some_and(|(_, last)| now.saturating_duration_since(last) <= PAUSE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end so")]
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    /// Plays rounds of 100 ms, in which each of two has a level.
    fn play(voices: &mut Voices<char>, now: &mut Instant, rounds: u32, levels: [u8; 2]) {
        for _ in 0..rounds {
            *now += STEP;
            for (who, level) in ['a', 'b'].into_iter().zip(levels) {
                voices.heard(&who, Level::new(level), *now);
            }
        }
    }

    #[test]
    fn who_speaks_alone_becomes_the_active_speaker_and_stays_it_in_silence() {
        let (mut voices, mut now) = (Voices::default(), Instant::now());
        play(&mut voices, &mut now, 10, [70, 70]);
        assert_eq!(voices.active(), None);
        play(&mut voices, &mut now, 10, [70, 20]);
        assert_eq!(voices.active(), Some(&'b'));
        assert!(voices.is_speaking(&'b', now) && !voices.is_speaking(&'a', now));
        play(&mut voices, &mut now, 30, [70, 70]);
        assert_eq!(voices.active(), Some(&'b'));
        assert!(!voices.is_speaking(&'b', now));
        play(&mut voices, &mut now, 10, [30, 70]);
        assert_eq!(voices.active(), Some(&'a'));
    }

    #[test]
    fn who_interrupts_waits_for_a_pause() {
        let (mut voices, mut now) = (Voices::default(), Instant::now());
        play(&mut voices, &mut now, 5, [70, 70]);
        play(&mut voices, &mut now, 10, [30, 70]);
        play(&mut voices, &mut now, 20, [30, 20]);
        assert_eq!(voices.active(), Some(&'a'));
        play(&mut voices, &mut now, 10, [70, 20]);
        assert_eq!(voices.active(), Some(&'b'));
    }

    #[test]
    fn a_cough_does_not_take_over() {
        let (mut voices, mut now) = (Voices::default(), Instant::now());
        play(&mut voices, &mut now, 10, [30, 70]);
        play(&mut voices, &mut now, 20, [70, 70]);
        play(&mut voices, &mut now, 2, [70, 10]);
        assert!(voices.is_speaking(&'b', now));
        play(&mut voices, &mut now, 20, [70, 70]);
        assert_eq!(voices.active(), Some(&'a'));
    }

    #[test]
    fn a_fan_is_no_voice_for_long_and_a_quiet_room_is_none_at_all() {
        let (mut voices, mut now) = (Voices::default(), Instant::now());
        play(&mut voices, &mut now, 600, [40, 60]);
        assert!(!voices.is_speaking(&'a', now) && !voices.is_speaking(&'b', now));
        // Over the fan, somebody speaks.
        play(&mut voices, &mut now, 10, [20, 60]);
        assert!(voices.is_speaking(&'a', now));
    }

    #[test]
    fn who_is_muted_does_not_speak() {
        let (mut voices, mut now) = (Voices::default(), Instant::now());
        play(&mut voices, &mut now, 10, [20, 70]);
        voices.silent(&'a');
        assert!(!voices.is_speaking(&'a', now));
        play(&mut voices, &mut now, 10, [127, 20]);
        assert_eq!(voices.active(), Some(&'b'));
    }

    #[test]
    fn who_is_gone_or_muted_is_told_no_more() {
        let (ann, bob): (ParticipantId, ParticipantId) =
            ("ann".parse().unwrap(), "bob".parse().unwrap());
        let (mut voices, mut now) = (Voices::default(), Instant::now());
        for _ in 0..10 {
            now += STEP;
            voices.heard(&ann, Level::new(20), now);
            voices.heard(&bob, Level::new(20), now);
        }
        let both = voices.speech(now);
        assert_eq!(both.speaking, [ann.clone(), bob.clone()]);
        assert_eq!(both.active, Some(ann.clone()));
        voices.keep(|who| *who == bob);
        let one = voices.speech(now);
        assert_eq!(one.speaking, [bob]);
        assert_eq!(one.active, None);
    }

    #[test]
    fn loudness_is_counted_from_overload() {
        let square: Vec<u8> = [i16::MAX, i16::MIN]
            .iter()
            .flat_map(|s| s.to_le_bytes())
            .collect();
        assert_eq!(Level::of_s16le(&square), Level::new(0));
        let quiet: Vec<u8> = [328_i16, -328]
            .iter()
            .flat_map(|s| s.to_le_bytes())
            .collect();
        assert_eq!(Level::of_s16le(&quiet), Level::new(40));
        assert_eq!(Level::of_s16le(&[0; 8]), Level::SILENCE);
        assert_eq!(Level::of_s16le(&[]), Level::SILENCE);
    }
}
