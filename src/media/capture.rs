//! Capture: what a description captures, raw and encoded, for all peers; it can be exchanged while they watch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use gstreamer_utils::StreamProducer;

use super::encoder::Encoders;
use super::encodings::{Encodings, RawOutlets};
use super::fanout::Outlet;
use super::source::{Plan, Source};
use super::{Codec, MediaError, MediaEvents, MediaKind};
use crate::job::Parameters;
use crate::pipeline::change::{Change, Part};
use crate::pipeline::fragment::Section;
use crate::pipeline::{Description, Settings};
use crate::signalling::ids::RoomName;
use crate::signalling::protocol::Sends;

/// How long a source that replaces another may take to its first frame.
const PROOF: Duration = Duration::from_secs(10);

/// What a description's placeholders may tell besides its parameters, and what there is to encode with.
#[derive(Debug, Clone)]
pub struct Context {
    /// The room's name, for the test picture.
    pub room: RoomName,
    /// The encoders of this machine.
    pub encoders: Encoders,
}

/// Does what blocks on a thread for it.
async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, MediaError> + Send + 'static,
) -> Result<T, MediaError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|stopped| {
        let reason = stopped.to_string();
        Err(MediaError::GStreamer { doing, reason })
    })
}

/// Running sources and encoders. Clones are the same capture.
#[derive(Debug, Clone)]
pub struct Capture(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raw: RawOutlets,
    encodings: Encodings,
    sources: Mutex<Sources>,
    events: MediaEvents,
}

/// Held while sources start and stop; no callback of GStreamer takes the lock around it.
#[derive(Debug)]
struct Sources {
    plan: Plan,
    audio: Option<Source>,
    video: Option<Source>,
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
        blocking("start the capture", move || {
            super::init()?;
            let plan = Plan::new(description, &parameters, context)?;
            Self::start_plan(plan, events)
        })
        .await
    }

    fn start_plan(plan: Plan, events: MediaEvents) -> Result<Self, MediaError> {
        let (audio_out, video_out) = (Outlet::raw()?, Outlet::raw()?);
        let video = Source::start(&plan, MediaKind::Video, &video_out, &events)?;
        let audio = Source::start(&plan, MediaKind::Audio, &audio_out, &events)?;
        for source in [&audio, &video].into_iter().flatten() {
            source.accept(&events);
        }
        let raw = RawOutlets {
            audio: audio.is_some().then_some(audio_out),
            video: video.is_some().then_some(video_out),
        };
        let encoders = plan.context.encoders.clone();
        let settings = plan.settings.clone();
        let encodings = Encodings::new(raw.clone(), encoders, settings, events.clone())?;
        Ok(Self(Arc::new(Inner {
            raw,
            encodings,
            sources: Mutex::new(Sources { plan, audio, video }),
            events,
        })))
    }

    /// How many frames were captured, sound and pictures; absent where nothing is.
    pub fn frames(&self) -> Option<u64> {
        let frames = |kind| self.0.raw.of(kind).map(Outlet::frames);
        let (audio, video) = (frames(MediaKind::Audio), frames(MediaKind::Video));
        audio.map_or(video, |audio| Some(audio + video.unwrap_or(0)))
    }

    /// What the description captures.
    pub fn sends(&self) -> Sends {
        let sources = self.0.sources();
        Sends {
            audio: sources.audio.is_some(),
            video: sources.video.is_some(),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.0.sources().plan.settings.clone()
    }

    /// Frames as they are captured, in the settings' form: I420, or S16LE at 48 kHz.
    pub fn raw(&self, kind: MediaKind) -> Option<StreamProducer> {
        self.0.raw.of(kind).map(Outlet::producer)
    }

    /// See [`Encodings::producer`].
    pub fn producer(&self, codec: Codec) -> Result<StreamProducer, MediaError> {
        self.0.encodings.producer(codec)
    }

    /// See [`Encodings::rest`].
    pub fn rest(&self) {
        self.0.encodings.rest();
    }

    /// Goes on with another description or other values, while the consumers stay. A source whose text changed is
    /// started anew, beside the former one where its device allows that; encoders whose settings changed likewise.
    ///
    /// # Errors
    /// Whatever keeps the new sources from delivering; then everything goes on as before.
    pub async fn replace(
        &self,
        description: &Description,
        parameters: &Parameters,
    ) -> Result<(), MediaError> {
        let (description, parameters) = (description.clone(), parameters.clone());
        let inner = Arc::clone(&self.0);
        blocking("replace the capture", move || {
            let context = inner.sources().plan.context.clone();
            inner.replace(Plan::new(description, &parameters, context)?)
        })
        .await
    }

    /// The running pipelines, for pictures of them.
    pub fn pipelines(&self) -> Vec<gst::Pipeline> {
        let sources = self.0.sources();
        let sources = [&sources.video, &sources.audio].into_iter().flatten();
        let mut pipelines: Vec<_> = sources.map(|source| source.pipeline().clone()).collect();
        pipelines.extend(self.0.encodings.pipelines());
        pipelines
    }

    /// Stops sources and encoders and frees the devices.
    pub async fn stop(&self) {
        let inner = Arc::clone(&self.0);
        // The task cannot be cancelled and does not panic.
        let _ = tokio::task::spawn_blocking(move || inner.stop()).await;
    }
}

