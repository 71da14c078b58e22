//! The relay: takes what one publisher outside the room sends and passes it on to everybody in it, without transcoding.
//! [`pull`] fetches it from another server; the other way round, [`push`] publishes there what somebody in the room sends.
//! Inside of a large room, [`pass`] passes on what one participant sends.

pub mod pass;
mod publish;
mod pull;
pub mod push;
mod retry;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::media::{NextPeer, RoleMedia};
use super::reload::Parts;
use super::{Events, JobError, Over};
use crate::job::{Assignment, PeerState};
use crate::media::fanout::Outlet;
use crate::media::layers::Layers;
use crate::media::{Codec, MediaKind};
use crate::peer::sdp::Promise;
use crate::peer::simulcast::Rid;
use crate::peer::{Candidate, Latency, Peer, PeerEvent, PeerSettings, Receive, Supply};
use crate::pipeline::{Bitrate, Description, Settings};
use crate::recording::{Because, RecordingError};
use crate::signalling::ids::RoomName;
use crate::signalling::protocol::{Ice, Kind, Sends};
use crate::whip::with_candidates;

/// How long a relay waits for its publisher's offer, which the server sends with the start.
const OFFER: Duration = Duration::from_secs(20);
/// How long candidates are gathered for the answer.
const CANDIDATES: Duration = Duration::from_millis(1500);
/// How long a publisher may take to connect.
const CONNECT: Duration = Duration::from_secs(20);
/// A publisher that sends nothing for so long is gone. A muted one still sends silence and black pictures.
const SILENT: Duration = Duration::from_secs(10);
/// How long the goodbye to another server may take.
const GOODBYE: Duration = Duration::from_secs(3);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A relay at work.
pub struct Relay {
    settings: Settings,
    source: Source,
    /// What the publisher sends, once it was answered.
    promised: watch::Receiver<Option<Promise>>,
    over: UnboundedReceiver<Over>,
    /// Fetches, where nobody publishes.
    fetching: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

/// The publisher's side. Clones are the same.
#[derive(Clone)]
pub struct Source {
    settings: Settings,
    tracks: Tracks,
    promise: watch::Sender<Option<Promise>>,
    candidates: Arc<Mutex<Option<UnboundedSender<Candidate>>>>,
    over: UnboundedSender<Over>,
    /// The job ends.
    stop: CancellationToken,
}

/// Where the publisher's frames leave for everybody, by kind; the picture's codec is known with the answer.
#[derive(Clone)]
struct Tracks {
    audio: Outlet,
    /// What the sound takes of a link.
    sound: Bitrate,
    video: Arc<Mutex<Option<Layers>>>,
}

impl Tracks {
    fn new(sound: Bitrate) -> Result<Self> {
        Ok(Self {
            audio: Outlet::encoded(Codec::Opus)?,
            sound,
            video: Arc::default(),
        })
    }

    /// What a codec's frames are taken from.
    fn supply(&self, codec: Codec) -> Result<Supply> {
        Ok(match codec.kind() {
            MediaKind::Audio => Supply::Outlet(self.audio.clone()),
            MediaKind::Video => Supply::Layers(self.picture(codec)?),
        })
    }

    /// The outlet of a codec; of a picture of which there are several encodings, that of one.
    fn outlet(&self, codec: Codec, rid: Option<&Rid>) -> Result<Outlet> {
        Ok(match codec.kind() {
            MediaKind::Audio => self.audio.clone(),
            MediaKind::Video => self.picture(codec)?.outlet(rid)?,
        })
    }

