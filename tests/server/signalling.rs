//! The way to the signalling: origins and room tokens. What is said there is tested with the signalling itself.

use std::time::{Duration, SystemTime};

use attache::auth::{Permission, Secret, issue};
use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{API_TOKEN, JOINS, KEYS, LIMIT, Running};

/// Opens the signalling as a page of this origin; the status when it is refused.
async fn open(
    running: &Running,
    origin: Option<&str>,
) -> Result<WebSocketStream<TcpStream>, StatusCode> {
    let address = running.server.address();
    let mut request = format!("ws://{address}/api/v1/signalling")
        .into_client_request()
        .unwrap();
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((websocket, _)) => Ok(websocket),
        Err(Error::Http(response)) => {
            Err(StatusCode::from_u16(response.status().as_u16()).unwrap())
        }
        Err(error) => panic!("{error}"),
    }
}

/// Joins and returns the first answer.
async fn join(
    running: &Running,
    room: &str,
    token: Option<&str>,
) -> (Value, WebSocketStream<TcpStream>) {
    let mut websocket = open(running, None).await.unwrap();
    let join =
        json!({"type": "join", "protocol": 1, "room": room, "kind": "person", "token": token});
    websocket
        .send(Message::text(join.to_string()))
        .await
        .unwrap();
    (next(&mut websocket).await, websocket)
}

async fn next(websocket: &mut WebSocketStream<TcpStream>) -> Value {
    let message = tokio::time::timeout(LIMIT, websocket.next())
        .await
        .expect("in time")
        .unwrap()
        .unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn only_own_and_configured_pages_open_the_signalling() {
    let running = Running::start("[server]\norigins = [\"https://friend.example\"]\n", JOINS).await;
    let own = running.url("");
    for allowed in [None, Some(own.as_str()), Some("https://friend.example")] {
        assert!(open(&running, allowed).await.is_ok(), "{allowed:?}");
    }
    for refused in ["http://evil.example", "null", "http://friend.example"] {
        assert_eq!(
            open(&running, Some(refused)).await.err(),
            Some(StatusCode::FORBIDDEN),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_room_opens_to_its_token_and_to_guests_where_they_may() {
    let running = Running::start(&format!("{KEYS}[rooms]\nguests = [\"lobby\"]\n"), JOINS).await;
    let key = Secret::new("0123456789abcdef0123456789abcdef");
    let expires = SystemTime::now() + Duration::from_secs(60);
    let token = issue(
        &key,
        &"office".parse().unwrap(),
        Some("ann"),
        &[Permission::Join],
        expires,
    );

    let (welcome, _ann) = join(&running, "office", Some(&token)).await;
    assert_eq!(
        (&welcome["type"], &welcome["you"]["identity"]),
        (&json!("welcome"), &json!("ann"))
    );
    let (guest, _guest) = join(&running, "lobby", None).await;
    assert_eq!(guest["type"], "welcome");
    for (room, token) in [
        ("office", None),
        ("lobby", Some(token.as_str())),
        ("office", Some("nonsense")),
    ] {
        let (refusal, _) = join(&running, room, token).await;
        assert_eq!(
            (&refusal["type"], &refusal["code"]),
            (&json!("error"), &json!("unauthorized")),
            "{room}"
        );
    }
}

#[tokio::test]
async fn those_in_a_room_are_listed_can_be_removed_and_hear_of_the_stop() {
    let running = Running::start(KEYS, JOINS).await;
    let key = Secret::new("0123456789abcdef0123456789abcdef");
    let expires = SystemTime::now() + Duration::from_secs(60);
    let token = issue(
        &key,
        &"office".parse().unwrap(),
        None,
        &[Permission::Join],
        expires,
    );
    let (first, mut removed) = join(&running, "office", Some(&token)).await;
    let (_, mut stays) = join(&running, "office", Some(&token)).await;
    let manager = issue(
        &key,
        &"office".parse().unwrap(),
        None,
        &[Permission::Manage],
        expires,
    );

    let rooms = running
        .get("/api/v1/rooms")
        .bearer_auth(API_TOKEN)
        .send()
        .await
        .unwrap();
    let rooms: Value = rooms.json().await.unwrap();
    assert_eq!(rooms["rooms"][0]["name"], "office");
    assert_eq!(
        rooms["rooms"][0]["participants"].as_array().unwrap().len(),
        2
    );

    let path = format!(
        "/api/v1/rooms/office/participants/{}",
        first["you"]["id"].as_str().unwrap()
    );
    let response = running
        .request(reqwest::Method::DELETE, &path)
        .bearer_auth(&manager)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(next(&mut removed).await["type"], "joined");
    assert_eq!(next(&mut removed).await["code"], "removed");
    assert_eq!(next(&mut stays).await["type"], "left");

    let (_, ()) = tokio::join!(
        async {
            assert_eq!(next(&mut stays).await["code"], "server_stopping");
            drop(stays);
        },
        running.server.stop()
    );
}
