//! What the pipeline tests share: consumers, decoders, sources and an ear and an eye on the playback.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::path::Path;
use std::time::Duration;

use attache::media::capture::Context;
use attache::media::timecode::Luma;
use attache::media::{Codec, clock};
use attache::pipeline::Description;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_utils::streamproducer::{ConsumerSettings, ProducerSettings};
use gstreamer_utils::{ConsumptionLink, StreamProducer};
use gstreamer_video as gst_video;
use gstreamer_video::VideoFrameExt;
use tokio::sync::mpsc;

/// For one step, on a machine that may be busy with other things.
pub const LIMIT: Duration = Duration::from_secs(30);

pub fn shipped(name: &str) -> Description {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    Description::load(&folder, name).unwrap_or_else(|error| panic!("{error}"))
}

pub fn context() -> Context {
    Context {
        room: "lobby".parse().unwrap(),
        encoders: attache::media::encoder::Encoders::default(),
    }
}

/// Hands over every sample of an appsink.
pub fn samples_of(sink: &gst_app::AppSink) -> mpsc::UnboundedReceiver<gst::Sample> {
    let (sender, samples) = mpsc::unbounded_channel();
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let _ = sender.send(sink.pull_sample().map_err(|_| gst::FlowError::Eos)?);
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    samples
}

pub async fn next(samples: &mut mpsc::UnboundedReceiver<gst::Sample>) -> gst::Sample {
    let sample = tokio::time::timeout(LIMIT, samples.recv()).await;
    sample
        .expect("a sample in time")
        .expect("the pipeline lives")
}

pub fn pipeline(launch: &str) -> gst::Pipeline {
    let pipeline = gst::parse::launch(launch)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    clock::prepare(&pipeline);
    pipeline
}

pub fn named<T: IsA<gst::Element>>(pipeline: &gst::Pipeline, name: &str) -> T {
    pipeline.by_name(name).unwrap().downcast().unwrap()
}

/// A pipeline of its own that takes a producer's samples, as a peer does.
pub struct Consumer {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    samples: mpsc::UnboundedReceiver<gst::Sample>,
    _link: ConsumptionLink,
}

impl Consumer {
    pub fn attach(producer: &StreamProducer) -> Self {
        Self::through(producer, "identity")
    }

