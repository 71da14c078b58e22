//! Key frame requests, merged: a newcomer gets one at once, all others share.

use std::time::{Duration, Instant};

/// Receivers that lost packets get a common key frame at most this often.
const SHARED_INTERVAL: Duration = Duration::from_millis(500);
/// A granted request that brought no key frame for this long is made again. Browsers pass over those that come within
/// 300 ms of the one before.
const LOST: Duration = Duration::from_millis(400);

/// Decides which requests reach the encoder.
#[derive(Debug, Default)]
pub struct KeyFrames {
    pending: Option<Instant>,
    last: Option<Instant>,
    newcomers: u32,
}

impl KeyFrames {
    /// Somebody will come who has no key frame yet: one request passes without waiting.
    pub fn expect_newcomer(&mut self) {
        self.newcomers = self.newcomers.saturating_add(1);
    }

    /// Whether a request that arrives now goes to the encoder.
    pub fn on_request(&mut self, now: Instant) -> bool {
        let since = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        if since(self.pending).is_some_and(|since| since < LOST) {
            return false;
        }
        let is_too_soon = since(self.last).is_some_and(|since| since < SHARED_INTERVAL);
        if is_too_soon && self.newcomers == 0 {
            return false;
        }
        self.newcomers = self.newcomers.saturating_sub(1);
        self.pending = Some(now);
        true
    }

    /// A frame came that is none: whether the request is to be made again.
    pub fn on_other_frame(&mut self, now: Instant) -> bool {
        let is_lost = |then: &Instant| now.saturating_duration_since(*then) >= LOST;
        let is_due = self.pending.as_ref().is_some_and(is_lost);
        if is_due {
            self.pending = Some(now);
        }
        is_due
    }

    /// The encoder has made a key frame.
    pub fn on_key_frame(&mut self, now: Instant) {
        self.pending = None;
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_storm_of_requests_makes_two_key_frames_a_second() {
        let (mut frames, start) = (KeyFrames::default(), Instant::now());
        let mut made = 0;
        for ms in 0..3000 {
            let now = start + ms * MS;
            if frames.on_request(now) {
                made += 1;
                frames.on_key_frame(now);
            }
        }
        assert_eq!(made, 6);
    }

    #[test]
    fn a_newcomer_does_not_wait() {
        let (mut frames, start) = (KeyFrames::default(), Instant::now());
        frames.on_key_frame(start);
        assert!(!frames.on_request(start + 10 * MS));
        frames.expect_newcomer();
        assert!(frames.on_request(start + 20 * MS));
        frames.on_key_frame(start + 50 * MS);
        assert!(
            !frames.on_request(start + 60 * MS),
            "one newcomer, one key frame"
        );
    }

    #[test]
    fn a_request_on_its_way_is_not_repeated_and_a_lost_one_is() {
        let (mut frames, start) = (KeyFrames::default(), Instant::now());
        assert!(frames.on_request(start));
        assert!(!frames.on_request(start + 100 * MS));
        assert!(frames.on_request(start + 600 * MS));
    }

    #[test]
    fn a_request_that_brings_nothing_is_made_again_until_it_does() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut frames = KeyFrames::default();
        assert!(!frames.on_other_frame(at(0)));
        assert!(frames.on_request(at(0)));
        assert!(!frames.on_other_frame(at(399)));
        assert!(frames.on_other_frame(at(400)));
        assert!(!frames.on_other_frame(at(433)));
        assert!(frames.on_other_frame(at(800)));
        frames.on_key_frame(at(850));
        assert!(!frames.on_other_frame(at(2000)));
    }
}
