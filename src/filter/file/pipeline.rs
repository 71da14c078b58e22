//! The pipeline of one file: reader, decoder, engine, encoder.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;

use super::formats::{self, BAD, Input, Output};
use super::{CLASSIC, FileError, Outcome, Task};
use crate::filter::statistics::Times;
use crate::media::MediaError;
use crate::media::elements::{add_linked, capsfilter, make};
use crate::media::feed;

/// webrtcdsp works on pieces of 10 ms.
const CLASSIC_FRAME: Duration = Duration::from_millis(10);

/// See the module.
pub struct Chain {
    pub pipeline: gst::Pipeline,
    /// `attachedenoise`, or `webrtcdsp` with its times.
    engine: gst::Element,
    classic: Option<Arc<Mutex<Times>>>,
    /// The sound's way from the decoder on.
    head: gst::Element,
    /// What a callback found wrong.
    problem: Arc<Mutex<Option<String>>>,
}

impl Chain {
    /// Everything but running it.
    pub fn build(task: &Task, input: Input, output: Output, to: &Path) -> Result<Self, FileError> {
        let pipeline = gst::Pipeline::new();
        let source = make("filesrc", "libgstreamer1.0-0")?;
        source.set_property("location", &task.input);
        let (reader, package) = input.reader();
        let reader = make(reader, package)?;
        add_linked(&pipeline, &[source, reader.clone()])?;
        let head = make("audioconvert", formats::BASE)?;
        let engine = engine(task)?;
        let tail = tail(output, to)?;
        let mut chain = vec![head.clone()];
        chain.extend(engine.before);
        chain.push(engine.element.clone());
        chain.extend(tail);
        add_linked(&pipeline, &chain)?;
        let built = Self {
            pipeline,
            engine: engine.element,
            classic: engine.times,
            head,
            problem: Arc::default(),
        };
        match input.decoder() {
            Some(chain) => {
                let pad = reader.static_pad("src");
                let linked = pad.map(|pad| feed::decode(&built.pipeline, &pad, chain, &built.head));
                let reason = match linked {
                    Some(Ok(())) => return Ok(built),
                    Some(Err(reason)) => reason,
                    None => "the reader has no end".to_owned(),
                };
                Err(super::failed(&task.input, reason))
            }
            None => {
                built.follow(&reader);
                Ok(built)
            }
        }
    }

    /// Links the first track of sound that the reader finds.
    fn follow(&self, reader: &gst::Element) {
        let (pipeline, head) = (self.pipeline.downgrade(), self.head.downgrade());
        let problem = self.problem.clone();
        reader.connect_pad_added(move |_, pad| {
            let (Some(pipeline), Some(head)) = (pipeline.upgrade(), head.upgrade()) else {
                return;
            };
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let name = caps
                .structure(0)
                .map(|structure| structure.name().to_string());
            let name = name.unwrap_or_default();
            let is_taken = head.static_pad("sink").is_none_or(|pad| pad.is_linked());
            if is_taken || !name.starts_with("audio/") {
                return;
            }
            let linked = match formats::decoder(&caps) {
                Some(chain) => feed::decode(&pipeline, pad, chain, &head),
                None => Err(format!(
                    "its sound is {name}, which attache does not decode"
                )),
            };
            if let Err(reason) = linked {
                *problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
            }
        });
    }

    /// What a callback found wrong.
    pub fn problem(&self) -> Option<String> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.clone()
    }

    /// Whether a track of sound was found.
    pub fn has_sound(&self) -> bool {
        self.head
            .static_pad("sink")
            .is_some_and(|pad| pad.is_linked())
    }

    /// How far the sound is.
    pub fn position(&self) -> Option<Duration> {
        let position = self.pipeline.query_position::<gst::ClockTime>();
        position.map(|position| Duration::from_nanos(position.nseconds()))
    }

    /// The sound's length, where the file tells it.
    pub fn length(&self) -> Option<Duration> {
        let length = self.pipeline.query_duration::<gst::ClockTime>();
        length.map(|length| Duration::from_nanos(length.nseconds()))
    }

    /// Frames and their times.
    pub fn measured(&self) -> Outcome {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match &self.classic {
            Some(times) => {
                let times = times.lock().unwrap_or_else(PoisonError::into_inner);
                Outcome {
                    frames: times.frames(),
                    mean_us: micros(times.mean()),
                    p99_us: micros(times.quantile(0.99)),
                    worst_us: micros(times.worst()),
                    real_time_factor: times.mean().as_secs_f64() / CLASSIC_FRAME.as_secs_f64(),
                    ..Outcome::default()
                }
            }
            None => Outcome {
                frames: self.engine.property("frames"),
                mean_us: self.engine.property("mean-us"),
                p99_us: self.engine.property("p99-us"),
                worst_us: self.engine.property("worst-us"),
                real_time_factor: self.engine.property("load"),
                ..Outcome::default()
            },
        }
    }
}

struct Engine {
    before: Vec<gst::Element>,
    element: gst::Element,
    times: Option<Arc<Mutex<Times>>>,
}

fn engine(task: &Task) -> Result<Engine, MediaError> {
    if task.engine != CLASSIC {
        let element = make("attachedenoise", "attache itself")?;
        element.set_property("engine", &task.engine);
        element.set_property("strength", task.strength);
        // A file can wait: the engine never rests.
        element.set_property("max-load", 0.0);
        return Ok(Engine {
            before: vec![capsfilter("audio/x-raw,format=F32LE")?],
            element,
            times: None,
        });
    }
    let element = make(CLASSIC, BAD)?;
    for off in ["echo-cancel", "gain-control", "limiter"] {
        if element.has_property(off) {
            element.set_property(off, false);
        }
    }
    element.set_property_from_str("noise-suppression-level", "very-high");
    let split = make("audiobuffersplit", BAD)?;
    split.set_property("output-buffer-duration", gst::Fraction::new(1, 100));
    let before = vec![
        make("audioresample", formats::BASE)?,
        capsfilter("audio/x-raw,format=S16LE,rate=48000,layout=interleaved")?,
        split,
    ];
    let times = measure(&element);
    Ok(Engine {
        before,
        element,
        times: Some(times),
    })
}

/// Times from a buffer's arrival to its departure, on the thread that carries both.
fn measure(element: &gst::Element) -> Arc<Mutex<Times>> {
    let times: Arc<Mutex<Times>> = Arc::default();
    let arrived: Arc<Mutex<Option<Instant>>> = Arc::default();
    let arrival = arrived.clone();
    if let Some(pad) = element.static_pad("sink") {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            *arrival.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            gst::PadProbeReturn::Ok
        });
    }
    let measured = times.clone();
    if let Some(pad) = element.static_pad("src") {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let begun = arrived
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(begun) = begun {
                let mut times = measured.lock().unwrap_or_else(PoisonError::into_inner);
                times.add(begun.elapsed());
            }
            gst::PadProbeReturn::Ok
        });
    }
    times
}

/// From the engine to the file.
fn tail(output: Output, to: &Path) -> Result<Vec<gst::Element>, MediaError> {
    let convert = make("audioconvert", formats::BASE)?;
    // What comes as 16 bits and is not changed goes out as the same 16 bits.
    convert.set_property_from_str("dithering", "none");
    let mut tail = vec![
        convert,
        make("audioresample", formats::BASE)?,
        capsfilter(output.caps())?,
    ];
    for (element, package) in output.encoder() {
        tail.push(make(element, package)?);
    }
    let sink = make("filesink", "libgstreamer1.0-0")?;
    sink.set_property("location", to);
    tail.push(sink);
    Ok(tail)
}
