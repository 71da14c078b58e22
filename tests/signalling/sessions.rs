//! Sessions: a lost connection, and a lost server, are not the end of a stay.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use attache::auth::Auth;
use attache::ice::IceSettings;
use attache::job::ServerAddress;
use attache::signalling::ids::ParticipantId;
use attache::signalling::keys::SessionKeys;
use attache::signalling::protocol::{
    ClientMessage, ErrorCode, Kind, LeaveReason, Participant, Sends, ServerMessage,
};
use attache::signalling::rejoin::{self, Incoming};
use attache::signalling::{Entrance, Hub, Limits};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::support::{Client, SOON, candidate, join, limits, open_hub, router, serve};

/// A client with a session.
struct Guest {
    client: Client,
    id: ParticipantId,
    token: String,
    room: String,
}

impl Guest {
    async fn joined(address: SocketAddr, room: &str) -> Self {
        let mut client = Client::connect(address).await;
        let mut message = join(room);
        message["session"] = json!({});
        client.send(message).await;
        let (id, token) = match client.message().await {
            ServerMessage::Welcome { you, session, .. } => (you.id, session.unwrap().token),
            other => panic!("{other:?}"),
        };
        let room = room.to_owned();
        Self {
            client,
            id,
            token,
            room,
        }
    }

    fn again(&self, received: u64) -> Value {
        let mut message = join(&self.room);
        message["session"] = json!({ "token": self.token, "received": received });
        message
    }

    /// Another connection, whose first message is returned.
    async fn come_back(&mut self, address: SocketAddr, received: u64) -> ServerMessage {
        self.client = Client::connect(address).await;
        self.client.send(self.again(received)).await;
        self.client.message().await
    }

