//! Filters in calls: real processes, real media, what others then hear and write down.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/job.rs"]
mod job;
#[path = "support/media.rs"]
mod media;
#[path = "filter/sound.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod sound;
mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use attache::job::Value::{Boolean, Float, String as Text};
use attache::job::{Event, JobSpec, Of, Request, Role};
use daemon::{Daemon, LIMIT, kill, manifest};
use gst::prelude::*;
use gstreamer as gst;
use media::Content;
use serde_json::{Value, json};
use support::{mono, named, next, pipeline, samples_of};
use tokio::sync::mpsc::UnboundedReceiver;

/// The other engine is too slow for a call where it is built without optimization.
const LIGHT: &str = "rnnoise";

/// The folder of a test's descriptions: `voice` speaks in noise, over and over, and `denoise` does so without its noise;
/// `tone` sounds; `ear` hears; `dark` shows a dark picture; `half` is a filter that anybody can tell from the original.
fn descriptions() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let clean = sound::speech();
    let noisy = sound::mixed(clean, &sound::noise(clean.len(), 0.02));
    let media = folder.path().join("media");
    std::fs::create_dir(&media).unwrap();
    sound::encode(
        &noisy,
        1,
        &media.join("noisy.mkv"),
        &["-c:a", "libopus", "-b:a", "128k"],
    );
    let voice = "role = 'kiosk'\nsummary = 'a voice in noise'\n\
        [capture]\naudio = 'attacheclip location=noisy.mkv media=audio'\n";
    let tone = "role = 'kiosk'\nsummary = 'a tone'\n[capture]\n\
        audio = 'audiotestsrc freq=440 volume=0.4 samplesperbuffer=480 ! clocksync'\n";
    let ear = "role = 'kiosk'\nsummary = 'an ear'\n[capture]\n\
        audio = 'audiotestsrc wave=silence samplesperbuffer=480 ! clocksync'\n\
        [playback]\naudio = 'interaudiosink channel=ear'\n";
    let half = "role = 'filter'\nsummary = 'half as loud'\n[settings]\nlatency_ms = 20\n\
        [parameters.volume]\ndescription = 'how loud'\ntype = 'float'\ndefault = 0.5\nmin = 0.0\nmax = 1.0\n\
        [chain]\naudio = 'volume volume={volume}'\n";
    let dark = "role = 'kiosk'\nsummary = 'somebody in the dark'\n\
        [settings.video]\nwidth = 320\nheight = 180\nframerate = 15\n[capture]\n\
        video = 'videotestsrc pattern=solid-color foreground-color=0xff202020 ! clocksync'\n";
    // The shipped kiosk without noise, a file in the place of its microphone.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/kiosk-denoise.toml");
    let denoise = std::fs::read_to_string(shipped)
        .unwrap()
        .replace(
            "\n{microphone}\n",
            "\nattacheclip location=noisy.mkv media=audio\n",
        )
        .replace("fallback = \"kiosk-test\"\n", "");
    for (name, text) in [
        ("voice", voice),
        ("tone", tone),
        ("ear", ear),
        ("half", half),
        ("dark", dark),
        ("denoise", &denoise),
    ] {
        std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
    }
    attache::media::init().unwrap();
    folder
}

/// How loud it is where nobody speaks, and where somebody does: tenth and nineteenth of twenty parts of all 20 ms, in dB.
fn levels(sound: &[f32]) -> (f32, f32) {
    let mut levels: Vec<f32> = sound
        .chunks_exact(960)
        .map(|part| sound::decibels(sound::power(part)))
        .collect();
    levels.sort_by(f32::total_cmp);
    (levels[levels.len() / 10], levels[levels.len() * 19 / 20])
}

/// The noise is less by 10 dB, and the speech as loud as it was.
fn noise_is_less(raw: &[f32], enhanced: &[f32]) {
    let (noise, speech) = levels(raw);
    let (less_noise, same_speech) = levels(enhanced);
    println!("noise {noise:.1} -> {less_noise:.1} dB, speech {speech:.1} -> {same_speech:.1} dB");
    assert!(less_noise < noise - 10.0, "{noise} -> {less_noise}");
    assert!(
        (speech - same_speech).abs() < 3.0,
        "{speech} -> {same_speech}"
    );
}

/// The file of a visit, decoded, without its first second.
fn written(recording: &Path, visit: &Value) -> Vec<f32> {
    let file = visit["files"][0]["file"].as_str().expect("a file");
    let sound = sound::decoded(&recording.join(file), 1);
    sound[48_000.min(sound.len())..].to_vec()
}

/// A recorder has six seconds of two.
fn both(view: &Value) -> bool {
    let files = view["recordings"].as_array();
    let long = |file: &&Value| file["duration_ms"].as_u64() >= Some(6000);
    files.is_some_and(|files| files.iter().filter(long).count() == 2)
}

