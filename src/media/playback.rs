//! Playback: mixes what several participants send into the description's speakers and display; `player`: the thread that
//! does so.

mod player;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use gstreamer_utils::StreamProducer;

use super::choice::Track;
use super::devices::{self, Wanted};
use super::encodings::RawOutlets;
use super::layout::Layout;
use super::scene::Person;
use super::seat::Input;
use super::stage::{Plan, Sink};
use super::{MediaError, MediaEvent, MediaEvents, MediaKind};
use crate::job::Parameters;
use crate::media::capture::Context;
use crate::pipeline::Description;
use crate::pipeline::parameters::Values;
use crate::signalling::ids::ParticipantId;
use player::Player;

/// What plays others' sound and shows their pictures. A thread of its own owns the pipeline, which exists only while
/// somebody is attached.
#[derive(Debug)]
pub struct Playback {
    commands: mpsc::Sender<Command>,
    has_audio: AtomicBool,
    has_video: AtomicBool,
    context: Context,
    events: MediaEvents,
    next: AtomicU64,
}

/// A participant's sound or picture in the mix; dropped, it leaves.
#[derive(Debug)]
#[must_use]
pub struct Attachment {
    number: u64,
    commands: mpsc::Sender<Command>,
}

enum Command {
    Attach(Box<Input>),
    Detach(u64),
    Show(Vec<Person>),
    Arrange(Layout),
    Replace(
        Box<Plan>,
        tokio::sync::oneshot::Sender<Result<(), MediaError>>,
    ),
    Stop(tokio::sync::oneshot::Sender<()>),
}

impl Playback {
    /// Looks for the description's devices and checks its fragments; nothing is opened before somebody is attached.
    pub async fn start(
        description: &Description,
        parameters: &Parameters,
        context: Context,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        Self::with_outlets(
            description,
            parameters,
            context,
            RawOutlets::default(),
            events,
        )
        .await
    }

    /// Mixes likewise, but for a recording: through the description's `record` to raw outlets, in which the mix goes on
    /// from now until the end, whoever comes and goes. [`Playback::show`] says who is there.
    pub async fn record(
        description: &Description,
        parameters: &Parameters,
        context: Context,
        outlets: RawOutlets,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        let mut description = description.clone();
        description.playback = description.record.clone();
        Self::with_outlets(&description, parameters, context, outlets, events).await
    }

    async fn with_outlets(
        description: &Description,
        parameters: &Parameters,
        context: Context,
        outlets: RawOutlets,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        let (description, parameters) = (description.clone(), parameters.clone());
        let start =
            move || Self::start_blocking(&description, &parameters, &context, outlets, events);
        tokio::task::spawn_blocking(start)
            .await
            .unwrap_or_else(|stopped| {
                Err(MediaError::GStreamer {
                    doing: "start the playback",
                    reason: stopped.to_string(),
                })
            })
    }

    fn start_blocking(
        description: &Description,
        parameters: &Parameters,
        context: &Context,
        outlets: RawOutlets,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        super::init()?;
        let mut plan = plan(description, parameters, context, &events)?;
        for (sink, outlet) in [
            (&mut plan.audio, outlets.audio),
            (&mut plan.video, outlets.video),
        ] {
            if let Some(sink) = sink {
                sink.outlet = outlet;
            }
        }
        let (has_audio, has_video) = (plan.audio.is_some(), plan.video.is_some());
        let (commands, orders) = mpsc::channel();
        let told = events.clone();
        std::thread::Builder::new()
            .name("playback".to_owned())
            .spawn(move || Player::new(plan, told).serve(&orders))
            .map_err(|error| MediaError::GStreamer {
                doing: "start the playback",
                reason: error.to_string(),
            })?;
        Ok(Self {
            commands,
            has_audio: AtomicBool::new(has_audio),
            has_video: AtomicBool::new(has_video),
            context: context.clone(),
            events,
            next: AtomicU64::default(),
        })
    }

