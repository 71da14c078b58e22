//! What a filter does: decoded tracks through the description's `chain`, to raw outlets.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_utils::streamproducer::ConsumerSettings;
use gstreamer_utils::{ConsumptionLink, StreamProducer};
use tokio::sync::oneshot;

use super::bus::Watch;
use super::elements::{add_linked, capsfilter, make};
use super::encodings::RawOutlets;
use super::fanout::{Feed, Outlet};
use super::source::sound_form;
use super::{MediaError, MediaEvent, MediaEvents, MediaKind, clock};
use crate::filter::report::Reporter;
use crate::job::Parameters;
use crate::pipeline::build::{self, Built};
use crate::pipeline::change::{Change, Part};
use crate::pipeline::fragment::Section;
use crate::pipeline::parameters::Values;
use crate::pipeline::{Description, Settings};
use crate::signalling::ids::RoomName;

/// How often chains that were replaced are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often a filter of sound tells what it does.
const REPORT: Duration = Duration::from_secs(2);
/// So much may wait for a chain that is too slow; then the oldest is left out.
const WAITING: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// What chains are built from: checked, but for what only shows when they run.
#[derive(Debug)]
pub struct Plan {
    description: Description,
    values: Values,
    settings: Settings,
}

impl Plan {
    /// Checks the values and builds each fragment once, to tell mistakes before somebody is heard. Needs GStreamer.
    ///
    /// # Errors
    /// What is wrong with the description or a value.
    pub fn new(
        description: &Description,
        parameters: &Parameters,
        room: &RoomName,
    ) -> Result<Self, MediaError> {
        let values = description.values(parameters, room)?;
        let plan = Self {
            settings: description.settings(&values)?,
            description: description.clone(),
            values,
        };
        for kind in [MediaKind::Audio, MediaKind::Video] {
            plan.build(kind)?;
        }
        Ok(plan)
    }

    /// The fragment of a kind; none where the description leaves that kind alone.
    fn build(&self, kind: MediaKind) -> Result<Option<Built>, MediaError> {
        let Some(fragment) = self.description.chain.of(kind) else {
            return Ok(None);
        };
        let filled = fragment.fill(&self.values, |_| None);
        Ok(Some(build::build(&self.description, fragment, &filled)?))
    }
}

/// Chains at work; a thread of their own builds, changes and ends them.
#[derive(Debug, Clone)]
pub struct Chains {
    commands: mpsc::Sender<Command>,
    room: RoomName,
}

enum Command {
    Track(MediaKind, StreamProducer),
    Replace(Box<Plan>, oneshot::Sender<Result<(), MediaError>>),
    Stop(oneshot::Sender<()>),
}

impl Chains {
    /// Begins with nothing to filter. What comes out goes to the outlets, in the settings' form.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start(
        plan: Plan,
        room: RoomName,
        outlets: RawOutlets,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        let (commands, orders) = mpsc::channel();
        let worker = Worker {
            plan,
            outlets,
            events,
            audio: None,
            video: None,
        };
        std::thread::Builder::new()
            .name("chains".to_owned())
            .spawn(move || worker.serve(&orders))
            .map_err(|error| MediaError::GStreamer {
                doing: "start the chains",
                reason: error.to_string(),
            })?;
        Ok(Self { commands, room })
    }

    /// From its first frame on, this track is what is filtered: sound as S16LE at 48 kHz, pictures as I420, with running
    /// times of [`clock`]. Returns at once; what fails comes as an event.
    pub fn track(&self, kind: MediaKind, producer: StreamProducer) {
        // The thread ends only when it is told to.
        let _ = self.commands.send(Command::Track(kind, producer));
    }

    /// Goes on with another description or other values: what an element takes while it plays is set there, else the
    /// chain is built anew beside the former one.
    ///
    /// # Errors
    /// Whatever keeps the new one from being built; then everything goes on as before.
    pub async fn replace(
        &self,
        description: &Description,
        parameters: &Parameters,
    ) -> Result<(), MediaError> {
        let (description, parameters) = (description.clone(), parameters.clone());
        let room = self.room.clone();
        let plan =
            tokio::task::spawn_blocking(move || Plan::new(&description, &parameters, &room)).await;
        let plan = plan.map_err(stopped)??;
        let (done, replaced) = oneshot::channel();
        // A thread that is gone answers nothing.
        let _ = self.commands.send(Command::Replace(Box::new(plan), done));
        replaced.await.map_err(stopped)?
    }

    /// Ends them.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(Command::Stop(done)).is_ok() {
            // A thread that is gone has stopped.
            let _ = stopped.await;
        }
    }
}

