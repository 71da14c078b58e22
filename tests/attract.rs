//! Attract mode in a real room: a kiosk plays its clip until somebody who sends comes, and again when they have left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/job.rs"]
mod job;
mod support;

use attache::job::Role;
use attache::media::timecode::{self, Luma};
use daemon::Daemon;
use support::Outlet;

/// Brightness at a point, in parts of the picture's size.
fn at(luma: &Luma<'_>, x: f64, y: f64) -> u8 {
    let (column, row) = (x * luma.width as f64, y * luma.height as f64);
    luma.data[row as usize * luma.stride + column as usize]
}

/// `pipelines/media/welcome.png`: dark, with a bright bubble.
fn is_welcome(luma: &Luma<'_>) -> bool {
    at(luma, 0.5, 0.27) > 130 && at(luma, 0.95, 0.05) < 45 && at(luma, 0.05, 0.95) < 45
}

/// The test picture of another kiosk.
fn is_test_picture(luma: &Luma<'_>) -> bool {
    timecode::read(luma).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clip_ends_when_somebody_comes_and_comes_back_when_they_leave() {
    let daemon = Daemon::start("");
    let folder = tempfile::tempdir().unwrap();
    let text = "role = 'kiosk'\nsummary = 'test'\n[settings.video]\nwidth = 320\nheight = 180\nframerate = 10\n\
        [capture]\naudio = 'audiotestsrc wave=silence ! clocksync'\n\
        [attract]\nvideo = 'attacheclip location=welcome.png'\n\
        audio = 'audiotestsrc freq=440 volume=0.2 samplesperbuffer=480 ! clocksync'\n\
        [playback]\nvideo = 'intervideosink channel=attract'\naudio = 'interaudiosink channel=attract'\n";
    std::fs::write(folder.path().join("x.toml"), text).unwrap();
    attache::media::init().unwrap();
    let mut seen = Outlet::open("attract");
    let mut kiosk = job::start(&daemon, Role::Kiosk, folder.path(), "x", "lobby");
    kiosk.joined().await;
    seen.wait_for_picture(is_welcome).await;
    seen.wait_for_sound(|tone| tone(440) > 0.1).await;

    // One who sends nothing changes nothing.
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    daemon
        .until(&recorder, "it is there", |view| view["state"] == "joined")
        .await;
    let visitor = daemon.job("kiosk", "kiosk-test", "lobby").await;
    seen.wait_for_picture(is_test_picture).await;
    seen.wait_for_sound(|tone| tone(440) < 0.01).await;
    seen.wait_for_picture(|luma| is_test_picture(luma) && !is_welcome(luma))
        .await;

    daemon.end(&visitor).await;
    seen.wait_for_picture(is_welcome).await;
    seen.wait_for_sound(|tone| tone(440) > 0.1).await;
    kiosk.end().await;
}