    async fn sees_away(&mut self, id: &ParticipantId, away: bool) {
        match self.client.message().await {
            ServerMessage::Updated { participant } => {
                assert_eq!((&participant.id, participant.away), (id, away));
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next message is a candidate with this number.
    async fn gets(&mut self, number: u32) {
        match self.client.message().await {
            ServerMessage::Candidate { mline, .. } => assert_eq!(mline, number),
            other => panic!("expected candidate {number}, found {other:?}"),
        }
    }
}

#[tokio::test]
async fn who_comes_back_in_time_has_missed_nothing_and_hears_nothing_twice() {
    let address = serve(&open_hub(limits()), Entrance::Public).await;
    let mut ada = Guest::joined(address, "lobby").await;
    let mut ben = Guest::joined(address, "lobby").await;
    assert!(matches!(
        ada.client.message().await,
        ServerMessage::Joined { .. }
    ));
    for number in 1..=3 {
        ben.client.send(candidate(&ada.id, number, "c")).await;
        ada.gets(number).await;
    }
    // Its TCP connection is cut; of the four messages that it received, it says that three have arrived.
    ada.client = Client::connect(address).await;
    ben.sees_away(&ada.id, true).await;
    for number in 4..=40 {
        ben.client.send(candidate(&ada.id, number, "c")).await;
    }
    let first = ada.come_back(address, 3).await;
    assert_eq!(first, ServerMessage::Resumed { received: 0 });
    for number in 3..=40 {
        ada.gets(number).await;
    }
    ada.client.send(candidate(&ben.id, 7, "c")).await;
    let mut acknowledged = Vec::new();
    loop {
        match ben.client.message().await {
            ServerMessage::Candidate { mline, .. } => break assert_eq!(mline, 7),
            ServerMessage::Ack { received } => acknowledged.push(received),
            ServerMessage::Updated { participant } => assert!(!participant.away),
            other => panic!("{other:?}"),
        }
    }
    assert!(acknowledged.is_sorted(), "{acknowledged:?}");
    assert!(acknowledged.last() >= Some(&16), "{acknowledged:?}");
}

#[tokio::test]
async fn who_does_not_come_back_has_left() {
    let short = Limits {
        resume_within: Duration::from_millis(300),
        ..limits()
    };
    let address = serve(&open_hub(short), Entrance::Public).await;
    let mut ada = Guest::joined(address, "lobby").await;
    let ben = Guest::joined(address, "lobby").await;
    ada.client.message().await;
    let (id, again) = (ben.id.clone(), ben.again(0));
    drop(ben);
    ada.sees_away(&id, true).await;
    assert_eq!(ada.client.sees_leaving(&id).await, LeaveReason::Lost);
    let mut late = Client::connect(address).await;
    late.send(again).await;
    late.is_refused(ErrorCode::SessionOver).await;
}

#[tokio::test]
async fn a_session_has_one_connection_the_last() {
    let address = serve(&open_hub(limits()), Entrance::Public).await;
    let mut ada = Guest::joined(address, "lobby").await;
    let mut former = std::mem::replace(&mut ada.client, Client::connect(address).await);
    let first = ada.come_back(address, 0).await;
    assert_eq!(first, ServerMessage::Resumed { received: 0 });
    former.is_refused(ErrorCode::SessionTaken).await;
    // The participant is there all the same.
    let mut ben = Guest::joined(address, "lobby").await;
    ben.client.send(candidate(&ada.id, 1, "c")).await;
    assert!(matches!(
        ada.client.message().await,
        ServerMessage::Joined { .. }
    ));
    ada.gets(1).await;
}

#[tokio::test]
async fn tokens_that_are_not_ours_or_not_for_here_open_nothing() {
    let address = serve(&open_hub(limits()), Entrance::Public).await;
    let ada = Guest::joined(address, "lobby").await;
    let mut elsewhere = ada.again(0);
    elsewhere["room"] = "kitchen".into();
    let mut forged = ada.again(0);
    forged["session"]["token"] = format!("{}x", ada.token).into();
    for message in [elsewhere, forged] {
        let mut client = Client::connect(address).await;
        client.send(message).await;
        client.is_refused(ErrorCode::SessionOver).await;
    }
    let mut client = Client::connect(address).await;
    client.send(ada.again(1)).await;
    let message = client.is_refused(ErrorCode::InvalidMessage).await;
    assert!(message.contains("session.received"), "{message}");
}

#[tokio::test]
async fn an_ack_of_what_was_never_sent_is_refused() {
    let address = serve(&open_hub(limits()), Entrance::Public).await;
    let mut ada = Guest::joined(address, "lobby").await;
    ada.client
        .send(json!({ "type": "ack", "received": 5 }))
        .await;
    ada.client.is_told(ErrorCode::InvalidMessage).await;
}

fn hub_with_keys(folder: &Path) -> Hub {
    let keys = SessionKeys::of_folder(folder).unwrap();
    Hub::with_filters(
        limits(),
        Auth::default(),
        IceSettings::default(),
        keys,
        None,
    )
}

fn ids(participants: &[Participant]) -> Vec<&ParticipantId> {
    participants.iter().map(|one| &one.id).collect()
}

#[tokio::test]
async fn a_server_that_was_started_anew_has_everybody_back_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let before = serve(&hub_with_keys(folder.path()), Entrance::Public).await;
    let mut ada = Guest::joined(before, "lobby").await;
    let mut ben = Guest::joined(before, "lobby").await;

    let hub = hub_with_keys(folder.path());
    let after = serve(&hub, Entrance::Public).await;
    // Somebody comes before they are back: it is the later of each two all the same.
    let mut new = Guest::joined(after, "lobby").await;
    let ServerMessage::Welcome {
        you, participants, ..
    } = ben.come_back(after, 1).await
    else {
        panic!("no welcome");
    };
    assert_eq!((&you.id, participants), (&ben.id, Vec::new()));
    let joined = |message: ServerMessage| match message {
        ServerMessage::Joined {
            participant,
            earlier,
        } => (participant.id, earlier),
        other => panic!("{other:?}"),
    };
    assert_eq!(joined(ben.client.message().await), (new.id.clone(), false));
    assert_eq!(joined(new.client.message().await), (ben.id.clone(), true));

    let ServerMessage::Welcome { participants, .. } = ada.come_back(after, 1).await else {
        panic!("no welcome");
    };
    assert_eq!(ids(&participants), Vec::<&ParticipantId>::new());
    assert_eq!(joined(ben.client.message().await), (ada.id.clone(), true));
    assert_eq!(joined(new.client.message().await), (ada.id.clone(), true));
    let room = &hub.snapshot()[0];
    assert_eq!(ids(&room.participants), [&ada.id, &ben.id, &new.id]);
}

#[tokio::test]
async fn who_is_back_and_is_removed_does_not_come_back_with_the_old_token() {
    let folder = tempfile::tempdir().unwrap();
    let before = serve(&hub_with_keys(folder.path()), Entrance::Public).await;
    let mut ada = Guest::joined(before, "lobby").await;
    let hub = hub_with_keys(folder.path());
    let after = serve(&hub, Entrance::Public).await;
    ada.come_back(after, 0).await;
    assert!(hub.remove(&"lobby".parse().unwrap(), &ada.id));
    ada.client.is_refused(ErrorCode::Removed).await;
    let mut client = Client::connect(after).await;
    client.send(ada.again(0)).await;
    client.is_refused(ErrorCode::SessionOver).await;
}

/// A server of its own threads, at this socket; dropped, it is gone with all its connections.
fn server_at(socket: &Path, keys: &Path) -> Runtime {
    let runtime = Runtime::new().unwrap();
    // Another server may have been there.
    let _ = std::fs::remove_file(socket);
    let (socket, keys) = (socket.to_owned(), keys.to_owned());
    runtime.block_on(async move {
        let listener = UnixListener::bind(socket).unwrap();
        let router = router(&hub_with_keys(&keys), Entrance::Private);
        tokio::spawn(async move { axum::serve(listener, router).await });
    });
    runtime
}

fn kiosk() -> ClientMessage {
    ClientMessage::Join {
        protocol: 1,
        room: "lobby".parse().unwrap(),
        kind: Kind::Kiosk,
        name: None,
        token: None,
        sends: Sends::default(),
        recording: false,
        recordable: true,
        enhances: None,
        session: None,
    }
}

async fn next(receiver: &mut rejoin::Receiver) -> Incoming {
    timeout(SOON, receiver.next())
        .await
        .expect("something should have happened")
        .unwrap()
        .unwrap()
}

#[test]
fn a_worker_survives_its_server_and_what_it_said_meanwhile_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("attache.sock");
    let address = ServerAddress::Unix(socket.clone());
    let first = server_at(&socket, folder.path());
    let ours = Runtime::new().unwrap();
    let (ada, mut from_ada) = ours.block_on(async {
        let (welcome, sender, receiver) = rejoin::join(&address, kiosk()).await.unwrap();
        ((welcome.you.id, sender), receiver)
    });
    let (ben, mut from_ben) = ours.block_on(async {
        let (welcome, sender, receiver) = rejoin::join(&address, kiosk()).await.unwrap();
        assert!(matches!(next(&mut from_ada).await, Incoming::Message(_)));
        ((welcome.you.id, sender), receiver)
    });
    first.shutdown_background();
    ours.block_on(async {
        for receiver in [&mut from_ada, &mut from_ben] {
            assert!(matches!(next(receiver).await, Incoming::Away { .. }));
        }
        let sends = Sends {
            audio: true,
            video: false,
        };
        let update = ClientMessage::Update {
            sends: Some(sends),
            name: None,
            recording: None,
            recordable: None,
        };
        ada.1.send(update).await.unwrap();
    });
    let _second = server_at(&socket, folder.path());
    ours.block_on(async {
        for (receiver, (id, _)) in [(&mut from_ada, &ada), (&mut from_ben, &ben)] {
            match next(receiver).await {
                Incoming::Restored(welcome) => assert_eq!(welcome.you.id, *id),
                other => panic!("{other:?}"),
            }
        }
        // Ben learns of it by the welcome, by Ada's return or by the update that was sent meanwhile.
        let hears = ClientMessage::Candidate {
            to: ben.0.clone(),
            generation: attache::signalling::ids::Generation(1),
            candidate: String::new(),
            mline: 9,
        };
        ada.1.send(hears).await.unwrap();
        loop {
            match next(&mut from_ben).await {
                Incoming::Message(message) => match *message {
                    ServerMessage::Candidate { from, mline, .. } => {
                        break assert_eq!((from, mline), (ada.0, 9));
                    }
                    ServerMessage::Joined { participant, .. }
                    | ServerMessage::Updated { participant } => {
                        assert!(participant.sends.audio);
                    }
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        }
    });
}
