//! What viewers of one kiosk cost it, and how soon they see: players over WHEP that do not decode, many in this process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attache::job::PeerState;
use attache::media::fanout::Outlet;
use attache::media::{Codec, MediaKind};
use attache::peer::{Candidate, Latency, Peer, PeerEvent, PeerSettings, Receive};
use attache::signalling::protocol::{Ice, Sends};
use attache::whip::with_candidates;
use daemon::{Daemon, LIMIT};
use gstreamer as gst;
use serde_json::{Value, json};

const ROOM: &str = "lobby";
/// Players hold what arrives for a moment; without that, a receiver on a busy machine throws away what comes unevenly.
const PLAYS_AFTER: Duration = Duration::from_millis(60);
/// After joins, until things are as they stay.
const SETTLE: Duration = Duration::from_secs(5);
/// Over which costs are counted.
const COUNTED: Duration = Duration::from_secs(10);

/// A player.
struct Viewer {
    peer: Option<Peer>,
    session: String,
    pictures: Arc<AtomicU64>,
    /// From its POST to the answer, to the connection, and to its first key frame.
    answered: Duration,
    connected: Duration,
    first_key_frame: Duration,
}

impl Viewer {
    /// `latency` is how long its jitter buffer holds what arrives.
    async fn join(http: &reqwest::Client, daemon: &Daemon, latency: Duration) -> Self {
        let pictures = Arc::new(AtomicU64::new(0));
        let (tell, mut key_frame) = tokio::sync::mpsc::unbounded_channel();
        let counted = Arc::clone(&pictures);
        let takings = Mutex::new(Vec::new());
        // As players do: no data channel, and nothing is decoded.
        let passage = move |codec: Codec| {
            let outlet = Outlet::encoded(codec)?;
            let (tell, counted) = (tell.clone(), Arc::clone(&counted));
            if codec.kind() == MediaKind::Video {
                let taking = outlet.take(move |picture, _| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    if !picture.flags().contains(gst::BufferFlags::DELTA_UNIT) {
                        let _ = tell.send(Instant::now());
                    }
                });
                takings.lock().unwrap().push(taking);
            }
            Ok(outlet)
        };
        let settings = PeerSettings {
            name: "viewer".to_owned(),
            ice: Ice::default(),
            sends: Sends::default(),
            producers: None,
            video_codecs: vec![Codec::Vp8, Codec::H264],
            receive: Receive::Passed(Arc::new(passage)),
            latency: Latency::Fixed(latency),
            is_outside: true,
        };
        let (mut peer, offer, mut events) = Peer::offer(settings).await.unwrap();
        let mut candidates: Vec<Candidate> = Vec::new();
        loop {
            match events.recv().await.expect("the peer lives") {
                PeerEvent::Candidate(candidate) if candidate.candidate.is_empty() => break,
                PeerEvent::Candidate(candidate) => candidates.push(candidate),
                _ => {}
            }
        }
        let offer = with_candidates(&offer, &candidates);
        let from = Instant::now();
        let request = http.post(format!("{}/whep/{ROOM}", daemon.url));
        let request = request
            .header("content-type", "application/sdp")
            .body(offer);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let session = answer.headers()["location"].to_str().unwrap().to_owned();
        let answered = from.elapsed();
        peer.accept(&answer.text().await.unwrap()).await.unwrap();
        let connected = async {
            while !matches!(
                events.recv().await.expect("the peer lives"),
                PeerEvent::State(PeerState::Connected)
            ) {}
            from.elapsed()
        };
        let connected = tokio::time::timeout(LIMIT, connected).await;
        // It reports as often as browsers do from now on, and not with each picture.
        peer.start_sending().unwrap();
        let seen = tokio::time::timeout(LIMIT, key_frame.recv()).await;
        let seen = seen.expect("a key frame in time").unwrap();
        Self {
            peer: Some(peer),
            session,
            pictures,
            answered,
            connected: connected.expect("a connection in time"),
            first_key_frame: seen - from,
        }
    }

    async fn leave(mut self, daemon: &Daemon) {
        daemon.delete(&self.session).await;
        self.peer.take().unwrap().close().await;
    }
}

/// A kiosk of the size that everything here is measured with.
async fn kiosk(daemon: &Daemon) -> String {
    let parameters = json!({
        "width": 1280, "height": 720, "framerate": 30, "bitrate_kbps": 1500, "flash": false, "beep": false,
    });
    let spec = json!({
        "role": "kiosk", "room": ROOM, "description": "kiosk-test", "parameters": parameters,
    });
    let id = daemon.job_with(spec).await;
    daemon
        .until(&id, "the kiosk joins", |view| view["state"] == "joined")
        .await;
    id
}

