//! How much filtering sound needs: an engine costs a voice something, and where there is no noise it gives nothing for it.
//! Pure: powers are told.
//!
//! Between words, what the engine takes away is noise. Where that is far below the voice, the sound goes out as it came in.

use std::time::Duration;

/// From this distance between voice and noise on, in dB, filtering becomes less,
const NOISY: f64 = 28.0;
/// and at this one it has ended.
const CLEAN: f64 = 36.0;
/// A voice's level is the loudest of late: it falls by half in this time.
const FORGET: f64 = 10.0;
/// What is so much quieter than the voice is a pause: 20 dB.
const PAUSE: f64 = 0.01;
/// Noise that begins is noted in this time,
const ATTACK: f64 = 0.1;
/// and noise that ends in this one, in seconds of pauses.
const RELEASE: f64 = 1.0;
/// So much of pauses has to be heard before anything is left as it is.
const EVIDENCE: Duration = Duration::from_millis(200);
/// -90 dB of full scale: what is below is nothing.
const FLOOR: f64 = 1e-9;

/// Watches one stream.
#[derive(Debug, Clone, Default)]
pub struct Need {
    /// Power of the voice when it is loud.
    voice: f64,
    /// Power that is taken away in pauses.
    noise: f64,
    /// How much of pauses was heard.
    pauses: Duration,
}

impl Need {
    /// A piece of some milliseconds: the mean squares of what the engine left, and of what it took away.
    pub fn add(&mut self, left: f64, taken: f64, length: Duration) {
        let seconds = length.as_secs_f64();
        self.voice = (self.voice * 0.5_f64.powf(seconds / FORGET)).max(left);
        if left >= self.voice * PAUSE || self.voice < FLOOR {
            return;
        }
        let constant = if taken > self.noise { ATTACK } else { RELEASE };
        self.noise += (taken - self.noise) * (1.0 - (-seconds / constant).exp());
        self.pauses += length;
    }

    /// From 0, the sound is to go out as it came in, to 1, what the engine makes of it.
    pub fn value(&self) -> f64 {
        if self.pauses < EVIDENCE {
            return 1.0;
        }
        let distance = 10.0 * (self.voice.max(FLOOR) / self.noise.max(FLOOR)).log10();
        ((CLEAN - distance) / (CLEAN - NOISY)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: Duration = Duration::from_millis(10);

    /// A voice of -20 dB for 0.7 s and a pause of 0.3 s, each second; noise of this level is taken away.
    fn talk(need: &mut Need, noise_db: f64, seconds: usize) {
        let noise = 10_f64.powf(noise_db / 10.0);
        for piece in 0..100 * seconds {
            let left = if piece % 100 < 70 { 0.01 } else { noise * 0.01 };
            need.add(left, noise, PIECE);
        }
    }

    #[test]
    fn a_voice_in_noise_needs_all_of_it_and_a_clean_voice_nothing() {
        for (noise_db, wanted) in [(-30.0, 1.0), (-45.0, 1.0), (-52.0, 0.5), (-65.0, 0.0)] {
            let mut need = Need::default();
            talk(&mut need, noise_db, 10);
            assert!(
                (need.value() - wanted).abs() < 0.05,
                "{noise_db}: {}",
                need.value()
            );
        }
    }

    #[test]
    fn before_anything_is_known_all_is_filtered() {
        let mut need = Need::default();
        assert!(need.value() > 0.99);
        for _ in 0..500 {
            need.add(0.01, 0.0, PIECE);
        }
        assert!(need.value() > 0.99, "there was no pause to know it from");
    }

    #[test]
    fn noise_that_begins_is_filtered_within_a_pause_and_noise_that_ends_is_forgotten() {
        let mut need = Need::default();
        talk(&mut need, -70.0, 10);
        assert!(need.value() < 0.01);
        talk(&mut need, -35.0, 1);
        assert!(need.value() > 0.99, "{}", need.value());
        talk(&mut need, -70.0, 30);
        assert!(need.value() < 0.01, "{}", need.value());
    }

    #[test]
    fn clicks_in_a_silent_room_are_noise() {
        let mut need = Need::default();
        for piece in 0..1000 {
            let left = if piece % 100 < 70 { 0.01 } else { 1e-7 };
            // 20 ms, seven times a second.
            let taken = if piece % 14 < 2 { 1e-3 } else { 1e-8 };
            need.add(left, taken, PIECE);
        }
        assert!(need.value() > 0.99, "{}", need.value());
    }

    #[test]
    fn silence_is_no_voice() {
        let mut need = Need::default();
        for _ in 0..6000 {
            need.add(0.0, 0.0, PIECE);
        }
        assert!(need.value() > 0.99);
    }
}
