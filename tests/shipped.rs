//! The descriptions that come with attache, in real rooms: a camera of the network, a screen, a clip for passers-by.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/camera.rs"]
mod camera;
#[path = "support/daemon.rs"]
mod daemon;
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use attache::job::{Parameters, Value};
use attache::media::Codec;
use attache::media::capture::Capture;
use attache::media::timecode::Luma;
use camera::{Camera, free_port};
use gst::prelude::*;
use gstreamer as gst;
use serde_json::json;
use support::{
    Consumer, Decoder, LIMIT, amplitude, context, mono, named, next, pipeline, samples_of, shipped,
    with_luma,
};
use tokio::sync::mpsc::unbounded_channel;

/// An X server without a screen. Dropped, it ends.
struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "1280x720x24",
                "-nolisten",
                "tcp",
                "-noreset",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(server.stdout.as_mut().unwrap())
            .read_line(&mut number)
            .unwrap();
        Self {
            server,
            display: format!(":{}", number.trim()),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

fn values(all: &[(&str, Value)]) -> Parameters {
    all.iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// Brightness at a point, in parts of the picture's size.
fn at(luma: &Luma<'_>, x: f64, y: f64) -> u8 {
    let (column, row) = (x * luma.width as f64, y * luma.height as f64);
    luma.data[row as usize * luma.stride + column as usize]
}

/// `pipelines/media/welcome.png`: dark, with a bright bubble.
fn is_welcome(luma: &Luma<'_>) -> bool {
    at(luma, 0.5, 0.27) > 130 && at(luma, 0.95, 0.05) < 45 && at(luma, 0.05, 0.95) < 45
}

async fn until_picture(consumer: &mut Consumer, is_right: impl Fn(&Luma<'_>) -> bool) {
    let look = async { while !with_luma(&consumer.next().await, &is_right) {} };
    tokio::time::timeout(LIMIT, look)
        .await
        .expect("the picture in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn kiosk_rtsp_sends_a_cameras_picture_with_a_text_and_its_sound() {
    let port = free_port();
    let _camera = Camera::start(port, &["h264"]);
    let values = values(&[
        ("camera", text(&format!("rtsp://127.0.0.1:{port}/live"))),
        ("transport", text("tcp")),
        ("text", text("Back door")),
        ("width", Value::Integer(640)),
        ("height", Value::Integer(480)),
    ]);
    let (to_us, _events) = unbounded_channel();
    let capture = Capture::start(&shipped("kiosk-rtsp"), &values, context(), to_us)
        .await
        .unwrap();
    let mut picture = Decoder::attach(&capture.producer(Codec::Vp8).unwrap(), Codec::Vp8);
    // The camera is blue (dark) all over; letters are white.
    let has_text = |luma: &Luma<'_>| {
        let lower_left = (luma.height * 3 / 4..luma.height)
            .flat_map(|row| &luma.data[row * luma.stride..][..luma.width / 2]);
        lower_left.filter(|value| **value > 180).count() > 100
            && (30..50).contains(&at(luma, 0.5, 0.5))
    };
    until_picture(&mut picture, has_text).await;
    let mut sound = Decoder::attach(&capture.producer(Codec::Opus).unwrap(), Codec::Opus);
    let mut heard = Vec::new();
    while heard.len() < 36_000 {
        heard.extend(mono(&sound.next().await));
    }
    let tone = amplitude(&heard[heard.len() - 12_000..], 440);
    assert!(tone > 0.1, "440 Hz at {tone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kiosk_screen_sends_what_is_drawn_on_an_x_server() {
    attache::media::init().unwrap();
    let screen = Screen::start();
    let drawn = format!(
        "videotestsrc pattern=checkers-8 is-live=true ! video/x-raw,width=1280,height=720,framerate=10/1 \
         ! videoconvert ! ximagesink display={} sync=false",
        screen.display
    );
    let window = pipeline(&drawn);
    window.set_state(gst::State::Playing).unwrap();
    let values = values(&[
        ("screen", text(&screen.display)),
        ("pointer", Value::Boolean(false)),
    ]);
    let (to_us, _events) = unbounded_channel();
    let capture = Capture::start(&shipped("kiosk-screen"), &values, context(), to_us)
        .await
        .unwrap();
    assert!(capture.sends().video && capture.sends().audio);
    let mut picture = Decoder::attach(&capture.producer(Codec::H264).unwrap(), Codec::H264);
    // Squares of 8 pixels, red and green: their brightness changes from each to the next.
    let has_squares = |luma: &Luma<'_>| {
        let row = &luma.data[300 * luma.stride..][..luma.width];
        let changes = row.chunks(8).zip(row.chunks(8).skip(1));
        let changes = changes
            .filter(|(a, b)| b.len() == 8 && a[4].abs_diff(b[4]) > 30)
            .count();
        changes > 150
    };
    until_picture(&mut picture, has_squares).await;
    // A still screen sends pictures, too.
    window.set_state(gst::State::Paused).unwrap();
    let (mut count, mut last) = (0, None);
    while count < 15 {
        let pts = picture.next().await.buffer().unwrap().pts();
        assert!(pts > last);
        (count, last) = (count + 1, pts);
    }
    capture.stop().await;
    window.set_state(gst::State::Null).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn kiosk_attract_shows_its_clip_on_the_display_until_somebody_joins() {
    attache::media::init().unwrap();
    let screen = Screen::start();
    let daemon = daemon::Daemon::start_with("", &[("DISPLAY", &screen.display)]);
    let kiosk = daemon.job("kiosk", "kiosk-attract", "lobby").await;
    let seen = pipeline(&format!(
        "ximagesrc display-name={} use-damage=false show-pointer=false ! video/x-raw,framerate=10/1 ! videoconvert \
         ! video/x-raw,format=I420 ! appsink name=seen sync=false",
        screen.display
    ));
    let mut samples = samples_of(&named(&seen, "seen"));
    seen.set_state(gst::State::Playing).unwrap();
    let mut until = async |what: &str, is_right: &dyn Fn(&Luma<'_>) -> bool| {
        let look = async { while !with_luma(&next(&mut samples).await, is_right) {} };
        tokio::time::timeout(LIMIT, look).await.expect(what);
    };
    until("the clip", &is_welcome).await;
    let visitor = daemon.job("kiosk", "kiosk-test", "lobby").await;
    // smpte75: a bright first bar, where the clip is dark.
    until("the visitor", &|luma| {
        at(luma, 0.05, 0.6) > 120 && !is_welcome(luma)
    })
    .await;
    daemon.end(&visitor).await;
    until("the clip again", &is_welcome).await;
    let view = daemon.view(&kiosk).await;
    assert_eq!(view["restarts"], json!(0), "{view:#}");
    seen.set_state(gst::State::Null).unwrap();
}
