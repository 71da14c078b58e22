//! Another participant, and our peers with it: which of them serve, and when the next is due.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::filter::report::FilterReport;
use crate::job::{PeerState, StallReason};
use crate::media::MediaKind;
use crate::peer::Peer;
use crate::peer::generation::{Generations, Side};
use crate::peer::liveness::{Liveness, Seen, Verdict};
use crate::peer::renewal::Renewal;
use crate::quality::{Counts, Quality};
use crate::signalling::ids::Generation;
use crate::signalling::protocol::Participant;

/// Two generations overlap for so long at least: the other side, too, has to see that the new one is connected.
const OVERLAP: Duration = Duration::from_millis(300);
/// And so long at most, when nothing comes over the new one.
const LONGEST_OVERLAP: Duration = Duration::from_secs(2);

/// Another participant, and our peers with it.
pub struct Other {
    /// As the server describes it.
    pub participant: Participant,
    /// Which PeerConnection counts.
    pub generations: Generations,
    /// When the next one is made.
    pub renewal: Renewal,
    /// The living ones: one, or two while the newer one is being connected.
    peers: BTreeMap<Generation, Living>,
    /// The generation whose offer cannot be taken: asking for another like it is of no use.
    pub refused: Option<Generation>,
    /// Frames told so far, sound and pictures.
    told: (u64, u64),
}

/// One generation.
struct Living {
    peer: Peer,
    liveness: Liveness,
    connected: Option<Instant>,
    stalled: Option<StallReason>,
    /// What was counted last, and when.
    counted: Option<(Instant, Counts)>,
}

/// What a look at the peers of a participant finds.
#[derive(Default)]
pub struct Found {
    /// Those that do not serve any more, and why; each is told once.
    pub stalled: Vec<(Generation, StallReason)>,
    /// Those that are of no use any more.
    pub gone: Vec<(Generation, Peer)>,
}

impl Other {
    /// Somebody with whom we have no peer yet.
    pub fn new(participant: Participant, side: Side) -> Self {
        Self {
            participant,
            generations: Generations::new(side),
            renewal: Renewal::default(),
            peers: BTreeMap::new(),
            refused: None,
            told: (0, 0),
        }
    }

    /// A generation begins. Returns those that are of no use besides it: all but the one that plays.
    pub fn begin(&mut self, generation: Generation, peer: Peer) -> Vec<(Generation, Peer)> {
        let playing = self.generations.playing();
        let old: Vec<_> = self.peers.keys().copied().collect();
        let gone = old
            .into_iter()
            .filter(|old| Some(*old) != playing)
            .filter_map(|old| self.take(old).map(|peer| (old, peer)))
            .collect();
        let living = Living {
            peer,
            liveness: Liveness::new(Instant::now()),
            connected: None,
            stalled: None,
            counted: None,
        };
        self.peers.insert(generation, living);
        gone
    }

    /// The peer of a generation.
    pub fn peer(&mut self, generation: Generation) -> Option<&mut Peer> {
        self.peers
            .get_mut(&generation)
            .map(|living| &mut living.peer)
    }

    /// Takes one out.
    pub fn take(&mut self, generation: Generation) -> Option<Peer> {
        self.peers.remove(&generation).map(|living| living.peer)
    }

    /// Takes all of them out.
    pub fn take_all(&mut self) -> impl Iterator<Item = (Generation, Peer)> + use<> {
        let peers = std::mem::take(&mut self.peers).into_iter();
        peers.map(|(generation, living)| (generation, living.peer))
    }

    /// A connection moved on.
    pub fn on_state(&mut self, generation: Generation, state: PeerState, now: Instant) {
        if let Some(living) = self.peers.get_mut(&generation) {
            living.liveness.on_state(state);
            if state == PeerState::Connected {
                living.connected.get_or_insert(now);
            }
        }
    }

    /// The host's addresses or routes have changed.
    pub fn on_network_change(&mut self, now: Instant) {
        self.renewal.on_network_change(now);
        let peers = self.peers.values_mut();
        peers.for_each(|living| living.liveness.on_network_change());
    }

