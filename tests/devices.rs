//! Devices go away in the midst of a call, and come back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/media.rs"]
mod media;
#[path = "support/standins.rs"]
mod standins;
mod support;

use std::path::PathBuf;
use std::time::Duration;

use attache::job::Parameters;
use attache::media::capture::Capture;
use attache::media::choice::Track;
use attache::media::devices::DeviceKind;
use attache::media::playback::Playback;
use attache::media::{DeviceNews, MediaEvent, MediaKind};
use attache::pipeline::Description;
use daemon::{Daemon, manifest, media_files};
use media::{Content, Picture};
use serde_json::{Value, json};
use standins::StandIns;
use support::{Consumer, Outlet, Source, amplitude, context, mono};
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// A busy machine freezes pictures, too: the benchmark measures, this only tells short from long.
const LONGEST_GAP: Duration = Duration::from_millis(1500);

/// A kiosk with a camera to unplug, and a recorder that receives what it sends.
struct Call {
    daemon: Daemon,
    _stand_ins: StandIns,
    camera: PathBuf,
    kiosk: String,
    recorder: String,
}

impl Call {
    async fn begin() -> Self {
        let stand_ins = StandIns::new(&[]);
        let camera = stand_ins.cache().with_file_name("camera");
        std::fs::write(&camera, "works").unwrap();
        let plug = ("ATTACHE_STANDIN_camera", camera.display().to_string());
        let environment = stand_ins.environment();
        let mut environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        environment.push((plug.0, &plug.1));
        let daemon = Daemon::start_with("", &environment);
        let recorder = daemon.job("recorder", "recorder", "lobby").await;
        let kiosk = daemon
            .job_with(json!({
                "role": "kiosk", "room": "lobby", "description": "kiosk",
                "parameters": {
                    "width": 320, "height": 180, "flash": false, "microphone": "none",
                    "display": "none", "speaker": "none",
                },
            }))
            .await;
        let call = Self {
            daemon,
            camera,
            _stand_ins: stand_ins,
            kiosk,
            recorder,
        };
        call.until_recorded(1500).await;
        call
    }

    /// Waits until so much more of the kiosk was recorded.
    async fn until_recorded(&self, ms: u64) {
        let recorded = |view: &Value| {
            let files = view["recordings"].as_array().unwrap();
            files
                .iter()
                .filter_map(|file| file["duration_ms"].as_u64())
                .max()
                .unwrap_or(0)
        };
        let before = recorded(&self.daemon.view(&self.recorder).await);
        let wanted = |view: &Value| recorded(view) >= before + ms;
        self.daemon
            .until(&self.recorder, "it is recorded", wanted)
            .await;
    }

    async fn until_lost(&self) -> Value {
        let lost = |view: &Value| view["lost"][0]["device"] == "camera";
        self.daemon
            .until(&self.kiosk, "the camera is lost", lost)
            .await
    }

    async fn until_back(&self) -> Value {
        let back = |view: &Value| view["lost"][0].is_null();
        self.daemon
            .until(&self.kiosk, "the camera is back", back)
            .await
    }

    /// What was recorded: one file, since the peer stayed the same.
    async fn end(self) -> Vec<Picture> {
        assert_eq!(self.daemon.view(&self.kiosk).await["restarts"], 0);
        self.daemon.end(&self.recorder).await;
        let recording = self.daemon.recording();
        let files = media_files(&recording);
        assert_eq!(files.len(), 1, "{:?}", manifest(&recording));
        Content::of(&files[0]).pictures
    }
}

fn is_white(picture: &Picture) -> bool {
    picture.brightness > 200.0 && picture.contrast < 20.0
}

/// Runs of pictures: whether they are the camera's, and how many.
fn runs(pictures: &[Picture]) -> Vec<(bool, usize)> {
    let mut runs: Vec<(bool, usize)> = Vec::new();
    for picture in pictures {
        let is_white = is_white(picture);
        match runs.last_mut() {
            Some((white, count)) if *white == is_white => *count += 1,
            Some(_) | None => runs.push((is_white, 1)),
        }
    }
    runs
}

