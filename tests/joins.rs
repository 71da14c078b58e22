//! Somebody comes and goes, many times over: memory, threads and descriptors of server and kiosk stay as they were.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attache::job::{PeerState, ServerAddress, Value};
use attache::media::capture::{Capture, Context};
use attache::media::encoder::Encoders;
use attache::media::{Codec, MediaKind};
use attache::peer::{Candidate, Latency, Peer, PeerEvent, PeerSettings, Receive, Supply, Wish};
use attache::pipeline::Description;
use attache::signalling::client;
use attache::signalling::ids::{Generation, ParticipantId};
use attache::signalling::protocol::{self, ClientMessage, Ice, Kind, Sends, ServerMessage};
use attache::signalling::rejoin::{self, Incoming};
use daemon::{Daemon, LIMIT};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const BOTH: Sends = Sends {
    audio: true,
    video: true,
};

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// Memory of its own, in MiB: what it shares with other processes depends on them.
    memory: f64,
    threads: usize,
    descriptors: usize,
}

impl Held {
    fn by(pid: u64) -> Self {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = rollup
            .lines()
            .find(|line| line.starts_with("Pss_Anon:"))
            .unwrap();
        let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        let count = |what: &str| {
            std::fs::read_dir(format!("/proc/{pid}/{what}"))
                .unwrap()
                .count()
        };
        Self {
            memory: kibibytes / 1024.0,
            threads: count("task"),
            descriptors: count("fd"),
        }
    }

