//! The element `attachertsp` with a real RTSP server: media arrives, goes with the camera, and comes back with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/camera.rs"]
mod camera;
mod support;

use attache::media::capture::Capture;
use attache::media::timecode::Luma;
use attache::media::{Codec, MediaEvent, clock};
use attache::pipeline::Description;
use camera::{Camera, free_port};
use gstreamer as gst;
use support::{Decoder, LIMIT, amplitude, context, mono, with_luma};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

struct Kiosk {
    capture: Capture,
    events: UnboundedReceiver<MediaEvent>,
}

impl Kiosk {
    async fn of(location: &str, protocols: &str) -> Self {
        let element = format!("attachertsp location={location} latency=100 protocols={protocols}");
        let text = format!(
            "role = \"kiosk\"\nsummary = \"x\"\n[settings.video]\nwidth = 320\nheight = 240\n[capture]\n\
             video = '{element} media=video'\naudio = '{element} media=audio'\n"
        );
        let description = Description::parse("x.toml".as_ref(), "x", &text).unwrap();
        let (to_us, events) = unbounded_channel();
        let capture = Capture::start(&description, &Default::default(), context(), to_us)
            .await
            .unwrap();
        Self { capture, events }
    }

    /// Waits for a notice with these words.
    async fn says(&mut self, words: &str) -> String {
        let mut heard = Vec::new();
        let wait = async {
            loop {
                match self.events.recv().await.unwrap() {
                    MediaEvent::Notice(text) if text.contains(words) => return text,
                    MediaEvent::Notice(text) => heard.push(text),
                    MediaEvent::Encoder(_)
                    | MediaEvent::Speech(_)
                    | MediaEvent::Device(_)
                    | MediaEvent::Filter(_) => {}
                    MediaEvent::Failed(error) => panic!("{error}"),
                }
            }
        };
        let said = tokio::time::timeout(LIMIT, wait).await;
        said.unwrap_or_else(|_| panic!("nobody said {words:?}, but {heard:#?}"))
    }
}

fn is_blue(luma: &Luma<'_>) -> bool {
    let middle = luma.data[luma.height / 2 * luma.stride + luma.width / 2];
    (30..50).contains(&middle)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_killed_comes_back_with_picture_and_sound() {
    let port = free_port();
    let camera = Camera::start(port, &["h264"]);
    let url = format!("rtsp://127.0.0.1:{port}/live");
    let mut kiosk = Kiosk::of(&url, "tcp").await;
    let mut picture = Decoder::attach(&kiosk.capture.producer(Codec::Vp8).unwrap(), Codec::Vp8);
    let mut sound = Decoder::attach(&kiosk.capture.producer(Codec::Opus).unwrap(), Codec::Opus);

    let mut is_there = async || {
        let begun = clock::running_time();
        let fresh = async |consumer: &mut support::Consumer| loop {
            let sample = consumer.next().await;
            let pts = sample.buffer().unwrap().pts().unwrap();
            if pts > begun {
                let now = clock::running_time();
                // Its first frames come together, before it is known how they are spread.
                assert!(
                    pts <= now + gst::ClockTime::from_mseconds(100),
                    "{pts} is after {now}"
                );
                assert!(
                    now.saturating_sub(pts) < gst::ClockTime::from_seconds(2),
                    "{pts} is long before {now}"
                );
                return sample;
            }
        };
        while !with_luma(&fresh(&mut picture).await, is_blue) {}
        // The sound has a connection of its own: there is silence until that is back, too.
        let mut heard = Vec::new();
        let begun = std::time::Instant::now();
        loop {
            heard.extend(mono(&fresh(&mut sound).await));
            heard.drain(..heard.len().saturating_sub(12_000));
            let (tone, other) = (amplitude(&heard, 440), amplitude(&heard, 700));
            if heard.len() == 12_000 && tone > 0.1 && other < 0.02 {
                break;
            }
            let found = format!("440 Hz: {tone}, 700 Hz: {other}");
            assert!(begun.elapsed() < LIMIT, "{found}");
        }
    };
    is_there().await;
    drop(camera);
    let lost = std::time::Instant::now();
    let said = kiosk.says("trying again").await;
    println!("after {:?}: {said}", lost.elapsed());
    let _camera = Camera::start(port, &["h264"]);
    let back = std::time::Instant::now();
    kiosk.says("is back").await;
    is_there().await;
    println!(
        "picture and sound {:?} after the camera's start",
        back.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jpeg_camera_arrives_over_udp() {
    let port = free_port();
    let _camera = Camera::start(port, &["jpeg"]);
    let kiosk = Kiosk::of(&format!("rtsp://127.0.0.1:{port}/live"), "auto").await;
    let mut picture = Decoder::attach(&kiosk.capture.producer(Codec::Vp8).unwrap(), Codec::Vp8);
    while !with_luma(&picture.next().await, is_blue) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_camera_is_told_without_its_password() {
    let port = free_port();
    let mut kiosk = Kiosk::of(&format!("rtsp://admin:s3cret@127.0.0.1:{port}/live"), "tcp").await;
    let mut said = vec![kiosk.says("cannot be reached").await];

    let _camera = Camera::start(port, &["h263", "admin", "s3cret"]);
    for (location, words) in [
        ("rtsp://admin:wr0ng@127.0.0.1:PORT/live", "(401)"),
        ("rtsp://admin:s3cret@127.0.0.1:PORT/nowhere", "(404)"),
        (
            "rtsp://admin:s3cret@127.0.0.1:PORT/live",
            "it offers video H263",
        ),
    ] {
        let mut kiosk = Kiosk::of(&location.replace("PORT", &port.to_string()), "tcp").await;
        said.push(kiosk.says(words).await);
        kiosk.capture.stop().await;
    }
    println!("{said:#?}");
    for text in said {
        assert!(
            !text.contains("s3cret") && !text.contains("wr0ng"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_is_no_camera_ends_the_capture_with_a_reason() {
    let text = "role = \"kiosk\"\nsummary = \"x\"\n[capture]\nvideo = 'attachertsp location=http://a:s3cret@b/'\n";
    let description = Description::parse("x.toml".as_ref(), "x", text).unwrap();
    let (to_us, _events) = unbounded_channel();
    let started = Capture::start(&description, &Default::default(), context(), to_us).await;
    let error = started.unwrap_err().to_string();
    assert!(
        error.contains("rtsp://HOST/PATH") && !error.contains("s3cret"),
        "{error}"
    );
}
