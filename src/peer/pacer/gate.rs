//! Leaves pictures out of a peer that is behind: whole ones, up to the next key frame.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::line::Line;

/// With so much waiting to be sent, pictures are left out.
const BEHIND: Duration = Duration::from_millis(400);
/// So much comes too late, whatever it is: what waits is forgotten.
const TOO_LATE: Duration = Duration::from_millis(1600);
/// With no more than this, the next key frame passes.
const CAUGHT_UP: Duration = Duration::from_millis(100);
/// A key frame may take so long to leave, and after one, for so long, the limit is this: who has just gone on is not stopped
/// by what it goes on with.
const KEY_FRAME_BEHIND: Duration = Duration::from_millis(1500);
const KEY_FRAME_TIME: Duration = Duration::from_secs(3);
/// A peer asks for key frames at most so often: others have to carry them, too.
const ASKS_EVERY: Duration = Duration::from_secs(2);

/// What becomes of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Leave,
    /// It is left out, and so is what waits.
    Forget,
    /// It is left out, and a key frame is needed.
    Ask,
}

/// Decides picture by picture.
#[derive(Debug, Default)]
struct Gate {
    is_shut: bool,
    asked: Option<Instant>,
    went_on: Option<Instant>,
}

impl Gate {
    fn on_picture(&mut self, is_key_frame: bool, backlog: Duration, now: Instant) -> Verdict {
        let has_just_gone_on = self.went_on.is_some_and(|at| now < at + KEY_FRAME_TIME);
        let limit = match has_just_gone_on {
            true => KEY_FRAME_BEHIND,
            false => BEHIND,
        };
        if backlog > limit {
            self.is_shut = true;
        }
        if backlog > TOO_LATE {
            self.asked = None;
            return Verdict::Forget;
        }
        if is_key_frame && backlog <= CAUGHT_UP {
            self.is_shut = false;
            self.went_on = Some(now);
        }
        if !self.is_shut {
            return Verdict::Pass;
        }
        let may_ask = self.asked.is_none_or(|at| now >= at + ASKS_EVERY);
        if backlog <= CAUGHT_UP && may_ask {
            self.asked = Some(now);
            return Verdict::Ask;
        }
        Verdict::Leave
    }
}

/// Watches the encoded pictures that leave through a pad, before they become packets.
pub fn watch(pad: &gst::Pad, line: &Arc<Line>) {
    let line: Weak<Line> = Arc::downgrade(line);
    let gate = Mutex::new(Gate::default());
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let (Some(line), Some(picture)) = (line.upgrade(), info.buffer()) else {
            return gst::PadProbeReturn::Ok;
        };
        let is_key_frame = !picture.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let backlog = line.backlog();
        let verdict = gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .on_picture(is_key_frame, backlog, Instant::now());
        match verdict {
            Verdict::Pass => gst::PadProbeReturn::Ok,
            Verdict::Leave => gst::PadProbeReturn::Drop,
            Verdict::Forget => {
                line.forget_pictures();
                gst::PadProbeReturn::Drop
            }
            Verdict::Ask => {
                let request = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true);
                pad.send_event(request.build());
                gst::PadProbeReturn::Drop
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_is_behind_goes_on_with_a_key_frame_when_it_has_caught_up() {
        let mut gate = Gate::default();
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut at = |is_key_frame, backlog, time| {
            gate.on_picture(is_key_frame, ms(backlog), start + ms(time))
        };
        assert_eq!(at(false, 390, 0), Verdict::Pass);
        assert_eq!(at(false, 410, 33), Verdict::Leave);
        assert_eq!(at(true, 300, 66), Verdict::Leave);
        assert_eq!(at(false, 90, 99), Verdict::Ask);
        assert_eq!(at(false, 0, 132), Verdict::Leave);
        assert_eq!(at(false, 0, 2200), Verdict::Ask);
        assert_eq!(at(true, 0, 2233), Verdict::Pass);
        // The key frame itself takes long to leave.
        assert_eq!(at(false, 1400, 2266), Verdict::Pass);
        assert_eq!(at(false, 390, 4000), Verdict::Pass);
        assert_eq!(at(false, 410, 6000), Verdict::Leave);
        assert_eq!(at(false, 1700, 6033), Verdict::Forget);
        assert_eq!(at(false, 0, 6066), Verdict::Ask);
    }
}
