//! Capture: a description's sources in one pipeline, encoded once per codec for all peers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_utils::StreamProducer;

use super::bus::Watch;
use super::devices::{self, Wanted};
use super::encoder::{self, capsfilter, make};
use super::fanout::Branch;
use super::{Codec, MediaError, MediaEvent, MediaEvents, MediaKind, clock};
use crate::job::Parameters;
use crate::pipeline::build::{self, End};
use crate::pipeline::fragment::Fragment;
use crate::pipeline::parameters::Values;
use crate::pipeline::{Description, Settings};
use crate::signalling::ids::RoomName;
use crate::signalling::protocol::Sends;

/// What a description's placeholders may tell besides its parameters.
#[derive(Debug, Clone)]
pub struct Context {
    /// The room's name, for the test picture.
    pub room: RoomName,
}

/// A running source pipeline. Clones are the same capture.
#[derive(Debug, Clone)]
pub struct Capture(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pipeline: gst::Pipeline,
    settings: Settings,
    video: Option<gst::Element>,
    audio: Option<gst::Element>,
    branches: Mutex<HashMap<Codec, Branch>>,
    watch: Watch,
    events: MediaEvents,
}

impl Capture {
    /// Opens the description's sources and starts them; nothing is encoded yet. Devices are opened on a thread for
    /// blocking work.
    pub async fn start(
        description: &Description,
        parameters: &Parameters,
        context: Context,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        let (description, parameters) = (description.clone(), parameters.clone());
        let start = move || Self::start_blocking(&description, &parameters, &context, events);
        tokio::task::spawn_blocking(start)
            .await
            .unwrap_or_else(|stopped| {
                Err(MediaError::GStreamer {
                    doing: "start the capture",
                    reason: stopped.to_string(),
                })
            })
    }

    fn start_blocking(
        description: &Description,
        parameters: &Parameters,
        context: &Context,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        super::init()?;
        let values = description.values(parameters, &context.room)?;
        let settings = description.settings(&values)?;
        let pipeline = gst::Pipeline::with_name("capture");
        clock::prepare(&pipeline);
        let watch = Watch::start(&pipeline, "capture", events.clone())?;
        let plan = Plan {
            description,
            values: &values,
            settings: &settings,
            context,
            events: &events,
        };
        let video = plan.add_source(&pipeline, MediaKind::Video)?;
        let audio = plan.add_source(&pipeline, MediaKind::Audio)?;
        clock::align_test_sources(pipeline.upcast_ref(), settings.video.framerate);
        let inner = Inner {
            pipeline,
            settings,
            video,
            audio,
            branches: Mutex::default(),
            watch,
            events,
        };
        let capture = Self(Arc::new(inner));
        capture
            .0
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| {
                // The element's own words are on the bus and reach the events.
                MediaError::GStreamer {
                    doing: "start the capture",
                    reason: error.to_string(),
                }
            })?;
        Ok(capture)
    }

    /// What the description captures.
    pub fn sends(&self) -> Sends {
        Sends {
            audio: self.0.audio.is_some(),
            video: self.0.video.is_some(),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Encoded frames: VP8 frames, H.264 access units in byte-stream form with SPS and PPS on each key frame, or Opus
    /// packets of 20 ms; their PTS are running times of [`clock`]. The encoder starts with the first call, serves all
    /// callers, and pauses in [`Capture::rest`]. Call this once for each new consumer: it gets a key frame at once.
    pub fn producer(&self, codec: Codec) -> Result<StreamProducer, MediaError> {
        let inner = &self.0;
        // Held while a branch is built, so that there is only one; no callback of GStreamer takes this lock.
        let mut branches = inner
            .branches
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(branch) = branches.get(&codec) {
            branch.wake();
            return Ok(branch.producer.clone());
        }
        let tee = match codec.kind() {
            MediaKind::Video => inner.video.as_ref(),
            MediaKind::Audio => inner.audio.as_ref(),
        };
        let tee = tee.ok_or(MediaError::NotCaptured(codec))?;
        let candidate = encoder::choose(codec, encoder::exists)?;
        // Nobody listens any more once the job has ended.
        let _ = inner.events.send(MediaEvent::Notice(candidate.notice()));
        let branch = Branch::add(&inner.pipeline, tee, candidate, &inner.settings)?;
        let producer = branch.producer.clone();
        branches.insert(codec, branch);
        Ok(producer)
    }

    /// Lets the encoders rest until the next call of [`Capture::producer`]: nobody is there to see or hear.
    pub fn rest(&self) {
        let branches = self.0.branches.lock();
        let branches = branches.unwrap_or_else(PoisonError::into_inner);
        branches.values().for_each(Branch::rest);
    }

    /// Stops sources and encoders and frees the devices.
    pub async fn stop(&self) {
        let inner = self.0.clone();
        // The task cannot be cancelled and does not panic.
        let _ = tokio::task::spawn_blocking(move || inner.stop()).await;
    }
}

impl Inner {
    fn stop(&self) {
        self.watch.end();
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "the capture did not stop");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let pipeline = self.pipeline.clone();
        // Stopping waits for streaming threads; the last owner may be an async thread.
        std::thread::spawn(move || pipeline.set_state(gst::State::Null));
    }
}

