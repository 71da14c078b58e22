//! What goes into an encoder of AAC at a time comes out of a decoder at that time.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::tests::settings;
use super::{Candidate, Choice, exists, table};
use crate::media::Codec;
use crate::media::elements::{add_linked, capsfilter, make};

/// When a click that goes in at 500 ms comes out again, in milliseconds.
fn click_through(candidate: &'static Candidate) -> f64 {
    let source = gst_app::AppSrc::builder()
        .format(gst::Format::Time)
        .caps(&"audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved,channel-mask=(bitmask)3".parse().unwrap())
        .build();
    let sink = gst_app::AppSink::builder().sync(false).build();
    let pipeline = gst::Pipeline::new();
    let mut chain = vec![source.clone().upcast()];
    chain.extend(
        Choice::unproven(candidate)
            .build(&settings())
            .unwrap()
            .chain,
    );
    for (name, package) in [("avdec_aac", "libav"), ("audioconvert", "base")] {
        chain.push(make(name, package).unwrap());
    }
    chain.push(capsfilter("audio/x-raw,format=S16LE,layout=interleaved").unwrap());
    chain.push(sink.clone().upcast());
    add_linked(&pipeline, &chain).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for n in 0..50_u64 {
        let loud = if n >= 25 { 8000_i16 } else { 0 };
        let samples = (0..1920).map(|i| if i / 24 % 2 == 0 { loud } else { -loud });
        let bytes: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
        let mut buffer = gst::Buffer::from_slice(bytes);
        // Far from zero: nothing begins before time does.
        let pts = gst::ClockTime::from_seconds(1) + n * 20 * gst::ClockTime::MSECOND;
        buffer.get_mut().unwrap().set_pts(pts);
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let segment = sample
            .segment()
            .unwrap()
            .downcast_ref::<gst::ClockTime>()
            .unwrap();
        let at = segment.to_running_time(buffer.pts()).unwrap();
        let map = buffer.map_readable().unwrap();
        let mut frames = map.as_chunks::<4>().0.iter();
        let is_loud = |frame: &[u8; 4]| i16::from_le_bytes([frame[0], frame[1]]).abs() > 2000;
        if let Some(first) = frames.position(is_loud) {
            pipeline.set_state(gst::State::Null).unwrap();
            return at.nseconds() as f64 / 1e6 - 1000.0 + first as f64 / 48.0;
        }
    }
    panic!("{}: nothing is heard", candidate.factory)
}

#[test]
fn sound_in_aac_comes_at_its_time() {
    crate::media::init().unwrap();
    let there = table::of_codec(Codec::Aac).filter(|candidate| exists(candidate.factory));
    let heard: Vec<_> = there
        .map(|candidate| (candidate.factory, click_through(candidate)))
        .collect();
    assert!(!heard.is_empty(), "no encoder of AAC is installed");
    for (factory, at) in heard {
        assert!(
            (at - 500.0).abs() < 3.0,
            "{factory}: {at} ms instead of 500"
        );
    }
}
