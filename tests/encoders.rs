//! Encoders proven before use, with stand-ins for hardware: choice, order, policy, and verdicts that are kept.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/standins.rs"]
mod standins;

use std::process::{Command, Output};
use std::time::Instant;

use attache::doctor::Report;
use attache::media::Codec;
use attache::media::encoder::policy::State;
use attache::media::encoder::{Policy, Standing, Verdict};
use standins::StandIns;

/// Has attache look at the encoders of H.264 (others are forbidden, to save time).
fn doctor(machine: &StandIns, policy: Policy) -> Report {
    let output = run(machine, policy, &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    })
}

fn run(machine: &StandIns, mut policy: Policy, more: &[&str]) -> Output {
    let others = [
        "vp8enc",
        "vp9enc",
        "av1enc",
        "svtav1enc",
        "x265enc",
        "openh264enc",
    ];
    policy.forbid.extend(others.map(str::to_owned));
    Command::new(env!("CARGO_BIN_EXE_attache"))
        .args(["doctor", "--only", "encoders", "--encoders"])
        .arg(serde_json::to_string(&policy).unwrap())
        .args(more)
        .envs(machine.environment())
        .output()
        .expect("attache runs")
}

fn standing<'a>(report: &'a Report, factory: &str) -> &'a Standing {
    let found = report.encoders.iter().find(|one| one.factory == factory);
    found.unwrap_or_else(|| panic!("{factory} stands in the report"))
}

fn verdict<'a>(report: &'a Report, factory: &str) -> &'a Verdict {
    match &standing(report, factory).state {
        State::Proven(verdict) => verdict,
        other => panic!("{factory} is {other:?}"),
    }
}

/// What the report says of H.264: "encoded by A, then B".
fn chosen(report: &Report) -> &str {
    let checks = report.sections.iter().flat_map(|section| &section.checks);
    let mut ours = checks.filter(|check| check.subject == Codec::H264.to_string());
    &ours.next().expect("H.264 is told of").finding
}

#[test]
fn hardware_that_works_is_used_before_software_in_the_tables_order() {
    let machine = StandIns::new(&[
        ("v4l2h264enc", "works"),
        ("vah264enc", "works"),
        ("nvh264enc", "works"),
    ]);
    let report = doctor(&machine, Policy::default());
    assert_eq!(
        chosen(&report),
        "encoded by nvh264enc, then vah264enc, v4l2h264enc, x264enc"
    );
    assert!(
        standing(&report, "vah264enc")
            .sentence
            .starts_with("vah264enc: works, ")
    );
    assert_eq!(
        standing(&report, "qsvh264enc").sentence,
        "qsvh264enc: not there (gstreamer1.0-plugins-bad, and the device and driver for it)"
    );
}

#[test]
fn h265_of_a_stand_in_is_proven_like_others() {
    let machine = StandIns::new(&[("vah265enc", "works")]);
    let report = doctor(&machine, Policy::default());
    // x265 is behind it: on a busy machine it may be slow, but what it makes is right.
    let found = verdict(&report, "vah265enc");
    assert!(
        matches!(found, Verdict::Works { .. } | Verdict::TooSlow { .. }),
        "{found:?}"
    );
}

/// Proves `vah264enc` with this behaviour: software must be chosen, and the verdict fit.
fn bad(behaviour: &str, fits: fn(&Verdict) -> bool, sentence: &str) {
    let machine = StandIns::new(&[("vah264enc", behaviour)]);
    let report = doctor(&machine, Policy::default());
    assert_eq!(chosen(&report), "encoded by x264enc", "{behaviour}");
    let found = verdict(&report, "vah264enc");
    assert!(fits(found), "{behaviour}: {found:?}");
    let told = &standing(&report, "vah264enc").sentence;
    assert!(told.starts_with(sentence), "{behaviour}: {told}");
}

#[test]
fn one_without_its_device_has_failed() {
    bad(
        "fail-on-start",
        |verdict| matches!(verdict, Verdict::Failed { .. }),
        "vah264enc: failed: the stand-in has no device",
    );
}

#[test]
fn one_that_fails_on_the_way_has_failed() {
    bad(
        "fail-after:10",
        |verdict| matches!(verdict, Verdict::Failed { .. }),
        "vah264enc: failed: the stand-in fails as asked",
    );
}

#[test]
fn one_that_stops_is_given_up() {
    bad(
        "hang-after:10",
        |verdict| matches!(verdict, Verdict::Hung { .. }),
        "vah264enc: hung: nothing came out for 3.0 s after 10 frames",
    );
}

#[test]
fn one_that_ends_its_process_harms_nobody_else() {
    bad(
        "crash",
        |verdict| matches!(verdict, Verdict::Crashed { .. }),
        "vah264enc: crashed: its process was ended by signal 6",
    );
}

#[test]
fn one_that_cannot_keep_up_is_too_slow() {
    bad(
        "slow:80ms",
        |verdict| matches!(verdict, Verdict::TooSlow { frame_us, interval_us: 33_333 } if *frame_us > 80_000),
        "vah264enc: too slow, ",
    );
}

