//! Sound that is let through or not, without a click: a short ramp from one to the other.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use gstreamer as gst;

/// Steps from silence to full sound: 20 ms at 48 kHz.
const STEPS: u32 = 960;
/// S16LE stereo.
const BYTES: usize = 4;

/// Shared by the streaming thread, which applies it, and whoever decides.
#[derive(Debug)]
pub(super) struct Fade {
    passes: AtomicBool,
    /// Of [`STEPS`]; written by the streaming thread only.
    step: AtomicU32,
}

impl Fade {
    /// Begins without a ramp.
    pub fn new(passes: bool) -> Self {
        Self {
            passes: passes.into(),
            step: AtomicU32::new(if passes { STEPS } else { 0 }),
        }
    }

    /// From the next frame on, sound passes, or silence.
    pub fn let_through(&self, passes: bool) {
        self.passes.store(passes, Ordering::Relaxed);
    }

    /// Treats a frame: S16LE, two channels, 48 kHz.
    pub fn apply(&self, frame: &mut gst::Buffer) {
        let passes = self.passes.load(Ordering::Relaxed);
        let step = self.step.load(Ordering::Relaxed);
        if passes && step == STEPS {
            return;
        }
        let Ok(mut map) = frame.make_mut().map_writable() else {
            return;
        };
        let last = ramp(&mut map, step, passes);
        self.step.store(last, Ordering::Relaxed);
    }
}

/// Goes on with the ramp; returns where it stands at the end.
fn ramp(sound: &mut [u8], mut step: u32, passes: bool) -> u32 {
    for frame in sound.chunks_exact_mut(BYTES) {
        step = match passes {
            true => (step + 1).min(STEPS),
            false => step.saturating_sub(1),
        };
        for sample in frame.chunks_exact_mut(2) {
            let value = i64::from(i16::from_le_bytes([sample[0], sample[1]]));
            let value = value * i64::from(step) / i64::from(STEPS);
            // Not louder than it was: it fits.
            let value = i16::try_from(value).unwrap_or_default();
            sample.copy_from_slice(&value.to_le_bytes());
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loud(frames: usize) -> gst::Buffer {
        gst::init().unwrap();
        gst::Buffer::from_mut_slice([0xff, 0x7f].repeat(2 * frames))
    }

    fn values(buffer: &gst::Buffer) -> Vec<i16> {
        let map = buffer.map_readable().unwrap();
        let values = map.chunks_exact(2);
        values
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    #[test]
    fn sound_comes_and_goes_in_20_ms_over_several_frames() {
        let fade = Fade::new(false);
        let mut buffer = loud(480);
        fade.apply(&mut buffer);
        assert!(values(&buffer).iter().all(|value| *value == 0));
        fade.let_through(true);
        let mut all = Vec::new();
        for _ in 0..3 {
            let mut buffer = loud(480);
            fade.apply(&mut buffer);
            all.extend(values(&buffer));
        }
        assert!(all.is_sorted() && all[0] < 100 && all[2 * 960 - 1] == i16::MAX);
        let steps = all
            .windows(2)
            .map(|pair| i32::from(pair[1]) - i32::from(pair[0]));
        assert!(steps.max() < Some(40), "no click");

        fade.let_through(false);
        let mut buffer = loud(1000);
        fade.apply(&mut buffer);
        assert_eq!(values(&buffer).last(), Some(&0));
    }
}
