//! The pipeline that makes a film of a plan: a branch for each file, a mixer for pictures and one for sound, encoders,
//! a muxer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::MixError;
use super::plan::{Clip, Plan};
use crate::media::elements::{add_linked, capsfilter, make};
use crate::media::encoder::Encoders;
use crate::media::{Codec, MediaError};
use crate::pipeline::{AudioSettings, Bitrate, Settings, VideoSettings};

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
/// Sound and picture of a file may lie so far apart in it: a demuxer tells of a gap within five seconds.
const WAITING: gst::ClockTime = gst::ClockTime::from_seconds(10);
/// Players can seek to a key frame.
const KEY_FRAMES: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// What the film is to be.
#[derive(Debug, Clone)]
pub struct Format {
    /// Pixels across; even.
    pub width: u32,
    /// Pixels down; even.
    pub height: u32,
    /// Pictures per second.
    pub framerate: u32,
    /// Of the picture.
    pub bitrate: Bitrate,
    container: Container,
}

/// By the ending of the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Mp4,
    Matroska,
    Webm,
}

impl Format {
    /// For a file of this name.
    ///
    /// # Errors
    /// [`MixError::Ending`].
    pub fn new(
        file: &Path,
        (width, height): (u32, u32),
        framerate: u32,
        bitrate: Bitrate,
    ) -> Result<Self, MixError> {
        let ending = file.extension().unwrap_or_default().to_string_lossy();
        let container = match ending.as_ref() {
            "mp4" => Container::Mp4,
            "mkv" => Container::Matroska,
            "webm" => Container::Webm,
            other => {
                return Err(MixError::Ending {
                    file: file.to_owned(),
                    found: other.to_owned(),
                });
            }
        };
        Ok(Self {
            width,
            height,
            framerate,
            bitrate,
            container,
        })
    }

    /// The picture's codec.
    pub fn codec(&self) -> Codec {
        match self.container {
            Container::Mp4 | Container::Matroska => Codec::H264,
            Container::Webm => Codec::Vp8,
        }
    }

    /// The same as an encoder takes it.
    pub fn settings(&self) -> Settings {
        Settings {
            latency: Duration::ZERO,
            video: VideoSettings {
                width: self.width,
                height: self.height,
                framerate: self.framerate,
                bitrate: self.bitrate,
                codecs: vec![self.codec()],
                lower: Vec::new(),
                pause_below: Bitrate::from_kilobits(0),
            },
            audio: AudioSettings {
                bitrate: Bitrate::from_kilobits(128),
                channels: 2,
                packet: crate::pipeline::settings::PACKET,
                expected_loss: crate::pipeline::settings::EXPECTED_LOSS,
                is_silence_left_out: false,
            },
        }
    }

    fn muxer(&self) -> Result<gst::Element, MediaError> {
        match self.container {
            Container::Mp4 => make("mp4mux", GOOD),
            Container::Matroska => make("matroskamux", GOOD),
            Container::Webm => make("webmmux", GOOD),
        }
    }