#[test]
fn one_that_makes_other_pictures_is_wrong() {
    bad(
        "garbage",
        |verdict| matches!(verdict, Verdict::Wrong { .. }),
        "vah264enc: makes wrong pictures: of 45 pictures, 45 were decoded and 0 were what they should be",
    );
}

#[test]
fn one_that_makes_no_key_frame_when_asked_is_wrong() {
    bad(
        "deaf",
        |verdict| matches!(verdict, Verdict::Wrong { .. }),
        "vah264enc: makes wrong pictures: no key frame came when one was asked for",
    );
}

#[test]
fn the_operator_forbids_prefers_and_pins() {
    let machine = StandIns::new(&[("vah264enc", "works"), ("nvh264enc", "works")]);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let forbidden = doctor(
        &machine,
        Policy {
            forbid: words(&["nvh264enc"]),
            ..Policy::default()
        },
    );
    assert_eq!(chosen(&forbidden), "encoded by vah264enc, then x264enc");
    assert_eq!(
        standing(&forbidden, "nvh264enc").sentence,
        "nvh264enc: forbidden by configuration"
    );
    let preferred = doctor(
        &machine,
        Policy {
            prefer: words(&["software", "vah264enc"]),
            ..Policy::default()
        },
    );
    assert_eq!(
        chosen(&preferred),
        "encoded by x264enc, then vah264enc, nvh264enc"
    );
    let pinned = doctor(
        &machine,
        Policy {
            pin: [(Codec::H264, "vah264enc".to_owned())].into(),
            ..Policy::default()
        },
    );
    assert_eq!(chosen(&pinned), "encoded by vah264enc");
}

#[test]
fn a_verdict_is_kept_until_the_plugin_changes() {
    let mut machine = StandIns::new(&[("vah264enc", "works")]);
    assert!(verdict(&doctor(&machine, Policy::default()), "vah264enc").works());
    // It would fail now, but nobody tries it again.
    machine.change(&[("vah264enc", "fail-on-start")]);
    assert!(verdict(&doctor(&machine, Policy::default()), "vah264enc").works());
    machine.update_plugin();
    assert!(!verdict(&doctor(&machine, Policy::default()), "vah264enc").works());
}

#[test]
fn verdicts_that_are_broken_are_found_anew() {
    let machine = StandIns::new(&[("vah264enc", "works")]);
    std::fs::create_dir_all(machine.cache()).unwrap();
    std::fs::write(
        machine.cache().join("encoders.json"),
        "{\"verdicts\": {\"a\"",
    )
    .unwrap();
    assert!(verdict(&doctor(&machine, Policy::default()), "vah264enc").works());
    let kept = std::fs::read_to_string(machine.cache().join("encoders.json")).unwrap();
    assert!(kept.contains("vah264enc | 1280x720 at 30/s"), "{kept}");
}

#[test]
fn processes_that_start_together_prove_each_encoder_once() {
    let machine = StandIns::new(&[("vah264enc", "works")]);
    // The registry is written by the first one.
    run(&machine, Policy::default(), &["--quick"]);
    let proven = std::thread::scope(|scope| {
        let start = || scope.spawn(|| run(&machine, Policy::default(), &["--json"]));
        let both = [start(), start()].map(|thread| thread.join().unwrap());
        let log = both
            .map(|output| String::from_utf8_lossy(&output.stderr).into_owned())
            .concat();
        let lines = log.lines().filter(|line| line.contains("encoder proven"));
        lines.filter(|line| line.contains("vah264enc")).count()
    });
    assert_eq!(proven, 1);
}

#[tokio::test]
async fn with_kept_verdicts_a_job_waits_for_nothing() {
    let machine = StandIns::new(&[("vah264enc", "works")]);
    let policy = Policy {
        cache: Some(machine.cache()),
        ..Policy::default()
    };
    let all = Command::new(env!("CARGO_BIN_EXE_attache"))
        .args(["doctor", "--only", "encoders", "--json", "--encoders"])
        .arg(serde_json::to_string(&policy).unwrap())
        // Without the stand-ins: this process has none of them either.
        .output()
        .unwrap();
    assert!(all.status.success());
    attache::media::init().unwrap();
    let description = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let description = attache::pipeline::Description::load(&description, "kiosk-test").unwrap();
    let values = description
        .values(&Default::default(), &"lobby".parse().unwrap())
        .unwrap();
    let settings = description.settings(&values).unwrap();
    let codecs = [Codec::Vp8, Codec::H264];
    let program = Some(env!("CARGO_BIN_EXE_attache").into());
    let begin = Instant::now();
    let encoders =
        attache::media::encoder::Encoders::prove(policy, &codecs, &settings, program).await;
    let took = begin.elapsed();
    let choices = encoders.choices(Codec::H264, &settings).unwrap();
    assert!(choices[0].time_per_frame.is_some(), "{}", choices[0].reason);
    println!("a warm start took {took:?}");
}
