//! Which of two tracks of the same participant is heard or seen: as it came, or the one that a filter gives back. Pure;
//! times are running times.

use std::time::Duration;

use super::MediaKind;

/// A filter's track has to come for so long without a gap before it is taken.
const STEADY: Duration = Duration::from_millis(300);
/// The same after it has failed once.
const STEADY_AGAIN: Duration = Duration::from_secs(1);
/// Sound is missed sooner than pictures; both are back within 200 ms.
const SOUND_PATIENCE: Duration = Duration::from_millis(80);
const PICTURE_PATIENCE: Duration = Duration::from_millis(170);

/// A participant's track, by where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// From the participant.
    Original,
    /// From a filter.
    Enhanced,
}

/// The choice between the two, as the filter's frames come or stay away.
#[derive(Debug)]
pub struct Choice {
    patience: Duration,
    steady: Duration,
    /// The filter's last frame, and the first after which there was no gap.
    frames: Option<(Duration, Duration)>,
    chosen: Track,
}

impl Choice {
    /// Begins with the original.
    pub fn new(kind: MediaKind) -> Self {
        Self {
            patience: match kind {
                MediaKind::Audio => SOUND_PATIENCE,
                MediaKind::Video => PICTURE_PATIENCE,
            },
            steady: STEADY,
            frames: None,
            chosen: Track::Original,
        }
    }

    /// The filter's newest frame came then; not all need to be told.
    pub fn frame(&mut self, at: Duration) {
        self.frames = match self.frames {
            Some((last, first)) if at.saturating_sub(last) <= self.patience => Some((at, first)),
            Some(_) | None => Some((at, at)),
        };
    }

    /// What is to be heard or seen now.
    pub fn look(&mut self, now: Duration) -> Track {
        let came = self
            .frames
            .map(|(last, first)| (now.saturating_sub(last), first));
        match came {
            Some((silent, first)) if silent <= self.patience => {
                if now.saturating_sub(first) >= self.steady {
                    self.chosen = Track::Enhanced;
                }
            }
            Some(_) | None => {
                if self.chosen == Track::Enhanced {
                    self.steady = STEADY_AGAIN;
                }
                self.chosen = Track::Original;
            }
        }
        self.chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Looks each 20 ms until then, while frames come each 10 ms but in these gaps; gives the changes of choice.
    fn watch(choice: &mut Choice, until: u32, gaps: &[(u32, u32)]) -> Vec<(u32, Track)> {
        let mut changes = Vec::new();
        let mut before = Track::Original;
        for ms in (0..until).step_by(10) {
            if !gaps.iter().any(|(from, to)| (*from..*to).contains(&ms)) {
                choice.frame(ms * MS);
            }
            if ms % 20 > 0 {
                continue;
            }
            let now = choice.look(ms * MS);
            if now != before {
                changes.push((ms, now));
            }
            before = now;
        }
        changes
    }

    #[test]
    fn the_enhanced_track_is_taken_once_it_comes_steadily() {
        let mut choice = Choice::new(MediaKind::Audio);
        assert_eq!(choice.look(5 * MS), Track::Original);
        assert_eq!(watch(&mut choice, 10_000, &[]), [(300, Track::Enhanced)]);
    }

    #[test]
    fn the_original_is_back_within_200_ms_of_the_last_frame() {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let mut choice = Choice::new(kind);
            let changes = watch(&mut choice, 3000, &[(1000, 3000)]);
            let [(_, Track::Enhanced), (back, Track::Original)] = changes[..] else {
                panic!("{changes:?}");
            };
            assert!((1000 + 60..1000 + 200).contains(&back), "{back}");
        }
    }

    #[test]
    fn an_enhanced_track_that_failed_has_to_come_longer_before_it_is_taken_again() {
        let mut choice = Choice::new(MediaKind::Audio);
        let changes = watch(&mut choice, 4000, &[(1000, 1200)]);
        assert_eq!(
            changes,
            [
                (300, Track::Enhanced),
                (1080, Track::Original),
                (2200, Track::Enhanced)
            ]
        );
    }

    #[test]
    fn a_track_with_gaps_is_never_taken_and_late_packets_do_no_harm() {
        let mut choice = Choice::new(MediaKind::Audio);
        let gaps: Vec<_> = (0..20).map(|n| (n * 250, n * 250 + 100)).collect();
        assert_eq!(watch(&mut choice, 5000, &gaps), []);
        let mut choice = Choice::new(MediaKind::Audio);
        let late: Vec<_> = (1..20).map(|n| (n * 250, n * 250 + 60)).collect();
        assert_eq!(watch(&mut choice, 5000, &late), [(300, Track::Enhanced)]);
    }
}