    /// MP4 gets AAC, which every player of MP4 knows.
    fn sound_encoder(&self, encoders: &Encoders) -> Result<Vec<gst::Element>, MediaError> {
        let settings = self.settings();
        if self.container != Container::Mp4 {
            let choices = encoders.choices(Codec::Opus, &settings)?;
            let best = choices.first();
            return best.map_or_else(|| Ok(Vec::new()), |best| Ok(best.build(&settings)?.chain));
        }
        let encoder = make("avenc_aac", "gstreamer1.0-libav")?;
        let bits = settings.audio.bitrate.bits_per_second;
        encoder.set_property_from_str("bitrate", &bits.to_string());
        Ok(vec![
            make("audioconvert", BASE)?,
            encoder,
            make("aacparse", GOOD)?,
        ])
    }
}

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
            film.branch(index, clip, pictures.as_ref(), sound.as_ref())?;
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
        let mut chain = vec![mixer.clone(), capsfilter(&caps)?, queue(WAITING)?];
        chain.extend(best.build(&settings)?.chain);
        if format.codec() == Codec::H264 {
            chain.push(make("h264parse", BAD)?);
        }
        chain.extend([queue(WAITING)?, muxer.clone()]);
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
        let mut chain = vec![mixer.clone(), capsfilter(caps)?, queue(WAITING)?];
        chain.extend(format.sound_encoder(encoders)?);
        chain.extend([queue(WAITING)?, muxer.clone()]);
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

    /// A file's way to the mixers.
    fn branch(
        &self,
        index: usize,
        clip: &Clip,
        pictures: Option<&gst::Element>,
        sound: Option<&gst::Element>,
    ) -> Result<(), MixError> {
        let source = make("filesrc", "libgstreamer1.0-0")?;
        source.set_property("location", clip.file.to_string_lossy().as_ref());
        let ending = clip.file.extension().unwrap_or_default();
        let demuxer = match ending.to_string_lossy().as_ref() {
            "mp4" => make("qtdemux", GOOD)?,
            "ogg" | "opus" => make("oggdemux", BASE)?,
            _ => make("matroskademux", GOOD)?,
        };
        let bin = gst::Bin::with_name(&format!("clip-{index}"));
        let added = bin.add_many([&source, &demuxer]);
        added.map_err(MediaError::gstreamer("build a pipeline"))?;
        source
            .link(&demuxer)
            .map_err(MediaError::gstreamer("link a pipeline"))?;
        let added = self.pipeline.add(&bin);
        added.map_err(MediaError::gstreamer("build a pipeline"))?;
        let offset = i64::try_from(clip.at.as_nanos()).unwrap_or(i64::MAX);
        let label = clip.tile.and_then(|tile| self.plan.tiles.get(tile));
        let label = label.map(|tile| tile.label.clone()).unwrap_or_default();
        // The mixers wait for every pad they have: those that the file will fill are there from the beginning.
        let wanted = [
            (pictures.filter(|_| clip.tile.is_some()), "video/"),
            (sound.filter(|_| clip.sounds), "audio/"),
        ];
        let mut inputs = Vec::new();
        for (mixer, media) in wanted {
            let Some(mixer) = mixer else { continue };
            let template = mixer.pad_template("sink_%u");
            let name = format!("sink_{index}");
            let pad = template.and_then(|template| mixer.request_pad(&template, Some(&name), None));
            let pad = pad.ok_or_else(|| MediaError::GStreamer {
                doing: "mix",
                reason: "a mixer gives no pad".to_owned(),
            })?;
            pad.set_offset(offset);
            if media == "video/" {
                pad.set_property_from_str("sizing-policy", "keep-aspect-ratio");
                // A picture that nothing follows does not stay for ever.
                pad.set_property("max-last-buffer-repeat", gst::ClockTime::SECOND);
            } else {
                silence(&pad, clip);
            }
            inputs.push((media, pad));
        }
        let weak = bin.downgrade();
        demuxer.connect_pad_added(move |demuxer, pad| {
            let Some(bin) = weak.upgrade() else { return };
            if let Err(error) = decode(&bin, pad, &inputs, &label) {
                gst::element_error!(demuxer, gst::StreamError::Failed, ("{error}"));
            }
        });
        Ok(())
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

/// Takes the sound away where a filter's is heard instead.
fn silence(pad: &gst::Pad, clip: &Clip) {
    if clip.silent.is_empty() {
        return;
    }
    let clip = clip.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        let at = buffer.pts().map(|pts| clip.at + Duration::from(pts));
        let is_silent = |at| {
            clip.silent
                .iter()
                .any(|(from, to)| (*from..*to).contains(&at))
        };
        if at.is_some_and(is_silent)
            && let Ok(mut sound) = buffer.make_mut().map_writable()
        {
            // Signed samples: nought is silence.
            sound.fill(0);
        }
        gst::PadProbeReturn::Ok
    });
}

