//! Sounds to filter: a voice that espeak-ng speaks, noises, music, and what to measure on them.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// A voice at 48 kHz with half a second of silence before and after it, made once.
pub fn speech() -> &'static [f32] {
    static SPEECH: LazyLock<Vec<f32>> = LazyLock::new(|| {
        let raw = speak("en", "Please press the button, then wait for the answer.");
        let silence = [0.0; 24_000];
        let power = power(&raw).sqrt();
        let loud = raw.iter().map(|sample| sample * 0.1 / power);
        silence.into_iter().chain(loud).chain(silence).collect()
    });
    &SPEECH
}

/// Two voices at once.
pub fn two_voices() -> Vec<f32> {
    let other = speak(
        "en+f3",
        "One two three four five six seven eight nine ten eleven twelve.",
    );
    let power = power(&other).sqrt();
    let quiet = [0.0; 24_000]
        .into_iter()
        .chain(other.into_iter().map(|sample| sample * 0.1 / power));
    let both = speech().iter().zip(quiet.chain(std::iter::repeat(0.0)));
    both.map(|(one, other)| one + other).collect()
}

pub fn speak(voice: &str, text: &str) -> Vec<f32> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (spoken, raw) = (folder.path().join("spoken.wav"), folder.path().join("raw"));
    let espeak = Command::new("espeak-ng")
        .args(["-v", voice, "-s", "160", "-w"])
        .args([&spoken.display().to_string(), text])
        .status();
    assert!(espeak.expect("espeak-ng runs").success());
    ffmpeg(&[
        "-i",
        path(&spoken),
        "-f",
        "f32le",
        "-ar",
        "48000",
        "-ac",
        "1",
        path(&raw),
    ]);
    floats(&raw)
}

/// Any file's sound at 48 kHz, with this number of channels.
pub fn decoded(file: &Path, channels: usize) -> Vec<f32> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let raw = folder.path().join("raw");
    let channels = channels.to_string();
    ffmpeg(&[
        "-i",
        path(file),
        "-f",
        "f32le",
        "-ar",
        "48000",
        "-ac",
        &channels,
        path(&raw),
    ]);
    floats(&raw)
}

/// Writes sound at 48 kHz as any file that ffmpeg can make.
pub fn encode(sound: &[f32], channels: usize, file: &Path, more: &[&str]) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let raw = folder.path().join("raw");
    let bytes: Vec<u8> = sound
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    std::fs::write(&raw, bytes).unwrap();
    let channels = channels.to_string();
    let mut arguments = vec![
        "-f",
        "f32le",
        "-ar",
        "48000",
        "-ac",
        &channels,
        "-i",
        path(&raw),
    ];
    arguments.extend(more);
    arguments.push(path(file));
    ffmpeg(&arguments);
}

pub fn ffmpeg(arguments: &[&str]) {
    let run = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .status();
    assert!(run.expect("ffmpeg runs").success(), "{arguments:?}");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn floats(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap();
    bytes
        .as_chunks()
        .0
        .iter()
        .copied()
        .map(f32::from_le_bytes)
        .collect()
}

/// White noise of this root mean square, always the same.
pub fn noise(samples: usize, level: f32) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut uniform = || {
        // xorshift64 (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f32::from(u16::try_from(state >> 48).unwrap()) / 32_768.0 - 1.0
    };
    // A uniform distribution from -1 to 1 has a root mean square of 1 over the root of 3.
    (0..samples)
        .map(|_| uniform() * level * 3_f32.sqrt())
        .collect()
}

/// Chords of four partials that change twice a second.
pub fn music(samples: usize) -> Vec<f32> {
    let roots = [220.0, 293.66, 329.63, 246.94];
    #[expect(clippy::cast_precision_loss, reason = "indices of a test")]
    let chord = |n: usize| {
        let root = roots[n / 24_000 % roots.len()];
        let tone = |ratio: f32| (std::f32::consts::TAU * root * ratio * n as f32 / 48_000.0).sin();
        0.05 * (tone(1.0) + tone(1.26) + tone(1.498) + 0.5 * tone(2.0))
    };
    (0..samples).map(chord).collect()
}

pub fn mixed(one: &[f32], other: &[f32]) -> Vec<f32> {
    one.iter().zip(other).map(|(a, b)| a + b).collect()
}

/// The mean square.
pub fn power(sound: &[f32]) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a length of a test")]
    let samples = sound.len().max(1) as f32;
    sound.iter().map(|sample| sample * sample).sum::<f32>() / samples
}

/// In dB.
pub fn decibels(power: f32) -> f32 {
    10.0 * power.max(1e-12).log10()
}

/// By how many dB the best-scaled clean sound in it is above the rest (SI-SDR: Le Roux et al., 2019, arXiv 1811.02508).
pub fn clearness(sound: &[f32], clean: &[f32]) -> f32 {
    let product: f32 = sound.iter().zip(clean).map(|(a, b)| a * b).sum();
    let scale = product / clean.iter().map(|sample| sample * sample).sum::<f32>();
    let target: Vec<f32> = clean.iter().map(|sample| sample * scale).collect();
    let rest: Vec<f32> = sound.iter().zip(&target).map(|(a, b)| a - b).collect();
    decibels(power(&target)) - decibels(power(&rest))
}
