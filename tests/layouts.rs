//! The layouts of a mixed recording, looked at in its file: where each one's picture lies, names, signs, one clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/media.rs"]
mod media;

use std::path::Path;
use std::time::Duration;

use attache::job::ServerAddress;
use attache::signalling::client;
use attache::signalling::protocol::{ClientMessage, Kind, Sends, VERSION};
use daemon::{Daemon, media_files};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use gstreamer_video::VideoFrameExt;
use media::Content;
use serde_json::{Value, json};

/// The mix of this test.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const RATE: u32 = 25;

/// Somebody who is in the room and sends nothing.
async fn onlooker(daemon: &Daemon, room: &str, name: &str) -> impl Sized {
    let address = ServerAddress::Url {
        url: format!("{}{}", daemon.url.replace("http", "ws"), client::PATH),
        ca: None,
    };
    let (sender, mut receiver) = client::connect(&address).await.unwrap();
    let join = ClientMessage::Join {
        protocol: VERSION,
        room: room.parse().unwrap(),
        kind: Kind::Person,
        name: Some(name.to_owned()),
        token: None,
        sends: Sends::default(),
        recording: false,
        recordable: true,
        enhances: None,
        session: None,
    };
    sender.send(join).await.unwrap();
    // A client that does not read loses its connection.
    let reading = tokio::spawn(async move { while receiver.next().await.is_some() {} });
    (sender, tokio_util::task::AbortOnDropHandle::new(reading))
}

/// Red, green and blue.
type Colour = [i32; 3];

fn is(colour: Colour, other: Colour) -> bool {
    colour.iter().zip(other).all(|(a, b)| (a - b).abs() < 40)
}

/// The tile of one who shows no picture, and the frame around one who speaks.
const TILE: Colour = [0x38, 0x3f, 0x4a];
const SPEAKER: Colour = [0x30, 0xd0, 0x40];
const MUTED: Colour = [0xe0, 0x30, 0x30];

/// One picture of the film, by what is where in each layout.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Duration,
    layout: Option<Shown>,
    flashes: bool,
    is_framed: bool,
    is_muted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shown {
    Grid,
    Speaker,
    Pip,
}

impl Look {
    /// The kiosk came first, the onlooker second.
    fn of(at: Duration, pixel: impl Fn(f64, f64) -> Colour) -> Self {
        // Of the onlooker's tile: its upper left corner's inside, and the muted sign at its lower left.
        let tiles = [
            (
                Shown::Grid,
                (330.0, 10.0),
                (336.0, 343.0),
                (262.0, 126.0),
                (20.0, 1.0),
            ),
            (
                Shown::Speaker,
                (262.0, 294.0),
                (268.0, 347.0),
                (474.0, 57.0),
                (20.0, 1.0),
            ),
            (
                Shown::Pip,
                (508.0, 284.0),
                (514.0, 337.0),
                (512.0, 72.0),
                (20.0, 1.0),
            ),
        ];
        let at_point = |(x, y): (f64, f64)| pixel(x, y);
        let shown = tiles.iter().find(|tile| is(at_point(tile.1), TILE));
        Self {
            at,
            layout: shown.map(|tile| tile.0),
            flashes: shown.is_some_and(|tile| at_point(tile.3).iter().all(|part| *part > 180)),
            is_framed: shown.is_some_and(|tile| is(at_point(tile.4), SPEAKER)),
            is_muted: shown.is_some_and(|tile| is(at_point(tile.2), MUTED)),
        }
    }
}

/// Decodes all pictures of a Matroska file.
fn pictures(file: &Path) -> Vec<Look> {
    let text = format!(
        "filesrc location={} ! matroskademux ! vp8dec ! videoconvert ! video/x-raw,format=RGB ! appsink name=sink sync=false",
        file.display()
    );
    let pipeline = gst::parse::launch(&text)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline
        .by_name("sink")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut looks = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let buffer = sample.buffer().unwrap();
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
        let (data, stride) = (
            frame.plane_data(0).unwrap(),
            frame.plane_stride()[0] as usize,
        );
        let scale = (
            f64::from(info.width()) / WIDTH,
            f64::from(info.height()) / HEIGHT,
        );
        let pixel = |x: f64, y: f64| {
            let at = (y * scale.1) as usize * stride + (x * scale.0) as usize * 3;
            [0, 1, 2].map(|part| i32::from(data[at + part]))
        };
        looks.push(Look::of(buffer.pts().unwrap().into(), pixel));
    }
    assert!(sink.is_eos(), "{} ends in an error", file.display());
    pipeline.set_state(gst::State::Null).unwrap();
    looks
}

fn recorded(view: &Value) -> u64 {
    view["recordings"][0]["duration_ms"].as_u64().unwrap_or(0)
}

/// The pictures at which something begins.
fn begins(looks: &[Look], is: impl Fn(&Look) -> bool) -> Vec<Duration> {
    let pairs = looks
        .windows(2)
        .filter(|pair| !is(&pair[0]) && is(&pair[1]));
    pairs.map(|pair| pair[1].at).collect()
}

