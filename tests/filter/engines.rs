//! What engines do to speech, noise, silence, music and several voices.

use attache::filter::engine;
use attache::filter::stream::{Stream, Wanted};

use super::sound::{clearness, decibels, mixed, music, noise, power, speech, two_voices};

const ENGINES: [&str; 2] = ["rnnoise", "nsnet2"];

/// Through an engine, as long as it came and in its place. No engine rests: a build for tests is slow.
fn filtered(engine: &str, sound: &[f32]) -> Vec<f32> {
    let wanted = Wanted {
        strength: 1.0,
        bypass: false,
        max_load: 0.0,
        adaptive: false,
    };
    let mut stream = Stream::new(engine::make(engine, 1).unwrap(), 48_000, wanted);
    let mut output = Vec::new();
    stream.push(sound, &mut output);
    stream.drain(&mut output);
    assert_eq!(output.len(), sound.len());
    assert!(output.iter().all(|sample| sample.is_finite()));
    output
}

#[test]
fn speech_becomes_clearer_and_the_noise_around_it_quiet() {
    let clean = speech();
    let noisy = mixed(clean, &noise(clean.len(), 0.03));
    for engine in ENGINES {
        let output = filtered(engine, &noisy);
        let (before, after) = (clearness(&noisy, clean), clearness(&output, clean));
        println!("{engine}: clearness {before:.1} -> {after:.1} dB");
        assert!(after > before + 1.0, "{engine}: {before} -> {after} dB");
        // The last 300 ms have no voice in them; by then the engine knows the noise.
        let end = clean.len() - 14_400..;
        let down = decibels(power(&noisy[end.clone()])) - decibels(power(&output[end]));
        println!("{engine}: noise down by {down:.1} dB");
        assert!(down > 12.0, "{engine}: noise down by {down} dB");
    }
}

#[test]
fn clean_speech_stays_as_it_is() {
    let clean = speech();
    for engine in ENGINES {
        let output = filtered(engine, clean);
        let kept = decibels(power(&output)) - decibels(power(clean));
        let clear = clearness(&output, clean);
        println!("{engine}: level {kept:.1} dB, clearness {clear:.1} dB");
        assert!(kept.abs() < 2.0, "{engine}: the level changed by {kept} dB");
        assert!(clear > 10.0, "{engine}: clearness {clear} dB");
    }
}

#[test]
fn silence_stays_silent() {
    for engine in ENGINES {
        let output = filtered(engine, &[0.0; 24_000]);
        assert!(decibels(power(&output)) < -90.0, "{engine}");
    }
}

#[test]
fn two_voices_are_both_kept() {
    let both = two_voices();
    for engine in ENGINES {
        let output = filtered(engine, &both);
        let kept = decibels(power(&output)) - decibels(power(&both));
        println!("{engine}: level {kept:.1} dB");
        assert!(kept > -3.0, "{engine}: the level changed by {kept} dB");
    }
}

#[test]
fn after_music_and_full_scale_a_voice_is_heard_as_before() {
    let clean = speech();
    for engine in ENGINES {
        let mut sound = music(48_000);
        // Clipped: as bad as a microphone can be.
        sound.extend(
            noise(9600, 1.0)
                .iter()
                .map(|sample| sample.clamp(-1.0, 1.0)),
        );
        let before = sound.len();
        sound.extend(clean);
        let output = filtered(engine, &sound);
        let loudest = output
            .iter()
            .fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
        println!("{engine}: at most {loudest:.2}");
        assert!(loudest < 2.5, "{engine}: {loudest}");
        let kept = decibels(power(&output[before..])) - decibels(power(clean));
        println!("{engine}: level {kept:.1} dB");
        assert!(kept.abs() < 3.0, "{engine}: the level changed by {kept} dB");
    }
}

#[test]
fn engines_tell_whether_somebody_speaks() {
    for engine in ENGINES {
        let mut made = engine::make(engine, 1).unwrap().remove(0);
        let mut mean_over = |sound: &[f32]| {
            let mut output = vec![0.0; made.frame()];
            let frames = sound.chunks_exact(output.len());
            let voices: Vec<f32> = frames
                .map(|frame| made.process(frame, &mut output).unwrap().unwrap())
                .collect();
            assert!(voices.iter().all(|voice| (0.0..=1.0).contains(voice)));
            power(&voices).sqrt()
        };
        let noise = noise(48_000, 0.03);
        mean_over(&noise[..24_000]);
        let quiet = mean_over(&noise[24_000..]);
        let voice = mean_over(&speech()[24_000..72_000]);
        println!("{engine}: {quiet:.2} in noise, {voice:.2} in speech");
        assert!(
            voice > quiet + 0.3,
            "{engine}: {quiet} in noise, {voice} in speech"
        );
    }
}
