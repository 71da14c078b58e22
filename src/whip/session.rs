//! One player's stay: its offer answered, its candidates passed on, until either side ends it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::{SessionError, sdp};
use crate::peer::Candidate;
use crate::signalling::Visit;
use crate::signalling::ids::{Generation, ParticipantId};
use crate::signalling::protocol::{ClientMessage, Ice, ServerMessage};

/// For the answer: a page may have to ask a person nothing, so it comes at once or never.
const ANSWER: Duration = Duration::from_secs(10);
/// For the participant's candidates after its answer. What comes later is lost to the player, who cannot be told of
/// it; its own packets still make a pair (RFC 8445, 7.3.1.3).
const CANDIDATES: Duration = Duration::from_millis(500);

/// What the HTTP side wants.
#[derive(Debug)]
pub enum Command {
    /// Pass these candidates on.
    Trickle(Vec<Candidate>),
}

/// What concerns a session.
enum Heard {
    Servers(Ice),
    Answer(String),
    Candidate(Candidate),
    /// And why.
    End(String),
}

/// A viewer in its room.
pub struct Session {
    visit: Visit,
    participant: ParticipantId,
}

impl Session {
    /// Of a viewer that has just come, and who it is to watch.
    pub fn new(visit: Visit, participant: ParticipantId) -> Self {
        Self { visit, participant }
    }

    /// Offers, and gathers what the participant answers into one description.
    pub async fn negotiate(&mut self, offer: String) -> Result<(String, Ice), SessionError> {
        self.visit.say(ClientMessage::Offer {
            to: self.participant.clone(),
            generation: Generation::FIRST,
            sdp: offer,
        });
        let answer = timeout(ANSWER, self.answer()).await;
        let (answer, ice, mut candidates) = answer.unwrap_or_else(|_| {
            let limit = ANSWER.as_secs();
            Err(self.no_answer(format!("nothing came within {limit} s")))
        })?;
        let until = Instant::now() + CANDIDATES;
        while let Ok(Heard::Candidate(candidate)) = timeout_at(until, self.hear()).await {
            if candidate.candidate.is_empty() {
                break;
            }
            candidates.push(candidate);
        }
        Ok((sdp::with_candidates(&answer, &candidates), ice))
    }

    /// Waits for the answer; candidates may come before it.
    async fn answer(&mut self) -> Result<(String, Ice, Vec<Candidate>), SessionError> {
        let (mut servers, mut candidates) = (Ice::default(), Vec::new());
        loop {
            match self.hear().await {
                Heard::Servers(ice) => servers = ice,
                Heard::Candidate(candidate) => candidates.push(candidate),
                Heard::Answer(sdp) => return Ok((sdp, servers, candidates)),
                Heard::End(why) => return Err(self.no_answer(why)),
            }
        }
    }

    /// Passes candidates on until the player or the participant ends the session.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Trickle(candidates)) => self.trickle(candidates),
                    None => return,
                },
                heard = self.hear() => match heard {
                    Heard::Servers(_) | Heard::Candidate(_) | Heard::Answer(_) => {}
                    Heard::End(_) => return,
                },
            }
        }
    }

    /// The next thing that concerns this session.
    async fn hear(&mut self) -> Heard {
        loop {
            let Some(message) = self.visit.hear().await else {
                return Heard::End("the server ended the session".to_owned());
            };
            if let Some(heard) = self.understand(message) {
                return heard;
            }
        }
    }

    /// A participant that asks for another PeerConnection has lost this one, or cannot take the offer; a player can
    /// offer again only in another session.
    fn understand(&self, message: ServerMessage) -> Option<Heard> {
        let is_watched = |id: &ParticipantId| *id == self.participant;
        match message {
            ServerMessage::Welcome { ice, .. } | ServerMessage::IceServers { ice } => {
                Some(Heard::Servers(ice))
            }
            ServerMessage::Answer { from, sdp, .. } => {
                is_watched(&from).then_some(Heard::Answer(sdp))
            }
            ServerMessage::Candidate {
                from,
                candidate,
                mline,
                ..
            } => {
                let candidate = Candidate { candidate, mline };
                is_watched(&from).then_some(Heard::Candidate(candidate))
            }
            ServerMessage::Left { id, .. } => {
                is_watched(&id).then(|| Heard::End("it left the room".to_owned()))
            }
            ServerMessage::Renew { from, .. } => is_watched(&from).then(|| {
                let why = "it cannot take the offer (no codec in common?), or lost the connection";
                Heard::End(why.to_owned())
            }),
            ServerMessage::Error { message, .. } => Some(Heard::End(message)),
            ServerMessage::Resumed { .. }
            | ServerMessage::Ack { .. }
            | ServerMessage::Joined { .. }
            | ServerMessage::Updated { .. }
            | ServerMessage::Offer { .. } => None,
        }
    }

    fn trickle(&self, candidates: Vec<Candidate>) {
        for Candidate { candidate, mline } in candidates {
            self.visit.say(ClientMessage::Candidate {
                to: self.participant.clone(),
                generation: Generation::FIRST,
                candidate,
                mline,
            });
        }
    }

    fn no_answer(&self, why: String) -> SessionError {
        SessionError::NoAnswer {
            id: self.participant.clone(),
            why,
        }
    }
}
