//! Tiers at work: real encoders, a payloader for each viewer, links that are told to carry more or less.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use attache::job::{Parameters, Value};
use attache::media::capture::Capture;
use attache::media::inlet::Inlet;
use attache::media::tiers::switch::Switch;
use attache::media::{Codec, timecode};
use attache::peer::bandwidth::Estimate;
use attache::pipeline::{Bitrate, Tier};
use gst::prelude::*;
use gstreamer as gst;
use support::{LIMIT, context, named, next, pipeline, samples_of, shipped, with_luma};
use tokio::sync::{mpsc, watch};

/// 640x360 to 600 kb/s and 320x180 to 200, no picture below 66.
async fn capture() -> Capture {
    let parameters = Parameters::from(
        [
            ("width", 640),
            ("height", 360),
            ("framerate", 30),
            ("bitrate_kbps", 600),
        ]
        .map(|(name, value)| (name.to_owned(), Value::Integer(value))),
    );
    let (events, _) = mpsc::unbounded_channel();
    Capture::start(&shipped("kiosk-test"), &parameters, context(), events)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A link whose sound and headers are paid for.
fn link(kilobits: u32) -> Option<Estimate> {
    Some(Estimate {
        bitrate: Bitrate::from_kilobits(kilobits + 80),
        loss: 0.0,
        round_trip: Duration::from_millis(20),
        queue: Duration::ZERO,
        is_application_limited: false,
    })
}

/// A packet as it goes out.
struct Packet {
    sequence: u16,
    time: u32,
    marker: bool,
    payload: Vec<u8>,
}

/// A viewer: what a peer's sender does, and what its receiver does with that.
struct Viewer {
    pipeline: gst::Pipeline,
    inlet: Inlet,
    estimates: watch::Sender<Option<Estimate>>,
    tiers: mpsc::UnboundedReceiver<Option<Tier>>,
    pictures: mpsc::UnboundedReceiver<gst::Sample>,
    packets: std_mpsc::Receiver<Packet>,
    _switch: Switch,
}

impl Viewer {
    fn new(capture: &Capture, codec: Codec, estimate: Option<Estimate>) -> Self {
        let (payloader, receiver) = match codec {
            Codec::Vp8 => ("rtpvp8pay picture-id-mode=15-bit", "rtpvp8depay ! vp8dec"),
            Codec::Vp9 => ("rtpvp9pay picture-id-mode=15-bit", "rtpvp9depay ! vp9dec"),
            Codec::H264 => (
                "rtph264pay aggregate-mode=zero-latency config-interval=-1",
                "rtph264depay ! h264parse ! avdec_h264",
            ),
            Codec::Av1 => ("rtpav1pay", "rtpav1depay ! av1parse ! dav1ddec"),
            Codec::H265 | Codec::Opus | Codec::Aac => panic!("not tested here"),
        };
        let pipeline = pipeline(&format!(
            "{payloader} name=payloader mtu=1200 ! {receiver} \
             ! video/x-raw,format=I420 ! appsink name=sink sync=false"
        ));
        let pictures = samples_of(&named(&pipeline, "sink"));
        let (tell, packets) = std_mpsc::channel();
        let payloader = named::<gst::Element>(&pipeline, "payloader");
        let inlet = Inlet::new().unwrap();
        let way_in = payloader.static_pad("sink").unwrap();
        inlet.pad().link(&way_in).unwrap();
        let out = payloader.static_pad("src").unwrap();
        out.add_probe(
            gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
            move |_, info| {
                match &info.data {
                    Some(gst::PadProbeData::Buffer(buffer)) => drop(tell.send(packet(buffer))),
                    Some(gst::PadProbeData::BufferList(list)) => {
                        list.iter()
                            .for_each(|buffer| drop(tell.send(packet(buffer))));
                    }
                    _ => {}
                }
                gst::PadProbeReturn::Ok
            },
        );
        pipeline.set_state(gst::State::Playing).unwrap();
        let (estimates, watched) = watch::channel(estimate);
        let (told, tiers) = mpsc::unbounded_channel();
        let tell = Box::new(move |tier| {
            let _ = told.send(tier);
        });
        let switch = capture.encodings().view(codec, &inlet, watched, tell);
        Self {
            pipeline,
            inlet,
            estimates,
            tiers,
            pictures,
            packets,
            _switch: switch.unwrap_or_else(|error| panic!("{error}")),
        }
    }

    fn carries(&self, kilobits: u32) {
        self.estimates.send(link(kilobits)).unwrap();
    }

    /// Waits for a picture of so many lines; the times of all that came until then.
    async fn until_lines(&mut self, lines: usize) -> Vec<Duration> {
        let mut times = Vec::new();
        let wait = async {
            loop {
                let picture = next(&mut self.pictures).await;
                times.push(Duration::from(picture.buffer().unwrap().pts().unwrap()));
                if with_luma(&picture, |luma| luma.height) == lines {
                    return;
                }
            }
        };
        let limit = tokio::time::timeout(LIMIT, wait).await;
        limit.unwrap_or_else(|_| {
            panic!(
                "no picture of {lines} lines; so many others: {}",
                times.len()
            )
        });
        times
    }

    async fn next_tier(&mut self) -> Option<String> {
        let tier = tokio::time::timeout(LIMIT, self.tiers.recv()).await;
        tier.expect("a tier in time")
            .unwrap()
            .map(|tier| tier.to_string())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

fn packet(buffer: &gst::BufferRef) -> Packet {
    let map = buffer.map_readable().unwrap();
    // RFC 3550 5.1; no payloader here writes CSRCs or extensions.
    let [_, kind, s0, s1, t0, t1, t2, t3, ..] = map[..] else {
        panic!("a short packet")
    };
    Packet {
        sequence: u16::from_be_bytes([s0, s1]),
        time: u32::from_be_bytes([t0, t1, t2, t3]),
        marker: kind & 0x80 != 0,
        payload: map[12..].to_vec(),
    }
}

/// The 15-bit picture id of a packet of VP8 (RFC 7741 4.2) or VP9 (RFC 9628 4.2).
fn picture_id(codec: Codec, payload: &[u8]) -> Option<u16> {
    let at = match codec {
        Codec::Vp8 => 2,
        Codec::Vp9 => 1,
        Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Opus | Codec::Aac => return None,
    };
    Some(u16::from_be_bytes([payload[at], payload[at + 1]]) & 0x7fff)
}

/// What a receiver takes for one stream: nothing missing, nothing twice, time and pictures in order, no longer hole than
/// this.
fn expect_one_stream(codec: Codec, packets: &[Packet], hole: Duration) {
    let hole = u32::try_from(hole.as_millis() * 90).unwrap();
    assert!(packets.len() > 20, "so many packets: {}", packets.len());
    let mut frames = 0;
    for pair in packets.windows(2) {
        let [one, next] = pair else { unreachable!() };
        assert_eq!(next.sequence, one.sequence.wrapping_add(1));
        let passed = next.time.wrapping_sub(one.time);
        if one.marker {
            frames += 1;
            assert!(
                (1..hole).contains(&passed),
                "a frame {passed} ticks after the one before"
            );
        } else {
            assert_eq!(passed, 0, "a frame has one time");
        }
        let ids = (
            picture_id(codec, &one.payload),
            picture_id(codec, &next.payload),
        );
        if let (Some(one_id), Some(next_id)) = ids {
            let step = next_id.wrapping_sub(one_id) & 0x7fff;
            assert_eq!(
                step,
                u16::from(one.marker),
                "picture ids {one_id} and {next_id}"
            );
        }
    }
    assert!(frames > 20, "so many frames: {frames}");
}

/// Times between pictures, the longest.
fn longest_gap(times: &[Duration]) -> Duration {
    times
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .max()
        .unwrap_or_default()
}

/// Down and up again.
async fn changes_tier(codec: Codec) {
    let capture = capture().await;
    let mut viewer = Viewer::new(&capture, codec, link(2000));
    let mut times = viewer.until_lines(360).await;
    assert_eq!(viewer.next_tier().await.unwrap(), "360p30");
    viewer.carries(150);
    times.extend(viewer.until_lines(180).await);
    assert_eq!(viewer.next_tier().await.unwrap(), "180p30");
    let picture = next(&mut viewer.pictures).await;
    assert!(
        with_luma(&picture, timecode::read).is_some(),
        "the small picture is the same picture"
    );
    viewer.carries(2000);
    times.extend(viewer.until_lines(360).await);
    assert_eq!(viewer.next_tier().await.unwrap(), "360p30");
    for _ in 0..10 {
        next(&mut viewer.pictures).await;
    }
    let packets: Vec<Packet> = viewer.packets.try_iter().collect();
    expect_one_stream(codec, &packets, Duration::from_secs(1));
    let gap = longest_gap(&times);
    // A frame of each tier, and a busy machine.
    assert!(
        gap < Duration::from_millis(500),
        "the picture stood still for {gap:?}"
    );
    capture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_of_vp8_changes_tier_within_one_stream() {
    changes_tier(Codec::Vp8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_of_vp9_changes_tier_within_one_stream() {
    changes_tier(Codec::Vp9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_of_h264_changes_tier_within_one_stream() {
    changes_tier(Codec::H264).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_is_made_while_somebody_takes_it_and_once_for_all() {
    let capture = capture().await;
    let names = || {
        let pipelines = capture.pipelines().into_iter();
        pipelines
            .map(|pipeline| pipeline.name().to_string())
            .collect::<BTreeSet<_>>()
    };
    let mut first = Viewer::new(&capture, Codec::Vp8, link(150));
    first.until_lines(180).await;
    let mut second = Viewer::new(&capture, Codec::Vp8, link(150));
    second.until_lines(180).await;
    let encoders =
        |names: &BTreeSet<String>| names.iter().filter(|name| name.contains("encode")).count();
    assert!(names().contains("scale-180p30"), "{:?}", names());
    assert_eq!(
        encoders(&names()),
        1,
        "pipelines of one encoder have one name: {:?}",
        names()
    );
    assert_eq!(
        capture.encodings().pipelines().len(),
        3,
        "a scaler and an encoder for each tier"
    );
    drop((first, second));
    let end = Instant::now() + LIMIT;
    while capture.encodings().pipelines().len() > 1 {
        assert!(Instant::now() < end, "{:?}", names());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!names().contains("scale-180p30"), "{:?}", names());
    capture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_pauses_where_there_is_room_for_sound_only_and_comes_back() {
    let capture = capture().await;
    let mut viewer = Viewer::new(&capture, Codec::Vp8, link(2000));
    viewer.until_lines(360).await;
    viewer.carries(20);
    let mut tiers = Vec::new();
    while tiers.last() != Some(&None) {
        tiers.push(viewer.next_tier().await);
    }
    assert_eq!(
        tiers,
        [Some("360p30".to_owned()), Some("180p30".to_owned()), None]
    );
    // What was on its way has come when this is over.
    tokio::time::sleep(Duration::from_millis(500)).await;
    while viewer.pictures.try_recv().is_ok() {}
    let nothing = tokio::time::timeout(Duration::from_secs(1), viewer.pictures.recv()).await;
    assert!(nothing.is_err(), "a picture came while there is none");
    viewer.carries(2000);
    viewer.until_lines(360).await;
    let packets: Vec<Packet> = viewer.packets.try_iter().collect();
    expect_one_stream(Codec::Vp8, &packets, LIMIT);
    capture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_follows_the_link_of_its_viewer() {
    for codec in [Codec::Vp8, Codec::H264] {
        let capture = capture().await;
        let mut viewer = Viewer::new(&capture, codec, link(2000));
        viewer.until_lines(360).await;
        until_rate(&capture, 600_000).await;
        // What the link carries beside 48 kb/s of sound, less the headers of both.
        viewer.carries(300);
        let (least, most) = (290_000, 330_000);
        let rate =
            until(|| Some(rate_of(&capture)).filter(|rate| (least..most).contains(rate))).await;
        viewer.carries(2000);
        until_rate(&capture, 600_000).await;
        println!("{codec}: {rate} bit/s on the slower link");
        // It goes on with what it had begun: no new encoder, no key frame.
        assert_eq!(capture.encodings().pipelines().len(), 1);
        capture.stop().await;
    }
}

/// What the encoder of the picture aims at, in bits per second.
fn rate_of(capture: &Capture) -> u32 {
    let pipelines = capture.encodings().pipelines().into_iter();
    let elements = pipelines.flat_map(|pipeline| pipeline.iterate_elements().into_iter().flatten());
    let mut rates = elements.filter_map(|element| match element.factory()?.name().as_str() {
        "vp8enc" => u32::try_from(element.property::<i32>("target-bitrate")).ok(),
        "x264enc" => Some(element.property::<u32>("bitrate") * 1000),
        _ => None,
    });
    rates.next().expect("an encoder of pictures")
}

async fn until_rate(capture: &Capture, rate: u32) {
    until(|| (rate_of(capture) == rate).then_some(())).await;
}

/// Waits for something.
async fn until<T>(look: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_takes_nothing_holds_up_nobody_and_goes_on_with_a_key_frame() {
    let capture = capture().await;
    let mut slow = Viewer::new(&capture, Codec::Vp8, None);
    let mut other = Viewer::new(&capture, Codec::Vp8, link(2000));
    slow.until_lines(360).await;
    other.until_lines(360).await;
    let pad = slow.inlet.pad().clone();
    let block = pad.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, |_, _| {
        gst::PadProbeReturn::Ok
    });
    assert_eq!(slow.next_tier().await.unwrap(), "360p30");
    // Nothing is known of its link but that nothing gets out: it is moved down.
    assert_eq!(slow.next_tier().await.unwrap(), "180p30");
    let waits = slow.inlet.waiting();
    assert!(
        waits < gst::ClockTime::from_mseconds(700),
        "{waits} wait for a link that takes nothing"
    );
    let mut times = Vec::new();
    for _ in 0..60 {
        let picture = next(&mut other.pictures).await;
        assert_eq!(with_luma(&picture, |luma| luma.height), 360);
        times.push(Duration::from(picture.buffer().unwrap().pts().unwrap()));
    }
    assert!(longest_gap(&times) < Duration::from_millis(500));
    pad.remove_probe(block.unwrap());
    slow.until_lines(180).await;
    expect_decodable(&slow.packets.try_iter().collect::<Vec<_>>());
    capture.stop().await;
}

/// A hole in time is followed by a key frame of VP8 (RFC 6386 9.1).
fn expect_decodable(packets: &[Packet]) {
    let mut holes = 0;
    for pair in packets.windows(2) {
        let [one, next] = pair else { unreachable!() };
        if one.marker && next.time.wrapping_sub(one.time) > 90_000 / 2 {
            holes += 1;
            // Behind the payload descriptor with a picture id of 15 bits.
            assert_eq!(
                next.payload[4] & 1,
                0,
                "a key frame follows what was dropped"
            );
        }
    }
    assert_eq!(holes, 1);
}
