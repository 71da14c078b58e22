//! One picture in the encodings that its sender makes itself (simulcast), and who takes which: the largest that a viewer's
//! link carries.
//!
//! What a layer is, its frames tell ([`meter`]); who gets which is decided as of tiers ([`super::tiers::policy`]). A picture
//! of which there is one encoding is a single layer, which everybody gets.

mod ladder;
mod meter;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use gstreamer as gst;

use super::fanout::{Outlet, Taking};
use super::inlet::Inlet;
use super::tiers::policy::{Level, Policy, ViewerId};
use super::tiers::switch::{Switch, WeakSwitch};
use super::tiers::viewers::{Estimates, Tell, link};
use super::{Codec, MediaError};
use crate::peer::simulcast::Rid;
use crate::pipeline::Bitrate;
use ladder::{Ladder, Rung};
use meter::Meter;

/// How often layers and viewers are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The layers of a picture. Clones are the same.
#[derive(Debug, Clone)]
pub struct Layers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    codec: Codec,
    /// What the sound takes of a link.
    sound: Bitrate,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By the sender's names; without one, all there is of the picture.
    layers: BTreeMap<Option<Rid>, Layer>,
    ladder: Ladder,
    policy: Policy,
    viewers: BTreeMap<ViewerId, Viewer>,
    last: u64,
    is_watched: bool,
}

#[derive(Debug)]
struct Layer {
    outlet: Outlet,
    meter: Arc<Mutex<Meter>>,
    _taking: Taking,
}

struct Viewer {
    switch: WeakSwitch,
    estimates: Estimates,
    tell: Tell,
    told: Option<Option<Told>>,
}

/// What a viewer was told last.
type Told = (Option<Rid>, u32, u32);

impl std::fmt::Debug for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Viewer")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

/// What is to be done for a viewer, once no lock is held.
struct Turn {
    switch: WeakSwitch,
    /// None is no picture.
    to: Option<Outlet>,
}

impl Layers {
    /// A picture of which nothing came yet; `sound` is what goes over the same links first.
    ///
    /// # Errors
    /// GStreamer has none of what it needs.
    pub fn new(codec: Codec, sound: Bitrate) -> Result<Self, MediaError> {
        let state = State {
            layers: BTreeMap::from([(None, Layer::new(codec)?)]),
            ladder: Ladder::default(),
            policy: Policy::given(&[]),
            viewers: BTreeMap::new(),
            last: 0,
            is_watched: false,
        };
        Ok(Self(Arc::new(Shared {
            codec,
            sound,
            state: Mutex::new(state),
        })))
    }

    /// How it is coded.
    pub fn codec(&self) -> Codec {
        self.0.codec
    }

    /// Where the frames of a layer go; without a name, of all there is.
    ///
    /// # Errors
    /// GStreamer has none of what it needs, or no thread can be made.
    pub fn outlet(&self, rid: Option<&Rid>) -> Result<Outlet, MediaError> {
        let mut state = self.0.state();
        if rid.is_some() && !std::mem::replace(&mut state.is_watched, true) {
            let watched = Arc::downgrade(&self.0);
            std::thread::Builder::new()
                .name("layers".to_owned())
                .spawn(move || watch(&watched))
                .map_err(|error| MediaError::GStreamer {
                    doing: "watch the layers of a picture",
                    reason: error.to_string(),
                })?;
        }
        let layer = match state.layers.entry(rid.cloned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Layer::new(self.0.codec)?),
        };
        Ok(layer.outlet.clone())
    }

    /// Sends a viewer the layer that its link carries, through this inlet, until the switch is dropped: the best one first.
    /// Where there is one only, nothing is told.
    pub fn view(&self, inlet: &Inlet, estimates: Estimates, tell: Tell) -> Switch {
        let switch = Switch::new(inlet);
        let mut state = self.0.state();
        state.forget();
        state.last += 1;
        let id = ViewerId(state.last);
        state.policy.join(id);
        let viewer = Viewer {
            switch: switch.downgrade(),
            estimates,
            tell,
            told: None,
        };
        state.viewers.insert(id, viewer);
        let turns = state.turns(&BTreeMap::from([(id, Level::Tier(0))]));
        drop(state);
        act(turns);
        switch
    }
}

