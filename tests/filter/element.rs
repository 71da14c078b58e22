//! `attachedenoise`: latency, times, formats, events, live switches and overload.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attache::filter::engine::{self, Engine};
use attache::filter::{AudioFilter, FilterError};
use gst::prelude::*;
use gstreamer as gst;

use super::bench::{Bench, f32_bytes, f32_samples};
use super::sound::{clearness, mixed, noise, power, speech};

const MONO: &str = "audio/x-raw,format=F32LE,rate=48000,channels=1,layout=interleaved";

/// Where the sound's loudest sample is, in samples after the first buffer's time.
fn impulse_in(buffers: &[gst::Buffer]) -> u64 {
    let samples = f32_samples(buffers);
    let loudest = samples
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    u64::try_from(loudest.unwrap().0).unwrap()
}

#[test]
fn an_impulse_comes_out_at_its_time_and_after_the_latency_that_is_told() {
    for engine in ["rnnoise", "nsnet2"] {
        // The impulse itself has to be found: half of it goes around the engine.
        let settings = [("engine", engine), ("strength", "0.5"), ("max-load", "0")];
        let mut bench = Bench::new(MONO, &settings);
        let told = bench.latency();
        assert_eq!(told, gst::ClockTime::from_mseconds(20), "{engine}");
        let (piece, at) = (60_usize, 5000_usize);
        let (mut buffers, mut waited, mut given) = (Vec::new(), 0, 0);
        for index in 0..150 {
            let mut samples = vec![0.0; piece];
            if index == at / piece {
                samples[at % piece] = 0.9;
            }
            bench.send(f32_bytes(&samples));
            let sent = u64::try_from((index + 1) * piece).unwrap();
            for buffer in bench.take() {
                waited = waited.max(sent - given);
                given += bench.frames(&buffer);
                buffers.push(buffer);
            }
        }
        assert_eq!(impulse_in(&buffers), 5000, "{engine}");
        // What one waits for: the latency, or a little less because a piece comes as a whole.
        let told_samples = told.nseconds() * 48_000 / 1_000_000_000;
        assert_eq!(waited, told_samples, "{engine}");
    }
}

#[test]
fn other_rates_tell_the_time_that_resampling_takes() {
    for (rate, most) in [(44_100, 21), (16_000, 23), (8000, 25)] {
        let caps = MONO.replace("48000", &rate.to_string());
        let mut bench = Bench::new(&caps, &[("engine", "rnnoise"), ("max-load", "0")]);
        let told = bench.latency();
        assert!(told > gst::ClockTime::from_mseconds(20), "{rate}: {told}");
        assert!(told < gst::ClockTime::from_mseconds(most), "{rate}: {told}");
        for _ in 0..40 {
            bench.send(f32_bytes(&vec![0.0; rate / 50]));
        }
        bench.event(gst::event::Eos::new());
        let given: u64 = bench.take().iter().map(|buffer| bench.frames(buffer)).sum();
        assert_eq!(given, u64::try_from(rate / 50 * 40).unwrap(), "{rate}");
    }
}

#[test]
fn times_follow_the_buffers_and_jumps_are_kept() {
    let mut bench = Bench::new(MONO, &[("engine", "rnnoise"), ("max-load", "0")]);
    let piece = || f32_bytes(&[0.1; 441]);
    for _ in 0..20 {
        bench.send(piece());
    }
    // Two seconds later without a word, as after a gap that nobody told of.
    let late = gst::ClockTime::from_seconds(2);
    bench.send_at(piece(), late);
    bench.event(gst::event::Gap::builder(late * 2).duration(late).build());
    bench.send_at(piece(), late * 3);
    bench.event(gst::event::Eos::new());
    let buffers = bench.take();
    let mut expected = gst::ClockTime::ZERO;
    let mut pieces = vec![0];
    for buffer in &buffers {
        let (pts, length) = (buffer.pts().unwrap(), buffer.duration().unwrap());
        let is_new = buffer.flags().contains(gst::BufferFlags::DISCONT);
        assert_eq!(
            is_new,
            pts.absdiff(expected) > gst::ClockTime::from_useconds(1) || pts.is_zero()
        );
        if is_new && !pts.is_zero() {
            pieces.push(0);
        }
        *pieces.last_mut().unwrap() += bench.frames(buffer);
        expected = pts + length;
    }
    assert_eq!(pieces, [20 * 441, 441, 441]);
    assert_eq!(
        buffers.last().unwrap().pts().unwrap() + buffers.last().unwrap().duration().unwrap(),
        late * 3 + bench.time_of(441)
    );
}

