//! A simulated sender with a clock of its own, behind a network that delays.

use proptest::prelude::*;

use super::*;

const MS: i64 = 1_000_000;
const S: i64 = 1000 * MS;

/// A sender whose clock differs from ours.
struct Sender {
    clock: SenderClock,
    /// Its wall clock minus ours.
    ahead: i64,
    /// So much faster its clock runs, in parts per million.
    drift: i64,
    /// RTP time stamps begin anywhere.
    audio_base: u32,
    video_base: u32,
}

impl Sender {
    fn new(drift: i64) -> Self {
        Self {
            clock: SenderClock::default(),
            ahead: 3_900_000_000 * S + 123 * MS,
            drift,
            audio_base: u32::MAX - 48_000,
            video_base: 17,
        }
    }

    fn own(&self, at: i64) -> i64 {
        at + at / 1_000_000 * self.drift
    }

    /// The stamp of what is captured at this running time of ours.
    fn stamp(&self, kind: MediaKind, at: i64) -> u32 {
        let (rate, base) = match kind {
            MediaKind::Audio => (48_000, self.audio_base),
            MediaKind::Video => (90_000, self.video_base),
        };
        let ticks = i128::from(self.own(at)) * rate / i128::from(S);
        base.wrapping_add(u32::try_from(ticks & 0xffff_ffff).unwrap())
    }

    /// Captured at `at`, it arrives `delay` later; when does the clock say it was captured?
    fn send(&mut self, kind: MediaKind, at: i64, delay: i64) -> i64 {
        let stamp = self.stamp(kind, at);
        let arrival = Duration::from_nanos(u64::try_from(at + delay).unwrap());
        self.clock.on_packet(kind, stamp, arrival);
        nanos(self.clock.capture(kind, stamp).unwrap())
    }

    fn report(&mut self, kind: MediaKind, at: i64) {
        let wall = u64::try_from(self.own(at) + self.ahead).unwrap();
        let (seconds, rest) = (wall / 1_000_000_000, wall % 1_000_000_000);
        let ntp = ((seconds & 0xffff_ffff) << 32) | ((rest << 32) / 1_000_000_000);
        let stamp = self.stamp(kind, at);
        self.clock.on_report(kind, ntp, stamp);
    }
}

use MediaKind::{Audio, Video};

#[test]
fn after_the_reports_sound_and_picture_of_one_moment_have_one_time_whatever_each_took() {
    let mut sender = Sender::new(0);
    let mut apart = 0;
    for n in 0..500 {
        let at = S + n * 20 * MS;
        match n {
            40 => sender.report(Video, at),
            125 => sender.report(Audio, at),
            _ => {}
        }
        let picture = sender.send(Video, at, 60 * MS);
        let sound = sender.send(Audio, at, 25 * MS);
        apart = picture - sound;
        if n < 40 {
            assert!((apart - 35 * MS).abs() < MS, "as they arrive: {apart}");
        }
    }
    assert!(apart.abs() < MS / 10, "still {apart} ns apart");
}

#[test]
fn what_a_report_corrects_is_made_up_without_a_step() {
    let mut sender = Sender::new(0);
    let mut last: Option<i64> = None;
    for n in 0..400 {
        let at = S + n * 20 * MS;
        if n == 200 {
            sender.report(Video, at);
            sender.report(Audio, at);
        }
        sender.send(Video, at, 90 * MS);
        let sound = sender.send(Audio, at, 20 * MS);
        let most = if n < 150 { 4 * MS } else { MS / 2 };
        if let Some(last) = last.replace(sound) {
            assert!((sound - last - 20 * MS).abs() <= most, "{n}: a step");
        }
    }
}

#[test]
fn sound_that_is_passed_on_keeps_its_distances_and_stays_with_the_picture() {
    let mut sender = Sender::new(100);
    sender.clock = SenderClock::passing_on();
    let (mut last, mut steps) = (None, 0);
    for n in 0..6000 {
        let at = S + n * 20 * MS;
        if n % 50 == 30 {
            sender.report(Video, at);
            sender.report(Audio, at);
        }
        let picture = sender.send(Video, at, 80 * MS);
        // Every tenth packet has the shortest way.
        let sound = sender.send(Audio, at, if n % 10 == 0 { 20 * MS } else { 30 * MS });
        if let Some(last) = last.replace(sound) {
            let off: i64 = sound - last - 20 * MS;
            // A sample is 0.02 ms; the stamps are whole ones.
            steps += i64::from(off.abs() > MS / 40);
        }
        if n > 200 {
            let apart = picture - sound;
            assert!(apart.abs() < 12 * MS, "{apart} ns apart after {n}");
        }
    }
    // One for the first report, and one for each 10 ms that the clocks come apart: 12 ms in two minutes.
    assert!((1..=3).contains(&steps), "{steps} steps");
}

