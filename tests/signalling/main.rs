//! The hub behind real sockets: calls are set up, mistakes are named, everybody learns who comes and goes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod limits;
mod sessions;
mod support;
mod worker;

use std::time::{Duration, SystemTime};

use attache::auth::{Auth, Permission, Secret};
use attache::ice::IceSettings;
use attache::signalling::ids::{Generation, RoomName};
use attache::signalling::protocol::{ErrorCode, LeaveReason, ServerMessage};
use attache::signalling::{Entrance, Hub};
use futures_util::SinkExt;
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use support::{Client, SOON, candidate, join, limits, open_hub, serve};

#[tokio::test]
async fn a_call_is_set_up_between_two_of_a_room_in_the_order_of_its_messages() {
    let address = serve(&open_hub(limits()), Entrance::Public).await;
    let (mut early, early_id) = Client::joined(address, "lobby").await;
    let (_elsewhere, _) = Client::joined(address, "elsewhere").await;
    let mut late = Client::connect(address).await;
    let (you, present) = late.join("lobby").await;
    assert_eq!(
        present.iter().map(|one| &one.id).collect::<Vec<_>>(),
        [&early_id]
    );
    assert_eq!(
        early.message().await,
        ServerMessage::Joined {
            participant: you.clone(),
            earlier: false,
        }
    );

    late.send(json!({ "type": "offer", "to": early_id, "generation": 1, "sdp": "v=0" }))
        .await;
    for number in 0..200 {
        late.send(candidate(&early_id, number, "candidate:1")).await;
    }
    let offer = ServerMessage::Offer {
        from: you.id.clone(),
        generation: Generation(1),
        sdp: "v=0".to_owned(),
    };
    assert_eq!(early.message().await, offer);
    for expected in 0..200 {
        match early.message().await {
            ServerMessage::Candidate { mline, from, .. } => {
                assert_eq!((mline, &from), (expected, &you.id))
            }
            other => panic!("{other:?}"),
        }
    }
    early
        .send(json!({ "type": "answer", "to": you.id, "generation": 1, "sdp": "v=1" }))
        .await;
    let answer = ServerMessage::Answer {
        from: early_id,
        generation: Generation(1),
        sdp: "v=1".to_owned(),
    };
    assert_eq!(late.message().await, answer);
}

#[tokio::test]
async fn the_first_message_must_be_a_join_of_this_version() {
    let address = serve(&open_hub(limits()), Entrance::Public).await;
    for (first, expected) in [
        (json!({ "type": "leave" }), ErrorCode::NotJoined),
        (
            json!({ "type": "join", "protocol": 2, "room": "lobby", "kind": "person" }),
            ErrorCode::UnsupportedProtocol,
        ),
        (
            json!({ "type": "join", "protocol": 1, "room": "a/b", "kind": "person" }),
            ErrorCode::InvalidMessage,
        ),
        (json!({ "type": "hello" }), ErrorCode::InvalidMessage),
    ] {
        let mut client = Client::connect(address).await;
        client.send(first).await;
        client.is_refused(expected).await;
    }
    let mut client = Client::connect(address).await;
    client
        .websocket
        .send(Message::binary(vec![0; 10]))
        .await
        .unwrap();
    client.is_refused(ErrorCode::InvalidMessage).await;
}

#[tokio::test]
async fn mistakes_after_joining_are_named_and_forgiven() {
    let address = serve(&open_hub(limits()), Entrance::Public).await;
    let (mut client, id) = Client::joined(address, "lobby").await;
    client
        .send(json!({ "type": "update", "sends": { "audio": "loud", "video": true } }))
        .await;
    assert!(
        client
            .is_told(ErrorCode::InvalidMessage)
            .await
            .contains("`sends`")
    );
    client
        .send(json!({ "type": "update", "colour": "red" }))
        .await;
    assert!(
        client
            .is_told(ErrorCode::InvalidMessage)
            .await
            .contains("`colour`")
    );
    client.websocket.send(Message::text("{")).await.unwrap();
    client.is_told(ErrorCode::InvalidMessage).await;
    client
        .websocket
        .send(Message::binary(vec![1]))
        .await
        .unwrap();
    client.is_told(ErrorCode::InvalidMessage).await;
    client.send(join("lobby")).await;
    client.is_told(ErrorCode::AlreadyJoined).await;
    client.send(candidate(&id, 0, "")).await;
    client.is_told(ErrorCode::UnknownParticipant).await;

    let (mut other, other_id) = Client::joined(address, "lobby").await;
    assert!(matches!(
        client.message().await,
        ServerMessage::Joined { .. }
    ));
    client.send(candidate(&other_id, 0, "candidate:1")).await;
    assert!(matches!(
        other.message().await,
        ServerMessage::Candidate { .. }
    ));
}