impl Inner {
    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.encodings.stop();
        let mut sources = self.sources();
        sources.audio = None;
        sources.video = None;
    }

    fn replace(&self, plan: Plan) -> Result<(), MediaError> {
        let mut sources = self.sources();
        for kind in [MediaKind::Audio, MediaKind::Video] {
            if plan.captures(kind) && self.raw.of(kind).is_none() {
                return Err(MediaError::NewTrack(kind));
            }
        }
        let Sources {
            plan: former,
            audio,
            video,
        } = &mut *sources;
        self.exchange(video, (former, &plan), MediaKind::Video)?;
        if let Err(error) = self.exchange(audio, (former, &plan), MediaKind::Audio) {
            // All or nothing: the picture goes back to what it was.
            self.exchange(video, (&plan, former), MediaKind::Video)?;
            return Err(error);
        }
        sources.plan = plan;
        Ok(())
    }

    /// Takes one kind from one plan to another.
    fn exchange(
        &self,
        present: &mut Option<Source>,
        (former, plan): (&Plan, &Plan),
        kind: MediaKind,
    ) -> Result<(), MediaError> {
        let Some(outlet) = self.raw.of(kind) else {
            return Ok(());
        };
        if !set_in_place(present.as_ref(), (former, plan), kind)? {
            self.succeed(present, (former, plan), kind, outlet)?;
        }
        if plan.encodes(kind) != former.encodes(kind) {
            self.encodings.change(kind, &plan.settings)?;
        }
        Ok(())
    }

    /// A proven source of the new plan takes over; where there is none, the former one goes on.
    fn succeed(
        &self,
        present: &mut Option<Source>,
        (former, plan): (&Plan, &Plan),
        kind: MediaKind,
        outlet: &Outlet,
    ) -> Result<(), MediaError> {
        match self.proven(plan, kind, outlet) {
            Ok(source) => {
                *present = source;
                return Ok(());
            }
            Err(error) => {
                let may_be_busy =
                    former.has_device(kind) && !matches!(error, MediaError::Description(_));
                if present.is_none() || !may_be_busy {
                    return Err(error);
                }
            }
        }
        // Most cameras open once only: let go of it, try again.
        *present = None;
        match self.proven(plan, kind, outlet) {
            Ok(source) => *present = source,
            Err(error) => {
                *present = self.proven(former, kind, outlet)?;
                return Err(error);
            }
        }
        Ok(())
    }

    fn proven(
        &self,
        plan: &Plan,
        kind: MediaKind,
        outlet: &Outlet,
    ) -> Result<Option<Source>, MediaError> {
        let Some(source) = Source::start(plan, kind, outlet, &self.events)? else {
            return Ok(None);
        };
        source.prove(PROOF)?;
        source.accept(&self.events);
        Ok(Some(source))
    }
}

/// Sets what can be set while the source plays; false if it has to be built anew.
fn set_in_place(
    present: Option<&Source>,
    (former, plan): (&Plan, &Plan),
    kind: MediaKind,
) -> Result<bool, MediaError> {
    let section = Section::Capture;
    let change = former
        .description
        .changes(&former.values, &plan.description, &plan.values)?;
    let settings = match change {
        Change::Nothing => Vec::new(),
        Change::InPlace(settings) => settings,
        Change::Rebuild(rebuild) if rebuild.concerns(section, kind) => return Ok(false),
        Change::Rebuild(rebuild) => rebuild.settings,
    };
    let part = Part { section, kind };
    let mut of_it = settings.iter().filter(|setting| setting.part == part);
    // Where the fallback runs, its elements have other names: it is built anew.
    Ok(of_it.all(|setting| present.is_some_and(|source| source.set(setting).is_ok())))
}