/// What sources are built from.
struct Plan<'a> {
    description: &'a Description,
    values: &'a Values,
    settings: &'a Settings,
    context: &'a Context,
    events: &'a MediaEvents,
}

impl Plan<'_> {
    /// Adds a fragment, what brings its stream into one form, and a tee for the encoders.
    fn add_source(
        &self,
        pipeline: &gst::Pipeline,
        kind: MediaKind,
    ) -> Result<Option<gst::Element>, MediaError> {
        let Some(bin) = self.source(kind)? else {
            return Ok(None);
        };
        let mut chain = vec![bin.upcast()];
        chain.extend(match kind {
            MediaKind::Video => picture_form(self.settings)?,
            MediaKind::Audio => sound_form(self.settings)?,
        });
        let tee = make("tee", "libgstreamer1.0-0")?;
        tee.set_property("allow-not-linked", true);
        chain.push(tee.clone());
        add_linked(pipeline, &chain)?;
        Ok(Some(tee))
    }

    /// The description's fragment with its device, or the fallback's where there is no device.
    fn source(&self, kind: MediaKind) -> Result<Option<gst::Bin>, MediaError> {
        let Some(fragment) = fragment_of(self.description, kind) else {
            return Ok(None);
        };
        let wanted = Wanted::of(self.description, fragment, self.values);
        let missing = match devices::find(&wanted, self.settings) {
            Ok(found) => {
                found
                    .notices()
                    .into_iter()
                    .for_each(|text| self.notice(text));
                let launch = fragment.fill(self.values, |name| found.launch(name));
                return Ok(Some(build::bin(
                    self.description,
                    fragment,
                    &launch,
                    End::Source,
                )?));
            }
            Err(missing) => missing,
        };
        let fallback = self.description.fallback.as_deref();
        let Some((fallback, fragment)) =
            fallback.and_then(|other| Some((other, fragment_of(other, kind)?)))
        else {
            self.notice(format!("{missing}; nothing is sent instead"));
            return Ok(None);
        };
        self.notice(format!(
            "{missing}; {} of the description {} is sent instead",
            fragment.key, fallback.name
        ));
        let values = self
            .description
            .fallback_values(fallback, self.values, &self.context.room)?;
        let launch = fragment.fill(&values, |_| None);
        Ok(Some(build::bin(fallback, fragment, &launch, End::Source)?))
    }

    fn notice(&self, text: String) {
        // Nobody listens any more once the job has ended.
        let _ = self.events.send(MediaEvent::Notice(text));
    }
}

fn fragment_of(description: &Description, kind: MediaKind) -> Option<&Fragment> {
    match kind {
        MediaKind::Video => description.capture.video.as_ref(),
        MediaKind::Audio => description.capture.audio.as_ref(),
    }
}

/// Passes I420 of the right size through untouched; converts what a camera gives otherwise.
fn picture_form(settings: &Settings) -> Result<Vec<gst::Element>, MediaError> {
    let video = &settings.video;
    let rate = make("videorate", "gstreamer1.0-plugins-base")?;
    // It must not wait for the next picture to decide about this one, nor fill the time before the first.
    rate.set_property("drop-only", true);
    rate.set_property("skip-to-first", true);
    let convert = make("videoconvertscale", "gstreamer1.0-plugins-base")?;
    let caps = format!(
        "video/x-raw,format=I420,width={},height={},framerate=[1/1,{}/1],pixel-aspect-ratio=1/1",
        video.width, video.height, video.framerate
    );
    Ok(vec![rate, convert, capsfilter(&caps)?])
}

fn sound_form(settings: &Settings) -> Result<Vec<gst::Element>, MediaError> {
    let convert = make("audioconvert", "gstreamer1.0-plugins-base")?;
    let resample = make("audioresample", "gstreamer1.0-plugins-base")?;
    let channels = settings.audio.channels;
    let caps =
        format!("audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels={channels}");
    Ok(vec![convert, resample, capsfilter(&caps)?])
}

pub(super) fn add_linked(
    pipeline: &gst::Pipeline,
    chain: &[gst::Element],
) -> Result<(), MediaError> {
    pipeline
        .add_many(chain)
        .map_err(MediaError::gstreamer("build the capture"))?;
    gst::Element::link_many(chain).map_err(MediaError::gstreamer("link the capture"))
}
