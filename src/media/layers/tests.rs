//! Three layers as a browser sends them, made up, and a viewer whose link is told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use gst::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use tokio::sync::watch;

use super::*;
use crate::media::clock;
use crate::peer::bandwidth::Estimate;
use crate::pipeline::Tier;

const LIMIT: Duration = Duration::from_secs(20);
const SOUND: Bitrate = Bitrate {
    bits_per_second: 40_000,
};
/// Names, heights, and bytes of a picture, 50 a second.
const LAYERS: [(&str, i32, usize); 3] = [("h", 360, 2000), ("l", 90, 250), ("m", 180, 750)];

/// A layer's pipeline; a key frame comes when one is asked for.
struct Sent {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    is_asked: Arc<AtomicBool>,
    bytes: usize,
}

impl Sent {
    fn new(layers: &Layers, (name, height, bytes): (&str, i32, usize)) -> Self {
        let caps = gst::Caps::builder("video/x-vp8");
        let caps = caps.field("width", height * 16 / 9).field("height", height);
        let caps = caps.build();
        let source = gst_app::AppSrc::builder().caps(&caps).is_live(true);
        let source = source.format(gst::Format::Time).build();
        let sink = layers.outlet(Rid::parse(name).as_ref()).unwrap();
        let sink = sink.feed().appsink();
        let is_asked = Arc::new(AtomicBool::new(true));
        let asked = is_asked.clone();
        let pad = source.static_pad("src").unwrap();
        pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
            let event = info.event().unwrap();
            if gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok() {
                asked.store(true, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
        let pipeline = gst::Pipeline::new();
        clock::prepare(&pipeline);
        pipeline.add(&source).unwrap();
        pipeline.add(&sink).unwrap();
        source.link(&sink).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            pipeline,
            source,
            is_asked,
            bytes,
        }
    }

    fn send(&self) {
        let mut frame = gst::Buffer::from_slice(vec![0; self.bytes]);
        let writable = frame.get_mut().unwrap();
        writable.set_pts(clock::running_time());
        if !self.is_asked.swap(false, Ordering::Relaxed) {
            writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        self.source.push_buffer(frame).unwrap();
    }
}

/// What somebody sees: the heights of pictures as they come, key frames with a mark.
fn viewer(inlet: &Inlet) -> (gst::Pipeline, mpsc::Receiver<(i32, bool)>) {
    let (tell, seen) = mpsc::channel();
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let height = sample.caps().unwrap().structure(0).unwrap();
        let flags = sample.buffer().unwrap().flags();
        let is_key = !flags.contains(gst::BufferFlags::DELTA_UNIT);
        let _ = tell.send((height.get("height").unwrap(), is_key));
        Ok(gst::FlowSuccess::Ok)
    });
    let sink = gst_app::AppSink::builder().sync(false).async_(false);
    let sink = sink.callbacks(callbacks.build()).build();
    let pipeline = gst::Pipeline::new();
    pipeline.add(&sink).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = sink.static_pad("sink").unwrap();
    inlet.pad().link(&end).unwrap();
    (pipeline, seen)
}

fn carries(kilobits: u32) -> Option<Estimate> {
    Some(Estimate {
        bitrate: Bitrate::from_kilobits(kilobits + 60),
        loss: 0.0,
        round_trip: Duration::from_millis(20),
        queue: Duration::ZERO,
        is_application_limited: false,
    })
}

#[test]
fn a_viewer_gets_the_layer_that_its_link_carries_and_another_one_when_that_stops() {
    crate::media::init().unwrap();
    let layers = Layers::new(Codec::Vp8, SOUND).unwrap();
    let sent = LAYERS.map(|layer| Sent::new(&layers, layer));
    let stopped = Arc::new(Mutex::new(BTreeSet::new()));
    let inlet = Inlet::new().unwrap();
    let (pipeline, seen) = viewer(&inlet);
    let (estimates, estimate) = watch::channel(carries(400));
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let tell = move |tier: Option<Tier>| telling.lock().unwrap().push(tier.map(|tier| tier.height));
    let switch = layers.view(&inlet, estimate, Box::new(tell));
    let pipelines = sent.each_ref().map(|one| one.pipeline.clone());
    let (is_over, silent) = (Arc::new(AtomicBool::new(false)), stopped.clone());
    let over = is_over.clone();
    let sender = std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let silent = silent.lock().unwrap().clone();
            let all = LAYERS.iter().zip(&sent);
            all.filter(|((name, ..), _)| !silent.contains(name))
                .for_each(|(_, layer)| layer.send());
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let wait_for = |wanted: i32| {
        let until = Instant::now() + LIMIT;
        let mut last = None;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let seen = seen.recv_timeout(left);
            let (height, is_key) = seen.unwrap_or_else(|_| panic!("no picture of {wanted} lines"));
            let is_other = last.replace(height) != Some(height);
            assert!(
                !is_other || is_key || height != wanted,
                "it begins with a key frame"
            );
            if height == wanted && is_key {
                return;
            }
        }
    };
    wait_for(180);
    stopped.lock().unwrap().insert("m");
    wait_for(90);
    stopped.lock().unwrap().clear();
    wait_for(180);
    estimates.send(carries(3000)).unwrap();
    wait_for(360);
    stopped.lock().unwrap().insert("h");
    wait_for(180);
    estimates.send(carries(20)).unwrap();
    let until = Instant::now() + LIMIT;
    while told.lock().unwrap().last() != Some(&None) {
        assert!(Instant::now() < until, "no room for any: {told:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    is_over.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    drop(switch);
    for pipeline in pipelines.iter().chain([&pipeline]) {
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
