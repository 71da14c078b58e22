//! Capture: what a description captures, raw and encoded, for all peers; it can be exchanged while they watch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer_utils::StreamProducer;

use super::encoder::Encoders;
use super::encodings::{Encodings, RawOutlets};
use super::fanout::Outlet;
use super::place::Place;
use super::source::{Ears, Plan};
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

/// How often sources are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Running sources and encoders. Clones are the same capture.
#[derive(Debug, Clone)]
pub struct Capture(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raw: RawOutlets,
    encodings: Encodings,
    /// What is wanted. Held while another one is moved to.
    plan: Mutex<Plan>,
    audio: Mutex<Post>,
    video: Mutex<Post>,
    now: Mutex<Now>,
}

/// One kind's place and what it is filled by. No callback of GStreamer takes the lock around it.
#[derive(Debug)]
struct Post {
    place: Place,
    plan: Plan,
}

/// What is known without waiting for devices.
#[derive(Debug, Clone)]
struct Now {
    settings: Settings,
    sends: Sends,
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
        let (video, video_alarms) = Post::open(&plan, MediaKind::Video, &video_out, &events)?;
        let (audio, audio_alarms) = Post::open(&plan, MediaKind::Audio, &audio_out, &events)?;
        let sends = Sends {
            audio: audio.place.is_captured(),
            video: video.place.is_captured(),
        };
        let raw = RawOutlets {
            audio: sends.audio.then_some(audio_out),
            video: sends.video.then_some(video_out),
        };
        let encoders = plan.context.encoders.clone();
        let settings = plan.settings.clone();
        let encodings = Encodings::new(raw.clone(), encoders, settings.clone(), events)?;
        let inner = Arc::new(Inner {
            raw,
            encodings,
            plan: Mutex::new(plan),
            audio: Mutex::new(audio),
            video: Mutex::new(video),
            now: Mutex::new(Now { settings, sends }),
        });
        watch(&inner, MediaKind::Video, video_alarms)?;
        watch(&inner, MediaKind::Audio, audio_alarms)?;
        Ok(Self(inner))
    }

    /// How many frames were captured, sound and pictures; absent where nothing is.
    pub fn frames(&self) -> Option<u64> {
        let frames = |kind| self.0.raw.of(kind).map(Outlet::frames);
        let (audio, video) = (frames(MediaKind::Audio), frames(MediaKind::Video));
        audio.map_or(video, |audio| Some(audio + video.unwrap_or(0)))
    }

    /// What the description captures.
    pub fn sends(&self) -> Sends {
        self.0.now().sends
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.0.now().settings.clone()
    }

    /// Frames as they are captured, in the settings' form: I420, or S16LE at 48 kHz.
    pub fn raw(&self, kind: MediaKind) -> Option<StreamProducer> {
        self.0.raw.of(kind).map(Outlet::producer)
    }

    /// The encoders, for peers.
    pub fn encodings(&self) -> Encodings {
        self.0.encodings.clone()
    }

    /// See [`Encodings::producer`].
    pub fn producer(&self, codec: Codec) -> Result<StreamProducer, MediaError> {
        self.0.encodings.producer(codec)
    }

    /// See [`Encodings::outlet`].
    pub fn outlet(&self, codec: Codec) -> Result<Outlet, MediaError> {
        self.0.encodings.outlet(codec)
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
            inner.replace(|context| Plan::new(description, &parameters, context))
        })
        .await
    }

    /// The running pipelines, for pictures of them.
    pub fn pipelines(&self) -> Vec<gst::Pipeline> {
        let mut pipelines: Vec<_> = KINDS
            .iter()
            .flat_map(|kind| self.0.post(*kind).place.pipelines().collect::<Vec<_>>())
            .collect();
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

/// Picture and sound, in the order in which they move to another description.
const KINDS: [MediaKind; 2] = [MediaKind::Video, MediaKind::Audio];

/// Looks after a kind's source on a thread of its own, as long as the capture lives: opening a device may block.
fn watch(
    inner: &Arc<Inner>,
    kind: MediaKind,
    alarms: mpsc::Receiver<()>,
) -> Result<(), MediaError> {
    let watched = Arc::downgrade(inner);
    let look = move || loop {
        let alarm = alarms.recv_timeout(LOOK);
        let Some(inner) = watched.upgrade() else {
            return;
        };
        if alarm == Err(mpsc::RecvTimeoutError::Disconnected) {
            return;
        }
        let mut post = inner.post(kind);
        let Post { place, plan } = &mut *post;
        place.look(plan, Instant::now());
    };
    let thread = std::thread::Builder::new().name(format!("watch-{kind}"));
    let started = thread.spawn(look).map_err(|error| MediaError::GStreamer {
        doing: "watch a source",
        reason: error.to_string(),
    });
    started.map(drop)
}

impl Post {
    fn open(
        plan: &Plan,
        kind: MediaKind,
        outlet: &Outlet,
        events: &MediaEvents,
    ) -> Result<(Self, mpsc::Receiver<()>), MediaError> {
        let (alarm, alarms) = mpsc::channel();
        let ears = Ears {
            events: events.clone(),
            alarm,
        };
        let post = Self {
            place: Place::open(plan, kind, outlet, &ears)?,
            plan: plan.clone(),
        };
        Ok((post, alarms))
    }
}

impl Inner {
    fn post(&self, kind: MediaKind) -> MutexGuard<'_, Post> {
        let post = match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video => &self.video,
        };
        post.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.encodings.stop();
        for kind in KINDS {
            self.post(kind).place.stop();
        }
    }

    fn replace(
        &self,
        plan: impl FnOnce(Context) -> Result<Plan, MediaError>,
    ) -> Result<(), MediaError> {
        let mut former = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = plan(former.context.clone())?;
        for kind in KINDS {
            if plan.captures(kind) && self.raw.of(kind).is_none() {
                return Err(MediaError::NewTrack(kind));
            }
        }
        self.exchange(&former, &plan, MediaKind::Video)?;
        if let Err(error) = self.exchange(&former, &plan, MediaKind::Audio) {
            // All or nothing: the picture goes back to what it was.
            self.exchange(&plan, &former, MediaKind::Video)?;
            return Err(error);
        }
        let is_captured = |kind| self.post(kind).place.is_captured();
        let sends = Sends {
            audio: is_captured(MediaKind::Audio),
            video: is_captured(MediaKind::Video),
        };
        let settings = plan.settings.clone();
        *former = plan;
        *self.now() = Now { settings, sends };
        Ok(())
    }

    /// Takes one kind from one plan to another.
    fn exchange(&self, former: &Plan, plan: &Plan, kind: MediaKind) -> Result<(), MediaError> {
        let Some(outlet) = self.raw.of(kind) else {
            return Ok(());
        };
        let mut post = self.post(kind);
        if !set_in_place(&post.place, (former, plan), kind)? {
            post.succeed(plan, kind, outlet)?;
        }
        post.plan = plan.clone();
        drop(post);
        if plan.encodes(kind) != former.encodes(kind) {
            self.encodings.change(kind, &plan.settings)?;
        }
        Ok(())
    }
}

impl Post {
    /// A proven source of the new plan takes over; where there is none, the former one goes on.
    fn succeed(&mut self, plan: &Plan, kind: MediaKind, outlet: &Outlet) -> Result<(), MediaError> {
        let ears = self.place.ears().clone();
        let proven = |plan: &Plan| {
            let place = Place::open(plan, kind, outlet, &ears)?;
            place.prove(PROOF).map(|()| place)
        };
        match proven(plan) {
            Ok(place) => {
                self.place.succeed(place);
                return Ok(());
            }
            Err(error) => {
                let may_be_busy =
                    self.plan.has_device(kind) && !matches!(error, MediaError::Description(_));
                if !self.place.is_captured() || !may_be_busy {
                    return Err(error);
                }
            }
        }
        // Most cameras open once only: let go of it, try again.
        self.place.stop();
        match proven(plan) {
            Ok(place) => self.place.succeed(place),
            Err(error) => {
                self.place.succeed(proven(&self.plan)?);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Sets what can be set while the source plays; false if it has to be built anew.
fn set_in_place(
    place: &Place,
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
    // Where something else stands in, its elements have other names: it is built anew.
    Ok(of_it.all(|setting| place.set(setting)))
}
