//! The source pipeline of sound or picture: a description's fragment, brought into one form, to an outlet.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;

use super::bus::{Failure, Watch};
use super::capture::Context;
use super::devices::{self, Missing, Wanted};
use super::elements::{add_linked, capsfilter, make};
use super::fanout::{Feed, Outlet};
use super::{MediaError, MediaEvent, MediaEvents, MediaKind, clock};
use crate::job::Parameters;
use crate::pipeline::build::{self, Built, SetError};
use crate::pipeline::change::Setting;
use crate::pipeline::fragment::Fragment;
use crate::pipeline::parameters::Values;
use crate::pipeline::{Bitrate, Description, Settings, Tier};

/// How often a source that has to prove itself is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// What sound cards and sound servers give at once, at most.
const SOUND_INTERVAL: Duration = Duration::from_millis(40);

/// What a source is built from.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub description: Description,
    pub values: Values,
    pub settings: Settings,
    pub context: Context,
}

/// A running source. Dropped, it stops.
#[derive(Debug)]
pub(super) struct Source {
    pipeline: gst::Pipeline,
    built: Built,
    watch: Watch,
    feed: Feed,
    failure: Failure,
}

/// Who is told what happens to a source.
#[derive(Debug, Clone)]
pub(super) struct Ears {
    /// Of the job.
    pub events: MediaEvents,
    /// Rung when the source has failed.
    pub alarm: mpsc::Sender<()>,
}

impl Ears {
    /// Tells the job.
    pub fn tell(&self, event: MediaEvent) {
        // Nobody listens any more once the job has ended.
        let _ = self.events.send(event);
    }
}

impl Source {
    /// Starts what was built for a kind.
    pub fn start(
        built: Built,
        kind: MediaKind,
        settings: &Settings,
        outlet: &Outlet,
        ears: &Ears,
    ) -> Result<Self, MediaError> {
        let pipeline = gst::Pipeline::with_name(match kind {
            MediaKind::Video => "capture-video",
            MediaKind::Audio => "capture-audio",
        });
        clock::prepare(&pipeline);
        let feed = outlet.feed();
        let mut chain = vec![built.bin.clone().upcast()];
        chain.extend(match kind {
            MediaKind::Video => picture_form(settings)?,
            MediaKind::Audio => sound_form(settings)?,
        });
        chain.push(feed.appsink().upcast());
        add_linked(&pipeline, &chain)?;
        clock::align_test_sources(pipeline.upcast_ref(), settings.video.framerate);
        let failure = Failure::default();
        let (heard, ears) = (failure.clone(), ears.clone());
        let watch = Watch::start(&pipeline, "capture", move |event| match event {
            MediaEvent::Failed(error) => {
                heard.set(error);
                // Nobody waits any more where the capture is being stopped.
                let _ = ears.alarm.send(());
            }
            event @ (MediaEvent::Notice(_)
            | MediaEvent::Encoder(_)
            | MediaEvent::Speech(_)
            | MediaEvent::Device(_)
            | MediaEvent::Filter(_)) => ears.tell(event),
        })?;
        let source = Self {
            pipeline,
            built,
            watch,
            feed,
            failure,
        };
        let started = source.pipeline.set_state(gst::State::Playing);
        started.map_err(|error| {
            // The element's own words are on the bus.
            std::thread::sleep(LOOK);
            source.failure().unwrap_or_else(|| MediaError::GStreamer {
                doing: "start the capture",
                reason: error.to_string(),
            })
        })?;
        Ok(source)
    }

    /// Waits until its frames pass. Blocks: not for async threads.
    pub fn prove(&self, limit: Duration) -> Result<(), MediaError> {
        let until = Instant::now() + limit;
        while !self.feed.wait(LOOK) {
            if let Some(error) = self.failure() {
                return Err(error);
            }
            if Instant::now() >= until {
                return Err(MediaError::GStreamer {
                    doing: "start the new source",
                    reason: format!("no frame came within {} s", limit.as_secs()),
                });
            }
        }
        Ok(())
    }

    /// Frames that it has given so far.
    pub fn frames(&self) -> u64 {
        self.feed.came()
    }

    /// Why it does not work any more.
    pub fn failure(&self) -> Option<MediaError> {
        self.failure.get()
    }

    /// Its frames pass again, from the next one on.
    pub fn retake(&self) {
        self.feed.retake();
    }

    /// Sets a property of the fragment while it plays.
    pub fn set(&self, setting: &Setting) -> Result<(), SetError> {
        self.built.apply(setting)
    }

    /// The pipeline, for pictures of it.
    pub fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.watch.end();
        // Only threads for blocking work drop a source.
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "a source did not stop");
        }
    }
}

/// What a description's fragment comes to on this machine, now.
pub(super) enum Material {
    /// It can be started. The notices name its devices.
    Ready(Box<Built>, Vec<String>),
    /// Its device is not there.
    Missing(Missing),
    /// The description has none for this kind.
    Nothing,
}

impl Plan {
    /// Checks the values and settles the numbers.
    pub fn new(
        description: Description,
        parameters: &Parameters,
        context: Context,
    ) -> Result<Self, MediaError> {
        let values = description.values(parameters, &context.room)?;
        let settings = description.settings(&values)?;
        Ok(Self {
            description,
            values,
            settings,
            context,
        })
    }

