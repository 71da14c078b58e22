//! Who takes encoded frames, how good their links are, and what follows for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::watch;

use super::policy::{Level, Link, Plan, Policy, ViewerId};
use super::sound::{Sound, SoundPolicy, Way};
use super::switch::WeakSwitch;
use crate::media::Codec;
use crate::media::fanout::Outlet;
use crate::peer::bandwidth::Estimate;
use crate::pipeline::{Bitrate, Settings, Tier, VideoSettings};

/// What is known of a link, newest first.
pub type Estimates = watch::Receiver<Option<Estimate>>;
/// Told what a viewer gets from now on; `None` is no picture.
pub type Tell = Box<dyn Fn(Option<Tier>) + Send>;

/// A peer that takes sound; it is one as long as this lives.
#[derive(Debug)]
pub struct Listening(#[expect(dead_code, reason = "held for its end")] Arc<()>);

/// All of them.
pub struct Viewers {
    viewers: BTreeMap<ViewerId, Viewer>,
    listeners: Vec<(Weak<()>, Estimates)>,
    policies: BTreeMap<Codec, Policy>,
    video: VideoSettings,
    sound: SoundPolicy,
    sound_now: Bitrate,
    last: u64,
}

struct Viewer {
    codec: Codec,
    switch: WeakSwitch,
    estimates: Estimates,
    level: Level,
    tell: Tell,
}

/// What follows from a look.
pub struct Orders {
    /// Who goes to another level.
    pub turns: Vec<(ViewerId, Codec, Level)>,
    /// What encoders aim at.
    pub rates: Vec<(Codec, usize, Bitrate)>,
    /// How sound is encoded.
    pub sound: Sound,
    /// The encodings that somebody takes.
    pub used: BTreeSet<(Codec, usize)>,
}

impl std::fmt::Debug for Viewers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Viewers")
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}

impl Viewers {
    /// Nobody yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            viewers: BTreeMap::new(),
            listeners: Vec::new(),
            policies: BTreeMap::new(),
            video: settings.video.clone(),
            sound: SoundPolicy::new(settings.audio.bitrate),
            sound_now: settings.audio.bitrate,
            last: 0,
        }
    }

    /// Somebody who gets the best tier, until its link is known.
    pub fn join(&mut self, codec: Codec, switch: WeakSwitch, estimates: Estimates, tell: Tell) {
        self.last += 1;
        let id = ViewerId(self.last);
        let video = &self.video;
        let policy = self
            .policies
            .entry(codec)
            .or_insert_with(|| Policy::new(video));
        policy.join(id);
        tell(self.video.tiers().first().copied());
        let viewer = Viewer {
            codec,
            switch,
            estimates,
            level: Level::Tier(0),
            tell,
        };
        self.viewers.insert(id, viewer);
    }

    /// Somebody who hears.
    pub fn listen(&mut self, estimates: Estimates) -> Listening {
        let token = Arc::new(());
        self.listeners.push((Arc::downgrade(&token), estimates));
        Listening(token)
    }

    /// Goes on with other settings.
    pub fn change(&mut self, settings: &Settings) {
        self.video = settings.video.clone();
        for policy in self.policies.values_mut() {
            policy.change(&self.video);
        }
        if settings.audio.bitrate != self.sound.wanted() {
            self.sound = SoundPolicy::new(settings.audio.bitrate);
        }
    }

    /// Decides; those who are gone are forgotten.
    pub fn look(&mut self, now: Instant) -> Orders {
        self.forget();
        let listeners = self.listeners.iter().filter_map(|(_, estimates)| {
            let estimate = (*estimates.borrow())?;
            Some(Way {
                carries: estimate.bitrate,
                loss: estimate.loss,
            })
        });
        let sound = self.sound.look(listeners, now);
        self.sound_now = sound.bitrate;
        let links: BTreeMap<ViewerId, Link> = self
            .viewers
            .iter()
            .map(|(id, viewer)| (*id, viewer.link(self.sound_now)))
            .collect();
        let mut orders = Orders {
            turns: Vec::new(),
            rates: Vec::new(),
            sound,
            used: BTreeSet::new(),
        };
        for (codec, policy) in &mut self.policies {
            let Plan { levels, rates } = policy.look(&links, now);
            for (id, level) in levels {
                let Some(viewer) = self.viewers.get(&id) else {
                    continue;
                };
                if let Level::Tier(index) = level {
                    orders.used.insert((*codec, index));
                }
                if viewer.level != level {
                    orders.turns.push((id, *codec, level));
                }
            }
            for (index, rate) in rates.into_iter().enumerate() {
                orders.rates.extend(rate.map(|rate| (*codec, index, rate)));
            }
        }
        orders
    }

    /// A viewer goes on with a tier's frames.
    pub fn turn(&mut self, id: ViewerId, index: usize, outlet: &Outlet) {
        let tier = self.video.tiers().get(index).copied();
        if let Some(viewer) = self.viewers.get_mut(&id) {
            viewer.level = Level::Tier(index);
            viewer.switch.turn_to(outlet);
            (viewer.tell)(tier);
        }
    }

    /// A viewer gets no picture any more.
    pub fn pause(&mut self, id: ViewerId) {
        if let Some(viewer) = self.viewers.get_mut(&id) {
            viewer.level = Level::Paused;
            viewer.switch.close();
            (viewer.tell)(None);
        }
    }

    fn forget(&mut self) {
        let policies = &mut self.policies;
        self.viewers.retain(|id, viewer| {
            let is_there = viewer.switch.is_alive();
            if !is_there && let Some(policy) = policies.get_mut(&viewer.codec) {
                policy.leave(*id);
            }
            is_there
        });
        self.listeners.retain(|(token, _)| token.strong_count() > 0);
    }
}

impl Viewer {
    fn link(&self, sound: Bitrate) -> Link {
        link(&self.estimates, self.switch.was_blocked(), sound)
    }
}

/// What a viewer's link has left for the picture beside the sound.
pub fn link(estimates: &Estimates, is_blocked: bool, sound: Bitrate) -> Link {
    let Some(estimate) = *estimates.borrow() else {
        return Link {
            is_blocked,
            ..Link::default()
        };
    };
    Link {
        left: Some(estimate.left_for_video(sound)),
        loss: estimate.loss,
        round_trip: estimate.round_trip,
        is_application_limited: estimate.is_application_limited,
        is_blocked,
    }
}
