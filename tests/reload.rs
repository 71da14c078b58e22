//! A running capture moves to other values, sizes and descriptions while somebody watches.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::time::Duration;

use attache::job::{Parameters, Value};
use attache::media::capture::Capture;
use attache::media::choice::Track;
use attache::media::playback::Playback;
use attache::media::{Codec, MediaEvent, MediaKind};
use attache::pipeline::Description;
use gstreamer as gst;
use support::{Consumer, Decoder, LIMIT, Outlet, Source, context, shipped, with_luma};
use tokio::sync::mpsc;

/// A busy machine freezes the picture for a while, too: `make bench` measures, this only tells short from long.
const LONGEST_GAP: Duration = Duration::from_secs(2);

fn small(more: &[(&str, Value)]) -> Parameters {
    let always = [
        ("width", Value::Integer(320)),
        ("height", Value::Integer(180)),
        ("framerate", Value::Integer(20)),
        ("flash", Value::Boolean(false)),
        ("pattern", Value::String("black".into())),
    ];
    let all = always.iter().chain(more);
    all.map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

async fn start() -> (Capture, mpsc::UnboundedReceiver<MediaEvent>) {
    let (events, receiver) = mpsc::unbounded_channel();
    let (description, values) = (shipped("kiosk-test"), small(&[]));
    let capture = Capture::start(&description, &values, context(), events).await;
    (capture.unwrap(), receiver)
}

/// Someone who watches: the longest time between two pictures, by their timestamps.
struct Viewer {
    consumer: Consumer,
    last: gst::ClockTime,
    longest_gap: Duration,
}

impl Viewer {
    async fn attach(capture: &Capture, codec: Codec) -> Self {
        let mut consumer = Decoder::attach(&capture.producer(codec).unwrap(), codec);
        let last = consumer.next().await.buffer().unwrap().pts().unwrap();
        Self {
            consumer,
            last,
            longest_gap: Duration::ZERO,
        }
    }

    /// Looks at pictures until one is right.
    async fn until(&mut self, what: &str, is_right: impl Fn(&gst::Sample) -> bool) {
        let look = async {
            loop {
                let sample = self.consumer.next().await;
                let pts = sample.buffer().unwrap().pts().unwrap();
                let gap = Duration::from_nanos(pts.saturating_sub(self.last).nseconds());
                assert!(pts > self.last, "time goes on: {} after {}", pts, self.last);
                self.longest_gap = self.longest_gap.max(gap);
                self.last = pts;
                if is_right(&sample) {
                    return;
                }
            }
        };
        let found = tokio::time::timeout(LIMIT, look).await;
        found.unwrap_or_else(|_| panic!("{what} in time"));
    }

    fn assert_no_long_gap(&self) {
        println!("longest gap: {:?}", self.longest_gap);
        assert!(
            self.longest_gap <= LONGEST_GAP,
            "the picture froze for {:?}",
            self.longest_gap
        );
    }
}

/// The mean brightness of the lower left, where neither flash nor time code nor room name lie.
fn brightness(sample: &gst::Sample) -> f64 {
    with_luma(sample, |luma| {
        let (top, bottom) = (luma.height / 3, luma.height * 2 / 3);
        let rows = (top..bottom).map(|row| &luma.data[row * luma.stride..][..luma.width / 2]);
        let sum: u64 = rows.flatten().map(|value| u64::from(*value)).sum();
        sum as f64 / ((bottom - top) * (luma.width / 2)) as f64
    })
}

fn is_bright(sample: &gst::Sample) -> bool {
    brightness(sample) > 60.0
}

fn width(sample: &gst::Sample) -> i32 {
    let caps = sample.caps().unwrap();
    caps.structure(0).unwrap().get("width").unwrap()
}

#[tokio::test]
async fn another_value_is_seen_by_all_who_watch_without_a_long_freeze() {
    let (capture, _events) = start().await;
    let mut h264 = Viewer::attach(&capture, Codec::H264).await;
    let mut vp8 = Viewer::attach(&capture, Codec::Vp8).await;
    h264.until("the black picture", |sample| !is_bright(sample))
        .await;

    let before = capture.pipelines();
    let values = small(&[("pattern", Value::String("smpte".into()))]);
    capture
        .replace(&shipped("kiosk-test"), &values)
        .await
        .unwrap();
    assert_eq!(capture.pipelines(), before, "it is set where it plays");
    h264.until("the other picture", is_bright).await;
    vp8.until("the other picture", is_bright).await;
    h264.assert_no_long_gap();
    vp8.assert_no_long_gap();
    capture.stop().await;
}

#[tokio::test]
async fn another_size_comes_to_those_who_watch() {
    let (capture, _events) = start().await;
    let mut h264 = Viewer::attach(&capture, Codec::H264).await;
    let mut vp8 = Viewer::attach(&capture, Codec::Vp8).await;

    let values = small(&[
        ("width", Value::Integer(640)),
        ("height", Value::Integer(360)),
    ]);
    capture
        .replace(&shipped("kiosk-test"), &values)
        .await
        .unwrap();
    h264.until("the larger picture", |sample| width(sample) == 640)
        .await;
    vp8.until("the larger picture", |sample| width(sample) == 640)
        .await;
    h264.assert_no_long_gap();
    vp8.assert_no_long_gap();
    assert_eq!(capture.settings().video.width, 640);
    capture.stop().await;
}

/// A description of which the picture's fragment is this.
fn with_picture(fragment: &str) -> Description {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/kiosk-test.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("[capture]\nvideo = '''").unwrap();
    let (_, after) = rest.split_once("'''").unwrap();
    let text = format!("{before}[capture]\nvideo = '''{fragment}'''{after}");
    Description::parse(&file, "kiosk-test", &text).unwrap()
}

#[tokio::test]
async fn a_source_that_does_not_deliver_changes_nothing() {
    let (capture, mut events) = start().await;
    let mut viewer = Viewer::attach(&capture, Codec::Vp8).await;
    // It starts, and fails at its first frame.
    let broken = with_picture("videotestsrc pattern=white ! identity error-after=1");
    let error = capture.replace(&broken, &small(&[])).await.unwrap_err();
    assert!(error.to_string().contains("identity"), "{error}");
    for _ in 0..10 {
        viewer
            .until("the former picture", |sample| !is_bright(sample))
            .await;
    }
    viewer.assert_no_long_gap();
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, MediaEvent::Failed(_)), "{event:?}");
    }

    let right = with_picture("videotestsrc pattern=white ! clocksync");
    capture.replace(&right, &small(&[])).await.unwrap();
    viewer.until("the right picture", is_bright).await;
    viewer.assert_no_long_gap();
    capture.stop().await;
}