    /// Goes on with another description or other values: what an element takes while it plays is set there, else the
    /// pipeline is built anew with everybody who is attached.
    ///
    /// # Errors
    /// Whatever keeps the new one from being built; then everything goes on as before.
    pub async fn replace(
        &self,
        description: &Description,
        parameters: &Parameters,
    ) -> Result<(), MediaError> {
        let (description, parameters) = (description.clone(), parameters.clone());
        let (context, events) = (self.context.clone(), self.events.clone());
        let work = move || plan(&description, &parameters, &context, &events);
        let plan = tokio::task::spawn_blocking(work).await.map_err(stopped)??;
        let (has_audio, has_video) = (plan.audio.is_some(), plan.video.is_some());
        let (done, replaced) = tokio::sync::oneshot::channel();
        // A thread that is gone answers nothing.
        let _ = self.commands.send(Command::Replace(Box::new(plan), done));
        replaced.await.map_err(stopped)??;
        self.has_audio.store(has_audio, Ordering::Relaxed);
        self.has_video.store(has_video, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the description plays this kind of media here. What it does not play need not be decoded.
    pub fn plays(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.has_audio.load(Ordering::Relaxed),
            MediaKind::Video => self.has_video.load(Ordering::Relaxed),
        }
    }

    /// Adds a participant's decoded media to the mix: sound as S16LE or F32LE at 48 kHz, pictures as I420, with running
    /// times of [`super::clock`]. Returns at once; what fails comes as an event. A kind that is not played is ignored.
    /// A filter's track is attached as its source's, and heard or shown instead of the original while it comes.
    pub fn attach(
        &self,
        participant: &ParticipantId,
        kind: MediaKind,
        track: Track,
        producer: &StreamProducer,
    ) -> Attachment {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let attachment = Attachment {
            number,
            commands: self.commands.clone(),
        };
        if self.plays(kind) {
            let input = Input {
                number,
                participant: participant.clone(),
                kind,
                track,
                producer: producer.clone(),
            };
            // The thread ends only after the last sender.
            let _ = self.commands.send(Command::Attach(Box::new(input)));
        }
        attachment
    }

    /// In a mix for a recording, says who is there, in the order in which they came: each has a part of the picture with
    /// its name, whether or not it sends one.
    pub fn show(&self, people: Vec<Person>) {
        // The thread ends only after the last sender.
        let _ = self.commands.send(Command::Show(people));
    }

    /// In a mix for a recording, arranges the pictures so from now on.
    pub fn arrange(&self, layout: Layout) {
        // The thread ends only after the last sender.
        let _ = self.commands.send(Command::Arrange(layout));
    }

    /// Ends the pipeline and frees the devices.
    pub async fn stop(&self) {
        let (done, stopped) = tokio::sync::oneshot::channel();
        if self.commands.send(Command::Stop(done)).is_ok() {
            // A thread that is gone has stopped.
            let _ = stopped.await;
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // A thread that is gone has let go of it.
        let _ = self.commands.send(Command::Detach(self.number));
    }
}

/// The fragment of a kind with its device in it; none where there is no fragment or no device.
fn sink(
    description: &Description,
    values: &Values,
    kind: MediaKind,
    events: &MediaEvents,
) -> Result<Option<Sink>, MediaError> {
    let fragment = match kind {
        MediaKind::Audio => &description.playback.audio,
        MediaKind::Video => &description.playback.video,
    };
    let Some(fragment) = fragment else {
        return Ok(None);
    };
    let notice = |text: String| {
        // Nobody listens any more once the job has ended.
        let _ = events.send(MediaEvent::Notice(text));
    };
    let wanted = Wanted::of(description, fragment, values);
    match devices::find(&wanted, &description.settings(values)?) {
        Ok(found) => {
            found.notices().into_iter().for_each(notice);
            Ok(Some(Sink {
                fragment: fragment.clone(),
                launch: fragment.fill(values, |name| found.launch(name)),
                outlet: None,
            }))
        }
        Err(missing) => {
            let instead = match kind {
                MediaKind::Audio => "what others say is not played",
                MediaKind::Video => "what others show is not shown",
            };
            notice(format!("{missing}; {instead}"));
            Ok(None)
        }
    }
}

/// What is played, and on what: checked, but for what only shows when it plays.
fn plan(
    description: &Description,
    parameters: &Parameters,
    context: &Context,
    events: &MediaEvents,
) -> Result<Plan, MediaError> {
    let values = description.values(parameters, &context.room)?;
    let plan = Plan {
        settings: description.settings(&values)?,
        audio: sink(description, &values, MediaKind::Audio, events)?,
        video: sink(description, &values, MediaKind::Video, events)?,
        description: description.clone(),
        values,
    };
    plan.check()?;
    Ok(plan)
}

fn stopped(error: impl std::fmt::Display) -> MediaError {
    MediaError::GStreamer {
        doing: "replace the playback",
        reason: error.to_string(),
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Attach(_) => "Attach",
            Self::Detach(_) => "Detach",
            Self::Show(_) => "Show",
            Self::Arrange(_) => "Arrange",
            Self::Replace(..) => "Replace",
            Self::Stop(_) => "Stop",
        })
    }
}
