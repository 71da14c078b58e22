//! Relays that fetch from another server, or publish there: two real servers, a kiosk at one, a recorder at the other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/media.rs"]
mod media;
mod support;

use std::time::{Duration, SystemTime};

use attache::auth::{Permission, Secret, issue};
use daemon::{Daemon, media_files};
use media::Content;
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
/// So long after a connection sound and picture have found their places: the sender's first reports have come.
const EDGE: Duration = Duration::from_secs(2);
/// Kiosks, relays and recorders on two cores: each test has the machine to itself.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn state_is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |view| view["state"] == state
}

/// So many milliseconds of one participant a recorder has written.
fn written(view: &Value) -> u64 {
    let files = view["recordings"].as_array().into_iter().flatten();
    let lengths = files.filter_map(|file| file["duration_ms"].as_u64());
    lengths.sum()
}

/// A server whose relays may fetch what the kiosk in the studio of another one shows.
fn fetching_from(there: &Daemon, more: &str) -> Daemon {
    attache::media::init().unwrap();
    Daemon::start(&format!(
        "[remotes.studio]\nwhep = '{}/whep/studio'\n{more}",
        there.url
    ))
}

fn relay() -> Value {
    json!({ "role": "relay", "room": "lobby", "remote": "studio", "name": "Studio" })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_plays_is_in_the_room_and_comes_back_when_it_does() {
    let _alone = ALONE.lock().await;
    let there = Daemon::start("");
    let here = fetching_from(&there, "");
    let relay = here.job_with(relay()).await;
    let waits = |view: &Value| {
        let error = view["last_error"].as_str().unwrap_or_default();
        error.contains("404") && error.contains("trying again")
    };
    here.until(&relay, "it waits for the kiosk", waits).await;
    let kiosk = there.job("kiosk", "kiosk-test", "studio").await;
    here.until(&relay, "it has come", state_is("joined")).await;
    let recorder = here.job("recorder", "recorder", "lobby").await;
    here.until(&recorder, "six seconds", |view| written(view) >= 6000)
        .await;

    there.end(&kiosk).await;
    there
        .until(&kiosk, "the kiosk has ended", state_is("stopped"))
        .await;
    let before = written(&here.view(&recorder).await);
    there.job("kiosk", "kiosk-test", "studio").await;
    let goes_on = |view: &Value| written(view) > before + 500;
    let view = here.until(&recorder, "more of it", goes_on).await;
    // What was missing counts, too.
    let enough = written(&view) + 6000;
    here.until(&recorder, "six more", |view| written(view) >= enough)
        .await;
    here.end(&relay).await;
    here.until(&relay, "the relay has ended", state_is("stopped"))
        .await;
    // The other server has heard the goodbye: nobody watches any more.
    there
        .until_at("/api/v1/rooms", "no viewer", |rooms| {
            !rooms.to_string().contains("viewer")
        })
        .await;
    here.end(&recorder).await;
    here.until(&recorder, "the recorder has ended", state_is("stopped"))
        .await;

    let files = media_files(&here.recording());
    let seconds: Vec<_> = files
        .iter()
        .flat_map(|file| seconds(&Content::of(file)))
        .collect();
    assert!(seconds.len() >= 6, "{seconds:?}");
    let missing = seconds.iter().filter(|apart| apart.is_none()).count();
    assert_eq!(missing, 0, "no flash with a beep: {seconds:?}");
    let mut apart: Vec<_> = seconds.into_iter().flatten().map(f64::abs).collect();
    apart.sort_by(f64::total_cmp);
    let p95 = apart[apart.len() * 95 / 100];
    assert!(p95 <= 40.0, "milliseconds apart: {apart:?}");
}

/// Of each second in the middle of what came without a break: by how many milliseconds its beep is after its flash, or
/// that one of them is missing.
fn seconds(content: &Content) -> Vec<Option<f64>> {
    let (flashes, beeps) = (content.flashes(), content.beeps());
    println!("flashes {flashes:?}\nbeeps {beeps:?}");
    let is_whole = |pair: &media::Level, next: &media::Level| next.at.abs_diff(pair.at) < SECOND;
    let near = |times: &[Duration], at: Duration| {
        let is_near = |time: &&Duration| time.abs_diff(at) < SECOND / 3;
        times.iter().find(is_near).map(Duration::as_secs_f64)
    };
    let mut found = Vec::new();
    for run in content.sound.chunk_by(is_whole) {
        let (begin, end) = (run[0].at + EDGE, run[run.len() - 1].at);
        let first = beeps.iter().find(|beep| **beep >= begin);
        let beats = std::iter::successors(first.copied(), |beat| Some(*beat + SECOND));
        for beat in beats.take_while(|beat| *beat + SECOND < end) {
            let together = near(&beeps, beat).zip(near(&flashes, beat));
            found.push(together.map(|(beep, flash)| (beep - flash) * 1000.0));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_token_gets_it_and_one_that_refuses_ends_the_job() {
    let _alone = ALONE.lock().await;
    let there = Daemon::start(&format!("[auth]\nroom_key = '{KEY}'"));
    there.job("kiosk", "kiosk-test", "studio").await;
    let here = fetching_from(&there, "");
    let refused = here.job_with(relay()).await;
    let view = here.until(&refused, "an end", state_is("failed")).await;
    let error = view["last_error"].as_str().unwrap();
    assert!(error.contains("/whep/studio answered 401"), "{error}");

    let until = SystemTime::now() + Duration::from_secs(600);
    let studio = "studio".parse().unwrap();
    let token = issue(&Secret::new(KEY), &studio, None, &[Permission::Join], until);
    let here = fetching_from(&there, &format!("token = '{token}'"));
    let relay = here.job_with(relay()).await;
    here.until(&relay, "it has come", state_is("joined")).await;
    let shown = here.view(&relay).await.to_string();
    assert!(!shown.contains(&token), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_without_a_known_remote_is_refused_with_the_names_there_are() {
    let there = Daemon::start("");
    let here = fetching_from(&there, "");
    for (spec, expected) in [
        (
            json!({ "role": "relay", "room": "lobby", "remote": "stage" }),
            "known: studio",
        ),
        (json!({ "role": "relay", "room": "lobby" }), "named here"),
        (
            json!({ "role": "kiosk", "room": "lobby", "remote": "studio" }),
            "only a relay",
        ),
    ] {
        let (status, text) = here.refusal(&spec).await;
        assert_eq!(status, 400);
        assert!(
            text.contains("remote:") && text.contains(expected),
            "{text}"
        );
    }
}

/// A server whose relays may publish in the hall of another one.
fn publishing_to(whip: &str, more: &str) -> Daemon {
    attache::media::init().unwrap();
    Daemon::start(&format!("[remotes.hall]\nwhip = '{whip}'\n{more}"))
}

/// A kiosk whose picture is small: two cores have to encode, receive and write it.
async fn small_kiosk(here: &Daemon) -> String {
    let parameters = json!({ "width": 640, "height": 360, "framerate": 15, "bitrate_kbps": 600 });
    here.job_with(json!({
        "role": "kiosk", "room": "studio", "description": "kiosk-test", "parameters": parameters
    }))
    .await
}

fn publisher() -> Value {
    json!({ "role": "relay", "room": "studio", "remote": "hall" })
}

/// What a recorder in the hall of `there` got: beeps and flashes.
async fn recorded(there: &Daemon, recorder: &str) -> (usize, usize) {
    there.end(recorder).await;
    there
        .until(recorder, "the recorder has ended", state_is("stopped"))
        .await;
    let (mut beeps, mut flashes) = (0, 0);
    for file in media_files(&there.recording()) {
        let content = Content::of(&file);
        println!("{}: {:?}", file.display(), content.offsets());
        beeps += content.beeps().len();
        flashes += content.flashes().len();
    }
    (beeps, flashes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kiosk_is_published_at_another_server_and_again_when_it_comes_back() {
    let _alone = ALONE.lock().await;
    let there = Daemon::start("");
    let recorder = there.job("recorder", "recorder", "hall").await;
    let here = publishing_to(&format!("{}/whip/hall", there.url), "");
    let relay = here.job_with(publisher()).await;
    let kiosk = small_kiosk(&here).await;
    there
        .until(&recorder, "three seconds", |view| written(view) >= 3000)
        .await;
    let room = here.get("/api/v1/rooms").await.to_string();
    assert!(
        room.contains("\"recording\":true"),
        "who is there sees it: {room}"
    );

    here.end(&kiosk).await;
    // The goodbye was heard: otherwise its relay there would stay for ten seconds.
    let has_left = |rooms: &Value| !rooms.to_string().contains("\"relay\"");
    there
        .until_at("/api/v1/rooms", "no publisher", has_left)
        .await;
    small_kiosk(&here).await;
    there
        .until(&recorder, "more of it", |view| written(view) >= 6000)
        .await;
    here.end(&relay).await;
    here.until(&relay, "the relay has ended", state_is("stopped"))
        .await;
    there
        .until_at("/api/v1/rooms", "no publisher", has_left)
        .await;
    let (beeps, flashes) = recorded(&there, &recorder).await;
    assert!(
        beeps >= 3 && flashes >= 2,
        "{beeps} beeps, {flashes} flashes"
    );
}

/// A server that takes no VP8, and sends others on to `there`.
async fn picky(there: String) -> String {
    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse;
    let take = async move |offer: String| match offer.contains("VP8/90000") {
        true => (StatusCode::NOT_ACCEPTABLE, "H.264 only").into_response(),
        false => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, there)]).into_response(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/live", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{at}/live")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_vp8_gets_h264_and_may_send_its_publisher_on() {
    let _alone = ALONE.lock().await;
    let there = Daemon::start("");
    let recorder = there.job("recorder", "recorder", "hall").await;
    let picky = picky(format!("{}/whip/hall", there.url)).await;
    let here = publishing_to(&picky, "");
    small_kiosk(&here).await;
    let relay = here.job_with(publisher()).await;
    let told = |view: &Value| {
        let error = view["last_error"].as_str().unwrap_or_default();
        error.contains("406") && error.contains("H.264 is tried instead of VP8")
    };
    here.until(&relay, "it tells what is tried", told).await;
    there
        .until(&recorder, "two seconds", |view| written(view) >= 2000)
        .await;
    let (beeps, flashes) = recorded(&there, &recorder).await;
    assert!(
        beeps >= 1 && flashes >= 1,
        "{beeps} beeps, {flashes} flashes"
    );
    let manifest = std::fs::read_to_string(there.recording().join("recording.json")).unwrap();
    assert!(manifest.to_lowercase().contains("h264"), "{manifest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_without_the_right_token_or_endpoint_is_told_so() {
    let _alone = ALONE.lock().await;
    let there = Daemon::start(&format!("[auth]\nroom_key = '{KEY}'"));
    let here = publishing_to(&format!("{}/whip/hall", there.url), "");
    here.job("kiosk", "kiosk-test", "studio").await;
    let relay = here.job_with(publisher()).await;
    let view = here.until(&relay, "an end", state_is("failed")).await;
    let error = view["last_error"].as_str().unwrap();
    assert!(
        error.contains("/whip/hall answered 401") && error.contains("asks for a bearer token"),
        "{error}"
    );

    let until = SystemTime::now() + Duration::from_secs(600);
    let hall = "hall".parse().unwrap();
    let allow = [Permission::Join, Permission::Send];
    let token = issue(&Secret::new(KEY), &hall, None, &allow, until);
    let here = publishing_to(
        &format!("{}/whip/hall", there.url),
        &format!(
            "token = '{token}'\n[remotes.wrong]\nwhip = '{}/nowhere'",
            there.url
        ),
    );
    here.job("kiosk", "kiosk-test", "studio").await;
    let wrong = json!({ "role": "relay", "room": "studio", "remote": "wrong" });
    let wrong = here.job_with(wrong).await;
    let waits = |view: &Value| {
        let error = view["last_error"].as_str().unwrap_or_default();
        error.contains("/nowhere answered 404") && error.contains("no WHIP endpoint")
    };
    here.until(&wrong, "it says what is wrong", waits).await;
    let relay = here.job_with(publisher()).await;
    let has_come = |view: &Value| view["peers"].to_string().contains("connected");
    here.until(&relay, "it has its kiosk", has_come).await;
    let jobs = |view: &Value| {
        view.to_string().contains("\"relay\"") && view.to_string().contains("joined")
    };
    there.until_at("/api/v1/jobs", "a relay there", jobs).await;
}
