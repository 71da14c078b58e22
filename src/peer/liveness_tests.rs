//! Peers that fall silent, on a clock of the tests' own.

use super::*;

const STEP: Duration = Duration::from_millis(250);

/// A peer that is looked at four times a second.
struct Watched {
    liveness: Liveness,
    now: Instant,
    seen: Seen,
    probes: u32,
}

impl Watched {
    fn connected(can_probe: bool) -> Self {
        let now = Instant::now();
        let mut liveness = Liveness::new(now);
        liveness.on_state(PeerState::Connected);
        Self {
            liveness,
            now,
            seen: Seen {
                heard: 10,
                can_probe,
                expects: true,
            },
            probes: 0,
        }
    }

    /// Lets time pass in which `rate` packets come in each step. The first stall, and when it was found.
    fn pass(&mut self, time: Duration, rate: u64) -> Option<(StallReason, Duration)> {
        let began = self.now;
        while self.now - began < time {
            self.now += STEP;
            self.seen.heard += rate;
            match self.liveness.look(self.seen, self.now) {
                Verdict::Stalled(reason) => return Some((reason, self.now - began)),
                Verdict::Probe => self.probes += 1,
                Verdict::Well | Verdict::Connecting => {}
            }
        }
        None
    }
}

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn a_flow_that_breaks_off_is_noticed_after_a_second_and_a_half() {
    for can_probe in [true, false] {
        let mut peer = Watched::connected(can_probe);
        assert_eq!(peer.pass(s(10.0), 12), None);
        let (reason, after) = peer.pass(s(10.0), 0).unwrap();
        assert_eq!(reason, StallReason::Silence);
        assert!((s(1.5)..=s(1.75)).contains(&after), "{after:?}");
        assert_eq!(peer.probes, u32::from(can_probe), "it was asked once");
        assert_eq!(peer.pass(s(5.0), 12), None, "it came back");
    }
}

#[test]
fn who_is_muted_and_acknowledges_probes_is_not_taken_for_lost() {
    let mut peer = Watched::connected(true);
    peer.seen.expects = false;
    for _ in 0..20 {
        assert_eq!(peer.pass(s(1.0), 0), None);
        // The acknowledgement.
        peer.seen.heard += 1;
    }
    assert!(peer.probes >= 15, "{} probes", peer.probes);
    assert_eq!(peer.pass(s(5.0), 0).unwrap().0, StallReason::Silence);
}

#[test]
fn without_a_data_channel_who_is_muted_may_be_silent() {
    let mut peer = Watched::connected(false);
    assert_eq!(peer.pass(s(3.0), 12), None);
    peer.seen.expects = false;
    assert_eq!(peer.pass(s(60.0), 0), None);
    let mut never = Watched::connected(false);
    assert_eq!(never.pass(s(60.0), 0), None, "nothing ever came");
}

#[test]
fn a_change_of_the_network_makes_impatient_for_a_while() {
    let mut peer = Watched::connected(true);
    assert_eq!(peer.pass(s(5.0), 12), None);
    peer.liveness.on_network_change();
    // What was under way arrives yet.
    assert_eq!(peer.pass(STEP, 3), None);
    let (reason, after) = peer.pass(s(5.0), 0).unwrap();
    assert_eq!(reason, StallReason::Network);
    assert!(after <= s(1.0), "{after:?}");

    let mut other = Watched::connected(true);
    other.liveness.on_network_change();
    assert_eq!(other.pass(s(10.0), 12), None, "it was another interface");
    assert_eq!(other.pass(s(5.0), 0).unwrap().0, StallReason::Silence);
}

#[test]
fn time_in_which_this_process_was_held_up_is_no_silence() {
    let mut peer = Watched::connected(true);
    assert_eq!(peer.pass(s(5.0), 12), None);
    peer.now += s(60.0);
    assert_eq!(peer.pass(STEP, 0), None);
    assert_eq!(peer.pass(s(5.0), 12), None);
}

#[test]
fn states_and_a_connection_that_takes_too_long_are_told_apart() {
    let now = Instant::now();
    for (state, reason) in [
        (PeerState::Disconnected, StallReason::Disconnected),
        (PeerState::Failed, StallReason::Failed),
        (PeerState::Closed, StallReason::Closed),
    ] {
        let mut liveness = Liveness::new(now);
        liveness.on_state(state);
        let verdict = liveness.look(Seen::default(), now);
        assert_eq!(verdict, Verdict::Stalled(reason));
    }
    let mut peer = Watched::connected(true);
    peer.liveness = Liveness::new(peer.now);
    let (reason, after) = peer.pass(s(30.0), 1).unwrap();
    assert_eq!(reason, StallReason::Timeout);
    assert!((s(10.0)..=s(10.5)).contains(&after), "{after:?}");
}

/// Reports once a second of a track with 50 packets a second, which stop arriving after `arrives`.
fn reported(arrives: u64, seconds: u64, per_second: u64) -> Option<u64> {
    let mut peer = Watched::connected(true);
    for second in 1..=seconds {
        let sent = second * per_second;
        let report = Reported {
            reports: second,
            highest: u32::try_from(sent.min(arrives * per_second)).unwrap(),
            sent,
        };
        // Told at each look.
        for _ in 0..4 {
            peer.liveness.on_report(7, report, peer.now);
            if let Some((reason, _)) = peer.pass(STEP, 12) {
                assert_eq!(reason, StallReason::Unheard);
                return Some(second - arrives);
            }
        }
    }
    None
}

#[test]
fn a_track_that_does_not_arrive_there_is_noticed_by_the_reports() {
    assert_eq!(reported(10, 30, 50), Some(2));
    assert_eq!(reported(30, 30, 50), None, "all arrives");
    assert_eq!(reported(10, 20, 0), None, "nothing is sent");
    assert_eq!(reported(10, 14, 5), None, "a few packets may be under way");
}

#[test]
fn a_connection_that_is_under_way_when_the_addresses_change_is_given_up_for_another() {
    let mut peer = Watched::connected(true);
    peer.liveness.on_state(PeerState::Connecting);
    assert_eq!(peer.pass(s(0.25), 0), None);
    peer.liveness.on_network_change();
    assert_eq!(peer.pass(s(1.0), 0), None, "it has only begun");
    peer.liveness.on_network_change();
    let (reason, after) = peer.pass(s(1.0), 0).unwrap();
    assert_eq!((reason, after), (StallReason::Timeout, STEP));

    let mut young = Watched::connected(true);
    young.liveness.on_state(PeerState::Connecting);
    young.liveness.on_network_change();
    let (reason, after) = young.pass(s(10.0), 0).unwrap();
    assert_eq!((reason, after), (StallReason::Timeout, DOUBTFUL));

    let mut connected = Watched::connected(true);
    connected.pass(s(5.0), 12);
    connected.liveness.on_network_change();
    assert_eq!(connected.pass(s(5.0), 12), None);
}
