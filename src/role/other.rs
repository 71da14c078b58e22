//! Another participant, and our peers with it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::media::MediaKind;
use crate::peer::Peer;
use crate::peer::generation::{Generations, Side};
use crate::quality::{Counts, Quality};
use crate::signalling::ids::Generation;
use crate::signalling::protocol::Participant;

/// The first wait before a failed peer is replaced; doubled each time, up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Another participant, and our peers with it.
pub struct Other {
    /// As the server describes it.
    pub participant: Participant,
    /// Which PeerConnection counts.
    pub generations: Generations,
    /// The living ones: one, or two while the newer one is being connected.
    pub peers: BTreeMap<Generation, Peer>,
    /// Frames told so far, sound and pictures.
    told: (u64, u64),
    /// What each peer counted last, and when.
    counted: BTreeMap<Generation, (Instant, Counts)>,
    failures: u32,
    retry_at: Option<Instant>,
}

impl Other {
    /// Somebody with whom we have no peer yet.
    pub fn new(participant: Participant, side: Side) -> Self {
        Self {
            participant,
            generations: Generations::new(side),
            peers: BTreeMap::new(),
            told: (0, 0),
            counted: BTreeMap::new(),
            failures: 0,
            retry_at: None,
        }
    }

    /// A generation is connected. Returns the older peer, which it replaces (make before break).
    pub fn connected(&mut self, generation: Generation) -> Option<(Generation, Peer)> {
        self.failures = 0;
        let older = self.generations.on_playing(generation)?;
        self.peers.remove_entry(&older)
    }

    /// A generation is of no use: takes it out, and plans another one a little later.
    pub fn failed(&mut self, generation: Generation, now: Instant) -> Option<Peer> {
        let wait = (FIRST_RETRY * 2u32.saturating_pow(self.failures)).min(LONGEST_RETRY);
        self.failures = self.failures.saturating_add(1).min(16);
        self.retry_at = Some(now + wait);
        self.peers.remove(&generation)
    }

    /// Whether it is time for another try; says so once.
    pub fn is_due(&mut self, now: Instant) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }

    /// Asks the peers for their counters.
    pub fn measure(&self) {
        self.peers.values().for_each(Peer::measure);
    }

    /// Counters came: how good the connection was since the last ones.
    pub fn measured(
        &mut self,
        generation: Generation,
        counts: Counts,
        now: Instant,
    ) -> Option<Quality> {
        self.counted
            .retain(|generation, _| self.peers.contains_key(generation));
        let buffer = self.peers.get(&generation)?.latency();
        let before = self.counted.insert(generation, (now, counts.clone()));
        let (at, before) = before?;
        Some(counts.since(&before, now - at, buffer))
    }

    /// Frames received, if they are to be told: at once when a kind begins, and regularly while they grow.
    pub fn frames_to_tell(&mut self, regular: bool) -> Option<(u64, u64)> {
        let count = |kind| {
            self.peers
                .values()
                .map(|peer| peer.counters().get(kind))
                .sum::<u64>()
        };
        let now = (count(MediaKind::Audio), count(MediaKind::Video));
        let began = (self.told.0 == 0 && now.0 > 0) || (self.told.1 == 0 && now.1 > 0);
        let is_told = began || (regular && self.told != now);
        is_told.then(|| {
            self.told = now;
            now
        })
    }
}
