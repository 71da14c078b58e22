//! A relay that fetches from another server: two real servers, a kiosk at one, a recorder at the other.

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

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn state_is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |view| view["state"] == state
}

/// A recorder has written so many milliseconds of one participant.
fn has_written(view: &Value, milliseconds: u64) -> bool {
    let files = view["recordings"].as_array().into_iter().flatten();
    let lengths = files.filter_map(|file| file["duration_ms"].as_u64());
    lengths.sum::<u64>() >= milliseconds
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
    here.until(&recorder, "six seconds", |view| has_written(view, 6000))
        .await;

    there.end(&kiosk).await;
    there
        .until(&kiosk, "the kiosk has ended", state_is("stopped"))
        .await;
    there.job("kiosk", "kiosk-test", "studio").await;
    here.until(&recorder, "more of it", |view| has_written(view, 12_000))
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

    let (mut beeps, mut flashes) = (0, 0);
    for file in media_files(&here.recording()) {
        let content = Content::of(&file);
        println!("{}: {:?}", file.display(), content.offsets());
        beeps += content.beeps().len();
        flashes += content.flashes().len();
    }
    assert!(
        beeps >= 5 && flashes >= 1,
        "{beeps} beeps, {flashes} flashes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_token_gets_it_and_one_that_refuses_ends_the_job() {
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