#[test]
fn a_flush_throws_away_what_waits() {
    let mut bench = Bench::new(MONO, &[("engine", "rnnoise"), ("max-load", "0")]);
    bench.send(f32_bytes(&[0.1; 700]));
    bench.event(gst::event::FlushStart::new());
    bench.event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    bench.event(gst::event::Segment::new(&segment));
    bench.take();
    bench.send_at(f32_bytes(&[0.1; 480]), gst::ClockTime::from_seconds(9));
    bench.event(gst::event::Eos::new());
    let buffers = bench.take();
    let frames: u64 = buffers.iter().map(|buffer| bench.frames(buffer)).sum();
    assert_eq!(frames, 480);
    assert_eq!(buffers[0].pts(), Some(gst::ClockTime::from_seconds(9)));
}

#[test]
fn sixteen_bits_and_three_channels_go_through_unchanged_at_strength_0() {
    let caps = "audio/x-raw,format=S16LE,rate=44100,channels=3,layout=interleaved,channel-mask=(bitmask)0x7";
    let mut bench = Bench::new(
        caps,
        &[("engine", "rnnoise"), ("strength", "0"), ("max-load", "0")],
    );
    let bytes: Vec<u8> = (0_u32..6 * 3000)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    for piece in bytes.chunks(6 * 441) {
        bench.send(piece.to_vec());
    }
    bench.event(gst::event::Eos::new());
    let output: Vec<u8> = bench
        .take()
        .iter()
        .flat_map(|buffer| buffer.map_readable().unwrap().to_vec())
        .collect();
    assert!(
        output == bytes,
        "{} bytes in, {} out",
        bytes.len(),
        output.len()
    );
}

#[test]
fn caps_that_change_lose_no_sound() {
    let mut bench = Bench::new(MONO, &[("engine", "rnnoise"), ("max-load", "0")]);
    bench.send(f32_bytes(&[0.1; 1000]));
    bench.set_caps("audio/x-raw,format=F32LE,rate=16000,channels=2,layout=interleaved,channel-mask=(bitmask)0x3");
    let first: usize = bench.take().iter().map(|buffer| buffer.size() / 4).sum();
    assert_eq!(first, 1000);
    bench.send(f32_bytes(&[0.1; 2000]));
    bench.event(gst::event::Eos::new());
    let second: usize = bench.take().iter().map(|buffer| buffer.size() / 8).sum();
    assert_eq!(second, 1000);
}

#[test]
fn formats_that_it_does_not_take_are_refused() {
    attache::media::init().unwrap();
    let launch =
        "audiotestsrc num-buffers=1 ! audio/x-raw,format=S32LE ! attachedenoise ! fakesink";
    let error = gst::parse::launch(launch).unwrap_err().to_string();
    assert!(error.contains("could not link"), "{error}");
}

#[test]
fn an_engine_that_is_not_there_is_told_at_the_start() {
    attache::media::init().unwrap();
    let launch = "audiotestsrc ! attachedenoise engine=magic ! fakesink";
    let pipeline = gst::parse::launch(launch)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let refused = pipeline.set_state(gst::State::Paused);
    assert!(refused.is_err());
    let error = pipeline
        .bus()
        .unwrap()
        .pop_filtered(&[gst::MessageType::Error])
        .unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    let gst::MessageView::Error(error) = error.view() else {
        unreachable!()
    };
    let text = error.error().to_string() + &error.debug().unwrap();
    assert!(
        text.contains("there is no engine \"magic\"; there are rnnoise, nsnet2"),
        "{text}"
    );
}