    /// The first video codec asked for is the only one.
    fn picture(&self, codec: Codec) -> Result<Layers> {
        let mut video = self.video.lock().unwrap_or_else(PoisonError::into_inner);
        match &*video {
            Some(picture) if picture.codec() == codec => Ok(picture.clone()),
            Some(picture) => bail!(
                "{codec} is asked for; the publisher sends {}",
                picture.codec()
            ),
            None => Ok(video.insert(Layers::new(codec, self.sound)?).clone()),
        }
    }
}

impl Relay {
    /// A relay whose publisher has not offered yet; or, where the job names a remote, one that fetches from there.
    pub fn start(
        assignment: &Assignment,
        description: &Description,
        events: &Events,
    ) -> Result<Self> {
        let job = &assignment.job;
        let values = description.values(&job.parameters, &job.room)?;
        let settings = description.settings(&values)?;
        let (promise, promised) = watch::channel(None);
        let (to_us, over) = unbounded_channel();
        let tracks = Tracks::new(settings.audio.bitrate)?;
        // Meanwhile the offer comes; it waits for this, and would tell the error.
        tokio::spawn(Peer::warm_up());
        let source = Source {
            settings: settings.clone(),
            tracks,
            promise,
            candidates: Arc::default(),
            over: to_us,
            stop: CancellationToken::new(),
        };
        let remote = assignment.remote.clone();
        let stop = source.stop.clone();
        let fetch = |remote| tokio::spawn(pull::pull(remote, source.clone(), events.clone()));
        let fetching = remote.map(fetch);
        Ok(Self {
            settings,
            source,
            promised,
            over,
            fetching,
            stop,
        })
    }
}

#[async_trait]
impl RoleMedia for Relay {
    /// What answers the publisher.
    fn parts(&self, _: &RoomName) -> Parts {
        Parts {
            source: Some(self.source.clone()),
            ..Parts::default()
        }
    }

    /// Waits until the publisher was answered: what it sends is known then, and the room can be told.
    ///
    /// # Errors
    /// None came: the server that sent it is gone, or this is a second process after the first one's end.
    async fn ready(&mut self) -> Result<(), JobError> {
        let answered = self.promised.wait_for(Option::is_some);
        if self.fetching.is_some() {
            // The other end lives as long as this relay.
            tokio::select! {
                _ = answered => return Ok(()),
                over = self.over.recv() => return Err(JobError::Hopeless(match over {
                    Some(Over::Refused(why)) => why,
                    Some(_) | None => "there is nothing to fetch".to_owned(),
                })),
            }
        }
        match tokio::time::timeout(OFFER, answered).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(JobError::Hopeless(
                "no publisher's offer came; POST it to /whip/ROOM again".to_owned(),
            )),
        }
    }

    /// What the publisher sends.
    fn sends(&self) -> Sends {
        self.promised
            .borrow()
            .map_or_else(Sends::default, |promise| Sends {
                audio: promise.audio,
                video: promise.video.is_some(),
            })
    }

    /// Gives what comes from the publisher, takes nothing.
    fn peer_settings(&self, next: NextPeer<'_>) -> PeerSettings {
        let tracks = self.source.tracks.clone();
        let video = self.promised.borrow().and_then(|promise| promise.video);
        PeerSettings {
            name: next.name,
            ice: next.ice,
            sends: self.sends(),
            producers: Some(Arc::new(move |codec| tracks.supply(codec))),
            video_codecs: video
                .map_or_else(|| self.settings.video.codecs.clone(), |codec| vec![codec]),
            receive: Receive::Nothing,
            latency: Latency::Fixed(self.settings.latency),
            is_outside: false,
        }
    }

    /// Waits until the publisher is gone.
    async fn over(&mut self) -> Over {
        self.over.recv().await.unwrap_or(Over::Done)
    }

    /// Ends the connection, and says goodbye to the server that it fetched from.
    async fn finish(self: Box<Self>, _: Because) -> Result<(), RecordingError> {
        self.stop.cancel();
        if let Some(fetching) = self.fetching {
            // It does not panic; one that hangs is not waited for.
            let _ = tokio::time::timeout(GOODBYE, fetching).await;
        }
        Ok(())
    }

    /// It takes nothing.
    fn wants_kind(&self, kind: Kind) -> bool {
        kind != Kind::Relay
    }
}

impl Source {
    /// Answers the publisher's offer, once.
    ///
    /// # Errors
    /// There was an offer before, or this one cannot be answered.
    pub async fn receive(&self, offer: &str, ice: Ice) -> Result<String> {
        if self.promise.borrow().is_some() {
            bail!("the relay has its publisher already: one relay for each");
        }
        let tracks = self.tracks.clone();
        let settings = PeerSettings {
            ice,
            receive: Receive::Layers(Arc::new(move |codec, rid| tracks.outlet(codec, rid))),
            ..self.peer_settings("publisher")
        };
        let (peer, answer, mut events) = Peer::answer(settings, offer).await?;
        let promise = Promise::read(offer, &answer).context("the publisher's offer")?;
        let candidates = gathered(&mut events).await?;
        let (to_peer, trickled) = unbounded_channel();
        *self
            .candidates
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(to_peer);
        let (over, stop) = (self.over.clone(), self.stop.clone());
        tokio::spawn(async move {
            let end = keep(peer, events, Some(trickled), stop).await;
            // Whoever waits for it has gone with the job.
            let _ = over.send(end);
        });
        self.promise.send_replace(Some(promise));
        Ok(with_candidates(&answer, &candidates))
    }

