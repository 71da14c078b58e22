//! Which PeerConnection between two participants lives, which is being built, and what belongs to neither.
//!
//! Pure: messages in, decisions out. A generation is never renegotiated (webrtcbin cannot restart ICE);
//! the next one is built beside it and takes over when its media plays.

use serde::{Deserialize, Serialize};

use crate::signalling::ids::Generation;

/// Who offers. Of two participants, the one that joined later does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We joined later.
    Offerer,
    /// The other one did.
    Answerer,
}

/// A trickled candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The attribute's text; empty at the end of candidates.
    pub candidate: String,
    /// Index of its m-line.
    pub mline: u32,
}

/// What to do with a candidate that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CandidateFate {
    /// Give it to the peer of this generation.
    Deliver(Candidate),
    /// Its offer has not come yet; it is kept for [`Generations::on_offer`].
    Kept,
    /// It belongs to a generation that is gone.
    Stale,
}

/// More early candidates than this are a mistake or an attack.
const MAX_EARLY: usize = 64;

/// The generations between us and one other participant.
#[derive(Debug)]
pub struct Generations {
    side: Side,
    newest: Option<Generation>,
    playing: Option<Generation>,
    early: Vec<(Generation, Candidate)>,
}

impl Generations {
    /// Nothing is built yet.
    pub fn new(side: Side) -> Self {
        Self {
            side,
            newest: None,
            playing: None,
            early: Vec::new(),
        }
    }

    /// Who offers.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The one that was begun last.
    pub fn newest(&self) -> Option<Generation> {
        self.newest
    }

    /// The one whose media plays.
    pub fn playing(&self) -> Option<Generation> {
        self.playing
    }

    /// The number for the next offer of ours.
    pub fn begin(&mut self) -> Generation {
        let generation = self.newest.map_or(Generation::FIRST, Generation::next);
        self.newest = Some(generation);
        generation
    }

    /// An offer came. Returns the candidates that came before it, or nothing when the offer is to be ignored:
    /// it is ours to offer, or this generation was seen before.
    pub fn on_offer(&mut self, generation: Generation) -> Option<Vec<Candidate>> {
        if self.side == Side::Offerer || self.newest.is_some_and(|newest| generation <= newest) {
            return None;
        }
        self.newest = Some(generation);
        let (mine, others) = std::mem::take(&mut self.early)
            .into_iter()
            .partition(|(of, _)| *of == generation);
        self.early = others;
        self.early.retain(|(of, _)| *of > generation);
        Some(
            Vec::into_iter(mine)
                .map(|(_, candidate)| candidate)
                .collect(),
        )
    }

    /// Whether an answer of this generation is awaited.
    pub fn on_answer(&self, generation: Generation) -> bool {
        self.side == Side::Offerer && self.newest == Some(generation)
    }

    /// A candidate came.
    pub fn on_candidate(&mut self, generation: Generation, candidate: Candidate) -> CandidateFate {
        let known = self.newest == Some(generation) || self.playing == Some(generation);
        if known {
            return CandidateFate::Deliver(candidate);
        }
        let ahead = self.newest.is_none_or(|newest| generation > newest);
        if self.side == Side::Offerer || !ahead || self.early.len() >= MAX_EARLY {
            return CandidateFate::Stale;
        }
        self.early.push((generation, candidate));
        CandidateFate::Kept
    }

    /// The media of `generation` plays. Returns the older one, which may be dropped now.
    pub fn on_playing(&mut self, generation: Generation) -> Option<Generation> {
        if self.newest != Some(generation) || self.playing == Some(generation) {
            return None;
        }
        self.playing.replace(generation)
    }

    /// The other side asks for a new one in place of `generation`: whether to begin it.
    pub fn on_renew(&self, generation: Generation) -> bool {
        self.side == Side::Offerer && self.newest == Some(generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(text: &str) -> Candidate {
        Candidate {
            candidate: text.to_owned(),
            mline: 0,
        }
    }

    #[test]
    fn candidates_before_their_offer_wait_for_it() {
        let mut generations = Generations::new(Side::Answerer);
        assert_eq!(
            generations.on_candidate(Generation(1), candidate("a")),
            CandidateFate::Kept
        );
        assert_eq!(
            generations.on_candidate(Generation(2), candidate("b")),
            CandidateFate::Kept
        );
        assert_eq!(
            generations.on_offer(Generation(1)),
            Some(vec![candidate("a")])
        );
        assert_eq!(
            generations.on_offer(Generation(2)),
            Some(vec![candidate("b")])
        );
    }

    #[test]
    fn an_old_or_repeated_offer_is_ignored() {
        let mut generations = Generations::new(Side::Answerer);
        assert!(generations.on_offer(Generation(2)).is_some());
        assert!(generations.on_offer(Generation(2)).is_none());
        assert!(generations.on_offer(Generation(1)).is_none());
        assert_eq!(
            generations.on_candidate(Generation(1), candidate("late")),
            CandidateFate::Stale
        );
    }

    #[test]
    fn both_generations_get_their_candidates_until_the_new_one_plays() {
        let mut generations = Generations::new(Side::Offerer);
        let first = generations.begin();
        assert_eq!(generations.on_playing(first), None);
        let second = generations.begin();
        let deliver = CandidateFate::Deliver(candidate("x"));
        assert_eq!(generations.on_candidate(first, candidate("x")), deliver);
        assert_eq!(generations.on_candidate(second, candidate("x")), deliver);
        assert_eq!(generations.on_playing(second), Some(first));
        assert_eq!(
            generations.on_candidate(first, candidate("x")),
            CandidateFate::Stale
        );
    }

    #[test]
    fn only_the_newest_answer_and_renewal_count() {
        let mut generations = Generations::new(Side::Offerer);
        let first = generations.begin();
        let second = generations.begin();
        assert!(!generations.on_answer(first));
        assert!(generations.on_answer(second));
        assert!(!generations.on_renew(first));
        assert!(generations.on_renew(second));
        assert!(
            generations.on_offer(Generation(9)).is_none(),
            "the offerer takes no offers: no glare"
        );
    }
}