fn ended(view: &Value) -> bool {
    view["state"] == "stopped"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_writes_a_voice_as_it_came_and_beside_it_without_its_noise() {
    let daemon = Daemon::start("");
    let folder = descriptions();
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    let mut voice = job::start(&daemon, Role::Kiosk, folder.path(), "voice", "lobby");
    let id = voice.joined().await.to_string();
    let filter = daemon
        .job_with(
            json!({"role": "filter", "room": "lobby", "of": id, "parameters": { "engine": LIGHT }}),
        )
        .await;
    daemon.until(&recorder, "both are written", both).await;
    let view = daemon.view(&filter).await;
    let notices = view["notices"].to_string();
    assert!(
        notices.contains("the chain delays sound by 20.0 ms"),
        "{notices}"
    );
    voice.end().await;
    daemon
        .until(&filter, "the filter has ended, too", ended)
        .await;
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "the recorder has ended", ended)
        .await;

    let recording = daemon.recording();
    let manifest = manifest(&recording);
    let visits = manifest["visits"].as_array().unwrap();
    let [raw, enhanced] = &visits[..] else {
        panic!("two visits: {manifest:#}");
    };
    assert_eq!(raw["participant"], id.as_str());
    assert_eq!(enhanced["kind"], "filter");
    assert_eq!(enhanced["enhances"], id.as_str());
    noise_is_less(&written(&recording, raw), &written(&recording, enhanced));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kiosk_takes_the_noise_out_of_its_own_microphone() {
    let daemon = Daemon::start("");
    let folder = descriptions();
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    let mut raw = job::start(&daemon, Role::Kiosk, folder.path(), "voice", "lobby");
    let raw_id = raw.joined().await.to_string();
    let light = [
        ("engine".to_owned(), Text(LIGHT.to_owned())),
        ("camera".to_owned(), Text("none".to_owned())),
        // The voice is to be as loud as before.
        ("gain".to_owned(), Boolean(false)),
    ];
    let mut kiosk = job::start_with(
        &daemon,
        Role::Kiosk,
        folder.path(),
        ("denoise", "lobby"),
        light.into_iter().collect(),
    );
    let id = kiosk.joined().await;
    let takes_noise_out = |event: &Event| match event {
        Event::Filter {
            participant,
            report,
        } => {
            (*participant == id && report.frames > 50 && report.suppression_db > 6.0).then_some(())
        }
        _ => None,
    };
    kiosk.until("it tells of its filter", takes_noise_out).await;
    daemon.until(&recorder, "both are written", both).await;
    for kiosk in [raw, kiosk] {
        kiosk.end().await;
    }
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "the recorder has ended", ended)
        .await;
    let recording = daemon.recording();
    let manifest = manifest(&recording);
    let visits = manifest["visits"].as_array().unwrap();
    let is_raw = |visit: &&Value| visit["participant"] == raw_id.as_str();
    let raw = visits.iter().find(is_raw).expect("the voice");
    let clean = visits
        .iter()
        .find(|visit| !is_raw(visit))
        .expect("the kiosk");
    noise_is_less(&written(&recording, raw), &written(&recording, clean));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_of_pictures_brightens_somebody_in_the_dark() {
    let daemon = Daemon::start("");
    let folder = descriptions();
    let recorder = daemon.job("recorder", "recorder", "lobby").await;
    let mut dark = job::start(&daemon, Role::Kiosk, folder.path(), "dark", "lobby");
    let id = dark.joined().await.to_string();
    let small = json!({"width": 320, "height": 180});
    daemon
        .job_with(json!({"role": "filter", "room": "lobby", "of": id,
            "description": "filter-low-light", "parameters": small}))
        .await;
    daemon.until(&recorder, "both are written", both).await;
    dark.end().await;
    daemon.end(&recorder).await;
    daemon
        .until(&recorder, "the recorder has ended", ended)
        .await;
    let recording = daemon.recording();
    let manifest = manifest(&recording);
    let brightness = |kind: &str| {
        let visits = manifest["visits"].as_array().unwrap();
        let visit = visits.iter().find(|visit| visit["kind"] == kind).unwrap();
        let file = visit["files"][0]["file"].as_str().unwrap();
        let content = Content::of(&recording.join(file));
        content.pictures[content.pictures.len() / 2].brightness
    };
    let (before, after) = (brightness("kiosk"), brightness("filter"));
    println!("brightness {before:.0} -> {after:.0}");
    assert!(after > before + 20.0, "{before} -> {after}");
}

/// What the kiosk `ear` plays, from now on.
struct Ear {
    pipeline: gst::Pipeline,
    samples: UnboundedReceiver<gst::Sample>,
    /// Amplitude of each 10 ms.
    heard: Vec<f64>,
}

impl Ear {
    fn open() -> Self {
        let pipeline = pipeline(
            "interaudiosrc channel=ear ! audioconvert ! audio/x-raw,format=S16LE,rate=48000,channels=2 \
             ! appsink name=sink sync=false",
        );
        let samples = samples_of(&named(&pipeline, "sink"));
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            pipeline,
            samples,
            heard: Vec::new(),
        }
    }

    /// Waits until half a second is as loud as this; gives what was heard since the last call, that included.
    async fn until(&mut self, amplitude: f64) -> Vec<f64> {
        let is_so = |heard: &[f64]| heard.iter().all(|one| (one / amplitude - 1.0).abs() < 0.25);
        let wait = async {
            loop {
                let sound = mono(&next(&mut self.samples).await);
                let power = |part: &[f64]| part.iter().map(|one| one * one).sum::<f64>();
                let parts = sound.chunks_exact(480);
                self.heard
                    .extend(parts.map(|part| (power(part) / 240.0).sqrt()));
                if self.heard.len() >= 50 && is_so(&self.heard[self.heard.len() - 50..]) {
                    return;
                }
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        assert!(waited.is_ok(), "{amplitude} in time: {:.2?}", self.heard);
        std::mem::take(&mut self.heard)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// `attache filter` from the shell. Dropped, it is killed.
struct Shell(Child);

impl Shell {
    fn start(daemon: &Daemon, pipelines: &Path, description: &str, of: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_attache"))
            .args(["filter", "--join", &format!("{}/r/lobby", daemon.url)])
            .args(["--of", of, "--description", description, "--pipelines"])
            .arg(pipelines)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// The longest time, in milliseconds, in which nothing was to be heard.
fn hole(heard: &[f64]) -> usize {
    let silences = heard.split(|amplitude| *amplitude > 0.05);
    10 * silences.map(<[f64]>::len).max().unwrap_or(0)
}

/// The time, in milliseconds, in which the tone was louder than it is sent: both were heard.
fn doubled(heard: &[f64]) -> usize {
    10 * heard.iter().filter(|amplitude| **amplitude > 0.5).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_stalls_or_is_killed_is_left_out_within_200_ms_and_never_doubled() {
    let daemon = Daemon::start("");
    let folder = descriptions();
    let mut tone = job::start(&daemon, Role::Kiosk, folder.path(), "tone", "lobby");
    let id = tone.joined().await.to_string();
    let mut ear = job::start(&daemon, Role::Kiosk, folder.path(), "ear", "lobby");
    ear.joined().await;
    let mut heard = Ear::open();
    heard.until(0.4).await;

    let filter = Shell::start(&daemon, folder.path(), "half", &id);
    let mut all = vec![("the filter comes", heard.until(0.2).await)];
    kill(filter.0.id(), "STOP");
    all.push(("it stalls", heard.until(0.4).await));
    kill(filter.0.id(), "CONT");
    all.push(("it goes on", heard.until(0.2).await));
    kill(filter.0.id(), "KILL");
    all.push(("it is killed", heard.until(0.4).await));
    for (what, heard) in &all {
        let (hole, doubled) = (hole(heard), doubled(heard));
        println!("{what}: silent for {hole} ms, doubled for {doubled} ms");
        assert!(hole <= 200, "{what}: {heard:.2?}");
        assert!(doubled <= 30, "{what}: {heard:.2?}");
    }
    for kiosk in [tone, ear] {
        kiosk.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_for_everybody_improves_who_comes_and_stays_when_one_leaves() {
    let daemon = Daemon::start("");
    let folder = descriptions();
    let everybody = JobSpec {
        memory_limit_mb: None,
        role: Role::Filter,
        room: "lobby".parse().unwrap(),
        description: Some("half".to_owned()),
        parameters: Default::default(),
        name: None,
        of: Some(Of::Everybody),
        remote: None,
    };
    let mut everybody = job::run(&daemon, everybody, folder.path());
    everybody.joined().await;
    let mut ear = job::start(&daemon, Role::Kiosk, folder.path(), "ear", "lobby");
    ear.joined().await;
    let mut heard = Ear::open();
    for _ in ["the first", "the next"] {
        let mut tone = job::start(&daemon, Role::Kiosk, folder.path(), "tone", "lobby");
        let id = tone.joined().await;
        heard.until(0.2).await;
        let has_filter =
            |rooms: &Value| rooms.to_string().contains(&format!(r#""enhances":"{id}""#));
        daemon
            .until_at("/api/v1/rooms", "a filter of its own", has_filter)
            .await;
        tone.end().await;
        daemon
            .until_at("/api/v1/rooms", "the filter goes with it", |rooms| {
                !has_filter(rooms)
            })
            .await;
    }

    let mut tone = job::start(&daemon, Role::Kiosk, folder.path(), "tone", "lobby");
    tone.joined().await;
    heard.until(0.2).await;
    let parameters = [("volume".to_owned(), Float(0.25))].into();
    everybody.ask(Request::SetParameters { parameters }).await;
    heard.until(0.1).await;
    everybody.end().await;
    heard.until(0.4).await;
    for kiosk in [tone, ear] {
        kiosk.end().await;
    }
}
