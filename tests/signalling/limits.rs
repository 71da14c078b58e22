//! Every limit, and that nobody else suffers when one is broken.

use std::time::Duration;

use attache::signalling::protocol::{ErrorCode, LeaveReason, ServerMessage};
use attache::signalling::{Entrance, Limits};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::support::{Client, SOON, candidate, join, limits, open_hub, serve};

#[tokio::test]
async fn who_does_not_join_in_time_is_sent_away() {
    let short = Limits {
        join_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let address = serve(&open_hub(short), Entrance::Public).await;
    let mut silent = Client::connect(address).await;
    silent.is_refused(ErrorCode::JoinTimeout).await;
}

#[tokio::test]
async fn pings_do_not_put_off_the_time_to_join() {
    let short = Limits {
        join_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let address = serve(&open_hub(short), Entrance::Public).await;
    let client = Client::connect(address).await;
    let (mut sink, stream) = client.websocket.split();
    let pinging =
        tokio::spawn(async move { while sink.send(Message::Ping(Bytes::new())).await.is_ok() {} });
    let texts = stream.filter_map(async |message| message.ok().filter(Message::is_text));
    let first = timeout(SOON, Box::pin(texts).next()).await.unwrap();
    pinging.abort();
    assert!(first.unwrap().into_text().unwrap().contains("join_timeout"));
}

#[tokio::test]
async fn long_messages_end_the_connection() {
    let address = serve(&open_hub(limits()), Entrance::Public).await;
    let (mut witness, _) = Client::joined(address, "lobby").await;
    // The second is beyond what the WebSocket layer reads at all.
    for bytes in [64 * 1024 + 1, 200 * 1024] {
        let (mut client, id) = Client::joined(address, "lobby").await;
        client
            .websocket
            .send(Message::text("x".repeat(bytes)))
            .await
            .unwrap();
        client.is_refused(ErrorCode::MessageTooLarge).await;
        assert_eq!(witness.sees_leaving(&id).await, LeaveReason::Refused);
    }
    let (mut client, _) = Client::joined(address, "lobby").await;
    let fits = format!(
        "{}{}",
        " ".repeat(64 * 1024 - 21),
        r#"{"type":"ice_servers"}"#
    );
    client
        .websocket
        .send(Message::text(fits[1..].to_owned()))
        .await
        .unwrap();
    assert!(matches!(
        client.message().await,
        ServerMessage::IceServers { .. }
    ));
}

#[tokio::test]
async fn too_many_messages_end_the_connection() {
    let few = Limits {
        message_burst: 10,
        messages_per_second: 1,
        ..limits()
    };
    let address = serve(&open_hub(few), Entrance::Public).await;
    let (mut witness, _) = Client::joined(address, "lobby").await;
    let (mut client, id) = Client::joined(address, "lobby").await;
    for _ in 0..30 {
        client.send(json!({ "type": "ice_servers" })).await;
    }
    for _ in 0..10 {
        assert!(matches!(
            client.message().await,
            ServerMessage::IceServers { .. }
        ));
    }
    client.is_refused(ErrorCode::RateLimited).await;
    assert_eq!(witness.sees_leaving(&id).await, LeaveReason::Refused);
}

#[tokio::test]
async fn who_answers_pings_stays_and_who_does_not_is_lost() {
    let quick = Limits {
        ping_interval: Duration::from_millis(50),
        idle_timeout: Duration::from_secs(1),
        ..limits()
    };
    let address = serve(&open_hub(quick), Entrance::Public).await;
    let (mut attentive, _) = Client::joined(address, "lobby").await;
    // Its WebSocket layer answers pings only when it is read, and nobody reads it.
    let (mut deaf, deaf_id) = Client::joined(address, "lobby").await;
    assert_eq!(attentive.sees_leaving(&deaf_id).await, LeaveReason::Lost);
    deaf.is_refused(ErrorCode::IdleTimeout).await;
    attentive.send(json!({ "type": "ice_servers" })).await;
    assert!(matches!(
        attentive.message().await,
        ServerMessage::IceServers { .. }
    ));
}

#[tokio::test]
async fn who_does_not_read_is_closed_and_nobody_waits_for_it() {
    let small = Limits {
        queue_messages: 16,
        message_burst: 1_000_000,
        messages_per_second: 1_000_000,
        ..limits()
    };
    let address = serve(&open_hub(small), Entrance::Public).await;
    let (mut sender, _) = Client::joined(address, "lobby").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = Client::over(socket.connect(address).await.unwrap(), address).await;
    let deaf_id = deaf.join("lobby").await.0.id;
    let (mut reader, reader_id) = Client::joined(address, "lobby").await;

    let text = "x".repeat(32 * 1024);
    let mut left = None;
    for number in 0..2000 {
        sender.send(candidate(&deaf_id, number, &text)).await;
        sender.send(candidate(&reader_id, number, "")).await;
        match reader.message().await {
            ServerMessage::Candidate { mline, .. } => assert_eq!(mline, number),
            ServerMessage::Left { id, reason } => {
                left = Some((id, reason));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(left, Some((deaf_id, LeaveReason::TooSlow)));
    let mut last = None;
    while let Some(message) = deaf.next().await {
        last = Some(message);
    }
    assert!(
        matches!(
            last,
            Some(ServerMessage::Error {
                code: ErrorCode::TooSlow,
                fatal: true,
                ..
            })
        ),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_crowd_that_does_not_join_locks_out_strangers_but_not_workers() {
    let few = Limits {
        connections_not_joined: 2,
        ..limits()
    };
    let hub = open_hub(few);
    let (public, private) = (
        serve(&hub, Entrance::Public).await,
        serve(&hub, Entrance::Private).await,
    );
    let mut first = Client::connect(public).await;
    let _second = Client::connect(public).await;
    // The places are taken when the server has noticed: the third may come before the second.
    let mut refused = None;
    for _ in 0..2 {
        let mut client = Client::connect(public).await;
        if timeout(Duration::from_secs(1), client.next())
            .await
            .ok()
            .flatten()
            .is_some_and(is_server_full)
        {
            refused = Some(());
            break;
        }
    }
    assert_eq!(refused, Some(()));
    Client::joined(private, "lobby").await;

    first.join("lobby").await;
    Client::joined(public, "lobby").await;
}

fn is_server_full(message: ServerMessage) -> bool {
    matches!(
        message,
        ServerMessage::Error {
            code: ErrorCode::ServerFull,
            fatal: true,
            ..
        }
    )
}

#[tokio::test]
async fn the_number_of_connections_and_of_participants_is_limited() {
    let few = Limits {
        connections: 3,
        participants_per_room: 2,
        ..limits()
    };
    let address = serve(&open_hub(few), Entrance::Public).await;
    let (_first, _) = Client::joined(address, "lobby").await;
    let (_second, _) = Client::joined(address, "lobby").await;
    let mut third = Client::connect(address).await;
    third.send(join("lobby")).await;
    third.is_refused(ErrorCode::RoomFull).await;
    let (_third, _) = Client::joined(address, "elsewhere").await;
    Client::connect(address)
        .await
        .is_refused(ErrorCode::ServerFull)
        .await;
}
