//! The peers of a call: made, answered, replaced, and what they report.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::super::RoleMedia;
use super::super::other::Other;
use super::Call;
use crate::job::{Event, PeerState};
use crate::peer::generation::{CandidateFate, Side};
use crate::peer::{Candidate, Peer, PeerEvent};
use crate::quality::Counts;
use crate::signalling::ids::{Generation, ParticipantId};
use crate::signalling::protocol::{ClientMessage, Kind};

/// Making a peer takes milliseconds; one that hangs must not hold up the others.
const NEGOTIATION_LIMIT: Duration = Duration::from_secs(10);
/// Characters of a chat message that go into an event.
const SHOWN_TEXT: usize = 200;

impl Call {
    /// Makes the next generation, or asks the one who makes it.
    pub(super) async fn renew(&mut self, id: &ParticipantId, role: &RoleMedia) {
        let Some(other) = self.others.get(id) else {
            return;
        };
        match other.generations.side() {
            Side::Offerer => self.offer(id, role).await,
            Side::Answerer => {
                if let Some(generation) = other.generations.newest() {
                    self.send(ClientMessage::Renew {
                        to: id.clone(),
                        generation,
                    })
                    .await;
                }
            }
        }
    }

    /// Builds the next generation from our side.
    pub(super) async fn offer(&mut self, id: &ParticipantId, role: &RoleMedia) {
        let Some(other) = self.others.get_mut(id) else {
            return;
        };
        if !role.may_take(&other.participant) {
            return;
        }
        let generation = other.generations.begin();
        let settings = role.peer_settings(&other.participant, generation, &self.ice);
        let made = tokio::time::timeout(NEGOTIATION_LIMIT, Peer::offer(settings)).await;
        match made.map_err(anyhow::Error::from).and_then(|made| made) {
            Ok((peer, sdp, from_peer)) => {
                other.peers.insert(generation, peer);
                self.listen(id, generation, from_peer);
                self.send(ClientMessage::Offer {
                    to: id.clone(),
                    generation,
                    sdp,
                })
                .await;
            }
            Err(error) => self.failed(id, generation, &format!("{error:#}")),
        }
    }

    pub(super) async fn on_offer(
        &mut self,
        from: &ParticipantId,
        generation: Generation,
        sdp: &str,
        role: &RoleMedia,
    ) {
        let Some(other) = self.others.get_mut(from) else {
            return;
        };
        let Some(early) = other.generations.on_offer(generation) else {
            return;
        };
        // Not answered: without a peer nothing of it comes here. A later generation is, once it allows that.
        if !role.may_take(&other.participant) {
            return;
        }
        let settings = role.peer_settings(&other.participant, generation, &self.ice);
        let made = tokio::time::timeout(NEGOTIATION_LIMIT, Peer::answer(settings, sdp)).await;
        match made.map_err(anyhow::Error::from).and_then(|made| made) {
            Ok((peer, sdp, from_peer)) => {
                early
                    .iter()
                    .for_each(|candidate| peer.add_candidate(candidate));
                other.peers.insert(generation, peer);
                self.listen(from, generation, from_peer);
                self.send(ClientMessage::Answer {
                    to: from.clone(),
                    generation,
                    sdp,
                })
                .await;
            }
            Err(error) => {
                let is_viewer = other.participant.kind == Kind::Viewer;
                self.error(format!("{from}: {error:#}"));
                // It offers once: told at once, its player hears of it. Others come again by themselves, later.
                if is_viewer {
                    let to = from.clone();
                    self.send(ClientMessage::Renew { to, generation }).await;
                }
            }
        }
    }

    pub(super) async fn on_answer(
        &mut self,
        from: &ParticipantId,
        generation: Generation,
        sdp: &str,
    ) {
        let Some(other) = self.others.get_mut(from) else {
            return;
        };
        if !other.generations.on_answer(generation) {
            return;
        }
        let Some(peer) = other.peers.get_mut(&generation) else {
            return;
        };
        if let Err(error) = peer.accept(sdp).await {
            self.failed(from, generation, &format!("{error:#}"));
        }
    }