#[track_caller]
fn assert_replaced_and_back(pictures: &[Picture]) {
    let runs = runs(pictures);
    let kinds: Vec<_> = runs.iter().map(|(is_white, _)| *is_white).collect();
    assert_eq!(kinds, [true, false, true], "{runs:?}");
    assert!(runs.iter().all(|(_, count)| *count >= 20), "{runs:?}");
    let gaps = pictures
        .windows(2)
        .map(|pair| pair[1].at.saturating_sub(pair[0].at));
    let longest = gaps.max().unwrap();
    println!("longest gap between pictures: {longest:?}");
    assert!(longest <= LONGEST_GAP, "the picture froze for {longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unplugged_camera_is_replaced_in_the_same_peer_and_comes_back_when_plugged_in() {
    let call = Call::begin().await;
    std::fs::remove_file(&call.camera).unwrap();
    let view = call.until_lost().await;
    let reason = view["lost"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("the camera is unplugged"), "{reason}");
    assert_eq!(view["losses"]["camera"], 1);
    let metrics = call.daemon.text("/metrics").await;
    assert!(
        metrics.contains("attache_devices_lost{device=\"camera\"} 1"),
        "{metrics}"
    );
    call.until_recorded(2000).await;
    std::fs::write(&call.camera, "works").unwrap();
    let view = call.until_back().await;
    let notices = view["notices"].to_string();
    assert!(notices.contains("camera: it is back"), "{notices}");
    let metrics = call.daemon.text("/metrics").await;
    assert!(
        metrics.contains("attache_devices_lost{device=\"camera\"} 0"),
        "{metrics}"
    );
    assert!(
        metrics.contains("attache_device_losses_total{device=\"camera\"} 1"),
        "{metrics}"
    );
    call.until_recorded(2000).await;
    assert_replaced_and_back(&call.end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_gives_no_pictures_is_replaced_until_it_does() {
    let call = Call::begin().await;
    std::fs::write(&call.camera, "silent").unwrap();
    let view = call.until_lost().await;
    assert_eq!(view["lost"][0]["reason"], "it gives no picture");
    call.until_recorded(2000).await;
    std::fs::write(&call.camera, "works").unwrap();
    call.until_back().await;
    call.until_recorded(2000).await;
    assert_replaced_and_back(&call.end().await);
}

fn described(text: &str) -> Description {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.toml"), text).unwrap();
    Description::load(folder.path(), "test").unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until a device is lost, or back.
async fn until_told(events: &mut UnboundedReceiver<MediaEvent>, device: DeviceKind, is_lost: bool) {
    let wait = async {
        loop {
            match events.recv().await.expect("it lives") {
                MediaEvent::Device(DeviceNews { device: of, lost }) => {
                    assert_eq!(of, device, "{lost:?}");
                    if lost.is_some() == is_lost {
                        return;
                    }
                }
                MediaEvent::Failed(error) => panic!("{error}"),
                MediaEvent::Notice(_)
                | MediaEvent::Encoder(_)
                | MediaEvent::Speech(_)
                | MediaEvent::Filter(_) => {}
            }
        }
    };
    let told = tokio::time::timeout(support::LIMIT, wait).await;
    told.expect("it is told in time");
}

/// Listens until half a second is loud, or not; gives the longest time between two pieces of sound.
async fn hear(sound: &mut Consumer, is_loud: bool) -> Duration {
    let (mut heard, mut last, mut longest) = (Vec::new(), None, Duration::ZERO);
    let listen = async {
        loop {
            let sample = sound.next().await;
            let pts = Duration::from(sample.buffer().unwrap().pts().unwrap());
            longest = longest.max(pts.saturating_sub(last.unwrap_or(pts)));
            last = Some(pts);
            heard.extend(mono(&sample));
            heard.drain(..heard.len().saturating_sub(24_000));
            if heard.len() == 24_000 && (amplitude(&heard, 1000) > 0.1) == is_loud {
                return;
            }
        }
    };
    let listened = tokio::time::timeout(support::LIMIT, listen).await;
    listened.unwrap_or_else(|_| panic!("loud: {is_loud} in time"));
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_ends_is_replaced_by_silence_and_begun_anew() {
    let (events, mut told) = mpsc::unbounded_channel();
    let description = described(
        "role = \"kiosk\"\nsummary = \"two seconds of sound\"\n[capture]\naudio = \"\"\"audiotestsrc freq=1000 \
         volume=0.5 samplesperbuffer=480 num-buffers=200 ! audio/x-raw,rate=48000 ! clocksync\"\"\"\n",
    );
    let capture = Capture::start(&description, &Parameters::new(), context(), events).await;
    let capture = capture.unwrap();
    let mut sound = Consumer::attach(&capture.raw(MediaKind::Audio).unwrap());
    let mut longest = hear(&mut sound, true).await;
    until_told(&mut told, DeviceKind::Microphone, true).await;
    longest = longest.max(hear(&mut sound, false).await);
    until_told(&mut told, DeviceKind::Microphone, false).await;
    longest = longest.max(hear(&mut sound, true).await);
    assert!(longest <= LONGEST_GAP, "nothing came for {longest:?}");
    assert!(capture.sends().audio);
    capture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_display_that_fails_is_taken_again_and_sound_goes_on_meanwhile() {
    let (events, mut told) = mpsc::unbounded_channel();
    let description = described(
        "role = \"kiosk\"\nsummary = \"a display that fails\"\n\
         [settings.video]\nwidth = 320\nheight = 180\nframerate = 10\n\
         [playback]\nvideo = \"identity error-after=30 ! intervideosink channel=lost\"\n\
         audio = \"interaudiosink channel=lost\"\n",
    );
    let playback = Playback::start(&description, &Parameters::new(), context(), events).await;
    let playback = playback.unwrap();
    let (source, anna) = (Source::start("white", 1000), "anna".parse().unwrap());
    let _video = playback.attach(&anna, MediaKind::Video, Track::Original, &source.video);
    let _audio = playback.attach(&anna, MediaKind::Audio, Track::Original, &source.audio);
    let mut outlet = Outlet::open("lost");
    let is_loud = |of: &dyn Fn(u32) -> f64| of(1000) > 0.1;
    for _ in 0..2 {
        outlet
            .wait_for_picture(|luma| luma.data[luma.stride * 90 + 160] > 200)
            .await;
        until_told(&mut told, DeviceKind::Display, true).await;
        outlet.wait_for_sound(is_loud).await;
        until_told(&mut told, DeviceKind::Display, false).await;
    }
    outlet.wait_for_sound(is_loud).await;
    playback.stop().await;
}
