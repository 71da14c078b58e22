//! A relay that publishes: what one participant of the room sends goes to another server by WHIP, without transcoding.
//! To the room it is a recorder: it takes media away, so people see it, and may refuse it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::media::{NextPeer, RoleMedia, is_recorded};
use super::publish::{Passing, Publisher};
use super::{Events, GOODBYE, Over};
use crate::job::{Assignment, Event, Of, Role};
use crate::media::Codec;
use crate::peer::{Latency, Peer, PeerSettings, Receive};
use crate::pipeline::{Description, Settings};
use crate::recording::{Because, End, RecordingError};
use crate::signalling::ids::ParticipantId;
use crate::signalling::protocol::{Kind, Participant, Sends};
use crate::whip::client::Remote;

/// The video codecs that the other server did not take.
pub type Refused = Arc<Mutex<HashSet<Codec>>>;

/// A relay that publishes, at work.
pub struct Push {
    settings: Settings,
    remote: Remote,
    /// The one who is published; absent: whoever is chosen.
    of: Option<ParticipantId>,
    is_missed: bool,
    /// In the order in which they came.
    people: Vec<Participant>,
    current: Option<Publication>,
    refused: Refused,
    publishing: JoinSet<()>,
    events: Events,
    to_us: UnboundedSender<Over>,
    over: UnboundedReceiver<Over>,
}

/// What becomes of the one who is published.
struct Publication {
    of: ParticipantId,
    sends: watch::Sender<Sends>,
    passing: Passing,
    stop: CancellationToken,
}

impl Push {
    /// Whether a relay with this assignment publishes.
    pub fn is_meant(assignment: &Assignment) -> bool {
        let remote = assignment.remote.as_ref();
        remote.is_some_and(Remote::is_published_to)
    }

    /// A relay that publishes nobody yet.
    pub fn start(
        assignment: &Assignment,
        description: &Description,
        events: &Events,
    ) -> Result<Self> {
        let job = &assignment.job;
        let values = description.values(&job.parameters, &job.room)?;
        let settings = description.settings(&values)?;
        let remote = assignment.remote.clone();
        let remote = remote.context("remote: missing: where to publish")?;
        let of = match &job.of {
            Some(Of::One(id)) => Some(id.clone()),
            Some(Of::Everybody) => {
                anyhow::bail!(
                    "of: one participant is published; found `all`: give an id, or leave it out"
                )
            }
            None => None,
        };
        let (to_us, over) = unbounded_channel();
        // Meanwhile it goes to its room; its first peer waits for this, and would tell the error.
        tokio::spawn(Peer::warm_up());
        Ok(Self {
            settings,
            remote,
            of,
            is_missed: false,
            people: Vec::new(),
            current: None,
            refused: Refused::default(),
            publishing: JoinSet::new(),
            events: events.clone(),
            to_us,
            over,
        })
    }

    /// Ends the publication of this one.
    fn end(&mut self, other: &ParticipantId) {
        if let Some(current) = self.current.take_if(|current| current.of == *other) {
            current.stop.cancel();
        }
    }

    fn codecs(&self) -> Vec<Codec> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.settings.video.codecs.iter();
        all.filter(|codec| !refused.contains(codec))
            .copied()
            .collect()
    }

    /// Says once that the one who was named is not there.
    fn miss(&mut self) {
        let Some(of) = &self.of else {
            return;
        };
        let is_there = self.people.iter().any(|one| one.id == *of);
        if is_there || std::mem::replace(&mut self.is_missed, true) {
            return;
        }
        let message = format!("of: nobody in the room has the id {of}; waiting for it");
        let _ = self.events.send(Event::Error {
            message,
            fatal: false,
        });
    }
}

#[async_trait]
impl RoleMedia for Push {
    /// Somebody is in the room, or has changed.
    fn met(&mut self, other: &Participant) {
        if let Some(current) = self.current.as_ref().filter(|one| one.of == other.id) {
            current.sends.send_replace(other.sends);
        }
        match self.people.iter_mut().find(|one| one.id == other.id) {
            Some(known) => *known = other.clone(),
            None => self.people.push(other.clone()),
        }
    }

    /// Somebody has left the room. The one who was named does not come back under this id.
    fn gone(&mut self, other: &ParticipantId) {
        self.end(other);
        self.people.retain(|one| one.id != *other);
        if self.of.as_ref() == Some(other) {
            // Whoever waits for it has gone with the job.
            let _ = self.to_us.send(Over::Done);
        }
    }

    /// Nobody else is there, or the room is out of sight.
    fn alone(&mut self) {
        self.people.clear();
        if let Some(current) = self.current.take() {
            current.stop.cancel();
        }
    }