    pub(super) fn on_candidate(
        &mut self,
        from: &ParticipantId,
        generation: Generation,
        candidate: Candidate,
    ) {
        let Some(other) = self.others.get_mut(from) else {
            return;
        };
        match other.generations.on_candidate(generation, candidate) {
            CandidateFate::Deliver(candidate) => {
                if let Some(peer) = other.peers.get(&generation) {
                    peer.add_candidate(&candidate);
                }
            }
            CandidateFate::Kept | CandidateFate::Stale => {}
        }
    }

    pub(super) async fn on_peer(
        &mut self,
        id: &ParticipantId,
        generation: Generation,
        event: PeerEvent,
        role: &mut RoleMedia,
    ) {
        let Some(event) = role.take(id, event) else {
            return;
        };
        match event {
            PeerEvent::Candidate(Candidate { candidate, mline }) => {
                self.send(ClientMessage::Candidate {
                    to: id.clone(),
                    generation,
                    candidate,
                    mline,
                })
                .await;
            }
            PeerEvent::State(state) => self.on_state(id, generation, state),
            PeerEvent::Message(text) => {
                let text = text.chars().take(SHOWN_TEXT).collect();
                let _ = self.events.send(Event::Message {
                    participant: id.clone(),
                    text,
                });
            }
            PeerEvent::Measured(counts) => self.on_measured(id, generation, *counts),
            PeerEvent::Error(error) => self.failed(id, generation, &error),
            PeerEvent::ChatOpen | PeerEvent::Track { .. } => {}
        }
    }

    fn on_state(&mut self, id: &ParticipantId, generation: Generation, state: PeerState) {
        let Some(other) = self.others.get_mut(id) else {
            return;
        };
        let Some(peer) = other.peers.get_mut(&generation) else {
            return;
        };
        let _ = self.events.send(Event::Peer {
            participant: id.clone(),
            generation,
            state,
        });
        match state {
            PeerState::Connected => {
                let started = peer.start_sending();
                if let Some((older, peer)) = other.connected(generation) {
                    self.closing.dismiss(&self.events, id, older, peer);
                }
                if let Err(error) = started {
                    self.error(format!("{id}: nothing can be sent: {error:#}"));
                }
            }
            PeerState::Failed => self.failed(
                id,
                generation,
                "the connection failed: no path to the other side carries media",
            ),
            PeerState::New
            | PeerState::Connecting
            | PeerState::Disconnected
            | PeerState::Closed => {}
        }
    }

    /// A peer is of no use: close it, say so, and have another one made a little later.
    fn failed(&mut self, id: &ParticipantId, generation: Generation, error: &str) {
        let Some(other) = self.others.get_mut(id) else {
            return;
        };
        if let Some(peer) = other.failed(generation, Instant::now()) {
            self.closing.dismiss(&self.events, id, generation, peer);
        }
        self.error(format!("peer {generation} with {id}: {error}"));
    }

    pub(super) async fn retry(&mut self, role: &RoleMedia) {
        let now = Instant::now();
        let due = |(id, other): (&ParticipantId, &mut Other)| other.is_due(now).then(|| id.clone());
        let due: Vec<_> = self.others.iter_mut().filter_map(due).collect();
        for id in due {
            let is_taken = |other: &Other| role.may_take(&other.participant);
            if self.others.get(&id).is_some_and(is_taken) {
                self.renew(&id, role).await;
            }
        }
    }

    fn on_measured(&mut self, id: &ParticipantId, generation: Generation, counts: Counts) {
        let other = self.others.get_mut(id);
        let quality = other.and_then(|other| other.measured(generation, counts, Instant::now()));
        if let Some(quality) = quality {
            let _ = self.events.send(Event::Quality {
                participant: id.clone(),
                generation,
                quality,
            });
        }
    }

    fn listen(
        &self,
        id: &ParticipantId,
        generation: Generation,
        mut from_peer: UnboundedReceiver<PeerEvent>,
    ) {
        let (id, to_us) = (id.clone(), self.to_us.clone());
        tokio::spawn(async move {
            while let Some(event) = from_peer.recv().await {
                if to_us.send((id.clone(), generation, event)).is_err() {
                    return;
                }
            }
        });
    }
}
