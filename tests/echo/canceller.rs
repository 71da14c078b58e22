//! What `attacheaec` does in a simulated room.

use std::time::Duration;

use super::room::{ALONE, Canceller, RATE, echo, far_voice, near_voice, with_hiss};
use super::sound::{clearness, decibels, power};

/// As it is used, but for the gain: levels are compared.
const PLAIN: [(&str, &str); 1] = [("gain-control", "false")];
/// By then the canceller knows the room.
const LEARNT: usize = 10 * RATE;

/// By how many dB the second is quieter than the first.
fn quieter(before: &[f32], after: &[f32]) -> f32 {
    decibels(power(before)) - decibels(power(after))
}

/// How clear a voice is in what is sent, wherever up to 10 ms later it is best.
fn clearness_of(voice: &[f32], sent: &[f32]) -> f32 {
    let late = (0..RATE / 100).step_by(2);
    let clear = late.map(|late| {
        let length = voice.len().min(sent.len() - late);
        clearness(&sent[late..late + length], &voice[..length])
    });
    clear.fold(f32::NEG_INFINITY, f32::max)
}

#[test]
fn what_is_played_is_not_sent_however_late_it_comes_back() {
    let _alone = ALONE.blocking_lock();
    for late in [20, 80, 200] {
        let echo = echo(Duration::from_millis(late));
        let sent = Canceller::new(&PLAIN).run(far_voice(), &with_hiss(&echo));
        let after = LEARNT..sent.len();
        let loss = quieter(&echo[after.clone()], &sent[after]);
        let first = quieter(&echo[2 * RATE..4 * RATE], &sent[2 * RATE..4 * RATE]);
        println!("{late} ms: {first:.1} dB from 2 to 4 s, {loss:.1} dB after 10 s");
        assert!(loss > 25.0, "{late} ms: {loss} dB");
    }
}

#[test]
fn without_the_canceller_it_is_sent() {
    let _alone = ALONE.blocking_lock();
    let echo = echo(Duration::from_millis(80));
    let settings = [("gain-control", "false"), ("echo-cancel", "false")];
    let sent = Canceller::new(&settings).run(far_voice(), &with_hiss(&echo));
    let loss = quieter(&echo[LEARNT..sent.len()], &sent[LEARNT..]);
    assert!(loss < 3.0, "{loss} dB");
}

#[test]
fn whoever_speaks_meanwhile_is_heard() {
    let _alone = ALONE.blocking_lock();
    let near = near_voice();
    let silence = vec![0.0; near.len()];
    // The high-pass and the bands in which it works turn phases: a voice alone is not the same afterwards either.
    let alone = Canceller::new(&PLAIN).run(&silence, &with_hiss(near));
    let best = clearness_of(near, &alone);
    let mut heard = with_hiss(&echo(Duration::from_millis(80)));
    let part = LEARNT..LEARNT + near.len();
    let both = heard[part.clone()].iter_mut().zip(near);
    both.for_each(|(heard, voice)| *heard += voice);
    let sent = Canceller::new(&PLAIN).run(far_voice(), &heard);
    let sent = &sent[part.start..part.end.min(sent.len())];
    let (clear, loss) = (clearness_of(near, sent), quieter(near, sent));
    println!("a voice alone {best:.1} dB, with an echo {clear:.1} dB and {loss:.1} dB less loud");
    assert!(quieter(near, &alone).abs() < 2.0);
    assert!(loss < 4.0, "{loss} dB quieter");
    assert!(clear > best - 6.0, "{clear} dB, alone {best} dB");
}

#[test]
fn a_quiet_voice_becomes_louder() {
    let _alone = ALONE.blocking_lock();
    let quiet: Vec<f32> = near_voice().iter().map(|sample| sample * 0.1).collect();
    let silence = vec![0.0; quiet.len()];
    let sent = Canceller::new(&[]).run(&silence, &quiet);
    let louder = -quieter(&quiet, &sent);
    println!("{louder:.1} dB louder");
    assert!(louder > 5.0, "{louder} dB");
}

#[test]
fn a_capture_that_replaces_another_cancels_too() {
    let _alone = ALONE.blocking_lock();
    let echo = echo(Duration::from_millis(20));
    let heard = with_hiss(&echo);
    let (played, half) = (far_voice(), far_voice().len() / 2 / 480 * 480);
    let mut former = Canceller::new(&PLAIN);
    former.run(&played[..RATE], &heard[..RATE]);
    // Both are there for a moment.
    let mut canceller = Canceller::new(&PLAIN);
    let first = canceller.run(&played[..half], &heard[..half]);
    drop(former);
    let second = canceller.run(&played[half..], &heard[half..]);
    let sent = [first, second].concat();
    let loss = quieter(&echo[LEARNT..sent.len()], &sent[LEARNT..]);
    assert!(loss > 25.0, "{loss} dB");
}
