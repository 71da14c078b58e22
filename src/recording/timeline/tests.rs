//! What becomes of which frames.

use proptest::prelude::*;

use super::super::container::{Containers, Media};
use super::super::frame::Picture;
use super::super::report::Size;
use super::*;

const BOTH: Sends = Sends {
    audio: true,
    video: true,
};

const AUTO: Format = Format {
    containers: Containers::Auto,
    media: Media::All,
};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn sound(at: u64) -> Frame {
    Frame {
        at: ms(at),
        content: Content::Opus { duration: ms(20) },
        data: vec![],
    }
}

fn key(codec: Codec, at: u64) -> Frame {
    let picture = Picture {
        codec,
        size: Size {
            width: 64,
            height: 48,
        },
        configuration: vec![],
    };
    Frame {
        at: ms(at),
        content: Content::Key(picture),
        data: vec![],
    }
}

fn delta(codec: Codec, at: u64) -> Frame {
    Frame {
        at: ms(at),
        content: Content::Delta(codec),
        data: vec![],
    }
}

/// A short form: `begin 100 Vp8+Opus`, `a0`, `v33`, `declare Vp8`, `ask`; without what is kept meanwhile.
fn short(actions: &[Action]) -> Vec<String> {
    let codecs = |tracks: &[Track]| {
        tracks
            .iter()
            .map(|t| format!("{:?}", t.codec()))
            .collect::<Vec<_>>()
            .join("+")
    };
    let one = |action: &Action| match action {
        Action::Begin { at, tracks, .. } => {
            Some(format!("begin {} {}", at.as_millis(), codecs(tracks)))
        }
        Action::Declare(track) => Some(format!("declare {:?}", track.codec())),
        Action::Write { block, .. } => {
            let kind = if block.kind == MediaKind::Audio {
                "a"
            } else {
                "v"
            };
            Some(format!("{kind}{}", block.at.as_millis()))
        }
        Action::Keep(_) => None,
        Action::AskForKeyFrame => Some("ask".to_owned()),
    };
    actions.iter().filter_map(one).collect()
}

fn run(
    timeline: &mut Timeline,
    frames: impl IntoIterator<Item = Frame>,
    now: Instant,
) -> Vec<String> {
    let mut actions = Vec::new();
    for frame in frames {
        actions.extend(timeline.push(frame, now));
    }
    short(&actions)
}

#[test]
fn both_tracks_begin_together_and_are_written_in_order_of_time() {
    let now = Instant::now();
    let mut timeline = Timeline::new(BOTH, AUTO);
    let frames = [
        sound(120),
        sound(140),
        key(Codec::Vp8, 100),
        delta(Codec::Vp8, 133),
        sound(160),
    ];
    assert_eq!(
        run(&mut timeline, frames, now),
        ["begin 100 Vp8+Opus", "v0", "a20", "v33"]
    );
    assert_eq!(short(&timeline.end(now)), ["a40", "a60"]);
}

#[test]
fn pictures_before_the_first_key_frame_are_left_out_and_a_key_frame_is_asked_for() {
    let now = Instant::now();
    let mut timeline = Timeline::new(BOTH, AUTO);
    let frames = [
        delta(Codec::Vp8, 0),
        delta(Codec::Vp8, 33),
        sound(40),
        key(Codec::Vp8, 66),
    ];
    assert_eq!(
        run(&mut timeline, frames, now),
        ["ask", "begin 40 Vp8+Opus", "a0"]
    );
    assert_eq!(short(&timeline.push(sound(70), now)), ["v26"]);
}

#[test]
fn an_announced_track_that_does_not_come_is_waited_for_two_seconds() {
    let now = Instant::now();
    let mut timeline = Timeline::new(BOTH, AUTO);
    assert_eq!(
        run(&mut timeline, (0..100).map(|n| sound(n * 20)), now),
        Vec::<String>::new()
    );
    let begun = run(&mut timeline, [sound(2000)], now);
    assert_eq!(begun[..2], ["begin 0 Opus", "a0"]);

    let mut by_the_clock = Timeline::new(BOTH, AUTO);
    assert!(run(&mut by_the_clock, [sound(0)], now).is_empty());
    assert!(by_the_clock.idle(now + ms(1900)).is_empty());
    assert_eq!(
        short(&by_the_clock.idle(now + ms(2000))),
        ["begin 0 Opus", "a0"]
    );
}

#[test]
fn what_waits_for_another_track_is_kept_until_its_file_begins() {
    let now = Instant::now();
    let mut timeline = Timeline::new(BOTH, AUTO);
    let (first, second) = (sound(0), sound(20));
    assert_eq!(timeline.push(first.clone(), now), [Action::Keep(first)]);
    assert_eq!(timeline.push(second.clone(), now), [Action::Keep(second)]);
    let begun = timeline.push(key(Codec::H264, 30), now);
    assert_eq!(short(&begun), ["begin 0 H264+Opus", "a0", "a20"]);
    let kept = |action: &Action| matches!(action, Action::Keep(_));
    assert!(!begun.iter().any(kept));
    assert!(!timeline.push(sound(40), now).iter().any(kept));
}

