//! A simulated room: what is played comes back into the microphone, late, quieter and with reverberation.

use std::sync::LazyLock;

use attache::media::echo::far;
use gstreamer as gst;

use super::bench::Bench;
use super::sound::{noise, power, speak};

/// Samples in a second.
pub const RATE: usize = 48_000;
/// 10 ms.
const PIECE: usize = RATE / 100;
const MICROPHONE: &str = "audio/x-raw,format=S16LE,rate=48000,channels=1,layout=interleaved";
/// The room's tail: 80 ms, falling by 60 dB in a quarter of a second.
const TAIL: usize = RATE * 8 / 100;
const TAIL_60_DB: f32 = 12_000.0;
/// Of the tail, every so manieth sample is a reflection.
const REFLECTIONS: usize = 32;
/// What comes back is 10 dB quieter than what is played.
const LOSS: f32 = 0.316;
/// A microphone's own noise: -66 dB of full scale.
const HISS: f32 = 0.0005;

/// Somebody far away, heard from the loudspeaker for half a minute. Root mean square 0.1.
pub fn far_voice() -> &'static [f32] {
    static VOICE: LazyLock<Vec<f32>> = LazyLock::new(|| {
        voice(
            "en",
            "This is somebody far away who talks for quite some time. One, two, three, four, five, six, seven, \
             eight, nine, ten. The quick brown fox jumps over the lazy dog. Somebody speaks here, and somebody \
             listens there. Whoever stands at the door hears this voice from the loudspeaker. Please come in and \
             take the lift to the third floor, then turn left, and wait there until somebody comes. It may take \
             some minutes. Thank you for your patience, and have a nice day.",
        )
    });
    &VOICE
}

/// Somebody at the microphone, for some seconds. Root mean square 0.1.
pub fn near_voice() -> &'static [f32] {
    static VOICE: LazyLock<Vec<f32>> = LazyLock::new(|| {
        voice(
            "en+f3",
            "Good morning, I have a parcel for you. Where shall I leave it? There is nobody at the desk.",
        )
    });
    &VOICE
}

fn voice(name: &str, text: &str) -> Vec<f32> {
    let raw = speak(name, text);
    let level = power(&raw).sqrt();
    raw.into_iter().map(|sample| sample * 0.1 / level).collect()
}

/// What the microphone hears of [`far_voice`], so much later.
pub fn echo(late: std::time::Duration) -> Vec<f32> {
    static AT_ONCE: LazyLock<Vec<f32>> = LazyLock::new(|| through_room(far_voice()));
    let late = usize::try_from(late.as_millis()).unwrap() * RATE / 1000;
    let silence = std::iter::repeat_n(0.0, late);
    silence
        .chain(AT_ONCE.iter().copied())
        .take(AT_ONCE.len())
        .collect()
}

fn through_room(played: &[f32]) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "indices of a test")]
    let decay = |n: usize| 10_f32.powf(-3.0 * n as f32 / TAIL_60_DB);
    let tail = noise(TAIL, 0.1).into_iter().enumerate();
    let mut taps: Vec<(usize, f32)> = tail
        .step_by(REFLECTIONS)
        .map(|(n, strength)| (n, strength * decay(n)))
        .collect();
    taps[0].1 = 1.0;
    let energy: f32 = taps.iter().map(|(_, strength)| strength * strength).sum();
    let mut heard = vec![0.0; played.len()];
    for (n, strength) in taps {
        let strength = strength * LOSS / energy.sqrt();
        for (heard, played) in heard[n..].iter_mut().zip(played) {
            *heard += strength * played;
        }
    }
    heard
}

/// With the microphone's own noise.
pub fn with_hiss(sound: &[f32]) -> Vec<f32> {
    let hiss = noise(sound.len(), HISS);
    sound.iter().zip(hiss).map(|(a, b)| a + b).collect()
}

/// The far end is the process's: tests that play something do so one after the other.
pub static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// `attacheaec` at work: piece by piece something is played and something heard.
pub struct Canceller {
    bench: Bench,
    pieces: u64,
}

impl Canceller {
    pub fn new(properties: &[(&str, &str)]) -> Self {
        Self {
            bench: Bench::of("attacheaec", MICROPHONE, properties),
            pieces: 0,
        }
    }

    /// What the microphone hears while this is played; gives what is sent of it.
    pub fn run(&mut self, played: &[f32], heard: &[f32]) -> Vec<f32> {
        for (played, heard) in played.chunks(PIECE).zip(heard.chunks(PIECE)) {
            let mut buffer = gst::Buffer::from_mut_slice(bytes(played, 2));
            let at = gst::ClockTime::from_mseconds(10 * self.pieces);
            buffer.get_mut().unwrap().set_pts(at);
            far::played(&buffer, gst::ClockTime::ZERO);
            self.bench.send(bytes(heard, 1));
            self.pieces += 1;
        }
        let mut sent = Vec::new();
        for buffer in self.bench.take() {
            let map = buffer.map_readable().unwrap();
            let samples = map.as_chunks().0.iter().copied().map(i16::from_le_bytes);
            sent.extend(samples.map(|sample| f32::from(sample) / 32_768.0));
        }
        sent
    }
}

fn bytes(sound: &[f32], channels: usize) -> Vec<u8> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, as a sound card does"
    )]
    let sample = |sample: &f32| ((sample * 32_768.0).round() as i16).to_le_bytes();
    sound
        .iter()
        .flat_map(|value| sample(value).repeat(channels))
        .collect()
}
