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
    /// Somebody asked too soon after the last one: the next is made when it may be.
    is_wanted: bool,
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
            self.is_wanted = true;
            return false;
        }
        self.newcomers = self.newcomers.saturating_sub(1);
        self.pending = Some(now);
        true
    }

    /// A frame came that is none: whether a request is to be made, for one that asked too soon, or again.
    pub fn on_other_frame(&mut self, now: Instant) -> bool {
        let has_passed = |time: Duration, then: Option<Instant>| {
            then.is_some_and(|then| now.saturating_duration_since(then) >= time)
        };
        let is_due = match self.pending {
            Some(_) => has_passed(LOST, self.pending),
            None => self.is_wanted && has_passed(SHARED_INTERVAL, self.last),
        };
        if is_due {
            self.pending = Some(now);
        }
        is_due
    }

    /// The encoder has made a key frame.
    pub fn on_key_frame(&mut self, now: Instant) {
        self.pending = None;
        self.is_wanted = false;
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
    fn who_asks_too_soon_is_not_forgotten() {
        let (mut frames, start) = (KeyFrames::default(), Instant::now());
        frames.on_key_frame(start);
        assert!(!frames.on_request(start + 100 * MS));
        assert!(!frames.on_other_frame(start + 467 * MS));
        assert!(frames.on_other_frame(start + 500 * MS));
        assert!(!frames.on_other_frame(start + 533 * MS));
        frames.on_key_frame(start + 540 * MS);
        assert!(!frames.on_other_frame(start + 2000 * MS));
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