    /// Chooses whom to publish, where nobody is; told once. A new peer with that one is to be made.
    fn turn_to(&mut self) -> Option<ParticipantId> {
        if self.current.is_some() {
            return None;
        }
        let Some(chosen) = chosen(&self.people, self.of.as_ref()) else {
            self.miss();
            return None;
        };
        let (id, sends) = (chosen.id.clone(), watch::Sender::new(chosen.sends));
        let passing = Passing::new(self.settings.audio.bitrate)
            .inspect_err(|error| {
                let _ = self.to_us.send(Over::Broken(format!("{error:#}")));
            })
            .ok()?;
        let stop = CancellationToken::new();
        let publisher = Publisher {
            remote: self.remote.clone(),
            of: chosen.name.clone().unwrap_or_else(|| id.to_string()),
            codecs: self.settings.video.codecs.clone(),
            refused: self.refused.clone(),
            passing: passing.clone(),
            sends: sends.subscribe(),
            events: self.events.clone(),
            over: self.to_us.clone(),
            stop: stop.clone(),
        };
        while self.publishing.try_join_next().is_some() {}
        self.publishing.spawn(publisher.run());
        self.current = Some(Publication {
            of: id.clone(),
            sends,
            passing,
            stop,
        });
        Some(id)
    }

    /// Takes what the one who is published sends; of others nothing.
    fn peer_settings(&self, next: NextPeer<'_>) -> PeerSettings {
        let current = self.current.as_ref().filter(|one| one.of == *next.other);
        let known = current.and_then(|current| current.passing.codec());
        PeerSettings {
            name: next.name,
            ice: next.ice,
            sends: Sends::default(),
            producers: None,
            video_codecs: known.map_or_else(|| self.codecs(), |codec| vec![codec]),
            receive: current.map_or(Receive::Nothing, |current| {
                Receive::Passed(current.passing.passage())
            }),
            latency: Latency::Fixed(self.settings.latency),
            is_outside: false,
        }
    }

    /// Waits until nobody is to be published any more.
    async fn over(&mut self) -> Over {
        self.over.recv().await.unwrap_or(Over::Done)
    }

    /// Ends the session with the other server, and says goodbye.
    async fn finish(mut self: Box<Self>, _: Because) -> Result<(), RecordingError> {
        self.alone();
        let ended = async { while self.publishing.join_next().await.is_some() {} };
        // One that hangs is not waited for.
        let _ = tokio::time::timeout(GOODBYE, ended).await;
        Ok(())
    }

    /// The media of this one may not be had any more.
    fn left(&mut self, other: &ParticipantId, _: End) {
        self.end(other);
    }

    /// It is seen as what it does: it takes the call away.
    fn kind(&self, _: Role) -> Kind {
        Kind::Recorder
    }

    fn takes_away(&self) -> bool {
        true
    }

    fn wants_kind(&self, kind: Kind) -> bool {
        is_recorded(kind)
    }

    fn may_take(&self, other: &Participant) -> bool {
        other.recordable
    }
}

/// The one who was named; else the first kiosk that sends, else the first one who does: as a player gets.
fn chosen<'a>(people: &'a [Participant], of: Option<&ParticipantId>) -> Option<&'a Participant> {
    let can_be = |one: &&Participant| one.recordable && (one.sends.audio || one.sends.video);
    let mut able = people.iter().filter(can_be);
    if let Some(of) = of {
        return able.find(|one| one.id == *of);
    }
    let any = |one: &&Participant| match one.kind {
        Kind::Person | Kind::Kiosk | Kind::Relay => true,
        Kind::Recorder | Kind::Filter | Kind::Viewer => false,
    };
    let kiosk = able.clone().find(|one| one.kind == Kind::Kiosk);
    kiosk.or_else(|| able.find(any))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(id: &str, kind: Kind, is_sending: bool) -> Participant {
        Participant {
            id: id.parse().unwrap(),
            kind,
            name: None,
            identity: None,
            sends: Sends {
                audio: is_sending,
                video: false,
            },
            recording: false,
            recordable: true,
            enhances: None,
            away: false,
        }
    }

    #[test]
    fn a_kiosk_that_sends_is_published_else_who_does_and_nobody_who_refuses() {
        let mut people = vec![
            participant("writer", Kind::Recorder, true),
            participant("quiet", Kind::Person, false),
            participant("ada", Kind::Person, true),
            participant("desk", Kind::Kiosk, true),
            participant("filter", Kind::Filter, true),
        ];
        let id = |people: &[Participant], of: Option<&str>| {
            let of = of.map(|of| of.parse().unwrap());
            chosen(people, of.as_ref()).map(|one| one.id.to_string())
        };
        assert_eq!(id(&people, None).as_deref(), Some("desk"));
        assert_eq!(id(&people, Some("filter")).as_deref(), Some("filter"));
        assert_eq!(id(&people, Some("quiet")), None);
        people[3].recordable = false;
        assert_eq!(id(&people, None).as_deref(), Some("ada"));
        assert_eq!(id(&people, Some("desk")), None);
    }
}