    /// Looks which peers serve, and whether the next is wanted. `chance` is from 0 to 1.
    pub fn look(&mut self, now: Instant, chance: f64) -> Found {
        let mut found = Found::default();
        let sends = self.participant.sends;
        let expects = sends.audio || sends.video;
        let (mut serves, mut comes) = (false, false);
        // From the newest on: what becomes of an older one is of no interest while a newer one serves.
        for (generation, living) in self.peers.iter_mut().rev() {
            match living.look(expects, now) {
                Verdict::Well | Verdict::Probe => {
                    serves = true;
                    living.stalled = None;
                }
                Verdict::Connecting => comes = true,
                Verdict::Stalled(reason) => {
                    let is_new = living.stalled.replace(reason).is_none();
                    if is_new && !serves {
                        found.stalled.push((*generation, reason));
                    }
                }
            }
        }
        let dead = |living: &Living| living.stalled.is_some_and(is_final);
        let dead: Vec<_> = self
            .peers
            .iter()
            .filter_map(|(generation, living)| dead(living).then_some(*generation))
            .collect();
        let dead = dead.into_iter();
        found
            .gone
            .extend(dead.filter_map(|generation| Some((generation, self.take(generation)?))));
        let newest = self.generations.newest();
        if serves {
            self.renewal.well(now);
        } else if !comes && newest.is_some() && newest != self.refused {
            self.renewal.want(now, chance);
        }
        found.gone.extend(self.replaced(now));
        found
    }

    /// The older peers, once the newest one plays in their place (make before break).
    fn replaced(&mut self, now: Instant) -> Vec<(Generation, Peer)> {
        let Some(newest) = self.generations.newest() else {
            return Vec::new();
        };
        let Some(living) = self.peers.get(&newest) else {
            return Vec::new();
        };
        let Some(connected) = living.connected else {
            return Vec::new();
        };
        let older = || self.peers.range(..newest);
        let plays = [
            (MediaKind::Audio, self.participant.sends.audio),
            (MediaKind::Video, self.participant.sends.video),
        ]
        .into_iter()
        .all(|(kind, sends)| {
            let came = |living: &Living| living.peer.counters().get(kind) > 0;
            !sends || came(living) || !older().any(|(_, living)| came(living))
        });
        let since = now - connected;
        let is_over = (plays && since >= OVERLAP) || since >= LONGEST_OVERLAP;
        if older().next().is_some() && !is_over {
            return Vec::new();
        }
        self.generations.on_playing(newest);
        let older: Vec<_> = older().map(|(generation, _)| *generation).collect();
        let older = older.into_iter();
        older
            .filter_map(|generation| Some((generation, self.take(generation)?)))
            .collect()
    }

    /// Tells the other side what a filter does with its sound.
    pub fn tell(&self, report: &FilterReport) {
        for living in self.peers.values() {
            // A channel that is not open yet: the next report comes soon.
            let _ = living.peer.send_report(report);
        }
    }

    /// Asks the peers for their counters.
    pub fn measure(&mut self) {
        self.peers
            .values_mut()
            .for_each(|living| living.peer.measure());
    }

    /// Counters came: how good the connection was since the last ones.
    pub fn measured(
        &mut self,
        generation: Generation,
        counts: Counts,
        now: Instant,
    ) -> Option<Quality> {
        let living = self.peers.get_mut(&generation)?;
        let buffer = living.peer.latency();
        let before = living.counted.replace((now, counts.clone()));
        let (at, before) = before?;
        let estimate = *living.peer.bandwidth().borrow();
        Some(counts.since(&before, now - at, buffer).with(estimate))
    }

    /// Frames received, if they are to be told: at once when a kind begins, and regularly while they grow.
    pub fn frames_to_tell(&mut self, regular: bool) -> Option<(u64, u64)> {
        let count = |kind| {
            self.peers
                .values()
                .map(|living| living.peer.counters().get(kind))
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

impl Living {
    fn look(&mut self, expects: bool, now: Instant) -> Verdict {
        for (ssrc, reported) in self.peer.reported() {
            self.liveness.on_report(ssrc, reported, now);
        }
        let seen = Seen {
            heard: self.peer.heard(),
            can_probe: self.peer.can_probe(),
            expects,
        };
        let verdict = self.liveness.look(seen, now);
        if verdict == Verdict::Probe {
            self.peer.probe();
        }
        verdict
    }
}

/// Whether a peer with this trouble never serves again. The others heal when their path does, and are kept meanwhile.
fn is_final(reason: StallReason) -> bool {
    match reason {
        StallReason::Failed | StallReason::Closed | StallReason::Timeout | StallReason::Broken => {
            true
        }
        StallReason::Silence
        | StallReason::Network
        | StallReason::Unheard
        | StallReason::Disconnected
        | StallReason::Asked => false,
    }
}