    /// Whether a kind comes from a device.
    pub fn has_device(&self, kind: MediaKind) -> bool {
        fragment_of(&self.description, kind)
            .is_some_and(|fragment| !self.description.devices_of(fragment).is_empty())
    }

    /// Whether the description captures a kind.
    pub fn captures(&self, kind: MediaKind) -> bool {
        fragment_of(&self.description, kind).is_some()
    }

    /// The form in which raw frames leave the source.
    fn form(&self, kind: MediaKind) -> [u32; 3] {
        let Settings { video, audio, .. } = &self.settings;
        match kind {
            MediaKind::Video => [video.width, video.height, video.framerate],
            MediaKind::Audio => [audio.channels, 0, 0],
        }
    }

    /// What an encoder has to be told anew.
    pub fn encodes(&self, kind: MediaKind) -> ([u32; 3], Bitrate, &[Tier], Bitrate) {
        let Settings { video, audio, .. } = &self.settings;
        match kind {
            MediaKind::Video => (
                self.form(kind),
                video.bitrate,
                &video.lower,
                video.pause_below,
            ),
            MediaKind::Audio => (self.form(kind), audio.bitrate, &[], audio.bitrate),
        }
    }

    /// Looks for the devices of the description's fragment and builds it. Asks drivers: not for async threads.
    pub fn build(&self, kind: MediaKind) -> Result<Material, MediaError> {
        let Some(fragment) = fragment_of(&self.description, kind) else {
            return Ok(Material::Nothing);
        };
        let wanted = Wanted::of(&self.description, fragment, &self.values);
        let found = match devices::find(&wanted, &self.settings) {
            Ok(found) => found,
            Err(missing) => return Ok(Material::Missing(missing)),
        };
        let filled = fragment.fill(&self.values, |name| found.launch(name));
        let built = build::build(&self.description, fragment, &filled)?;
        Ok(Material::Ready(Box::new(built), found.notices()))
    }

    /// The fallback's fragment, with its name; none where the description has no fallback for this kind.
    pub fn fallback(&self, kind: MediaKind) -> Result<Option<(Built, String)>, MediaError> {
        let fallback = self.description.fallback.as_deref();
        let Some((fallback, fragment)) =
            fallback.and_then(|other| Some((other, fragment_of(other, kind)?)))
        else {
            return Ok(None);
        };
        let values =
            self.description
                .fallback_values(fallback, &self.values, &self.context.room)?;
        let filled = fragment.fill(&values, |_| None);
        let name = format!("{} of the description {}", fragment.key, fallback.name);
        Ok(Some((build::build(fallback, fragment, &filled)?, name)))
    }

    /// The time between two frames of a kind.
    pub fn interval(&self, kind: MediaKind) -> Duration {
        match kind {
            MediaKind::Video => Duration::from_secs(1) / self.settings.video.framerate.max(1),
            MediaKind::Audio => SOUND_INTERVAL,
        }
    }
}

fn fragment_of(description: &Description, kind: MediaKind) -> Option<&Fragment> {
    match kind {
        MediaKind::Video => description.capture.video.as_ref(),
        MediaKind::Audio => description.capture.audio.as_ref(),
    }
}

/// Passes I420 of the right size through untouched; converts what a camera gives otherwise.
pub fn picture_form(settings: &Settings) -> Result<Vec<gst::Element>, MediaError> {
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

/// The same for a mix: at a constant rate. A compositor leaves a picture out when a participant's first one changes what
/// it mixes (GStreamer 1.22); the one before is shown twice then.
pub fn steady_picture_form(settings: &Settings) -> Result<Vec<gst::Element>, MediaError> {
    let video = &settings.video;
    let rate = make("videorate", "gstreamer1.0-plugins-base")?;
    rate.set_property("skip-to-first", true);
    let convert = make("videoconvertscale", "gstreamer1.0-plugins-base")?;
    let caps = format!(
        "video/x-raw,format=I420,width={},height={},framerate={}/1,pixel-aspect-ratio=1/1",
        video.width, video.height, video.framerate
    );
    Ok(vec![rate, convert, capsfilter(&caps)?])
}

/// Sound that lies further from its time than this is put where it belongs: less than anybody hears.
const TOLERANCE: gst::ClockTime = gst::ClockTime::from_mseconds(1);

/// The same for a mix: without holes. Where a mixer was held up and leaves something out, there is silence.
pub fn steady_sound_form(settings: &Settings) -> Result<Vec<gst::Element>, MediaError> {
    let rate = make("audiorate", "gstreamer1.0-plugins-base")?;
    rate.set_property("skip-to-first", true);
    rate.set_property("tolerance", TOLERANCE);
    let mut form = vec![rate];
    form.extend(sound_form(settings)?);
    Ok(form)
}

/// S16LE at 48 kHz with the settings' channels.
pub fn sound_form(settings: &Settings) -> Result<Vec<gst::Element>, MediaError> {
    let convert = make("audioconvert", "gstreamer1.0-plugins-base")?;
    let resample = make("audioresample", "gstreamer1.0-plugins-base")?;
    let channels = settings.audio.channels;
    let caps =
        format!("audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels={channels}");
    Ok(vec![convert, resample, capsfilter(&caps)?])
}