#[test]
fn a_clock_that_drifts_for_hours_is_followed() {
    for drift in [-200, 200] {
        let mut sender = Sender::new(drift);
        for n in 0..3 * 3600 * 10 {
            let at = S + n * 100 * MS;
            if n % 50 == 0 {
                sender.report(Video, at);
                sender.report(Audio, at);
            }
            // Every tenth packet has the shortest way.
            let delay = if n % 10 == 0 { 10 * MS } else { 30 * MS };
            let picture = sender.send(Video, at, delay);
            let sound = sender.send(Audio, at, delay + 5 * MS);
            if n > 100 {
                let off = picture - at - 10 * MS;
                assert!(off.abs() < 4 * MS, "{drift} ppm: {off} ns after {n}");
                assert!((picture - sound).abs() < MS, "{drift} ppm, {n}");
            }
        }
    }
}

#[test]
fn a_sender_that_begins_anew_is_followed_at_once() {
    let mut sender = Sender::new(0);
    for n in 0..100 {
        let at = S + n * 20 * MS;
        if n % 20 == 0 {
            sender.report(Audio, at);
        }
        sender.send(Audio, at, 20 * MS);
    }
    // Its RTP time and its wall clock are others now.
    sender.audio_base = sender.audio_base.wrapping_add(48_000 * 100);
    sender.ahead += 7 * S;
    let at = 4 * S;
    sender.send(Audio, at, 20 * MS);
    sender.report(Audio, at);
    for n in 1..20 {
        let at = at + n * 20 * MS;
        let off = sender.send(Audio, at, 20 * MS) - at - 20 * MS;
        assert!(off.abs() < MS, "{off} ns off after {n}");
    }
}

proptest! {
    #[test]
    fn whatever_the_network_does_time_goes_forward_and_stays_near(
        delays in prop::collection::vec((0..80_i64, 0..80_i64), 50..300),
        reports in prop::collection::vec(0..300_usize, 0..6),
        drift in -200..200_i64,
    ) {
        let mut sender = Sender::new(drift);
        let mut last = [0; 2];
        for (n, (picture, sound)) in delays.into_iter().enumerate() {
            let at = S + i64::try_from(n).unwrap() * 20 * MS;
            if reports.contains(&n) {
                sender.report(Video, at);
                sender.report(Audio, at);
            }
            let times = [
                sender.send(Video, at, picture * MS + 5 * MS),
                sender.send(Audio, at, sound * MS + 5 * MS),
            ];
            for (time, last) in times.into_iter().zip(&mut last) {
                prop_assert!(time > *last, "time goes back");
                prop_assert!((time - at - 5 * MS).abs() <= 90 * MS, "far away: {}", time - at);
                *last = time;
            }
        }
    }
}

#[test]
fn encodings_of_one_picture_have_stamps_of_their_own_and_one_time() {
    let mut clock = SenderClock::passing_on();
    let of = |encoding| Stream {
        kind: Video,
        encoding,
    };
    let bases = [(of(7), 17u32), (of(8), u32::MAX - 900)];
    let mut captured = [0; 2];
    for frame in 0..100u32 {
        let at = Duration::from_millis(u64::from(frame) * 40 + 1000);
        for (place, (stream, base)) in bases.into_iter().enumerate() {
            let stamp = base.wrapping_add(frame * 3600);
            if frame == 5 {
                clock.on_report(stream, 4_000_000_000 << 32, stamp);
            }
            // The larger one takes longer.
            let delay = Duration::from_millis(10 + 20 * place as u64);
            clock.on_packet(stream, stamp, at + delay);
            captured[place] = nanos(clock.capture(stream, stamp).unwrap());
        }
    }
    let apart = (captured[0] - captured[1]).abs();
    assert!(apart < MS, "{captured:?}");
}
