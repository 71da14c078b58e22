//! The policy in virtual time: links that are steady, noisy, fall, rise or differ.

use super::*;
use crate::media::encoder::tests::settings;
use crate::pipeline::Tier;

const LOOK: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// 720p to 1500 kb/s, 360p to 500, 180p to 166; no picture below 55.
fn video() -> VideoSettings {
    let tier = |height: u32, kilobits| Tier {
        width: height * 16 / 9,
        height,
        framerate: 30,
        bitrate: Bitrate::from_kilobits(kilobits),
    };
    VideoSettings {
        lower: vec![tier(360, 500), tier(180, 166)],
        pause_below: Bitrate::from_kilobits(55),
        ..settings().video
    }
}

/// Viewers with links, and what became of them.
struct Room {
    policy: Policy,
    start: Instant,
    now: Instant,
    links: BTreeMap<ViewerId, Link>,
    plan: Plan,
    /// Changes of the level of each, with their times.
    changes: BTreeMap<ViewerId, Vec<(Duration, Level)>>,
}

impl Room {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            policy: Policy::new(&video()),
            start: now,
            now,
            links: BTreeMap::new(),
            plan: Plan::default(),
            changes: BTreeMap::new(),
        }
    }

    /// A viewer whose link carries so much beside the sound.
    fn with(mut self, id: u64, kilobits: u32) -> Self {
        self.policy.join(ViewerId(id));
        self.set(id, kilobits);
        self
    }

    fn set(&mut self, id: u64, kilobits: u32) {
        let link = self.links.entry(ViewerId(id)).or_default();
        link.left = Some(Bitrate::from_kilobits(kilobits));
    }

    fn step(&mut self) {
        self.now += LOOK;
        let before = std::mem::take(&mut self.plan).levels;
        self.plan = self.policy.look(&self.links, self.now);
        for (id, level) in &self.plan.levels {
            if before.get(id).copied().unwrap_or(Level::Tier(0)) != *level {
                let at = self.now - self.start;
                self.changes.entry(*id).or_default().push((at, *level));
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    fn level(&self, id: u64) -> Level {
        self.plan.levels[&ViewerId(id)]
    }

    fn rate(&self, tier: usize) -> Option<u32> {
        self.plan.rates[tier].map(Bitrate::kilobits)
    }

    /// Runs until a viewer has a level; how long that took.
    fn until(&mut self, id: u64, level: Level, limit: Duration) -> Duration {
        let from = self.now;
        while self.plan.levels.get(&ViewerId(id)) != Some(&level) {
            assert!(
                self.now - from < limit,
                "{id} has {:?}, not {level:?}",
                self.plan.levels
            );
            self.step();
        }
        self.now - from
    }
}

/// The same numbers each time, between -1 and 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "32 bits fit")]
        let unit = (self.0 >> 32) as f64 / f64::from(u32::MAX);
        unit * 2.0 - 1.0
    }
}

#[test]
fn nothing_known_is_the_best_tier_at_its_full_rate() {
    let mut room = Room::new();
    room.policy.join(ViewerId(1));
    room.run(SECOND);
    assert_eq!(room.level(1), Level::Tier(0));
    assert_eq!((room.rate(0), room.rate(1)), (Some(1500), None));
}

#[test]
fn ten_viewers_on_ten_links_have_what_their_links_carry() {
    let links = [3000, 2000, 1700, 1000, 600, 450, 300, 160, 100, 30];
    let mut room = Room::new();
    for (id, kilobits) in (0..).zip(links) {
        room = room.with(id, kilobits);
    }
    room.run(60 * SECOND);
    let levels: Vec<Level> = (0..10).map(|id| room.level(id)).collect();
    let (best, middle, low) = (Level::Tier(0), Level::Tier(1), Level::Tier(2));
    assert_eq!(
        levels,
        [
            best,
            best,
            best,
            best,
            middle,
            middle,
            middle,
            low,
            low,
            Level::Paused
        ]
    );
    // 1000 of 1500 is not far behind; 300 of 500 is not, either. In the lowest tier the worst one decides.
    assert_eq!(
        [room.rate(0), room.rate(1), room.rate(2)],
        [Some(1000), Some(300), Some(100)]
    );
    room.changes
        .values()
        .for_each(|changes| assert!(changes.len() <= 2, "{changes:?}"));
}