fn connected(view: &Value) -> usize {
    let peers = view["peers"].as_array().into_iter().flatten();
    peers
        .filter(|peer| peer["state"] == json!(PeerState::Connected))
        .count()
}

/// A process by the kernel's books: processor seconds, threads, resident MiB.
fn books(pid: u64) -> (f64, u64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The second field is a name in brackets and may hold anything: count from behind it.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let number = |index: usize| fields[index].parse::<u32>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes: u32 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    // Linux counts in hundredths everywhere (USER_HZ).
    let seconds = f64::from(number(11) + number(12)) / 100.0;
    (seconds, number(17).into(), f64::from(kilobytes) / 1024.0)
}

async fn cost(pid: u64, viewers: &[Viewer]) -> Value {
    tokio::time::sleep(SETTLE).await;
    let pictures = |viewers: &[Viewer]| {
        let counts = viewers
            .iter()
            .map(|viewer| viewer.pictures.load(Ordering::Relaxed));
        counts.sum::<u64>()
    };
    let (before, from, seen) = (books(pid), Instant::now(), pictures(viewers));
    tokio::time::sleep(COUNTED).await;
    let (after, time) = (books(pid), from.elapsed().as_secs_f64());
    let seen = u32::try_from(pictures(viewers) - seen).unwrap();
    let each = f64::from(seen) / f64::from(u32::try_from(viewers.len()).unwrap()) / time;
    json!({
        "viewers": viewers.len(), "cores": (after.0 - before.0) / time, "threads": after.1, "rss_mib": after.2,
        "pictures_per_second": each,
    })
}

async fn with(count: usize, viewers: &mut Vec<Viewer>, http: &reqwest::Client, daemon: &Daemon) {
    while viewers.len() < count {
        viewers.push(Viewer::join(http, daemon, PLAYS_AFTER).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn players_that_come_see_a_key_frame_and_go_on_seeing() {
    attache::tls::install_ring();
    attache::media::init().unwrap();
    let (daemon, http) = (Daemon::start(""), reqwest::Client::new());
    let id = kiosk(&daemon).await;
    let mut viewers = Vec::new();
    with(3, &mut viewers, &http, &daemon).await;
    daemon
        .until(&id, "three peers", |view| connected(view) == 3)
        .await;
    let seen = |viewer: &Viewer| viewer.pictures.load(Ordering::Relaxed);
    let before: Vec<u64> = viewers.iter().map(seen).collect();
    let end = Instant::now() + LIMIT;
    while viewers
        .iter()
        .zip(&before)
        .any(|(viewer, before)| seen(viewer) < before + 30)
    {
        assert!(Instant::now() < end, "pictures stopped");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for viewer in viewers {
        viewer.leave(&daemon).await;
    }
    daemon
        .until(&id, "nobody", |view| connected(view) == 0)
        .await;
}

fn spread(mut times: Vec<f64>) -> Value {
    times.sort_by(f64::total_cmp);
    json!({ "p50": times[times.len() / 2], "p95": times[times.len() * 95 / 100] })
}

/// For `make bench`: the last line is the result.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn what_viewers_cost_and_how_soon_they_see() {
    attache::tls::install_ring();
    attache::media::init().unwrap();
    let (daemon, http) = (Daemon::start(""), reqwest::Client::new());
    let id = kiosk(&daemon).await;
    let pid = daemon.view(&id).await["pid"].as_u64().unwrap();
    let mut joins = [const { Vec::new() }; 3];
    for _ in 0..40 {
        // What a player waits for is its own.
        let viewer = Viewer::join(&http, &daemon, Duration::ZERO).await;
        let times = [viewer.answered, viewer.connected, viewer.first_key_frame];
        for (joins, time) in joins.iter_mut().zip(times) {
            joins.push(time.as_secs_f64() * 1000.0);
        }
        viewer.leave(&daemon).await;
        daemon
            .until(&id, "nobody", |view| connected(view) == 0)
            .await;
    }
    let [answered, connected, first_key_frame] = joins.map(spread);
    let mut costs = Vec::new();
    let mut viewers = Vec::new();
    for count in [1, 8, 20] {
        with(count, &mut viewers, &http, &daemon).await;
        costs.push(cost(pid, &viewers).await);
    }
    let result = json!({
        "joins": 40, "answered_ms": answered, "connected_ms": connected, "first_key_frame_ms": first_key_frame,
        "costs": costs,
    });
    println!("{result}");
    for viewer in viewers {
        viewer.leave(&daemon).await;
    }
}
