//! The pipeline that makes a film of a plan: a [`branch`](super::branch) for each file, a mixer for pictures and one for
//! sound, encoders, a muxer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::branch::{Branch, queue};
use super::format::Format;
use super::plan::Plan;
use super::{BAD, BASE, MixError};
use crate::media::elements::{add_linked, capsfilter, make};
use crate::media::encoder::Encoders;
use crate::media::{Codec, MediaError};

/// Players can seek to a key frame.
const KEY_FRAMES: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// A film in the making. Dropped, it stops.
pub struct Film {
    pipeline: gst::Pipeline,
    plan: Arc<Plan>,
    /// Up to here it is mixed, in nanoseconds.
    position: Arc<AtomicU64>,
}

impl Drop for Film {
    fn drop(&mut self) {
        // What is left of it is of no use; nobody waits for an answer.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Film {
    /// Builds the pipeline that writes to `file`.
    ///
    /// # Errors
    /// Elements are missing or do not fit.
    pub fn new(
        plan: Plan,
        format: &Format,
        encoders: &Encoders,
        file: &Path,
    ) -> Result<Self, MixError> {
        let pipeline = gst::Pipeline::with_name("mix");
        let film = Self {
            pipeline,
            plan: Arc::new(plan),
            position: Arc::default(),
        };
        let muxer = format.muxer()?;
        let sink = make("filesink", "libgstreamer1.0-0")?;
        sink.set_property("location", file.to_string_lossy().as_ref());
        add_linked(&film.pipeline, &[muxer.clone(), sink])?;
        let pictures = film.pictures(format, encoders, &muxer)?;
        let sound = film.sound(format, encoders, &muxer)?;
        for (index, clip) in film.plan.clips.iter().enumerate() {
            let label = clip.tile.and_then(|tile| film.plan.tiles.get(tile));
            let label = label.map_or("", |tile| tile.label.as_str());
            let pictures = pictures.as_ref().filter(|_| clip.tile.is_some());
            let sound = sound.as_ref().filter(|_| clip.sounds);
            let branch = Branch { index, clip, label };
            branch.join(&film.pipeline, pictures, sound)?;
        }
        Ok(film)
    }

    fn pictures(
        &self,
        format: &Format,
        encoders: &Encoders,
        muxer: &gst::Element,
    ) -> Result<Option<gst::Element>, MixError> {
        if self.plan.tiles.is_empty() {
            return Ok(None);
        }
        let mixer = make("compositor", BASE)?;
        mixer.set_property_from_str("background", "black");
        let caps = format!(
            "video/x-raw,format=I420,width={},height={},framerate={}/1",
            format.width, format.height, format.framerate
        );
        let settings = format.settings();
        let choices = encoders.choices(format.codec(), &settings)?;
        let Some(best) = choices.first() else {
            return Err(MixError::Empty);
        };
        tracing::info!(encoder = best.candidate.factory, reason = %best.reason, "the film's encoder");
        let mut chain = vec![mixer.clone(), capsfilter(&caps)?, queue()?];
        chain.extend(best.build(&settings)?.chain);
        if format.codec() == Codec::H264 {
            chain.push(make("h264parse", BAD)?);
        }
        chain.extend([queue()?, muxer.clone()]);
        self.add_chain(&chain)?;
        self.place_tiles(&mixer, format);
        ask_for_key_frames(&chain[3]);
        self.watch_position(&mixer);
        Ok(Some(mixer))
    }

    fn sound(
        &self,
        format: &Format,
        encoders: &Encoders,
        muxer: &gst::Element,
    ) -> Result<Option<gst::Element>, MixError> {
        if !self.plan.clips.iter().any(|clip| clip.sounds) {
            return Ok(None);
        }
        let mixer = make("audiomixer", BASE)?;
        let caps = "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2";
        let mut chain = vec![mixer.clone(), capsfilter(caps)?, queue()?];
        chain.extend(format.sound_encoder(encoders)?);
        chain.extend([queue()?, muxer.clone()]);
        self.add_chain(&chain)?;
        if self.plan.tiles.is_empty() {
            self.watch_position(&mixer);
        }
        Ok(Some(mixer))
    }

    /// Adds all but the last one, the muxer, which is there; links all.
    fn add_chain(&self, chain: &[gst::Element]) -> Result<(), MediaError> {
        let new = &chain[..chain.len() - 1];
        let added = self.pipeline.add_many(new);
        added.map_err(MediaError::gstreamer("build a pipeline"))?;
        gst::Element::link_many(chain).map_err(MediaError::gstreamer("link a pipeline"))
    }

    /// Before each picture is mixed, every tile gets the place of that moment.
    fn place_tiles(&self, mixer: &gst::Element, format: &Format) {
        let plan = self.plan.clone();
        let (width, height) = (format.width, format.height);
        mixer.set_property("emit-signals", true);
        mixer.connect("samples-selected", false, move |arguments| {
            let mixer = arguments[0].get::<gst::Element>().ok()?;
            let at = arguments[2].get::<Option<gst::ClockTime>>().ok()??;
            let places = plan.places(at.into(), width, height);
            for pad in mixer.sink_pads() {
                let tile = clip_of(&pad.name()).and_then(|clip| plan.clips.get(clip)?.tile);
                let place = tile.and_then(|tile| places.get(tile).copied().flatten());
                match place {
                    Some(place) => {
                        let pixels = |n| i32::try_from(n).unwrap_or(i32::MAX);
                        pad.set_property("xpos", pixels(place.x));
                        pad.set_property("ypos", pixels(place.y));
                        pad.set_property("width", pixels(place.width));
                        pad.set_property("height", pixels(place.height));
                        pad.set_property("alpha", 1.0);
                    }
                    None => pad.set_property("alpha", 0.0),
                }
            }
            None
        });
    }

    fn watch_position(&self, mixer: &gst::Element) {
        let position = self.position.clone();
        if let Some(pad) = mixer.static_pad("src") {
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(pts) = info.buffer().and_then(|buffer| buffer.pts()) {
                    position.store(pts.nseconds(), Ordering::Relaxed);
                }
                gst::PadProbeReturn::Ok
            });
        }
    }

    /// How much of it is mixed.
    pub fn position(&self) -> Duration {
        Duration::from_nanos(self.position.load(Ordering::Relaxed))
    }

    /// Mixes to the end. Blocks; returns early once `interrupted` says so.
    ///
    /// # Errors
    /// A part cannot be read, an element fails, or somebody interrupted.
    pub fn make(
        &self,
        interrupted: impl Fn() -> bool,
        mut progress: impl FnMut(Duration),
    ) -> Result<(), MixError> {
        let bus = self.pipeline.bus().ok_or_else(|| MediaError::GStreamer {
            doing: "mix",
            reason: "a pipeline without a bus".to_owned(),
        })?;
        // An error tells more on the bus.
        let started = self.pipeline.set_state(gst::State::Playing);
        loop {
            if interrupted() {
                return Err(MixError::Interrupted);
            }
            let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
            let message = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(200), &wanted);
            progress(self.position());
            match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::Eos(_)) => return Ok(()),
                Some(gst::MessageView::Error(error)) => return Err(self.failed(error)),
                Some(_) => {}
                None if started.is_err() => {
                    return Err(MixError::Media(MediaError::GStreamer {
                        doing: "mix",
                        reason: "the pipeline does not start".to_owned(),
                    }));
                }
                None => {}
            }
        }
    }

    /// An error of a file's branch names the file.
    fn failed(&self, error: &gst::message::Error) -> MixError {
        let source = error.src().cloned();
        let mut at = source.clone();
        while let Some(object) = at {
            let clip = clip_of(&object.name()).and_then(|clip| self.plan.clips.get(clip));
            if let Some(clip) = clip.filter(|_| object.is::<gst::Bin>()) {
                return MixError::Part {
                    file: clip.file.clone(),
                    reason: error.error().to_string(),
                };
            }
            at = object.parent();
        }
        MixError::Media(MediaError::Element {
            pipeline: "mix".to_owned(),
            element: source.map_or_else(String::new, |source| source.name().to_string()),
            reason: error.error().to_string(),
        })
    }
}

/// The number at the end of `clip-3` and `sink_3`.
fn clip_of(name: &str) -> Option<usize> {
    let number = name
        .strip_prefix("clip-")
        .or_else(|| name.strip_prefix("sink_"))?;
    number.parse().ok()
}

/// Every two seconds, wherever the encoder itself would put none.
fn ask_for_key_frames(encoder_side: &gst::Element) {
    let Some(pad) = encoder_side.static_pad("sink") else {
        return;
    };
    let asked = AtomicU64::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        let number = pts.map_or(0, |pts| pts.nseconds() / KEY_FRAMES.nseconds());
        if asked.swap(number, Ordering::Relaxed) < number {
            let event = gst_video::DownstreamForceKeyUnitEvent::builder()
                .all_headers(true)
                .build();
            pad.send_event(event);
        }
        gst::PadProbeReturn::Ok
    });
}

/// The parts of a plan that are not on disk.
pub fn missing(plan: &Plan) -> Vec<PathBuf> {
    let files = plan.clips.iter().map(|clip| &clip.file);
    files.filter(|file| !file.is_file()).cloned().collect()
}
