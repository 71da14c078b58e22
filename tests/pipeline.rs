//! Descriptions, capture and playback with real GStreamer elements: what is made is decoded and looked at.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod support;

use attache::job::{Parameters, Value};
use attache::media::capture::Capture;
use attache::media::choice::Track;
use attache::media::playback::Playback;
use attache::media::timecode::{self, Luma};
use attache::media::{Codec, MediaError, MediaEvent, MediaKind, clock};
use attache::pipeline::Description;
use gstreamer as gst;
use support::{Consumer, Decoder, LIMIT, Outlet, Source, context, shipped};
use tokio::sync::mpsc;

fn parameters(values: &[(&str, Value)]) -> Parameters {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// A small picture, so that a loaded machine keeps up.
fn small() -> Parameters {
    parameters(&[
        ("width", Value::Integer(640)),
        ("height", Value::Integer(360)),
        ("framerate", Value::Integer(20)),
        ("bitrate_kbps", Value::Integer(600)),
    ])
}

async fn capture(values: &Parameters) -> (Capture, mpsc::UnboundedReceiver<MediaEvent>) {
    let (events, receiver) = mpsc::unbounded_channel();
    let capture = Capture::start(&shipped("kiosk-test"), values, context(), events)
        .await
        .unwrap();
    (capture, receiver)
}

fn is_key_frame(sample: &gst::Sample) -> bool {
    !sample
        .buffer()
        .unwrap()
        .flags()
        .contains(gst::BufferFlags::DELTA_UNIT)
}

fn pts(sample: &gst::Sample) -> gst::ClockTime {
    sample.buffer().unwrap().pts().unwrap()
}

#[tokio::test]
async fn each_codec_comes_with_running_times_and_a_key_frame_first() {
    let (capture, mut events) = capture(&small()).await;
    assert!(capture.sends().audio && capture.sends().video);
    for codec in [Codec::Vp8, Codec::H264, Codec::Opus] {
        let asked = clock::running_time();
        let mut consumer = Consumer::attach(&capture.producer(codec).unwrap());
        let first = consumer.next().await;
        assert!(is_key_frame(&first), "{codec}");
        let mut last = pts(&first);
        for _ in 0..20 {
            let sample = consumer.next().await;
            assert!(pts(&sample) > last, "{codec}");
            last = pts(&sample);
            assert!(last <= clock::running_time(), "{codec} is from the future");
        }
        assert!(last > asked, "{codec} is from the past");
    }
    let mut notices = 0;
    while let Ok(event) = events.try_recv() {
        match event {
            MediaEvent::Encoder(_) => notices += 1,
            MediaEvent::Notice(notice) => panic!("{notice}"),
            MediaEvent::Failed(error) => panic!("{error}"),
            MediaEvent::Speech(_) | MediaEvent::Device(_) | MediaEvent::Filter(_) => {}
        }
    }
    assert_eq!(notices, 3, "one for each encoder");
    capture.stop().await;
}

#[tokio::test]
async fn two_consumers_share_one_encoder() {
    let (capture, mut events) = capture(&small()).await;
    let mut first = Consumer::attach(&capture.producer(Codec::Vp8).unwrap());
    let mut second = Consumer::attach(&capture.producer(Codec::Vp8).unwrap());
    // Frames that both have are the same bytes in memory.
    let wanted = second.next().await;
    loop {
        let sample = first.next().await;
        assert!(
            pts(&sample) <= pts(&wanted),
            "the first consumer misses a frame of the second"
        );
        if pts(&sample) == pts(&wanted) {
            let memory =
                |sample: &gst::Sample| sample.buffer().unwrap().map_readable().unwrap().as_ptr();
            assert_eq!(memory(&sample), memory(&wanted));
            break;
        }
    }
    let mut encoders = 0;
    while let Ok(event) = events.try_recv() {
        encoders += usize::from(matches!(event, MediaEvent::Encoder(_)));
    }
    assert_eq!(encoders, 1);
    capture.stop().await;
}

#[tokio::test]
async fn a_latecomer_begins_with_a_key_frame_at_once() {
    for codec in [Codec::Vp8, Codec::H264] {
        let (capture, _events) = capture(&small()).await;
        let mut early = Consumer::attach(&capture.producer(codec).unwrap());
        for _ in 0..10 {
            early.next().await;
        }
        let mut late = Consumer::attach(&capture.producer(codec).unwrap());
        let joined = pts(&early.latest().await);
        let first = late.next().await;
        assert!(is_key_frame(&first));
        // In frames, not in seconds: the machine may be slow.
        let mut waited = 0;
        while pts(&early.next().await) < pts(&first) {
            waited += 1;
        }
        assert!(
            waited <= 5,
            "{codec}: {waited} frames from {joined} to {}",
            pts(&first)
        );
        capture.stop().await;
    }
}

#[tokio::test]
async fn encoders_rest_while_nobody_is_there() {
    let (capture, _events) = capture(&small()).await;
    let mut consumer = Consumer::attach(&capture.producer(Codec::Vp8).unwrap());
    consumer.next().await;
    capture.rest();
    // What was under way still comes; then a second without a frame.
    let quiet = std::time::Duration::from_secs(1);
    while tokio::time::timeout(quiet, consumer.next()).await.is_ok() {}
    let slept = attache::media::clock::running_time();
    let mut newcomer = Consumer::attach(&capture.producer(Codec::Vp8).unwrap());
    let first = newcomer.next().await;
    assert!(
        is_key_frame(&first),
        "the next frame after the rest is a key frame"
    );
    assert!(
        pts(&first) + gst::ClockTime::from_mseconds(200) > slept,
        "it is not an old one"
    );
    capture.stop().await;
}

#[tokio::test]
async fn a_storm_of_requests_is_merged() {
    let (capture, _events) = capture(&small()).await;
    let mut consumer = Consumer::attach(&capture.producer(Codec::Vp8).unwrap());
    let start = pts(&consumer.next().await);
    let mut key_frames = 0;
    loop {
        consumer.request_key_frame();
        let sample = consumer.next().await;
        key_frames += u32::from(is_key_frame(&sample));
        if pts(&sample) > start + 3 * gst::ClockTime::SECOND {
            break;
        }
    }
    // Six of the storm, one that the newcomer had to his account; a slow machine makes fewer.
    assert!(
        (2..=8).contains(&key_frames),
        "{key_frames} key frames in three seconds"
    );
    capture.stop().await;
}

#[tokio::test]
async fn flash_and_beep_come_together_after_encoding_and_decoding() {
    let (capture, _events) = capture(&small()).await;
    let mut picture = Decoder::attach(&capture.producer(Codec::Vp8).unwrap(), Codec::Vp8);
    let mut sound = Decoder::attach(&capture.producer(Codec::Opus).unwrap(), Codec::Opus);
    let second = gst::ClockTime::SECOND;
    let start = clock::running_time();
    let mut flashes = Vec::new();
    let mut was_lit = true;
    loop {
        let sample = picture.next().await;
        let is_lit = support::with_luma(&sample, timecode::is_lit);
        if is_lit && !was_lit {
            flashes.push(pts(&sample));
        }
        was_lit = is_lit;
        if pts(&sample) > start + 4 * second {
            break;
        }
    }
    let mut beeps = Vec::new();
    let mut was_loud = true;
    loop {
        let sample = sound.next().await;
        for (time, is_loud) in support::loudness(&sample) {
            if is_loud && !was_loud {
                beeps.push(time);
            }
            was_loud = is_loud;
        }
        if pts(&sample) > start + 4 * second {
            break;
        }
    }
    let pairs: Vec<_> = flashes
        .iter()
        .filter_map(|flash| {
            let beep = beeps
                .iter()
                .find(|beep| beep.nseconds().abs_diff(flash.nseconds()) < 300_000_000)?;
            Some((*flash, *beep))
        })
        .collect();
    assert!(!pairs.is_empty(), "flashes {flashes:?} beeps {beeps:?}");
    for (flash, beep) in pairs {
        let apart_ms = (beep.nseconds() as i64 - flash.nseconds() as i64) / 1_000_000;
        // A frame of 50 ms may have been lost under load, then the flash is one late; never is the beep.
        assert!(
            (-51..=8).contains(&apart_ms),
            "beep {apart_ms} ms after the flash"
        );
        let in_second = beep.nseconds() % second.nseconds() / 1_000_000;
        assert!(
            !(8..=992).contains(&in_second),
            "the beep is {in_second} ms after a full second"
        );
    }
    capture.stop().await;
}

#[tokio::test]
async fn the_time_code_survives_vp8_at_300_kilobits() {
    let mut values = small();
    values.insert("bitrate_kbps".into(), Value::Integer(300));
    values.insert("width".into(), Value::Integer(1280));
    values.insert("height".into(), Value::Integer(720));
    let (capture, _events) = capture(&values).await;
    let mut picture = Decoder::attach(&capture.producer(Codec::Vp8).unwrap(), Codec::Vp8);
    let mut unread = 0;
    for _ in 0..60 {
        let sample = picture.next().await;
        let expected = clock::wall_clock(pts(&sample)).unix_timestamp_nanos() / 1_000_000;
        match support::with_luma(&sample, timecode::read) {
            Some(utc_ms) => assert!(
                (i128::from(utc_ms) - expected).abs() <= 5,
                "{utc_ms} {expected}"
            ),
            None => unread += 1,
        }
    }
    assert!(unread <= 1, "{unread} of 60 frames could not be read");
    capture.stop().await;
}

#[tokio::test]
async fn a_kiosk_without_devices_says_so_and_sends_the_test_picture_in_silence() {
    let (events, mut receiver) = mpsc::unbounded_channel();
    let none = || Value::String("none".into());
    let values = parameters(&[
        ("camera", none()),
        ("microphone", none()),
        ("framerate", Value::Integer(15)),
    ]);
    let capture = Capture::start(&shipped("kiosk"), &values, context(), events)
        .await
        .unwrap();
    for kind in ["camera", "microphone"] {
        let Some(MediaEvent::Notice(text)) = receiver.recv().await else {
            panic!("no notice")
        };
        assert!(
            text.contains(&format!("no {kind} is used, as asked")),
            "{text}"
        );
        assert!(text.contains("kiosk-test is sent instead"), "{text}");
    }
    let mut picture = Decoder::attach(&capture.producer(Codec::Vp8).unwrap(), Codec::Vp8);
    let sample = picture.next().await;
    assert!(support::with_luma(&sample, timecode::read).is_some());
    let mut sound = Decoder::attach(&capture.producer(Codec::Opus).unwrap(), Codec::Opus);
    let start = pts(&sound.next().await);
    loop {
        let sample = sound.next().await;
        assert!(
            support::loudness(&sample)
                .iter()
                .all(|(_, is_loud)| !is_loud),
            "a real kiosk beeps unasked"
        );
        if pts(&sample) > start + gst::ClockTime::from_mseconds(1200) {
            break;
        }
    }
    capture.stop().await;
}

#[tokio::test]
async fn a_recorder_captures_nothing() {
    let (events, _receiver) = mpsc::unbounded_channel();
    let capture = Capture::start(&shipped("recorder"), &Parameters::new(), context(), events)
        .await
        .unwrap();
    assert!(!capture.sends().audio && !capture.sends().video);
    assert_eq!(
        capture.producer(Codec::Vp8).unwrap_err(),
        MediaError::NotCaptured(Codec::Vp8)
    );
    capture.stop().await;
}

/// A kiosk that hands what it would play to a channel of the inter elements.
fn into_channel(channel: &str) -> Description {
    let text = format!(
        "role = 'kiosk'\nsummary = 'test'\n[settings.video]\nwidth = 320\nheight = 180\nframerate = 10\n\
         [playback]\nvideo = 'intervideosink channel={channel}'\naudio = 'interaudiosink channel={channel}'\n"
    );
    Description::parse("test.toml".as_ref(), "test", &text).unwrap()
}

#[tokio::test]
async fn two_participants_are_seen_and_heard_together_and_one_who_stalls_does_not_hold_the_other() {
    let (events, mut receiver) = mpsc::unbounded_channel();
    let playback = Playback::start(&into_channel("both"), &Parameters::new(), context(), events)
        .await
        .unwrap();
    assert!(playback.plays(MediaKind::Audio) && playback.plays(MediaKind::Video));
    let left = Source::start("white", 440);
    let right = Source::start("red", 2000);
    let mut attachments = Vec::new();
    for (id, source) in [("left", &left), ("right", &right)] {
        let id = id.parse().unwrap();
        attachments.push(playback.attach(&id, MediaKind::Video, Track::Original, &source.video));
        attachments.push(playback.attach(&id, MediaKind::Audio, Track::Original, &source.audio));
    }
    let mut output = Outlet::open("both");
    // White has luma 235, red about 63 (BT.601) or 63 (BT.709); black, where nobody is, 16.
    output
        .wait_for_picture(|luma| near(luma, 80, 235) && near(luma, 240, 70))
        .await;
    output
        .wait_for_sound(|tones| tones(440) > 0.02 && tones(2000) > 0.02)
        .await;

    right.stall();
    output
        .wait_for_sound(|tones| tones(440) > 0.02 && tones(2000) < 0.01)
        .await;

    attachments.drain(2..).for_each(drop);
    output.wait_for_picture(|luma| near(luma, 160, 235)).await;
    drop(attachments);
    playback.stop().await;
    while let Ok(event) = receiver.try_recv() {
        assert!(!matches!(event, MediaEvent::Failed(_)), "{event:?}");
    }
}

/// Whether the picture has this luma at column `x`, half way down.
fn near(luma: &Luma<'_>, x: usize, wanted: u8) -> bool {
    luma.data[luma.height / 2 * luma.stride + x].abs_diff(wanted) < 20
}

#[tokio::test]
async fn a_description_without_a_display_does_not_ask_for_decoded_pictures() {
    let (events, mut receiver) = mpsc::unbounded_channel();
    let values = parameters(&[
        ("display", Value::String("none".into())),
        ("speaker", Value::String("none".into())),
    ]);
    let playback = Playback::start(&shipped("kiosk"), &values, context(), events)
        .await
        .unwrap();
    assert!(!playback.plays(MediaKind::Video) && !playback.plays(MediaKind::Audio));
    let event = tokio::time::timeout(LIMIT, receiver.recv()).await.unwrap();
    assert!(
        matches!(event, Some(MediaEvent::Notice(text)) if text.starts_with("no speaker is used, as asked"))
    );
    playback.stop().await;
}
