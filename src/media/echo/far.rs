//! The far end: what this process plays on its loudspeakers, handed to every echo canceller in it.
//!
//! A process does one job, so there is one playback; cancellers come and go with the pipelines of the capture.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use super::delay::DelayFinder;

/// The form in which sound is played and handed over.
pub const CAPS: &str = "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2";
const CHANNELS: usize = 2;
/// So much earlier than the echo a canceller gets what is played: it copes with 0 to 40 ms, and an echo that it gets late is
/// none to it.
const MARGIN: Duration = Duration::from_millis(10);

/// Where a canceller takes what is played. Dropped, it takes no more.
pub(super) struct Ear {
    /// Pushes into the canceller's probe.
    pad: gst::Pad,
    finder: Mutex<DelayFinder>,
    /// How much later what is played is handed on, in nanoseconds.
    held_back: AtomicU64,
}

static EARS: Mutex<Vec<Weak<Ear>>> = Mutex::new(Vec::new());

impl Ear {
    /// From now on what is played goes to this pad, with [`CAPS`] and running times of [`super::super::clock`]. The pad is
    /// active and has its sticky events.
    pub fn open(pad: gst::Pad) -> Arc<Self> {
        let ear = Arc::new(Self {
            pad,
            finder: Mutex::default(),
            held_back: AtomicU64::default(),
        });
        let mut ears = EARS.lock().unwrap_or_else(PoisonError::into_inner);
        ears.retain(|ear| ear.strong_count() > 0);
        ears.push(Arc::downgrade(&ear));
        ear
    }

    fn take(&self, buffer: &gst::Buffer, zero: gst::ClockTime) {
        let Some(pts) = buffer.pts().map(|pts| pts + zero) else {
            return;
        };
        if let Ok(map) = buffer.map_readable() {
            let frames = map.as_chunks().0.chunks_exact(CHANNELS);
            let sound = frames.map(|frame| frame.iter().copied().map(sample).sum::<f32>() * 0.5);
            self.finder().played(pts.into(), sound);
        }
        let mut buffer = buffer.copy();
        let held_back = gst::ClockTime::from_nseconds(self.held_back.load(Ordering::Relaxed));
        buffer.make_mut().set_pts(pts + held_back);
        // A canceller that stops meanwhile refuses it.
        let _ = self.pad.push(buffer);
    }

    /// What the microphone heard: S16LE, mono, at this running time. Gives the delay when it becomes known, or another one.
    pub fn hear(&self, at: gst::ClockTime, bytes: &[u8]) -> Option<Duration> {
        let sound = bytes.as_chunks().0.iter().copied().map(sample);
        let delay = self.finder().heard(at.into(), sound)?;
        let held_back = delay.saturating_sub(MARGIN).as_nanos();
        self.held_back.store(
            u64::try_from(held_back).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        Some(delay)
    }

    /// Held for a computation of less than a millisecond.
    fn finder(&self) -> std::sync::MutexGuard<'_, DelayFinder> {
        self.finder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sample(bytes: [u8; 2]) -> f32 {
    f32::from(i16::from_le_bytes(bytes)) / 32_768.0
}

/// Hands everything that passes a pad of the playback to the cancellers. `zero` is the running time at which the pad's own
/// pipeline begins.
pub fn listen_at(pad: &gst::Pad, zero: gst::ClockTime) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            played(buffer, zero);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Hands over a buffer that is played now, in the form of [`CAPS`].
pub fn played(buffer: &gst::Buffer, zero: gst::ClockTime) {
    let ears: Vec<Arc<Ear>> = {
        let ears = EARS.lock().unwrap_or_else(PoisonError::into_inner);
        ears.iter().filter_map(Weak::upgrade).collect()
    };
    ears.iter().for_each(|ear| ear.take(buffer, zero));
}
