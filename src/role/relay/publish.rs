//! Sessions that publish: an offer to another server by WHIP, what one participant sends, and again when it was lost.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::push::Refused;
use super::retry::{Ended, Retry};
use super::{CONNECT, Events, LOOK, Over, Tracks, gathered};
use crate::job::{Event, PeerState};
use crate::media::{Codec, MediaKind};
use crate::peer::sdp::{Promise, accepted};
use crate::peer::{Latency, Passage, Peer, PeerEvent, PeerSettings, Receive, Supply};
use crate::pipeline::Bitrate;
use crate::signalling::protocol::{Ice, Sends};
use crate::whip::client::{Remote, Session};
use crate::whip::with_candidates;

/// How long after the first frames the rest of what somebody sends may take to come.
const PATIENCE: Duration = Duration::from_secs(2);
/// A server that takes media reports on it every few seconds (RFC 3550, 6.2). One that says nothing for so long is gone.
const SILENT: Duration = Duration::from_secs(15);

/// What comes from the one who is published, on its way. Clones are the same.
#[derive(Clone)]
pub struct Passing {
    tracks: Tracks,
    came: Arc<watch::Sender<Promise>>,
}

impl Passing {
    /// Nothing came yet; `sound` is what its sound takes of a link.
    pub fn new(sound: Bitrate) -> Result<Self> {
        Ok(Self {
            tracks: Tracks::new(sound)?,
            came: Arc::new(watch::Sender::new(Promise::NOTHING)),
        })
    }

    /// Where a peer's frames go.
    pub fn passage(&self) -> Passage {
        let Self { tracks, came } = self.clone();
        Arc::new(move |codec| {
            let outlet = tracks.outlet(codec, None)?;
            came.send_modify(|came| match codec.kind() {
                MediaKind::Audio => came.audio = true,
                MediaKind::Video => came.video = Some(codec),
            });
            Ok(outlet)
        })
    }

    /// How the pictures are coded that came.
    pub fn codec(&self) -> Option<Codec> {
        self.came.borrow().video
    }
}

/// Publishes what one participant sends.
pub struct Publisher {
    pub remote: Remote,
    /// Whose media it is, for people.
    pub of: String,
    /// The video codecs that may be used.
    pub codecs: Vec<Codec>,
    /// Those of them that the other server does not take.
    pub refused: Refused,
    pub passing: Passing,
    /// What the participant says it sends.
    pub sends: watch::Receiver<Sends>,
    pub events: Events,
    pub over: UnboundedSender<Over>,
    pub stop: CancellationToken,
}

impl Publisher {
    /// Publishes until it is stopped.
    pub async fn run(self) {
        let mut retry = Retry::new(self.events.clone(), self.stop.clone());
        let mut came = self.passing.came.subscribe();
        let mut ice = Ice::default();
        loop {
            let offered = tokio::select! {
                offered = settled(&mut came, &self.sends) => offered,
                () = self.stop.cancelled() => return,
            };
            let ended = self.session(offered, &mut came, &mut ice).await;
            match retry.after(ended).await {
                Ok(()) => {}
                Err(Over::Asked) => return,
                Err(over) => {
                    // Whoever waits for it has gone with the job.
                    let _ = self.over.send(over);
                    return;
                }
            }
        }
    }

    /// One session, from the offer to the goodbye. `ice` has the servers that the other one named before, and then those
    /// that it names now: they are of use where a session finds no way without.
    async fn session(
        &self,
        offered: Promise,
        came: &mut watch::Receiver<Promise>,
        ice: &mut Ice,
    ) -> Ended {
        let made = Peer::offer(self.peer_settings(offered, ice.clone())).await;
        let (mut peer, offer, mut events) = match made {
            Ok(made) => made,
            Err(error) => return Ended::before(&error),
        };
        let begun = async {
            let candidates = gathered(&mut events).await?;
            let begun = self
                .remote
                .begin(with_candidates(&offer, &candidates))
                .await;
            anyhow::Ok(begun?)
        };
        let (session, answer) = match begun.await {
            Ok(begun) => begun,
            Err(error) => {
                peer.close().await;
                return self.not_begun(&error, offered);
            }
        };
        *ice = session.ice();
        let accepted = self.accept(&mut peer, &answer, offered).await;
        let ended = match accepted {
            Ok(()) => self.keep(&mut peer, events, offered, came).await,
            Err(ended) => ended,
        };
        peer.close().await;
        Session::end(session).await;
        ended
    }

    fn peer_settings(&self, offered: Promise, ice: Ice) -> PeerSettings {
        let tracks = self.passing.tracks.clone();
        PeerSettings {
            name: "publisher".to_owned(),
            ice,
            sends: Sends {
                audio: offered.audio,
                video: offered.video.is_some(),
            },
            producers: Some(Arc::new(move |codec| {
                let outlet = tracks.outlet(codec, None)?;
                outlet.expect_newcomer();
                Ok(Supply::Outlet(outlet))
            })),
            video_codecs: offered.video.into_iter().collect(),
            receive: Receive::Nothing,
            latency: Latency::Fixed(Duration::ZERO),
            is_outside: true,
        }
    }

