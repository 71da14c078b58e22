//! The peers of a call: made, answered, replaced, and what they report.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::super::RoleMedia;
use super::Call;
use crate::job::{Event, PeerState, StallReason};
use crate::peer::generation::{CandidateFate, Side};
use crate::peer::{Candidate, Peer, PeerEvent};
use crate::pipeline::Tier;
use crate::quality::Counts;
use crate::signalling::ids::{Generation, ParticipantId};
use crate::signalling::protocol::{ClientMessage, Kind};

/// Making a peer takes milliseconds; one that hangs must not hold up the others.
const NEGOTIATION_LIMIT: Duration = Duration::from_secs(10);
/// Characters of a chat message that go into an event.
const SHOWN_TEXT: usize = 200;

impl Call {
    /// Makes the next generation, or asks the one who makes it.
    pub(super) async fn renew(&mut self, id: &ParticipantId, role: &dyn RoleMedia) {
        let Some(other) = self.others.get_mut(id) else {
            return;
        };
        match other.generations.side() {
            Side::Offerer => self.offer(id, role).await,
            Side::Answerer => {
                if let Some(generation) = other.generations.newest() {
                    other.renewal.waits(Instant::now(), rand::random());
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
    pub(super) async fn offer(&mut self, id: &ParticipantId, role: &dyn RoleMedia) {
        let Some(other) = self.others.get_mut(id) else {
            return;
        };
        if !role.may_take(&other.participant) {
            return;
        }
        let generation = other.generations.begin();
        other.renewal.begun();
        let ice = other.renewal.servers(self.servers.ice());
        let settings = role.next_peer(&other.participant, generation, ice);
        let made = tokio::time::timeout(NEGOTIATION_LIMIT, Peer::offer(settings)).await;
        match made.map_err(anyhow::Error::from).and_then(|made| made) {
            Ok((peer, sdp, from_peer)) => {
                let gone = other.begin(generation, peer);
                self.dismiss(id, gone);
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
        role: &dyn RoleMedia,
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
        other.renewal.begun();
        let ice = other.renewal.servers(self.servers.ice());
        let settings = role.next_peer(&other.participant, generation, ice);
        let made = tokio::time::timeout(NEGOTIATION_LIMIT, Peer::answer(settings, sdp)).await;
        match made.map_err(anyhow::Error::from).and_then(|made| made) {
            Ok((peer, sdp, from_peer)) => {
                early
                    .iter()
                    .for_each(|candidate| peer.add_candidate(candidate));
                let gone = other.begin(generation, peer);
                self.dismiss(from, gone);
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
                other.refused = Some(generation);
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
        let Some(peer) = other.peer(generation) else {
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
                if let Some(peer) = other.peer(generation) {
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
        role: &mut dyn RoleMedia,
    ) {
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
            PeerEvent::Tier(tier) => self.on_tier(id, generation, tier),
            PeerEvent::Error(error) => self.failed(id, generation, &error),
            PeerEvent::Track { kind, producer } => {
                // Of one who has left meanwhile, nobody would ever take it away again.
                let other = self.others.get_mut(id);
                if other.is_some_and(|other| other.peer(generation).is_some()) {
                    role.track(id, kind, &producer);
                }
            }
            PeerEvent::ChatOpen => {}
        }
    }

    fn on_state(&mut self, id: &ParticipantId, generation: Generation, state: PeerState) {
        let Some(other) = self.others.get_mut(id) else {
            return;
        };
        other.on_state(generation, state, Instant::now());
        let Some(peer) = other.peer(generation) else {
            return;
        };
        let started = match state {
            PeerState::Connected => peer.start_sending(),
            PeerState::New
            | PeerState::Connecting
            | PeerState::Disconnected
            | PeerState::Failed
            | PeerState::Closed => Ok(()),
        };
        let _ = self.events.send(Event::Peer {
            participant: id.clone(),
            generation,
            state,
        });
        if let Err(error) = started {
            self.error(format!("{id}: nothing can be sent: {error:#}"));
        }
    }

    /// What a peer is sent of the picture has changed: the other side is told where that is nothing.
    fn on_tier(&mut self, id: &ParticipantId, generation: Generation, tier: Option<Tier>) {
        let other = self.others.get_mut(id);
        if let Some(peer) = other.and_then(|other| other.peer(generation)) {
            // Players have no channel; a page opens it before a link can be found too weak.
            let _ = peer.tell_paused(tier.is_none());
        }
        let _ = self.events.send(Event::Tier {
            participant: id.clone(),
            generation,
            tier: tier.map(|tier| tier.to_string()),
        });
    }

    /// A peer is of no use: close it and say so. That another one is wanted shows at the next look.
    fn failed(&mut self, id: &ParticipantId, generation: Generation, error: &str) {
        let Some(other) = self.others.get_mut(id) else {
            return;
        };
        let gone = other.take(generation);
        self.dismiss(id, gone.map(|peer| (generation, peer)));
        self.stalled(id, generation, StallReason::Broken);
        self.error(format!("peer {generation} with {id}: {error}"));
    }

    /// The other side asks for another peer.
    pub(super) async fn on_renew(
        &mut self,
        from: &ParticipantId,
        generation: Generation,
        role: &dyn RoleMedia,
    ) {
        let Some(other) = self.others.get_mut(from) else {
            return;
        };
        if other.generations.on_renew(generation) {
            other.renewal.asked(Instant::now(), rand::random());
            self.stalled(from, generation, StallReason::Asked);
            self.look_after(role).await;
        }
    }

    /// Looks whether all peers serve, and makes or asks for those that are wanted.
    pub(super) async fn look_after(&mut self, role: &dyn RoleMedia) {
        let now = Instant::now();
        let mut looks = Vec::new();
        for (id, other) in &mut self.others {
            if role.may_take(&other.participant) {
                let found = other.look(now, rand::random());
                looks.push((id.clone(), found, other.renewal.is_due(now)));
            }
        }
        for (id, found, is_due) in looks {
            for (generation, reason) in found.stalled {
                self.stalled(&id, generation, reason);
            }
            self.dismiss(&id, found.gone);
            if is_due {
                self.renew(&id, role).await;
            }
        }
    }

    /// The host's addresses or routes have changed.
    pub(super) fn on_network_change(&mut self) {
        let now = Instant::now();
        let others = self.others.values_mut();
        others.for_each(|other| other.on_network_change(now));
    }

    fn stalled(&self, id: &ParticipantId, generation: Generation, reason: StallReason) {
        let _ = self.events.send(Event::Stalled {
            participant: id.clone(),
            generation,
            reason,
        });
    }

    /// Closes peers beside the call.
    pub(super) fn dismiss(
        &self,
        id: &ParticipantId,
        peers: impl IntoIterator<Item = (Generation, Peer)>,
    ) {
        for (generation, peer) in peers {
            self.closing.dismiss(&self.events, id, generation, peer);
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
