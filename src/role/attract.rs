//! Attract mode: what a kiosk shows and plays to itself while nobody who sends is in the room.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Events;
use crate::job::{Event, Parameters};
use crate::media::capture::{Capture, Context};
use crate::media::choice::Track;
use crate::media::playback::{Attachment, Playback};
use crate::media::{MediaError, MediaEvent, MediaKind};
use crate::pipeline::Description;
use crate::signalling::ids::ParticipantId;

/// What is to be shown.
#[derive(Debug, Clone)]
struct Wanted {
    /// Nobody else is there to be shown.
    alone: bool,
    /// The kiosk ends.
    over: bool,
    description: Description,
    parameters: Parameters,
}

/// Tells the attract mode what is wanted. Clones tell the same one.
#[derive(Debug, Clone)]
pub struct Attract(Arc<watch::Sender<Wanted>>);

/// The attract mode at work.
pub struct Show {
    handle: Attract,
    task: JoinHandle<()>,
}

impl Show {
    /// Begins; it shows nothing before [`Attract::alone`].
    pub fn start(
        description: &Description,
        parameters: &Parameters,
        context: Context,
        playback: Arc<Playback>,
        events: Events,
    ) -> Self {
        let wanted = Wanted {
            alone: false,
            over: false,
            description: description.clone(),
            parameters: parameters.clone(),
        };
        let (sender, receiver) = watch::channel(wanted);
        let stage = Stage {
            context,
            playback,
            events,
        };
        Self {
            handle: Attract(Arc::new(sender)),
            task: tokio::spawn(stage.work(receiver)),
        }
    }

    /// Where to tell it what is wanted.
    pub fn handle(&self) -> Attract {
        self.handle.clone()
    }

    /// Ends it.
    pub async fn finish(self) {
        self.handle.0.send_modify(|wanted| wanted.over = true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the attract mode did not end well");
        }
    }
}

impl Attract {
    /// Whether nobody else is there to be shown.
    pub fn alone(&self, alone: bool) {
        self.0
            .send_if_modified(|wanted| std::mem::replace(&mut wanted.alone, alone) != alone);
    }

    /// Goes on with another description or other values.
    pub fn change(&self, description: &Description, parameters: &Parameters) {
        self.0.send_modify(|wanted| {
            wanted.description = description.clone();
            wanted.parameters = parameters.clone();
        });
    }
}

struct Stage {
    context: Context,
    playback: Arc<Playback>,
    events: Events,
}

/// Sources that are shown and played now.
struct Shown {
    capture: Capture,
    attachments: Vec<Attachment>,
}

impl Stage {
    async fn work(self, mut wanted: watch::Receiver<Wanted>) {
        loop {
            let now = wanted.borrow_and_update().clone();
            if now.over {
                return;
            }
            let shown = match self.show(&now).await {
                Ok(shown) => shown,
                Err(error) => {
                    // The kiosk is there for calls: it goes on without.
                    let message = format!("nothing is shown while nobody is there: {error}");
                    let fatal = false;
                    let _ = self.events.send(Event::Error { message, fatal });
                    None
                }
            };
            let changed = wanted.changed().await;
            if let Some(Shown {
                capture,
                attachments,
            }) = shown
            {
                drop(attachments);
                capture.stop().await;
            }
            if changed.is_err() {
                return;
            }
        }
    }

    async fn show(&self, wanted: &Wanted) -> Result<Option<Shown>, MediaError> {
        let mut description = wanted.description.clone();
        description.capture = std::mem::take(&mut description.attract);
        description.fallback = None;
        if !self.playback.plays(MediaKind::Video) {
            description.capture.video = None;
        }
        if !self.playback.plays(MediaKind::Audio) {
            description.capture.audio = None;
        }
        let nothing = description.capture.video.is_none() && description.capture.audio.is_none();
        if !wanted.alone || nothing {
            return Ok(None);
        }
        let (to_us, from_media) = tokio::sync::mpsc::unbounded_channel();
        let context = self.context.clone();
        let capture = Capture::start(&description, &wanted.parameters, context, to_us).await?;
        tokio::spawn(tell(from_media, self.events.clone()));
        let ourselves = "attract".parse::<ParticipantId>();
        let mut attachments = Vec::new();
        for kind in [MediaKind::Video, MediaKind::Audio] {
            if let (Some(producer), Ok(ourselves)) = (capture.raw(kind), &ourselves) {
                attachments.push(
                    self.playback
                        .attach(ourselves, kind, Track::Original, &producer),
                );
            }
        }
        Ok(Some(Shown {
            capture,
            attachments,
        }))
    }
}

/// Passes on what the sources tell, as long as they live.
async fn tell(mut from_media: tokio::sync::mpsc::UnboundedReceiver<MediaEvent>, events: Events) {
    while let Some(event) = from_media.recv().await {
        if let Err(error) = super::pass_on(event, &events) {
            let message = format!("nothing is shown while nobody is there: {error}");
            let fatal = false;
            let _ = events.send(Event::Error { message, fatal });
        }
    }
}
