//! What has to be reached, case by case.

use std::time::Duration;

use attache_congestion::Rate;

use crate::link::Nature;
use crate::media::Character;
use crate::world::World;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

fn kbps(kilobits: u32) -> Rate {
    Rate::from_kilobits(kilobits)
}

/// A link of these rates, with a queue of 300 ms.
fn link(rates: &[(u32, u32)], propagation_ms: u32) -> Nature {
    Nature {
        rates: rates
            .iter()
            .map(|&(from, rate)| (from * S, kbps(rate)))
            .collect(),
        queue: 300 * MS,
        burst: 0,
        propagation: propagation_ms * MS,
        loss: 0.0,
    }
}

/// A flow whose encoder makes up to so much.
fn flow(most: u32) -> Character {
    Character {
        begins: Duration::ZERO,
        most: kbps(most),
        pauses_below: Rate::default(),
        tier: None,
        feedback_every: 50 * MS,
        seed: 1,
    }
}

fn run(nature: Nature, flows: Vec<Character>, until: u32) -> World {
    shown(World::new(nature, flows).run(until * S))
}

/// Whoever wants to see a run sets `SHOW=1`.
fn shown(world: World) -> World {
    if std::env::var_os("SHOW").is_some() {
        println!("{}", world.table());
    }
    world
}

#[test]
fn a_call_that_begins_on_1_mbps_uses_it_soon() {
    for propagation in [5, 50] {
        let world = run(link(&[(0, 1000)], propagation), vec![flow(3000)], 8);
        let time = world.time_to(0, Duration::ZERO, |rate| rate >= kbps(900));
        println!("{propagation} ms: {time:?}");
        assert!(
            time.is_some_and(|time| time <= 2500 * MS),
            "{propagation} ms: {time:?}"
        );
    }
}

#[test]
fn what_a_link_gains_is_used_soon() {
    for propagation in [5, 50] {
        let world = run(
            link(&[(0, 1000), (20, 2500)], propagation),
            vec![flow(4000)],
            40,
        );
        let time = world.time_to(0, 20 * S, |rate| rate >= kbps(2250));
        println!("{propagation} ms: {time:?}");
        assert!(
            time.is_some_and(|time| time <= 10 * S),
            "{propagation} ms: {time:?}"
        );
    }
}

#[test]
fn what_a_link_gains_is_used_soon_after_a_larger_picture_has_come() {
    for propagation in [5, 50] {
        for seed in 1..=8 {
            let character = Character {
                // What such a link does not carry, an encoder of a lower tier does not make.
                tier: Some((kbps(1000), kbps(1250))),
                seed,
                ..flow(3000)
            };
            let nature = link(&[(0, 1000), (20, 2500)], propagation);
            let world = run(nature, vec![character], 40);
            let time = world.time_to(0, 20 * S, |rate| rate >= kbps(2250));
            // What was found is kept when it begins to be used.
            let targets = world.seen.iter().map(|seen| seen.target[0]);
            let found = targets.skip_while(|rate| *rate < kbps(2000)).take(200);
            let least = found.reduce(Rate::min);
            println!("{propagation} ms, {seed}: {time:?}, {least:?}");
            assert!(
                time.is_some_and(|time| time <= 10 * S),
                "{propagation} ms, {seed}: {time:?}"
            );
            assert!(
                least >= Some(kbps(1600)),
                "{propagation} ms, {seed}: {least:?}"
            );
        }
    }
}

#[test]
fn what_a_link_loses_is_not_sent_any_more() {
    for propagation in [5, 50] {
        let mut peaks = Vec::new();
        let mut reactions = Vec::new();
        for index in 0..12 {
            // The link changes at any moment of the receiver's round of reports, and of frames.
            let at = 20 * S + index * 13 * MS;
            let mut nature = link(&[(0, 2500)], propagation);
            nature.rates.push((at, kbps(600)));
            let world = run(nature, vec![flow(4000)], 30);
            peaks.push(world.peak(at, 30 * S));
            let mut slots = world.seen.iter().filter(|seen| seen.at >= at);
            let reaction = slots.find(|seen| seen.target[0] <= kbps(720));
            reactions.push(reaction.map_or(Duration::MAX, |seen| seen.at - at));
            let drained = world.peak(at + 600 * MS, at + 1000 * MS);
            assert!(drained <= 110 * MS, "{drained:?}");
            let after = world.rate(0, 23 * S, 30 * S);
            assert!(after >= kbps(510), "{after:?}");
        }
        peaks.sort();
        reactions.sort();
        println!("{propagation} ms: {reactions:?}, peaks {peaks:?}");
        assert!(reactions[11] <= 800 * MS, "{reactions:?}");
        // Until the first report that shows it, 50 ms and a round trip, what is sent goes into the queue: each 10 ms of
        // that are 32 ms of queue. Chromium's sender, on such a link: 271 ms.
        if propagation < 50 {
            assert!(peaks[6] <= 220 * MS, "{peaks:?}");
        }
    }
}