    fn through(producer: &StreamProducer, launch: &str) -> Self {
        let pipeline = pipeline(&format!(
            "appsrc name=source ! {launch} ! appsink name=sink sync=false"
        ));
        let source: gst_app::AppSrc = named(&pipeline, "source");
        let samples = samples_of(&named(&pipeline, "sink"));
        // Nothing may be dropped: a decoder shows old blocks after a lost frame.
        let settings = ConsumerSettings {
            max_time: gst::ClockTime::ZERO,
            ..ConsumerSettings::default()
        };
        let link = producer.add_consumer_with(&source, settings).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            pipeline,
            source,
            samples,
            _link: link,
        }
    }

    pub async fn next(&mut self) -> gst::Sample {
        next(&mut self.samples).await
    }

    /// The newest sample of those that wait, or the next one.
    pub async fn latest(&mut self) -> gst::Sample {
        let mut latest = self.next().await;
        while let Ok(newer) = self.samples.try_recv() {
            latest = newer;
        }
        latest
    }

    /// Asks as a receiver that lost packets does.
    pub fn request_key_frame(&self) {
        let request = gst_video::UpstreamForceKeyUnitEvent::builder()
            .all_headers(true)
            .build();
        self.source.send_event(request.clone());
        self.source.static_pad("src").unwrap().send_event(request);
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// A consumer that decodes.
pub struct Decoder;

impl Decoder {
    pub fn attach(producer: &StreamProducer, codec: Codec) -> Consumer {
        let launch = match codec {
            Codec::Vp8 => "vp8dec ! video/x-raw,format=I420",
            Codec::H264 => "h264parse ! avdec_h264 ! video/x-raw,format=I420",
            Codec::Opus => "opusdec ! audioconvert ! audio/x-raw,format=S16LE",
            Codec::Vp9 | Codec::Av1 | Codec::H265 | Codec::Aac => panic!("not one of ours"),
        };
        Consumer::through(producer, launch)
    }
}

/// Looks at a decoded picture's luma.
pub fn with_luma<T>(sample: &gst::Sample, look: impl FnOnce(&Luma<'_>) -> T) -> T {
    let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info)
        .unwrap();
    look(&Luma {
        data: frame.plane_data(0).unwrap(),
        width: frame.width() as usize,
        height: frame.height() as usize,
        stride: frame.plane_stride()[0] as usize,
    })
}

pub fn mono(sample: &gst::Sample) -> Vec<f64> {
    let channels = sample
        .caps()
        .unwrap()
        .structure(0)
        .unwrap()
        .get::<i32>("channels")
        .unwrap() as usize;
    let map = sample.buffer().unwrap().map_readable().unwrap();
    let samples = map.as_chunks::<2>().0.iter().step_by(channels);
    samples
        .map(|bytes| f64::from(i16::from_le_bytes(*bytes)) / 32768.0)
        .collect()
}

/// Whether each 2 ms of decoded sound are loud.
pub fn loudness(sample: &gst::Sample) -> Vec<(gst::ClockTime, bool)> {
    let start = sample.buffer().unwrap().pts().unwrap();
    let window = |(index, window): (usize, &[f64])| {
        let peak = window
            .iter()
            .fold(0.0f64, |peak, value| peak.max(value.abs()));
        (
            start + gst::ClockTime::from_mseconds(2 * index as u64),
            peak > 0.1,
        )
    };
    mono(sample).chunks(96).enumerate().map(window).collect()
}

/// Decoded sound and picture, as a peer gives them: a plain picture and a tone.
pub struct Source {
    pipeline: gst::Pipeline,
    pub video: StreamProducer,
    pub audio: StreamProducer,
}

impl Source {
    pub fn start(pattern: &str, hertz: u32) -> Self {
        Self::with(pattern, &format!("freq={hertz}"))
    }

    /// White noise.
    pub fn noise() -> Self {
        Self::with("black", "wave=white-noise")
    }

    fn with(pattern: &str, wave: &str) -> Self {
        attache::media::init().unwrap();
        let pipeline = pipeline(&format!(
            "videotestsrc pattern={pattern} ! video/x-raw,format=I420,width=160,height=120,framerate=10/1 \
             ! clocksync ! appsink name=video async=false \
             audiotestsrc {wave} volume=0.2 samplesperbuffer=480 ! audio/x-raw,format=S16LE,rate=48000,channels=1 \
             ! clocksync ! appsink name=audio async=false"
        ));
        clock::align_test_sources(pipeline.upcast_ref(), 10);
        let producer =
            |name| StreamProducer::with(&named(&pipeline, name), ProducerSettings { sync: false });
        let (video, audio) = (producer("video"), producer("audio"));
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            pipeline,
            video,
            audio,
        }
    }

    /// Nothing comes any more, and nobody says why.
    pub fn stall(&self) {
        self.pipeline.set_state(gst::State::Paused).unwrap();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// What a playback gives to the inter elements of a channel.
pub struct Outlet {
    pipeline: gst::Pipeline,
    video: mpsc::UnboundedReceiver<gst::Sample>,
    audio: mpsc::UnboundedReceiver<gst::Sample>,
}

impl Outlet {
    pub fn open(channel: &str) -> Self {
        let pipeline = pipeline(&format!(
            "intervideosrc channel={channel} ! video/x-raw,format=I420,width=320,height=180,framerate=10/1 \
             ! appsink name=video sync=false \
             interaudiosrc channel={channel} ! audioconvert ! audio/x-raw,format=S16LE,rate=48000,channels=2 \
             ! appsink name=audio sync=false"
        ));
        let (video, audio) = (
            samples_of(&named(&pipeline, "video")),
            samples_of(&named(&pipeline, "audio")),
        );
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            pipeline,
            video,
            audio,
        }
    }

    pub async fn wait_for_picture(&mut self, is_right: impl Fn(&Luma<'_>) -> bool) {
        let wait = async { while !with_luma(&next(&mut self.video).await, &is_right) {} };
        tokio::time::timeout(LIMIT, wait)
            .await
            .expect("the picture in time");
    }

    /// Waits until half a second of sound is right; the test gets the amplitude of a tone by its frequency.
    pub async fn wait_for_sound(&mut self, is_right: impl Fn(&dyn Fn(u32) -> f64) -> bool) {
        let wait = async {
            let mut heard: Vec<f64> = Vec::new();
            loop {
                heard.extend(mono(&next(&mut self.audio).await));
                heard.drain(..heard.len().saturating_sub(24_000));
                if heard.len() == 24_000 && is_right(&|hertz| amplitude(&heard, hertz)) {
                    return;
                }
            }
        };
        tokio::time::timeout(LIMIT, wait)
            .await
            .expect("the sound in time");
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// One point of the Fourier transform, at 48 kHz.
pub fn amplitude(samples: &[f64], hertz: u32) -> f64 {
    let step = std::f64::consts::TAU * f64::from(hertz) / 48_000.0;
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (index, sample) in samples.iter().enumerate() {
        let (sin, cos) = (step * index as f64).sin_cos();
        real += sample * cos;
        imaginary += sample * sin;
    }
    2.0 * f64::hypot(real, imaginary) / samples.len() as f64
}