    /// The other server did not begin.
    fn not_begun(&self, error: &anyhow::Error, offered: Promise) -> Ended {
        let refuses = error
            .downcast_ref()
            .is_some_and(crate::whip::client::RemoteError::refuses_media);
        match offered.video {
            Some(codec) if refuses => self.refused(codec, &format!("{error:#}")),
            Some(_) | None => Ended::before(error),
        }
    }

    async fn accept(&self, peer: &mut Peer, answer: &str, offered: Promise) -> Result<(), Ended> {
        let taken = accepted(answer).context("the answer");
        let taken = taken.map_err(|error| Ended::before(&error))?;
        let at = self.remote.shown();
        match offered.video {
            Some(codec) if !taken.video => {
                return Err(self.refused(codec, &format!("{at} takes no {codec}")));
            }
            Some(_) | None => {}
        }
        if !taken.audio && !taken.video {
            let message = format!("{at} takes nothing of what it was offered");
            return Err(Ended::Finally(Over::Refused(message)));
        }
        let accepted = peer.accept(answer).await;
        accepted.map_err(|error| Ended::before(&error))
    }

    /// The other server does not take this codec. What goes on in the room is negotiated anew, with those that are left.
    fn refused(&self, codec: Codec, why: &str) -> Ended {
        let mut refused = lock(&self.refused);
        refused.insert(codec);
        let left: Vec<_> = self
            .codecs
            .iter()
            .filter(|one| !refused.contains(one))
            .collect();
        Ended::Finally(match left.first() {
            Some(next) => Over::Lost(format!("{why}; {next} is tried instead of {codec}")),
            None => {
                let all: Vec<_> = self.codecs.iter().map(Codec::to_string).collect();
                Over::Refused(format!("{why}; nothing is left of {}", all.join(", ")))
            }
        })
    }

    /// Sends until something ends it.
    async fn keep(
        &self,
        peer: &mut Peer,
        mut events: UnboundedReceiver<PeerEvent>,
        offered: Promise,
        came: &mut watch::Receiver<Promise>,
    ) -> Ended {
        let at = self.remote.shown();
        let mut look = interval(LOOK);
        let (mut is_connected, mut heard, mut since) = (false, 0, Instant::now());
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ended::Finally(Over::Asked),
                Ok(changed) = came.wait_for(|came| *came != offered) => {
                    drop(changed);
                    return Ended::Lost(format!("{} sends more than before", self.of));
                }
                _ = look.tick() => {
                    if std::mem::replace(&mut heard, peer.heard()) != heard {
                        since = Instant::now();
                    }
                    match since.elapsed() {
                        quiet if is_connected && quiet >= SILENT => {
                            let seconds = SILENT.as_secs();
                            return Ended::Lost(format!("{at}: nothing was heard for {seconds} s"));
                        }
                        quiet if !is_connected && quiet >= CONNECT => {
                            let seconds = CONNECT.as_secs();
                            return Ended::Failed(format!("{at}: no connection within {seconds} s"), Duration::ZERO);
                        }
                        _ => {}
                    }
                }
                event = events.recv() => match event {
                    Some(PeerEvent::State(PeerState::Connected)) if !is_connected => {
                        (is_connected, since) = (true, Instant::now());
                        if let Err(error) = peer.start_sending() {
                            return Ended::before(&error.context("nothing can be sent"));
                        }
                        self.tell(offered);
                    }
                    Some(PeerEvent::State(PeerState::Failed | PeerState::Closed)) | None => {
                        return match is_connected {
                            true => Ended::Lost(format!("{at}: the connection was lost")),
                            false => Ended::Failed(format!("{at}: no way to it was found"), Duration::ZERO),
                        };
                    }
                    Some(PeerEvent::Error(error)) => return Ended::Failed(error, Duration::ZERO),
                    Some(
                        PeerEvent::State(
                            PeerState::New
                            | PeerState::Connecting
                            | PeerState::Connected
                            | PeerState::Disconnected,
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
        }
    }

    fn tell(&self, offered: Promise) {
        let sound = offered.audio.then(|| Codec::Opus.to_string());
        let picture = offered.video.map(|codec| codec.to_string());
        let what: Vec<_> = sound.into_iter().chain(picture).collect();
        let message = format!(
            "{} is published at {} ({})",
            self.of,
            self.remote.shown(),
            what.join(", ")
        );
        // Nobody listens any more once the job has ended.
        let _ = self.events.send(Event::Notice { message });
    }
}

/// What comes: all that the participant says it sends, or what of it has come in time.
async fn settled(came: &mut watch::Receiver<Promise>, sends: &watch::Receiver<Sends>) -> Promise {
    let is_whole = |came: &Promise| {
        let sends = *sends.borrow();
        (came.audio || !sends.audio) && (came.video.is_some() || !sends.video)
    };
    // Its sender lives as long as the one who waits.
    let _ = came.wait_for(|came| *came != Promise::NOTHING).await;
    let _ = timeout(PATIENCE, came.wait_for(is_whole)).await;
    *came.borrow_and_update()
}

fn lock(refused: &Mutex<HashSet<Codec>>) -> MutexGuard<'_, HashSet<Codec>> {
    refused.lock().unwrap_or_else(PoisonError::into_inner)
}
