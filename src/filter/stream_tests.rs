//! Streams with engines that are easy to follow: what comes out when, and that no switch is heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::governor::Change;
use super::stream::{Stream, Wanted};
use super::{AudioFilter, FilterError};

/// Gives what it took, `gain` times as loud and `delay` samples later; or what `mood` says.
struct Toy {
    frame: usize,
    line: Vec<f32>,
    delay: usize,
    gain: f32,
    mood: Mood,
}

#[derive(Clone)]
enum Mood {
    Good,
    /// Takes so many microseconds for a frame.
    Slow(Arc<AtomicU64>),
    Refuses,
    SpoilsSound,
}

impl AudioFilter for Toy {
    fn frame(&self) -> usize {
        self.frame
    }

    fn delay(&self) -> usize {
        self.delay
    }

    fn process(&mut self, input: &[f32], output: &mut [f32]) -> Result<Option<f32>, FilterError> {
        match &self.mood {
            Mood::Good => {}
            Mood::Slow(micros) => {
                std::thread::sleep(Duration::from_micros(micros.load(Ordering::Relaxed)));
            }
            Mood::Refuses => return Err(FilterError::Engine("no".to_owned())),
            Mood::SpoilsSound => {
                output.fill(f32::NAN);
                return Ok(None);
            }
        }
        assert!(input.iter().all(|sample| sample.is_finite()));
        self.line.extend_from_slice(input);
        for (output, sample) in output.iter_mut().zip(self.line.drain(..input.len())) {
            *output = sample * self.gain;
        }
        Ok(Some(0.5))
    }
}

fn toy(frame: usize, delay: usize, gain: f32, mood: Mood) -> Box<dyn AudioFilter> {
    let line = vec![0.0; delay];
    Box::new(Toy {
        frame,
        line,
        delay,
        gain,
        mood,
    })
}

const PLAIN: Wanted = Wanted {
    strength: 1.0,
    bypass: false,
    max_load: 0.0,
    adaptive: false,
};

#[expect(clippy::cast_precision_loss, reason = "indices of a test")]
fn tone(rate: u32, hertz: f64, samples: usize) -> Vec<f32> {
    let step = std::f64::consts::TAU * hertz / f64::from(rate);
    #[expect(clippy::cast_possible_truncation, reason = "a sine")]
    (0..samples)
        .map(|n| ((n as f64 * step).sin() * 0.5) as f32)
        .collect()
}

/// Pushes pieces of this length; gives the output and the largest number of samples that one had to wait for.
fn run(stream: &mut Stream, input: &[f32], piece: usize) -> (Vec<f32>, usize) {
    let (mut output, mut pushed, mut longest) = (Vec::new(), 0, 0);
    for samples in input.chunks(piece) {
        let given = output.len();
        stream.push(samples, &mut output);
        pushed += samples.len();
        if output.len() > given {
            longest = longest.max(pushed - given);
        }
    }
    (output, longest)
}

/// The largest step between neighbours of a sound.
fn steepest(sound: &[f32]) -> f32 {
    let steps = sound.windows(2).map(|two| (two[1] - two[0]).abs());
    steps.fold(0.0, f32::max)
}

