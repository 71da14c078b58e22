//! When a thumbnail is made, and of which key frame. Pure.

use std::time::Duration;

/// Least time between two requests for a key frame.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The moments of one visit's thumbnails.
#[derive(Debug)]
pub struct Schedule {
    every: Duration,
    /// When the next one is due; at once in the beginning.
    due: Option<Duration>,
    /// The last key frame.
    key: Option<Duration>,
    asked: Option<Duration>,
}

/// What to do when a picture came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// Ask the sender for a key frame: it is time, and the last one is too old.
    KeyFrame,
    /// Make one of the last key frame.
    Thumbnail,
}

impl Schedule {
    /// One thumbnail in so much time.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            due: None,
            key: None,
            asked: None,
        }
    }

    /// A picture came, of this running time.
    pub fn on_picture(&mut self, at: Duration, is_key: bool) -> Wish {
        if is_key {
            self.key = Some(at);
        }
        let due = self.due.unwrap_or(at);
        if at < due {
            return Wish::Nothing;
        }
        let is_recent = self.key.is_some_and(|key| key + self.every / 2 > at);
        if is_recent {
            let late = at.saturating_sub(due);
            let missed = u32::try_from(late.as_millis() / self.every.as_millis().max(1));
            self.due = Some(due + self.every * (missed.unwrap_or(0) + 1));
            self.asked = None;
            return Wish::Thumbnail;
        }
        if self.asked.is_some_and(|asked| at < asked + ASK_AGAIN) {
            return Wish::Nothing;
        }
        self.asked = Some(at);
        Wish::KeyFrame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures of so many seconds, ten in each, with key frames at these: what was wished for when, in seconds.
    fn wishes(every_s: u64, seconds: u32, keys: &[u32]) -> Vec<(f64, Wish)> {
        let mut schedule = Schedule::new(Duration::from_secs(every_s));
        let pictures = (0..seconds * 10).map(|tenth| {
            let at = Duration::from_millis(100) * tenth;
            (at, schedule.on_picture(at, keys.contains(&tenth)))
        });
        pictures
            .filter(|(_, wish)| *wish != Wish::Nothing)
            .map(|(at, wish)| (at.as_secs_f64(), wish))
            .collect()
    }

    #[test]
    fn the_last_key_frame_serves_if_it_is_not_old() {
        use Wish::{KeyFrame, Thumbnail};
        assert_eq!(
            wishes(10, 25, &[0, 70, 140, 210]),
            [
                (0.0, Thumbnail),
                (10.0, Thumbnail),
                (20.0, KeyFrame),
                (21.0, Thumbnail)
            ]
        );
    }

    #[test]
    fn where_no_key_frame_comes_one_is_asked_for_each_second() {
        use Wish::{KeyFrame, Thumbnail};
        assert_eq!(
            wishes(4, 8, &[0, 62]),
            [
                (0.0, Thumbnail),
                (4.0, KeyFrame),
                (5.0, KeyFrame),
                (6.0, KeyFrame),
                (6.2, Thumbnail)
            ]
        );
    }

    #[test]
    fn after_a_camera_was_off_one_is_made_and_not_all_that_were_missed() {
        let mut schedule = Schedule::new(Duration::from_secs(5));
        let second = Duration::from_secs(1);
        assert_eq!(schedule.on_picture(second, true), Wish::Thumbnail);
        assert_eq!(schedule.on_picture(33 * second, true), Wish::Thumbnail);
        assert_eq!(schedule.on_picture(34 * second, true), Wish::Nothing);
        assert_eq!(schedule.on_picture(36 * second, true), Wish::Thumbnail);
    }
}
