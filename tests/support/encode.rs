//! Encoded frames as a peer would give them, faster than real time: flash and beep at each full second.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::ops::Range;
use std::time::Duration;

use attache::media::{Codec, MediaKind};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

const FPS: u64 = 30;
const AUDIO_CHUNK_MS: u64 = 20;

/// Whether test media is bright and loud at this time.
fn lit(milliseconds: u64) -> bool {
    milliseconds % 1000 < 100
}

/// Pictures of a time range in milliseconds, white in the first 100 ms of each second.
pub fn video(codec: Codec, size: (u32, u32), range: Range<u64>) -> Vec<gst::Sample> {
    gst::init().unwrap();
    let encoder = match codec {
        Codec::Vp8 => {
            "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=60 target-bitrate=300000 ! video/x-vp8"
        }
        Codec::H264 => {
            "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=300 ! video/x-h264,profile=constrained-baseline \
             ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"
        }
        Codec::Vp9 => {
            "vp9enc deadline=1 cpu-used=8 lag-in-frames=0 keyframe-max-dist=60 target-bitrate=300000 ! video/x-vp9"
        }
        Codec::Av1 => {
            "av1enc usage-profile=realtime cpu-used=8 lag-in-frames=0 keyframe-max-dist=60 target-bitrate=300 \
             ! av1parse ! video/x-av1,stream-format=obu-stream,alignment=tu"
        }
        Codec::H265 => {
            "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=300 \
             ! h265parse config-interval=-1 ! video/x-h265,stream-format=byte-stream,alignment=au"
        }
        Codec::Opus | Codec::Aac => panic!("no picture"),
    };
    let (width, height) = size;
    let caps = format!("video/x-raw,format=I420,width={width},height={height},framerate={FPS}/1");
    let length = (width * height * 3 / 2) as usize;
    let first = (range.start * FPS).div_ceil(1000);
    let frames = (first..)
        .map(|n| n * 1_000_000_000 / FPS)
        .take_while(|at| *at < range.end * 1_000_000);
    let buffers = frames.map(|at| {
        let mut bytes = vec![128_u8; length];
        bytes[..(width * height) as usize].fill(if lit((at + 500_000) / 1_000_000) {
            235
        } else {
            16
        });
        buffer(bytes, at, 1_000_000_000 / FPS)
    });
    run(&format!("videoconvert ! {encoder}"), &caps, buffers)
}

/// Sound of a time range in milliseconds, a 1 kHz beep in the first 100 ms of each second.
pub fn audio(range: Range<u64>) -> Vec<gst::Sample> {
    gst::init().unwrap();
    let buffers = range.step_by(AUDIO_CHUNK_MS as usize).map(|start| {
        let sample = |n: u64| {
            let t = start * 48 + n;
            let value = (t as f64 / 48_000.0 * 1000.0 * std::f64::consts::TAU).sin() * 16_000.0;
            if lit(t / 48) { value as i16 } else { 0 }
        };
        let bytes = (0..AUDIO_CHUNK_MS * 48)
            .flat_map(|n| sample(n).to_le_bytes())
            .collect();
        buffer(bytes, start * 1_000_000, AUDIO_CHUNK_MS * 1_000_000)
    });
    // Through RTP, as from a peer: what only the encoder knows does not come to the recorder.
    let chain = "opusenc bitrate=64000 ! rtpopuspay ! rtpopusdepay";
    run(
        chain,
        "audio/x-raw,format=S16LE,rate=48000,channels=1,layout=interleaved",
        buffers,
    )
}

/// Sorted by time, as they come from a peer.
pub fn interleaved(
    tracks: impl IntoIterator<Item = (MediaKind, Vec<gst::Sample>)>,
) -> Vec<(MediaKind, gst::Sample)> {
    let mut all: Vec<_> = tracks
        .into_iter()
        .flat_map(|(kind, samples)| samples.into_iter().map(move |sample| (kind, sample)))
        .collect();
    all.sort_by_key(|(_, sample)| at(sample));
    all
}

/// The sample's running time: `x264enc` begins at a thousand hours and says so in its segment.
pub fn at(sample: &gst::Sample) -> Duration {
    let segment = sample
        .segment()
        .unwrap()
        .downcast_ref::<gst::ClockTime>()
        .unwrap();
    segment
        .to_running_time(sample.buffer().unwrap().pts().unwrap())
        .unwrap()
        .into()
}

fn buffer(bytes: Vec<u8>, at: u64, duration: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(gst::ClockTime::from_nseconds(at));
    writable.set_duration(gst::ClockTime::from_nseconds(duration));
    buffer
}

fn run(chain: &str, caps: &str, buffers: impl Iterator<Item = gst::Buffer>) -> Vec<gst::Sample> {
    let launch = format!(
        "appsrc name=in format=time caps=\"{caps}\" ! {chain} ! appsink name=out sync=false"
    );
    let pipeline: gst::Pipeline = gst::parse::launch(&launch).unwrap().downcast().unwrap();
    let source: gst_app::AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
    let sink: gst_app::AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
    source.set_max_bytes(0);
    pipeline.set_state(gst::State::Playing).unwrap();
    for buffer in buffers {
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let mut samples = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        samples.push(sample);
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(!samples.is_empty(), "{launch} gave nothing");
    samples
}