/// A kiosk that hands what it plays, so loud, to a channel of the inter elements.
fn into_channel(channel: &str) -> Description {
    let text = format!(
        "role = \"kiosk\"\nsummary = \"test\"\n\
         [parameters.volume]\ntype = \"float\"\nmin = 0\nmax = 10\ndefault = 1.0\ndescription = \"loudness\"\n\
         [settings.video]\nwidth = 320\nheight = 180\nframerate = 10\n\
         [playback]\nvideo = 'intervideosink channel={channel}'\n\
         audio = 'audioconvert ! volume volume={{volume}} ! interaudiosink channel={channel}'\n"
    );
    Description::parse(std::path::Path::new("x.toml"), "x", &text).unwrap()
}

#[tokio::test]
async fn what_others_send_is_played_on_through_another_value_and_another_description() {
    let (events, mut receiver) = mpsc::unbounded_channel();
    let quiet = Parameters::from([("volume".to_owned(), Value::Float(0.5))]);
    let playback = Playback::start(&into_channel("one"), &Parameters::new(), context(), events)
        .await
        .unwrap();
    let someone = Source::start("white", 440);
    let id = "someone".parse().unwrap();
    let _picture = playback.attach(&id, MediaKind::Video, Track::Original, &someone.video);
    let _sound = playback.attach(&id, MediaKind::Audio, Track::Original, &someone.audio);
    let mut one = Outlet::open("one");
    one.wait_for_sound(|amplitude| amplitude(440) > 0.15).await;

    playback
        .replace(&into_channel("one"), &quiet)
        .await
        .unwrap();
    one.wait_for_sound(|amplitude| (0.05..0.12).contains(&amplitude(440)))
        .await;

    playback
        .replace(&into_channel("two"), &quiet)
        .await
        .unwrap();
    let mut two = Outlet::open("two");
    two.wait_for_sound(|amplitude| (0.05..0.12).contains(&amplitude(440)))
        .await;
    two.wait_for_picture(|luma| luma.data[luma.stride * luma.height / 2 + luma.width / 2] > 200)
        .await;
    playback.stop().await;
    while let Ok(event) = receiver.try_recv() {
        assert!(!matches!(event, MediaEvent::Failed(_)), "{event:?}");
    }
}
