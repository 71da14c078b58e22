//! One kiosk, and those who watch it over links of different rates: congestion control, tiers and fan-out together.
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

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use apart::Place;
use lossy::Link;
use media::Content;

/// What is recorded after all have what their links carry.
const GOES_ON: Duration = Duration::from_secs(4);

#[test]
fn each_of_three_links_gets_the_picture_that_it_carries_and_nobody_is_disturbed() {
    let links = [Link::new(), Link::new(), Link::new()];
    let place = Place::at(&links[0].here, "");
    links.iter().for_each(Link::route_here);
    // 640x360 to 600 kb/s, 320x180 to 200, sound alone where less than 66 are left for the picture.
    let kiosk = place.kiosk_here(&[
        "width=640",
        "height=360",
        "bitrate_kbps=600",
        "pattern=zone-plate",
    ]);
    let mut recorders = links
        .each_ref()
        .map(|link| (place.recorder_at(link), Duration::ZERO));
    for (recorder, _) in &recorders {
        recorder.until_recorded(Duration::from_secs(1));
    }
    for (link, kilobits) in links.iter().zip([None, Some(350), Some(100)]) {
        if let Some(kilobits) = kilobits {
            link.limit(kilobits);
        }
    }
    let tiers = RefCell::new(BTreeMap::new());
    kiosk.until("two go down, each to what its link carries", |event| {
        if event["event"] == "tier" {
            let tier = event["tier"].as_str().unwrap_or("none").to_owned();
            tiers
                .borrow_mut()
                .insert(event["participant"].to_string(), tier);
        }
        let mut now: Vec<_> = tiers.borrow().values().cloned().collect();
        now.sort();
        // Of the first nothing is told: it has had the best tier from the beginning.
        now.retain(|tier| tier != "360p30");
        now == ["180p30", "none"]
    });
    for (recorder, turned) in &mut recorders {
        *turned = recorder.recorded();
        recorder.until_recorded(*turned + GOES_ON);
    }
    let turned = recorders.map(|(mut recorder, turned)| {
        recorder.end();
        turned
    });
    let [whole, small, heard] = links
        .each_ref()
        .map(|link| Content::of(&place.recorded_at(link)));

    let lines = |content: &Content, from: Duration| -> Vec<u32> {
        let late = content.pictures.iter().filter(|picture| picture.at > from);
        late.map(|picture| picture.height).collect()
    };
    let undisturbed = lines(&whole, Duration::ZERO);
    assert!(
        undisturbed.iter().all(|lines| *lines == 360),
        "{undisturbed:?}"
    );
    let gaps = whole
        .pictures
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at);
    let longest = gaps.max().unwrap();
    println!(
        "{} whole pictures, the longest gap {longest:?}",
        undisturbed.len()
    );
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    let smaller = lines(&small, turned[1] + Duration::from_secs(1));
    assert!(smaller.len() > 30, "{smaller:?}");
    // It may have tried once whether the link carries more.
    let fitting = smaller.iter().filter(|lines| **lines == 180).count();
    assert!(fitting * 10 > smaller.len() * 7, "{smaller:?}");
    let none = lines(&heard, turned[2] + Duration::from_secs(1));
    assert!(none.is_empty(), "{none:?}");
    for (content, name) in [(&whole, "first"), (&small, "second"), (&heard, "third")] {
        let beeps = content.beeps();
        let last = beeps.last().copied().unwrap_or_default();
        let end = content.sound.last().unwrap().at;
        assert!(
            end - last < Duration::from_secs(2),
            "{name}: {beeps:?} of {end:?}"
        );
    }
}