    /// A peer that takes what comes into the fan-out, and sends nothing.
    fn peer_settings(&self, name: &str) -> PeerSettings {
        let tracks = self.tracks.clone();
        PeerSettings {
            name: name.to_owned(),
            ice: Ice::default(),
            sends: Sends::default(),
            producers: None,
            video_codecs: self.settings.video.codecs.clone(),
            receive: Receive::Passed(Arc::new(move |codec| tracks.outlet(codec, None))),
            latency: Latency::Passing(self.settings.latency),
            is_outside: true,
        }
    }

    /// Takes candidates of the publisher.
    pub fn trickle(&self, candidates: Vec<Candidate>) {
        let to_peer = self
            .candidates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(to_peer) = &*to_peer {
            // A publisher that is gone needs none.
            candidates
                .into_iter()
                .try_for_each(|one| to_peer.send(one))
                .ok();
        }
    }
}

/// The peer's own candidates, as many as there are in time.
async fn gathered(events: &mut UnboundedReceiver<PeerEvent>) -> Result<Vec<Candidate>> {
    let until = Instant::now() + CANDIDATES;
    let mut candidates = Vec::new();
    while let Ok(Some(event)) = timeout_at(until, events.recv()).await {
        match event {
            PeerEvent::Candidate(candidate) if candidate.candidate.is_empty() => break,
            PeerEvent::Candidate(candidate) => candidates.push(candidate),
            PeerEvent::State(_)
            | PeerEvent::Track { .. }
            | PeerEvent::ChatOpen
            | PeerEvent::Message(_)
            | PeerEvent::Tier(_)
            | PeerEvent::Measured(_) => {}
            PeerEvent::Error(error) => bail!("the publisher's connection: {error}"),
        }
    }
    Ok(candidates)
}

/// Owns the publisher's peer until it is of no use any more.
async fn keep(
    peer: Peer,
    mut events: UnboundedReceiver<PeerEvent>,
    mut trickled: Option<UnboundedReceiver<Candidate>>,
    stop: CancellationToken,
) -> Over {
    let counters = peer.counters();
    let count = || counters.get(MediaKind::Audio) + counters.get(MediaKind::Video);
    let mut look = tokio::time::interval(LOOK);
    let (mut is_connected, mut frames, mut since) = (false, 0, Instant::now());
    let end = loop {
        tokio::select! {
            () = stop.cancelled() => break Over::Asked,
            Some(candidate) = next(&mut trickled) => peer.add_candidate(&candidate),
            _ = look.tick() => {
                if std::mem::replace(&mut frames, count()) != frames {
                    since = Instant::now();
                }
                match since.elapsed() {
                    quiet if is_connected && quiet >= SILENT => break Over::Done,
                    quiet if quiet >= CONNECT => {
                        let limit = CONNECT.as_secs();
                        break Over::Refused(format!("the publisher did not connect within {limit} s"));
                    }
                    _ => {}
                }
            }
            event = events.recv() => match event {
                Some(PeerEvent::State(PeerState::Connected)) => is_connected = true,
                Some(PeerEvent::State(PeerState::Failed | PeerState::Closed)) | None => break Over::Done,
                // A fresh process would have no publisher: nobody tries again.
                Some(PeerEvent::Error(error)) => break Over::Refused(error),
                Some(
                    PeerEvent::State(
                        PeerState::New | PeerState::Connecting | PeerState::Disconnected,
                    )
                    | PeerEvent::Candidate(_)
                    | PeerEvent::Track { .. }
                    | PeerEvent::ChatOpen
                    | PeerEvent::Message(_)
                    | PeerEvent::Tier(_)
                    | PeerEvent::Measured(_),
                ) => {}
            },
        }
    };
    peer.close().await;
    end
}

/// The next candidate of the other side, where it sends them one by one.
async fn next(trickled: &mut Option<UnboundedReceiver<Candidate>>) -> Option<Candidate> {
    trickled.as_mut()?.recv().await
}