fn percentile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part) as usize]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_layout_shows_everybody_in_place_with_names_and_signs_on_one_clock() {
    attache::media::init().unwrap();
    let daemon = Daemon::start("");
    let recorder = daemon
        .job_with(json!({
            "role": "recorder", "description": "recorder-mixed", "room": "lobby",
            "parameters": { "width": WIDTH as u32, "height": HEIGHT as u32, "names": true },
        }))
        .await;
    // Nobody is there, and the film runs.
    daemon
        .until(&recorder, "a second", |view| recorded(view) > 1000)
        .await;
    let kiosk = daemon
        .job_with(json!({
            "role": "kiosk", "description": "kiosk-test", "room": "lobby", "name": "<b>Ann</b> & </i>",
            "parameters": { "width": 640, "height": 360, "framerate": 25 },
        }))
        .await;
    daemon
        .until(&kiosk, "it is in the room", |view| {
            view["state"] == "joined"
        })
        .await;
    let there = onlooker(&daemon, "lobby", "<span size='99999'>Bob").await;
    for layout in ["grid", "speaker", "pip"] {
        let parameters = json!({ "layout": layout });
        daemon
            .set(&recorder, &parameters)
            .await
            .expect("the layout changes");
        let before = recorded(&daemon.view(&recorder).await);
        daemon
            .until(&recorder, layout, |view| recorded(view) > before + 5000)
            .await;
    }
    let refused = daemon
        .set(&recorder, &json!({ "width": 320 }))
        .await
        .unwrap_err();
    assert!(refused.contains("layout"), "{refused}");
    daemon.end(&kiosk).await;
    drop(there);
    let before = recorded(&daemon.view(&recorder).await);
    daemon
        .until(&recorder, "nobody", |view| recorded(view) > before + 1000)
        .await;
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "its end", |view| view["state"] == "stopped")
        .await;

    let files = media_files(&daemon.recording());
    assert_eq!(files.len(), 1, "{files:?}");
    let looks = pictures(&files[0]);
    on_one_clock(&looks);
    let content = Content::of(&files[0]);
    let mut expected = 0.0;
    let mut flashes = Vec::new();
    for layout in [Shown::Grid, Shown::Speaker, Shown::Pip] {
        let of_it: Vec<Look> = looks
            .iter()
            .filter(|look| look.layout == Some(layout))
            .copied()
            .collect();
        let lasted = of_it.last().unwrap().at - of_it[0].at;
        println!("{layout:?}: {} pictures in {lasted:?}", of_it.len());
        assert!(
            lasted > Duration::from_secs(4),
            "{layout:?} lasted {lasted:?}"
        );
        expected += of_it.len() as f64 / f64::from(RATE);
        flashes.extend(begins(&of_it, |look| look.flashes));
        assert!(
            !begins(&of_it, |look| look.is_framed).is_empty(),
            "{layout:?}: no frame while it beeps"
        );
        assert!(
            of_it.iter().any(|look| !look.is_framed),
            "{layout:?}: a frame while it is silent"
        );
        let muted = of_it.iter().filter(|look| look.is_muted).count();
        assert!(
            muted * 10 > of_it.len() * 9,
            "{layout:?}: the sign of one who is muted is in {muted} of {}",
            of_it.len()
        );
    }
    // A layout may change within a flash.
    assert!(
        flashes.len() as f64 >= expected.floor() - 3.0,
        "{} flashes in {expected:.1} s",
        flashes.len()
    );
    together(&flashes, &content.beeps());
    let (silence, at) = content.longest_silence_between_samples();
    assert!(
        silence <= Duration::from_millis(2),
        "no sound for {silence:?} at {at:?}"
    );
}

/// Pictures from the first moment to the end, each as long as the others.
fn on_one_clock(looks: &[Look]) {
    let step = Duration::from_secs(1) / RATE;
    assert!(
        looks[0].at < 2 * step,
        "the first picture at {:?}",
        looks[0].at
    );
    // Files count milliseconds.
    let is_off = |pair: &&[Look]| {
        let between = pair[1].at.checked_sub(pair[0].at).expect("time goes on");
        between.abs_diff(step) > Duration::from_millis(1)
    };
    let off: Vec<(Duration, Duration)> = looks
        .windows(2)
        .filter(is_off)
        .map(|pair| (pair[0].at, pair[1].at))
        .collect();
    assert!(off.is_empty(), "not {step:?} apart: {off:?}");
    let (first, last) = (looks[0].layout, looks.last().unwrap().layout);
    assert_eq!(
        (first, last),
        (None, None),
        "nobody is there at first and at last"
    );
}

/// Flashes and beeps belong together.
fn together(flashes: &[Duration], beeps: &[Duration]) {
    let offset = |flash: &Duration| {
        let offsets = beeps
            .iter()
            .map(|beep| beep.abs_diff(*flash).as_secs_f64() * 1000.0);
        offsets.min_by(f64::total_cmp).unwrap()
    };
    let offsets: Vec<f64> = flashes
        .iter()
        .map(offset)
        .filter(|offset| *offset < 500.0)
        .collect();
    let p95 = percentile(offsets.clone(), 0.95);
    println!(
        "{} flashes, {} beeps, apart: p95 {p95:.1} ms",
        flashes.len(),
        beeps.len()
    );
    assert!(offsets.len() * 100 >= flashes.len() * 99, "{offsets:?}");
    assert!(p95 <= 40.0, "{offsets:?}");
}
