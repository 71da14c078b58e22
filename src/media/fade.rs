//! Sound that is let through or not, without a click: a short ramp from one to the other.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use gstreamer as gst;

/// Steps from silence to full sound: 20 ms at 48 kHz.
const STEPS: u32 = 960;
/// S16LE stereo.
const BYTES: usize = 4;
/// Frames in a second.
const RATE: u64 = 48_000;

/// Shared by the streaming thread, which applies it, and whoever decides.
#[derive(Debug)]
pub(super) struct Fade {
    passes: AtomicBool,
    /// From which time stamp on, in nanoseconds; before it, it is the other way round.
    from: AtomicU64,
    /// Of [`STEPS`]; written by the streaming thread only.
    step: AtomicU32,
}

impl Fade {
    /// Begins without a ramp.
    pub fn new(passes: bool) -> Self {
        Self {
            passes: passes.into(),
            from: 0.into(),
            step: AtomicU32::new(if passes { STEPS } else { 0 }),
        }
    }

    /// From this time stamp on, sound passes, or silence. Two that change places at the same time stamp are mixed so that
    /// neither is missed and both are not heard at once.
    pub fn let_through(&self, passes: bool, from: gst::ClockTime) {
        self.from.store(from.nseconds(), Ordering::Relaxed);
        self.passes.store(passes, Ordering::Release);
    }

    /// Treats a frame: S16LE, two channels, 48 kHz.
    pub fn apply(&self, frame: &mut gst::Buffer) {
        let passes = self.passes.load(Ordering::Acquire);
        let step = self.step.load(Ordering::Relaxed);
        let start = frame.pts().map_or(u64::MAX, gst::ClockTime::nseconds);
        let early = self.from.load(Ordering::Relaxed).saturating_sub(start);
        if passes && step == STEPS && early == 0 {
            return;
        }
        let Ok(mut map) = frame.make_mut().map_writable() else {
            return;
        };
        let before = early.saturating_mul(RATE) / gst::ClockTime::SECOND.nseconds();
        let before = usize::try_from(before).unwrap_or(usize::MAX);
        let before = before.saturating_mul(BYTES).min(map.len());
        let (before, after) = map.split_at_mut(before);
        let step = ramp(before, step, !passes);
        self.step
            .store(ramp(after, step, passes), Ordering::Relaxed);
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
        fade.let_through(true, gst::ClockTime::ZERO);
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

        fade.let_through(false, gst::ClockTime::ZERO);
        let mut buffer = loud(1000);
        fade.apply(&mut buffer);
        assert_eq!(values(&buffer).last(), Some(&0));
    }

    #[test]
    fn two_that_change_places_at_one_time_stamp_are_together_as_loud_as_one() {
        let (one, other) = (Fade::new(true), Fade::new(false));
        let at = gst::ClockTime::from_mseconds(25);
        one.let_through(false, at);
        other.let_through(true, at);
        // Frames of another length each, as of two streams.
        let play = |fade: &Fade, length: usize| -> Vec<i16> {
            let mut all = Vec::new();
            for start in (0..2880).step_by(length) {
                let mut buffer = loud(length);
                let pts = gst::ClockTime::from_useconds(1000 * start as u64 / 48);
                buffer.get_mut().unwrap().set_pts(pts);
                fade.apply(&mut buffer);
                all.extend(values(&buffer));
            }
            all
        };
        let (one, other) = (play(&one, 480), play(&other, 960));
        assert_eq!((one[2 * 1190], other[2 * 1190]), (i16::MAX, 0));
        assert_eq!((one[2 * 2200], other[2 * 2200]), (0, i16::MAX));
        let sums = one
            .iter()
            .zip(&other)
            .map(|(one, other)| i32::from(*one) + i32::from(*other));
        let (least, most) = sums.fold((i32::MAX, 0), |(least, most), sum| {
            (least.min(sum), most.max(sum))
        });
        assert!(least > 32_600 && most < 32_900, "{least} to {most}");
    }
}
