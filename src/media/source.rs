//! The source pipeline of sound or picture: a description's fragment, brought into one form, to an outlet.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;

use super::bus::Watch;
use super::capture::Context;
use super::devices::{self, Wanted};
use super::elements::{add_linked, capsfilter, make};
use super::fanout::{Feed, Outlet};
use super::{MediaError, MediaEvent, MediaEvents, MediaKind, clock};
use crate::job::Parameters;
use crate::pipeline::build::{self, Built, SetError};
use crate::pipeline::change::Setting;
use crate::pipeline::fragment::Fragment;
use crate::pipeline::parameters::Values;
use crate::pipeline::{Bitrate, Description, Settings};

/// How often a source that has to prove itself is looked at.
const LOOK: Duration = Duration::from_millis(20);

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
    trial: Arc<Trial>,
}

/// A source that replaces another has to deliver before its errors end the job.
#[derive(Debug, Default)]
struct Trial(Mutex<Verdict>);

#[derive(Debug, Default)]
enum Verdict {
    #[default]
    Open,
    Failed(MediaError),
    Passed,
}

impl Source {
    /// Opens the source and starts it; its errors go to `events` once it is [`Source::accept`]ed. None where the
    /// description has no fragment for this kind, or neither its device nor a fallback is there.
    pub fn start(
        plan: &Plan,
        kind: MediaKind,
        outlet: &Outlet,
        events: &MediaEvents,
    ) -> Result<Option<Self>, MediaError> {
        let Some(built) = plan.build(kind, events)? else {
            return Ok(None);
        };
        let pipeline = gst::Pipeline::with_name(match kind {
            MediaKind::Video => "capture-video",
            MediaKind::Audio => "capture-audio",
        });
        clock::prepare(&pipeline);
        let feed = outlet.feed();
        let mut chain = vec![built.bin.clone().upcast()];
        chain.extend(match kind {
            MediaKind::Video => picture_form(&plan.settings)?,
            MediaKind::Audio => sound_form(&plan.settings)?,
        });
        chain.push(feed.appsink().upcast());
        add_linked(&pipeline, &chain)?;
        clock::align_test_sources(pipeline.upcast_ref(), plan.settings.video.framerate);
        let trial = Arc::new(Trial::default());
        let (judge, events) = (Arc::clone(&trial), events.clone());
        let watch = Watch::start(&pipeline, "capture", move |event| {
            judge.hear(event, &events);
        })?;
        let source = Self {
            pipeline,
            built,
            watch,
            feed,
            trial,
        };
        let started = source.pipeline.set_state(gst::State::Playing);
        started.map_err(|error| {
            // The element's own words are on the bus.
            std::thread::sleep(LOOK);
            source
                .trial
                .failure()
                .unwrap_or_else(|| MediaError::GStreamer {
                    doing: "start the capture",
                    reason: error.to_string(),
                })
        })?;
        Ok(Some(source))
    }

    /// Waits until its frames pass. Blocks: not for async threads.
    pub fn prove(&self, limit: Duration) -> Result<(), MediaError> {
        let until = Instant::now() + limit;
        while !self.feed.wait(LOOK) {
            if let Some(error) = self.trial.failure() {
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

    /// From now on its errors go to the job's events, those that it had included.
    pub fn accept(&self, events: &MediaEvents) {
        if let Some(error) = self.trial.pass() {
            // Nobody listens any more once the job has ended.
            let _ = events.send(MediaEvent::Failed(error));
        }
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

impl Trial {
    fn hear(&self, event: MediaEvent, events: &MediaEvents) {
        let mut verdict = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (event, &*verdict) {
            (MediaEvent::Failed(error), Verdict::Open) => *verdict = Verdict::Failed(error),
            (MediaEvent::Failed(_), Verdict::Failed(_)) => {}
            (
                event @ (MediaEvent::Failed(_)
                | MediaEvent::Notice(_)
                | MediaEvent::Encoder(_)
                | MediaEvent::Speech(_)
                | MediaEvent::Filter(_)),
                _,
            ) => {
                // Nobody listens any more once the job has ended.
                let _ = events.send(event);
            }
        }
    }

    fn failure(&self) -> Option<MediaError> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Verdict::Failed(error) => Some(error.clone()),
            Verdict::Open | Verdict::Passed => None,
        }
    }

    fn pass(&self) -> Option<MediaError> {
        let mut verdict = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *verdict, Verdict::Passed) {
            Verdict::Failed(error) => Some(error),
            Verdict::Open | Verdict::Passed => None,
        }
    }
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
    pub fn encodes(&self, kind: MediaKind) -> ([u32; 3], Bitrate) {
        let bitrate = match kind {
            MediaKind::Video => self.settings.video.bitrate,
            MediaKind::Audio => self.settings.audio.bitrate,
        };
        (self.form(kind), bitrate)
    }

    /// The description's fragment with its device, or the fallback's where there is no device.
    fn build(&self, kind: MediaKind, events: &MediaEvents) -> Result<Option<Built>, MediaError> {
        // Nobody listens any more once the job has ended.
        let notice = |text: String| drop(events.send(MediaEvent::Notice(text)));
        let Some(fragment) = fragment_of(&self.description, kind) else {
            return Ok(None);
        };
        let wanted = Wanted::of(&self.description, fragment, &self.values);
        let missing = match devices::find(&wanted, &self.settings) {
            Ok(found) => {
                found.notices().into_iter().for_each(notice);
                let filled = fragment.fill(&self.values, |name| found.launch(name));
                let built = build::build(&self.description, fragment, &filled)?;
                return Ok(Some(built));
            }
            Err(missing) => missing,
        };
        let fallback = self.description.fallback.as_deref();
        let Some((fallback, fragment)) =
            fallback.and_then(|other| Some((other, fragment_of(other, kind)?)))
        else {
            notice(format!("{missing}; nothing is sent instead"));
            return Ok(None);
        };
        notice(format!(
            "{missing}; {} of the description {} is sent instead",
            fragment.key, fallback.name
        ));
        let values =
            self.description
                .fallback_values(fallback, &self.values, &self.context.room)?;
        let filled = fragment.fill(&values, |_| None);
        Ok(Some(build::build(fallback, fragment, &filled)?))
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