#[test]
fn an_engine_that_is_not_there_does_not_end_a_running_one() {
    let mut bench = Bench::new(MONO, &[("engine", "rnnoise"), ("max-load", "0")]);
    bench.send(f32_bytes(&[0.1; 4800]));
    bench.element.set_property("engine", "magic");
    bench.send(f32_bytes(&[0.1; 4800]));
    bench.send(f32_bytes(&[0.1; 4800]));
    assert!(!bench.take().is_empty());
    let warning = bench
        .bus
        .pop_filtered(&[gst::MessageType::Warning])
        .unwrap();
    let gst::MessageView::Warning(warning) = warning.view() else {
        unreachable!()
    };
    let text = warning.error().to_string();
    assert!(
        text.contains("no engine \"magic\"") && text.ends_with("rnnoise goes on"),
        "{text}"
    );
    assert!(
        bench
            .bus
            .pop_filtered(&[gst::MessageType::Warning])
            .is_none(),
        "it is told once"
    );
}

#[test]
fn a_call_that_is_noisy_becomes_clearer_and_the_element_tells_by_how_much() {
    let clean = speech();
    let noisy = mixed(clean, &noise(clean.len(), 0.03));
    let mut bench = Bench::new(MONO, &[("engine", "rnnoise"), ("max-load", "0")]);
    let mut voices: Vec<f64> = Vec::new();
    for piece in noisy.chunks(480) {
        bench.send(f32_bytes(piece));
        voices.push(bench.element.property("voice"));
    }
    let suppression: f64 = bench.element.property("suppression-db");
    bench.event(gst::event::Eos::new());
    let output = f32_samples(&bench.take());
    assert_eq!(output.len(), noisy.len());
    assert!(clearness(&output, clean) > clearness(&noisy, clean) + 1.0);
    // At the end there is noise alone.
    assert!(suppression > 10.0, "{suppression} dB");
    let loudest = voices.iter().copied().fold(0.0, f64::max);
    assert!(loudest > 0.8, "voice {loudest}");
    let frames: u64 = bench.element.property("frames");
    assert!(
        frames >= u64::try_from(noisy.len() / 480).unwrap(),
        "{frames}"
    );
    let (mean, worst): (u64, u64) = (
        bench.element.property("mean-us"),
        bench.element.property("worst-us"),
    );
    assert!(0 < mean && mean <= worst);
}

/// Makes voices a little quieter, and what is between words much: one hears whether it works.
struct Gate;

impl AudioFilter for Gate {
    fn frame(&self) -> usize {
        480
    }

    fn delay(&self) -> usize {
        0
    }

    fn process(&mut self, input: &[f32], output: &mut [f32]) -> Result<Option<f32>, FilterError> {
        let gain = if power(input) > 1e-3 { 0.9 } else { 0.1 };
        for (output, input) in output.iter_mut().zip(input) {
            *output = input * gain;
        }
        Ok(None)
    }
}

/// Ten seconds of a voice, 0.7 s of each, over noise of this root mean square.
fn talk(level: f32) -> Vec<f32> {
    let mut sound = noise(480_000, level);
    for (at, sample) in sound.iter_mut().enumerate() {
        if at % 48_000 < 33_600 {
            *sample += if at % 100 < 50 { 0.1 } else { -0.1 };
        }
    }
    sound
}

