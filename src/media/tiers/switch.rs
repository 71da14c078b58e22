//! What one viewer is sent of the picture: frames of one encoding, then of another, into one payloader.
//!
//! Sequence numbers, time stamps and picture ids are the payloader's, so they go on as if nothing had changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::gate::{Fate, Gate, Number};
use crate::media::fanout::{Outlet, Taking};
use crate::media::inlet::Inlet;

/// The end of all encodings for one viewer. It ends when this is dropped.
#[derive(Debug)]
pub struct Switch(Arc<Inner>);

/// The same for those that must not keep it.
#[derive(Debug, Clone)]
pub struct WeakSwitch(Weak<Inner>);

#[derive(Debug)]
struct Inner {
    inlet: Inlet,
    state: Mutex<State>,
    /// Held while a frame passes, so that frames of two encodings keep the order that was decided. The inlet only
    /// queues what it gets, so nothing that waits comes back here.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    gate: Gate,
    current: Option<Source>,
    next: Option<Source>,
    numbers: Number,
    /// What [`Gate::dropped`] was when it was asked last.
    told: u64,
}

#[derive(Debug)]
struct Source {
    number: Number,
    outlet: Outlet,
    _taking: Taking,
}

impl Switch {
    /// Makes an inlet the end; nothing comes until [`Switch::turn_to`].
    pub fn new(inlet: &Inlet) -> Self {
        let inner = Arc::new(Inner {
            inlet: inlet.clone(),
            state: Mutex::default(),
            turn: Mutex::new(()),
        });
        let asked = Arc::downgrade(&inner);
        let types = gst::PadProbeType::EVENT_UPSTREAM;
        inlet.pad().add_probe(types, move |_, info| {
            let is_request = info
                .event()
                .is_some_and(|event| gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok());
            if let (true, Some(inner)) = (is_request, asked.upgrade()) {
                inner.request_key_frame();
            }
            gst::PadProbeReturn::Ok
        });
        Self(inner)
    }

    /// The same, not kept.
    pub fn downgrade(&self) -> WeakSwitch {
        WeakSwitch(Arc::downgrade(&self.0))
    }

    /// Goes on with another outlet's frames, from its next key frame on; until then the present one's come.
    pub fn turn_to(&self, outlet: &Outlet) {
        turn_to(&self.0, outlet);
    }
}

impl WeakSwitch {
    /// See [`Switch::turn_to`]; nothing where the viewer is gone.
    pub fn turn_to(&self, outlet: &Outlet) {
        if let Some(inner) = self.0.upgrade() {
            turn_to(&inner, outlet);
        }
    }

    /// Nothing comes any more until the next turn.
    pub fn close(&self) {
        let Some(inner) = self.0.upgrade() else {
            return;
        };
        let mut state = inner.state();
        state.gate.close();
        let gone = (state.current.take(), state.next.take());
        drop(state);
        drop(gone);
    }

    /// Whether the viewer is still there.
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Whether frames were dropped since the last call, because too much waited for the viewer's link.
    pub fn was_blocked(&self) -> bool {
        let Some(inner) = self.0.upgrade() else {
            return false;
        };
        let mut state = inner.state();
        let dropped = state.gate.dropped();
        std::mem::replace(&mut state.told, dropped) < dropped
    }
}

fn turn_to(inner: &Arc<Inner>, outlet: &Outlet) {
    let mut state = inner.state();
    if state
        .next
        .as_ref()
        .is_some_and(|next| next.outlet.is(outlet))
    {
        return;
    }
    if state
        .current
        .as_ref()
        .is_some_and(|current| current.outlet.is(outlet))
    {
        state.gate.stay();
        let gone = state.next.take();
        drop(state);
        drop(gone);
        return;
    }
    state.numbers += 1;
    let number = state.numbers;
    let weak = Arc::downgrade(inner);
    let taking = outlet.take(move |buffer, caps| {
        if let Some(inner) = weak.upgrade() {
            inner.on_frame(number, buffer, caps);
        }
    });
    let source = Source {
        number,
        outlet: outlet.clone(),
        _taking: taking,
    };
    state.gate.turn_to(number);
    let gone = state.next.replace(source);
    drop(state);
    drop(gone);
    outlet.expect_newcomer();
    outlet.request_key_frame();
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_frame(&self, of: Number, buffer: &gst::Buffer, caps: &gst::Caps) {
        let Some(time) = buffer.pts() else {
            return;
        };
        let is_key_frame = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let is_full = self.inlet.is_full();
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        let fate = state
            .gate
            .on_frame(of, is_key_frame, Duration::from(time), is_full);
        let mut gone = None;
        let mut asks = None;
        match fate {
            Fate::Passes {
                takes_over: true, ..
            } => {
                gone = state
                    .next
                    .take()
                    .and_then(|next| state.current.replace(next));
            }
            Fate::Passes { .. }
            | Fate::Dropped {
                needs_key_frame: false,
            } => {}
            Fate::Dropped {
                needs_key_frame: true,
            } => asks = state.outlet(of),
        }
        drop(state);
        drop(gone);
        if let Some(outlet) = asks {
            outlet.request_key_frame();
        }
        if let Fate::Passes { at, .. } = fate {
            self.push(buffer, caps, at);
        }
    }

    fn push(&self, buffer: &gst::Buffer, caps: &gst::Caps, at: Duration) {
        let mut buffer = buffer.clone();
        let at = gst::ClockTime::from_nseconds(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
        if buffer.pts() != Some(at) {
            let buffer = buffer.make_mut();
            buffer.set_pts(at);
            buffer.set_dts(at);
        }
        self.inlet.push(buffer, caps);
    }

    /// The viewer asks for a key frame.
    fn request_key_frame(&self) {
        let current = {
            let state = self.state();
            state
                .current
                .as_ref()
                .or(state.next.as_ref())
                .map(|source| source.outlet.clone())
        };
        if let Some(outlet) = current {
            outlet.request_key_frame();
        }
    }
}

impl State {
    fn outlet(&self, number: Number) -> Option<Outlet> {
        let mut sources = [&self.current, &self.next].into_iter().flatten();
        let source = sources.find(|source| source.number == number);
        source.map(|source| source.outlet.clone())
    }
}
