//! docs/filters.md: its example of an engine is one that works.

use super::bench::{Bench, f32_bytes, f32_samples};
use super::own_engine;
use super::sound::{decibels, noise, power};

const EXAMPLE: &str = include_str!("own_engine.rs");

#[test]
fn the_documented_engine_is_this_one_and_short() {
    let docs = include_str!("../../docs/filters.md");
    assert!(
        docs.contains(EXAMPLE),
        "put tests/filter/own_engine.rs into docs/filters.md"
    );
    assert!(EXAMPLE.lines().count() < 60);
}

#[test]
fn an_engine_of_ones_own_runs_in_a_pipeline_at_any_rate() {
    own_engine::add_gate().unwrap();
    let caps = "audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved";
    let mut bench = Bench::new(caps, &[("engine", "gate"), ("max-load", "0")]);
    let (loud, quiet) = (noise(16_000, 0.1), noise(16_000, 0.001));
    for sound in [&loud, &quiet] {
        bench.send(f32_bytes(sound));
    }
    bench.event(gstreamer::event::Eos::new());
    let output = f32_samples(&bench.take());
    assert_eq!(output.len(), 32_000);
    let change = |part: std::ops::Range<usize>, before: &[f32]| {
        decibels(power(&output[part])) - decibels(power(before))
    };
    // Resampling takes what is above 7.4 kHz with it: half a dB of white noise.
    assert!(change(4000..15_000, &loud).abs() < 1.0);
    assert!((change(20_000..31_000, &quiet) + 20.0).abs() < 1.0);
}
