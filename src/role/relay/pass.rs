//! A relay inside of a room: what one participant sends goes on to everybody else as it comes, so that it is encoded and
//! sent once. Everybody hears of it as of a filter that changes nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::super::media::{NextPeer, RoleMedia};
use super::{Over, Tracks};
use crate::job::Assignment;
use crate::media::Codec;
use crate::peer::{Latency, Peer, PeerSettings, Receive};
use crate::pipeline::{Description, Settings};
use crate::signalling::ids::ParticipantId;
use crate::signalling::protocol::{Kind, Participant, Sends};

/// A relay that is to end says that it sends nothing any more, and goes on for so long: meanwhile its source sends to the
/// others itself again.
pub const OVERLAP: Duration = Duration::from_secs(2);

/// A relay inside of a room, at work.
pub struct Pass {
    of: ParticipantId,
    /// What the one whose tracks they are sends now.
    given: Sends,
    settings: Settings,
    /// One for all: who comes has to be told before the first picture is there.
    codec: Codec,
    tracks: Tracks,
    to_us: UnboundedSender<Over>,
    over: UnboundedReceiver<Over>,
    stop: CancellationToken,
    /// It was told to end.
    until: Option<Instant>,
}

impl Pass {
    /// A relay that nothing came to yet; `stop` tells it to end, which takes it [`OVERLAP`].
    pub fn start(
        assignment: &Assignment,
        description: &Description,
        of: ParticipantId,
        stop: CancellationToken,
    ) -> Result<Self> {
        let job = &assignment.job;
        let values = description.values(&job.parameters, &job.room)?;
        let settings = description.settings(&values)?;
        let codec = settings.video.codecs.first().copied();
        let codec = codec.context("settings.video.codecs: empty; name the codec to pass on")?;
        let (to_us, over) = unbounded_channel();
        let tracks = Tracks::new(settings.audio.bitrate)?;
        // Meanwhile it goes to its room; its first peer waits for this, and would tell the error.
        tokio::spawn(Peer::warm_up());
        Ok(Self {
            of,
            given: Sends::default(),
            settings,
            codec,
            tracks,
            to_us,
            over,
            stop,
            until: None,
        })
    }
}

#[async_trait]
impl RoleMedia for Pass {
    /// Whose media it passes on.
    fn enhances(&self) -> Option<&ParticipantId> {
        Some(&self.of)
    }

    /// What it has to give now: what is muted at its source is muted here.
    fn sends(&self) -> Sends {
        match self.until {
            Some(_) => Sends::default(),
            None => self.given,
        }
    }

    /// Somebody is in the room, or has changed. A filter of the same source gives back what is to be heard and seen: there
    /// is nothing left for a relay.
    fn met(&mut self, other: &Participant) {
        if other.id == self.of {
            self.given = other.sends;
        }
        if other.kind == Kind::Filter && other.enhances.as_ref() == Some(&self.of) {
            // Whoever waits for it has gone with the job.
            let _ = self.to_us.send(Over::Done);
        }
    }

    /// Takes from the one, sending nothing: nobody hears itself. Gives to everybody else, taking nothing.
    fn peer_settings(&self, next: NextPeer<'_>) -> PeerSettings {
        let is_source = *next.other == self.of;
        let (given, taken) = (self.tracks.clone(), self.tracks.clone());
        PeerSettings {
            name: next.name,
            ice: next.ice,
            sends: Sends {
                audio: !is_source,
                video: !is_source,
            },
            producers: Some(Arc::new(move |codec| given.supply(codec))),
            video_codecs: vec![self.codec],
            receive: match is_source {
                true => Receive::Layers(Arc::new(move |codec, rid| taken.outlet(codec, rid))),
                false => Receive::Nothing,
            },
            latency: Latency::Fixed(self.settings.latency),
            is_outside: false,
        }
    }

    /// Waits until there is nothing to pass on any more.
    async fn over(&mut self) -> Over {
        let until = match self.until {
            Some(until) => until,
            None => tokio::select! {
                over = self.over.recv() => return over.unwrap_or(Over::Done),
                () = self.stop.cancelled() => *self.until.insert(Instant::now() + OVERLAP),
            },
        };
        sleep_until(until).await;
        Over::Done
    }

    /// People have their media from relays; others from each other, as everywhere.
    fn wants_kind(&self, kind: Kind) -> bool {
        kind == Kind::Person
    }
}