fn worst(one: &[f32], other: &[f32]) -> f32 {
    let differences = one.iter().zip(other).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

#[test]
fn every_sample_comes_out_in_its_place_after_the_latency_that_is_told() {
    let input = tone(48_000, 440.0, 20_000);
    for (frame, delay) in [(480, 480), (512, 448), (480, 0), (1, 0)] {
        for piece in [1, 7, 441, 480, 960, 5000] {
            let mut stream = Stream::new(vec![toy(frame, delay, 1.0, Mood::Good)], 48_000, PLAIN);
            let latency = stream.latency();
            assert_eq!(latency, frame + delay);
            let (mut output, waited) = run(&mut stream, &input, piece);
            assert!(
                waited < latency + piece,
                "{frame} {delay} {piece}: {waited}"
            );
            if piece == 1 {
                assert_eq!(waited, latency, "{frame} {delay}");
            }
            stream.drain(&mut output);
            assert_eq!(output.len(), input.len());
            assert!(worst(&output, &input) < 1e-6, "{frame} {delay} {piece}");
        }
    }
}

#[test]
fn other_rates_keep_sound_in_its_place_and_tell_the_latency() {
    for rate in [8000, 16_000, 22_050, 44_100, 96_000] {
        let input = tone(rate, 300.0, 30_000);
        let mut stream = Stream::new(vec![toy(480, 480, 1.0, Mood::Good)], rate, PLAIN);
        let (mut output, waited) = run(&mut stream, &input, 1);
        let latency = stream.latency();
        assert!(
            waited <= latency && waited + 3 > latency,
            "{rate} Hz: waited for {waited}, {latency} are told"
        );
        stream.drain(&mut output);
        assert_eq!(output.len(), input.len(), "{rate} Hz");
        let inside = 500..29_500;
        let off = worst(&output[inside.clone()], &input[inside]);
        assert!(off < 4e-3, "{rate} Hz: off by {off}");
    }
}

#[test]
fn strength_0_is_exactly_what_came_in_at_every_rate() {
    for rate in [8000, 44_100, 48_000] {
        let input = tone(rate, 300.0, 20_000);
        let wanted = Wanted {
            strength: 0.0,
            ..PLAIN
        };
        let mut stream = Stream::new(vec![toy(480, 480, 0.1, Mood::Good)], rate, wanted);
        let (mut output, _) = run(&mut stream, &input, 441);
        stream.drain(&mut output);
        assert_eq!(output, input, "{rate} Hz");
    }
}

#[test]
fn channels_do_not_mix() {
    let mono = tone(48_000, 440.0, 10_000);
    let stereo: Vec<f32> = mono
        .iter()
        .flat_map(|sample| [*sample, -0.5 * sample])
        .collect();
    let engines = vec![
        toy(480, 480, 1.0, Mood::Good),
        toy(480, 480, 0.5, Mood::Good),
    ];
    let mut stream = Stream::new(engines, 48_000, PLAIN);
    let mut output = Vec::new();
    stream.push(&stereo, &mut output);
    stream.drain(&mut output);
    let expected: Vec<f32> = mono
        .iter()
        .flat_map(|sample| [*sample, -0.25 * sample])
        .collect();
    assert_eq!(output.len(), expected.len());
    assert!(worst(&output, &expected) < 1e-6);
}

#[test]
fn bypass_and_strength_change_without_a_click() {
    let input = tone(48_000, 200.0, 48_000 * 3);
    let mut stream = Stream::new(vec![toy(480, 480, 0.2, Mood::Good)], 48_000, PLAIN);
    let mut output = Vec::new();
    for (index, samples) in input.chunks(441).enumerate() {
        stream.want(Wanted {
            bypass: (40..100).contains(&index) || (180..185).contains(&index),
            strength: if index > 220 { 0.3 } else { 1.0 },
            ..PLAIN
        });
        stream.push(samples, &mut output);
    }
    stream.drain(&mut output);
    assert_eq!(output.len(), input.len());
    // A fade of 20 ms adds at most 0.5 / 960 to each step.
    let limit = steepest(&input) + 0.001;
    assert!(steepest(&output) < limit, "{} > {limit}", steepest(&output));
    let level =
        |range: std::ops::Range<usize>| output[range].iter().fold(0.0_f32, |a, b| a.max(*b));
    assert!((level(10_000..15_000) - 0.1).abs() < 0.01, "filtered");
    assert!((level(30_000..40_000) - 0.5).abs() < 0.01, "bypassed");
    assert!((level(65_000..75_000) - 0.1).abs() < 0.01, "filtered again");
    assert!(
        (level(110_000..140_000) - 0.38).abs() < 0.01,
        "at a third of the strength"
    );
}

#[test]
fn engines_change_without_a_click_and_a_gap() {
    let input = tone(48_000, 200.0, 48_000 * 3);
    let mut stream = Stream::new(vec![toy(480, 480, 0.2, Mood::Good)], 48_000, PLAIN);
    let mut output = Vec::new();
    for (index, samples) in input.chunks(480).enumerate() {
        match index {
            100 => stream.change_engines(vec![toy(512, 448, 0.8, Mood::Good)]),
            // In the middle of the change before.
            110 => stream.change_engines(vec![toy(480, 0, 0.4, Mood::Good)]),
            _ => {}
        }
        stream.push(samples, &mut output);
    }
    stream.drain(&mut output);
    assert_eq!(output.len(), input.len());
    let limit = steepest(&input) + 0.001;
    assert!(steepest(&output) < limit, "{} > {limit}", steepest(&output));
    let last = output[130_000..].iter().fold(0.0_f32, |a, b| a.max(*b));
    assert!(
        (last - 0.2).abs() < 0.01,
        "the last engine is heard: {last}"
    );
}

#[test]
fn a_slow_engine_rests_without_a_click_and_returns_when_it_is_quick() {
    let micros = Arc::new(AtomicU64::new(0));
    // Far from what a frame takes on a machine that is busy with other things.
    let wanted = Wanted {
        max_load: 4.0,
        ..PLAIN
    };
    let engine = toy(480, 480, 0.2, Mood::Slow(micros.clone()));
    let mut stream = Stream::new(vec![engine], 48_000, wanted);
    let input = tone(48_000, 200.0, 48_000 * 4);
    let (mut output, mut changes) = (Vec::new(), Vec::new());
    for (index, samples) in input.chunks(480).enumerate() {
        micros.store(
            if (50..70).contains(&index) { 60_000 } else { 0 },
            Ordering::Relaxed,
        );
        changes.extend(stream.push(samples, &mut output));
        if index == 100 {
            assert!(stream.statistics().bypassed);
        }
    }
    stream.drain(&mut output);
    assert!(
        matches!(changes[..], [Change::TooSlow { .. }, Change::Returned]),
        "{changes:?}"
    );
    assert_eq!(output.len(), input.len());
    let limit = steepest(&input) + 0.001;
    assert!(steepest(&output) < limit, "{} > {limit}", steepest(&output));
    let level =
        |range: std::ops::Range<usize>| output[range].iter().fold(0.0_f32, |a, b| a.max(*b));
    assert!((level(60_000..70_000) - 0.5).abs() < 0.01, "resting");
    assert!(
        (level(170_000..190_000) - 0.1).abs() < 0.01,
        "at work again"
    );
    assert_eq!(stream.statistics().rests, 1);
    assert!(!stream.statistics().bypassed);
}

#[test]
fn a_frame_that_fails_is_heard_as_it_came_in() {
    for mood in [Mood::Refuses, Mood::SpoilsSound] {
        let input = tone(48_000, 200.0, 24_000);
        let mut stream = Stream::new(vec![toy(480, 480, 0.2, mood)], 48_000, PLAIN);
        let (mut output, mut changes) = (Vec::new(), Vec::new());
        for samples in input.chunks(480) {
            changes.extend(stream.push(samples, &mut output));
        }
        stream.drain(&mut output);
        assert!(worst(&output, &input) < 1e-6);
        assert!(
            matches!(changes[..], [Change::Failed { .. }]),
            "{changes:?}"
        );
    }
}

#[test]
fn values_that_are_no_sound_do_not_reach_the_engine() {
    let mut stream = Stream::new(vec![toy(480, 480, 1.0, Mood::Good)], 48_000, PLAIN);
    let mut input = tone(48_000, 200.0, 4800);
    input[1000] = f32::NAN;
    input[2000] = f32::INFINITY;
    let (output, _) = run(&mut stream, &input, 480);
    assert!(output.len() > 3000);
    assert!(worst(&output[2001..], &input[2001..]) < 1e-6);
}

#[test]
fn after_a_drain_the_next_sound_begins_at_once() {
    let input = tone(48_000, 200.0, 3000);
    let mut stream = Stream::new(vec![toy(480, 480, 0.5, Mood::Good)], 48_000, PLAIN);
    for _ in 0..2 {
        let mut output = Vec::new();
        stream.push(&input, &mut output);
        stream.drain(&mut output);
        let expected: Vec<f32> = input.iter().map(|sample| sample * 0.5).collect();
        assert_eq!(output.len(), input.len());
        assert!(worst(&output, &expected) < 1e-6);
    }
}
