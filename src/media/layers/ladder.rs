//! The layers of a picture in their order, the best first, and which of them stands in for one that has stopped. Pure.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::peer::simulcast::Rid;
use crate::pipeline::{Bitrate, Tier};

/// Rates that differ by less than this part are the same: each change makes those who wait for a better layer wait anew.
const SAME: f64 = 0.25;
/// A layer without frames for so long is forgotten, while others come.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Rung {
    /// Its name; none where it is all there is.
    pub rid: Option<Rid>,
    /// What it is.
    pub tier: Tier,
    /// Whether it has frames now.
    pub comes: bool,
    /// When its last frame came.
    pub seen: Instant,
}

/// All of them, by size.
#[derive(Debug, Default)]
pub struct Ladder {
    rungs: Vec<Rung>,
    /// What [`Ladder::rates`] told last.
    rates: Vec<Bitrate>,
}

impl std::fmt::Display for Ladder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, rung) in self.rungs.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let name = rung.rid.as_ref().map_or("-", Rid::as_str);
            let Tier { width, height, .. } = rung.tier;
            let kilobits = rung.tier.bitrate.kilobits();
            write!(f, "{comma}{name} {width}x{height} {kilobits} kb/s")?;
        }
        Ok(())
    }
}

impl Ladder {
    /// The layers as they are when the newest frame of all came at that time. Whether order or rates have changed.
    pub fn take(&mut self, mut rungs: Vec<Rung>, newest: Instant) -> bool {
        rungs.retain(|rung| newest.saturating_duration_since(rung.seen) < FORGOTTEN);
        let pixels = |rung: &Rung| u64::from(rung.tier.width) * u64::from(rung.tier.height);
        rungs.sort_by_key(|rung| Reverse((pixels(rung), rung.tier.bitrate.bits_per_second)));
        let is_same = |(old, new): (&Bitrate, &Rung)| {
            let (old, new) = (old.bits_per_second, new.tier.bitrate.bits_per_second);
            f64::from(old.abs_diff(new)) < f64::from(old) * SAME
        };
        let names = |rungs: &[Rung]| {
            rungs
                .iter()
                .map(|rung| rung.rid.clone())
                .collect::<Vec<_>>()
        };
        let is_changed =
            names(&rungs) != names(&self.rungs) || !self.rates.iter().zip(&rungs).all(is_same);
        self.rungs = rungs;
        if is_changed {
            let rates = self.rungs.iter().map(|rung| rung.tier.bitrate);
            self.rates = rates.collect();
        }
        is_changed
    }

    /// The rate of each, the best first.
    pub fn rates(&self) -> Vec<Bitrate> {
        self.rates.clone()
    }

    /// Whether there is more than one.
    pub fn is_choice(&self) -> bool {
        self.rungs.len() > 1
    }

    /// The layer of an index; where it has stopped, the next smaller one that comes, or else the next larger one. None where
    /// there is none yet.
    pub fn at(&self, index: usize) -> Option<&Rung> {
        let index = index.min(self.rungs.len().checked_sub(1)?);
        let (above, below) = self.rungs.split_at(index);
        let mut by_nearness = below.iter().chain(above.iter().rev());
        by_nearness
            .find(|rung| rung.comes)
            .or_else(|| self.rungs.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(name: &str, height: u32, kilobits: u32, comes: bool, seen: Instant) -> Rung {
        Rung {
            rid: Rid::parse(name),
            tier: Tier {
                width: height * 16 / 9,
                height,
                framerate: 25,
                bitrate: Bitrate::from_kilobits(kilobits),
            },
            comes,
            seen,
        }
    }

    fn names(ladder: &Ladder) -> Vec<&str> {
        let names = (0..3).filter_map(|index| ladder.at(index)?.rid.as_ref());
        names.map(Rid::as_str).collect()
    }

    #[test]
    fn the_largest_layer_is_the_best_whatever_its_name_and_place() {
        let (mut ladder, now) = (Ladder::default(), Instant::now());
        assert_eq!(ladder.at(0), None);
        let rungs = vec![
            rung("a", 180, 100, true, now),
            rung("b", 720, 1500, true, now),
            rung("c", 360, 400, true, now),
        ];
        assert!(ladder.take(rungs.clone(), now));
        assert_eq!(names(&ladder), ["b", "c", "a"]);
        let kilobits = ladder.rates().into_iter().map(Bitrate::kilobits);
        assert_eq!(kilobits.collect::<Vec<_>>(), [1500, 400, 100]);
        let mut rungs = rungs;
        rungs[1].tier.bitrate = Bitrate::from_kilobits(1300);
        assert!(!ladder.take(rungs.clone(), now), "about the same");
        rungs[1].tier.bitrate = Bitrate::from_kilobits(1000);
        assert!(ladder.take(rungs, now));
    }

    #[test]
    fn what_has_stopped_is_replaced_by_the_next_smaller_layer_and_forgotten_in_time() {
        let (mut ladder, then) = (Ladder::default(), Instant::now());
        let layers = |h, m, l| {
            vec![
                rung("h", 720, 1500, h, then),
                rung("m", 360, 400, m, then),
                rung("l", 180, 100, l, then),
            ]
        };
        ladder.take(layers(false, true, true), then);
        assert_eq!(names(&ladder), ["m", "m", "l"]);
        ladder.take(layers(true, false, false), then);
        assert_eq!(names(&ladder), ["h", "h", "h"]);
        ladder.take(layers(false, false, false), then);
        assert_eq!(names(&ladder), ["h", "m", "l"], "the source is paused");
        let now = then + FORGOTTEN;
        let mut rungs = layers(false, true, true);
        rungs[1].seen = now;
        rungs[2].seen = now;
        assert!(ladder.take(rungs, now));
        assert_eq!(names(&ladder), ["m", "l", "l"]);
        assert!(ladder.is_choice());
    }
}
