//! Troubles on a clock of the tests' own, and two sides that find the same one.

use super::*;
use crate::peer::generation::{Generations, Side};
use crate::signalling::ids::Generation;
use crate::signalling::protocol::IceServer;

const STEP: Duration = Duration::from_millis(250);

/// The times of the tries while nothing helps, in seconds.
fn tries(renewal: &mut Renewal, now: &mut Instant, time: Duration) -> Vec<f64> {
    let began = *now;
    let mut tries = Vec::new();
    while *now - began < time {
        renewal.want(*now, 1.0);
        if renewal.is_due(*now) {
            tries.push((*now - began).as_secs_f64());
        }
        *now += STEP;
    }
    tries
}

#[test]
fn the_first_try_follows_at_once_and_pauses_grow() {
    let (mut renewal, mut now) = (Renewal::default(), Instant::now());
    let times = tries(&mut renewal, &mut now, Duration::from_secs(60));
    assert_eq!(times[..5], [0.0, 0.75, 2.0, 4.25, 8.5]);
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 15.5), "{pauses:?}");

    let chances = [0.0, 0.5, 1.0].map(|chance| renewal.pause(chance));
    assert_eq!(chances[0] * 2, chances[2], "chance spreads the pauses");
    assert!(chances.is_sorted());
}

#[test]
fn only_media_that_flows_for_a_while_makes_the_pauses_short_again() {
    let (mut renewal, mut now) = (Renewal::default(), Instant::now());
    tries(&mut renewal, &mut now, Duration::from_secs(10));
    renewal.well(now);
    now += Duration::from_secs(1);
    renewal.well(now);
    renewal.want(now, 1.0);
    assert!(
        !renewal.is_due(now),
        "it plays and stalls, plays and stalls"
    );

    tries(&mut renewal, &mut now, Duration::from_secs(10));
    renewal.well(now);
    renewal.well(now + STEADY);
    renewal.want(now + STEADY, 1.0);
    assert!(renewal.is_due(now + STEADY));

    let mut moved = Renewal::default();
    tries(&mut moved, &mut now, Duration::from_secs(30));
    moved.on_network_change(now);
    moved.want(now, 1.0);
    assert!(moved.is_due(now), "another network, another chance");
}

#[test]
fn a_path_that_heals_by_itself_needs_no_other_one_unless_the_other_side_asks() {
    let (mut renewal, mut now) = (Renewal::default(), Instant::now());
    tries(&mut renewal, &mut now, Duration::from_secs(3));
    renewal.want(now, 1.0);
    renewal.well(now);
    assert!(!renewal.is_due(now + Duration::from_secs(60)));
    renewal.asked(now, 1.0);
    renewal.well(now);
    assert!(renewal.is_due(now + Duration::from_secs(60)));
}

#[test]
fn an_offer_that_does_not_come_is_asked_for_again() {
    let (mut renewal, now) = (Renewal::default(), Instant::now());
    renewal.want(now, 1.0);
    assert!(renewal.is_due(now));
    renewal.waits(now, 1.0);
    renewal.want(now + STEP, 1.0);
    assert!(!renewal.is_due(now + Duration::from_secs(2)));
    assert!(renewal.is_due(now + Duration::from_secs(4)));
    renewal.waits(now, 1.0);
    renewal.begun();
    assert!(!renewal.is_due(now + Duration::from_secs(60)), "it came");
}

#[test]
fn where_a_direct_path_is_in_vain_every_other_try_goes_through_turn_servers() {
    let server = |credential: Option<&str>| IceServer {
        urls: vec![],
        username: None,
        credential: credential.map(str::to_owned),
    };
    let policies = |server| {
        let ice = Ice {
            servers: vec![server],
            transport_policy: IceTransportPolicy::All,
        };
        let mut renewal = Renewal::default();
        [1, 2, 3, 4, 5].map(|tries| {
            renewal.tries = tries;
            renewal.servers(&ice).transport_policy
        })
    };
    use IceTransportPolicy::{All, Relay};
    assert_eq!(policies(server(Some("x"))), [All, All, Relay, All, Relay]);
    assert_eq!(policies(server(None)), [All; 5], "there is no TURN server");
}

/// One of two sides, with what it has sent to the other.
struct End {
    renewal: Renewal,
    generations: Generations,
    /// Generations that were begun here.
    begun: u32,
}

enum Message {
    Offer(Generation),
    Renew(Generation),
}

impl End {
    fn new(side: Side) -> Self {
        Self {
            renewal: Renewal::default(),
            generations: Generations::new(side),
            begun: 0,
        }
    }

    fn act(&mut self, now: Instant) -> Option<Message> {
        if !self.renewal.is_due(now) {
            return None;
        }
        match self.generations.side() {
            Side::Offerer => {
                self.renewal.begun();
                self.begun += 1;
                Some(Message::Offer(self.generations.begin()))
            }
            Side::Answerer => {
                self.renewal.waits(now, 0.5);
                self.generations.newest().map(Message::Renew)
            }
        }
    }

    fn take(&mut self, message: &Message, now: Instant) {
        match message {
            Message::Offer(generation) => {
                if self.generations.on_offer(*generation).is_some() {
                    self.renewal.begun();
                    self.begun += 1;
                }
            }
            Message::Renew(generation) => {
                if self.generations.on_renew(*generation) {
                    self.renewal.asked(now, 0.5);
                }
            }
        }
    }
}

#[test]
fn two_sides_that_stall_at_once_make_one_generation() {
    // Steps by which one notices later than the other, and for which a message is under way.
    for (late, way) in [(0, 1), (0, 4), (2, 1), (-2, 1), (4, 4), (-4, 4), (1, 8)] {
        let mut ends = [End::new(Side::Offerer), End::new(Side::Answerer)];
        let first = ends[0].generations.begin();
        ends[1].generations.on_offer(first);
        let began = Instant::now();
        let mut under_way: Vec<(i32, usize, Message)> = Vec::new();
        for step in 0..100 {
            let now = began + STEP * u32::try_from(step).unwrap();
            for index in 0..2 {
                let noticed = 10 + late * i32::try_from(index).unwrap();
                // The new generation plays as soon as both have begun it.
                let plays = ends[0].begun > 0 && ends[1].begun > 0;
                if step >= noticed && !plays && ends[index].begun == 0 {
                    ends[index].renewal.want(now, 0.5);
                }
                if let Some(message) = ends[index].act(now) {
                    under_way.push((step + way, 1 - index, message));
                }
            }
            let (due, later) = under_way.into_iter().partition(|(at, ..)| *at <= step);
            under_way = later;
            for (_, to, message) in Vec::into_iter(due) {
                ends[to].take(&message, now);
            }
        }
        let begun = [ends[0].begun, ends[1].begun];
        assert_eq!(begun, [1, 1], "late by {late}, {way} steps on the way");
    }
}
