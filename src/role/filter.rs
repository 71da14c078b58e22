//! The filter: takes one participant's tracks, improves them, and gives them to everybody else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use gstreamer_utils::StreamProducer;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Events;
use super::media::{NextPeer, RoleMedia};
use super::over::Over;
use super::reload::Parts;
use crate::filter::report::FilterReport;
use crate::job::{Assignment, Event};
use crate::media::chain::{Chains, Plan};
use crate::media::encoder::Encoders;
use crate::media::encoder::prover::own_program;
use crate::media::encodings::{Encodings, RawOutlets};
use crate::media::fanout::Outlet;
use crate::media::{MediaEvent, MediaKind};
use crate::peer::{Latency, Peer, PeerSettings, Receive, Supply};
use crate::pipeline::{Description, Settings};
use crate::recording::{Because, RecordingError};
use crate::signalling::ids::{ParticipantId, RoomName};
use crate::signalling::protocol::{Kind, Participant, Sends};

/// The length of its packets of sound: as short as browsers like it, since each hop adds its own.
const PACKET: Duration = Duration::from_millis(10);

/// The tracks that a filter of this description improves.
pub fn tracks(description: &Description) -> Sends {
    Sends {
        audio: description.chain.audio.is_some(),
        video: description.chain.video.is_some(),
    }
}

/// A filter at work.
pub struct Filter {
    of: ParticipantId,
    /// The tracks that it improves.
    tracks: Sends,
    /// What the one whose tracks they are sends now.
    given: Sends,
    settings: Settings,
    chains: Chains,
    encodings: Encodings,
    from_media: UnboundedReceiver<MediaEvent>,
    events: Events,
    /// What it did last, for the one whose sound it is.
    report: Option<FilterReport>,
}

impl Filter {
    /// Checks the chain; it begins to run with the first track.
    pub async fn start(
        assignment: &Assignment,
        description: &Description,
        of: ParticipantId,
        events: &Events,
    ) -> Result<Self> {
        let job = &assignment.job;
        let values = description.values(&job.parameters, &job.room)?;
        let mut settings = description.settings(&values)?;
        settings.audio.packet = PACKET;
        let tracks = tracks(description);
        let policy = assignment.encoders.clone();
        let encoders = match tracks.video {
            true => {
                let codecs = &settings.video.codecs;
                Encoders::prove(policy, codecs, &settings, own_program()).await
            }
            false => Encoders::new(policy),
        };
        let outlet = |is_there: bool| is_there.then(Outlet::raw).transpose();
        let outlets = RawOutlets {
            audio: outlet(tracks.audio)?,
            video: outlet(tracks.video)?,
        };
        let (to_us, from_media) = unbounded_channel();
        let (wanted, parameters, room) = (
            description.clone(),
            job.parameters.clone(),
            job.room.clone(),
        );
        let plan = tokio::task::spawn_blocking(move || Plan::new(&wanted, &parameters, &room));
        let chains = Chains::start(
            plan.await??,
            job.room.clone(),
            outlets.clone(),
            to_us.clone(),
        )?;
        let encodings = Encodings::new(outlets, encoders, settings.clone(), to_us)?;
        // Meanwhile the filter goes to its room; its first peer waits for this, and would tell the error.
        tokio::spawn(Peer::warm_up());
        Ok(Self {
            of,
            tracks,
            given: Sends::default(),
            settings,
            chains,
            encodings,
            from_media,
            events: events.clone(),
            report: None,
        })
    }

    /// What takes the values of its description.
    pub fn chains(&self) -> Chains {
        self.chains.clone()
    }
}

#[async_trait]
impl RoleMedia for Filter {
    /// What follows another description.
    fn parts(&self, _: &RoomName) -> Parts {
        Parts {
            chains: Some(self.chains.clone()),
            ..Parts::default()
        }
    }

    /// Whose media it improves.
    fn enhances(&self) -> Option<&ParticipantId> {
        Some(&self.of)
    }

    /// What it has to give now: what is muted at its source is muted here.
    fn sends(&self) -> Sends {
        Sends {
            audio: self.tracks.audio && self.given.audio,
            video: self.tracks.video && self.given.video,
        }
    }

    /// Somebody came or changed: the one whose tracks it improves may be muted.
    fn updated(&mut self, other: &Participant) {
        if other.id == self.of {
            self.given = other.sends;
        }
    }

    /// Takes from the one, sending nothing: nobody hears itself. Gives to everybody else, taking nothing.
    fn peer_settings(&self, next: NextPeer<'_>) -> PeerSettings {
        let is_source = *next.other == self.of;
        let encodings = self.encodings.clone();
        PeerSettings {
            name: next.name,
            ice: next.ice,
            sends: if is_source {
                Sends::default()
            } else {
                self.tracks
            },
            producers: Some(Arc::new(move |_| Ok(Supply::Tiers(encodings.clone())))),
            video_codecs: self.settings.video.codecs.clone(),
            receive: match is_source {
                true => Receive::Only {
                    audio: self.tracks.audio,
                    video: self.tracks.video,
                },
                false => Receive::Nothing,
            },
            latency: Latency::Fixed(self.settings.latency),
            is_outside: false,
        }
    }

    /// A track to improve; it takes the place of the one of an older generation.
    fn track(&mut self, _: &ParticipantId, kind: MediaKind, producer: &StreamProducer) {
        self.chains.track(kind, producer.clone());
    }

    /// What is new for a participant: to the one whose sound it is, what becomes of it.
    fn report_for(&mut self, other: &ParticipantId) -> Option<FilterReport> {
        self.report.take_if(|_| *other == self.of)
    }

    /// Passes notices and reports on until a chain or an encoder fails.
    async fn over(&mut self) -> Over {
        loop {
            match self.from_media.recv().await {
                Some(MediaEvent::Filter(report)) => {
                    self.report = Some(report.clone());
                    let participant = self.of.clone();
                    // Nobody listens any more once the job has ended.
                    let _ = self.events.send(Event::Filter {
                        participant,
                        report,
                    });
                }
                Some(event) => {
                    if let Err(error) = super::pass_on(event, &self.events) {
                        return Over::Broken(error.to_string());
                    }
                }
                // The chains hold the other end as long as the role lives.
                None => std::future::pending().await,
            }
        }
    }

    /// Ends chains and encoders.
    async fn finish(self: Box<Self>, _: Because) -> Result<(), RecordingError> {
        self.chains.stop().await;
        let encodings = self.encodings;
        // The task cannot be cancelled and does not panic.
        let _ = tokio::task::spawn_blocking(move || encodings.stop()).await;
        Ok(())
    }

    fn arrived(&mut self, other: &Participant) {
        self.updated(other);
    }

    fn wants_kind(&self, kind: Kind) -> bool {
        !matches!(kind, Kind::Filter | Kind::Viewer)
    }
}