    /// The threads of a process by name, and how many there are of each.
    fn names(pid: u64) -> BTreeMap<String, usize> {
        let mut names = BTreeMap::new();
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            // One that ends meanwhile has no name any more.
            let name = std::fs::read_to_string(task.unwrap().path().join("comm"));
            *names
                .entry(name.unwrap_or_default().trim().to_owned())
                .or_default() += 1;
        }
        names
    }

    /// Waits until what closes beside the call is closed.
    async fn settled(pid: u64, before: Option<Self>) -> Self {
        let begun = Instant::now();
        loop {
            let held = Self::by(pid);
            let is_back = before.is_none_or(|before| {
                held.threads <= before.threads && held.descriptors <= before.descriptors
            });
            if is_back || begun.elapsed() > Duration::from_secs(20) {
                if before.is_some() && !is_back {
                    println!("threads of {pid}: {:?}", Self::names(pid));
                }
                return held;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Somebody who sends sound and picture, and receives the kiosk's.
struct Visitor {
    sender: rejoin::Sender,
    receiver: rejoin::Receiver,
    peer: Peer,
    events: UnboundedReceiver<PeerEvent>,
    kiosk: ParticipantId,
}

impl Visitor {
    async fn join(daemon: &Daemon, camera: &Capture) -> Self {
        let address = ServerAddress::Url {
            url: format!("{}{}", daemon.url.replace("http", "ws"), client::PATH),
            ca: None,
        };
        let join = ClientMessage::Join {
            protocol: protocol::VERSION,
            room: "lobby".parse().unwrap(),
            kind: Kind::Person,
            name: None,
            token: None,
            sends: BOTH,
            recording: false,
            recordable: true,
            enhances: None,
            session: None,
        };
        let (welcome, sender, receiver) = rejoin::join(&address, join).await.unwrap();
        let kiosk = welcome.participants[0].id.clone();
        let (peer, sdp, events) = Peer::offer(PeerSettings {
            name: "visitor".to_owned(),
            ice: Ice::default(),
            sends: BOTH,
            producers: Some({
                let encodings = camera.encodings();
                Arc::new(move |_| Ok(Supply::Tiers(encodings.clone())))
            }),
            video_codecs: vec![Codec::Vp8],
            receive: Receive::Encoded(Arc::new(|_, _| Wish::Nothing)),
            latency: Latency::Fixed(Duration::from_millis(50)),
            is_outside: false,
        })
        .await
        .unwrap();
        let (to, generation) = (kiosk.clone(), Generation(1));
        let offer = ClientMessage::Offer {
            to,
            generation,
            sdp,
        };
        sender.send(offer).await.unwrap();
        Self {
            sender,
            receiver,
            peer,
            events,
            kiosk,
        }
    }

    /// Takes part until sound and picture have come.
    async fn see_and_hear(&mut self) {
        let counters = self.peer.counters();
        let mut look = tokio::time::interval(Duration::from_millis(10));
        let come = async {
            while counters.get(MediaKind::Video) < 3 || counters.get(MediaKind::Audio) < 3 {
                tokio::select! {
                    incoming = self.receiver.next() => {
                        let Some(Ok(Incoming::Message(message))) = incoming else {
                            panic!("{incoming:?}");
                        };
                        match *message {
                            ServerMessage::Answer { sdp, .. } => self.peer.accept(&sdp).await.unwrap(),
                            ServerMessage::Candidate { candidate, mline, .. } => {
                                self.peer.add_candidate(&Candidate { candidate, mline });
                            }
                            _ => {}
                        }
                    }
                    Some(event) = self.events.recv() => match event {
                        PeerEvent::Candidate(Candidate { candidate, mline }) => {
                            let (to, generation) = (self.kiosk.clone(), Generation(1));
                            let message = ClientMessage::Candidate { to, generation, candidate, mline };
                            self.sender.send(message).await.unwrap();
                        }
                        PeerEvent::State(PeerState::Connected) => self.peer.start_sending().unwrap(),
                        PeerEvent::Error(error) => panic!("{error}"),
                        _ => {}
                    },
                    _ = look.tick() => {}
                }
            }
        };
        let came = tokio::time::timeout(LIMIT, come).await;
        came.expect("sound and picture in time");
    }

    async fn leave(mut self) {
        self.sender.send(ClientMessage::Leave).await.unwrap();
        self.peer.close().await;
        while let Some(Ok(_)) = self.receiver.next().await {}
    }
}

/// Held by server and kiosk after the warm-up and at the end.
struct Measured {
    server: [Held; 2],
    kiosk: [Held; 2],
    seconds: f64,
}

async fn come_and_go(warm_up: usize, times: usize) -> Measured {
    attache::media::init().unwrap();
    let (events, _told) = unbounded_channel();
    let small = [("width", 160), ("height", 90), ("framerate", 10)];
    let small = small.map(|(name, value)| (name.to_owned(), Value::Integer(value)));
    let context = Context {
        room: "lobby".parse().unwrap(),
        encoders: Encoders::default(),
    };
    let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let description = Description::load(&pipelines, "kiosk-test").unwrap();
    let camera = Capture::start(&description, &small.into(), context, events).await;
    let camera = camera.unwrap();
    let daemon = Daemon::start("");
    let kiosk = daemon
        .job_with(json!({
            "role": "kiosk", "room": "lobby", "description": "kiosk-test",
            "parameters": { "width": 320, "height": 180, "framerate": 10 },
        }))
        .await;
    let joined = |view: &serde_json::Value| view["state"] == "joined";
    let view = daemon.until(&kiosk, "it is in its room", joined).await;
    let pids = [u64::from(daemon.pid()), view["pid"].as_u64().unwrap()];
    let mut before = None;
    let begun = Instant::now();
    for round in 0..warm_up + times {
        if round == warm_up {
            let [server, kiosk] = pids.map(|pid| Held::settled(pid, None));
            tokio::time::sleep(Duration::from_secs(2)).await;
            before = Some((server.await, kiosk.await));
        }
        let mut visitor = Visitor::join(&daemon, &camera).await;
        visitor.see_and_hear().await;
        visitor.leave().await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (server, kiosk) = before.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let [server_pid, kiosk_pid] = pids;
    Measured {
        server: [server, Held::settled(server_pid, Some(server)).await],
        kiosk: [kiosk, Held::settled(kiosk_pid, Some(kiosk)).await],
        seconds,
    }
}

/// Everything is as it was, but for so many MiB.
#[track_caller]
fn assert_nothing_is_left(name: &str, [before, after]: [Held; 2], memory: f64) {
    let told = format!("{name}: {before:?} before, {after:?} after");
    println!("{told}");
    assert!(after.threads <= before.threads, "{told}");
    assert!(after.descriptors <= before.descriptors, "{told}");
    assert!(after.memory - before.memory <= memory, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_sixty_who_came_and_went() {
    let measured = come_and_go(20, 60).await;
    // What one peer that is not freed holds is 1 MiB and more.
    assert_nothing_is_left("server", measured.server, 8.0);
    assert_nothing_is_left("kiosk", measured.kiosk, 15.0);
}

#[ignore = "takes minutes: `node benches/run.mjs joins`"]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_two_thousand_who_came_and_went() {
    let times = std::env::var("ATTACHE_JOINS").map_or(2000, |times| times.parse().unwrap());
    let Measured {
        server,
        kiosk,
        seconds,
    } = come_and_go(200, times).await;
    let told = |[before, after]: [Held; 2]| {
        json!({
            "memory_mib": [before.memory, after.memory],
            "growth_percent": 100.0 * (after.memory / before.memory - 1.0),
            "threads": [before.threads, after.threads],
            "descriptors": [before.descriptors, after.descriptors],
        })
    };
    println!(
        "{}",
        json!({ "times": times, "seconds": seconds, "server": told(server), "kiosk": told(kiosk) })
    );
}