fn queue(time: gst::ClockTime) -> Result<gst::Element, MediaError> {
    let queue = make("queue", "libgstreamer1.0-0")?;
    queue.set_property("max-size-time", time.nseconds());
    queue.set_property("max-size-buffers", 0u32);
    // Raw pictures are large: a second of them has to do.
    queue.set_property("max-size-bytes", 64 * 1024 * 1024u32);
    Ok(queue)
}

/// One track of a file: decoded, in the mixer's form, into its pad. Only the recorder's own codecs.
fn decode(
    bin: &gst::Bin,
    pad: &gst::Pad,
    inputs: &[(&'static str, gst::Pad)],
    label: &str,
) -> Result<(), MixError> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let name = caps
        .structure(0)
        .map(|caps| caps.name().to_string())
        .unwrap_or_default();
    let Some((media, input)) = inputs.iter().find(|(media, _)| name.starts_with(media)) else {
        return Ok(());
    };
    let mut chain = vec![queue(WAITING)?];
    match name.as_str() {
        "audio/x-opus" => chain.push(make("opusdec", BASE)?),
        "audio/mpeg" => chain.push(make("avdec_aac", "gstreamer1.0-libav")?),
        "video/x-vp8" => chain.push(make("vp8dec", GOOD)?),
        "video/x-vp9" => chain.push(make("vp9dec", GOOD)?),
        "video/x-av1" => chain.extend([make("av1parse", BAD)?, make("av1dec", BAD)?]),
        "video/x-h264" => {
            chain.extend([
                make("h264parse", BAD)?,
                make("avdec_h264", "gstreamer1.0-libav")?,
            ]);
        }
        "video/x-h265" => {
            chain.extend([
                make("h265parse", BAD)?,
                make("avdec_h265", "gstreamer1.0-libav")?,
            ]);
        }
        other => {
            return Err(MixError::Media(MediaError::GStreamer {
                doing: "read a part",
                reason: format!("found {other}, which no recorder of attache writes"),
            }));
        }
    }
    if *media == "video/" {
        let overlay = make("textoverlay", "gstreamer1.0-x")?;
        // The overlay reads Pango markup; a name is not to be one.
        overlay.set_property("text", gst::glib::markup_escape_text(label).as_str());
        overlay.set_property_from_str("valignment", "bottom");
        overlay.set_property_from_str("halignment", "left");
        overlay.set_property("shaded-background", true);
        chain.extend([make("videoconvert", BASE)?, overlay]);
    } else {
        chain.extend([make("audioconvert", BASE)?, make("audioresample", BASE)?]);
    }
    let added = bin.add_many(&chain);
    added.map_err(MediaError::gstreamer("build a pipeline"))?;
    gst::Element::link_many(&chain).map_err(MediaError::gstreamer("link a pipeline"))?;
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
        return Ok(());
    };
    let (Some(sink), Some(source)) = (first.static_pad("sink"), last.static_pad("src")) else {
        return Ok(());
    };
    let ghost = gst::GhostPad::builder_with_target(&source)
        .map_err(MediaError::gstreamer("link a pipeline"))?
        .name(media.trim_end_matches('/'))
        .build();
    // Such a call on a bin that plays cannot fail but for a bad name.
    let _ = ghost.set_active(true);
    bin.add_pad(&ghost)
        .map_err(MediaError::gstreamer("link a pipeline"))?;
    for element in chain.iter().rev() {
        let synced = element.sync_state_with_parent();
        synced.map_err(MediaError::gstreamer("start a pipeline"))?;
    }
    let refused = |_| MediaError::GStreamer {
        doing: "link a pipeline",
        reason: format!("{name} does not fit"),
    };
    ghost.link(input).map_err(refused)?;
    pad.link(&sink).map_err(refused)?;
    Ok(())
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