#[test]
fn sound_that_is_clean_goes_out_as_it_came_in_and_noisy_sound_does_not() {
    let pauses = Engine {
        name: "pauses",
        about: "takes pauses away",
        make: || Ok(Box::new(Gate)),
    };
    engine::add(pauses).unwrap();
    for (level, adaptive, need) in [
        (0.0005, "true", 0.0),
        (0.006, "true", 1.0),
        (0.0005, "false", 1.0),
    ] {
        let settings = [
            ("engine", "pauses"),
            ("adaptive", adaptive),
            ("max-load", "0"),
        ];
        let mut bench = Bench::new(MONO, &settings);
        let sound = talk(level);
        for piece in sound.chunks(480) {
            bench.send(f32_bytes(piece));
        }
        let found: f64 = bench.element.property("need");
        assert!(
            (found - need).abs() < 0.05,
            "noise {level}, {adaptive}: {found}"
        );
        bench.event(gst::event::Eos::new());
        let output = f32_samples(&bench.take());
        // The last pause.
        let pause = 470_000..479_000;
        let (before, after) = (power(&sound[pause.clone()]), power(&output[pause]));
        let gain = (after / before).sqrt();
        let expected = if need > 0.5 { 0.1 } else { 1.0 };
        assert!(
            (gain - expected).abs() < 0.05,
            "noise {level}, {adaptive}: {gain}"
        );
    }
}

/// Microseconds that a frame of the engine `sleeper` takes.
static SLEEP: AtomicU64 = AtomicU64::new(0);

struct Sleeper;

impl AudioFilter for Sleeper {
    fn frame(&self) -> usize {
        480
    }

    fn delay(&self) -> usize {
        0
    }

    fn process(&mut self, _input: &[f32], output: &mut [f32]) -> Result<Option<f32>, FilterError> {
        std::thread::sleep(Duration::from_micros(SLEEP.load(Ordering::Relaxed)));
        output.fill(0.0);
        Ok(None)
    }
}

#[test]
fn an_engine_that_cannot_keep_up_rests_and_the_operator_is_told() {
    let sleeper = Engine {
        name: "sleeper",
        about: "sleeps",
        make: || Ok(Box::new(Sleeper)),
    };
    engine::add(sleeper).unwrap();
    assert!(engine::add(sleeper).is_err(), "a name is taken once");
    // Far from what a frame takes on a machine that is busy with other things.
    let mut bench = Bench::new(MONO, &[("engine", "sleeper"), ("max-load", "4")]);
    SLEEP.store(60_000, Ordering::Relaxed);
    for _ in 0..40 {
        bench.send(f32_bytes(&[0.25; 480]));
    }
    assert!(bench.element.property::<bool>("bypassed"));
    assert_eq!(bench.element.property::<u64>("rests"), 1);
    let bus = bench.bus.clone();
    let told = |kind| bus.pop_filtered(&[kind]).unwrap();
    let message = told(gst::MessageType::Warning);
    let gst::MessageView::Warning(warning) = message.view() else {
        unreachable!()
    };
    let text = warning.error().to_string();
    assert!(
        text.contains("rests") && text.contains("% of the sound's time"),
        "{text}"
    );
    let message = told(gst::MessageType::Element);
    let structure = message.structure().unwrap();
    assert_eq!(structure.name(), attache::filter::element::MESSAGE);
    assert_eq!(structure.get::<bool>("resting"), Ok(true));
    // What came in is heard.
    let last = f32_samples(&bench.take()[30..]);
    assert!(last.iter().all(|sample| (sample - 0.25).abs() < 1e-6));
    SLEEP.store(0, Ordering::Relaxed);
    for _ in 0..300 {
        bench.send(f32_bytes(&[0.25; 480]));
    }
    assert!(!bench.element.property::<bool>("bypassed"));
    let message = told(gst::MessageType::Element);
    assert_eq!(
        message.structure().unwrap().get::<bool>("resting"),
        Ok(false)
    );
    // The sleeper's sound is silence.
    let last = f32_samples(&bench.take()[290..]);
    assert!(last.iter().all(|sample| sample.abs() < 1e-6));
}