#[test]
fn a_slow_viewer_goes_down_and_the_others_do_not_notice() {
    let mut room = Room::new().with(1, 2000).with(2, 2000);
    room.run(30 * SECOND);
    room.set(2, 800);
    let until = room.now + SECOND;
    while room.now < until {
        room.step();
        assert_eq!(room.rate(0), Some(1500));
    }
    assert_eq!(
        (room.level(1), room.level(2)),
        (Level::Tier(0), Level::Tier(1))
    );
    room.policy.leave(ViewerId(1));
    room.until(2, Level::Tier(0), 10 * SECOND);
    assert_eq!(room.rate(0), Some(800));
}

#[test]
fn an_encoder_follows_the_link_of_its_only_viewer_at_once() {
    let mut room = Room::new().with(1, 2400);
    room.run(20 * SECOND);
    room.set(1, 600);
    room.step();
    assert_eq!((room.level(1), room.rate(0)), (Level::Tier(0), Some(600)));
    room.set(1, 1200);
    room.step();
    assert_eq!(room.rate(0), Some(1200));
}

#[test]
fn what_is_lost_is_sent_again_and_leaves_less() {
    let mut room = Room::new().with(1, 1200);
    room.links.get_mut(&ViewerId(1)).unwrap().loss = 0.2;
    room.step();
    assert_eq!(room.rate(0), Some(1000));
}

#[test]
fn a_link_that_breaks_down_is_followed_within_half_a_second() {
    let mut room = Room::new().with(1, 2400).with(2, 2400);
    room.run(20 * SECOND);
    room.set(1, 400);
    assert!(room.until(1, Level::Tier(1), SECOND) <= 500 * Duration::from_millis(1));
    room.set(2, 130);
    assert_eq!(
        room.until(2, Level::Tier(2), SECOND),
        LOOK,
        "that is far too little: at once"
    );
}

#[test]
fn a_short_dip_changes_nothing() {
    let mut room = Room::new().with(1, 2400);
    room.run(20 * SECOND);
    room.set(1, 350);
    room.run(Duration::from_millis(300));
    room.set(1, 2400);
    room.run(20 * SECOND);
    assert!(room.changes.is_empty());
}

#[test]
fn a_better_link_is_followed_once_it_has_lasted() {
    let mut room = Room::new().with(1, 300);
    room.run(30 * SECOND);
    assert_eq!(room.level(1), Level::Tier(1));
    room.set(1, 900);
    let took = room.until(1, Level::Tier(0), 10 * SECOND);
    assert!((UP_AFTER..UP_AFTER + SECOND).contains(&took), "{took:?}");
}

#[test]
fn at_first_a_better_tier_does_not_wait_long() {
    let mut room = Room::new().with(1, 300);
    room.run(SECOND);
    assert_eq!(room.level(1), Level::Tier(1));
    room.set(1, 1000);
    assert!(room.until(1, Level::Tier(0), 2 * SECOND) <= SECOND);
}

#[test]
fn a_mistake_is_not_made_again_soon() {
    let mut room = Room::new().with(1, 400);
    room.run(30 * SECOND);
    let mut waits = Vec::new();
    for _ in 0..7 {
        // It looks as if it carried more, until more is sent.
        room.set(1, 700);
        waits.push(room.until(1, Level::Tier(0), 200 * SECOND));
        room.set(1, 400);
        room.until(1, Level::Tier(1), 2 * SECOND);
    }
    assert!(
        waits[0] < 10 * SECOND && waits[6] >= LONGEST_WAIT,
        "{waits:?}"
    );
    assert!(waits.is_sorted(), "{waits:?}");
}