impl Layer {
    fn new(codec: Codec) -> Result<Self, MediaError> {
        let outlet = Outlet::encoded(codec)?;
        let meter = Arc::new(Mutex::new(Meter::default()));
        let measured = Arc::clone(&meter);
        let taking = outlet.take(move |frame, caps| {
            let mut meter = measured.lock().unwrap_or_else(PoisonError::into_inner);
            meter.on_frame(frame.size(), size(caps), Instant::now());
        });
        Ok(Self {
            outlet,
            meter,
            _taking: taking,
        })
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, now: Instant) {
        let mut state = self.state();
        state.forget();
        state.measure(now);
        let links = state.viewers.iter().map(|(id, viewer)| {
            let is_blocked = viewer.switch.was_blocked();
            (*id, link(&viewer.estimates, is_blocked, self.sound))
        });
        let links = links.collect();
        let levels = state.policy.look(&links, now).levels;
        let turns = state.turns(&levels);
        drop(state);
        act(turns);
    }
}

impl State {
    /// Viewers that are gone.
    fn forget(&mut self) {
        let policy = &mut self.policy;
        self.viewers.retain(|id, viewer| {
            let is_there = viewer.switch.is_alive();
            if !is_there {
                policy.leave(*id);
            }
            is_there
        });
    }

    fn measure(&mut self, now: Instant) {
        let newest = self
            .layers
            .values()
            .filter_map(|layer| layer.meter().last());
        let Some(newest) = newest.max() else {
            return;
        };
        let rungs = self.layers.iter().filter_map(|(rid, layer)| {
            let meter = layer.meter();
            let (tier, comes) = (meter.tier(now)?, meter.comes(newest));
            Some(Rung {
                rid: rid.clone(),
                tier,
                comes,
                seen: meter.last()?,
            })
        });
        let rungs = rungs.collect();
        if self.ladder.take(rungs, newest) {
            self.policy.change_given(&self.ladder.rates());
            tracing::debug!(layers = %self.ladder, "the picture's layers");
        }
    }

    /// What viewers are to get; a turn to what it has already changes nothing.
    fn turns(&mut self, levels: &BTreeMap<ViewerId, Level>) -> Vec<Turn> {
        let Self {
            layers,
            ladder,
            viewers,
            ..
        } = self;
        let mut turns = Vec::new();
        for (id, level) in levels {
            let Some(viewer) = viewers.get_mut(id) else {
                continue;
            };
            let (index, is_paused) = match level {
                Level::Tier(index) => (*index, false),
                Level::Paused => (0, ladder.is_choice()),
            };
            let rung = ladder.at(index).filter(|_| !is_paused);
            if ladder.is_choice() || viewer.told == Some(None) {
                viewer.tell(rung);
            }
            // Before the first frames nobody knows which layers there are.
            let key = rung.and_then(|rung| rung.rid.clone());
            let layer = layers.get(&key).filter(|_| !is_paused);
            let to = layer.map(|layer| layer.outlet.clone());
            turns.push(Turn {
                switch: viewer.switch.clone(),
                to,
            });
        }
        turns
    }
}

impl Viewer {
    /// Tells another layer or size, and whether there is a picture.
    fn tell(&mut self, rung: Option<&Rung>) {
        let told = rung.map(|rung| (rung.rid.clone(), rung.tier.width, rung.tier.height));
        if self.told.as_ref() != Some(&told) {
            self.told = Some(told);
            (self.tell)(rung.map(|rung| rung.tier));
        }
    }
}

fn act(turns: Vec<Turn>) {
    for Turn { switch, to } in turns {
        match to {
            Some(outlet) => switch.turn_to(&outlet),
            None => switch.close(),
        }
    }
}

/// The size of pictures that caps tell.
fn size(caps: &gst::Caps) -> Option<(u32, u32)> {
    let caps = caps.structure(0)?;
    let side = |name| u32::try_from(caps.get::<i32>(name).ok()?).ok();
    Some((side("width")?, side("height")?))
}

/// The thread that looks after the layers as long as somebody holds them.
fn watch(shared: &Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        shared.look(Instant::now());
        drop(shared);
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests;