#[test]
fn a_steady_link_is_used_and_its_queue_stays_short() {
    for propagation in [5, 50] {
        for seed in [1, 2, 3] {
            let character = Character { seed, ..flow(3000) };
            let world = run(link(&[(0, 1000)], propagation), vec![character], 60);
            let used = world.rate(0, 5 * S, 60 * S);
            let queue = world.queue_p95(5 * S, 60 * S);
            println!("{propagation} ms, {seed}: {used:?}, {queue:?}");
            assert!(used >= kbps(900), "{propagation} ms: {used:?}");
            assert!(queue <= 50 * MS, "{propagation} ms: {queue:?}");
        }
    }
}

#[test]
fn loss_by_chance_costs_little() {
    for propagation in [5, 50] {
        let nature = Nature {
            loss: 0.1,
            ..link(&[(0, 2000)], propagation)
        };
        let world = run(nature, vec![flow(3000)], 60);
        let used = world.rate(0, 5 * S, 60 * S);
        println!("{propagation} ms: {used:?}");
        assert!(used >= kbps(500), "{propagation} ms: {used:?}");
    }
}

#[test]
fn beside_tcp_it_gets_its_part_and_leaves_the_other() {
    for propagation in [5, 50] {
        let world = World::new(link(&[(0, 1000)], propagation), vec![flow(3000)]).with_tcp(10 * S);
        let world = shown(world.run(100 * S));
        let ours = world.rate(0, 20 * S, 100 * S);
        println!("{propagation} ms: {ours:?}");
        assert!(
            ours >= kbps(250) && ours <= kbps(750),
            "{propagation} ms: {ours:?}"
        );
    }
}

#[test]
fn two_flows_share_a_link() {
    for propagation in [5, 50] {
        let late = Character {
            begins: 10 * S,
            seed: 2,
            ..flow(3000)
        };
        let world = run(link(&[(0, 2000)], propagation), vec![flow(3000), late], 90);
        let rates = [0, 1].map(|flow| world.rate(flow, 25 * S, 90 * S).kilobits());
        let sum: f64 = rates.iter().sum();
        let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
        let jain = sum * sum / (2.0 * squares);
        println!("{propagation} ms: {rates:?}: {jain}");
        assert!(jain >= 0.9, "{propagation} ms: {rates:?}: {jain}");
        assert!(sum >= 1700.0, "{propagation} ms: {rates:?}");
    }
}

#[test]
fn a_link_that_carries_no_more_than_the_sound_is_left_to_the_sound() {
    for propagation in [5, 50] {
        // Probes of a few packets pass through such a bucket at any rate.
        let nature = Nature {
            burst: 1600,
            ..link(&[(0, 1000), (5, 100)], propagation)
        };
        let character = Character {
            pauses_below: kbps(66),
            ..flow(3000)
        };
        let world = run(nature, vec![character], 65);
        let squeezed = world.seen.iter().filter(|seen| seen.at > 10 * S);
        let most = squeezed.map(|seen| seen.target[0].kilobits() as u32).max();
        let (queue, peak) = (world.queue_p95(8 * S, 65 * S), world.peak(8 * S, 65 * S));
        println!("{propagation} ms: {most:?} kb/s, {queue:?}, {peak:?}");
        assert!(most <= Some(180), "{propagation} ms: {most:?}");
        assert!(queue <= 100 * MS, "{propagation} ms: {queue:?}");
        assert!(peak <= 250 * MS, "{propagation} ms: {peak:?}");
    }
}

#[test]
fn one_who_sends_little_knows_what_more_would_go_through() {
    let world = run(link(&[(0, 2500)], 20), vec![flow(300)], 30);
    let target = world.seen.last().unwrap().target[0];
    assert!(target >= kbps(550), "{target:?}");
    assert!(world.peak(2 * S, 30 * S) <= 60 * MS);
}
