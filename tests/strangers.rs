//! Players and publishers that share no code with attache: GStreamer's own `whepsrc` and `whipsink`.

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
use std::sync::mpsc;

use daemon::{Daemon, LIMIT, media_files};
use gst::prelude::*;
use gstreamer as gst;
use media::Content;
use serde_json::{Value, json};

/// A player has seen enough after so many pictures: some seven seconds.
const PICTURES: usize = 105;
/// Of seven seconds, the first ones may lack their flash.
const AT_LEAST: usize = 4;
/// What a kiosk makes together is together.
const APART_MS: f64 = 80.0;

fn init() {
    attache::media::init().unwrap();
    gstwebrtchttp::plugin_register_static().unwrap();
}

/// What is in a file, after a look whether flashes and beeps are.
fn content_with_flashes_and_beeps(file: &Path) -> Content {
    let content = Content::of(file);
    let (flashes, beeps) = (content.flashes(), content.beeps());
    println!("flashes {flashes:?}\nbeeps {beeps:?}");
    assert!(flashes.len() >= AT_LEAST, "flashes: {flashes:?}");
    assert!(beeps.len() >= AT_LEAST, "beeps: {beeps:?}");
    content
}

/// Brings what a player gets into a Matroska file as it came; tells of each picture.
fn write_down(player: &gst::Element, muxer: &gst::Element, tell: mpsc::Sender<()>) {
    // It begins when it has something of each.
    for track in ["video_0", "audio_0"] {
        muxer.request_pad_simple(track).unwrap();
    }
    let muxer = muxer.downgrade();
    player.connect_pad_added(move |player, pad| {
        let (Some(muxer), Some(pipeline)) = (muxer.upgrade(), player.parent()) else {
            return;
        };
        // The ghost has its caps later.
        let of_webrtcbin = pad
            .downcast_ref::<gst::GhostPad>()
            .and_then(gst::GhostPad::target);
        let caps = of_webrtcbin.and_then(|pad| pad.current_caps()).unwrap();
        let is_picture = caps.structure(0).unwrap().get::<&str>("media") == Ok("video");
        let depayloader = match is_picture {
            true => "rtpvp8depay wait-for-keyframe=true",
            false => "rtpopusdepay",
        };
        let bin = format!("{depayloader} ! queue max-size-time=10000000000");
        let bin = gst::parse::bin_from_description(&bin, true).unwrap();
        pipeline
            .downcast_ref::<gst::Bin>()
            .unwrap()
            .add(&bin)
            .unwrap();
        let way_in = bin.static_pad("sink").unwrap();
        if is_picture {
            let tell = tell.clone();
            let pictures = bin.static_pad("src").unwrap();
            pictures.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                // The test may have seen enough.
                let _ = tell.send(());
                gst::PadProbeReturn::Ok
            });
        }
        let track = muxer.static_pad(if is_picture { "video_0" } else { "audio_0" });
        let track = track.unwrap();
        bin.static_pad("src").unwrap().link(&track).unwrap();
        bin.sync_state_with_parent().unwrap();
        pad.link(&way_in).unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn whepsrc_shows_a_kiosk() {
    init();
    let daemon = Daemon::start("");
    let parameters = json!({ "width": 640, "height": 360, "framerate": 15, "bitrate_kbps": 600 });
    let spec = json!({
        "role": "kiosk", "room": "lobby", "description": "kiosk-test", "parameters": parameters
    });
    let kiosk = daemon.job_with(spec).await;
    let is_there = |view: &Value| view["state"] == "joined";
    daemon.until(&kiosk, "the kiosk joins", is_there).await;

    let file = daemon.folder.path().join("played.mkv");
    let launch = format!(
        "whepsrc name=player whep-endpoint={}/whep/lobby \
         audio-caps=application/x-rtp,media=audio,payload=111,encoding-name=OPUS,clock-rate=48000,encoding-params=(string)2 \
         video-caps=application/x-rtp,media=video,payload=96,encoding-name=VP8,clock-rate=90000 \
         matroskamux name=muxer streamable=true ! filesink buffer-mode=unbuffered location={}",
        daemon.url,
        file.display()
    );
    let pipeline = gst::parse::launch(&launch).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let [player, muxer] = ["player", "muxer"].map(|name| pipeline.by_name(name).unwrap());
    let (tell, pictures) = mpsc::channel();
    write_down(&player, &muxer, tell);
    pipeline.set_state(gst::State::Playing).unwrap();
    let watched = tokio::task::spawn_blocking(move || {
        (0..PICTURES).all(|_| pictures.recv_timeout(LIMIT).is_ok())
    });
    assert!(watched.await.unwrap(), "{PICTURES} pictures");
    let is_watched = |view: &Value| view["peers"].to_string().contains("connected");
    daemon.until(&kiosk, "it has a viewer", is_watched).await;
    let stopped = pipeline.clone();
    let stopped = tokio::task::spawn_blocking(move || stopped.set_state(gst::State::Null));
    stopped.await.unwrap().unwrap();
    let content = content_with_flashes_and_beeps(&file);
    let mut apart: Vec<_> = content.offsets().into_iter().map(f64::abs).collect();
    apart.sort_by(f64::total_cmp);
    let median = apart[apart.len() / 2];
    assert!(median <= APART_MS, "milliseconds apart: {apart:?}");
    // It has said goodbye.
    let is_alone = |rooms: &Value| !rooms.to_string().contains("viewer");
    daemon
        .until_at("/api/v1/rooms", "nobody watches", is_alone)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_whipsink_publishes_is_in_the_room() {
    init();
    let daemon = Daemon::start("");
    let recorder = daemon.job("recorder", "recorder", "hall").await;
    let launch = format!(
        "whipsink name=publisher whip-endpoint={}/whip/hall \
         videotestsrc is-live=true ! video/x-raw,format=I420,width=640,height=360,framerate=15/1 \
         ! attachetimecode flash=true ! vp8enc deadline=1 cpu-used=8 target-bitrate=600000 keyframe-max-dist=60 \
         ! rtpvp8pay pt=96 picture-id-mode=15-bit ! publisher.sink_0 \
         audiotestsrc is-live=true wave=silence samplesperbuffer=480 \
         ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! attachebeep ! opusenc \
         ! rtpopuspay pt=111 ! publisher.sink_1",
        daemon.url
    );
    let pipeline = gst::parse::launch(&launch).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let long_enough = |view: &Value| {
        let files = view["recordings"].as_array().into_iter().flatten();
        let longest = files.filter_map(|file| file["duration_ms"].as_u64()).max();
        longest.is_some_and(|length| length >= 7000)
    };
    daemon.until(&recorder, "seven seconds", long_enough).await;
    let stopped = tokio::task::spawn_blocking(move || pipeline.set_state(gst::State::Null));
    stopped.await.unwrap().unwrap();
    let is_gone = |rooms: &Value| !rooms.to_string().contains("\"relay\"");
    daemon
        .until_at("/api/v1/rooms", "it has said goodbye", is_gone)
        .await;
    daemon.end(&recorder).await;
    let has_ended = |view: &Value| view["state"] == "stopped";
    daemon
        .until(&recorder, "the recorder ends", has_ended)
        .await;
    let files = media_files(&daemon.recording());
    assert_eq!(files.len(), 1, "{files:?}");
    content_with_flashes_and_beeps(&files[0]);
}