fn stopped(error: impl std::fmt::Display) -> MediaError {
    MediaError::GStreamer {
        doing: "replace the chain",
        reason: error.to_string(),
    }
}

/// The thread's own: it alone touches the pipelines.
struct Worker {
    plan: Plan,
    outlets: RawOutlets,
    events: MediaEvents,
    audio: Option<Track>,
    video: Option<Track>,
}

/// What is filtered, and by what.
struct Track {
    producer: StreamProducer,
    chain: Chain,
    /// Goes on until the new one has a frame.
    former: Option<Chain>,
    told: bool,
    reporter: Option<Reporter>,
}

impl Worker {
    fn serve(mut self, orders: &mpsc::Receiver<Command>) {
        loop {
            match orders.recv_timeout(LOOK) {
                Ok(Command::Track(kind, producer)) => {
                    if let Err(error) = self.begin(kind, producer) {
                        // Nobody listens any more once the job has ended.
                        let _ = self.events.send(MediaEvent::Failed(error));
                    }
                }
                Ok(Command::Replace(plan, done)) => {
                    // The one who asked may have gone.
                    let _ = done.send(self.replace(*plan));
                }
                Ok(Command::Stop(done)) => {
                    drop(self);
                    // The one who asked may have gone.
                    let _ = done.send(());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn track(&mut self, kind: MediaKind) -> &mut Option<Track> {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }

    /// A chain of the present plan takes over, where the description has one.
    fn begin(&mut self, kind: MediaKind, producer: StreamProducer) -> Result<(), MediaError> {
        let Some(outlet) = self.outlets.of(kind).cloned() else {
            return Ok(());
        };
        let Some(chain) = Chain::start(&self.plan, kind, &producer, &outlet, &self.events)? else {
            return Ok(());
        };
        let track = self.track(kind);
        let former = track.take().map(|track| track.chain);
        let now = clock::running_time().into();
        *track = Some(Track {
            producer,
            reporter: Reporter::find(&chain.built.bin, REPORT, now),
            chain,
            former,
            told: false,
        });
        Ok(())
    }

    fn replace(&mut self, plan: Plan) -> Result<(), MediaError> {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let has = |plan: &Plan| plan.description.chain.of(kind).is_some();
            if has(&plan) && !has(&self.plan) {
                return Err(MediaError::NewTrack(kind));
            }
        }
        let section = Section::Chain;
        let former = &self.plan;
        let change = former
            .description
            .changes(&former.values, &plan.description, &plan.values)?;
        let (rebuild, settings) = match change {
            Change::Nothing => (Vec::new(), Vec::new()),
            Change::InPlace(settings) => (Vec::new(), settings),
            Change::Rebuild(rebuild) => (rebuild.parts, rebuild.settings),
        };
        let before = std::mem::replace(&mut self.plan, plan);
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let part = Part { section, kind };
            let Some(track) = self.track(kind) else {
                continue;
            };
            let mut of_it = settings.iter().filter(|setting| setting.part == part);
            let is_set = !rebuild.contains(&part)
                && of_it.all(|setting| track.chain.built.apply(setting).is_ok());
            let producer = track.producer.clone();
            if is_set {
                continue;
            }
            if let Err(error) = self.begin(kind, producer) {
                self.plan = before;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Lets go of chains that another one has taken over from, and tells what a new one takes and what it does.
    fn look(&mut self) {
        let events = self.events.clone();
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let Some(track) = self.track(kind) else {
                continue;
            };
            let reporter = track.reporter.as_mut();
            let now = clock::running_time().into();
            if let Some(report) = reporter.and_then(|reporter| reporter.look(now)) {
                // Nobody listens any more once the job has ended.
                let _ = events.send(MediaEvent::Filter(report));
            }
            if !track.chain.feed.has_taken_over() || std::mem::replace(&mut track.told, true) {
                continue;
            }
            track.former = None;
            if let Some(latency) = track.chain.latency() {
                let milliseconds = latency.as_secs_f64() * 1000.0;
                let notice = format!("the chain delays {kind} by {milliseconds:.1} ms");
                // Nobody listens any more once the job has ended.
                let _ = events.send(MediaEvent::Notice(notice));
            }
        }
    }
}

/// The pipeline of one fragment. Dropped, it stops: not on async threads.
struct Chain {
    pipeline: gst::Pipeline,
    built: Built,
    watch: Watch,
    link: ConsumptionLink,
    feed: Feed,
    /// Where frames come in, and where they leave.
    ends: Option<(gst::Pad, gst::Pad)>,
}

impl Chain {
    fn start(
        plan: &Plan,
        kind: MediaKind,
        producer: &StreamProducer,
        outlet: &Outlet,
        events: &MediaEvents,
    ) -> Result<Option<Self>, MediaError> {
        let Some(built) = plan.build(kind)? else {
            return Ok(None);
        };
        let doing = "start a chain";
        let pipeline = gst::Pipeline::with_name(match kind {
            MediaKind::Audio => "chain-audio",
            MediaKind::Video => "chain-video",
        });
        clock::prepare(&pipeline);
        let source = gst_app::AppSrc::builder().name("track").build();
        let waiting = ConsumerSettings {
            max_time: WAITING,
            ..ConsumerSettings::default()
        };
        // Before it plays: a source that becomes live later waits for ever.
        StreamProducer::configure_consumer_with(&source, waiting.clone());
        let feed = outlet.feed();
        let mut elements = vec![source.clone().upcast(), built.bin.clone().upcast()];
        elements.extend(match kind {
            MediaKind::Video => picture_form(&plan.settings)?,
            MediaKind::Audio => sound_form(&plan.settings)?,
        });
        let end = elements.last().and_then(|last| last.static_pad("src"));
        let ends = source.static_pad("src").zip(end);
        elements.push(feed.appsink().upcast());
        add_linked(&pipeline, &elements)?;
        let events = events.clone();
        let watch = Watch::start(&pipeline, "chain", move |event| {
            // Nobody listens any more once the job has ended.
            let _ = events.send(event);
        })?;
        let failed = |reason: String| MediaError::GStreamer { doing, reason };
        let started = pipeline.set_state(gst::State::Playing);
        started.map_err(|error| failed(error.to_string()))?;
        let link = producer.add_consumer_with(&source, waiting);
        let link = link.map_err(|error| failed(error.to_string()))?;
        Ok(Some(Self {
            pipeline,
            built,
            watch,
            link,
            feed,
            ends,
        }))
    }

    /// By how much frames come out later than they went in, as the elements say.
    fn latency(&self) -> Option<Duration> {
        let least = |pad: &gst::Pad| {
            let mut query = gst::query::Latency::new();
            pad.query(&mut query).then(|| query.result().1)
        };
        // What comes in was delayed before, and a sink that does not wait for its frames' time says nothing.
        let (start, end) = self.ends.as_ref()?;
        Some(least(end)?.saturating_sub(least(start)?).into())
    }
}

/// Brings pictures into the size of the settings. They keep their rate, which no decoder of a peer's pictures tells.
fn picture_form(settings: &Settings) -> Result<Vec<gst::Element>, MediaError> {
    let convert = make("videoconvertscale", "gstreamer1.0-plugins-base")?;
    let (width, height) = (settings.video.width, settings.video.height);
    let caps =
        format!("video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1");
    Ok(vec![convert, capsfilter(&caps)?])
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.link.disconnect();
        self.watch.end();
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "a chain did not stop");
        }
    }
}
