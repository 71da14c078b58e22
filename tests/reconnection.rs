//! A kiosk and a recorder whose network fails in the middle of a call: they stay in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/apart.rs"]
mod apart;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/lossy.rs"]
mod lossy;
#[path = "support/media.rs"]
mod media;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use apart::{Job, Place};
use attache::network::Changes;
use lossy::Link;
use media::Content;

/// Until the sender's first reports, sound and picture lie where they arrived.
const SETTLED: Duration = Duration::from_millis(2500);

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Ends the recording and looks at its one file: flashes before and after a gap, and all of them at the same
/// part of a second, as they were made.
fn assert_gap_right_in_time(place: &Place, mut recorder: Job, generations: RangeInclusive<usize>) {
    recorder.end();
    let (recording, file) = place.recorded();
    let content = Content::of(&file);
    let flashes = content.flashes();
    println!("flashes {flashes:.2?}");
    let (longest, gap) = flashes
        .windows(2)
        .map(|pair| (pair[1] - pair[0], pair[0]))
        .max()
        .expect("flashes");
    assert!(longest >= s(1.5), "there is a gap: {flashes:?}");
    let before = flashes.iter().filter(|at| **at <= gap).count();
    assert!(before >= 2, "before the gap: {flashes:?}");
    assert!(flashes.len() - before >= 3, "after it: {flashes:?}");
    let settled: Vec<_> = flashes.iter().filter(|at| **at >= SETTLED).collect();
    let first = settled.first().expect("flashes").as_secs_f64();
    let mut off: Vec<_> = settled
        .iter()
        .map(|at| (at.as_secs_f64() - first + 0.5).rem_euclid(1.0) - 0.5)
        .map(f64::abs)
        .collect();
    off.sort_by(f64::total_cmp);
    // A flash whose first picture was lost, and the first after a gap, may begin late.
    let most = off[off.len() * 7 / 10];
    assert!(most <= 0.1, "the gap is as long as it was: off by {off:?}");
    let manifest = daemon::manifest(&recording).to_string();
    let counted = manifest.matches("\"generation\":").count();
    assert!(
        generations.contains(&counted),
        "{counted} generations in the manifest, {generations:?} are right"
    );
}

/// Until it is in its room again after it was lost.
fn until_back(kiosk: &Job) -> Instant {
    kiosk.until("the signalling is lost", |event| {
        event["state"] == "reconnecting"
    });
    kiosk.until("it is back", |event| event["state"] == "joined")
}

// The longest: by its name it begins first, and the others run beside it.
#[test]
fn a_call_and_its_recording_outlive_a_path_that_is_away_for_forty_seconds() {
    let mut link = Link::new();
    let place = Place::at(&link.here, "");
    let kiosk = place.kiosk(&link);
    let recorder = place.recorder();
    recorder.until_recorded(s(4.0));
    link.cut();
    std::thread::sleep(s(40.0));
    link.mend();
    let mended = Instant::now();
    let back = until_back(&kiosk) - mended;
    println!("signalling back after {back:?}");
    // What is on disk ends with the last frame: so long it is only with one from after the cut.
    recorder.until_recorded(s(40.0));
    let again = recorder.recorded();
    recorder.until_recorded(again + s(5.0));
    // The tries that went under meanwhile are in the manifest, too.
    assert_gap_right_in_time(&place, recorder, 1..=9);
}

#[test]
fn a_recording_goes_on_when_a_path_that_was_cut_is_back() {
    let mut link = Link::new();
    let mut control = link.beside();
    let place = Place::at(&control.here, "");
    control.only(&place.port);
    let _kiosk = place.kiosk(&link);
    let recorder = place.recorder();
    recorder.until_recorded(s(5.0));
    link.cut();
    let cut = Instant::now();
    let noticed = recorder.until_stalled() - cut;
    println!("noticed after {noticed:?}");
    assert!(noticed >= s(1.0), "a hiccup is no stall: {noticed:?}");
    link.mend();
    recorder.until_recorded(s(11.0));
    // The old path heals by itself, and the next generation, which was under way, takes over or is given up.
    assert_gap_right_in_time(&place, recorder, 1..=3);
}

#[test]
fn a_kiosk_that_gets_another_address_is_recorded_in_the_same_file() {
    let link = Link::new();
    let mut control = link.beside();
    let place = Place::at(&control.here, "");
    control.only(&place.port);
    let kiosk = place.kiosk(&link);
    let recorder = place.recorder();
    recorder.until_recorded(s(5.0));
    let moved = Instant::now();
    link.address("del", 2);
    let noticed = kiosk.until_stalled() - moved;
    link.address("add", 3);
    let added = Instant::now();
    let connected = recorder.until_peer(2, "connected") - added;
    println!("noticed after {noticed:?}, connected {connected:?} after there was another address");
    recorder.until_peer(1, "closed");
    recorder.until_recorded(s(11.0));
    assert_gap_right_in_time(&place, recorder, 2..=2);
}

#[test]
fn a_kiosk_with_one_network_that_gets_another_address_is_back_soon() {
    let link = Link::new();
    let place = Place::at(&link.here, "");
    let kiosk = place.kiosk(&link);
    let recorder = place.recorder();
    recorder.until_recorded(s(4.0));
    link.address("del", 2);
    let moved = Instant::now();
    link.address("add", 3);
    let back = until_back(&kiosk) - moved;
    println!("signalling back after {back:?}");
    // Without notice of the change it would be twelve seconds at least.
    assert!(back < s(10.0), "{back:?}");
    recorder.until_peer(2, "connected");
    recorder.until_recorded(s(11.0));
    assert_gap_right_in_time(&place, recorder, 2..=3);
}

#[test]
fn a_router_that_forgets_its_connections_ends_neither_call_nor_recording() {
    let link = Link::new();
    let router = link.behind_a_router();
    let place = Place::at(&link.here, "");
    let kiosk = place.kiosk(&router);
    let recorder = place.recorder();
    recorder.until_recorded(s(4.0));
    link.rebind();
    let rebound = Instant::now();
    until_back(&kiosk);
    // Pictures come up to five seconds after the change, and three more are to be seen.
    recorder.until_recorded(s(13.0));
    println!("nine seconds recorded {:?} after", rebound.elapsed());
    drop(recorder);
    let (recording, file) = place.recorded();
    let content = Content::of(&file);
    // Of the last seconds each has its flash, where it belongs.
    let flashes: Vec<_> = content
        .flashes()
        .iter()
        .map(Duration::as_secs_f64)
        .collect();
    let last = &flashes[flashes.len() - 3..];
    let apart: Vec<_> = last.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        apart.iter().all(|apart| (0.9..1.1).contains(apart)),
        "{flashes:?}"
    );
    assert!(
        *last.last().unwrap() > 8.0,
        "{flashes:?} {}",
        daemon::manifest(&recording)
    );
}

#[tokio::test]
async fn changes_of_addresses_links_and_routes_are_told() {
    // Others' namespaces and links come and go on this machine, so only that something is told can be seen.
    let mut changes = Changes::watch().unwrap();
    let link = Link::new();
    let told = tokio::time::timeout(Duration::from_secs(20), changes.next());
    told.await.expect("in time").unwrap();
    link.address("add", 7);
    drop(link);
    let told = tokio::time::timeout(Duration::from_secs(20), changes.next());
    told.await.expect("in time").unwrap();
}
