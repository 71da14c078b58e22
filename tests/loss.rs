//! A recorder at the end of a network that loses packets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/apart.rs"]
mod apart;
#[path = "support/lossy.rs"]
mod lossy;
#[path = "support/media.rs"]
mod media;

use std::time::Duration;

use apart::Place;
use lossy::Lossy;
use media::Content;

/// Records a kiosk through a link that loses every so-manieth packet for so many seconds; what is in the file.
fn recorded(every: u32, seconds: u64) -> (Content, u64) {
    let network = Lossy::new(every);
    let place = Place::at(&network.link().here, "");
    let _kiosk = place.kiosk(network.link());
    let mut recorder = place.recorder();
    recorder.until_recorded(Duration::from_secs(seconds));
    recorder.end();
    let (_, file) = place.recorded();
    (Content::of(&file), network.lost())
}

/// Flashes and beeps that were found, and by how many milliseconds they are apart, in order.
struct Found {
    flashes: usize,
    beeps: usize,
    apart: Vec<f64>,
}

fn found(every: u32, seconds: u64) -> Found {
    let (content, lost) = recorded(every, seconds);
    let mut apart: Vec<f64> = content.offsets().iter().map(|ms| ms.abs()).collect();
    apart.sort_by(f64::total_cmp);
    let (flashes, beeps) = (content.flashes().len(), content.beeps().len());
    println!("{lost} packets lost; {flashes} flashes, {beeps} beeps; apart, in ms: {apart:.1?}");
    // The sound alone is 50 packets in each second.
    let least = seconds * 50 / u64::from(every);
    assert!(lost >= least, "the link loses packets: {lost} of {least}");
    Found {
        flashes,
        beeps,
        apart,
    }
}

#[test]
fn a_network_that_loses_one_packet_of_a_hundred_costs_no_sound_and_pictures_are_in_step() {
    let little = found(100, 18);
    assert!(little.beeps >= 17, "{} beeps", little.beeps);
    assert!(little.flashes >= 17, "{} flashes", little.flashes);
    let most = little.apart[little.apart.len() * 95 / 100];
    assert!(most <= 40.0, "95 of 100 are not further apart: {most} ms");
}

#[test]
fn a_network_that_loses_one_packet_of_twenty_costs_no_sound_and_pictures_come_back_in_step() {
    let much = found(20, 18);
    assert!(much.beeps >= 17, "{} beeps", much.beeps);
    assert!(much.flashes >= 16, "{} flashes", much.flashes);
    let middle = much.apart[much.apart.len() / 2];
    assert!(
        middle <= 40.0,
        "half of them are not further apart: {middle} ms"
    );
}
