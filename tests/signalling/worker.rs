//! The workers' client against the real hub, and against what goes wrong on the way to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use attache::job::ServerAddress;
use attache::signalling::client::{self, ConnectError};
use attache::signalling::protocol::{ClientMessage, ErrorCode, Kind, ServerMessage};
use attache::signalling::{Entrance, Limits};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::support::{SOON, limits, open_hub, router, serve};

fn join_message(room: &str) -> ClientMessage {
    ClientMessage::Join {
        protocol: 1,
        room: room.parse().unwrap(),
        kind: Kind::Kiosk,
        name: None,
        token: None,
        sends: Default::default(),
        recording: false,
        recordable: true,
        enhances: None,
        session: None,
    }
}

fn url_of(address: SocketAddr) -> ServerAddress {
    ServerAddress::Url {
        url: format!("ws://{address}{}", client::PATH),
        ca: None,
    }
}

async fn joins_and_leaves(address: &ServerAddress) {
    let (sender, mut receiver) = client::connect(address).await.unwrap();
    sender.send(join_message("lobby")).await.unwrap();
    let welcome = timeout(SOON, receiver.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        matches!(welcome, ServerMessage::Welcome { .. }),
        "{welcome:?}"
    );
    sender.send(ClientMessage::Leave).await.unwrap();
    assert!(timeout(SOON, receiver.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_worker_joins_over_tcp_and_over_the_private_socket() {
    let hub = open_hub(limits());
    joins_and_leaves(&url_of(serve(&hub, Entrance::Public).await)).await;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attache.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let router = router(&hub, Entrance::Private);
    tokio::spawn(async move { axum::serve(listener, router).await });
    joins_and_leaves(&ServerAddress::Unix(path)).await;
}

#[tokio::test]
async fn a_worker_answers_pings_and_hears_the_last_words() {
    let quick = Limits {
        ping_interval: Duration::from_millis(20),
        idle_timeout: Duration::from_millis(500),
        ..limits()
    };
    let hub = open_hub(quick);
    let address = url_of(serve(&hub, Entrance::Public).await);
    let (sender, mut receiver) = client::connect(&address).await.unwrap();
    sender.send(join_message("lobby")).await.unwrap();
    receiver.next().await.unwrap().unwrap();
    // Three times the idle timeout: it would be lost if it were silent.
    let nothing = timeout(Duration::from_millis(1500), receiver.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");

    let stop = tokio::spawn(async move { hub.stop().await });
    let last = timeout(SOON, receiver.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        matches!(
            last,
            ServerMessage::Error {
                code: ErrorCode::ServerStopping,
                ..
            }
        ),
        "{last:?}"
    );
    assert!(timeout(SOON, receiver.next()).await.unwrap().is_none());
    timeout(SOON, stop).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_says_why_there_is_no_connection() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = client::connect(&url_of(unused)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");

    let nowhere = ServerAddress::Unix(PathBuf::from("/nonexistent/attache.sock"));
    let error = client::connect(&nowhere).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");

    let address = serve(&open_hub(limits()), Entrance::Public).await;
    let wrong_path = ServerAddress::Url {
        url: format!("ws://{address}/elsewhere"),
        ca: None,
    };
    let error = client::connect(&wrong_path).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Status { status: 404, .. }),
        "{error}"
    );

    for wrong in ["http://localhost/", "lobby", ""] {
        let error = client::connect(&ServerAddress::Url {
            url: wrong.to_owned(),
            ca: None,
        })
        .await
        .unwrap_err();
        assert!(matches!(error, ConnectError::Address { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_worker_trusts_a_self_signed_server_only_when_told_to() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certified.cert.pem()).unwrap();
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut websocket = tokio_tungstenite::accept_async(stream).await.unwrap();
            websocket
                .send(Message::text(r#"{"type":"future"}"#))
                .await
                .unwrap();
            websocket
                .send(Message::text(r#"{"type":"left","id":"a","reason":"left"}"#))
                .await
                .unwrap();
            websocket.next().await;
        }
    });
    let url = format!("wss://localhost:{port}{}", client::PATH);

    let stranger = ServerAddress::Url {
        url: url.clone(),
        ca: None,
    };
    let error = client::connect(&stranger).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");

    let missing = ServerAddress::Url {
        url: url.clone(),
        ca: Some(folder.path().join("none.pem")),
    };
    let error = client::connect(&missing).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Certificates { .. }),
        "{error}"
    );

    let trusted = ServerAddress::Url { url, ca: Some(ca) };
    let (_sender, mut receiver) = client::connect(&trusted).await.unwrap();
    // A message of a type from the future is passed over.
    let first = timeout(SOON, receiver.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(matches!(first, ServerMessage::Left { .. }), "{first:?}");
}
