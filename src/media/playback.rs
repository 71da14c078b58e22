//! Playback: mixes what several participants send into the description's speakers and display.

use std::sync::mpsc;

use gstreamer_utils::StreamProducer;

use super::devices::{self, Wanted};
use super::stage::{Input, Plan, Sink, Stage};
use super::{MediaError, MediaEvent, MediaEvents, MediaKind};
use crate::job::Parameters;
use crate::media::capture::Context;
use crate::pipeline::Description;
use crate::pipeline::parameters::Values;
use crate::signalling::ids::ParticipantId;

/// What plays others' sound and shows their pictures. A thread of its own owns the pipeline, which exists only while
/// somebody is attached.
#[derive(Debug)]
pub struct Playback {
    commands: mpsc::Sender<Command>,
    has_audio: bool,
    has_video: bool,
    next: std::sync::atomic::AtomicU64,
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
        let (description, parameters) = (description.clone(), parameters.clone());
        let start = move || Self::start_blocking(&description, &parameters, &context, events);
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
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        super::init()?;
        let values = description.values(parameters, &context.room)?;
        let settings = description.settings(&values)?;
        let audio = sink(description, &values, MediaKind::Audio, &events)?;
        let video = sink(description, &values, MediaKind::Video, &events)?;
        let (has_audio, has_video) = (audio.is_some(), video.is_some());
        let plan = Plan {
            description: description.clone(),
            settings,
            audio,
            video,
        };
        plan.check()?;
        let (commands, orders) = mpsc::channel();
        std::thread::Builder::new()
            .name("playback".to_owned())
            .spawn(move || serve(&plan, &orders, &events))
            .map_err(|error| MediaError::GStreamer {
                doing: "start the playback",
                reason: error.to_string(),
            })?;
        Ok(Self {
            commands,
            has_audio,
            has_video,
            next: std::sync::atomic::AtomicU64::default(),
        })
    }

    /// Whether the description plays this kind of media here. What it does not play need not be decoded.
    pub fn plays(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.has_audio,
            MediaKind::Video => self.has_video,
        }
    }

    /// Adds a participant's decoded media to the mix: sound as S16LE or F32LE at 48 kHz, pictures as I420, with running
    /// times of [`super::clock`]. Returns at once; what fails comes as an event. A kind that is not played is ignored.
    pub fn attach(
        &self,
        participant: &ParticipantId,
        kind: MediaKind,
        producer: &StreamProducer,
    ) -> Attachment {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let attachment = Attachment {
            number,
            commands: self.commands.clone(),
        };
        if self.plays(kind) {
            let input = Input {
                number,
                participant: participant.clone(),
                kind,
                producer: producer.clone(),
            };
            // The thread ends only after the last sender.
            let _ = self.commands.send(Command::Attach(Box::new(input)));
        }
        attachment
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

/// The thread: it alone touches the pipeline.
fn serve(plan: &Plan, orders: &mpsc::Receiver<Command>, events: &MediaEvents) {
    let mut stage: Option<Stage> = None;
    while let Ok(command) = orders.recv() {
        match command {
            Command::Attach(input) => {
                if let Err(error) = attach(plan, &mut stage, &input, events) {
                    let _ = events.send(MediaEvent::Failed(error));
                }
            }
            Command::Detach(number) => {
                let is_empty = stage.as_mut().is_some_and(|stage| {
                    stage.remove(number);
                    stage.is_empty()
                });
                if is_empty {
                    stage = None;
                }
            }
            Command::Stop(done) => {
                drop(stage.take());
                // The one who asked may have gone.
                let _ = done.send(());
                return;
            }
        }
    }
}

fn attach(
    plan: &Plan,
    stage: &mut Option<Stage>,
    input: &Input,
    events: &MediaEvents,
) -> Result<(), MediaError> {
    if let Some(stage) = stage {
        return stage.add(input);
    }
    let mut new = Stage::build(plan, events.clone())?;
    new.add(input)?;
    new.play()?;
    *stage = Some(new);
    Ok(())
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Attach(_) => "Attach",
            Self::Detach(_) => "Detach",
            Self::Stop(_) => "Stop",
        })
    }
}