#[tokio::test]
async fn a_room_key_wants_tokens_and_tokens_say_what_is_allowed() {
    let key = Secret::new("0123456789abcdef0123456789abcdef");
    let auth = Auth::new(None, Some(key), Vec::new());
    let hub = Hub::new(limits(), auth.clone(), IceSettings::default());
    let address = serve(&hub, Entrance::Public).await;
    let room: RoomName = "lobby".parse().unwrap();
    let later = SystemTime::now() + Duration::from_secs(60);
    let token = |room: &RoomName, allow: &[Permission], until| {
        auth.issue(room, Some("ada"), allow, until).unwrap()
    };
    let both = [Permission::Join, Permission::Send];
    let with = |token: &str| json!({ "type": "join", "protocol": 1, "room": "lobby", "kind": "person", "token": token });

    for (message, expected) in [
        (join("lobby"), ErrorCode::Unauthorized),
        (with("nonsense"), ErrorCode::Unauthorized),
        (
            with(&token(&"other".parse().unwrap(), &both, later)),
            ErrorCode::Unauthorized,
        ),
        (
            with(&token(
                &room,
                &both,
                SystemTime::now() - Duration::from_secs(60),
            )),
            ErrorCode::Unauthorized,
        ),
        (
            with(&token(&room, &[Permission::Send], later)),
            ErrorCode::Forbidden,
        ),
    ] {
        let mut client = Client::connect(address).await;
        client.send(message).await;
        let text = client.is_refused(expected).await;
        assert!(!text.contains("nonsense"), "{text}");
    }
    let mut client = Client::connect(address).await;
    client.send(with(&token(&room, &both, later))).await;
    let ServerMessage::Welcome { you, .. } = client.message().await else {
        panic!("not welcome")
    };
    assert_eq!(you.identity.as_deref(), Some("ada"));
    client
        .send(json!({ "type": "update", "recording": true }))
        .await;
    client.is_told(ErrorCode::Forbidden).await;
}

#[tokio::test]
async fn others_learn_how_somebody_left() {
    let hub = open_hub(limits());
    let address = serve(&hub, Entrance::Public).await;
    let (mut witness, _) = Client::joined(address, "lobby").await;

    let (mut polite, id) = Client::joined(address, "lobby").await;
    polite.send(json!({ "type": "leave" })).await;
    assert_eq!(polite.next().await, None);
    assert_eq!(witness.sees_leaving(&id).await, LeaveReason::Left);

    let (mut closing, id) = Client::joined(address, "lobby").await;
    let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: CloseCode::Away,
        reason: "".into(),
    };
    closing.websocket.close(Some(frame)).await.unwrap();
    assert_eq!(witness.sees_leaving(&id).await, LeaveReason::Left);

    let (vanished, id) = Client::joined(address, "lobby").await;
    drop(vanished);
    assert_eq!(witness.sees_leaving(&id).await, LeaveReason::Lost);

    let (mut removed, id) = Client::joined(address, "lobby").await;
    assert!(!hub.remove(&"elsewhere".parse().unwrap(), &id));
    assert!(hub.remove(&"lobby".parse().unwrap(), &id));
    removed.is_refused(ErrorCode::Removed).await;
    assert_eq!(witness.sees_leaving(&id).await, LeaveReason::Removed);

    drop(witness);
    timeout(SOON, async {
        while !hub.snapshot().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the room should vanish with the last");
}

#[tokio::test]
async fn a_stopping_server_tells_everybody_and_takes_nobody() {
    let hub = open_hub(limits());
    let address = serve(&hub, Entrance::Public).await;
    let (mut joined, _) = Client::joined(address, "lobby").await;
    let mut waiting = Client::connect(address).await;
    let (stopped, (), ()) = tokio::join!(
        timeout(SOON, hub.stop()),
        async { drop(joined.is_refused(ErrorCode::ServerStopping).await) },
        async { drop(waiting.is_refused(ErrorCode::ServerStopping).await) },
    );
    stopped.expect("stop should end");
    assert!(hub.snapshot().is_empty());

    let mut late = Client::connect(address).await;
    late.is_refused(ErrorCode::ServerStopping).await;
}
