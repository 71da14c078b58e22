//! The kiosk: gives everybody its camera and microphone, shows and plays what they send.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use gstreamer_utils::StreamProducer;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Events;
use super::attract::Show;
use super::in_place::InPlace;
use super::media::{NextPeer, RoleMedia};
use super::over::Over;
use super::reload::Parts;
use crate::filter::report::FilterReport;
use crate::job::{Assignment, Event};
use crate::media::capture::{Capture, Context};
use crate::media::choice::Track;
use crate::media::encoder::Encoders;
use crate::media::encoder::prover::own_program;
use crate::media::playback::{Attachment, Playback};
use crate::media::speaker::Speech;
use crate::media::{MediaEvent, MediaKind};
use crate::peer::{Latency, Peer, PeerSettings, Receive, Supply};
use crate::pipeline::Description;
use crate::recording::{Because, End, RecordingError};
use crate::signalling::ids::{ParticipantId, RoomName};
use crate::signalling::protocol::{Kind, Participant, Sends};

/// The encoders of this machine, the ones that this job may need proven.
async fn encoders(assignment: &Assignment, description: &Description) -> Result<Encoders> {
    let job = &assignment.job;
    let values = description.values(&job.parameters, &job.room)?;
    let settings = description.settings(&values)?;
    let policy = assignment.encoders.clone();
    let codecs = &settings.video.codecs;
    Ok(Encoders::prove(policy, codecs, &settings, own_program()).await)
}

/// A kiosk at work.
pub struct Kiosk {
    capture: Capture,
    playback: Arc<Playback>,
    show: Show,
    shown: HashMap<(ParticipantId, MediaKind), Attachment>,
    /// Filters, and whose media they give back.
    filters: HashMap<ParticipantId, ParticipantId>,
    from_media: UnboundedReceiver<MediaEvent>,
    events: Events,
    /// Who spoke when it was told last.
    speech: Speech,
    /// Noise suppression of its own microphone.
    in_place: InPlace,
    /// As whom it is in the room.
    me: Option<ParticipantId>,
}

impl Kiosk {
    /// Opens the devices, or what stands in for them.
    pub async fn start(
        assignment: &Assignment,
        description: &Description,
        events: &Events,
    ) -> Result<Self> {
        let job = &assignment.job;
        let context = Context {
            room: job.room.clone(),
            encoders: encoders(assignment, description).await?,
        };
        let (to_us, from_media) = unbounded_channel();
        let (capture, playback) = tokio::try_join!(
            Capture::start(description, &job.parameters, context.clone(), to_us.clone()),
            Playback::start(description, &job.parameters, context.clone(), to_us.clone()),
        )?;
        let playback = Arc::new(playback);
        let (beside, tell) = (Arc::clone(&playback), events.clone());
        let show = Show::start(description, &job.parameters, context, beside, tell);
        show.handle().alone(true);
        let kiosk = Self {
            capture,
            playback,
            show,
            shown: HashMap::new(),
            filters: HashMap::new(),
            from_media,
            events: events.clone(),
            speech: Speech::default(),
            in_place: InPlace::default(),
            me: None,
        };
        // Meanwhile the kiosk goes to its room; its first peer waits for this, and would tell the error.
        tokio::spawn(Peer::warm_up());
        Ok(kiosk)
    }

    /// Tells what is done to its own sound.
    fn tell_filter(&self, report: FilterReport) {
        let Some(participant) = self.me.clone() else {
            return;
        };
        // Nobody listens any more once the job has ended.
        let _ = self.events.send(Event::Filter {
            participant,
            report,
        });
    }

    /// Tells who speaks; what a kiosk plays to itself is nobody.
    fn hear(&mut self, speech: Speech) {
        let speech = match self.shown.is_empty() {
            true => Speech::default(),
            false => speech,
        };
        if speech != self.speech {
            self.speech = speech.clone();
            // Nobody listens any more once the job has ended.
            let _ = self.events.send(Event::Speech(speech));
        }
    }
}

#[async_trait]
impl RoleMedia for Kiosk {
    /// What follows another description.
    fn parts(&self, _: &RoomName) -> Parts {
        Parts {
            capture: Some(self.capture.clone()),
            playback: Some(Arc::clone(&self.playback)),
            attract: Some(self.show.handle()),
            ..Parts::default()
        }
    }

    /// How many frames were captured; the devices stay open all the time.
    fn captured(&self) -> Option<u64> {
        self.capture.frames()
    }

    /// What there is to send.
    fn sends(&self) -> Sends {
        self.capture.sends()
    }

    /// Sends what is captured, decodes what can be shown or played.
    fn peer_settings(&self, next: NextPeer<'_>) -> PeerSettings {
        let settings = self.capture.settings();
        let encodings = self.capture.encodings();
        let sends = self.capture.sends();
        PeerSettings {
            name: next.name,
            ice: next.ice,
            sends,
            video_codecs: match sends.video {
                true => encodings.codecs(),
                false => settings.video.codecs.clone(),
            },
            producers: Some(Arc::new(move |_| Ok(Supply::Tiers(encodings.clone())))),
            receive: Receive::Decoded {
                audio: self.playback.plays(MediaKind::Audio),
                video: self.playback.plays(MediaKind::Video),
            },
            latency: Latency::Fixed(settings.latency),
            is_outside: false,
        }
    }

    /// It is in its room.
    fn entered(&mut self, me: &ParticipantId) {
        self.me = Some(me.clone());
    }

    /// A participant came.
    fn arrived(&mut self, other: &Participant) {
        if let Some(source) = &other.enhances {
            self.filters.insert(other.id.clone(), source.clone());
        }
    }

    /// A participant's track arrives; it takes the place of the one of an older generation.
    fn track(&mut self, from: &ParticipantId, kind: MediaKind, producer: &StreamProducer) {
        let (whose, track) = match self.filters.get(from) {
            Some(source) => (source, Track::Enhanced),
            None => (from, Track::Original),
        };
        let attachment = self.playback.attach(whose, kind, track, producer);
        self.shown.insert((from.clone(), kind), attachment);
        self.show.handle().alone(false);
    }

    /// A participant is gone.
    fn left(&mut self, other: &ParticipantId, _: End) {
        self.shown.retain(|(id, _), _| id != other);
        self.filters.remove(other);
        self.show.handle().alone(self.shown.is_empty());
    }

    /// Nobody is there: the devices stay open, the encoders rest.
    fn alone(&mut self) {
        self.capture.rest();
    }

    /// Passes on what is told until capture or playback fails.
    async fn over(&mut self) -> Over {
        loop {
            let event = tokio::select! {
                event = self.from_media.recv() => event,
                report = self.in_place.next() => Some(MediaEvent::Filter(report)),
            };
            match event {
                Some(MediaEvent::Filter(report)) => self.tell_filter(report),
                Some(MediaEvent::Speech(speech)) => self.hear(speech),
                Some(event) => {
                    if let Err(error) = super::pass_on(event, &self.events) {
                        return Over::Broken(error.to_string());
                    }
                }
                // Capture and playback hold the other end as long as the role lives.
                None => std::future::pending().await,
            }
        }
    }

    /// Frees the devices.
    async fn finish(mut self: Box<Self>, _: Because) -> Result<(), RecordingError> {
        self.shown.clear();
        self.show.finish().await;
        self.playback.stop().await;
        self.capture.stop().await;
        Ok(())
    }

    /// It starts with its machine, maybe before that has the time of day by which a certificate is valid.
    fn gives_up(&self) -> bool {
        false
    }

    fn wants_kind(&self, _: Kind) -> bool {
        true
    }
}