#[test]
fn steady_links_with_noisy_estimates_have_at_most_two_changes_a_minute() {
    for kilobits in [
        40, 55, 70, 90, 150, 166, 200, 250, 400, 480, 500, 560, 625, 700, 1100, 1600,
    ] {
        for spread in [0.1, 0.2, 0.35] {
            let mut room = Room::new().with(1, kilobits);
            let mut noise = Noise(u64::from(kilobits));
            for _ in 0..6000 {
                let noisy = f64::from(kilobits) * (1.0 + spread * noise.next());
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "small and positive"
                )]
                room.set(1, noisy as u32);
                room.step();
            }
            let times: Vec<Duration> = room
                .changes
                .into_values()
                .flatten()
                .map(|(at, _)| at)
                .collect();
            let late: Vec<Duration> = times
                .into_iter()
                .filter(|at| *at > AT_FIRST + SECOND)
                .collect();
            for (index, from) in late.iter().enumerate() {
                let within = late[index..]
                    .iter()
                    .filter(|at| **at < *from + MINUTE)
                    .count();
                assert!(within <= 2, "{kilobits} kb/s, {spread}: {late:?}");
            }
        }
    }
}

#[test]
fn the_picture_pauses_before_the_sound_suffers_and_comes_back_when_there_is_room_to_spare() {
    let mut room = Room::new().with(1, 30);
    room.until(1, Level::Paused, 6 * SECOND);
    assert_eq!(room.plan.rates, [None, None, None]);
    room.set(1, 70);
    room.run(30 * SECOND);
    assert_eq!(
        room.level(1),
        Level::Paused,
        "that would just do, and not for long"
    );
    room.set(1, 100);
    room.until(1, Level::Tier(2), 10 * SECOND);
}

#[test]
fn a_lower_tier_has_time_to_settle_before_the_picture_pauses() {
    let mut room = Room::new().with(1, 600);
    room.run(10 * SECOND);
    room.set(1, 45);
    room.until(1, Level::Tier(2), SECOND);
    // What the better tier has left in the queue is still on its way.
    room.run(2 * SECOND);
    room.set(1, 80);
    room.run(10 * SECOND);
    assert_eq!(room.level(1), Level::Tier(2));
    // With next to nothing there is no use in waiting.
    let mut room = Room::new().with(1, 600);
    room.run(10 * SECOND);
    room.set(1, 10);
    room.until(1, Level::Paused, 2 * SECOND);
}

#[test]
fn a_paused_picture_is_tried_again_where_nothing_tells_what_the_link_carries() {
    let mut room = Room::new().with(1, 30);
    room.links
        .get_mut(&ViewerId(1))
        .unwrap()
        .is_application_limited = true;
    room.until(1, Level::Paused, 6 * SECOND);
    let first = room.until(1, Level::Tier(2), 60 * SECOND);
    assert!(first >= RETRY);
    room.until(1, Level::Paused, 6 * SECOND);
    assert!(room.until(1, Level::Tier(2), 100 * SECOND) >= RETRY);
}

#[test]
fn a_viewer_whose_frames_are_dropped_here_for_long_goes_down() {
    let mut room = Room::new().with(1, 2000).with(2, 2000);
    room.run(20 * SECOND);
    let blocked = |room: &mut Room, is_blocked| {
        room.links.get_mut(&ViewerId(2)).unwrap().is_blocked = is_blocked;
    };
    blocked(&mut room, true);
    room.run(SECOND / 2);
    blocked(&mut room, false);
    room.run(SECOND);
    assert!(room.changes.is_empty(), "a busy machine");
    blocked(&mut room, true);
    assert!(room.until(2, Level::Tier(1), 2 * SECOND) >= SECOND);
    assert_eq!((room.level(1), room.rate(0)), (Level::Tier(0), Some(1500)));
}

#[test]
fn other_tiers_are_taken_over() {
    let mut room = Room::new().with(1, 100);
    room.run(5 * SECOND);
    assert_eq!(room.level(1), Level::Tier(2));
    let mut fewer = video();
    fewer.lower.pop();
    room.policy.change(&fewer);
    room.step();
    assert_eq!((room.level(1), room.plan.rates.len()), (Level::Tier(1), 2));
}