#[test]
fn a_late_vp8_track_joins_the_file_and_late_h264_begins_the_next() {
    let now = Instant::now();
    let only_sound = Sends {
        audio: true,
        video: false,
    };
    let mut timeline = Timeline::new(only_sound, AUTO);
    assert_eq!(
        run(&mut timeline, [sound(0), key(Codec::Vp8, 5)], now),
        ["begin 0 Opus", "a0", "declare Vp8"][..2]
    );
    assert_eq!(
        run(
            &mut timeline,
            [sound(20), delta(Codec::Vp8, 40), sound(60)],
            now
        ),
        ["declare Vp8", "v5", "a20", "v40"]
    );

    let mut timeline = Timeline::new(only_sound, AUTO);
    let frames = [
        sound(0),
        sound(20),
        key(Codec::H264, 30),
        sound(40),
        delta(Codec::H264, 63),
        sound(80),
    ];
    let expected = [
        "begin 0 Opus",
        "a0",
        "a20",
        "begin 30 H264+Opus",
        "v0",
        "a10",
        "v33",
    ];
    assert_eq!(run(&mut timeline, frames, now), expected);
}

#[test]
fn another_video_codec_begins_the_next_file_at_its_key_frame() {
    let now = Instant::now();
    let mut timeline = Timeline::new(
        Sends {
            audio: false,
            video: true,
        },
        AUTO,
    );
    let frames = [
        key(Codec::H264, 0),
        delta(Codec::H264, 33),
        key(Codec::Vp8, 66),
        delta(Codec::Vp8, 99),
    ];
    assert_eq!(
        run(&mut timeline, frames, now),
        [
            "begin 0 H264+Opus",
            "v0",
            "v33",
            "begin 66 Vp8+Opus",
            "v0",
            "v33"
        ]
    );
}

#[test]
fn sound_goes_on_while_the_camera_is_off() {
    let now = Instant::now();
    let mut timeline = Timeline::new(BOTH, AUTO);
    run(&mut timeline, [sound(0), key(Codec::Vp8, 0)], now);
    let written = run(&mut timeline, (1..500).map(|n| sound(n * 20)), now);
    assert!(
        written.len() >= 485,
        "{} of 499 are written though no picture comes",
        written.len()
    );
    timeline.set_sends(Sends {
        audio: true,
        video: false,
    });
    run(&mut timeline, [sound(10_000)], now);
    assert_eq!(
        run(&mut timeline, [sound(10_020)], now),
        ["a10020"],
        "nothing is held back for a camera that is off"
    );
}

#[test]
fn time_never_runs_backwards_within_a_track() {
    let now = Instant::now();
    let mut timeline = Timeline::new(
        Sends {
            audio: true,
            video: false,
        },
        AUTO,
    );
    let frames = [
        sound(2000),
        sound(2020),
        sound(2020),
        sound(2010),
        sound(500),
        sound(2040),
    ];
    assert_eq!(
        run(&mut timeline, frames, now),
        ["begin 2000 Opus", "a0", "a20", "a21", "a22", "a40"]
    );
}

#[test]
fn after_a_loss_pictures_wait_for_a_key_frame() {
    let now = Instant::now();
    let mut timeline = Timeline::new(
        Sends {
            audio: false,
            video: true,
        },
        AUTO,
    );
    run(&mut timeline, [key(Codec::Vp8, 0)], now);
    timeline.lost(MediaKind::Video);
    assert_eq!(
        run(
            &mut timeline,
            [delta(Codec::Vp8, 33), key(Codec::Vp8, 66)],
            now
        ),
        ["ask", "v66"]
    );
}

proptest! {
    #[test]
    fn whatever_arrives_each_track_of_each_file_goes_forward_and_begins_with_a_key_frame(
        arrivals in proptest::collection::vec((0_u8..7, 0_u64..6000), 0..300),
    ) {
        let now = Instant::now();
        let mut timeline = Timeline::new(BOTH, AUTO);
        let mut actions = Vec::new();
        for (what, at) in arrivals {
            match what {
                0 | 1 => actions.extend(timeline.push(sound(at), now)),
                2 => actions.extend(timeline.push(key(Codec::Vp8, at), now)),
                3 => actions.extend(timeline.push(key(Codec::H264, at), now)),
                4 => actions.extend(timeline.push(delta(Codec::Vp8, at), now)),
                5 => actions.extend(timeline.idle(now)),
                _ => timeline.lost(MediaKind::Video),
            }
        }
        actions.extend(timeline.end(now));

        let mut declared: Vec<MediaKind> = Vec::new();
        let mut last: Vec<(MediaKind, Duration)> = Vec::new();
        for action in actions {
            match action {
                Action::Begin { tracks, .. } => {
                    declared = tracks.iter().map(Track::kind).collect();
                    last.clear();
                }
                Action::Declare(track) => declared.push(track.kind()),
                Action::Write { block, .. } => {
                    prop_assert!(declared.contains(&block.kind), "a frame of a track that nobody declared");
                    match last.iter_mut().find(|(kind, _)| *kind == block.kind) {
                        Some((_, before)) => {
                            prop_assert!(block.at >= *before, "time runs backwards");
                            *before = block.at;
                        }
                        None => {
                            prop_assert!(block.key, "a track begins with a frame that cannot be decoded");
                            last.push((block.kind, block.at));
                        }
                    }
                }
                Action::Keep(_) | Action::AskForKeyFrame => {}
            }
        }
    }
}
