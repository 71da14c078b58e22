//! One PeerConnection with one other participant: the only place that names `webrtcbin`.
//!
//! * [`sdp`] reads and checks what the other side describes; [`generation`] says which PeerConnection counts.
//! * [`negotiate`] turns both into m-lines, offers and answers; [`simulcast`] is what they say of several encodings of one
//!   picture, and [`layers`] tells those apart.
//! * [`send`] takes encoded frames from the fan-out to webrtcbin; [`receive`] brings the other side's back, through
//!   [`jitter`] buffers.
//! * [`liveness`] says whether a peer still serves, by what [`traffic`] counts; [`renewal`] when the next is made.
//! * [`bandwidth`] tells what the way to the other side carries; [`pacer`] lets packets go at that rate, and sends again
//!   what is asked for. [`lean`] takes out of webrtcbin what is done there or not needed.
//! * [`ice`] sets servers and candidates; [`data`] is the chat channel; [`stats`] reads webrtcbin's counters,
//!   [`reports`] the other side's; [`goodbye`] hears that it closes the connection.
//!
//! Callbacks of GStreamer link, report a [`PeerEvent`] and return; the task that owns the [`Peer`] decides.

pub mod bandwidth;
mod data;
pub mod generation;
mod goodbye;
mod ice;
mod jitter;
mod key_frame;
mod layers;
mod lean;
pub mod liveness;
mod negotiate;
mod pacer;
mod receive;
pub mod renewal;
mod reports;
pub mod sdp;
mod send;
mod sender_clock;
mod silence;
pub mod simulcast;
mod stats;
mod timing;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_utils::StreamProducer;
use gstreamer_webrtc as gst_webrtc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OnceCell, watch};

use crate::filter::report::FilterReport;
use crate::job::PeerState;
use crate::media::encodings::Encodings;
use crate::media::fanout::Outlet;
use crate::media::layers::Layers;
use crate::media::{Codec, MediaKind, clock};
use crate::pipeline::Tier;
use crate::quality::Counts;
use crate::signalling::protocol::{Ice, Sends};
use lean::Side;
use liveness::Reported;

pub use generation::Candidate;
pub use jitter::Latency;
pub use receive::{EncodedSink, LayerPassage, Passage, Receive, Wish};

/// Where the encoded frames of a codec come from.
pub enum Supply {
    /// The same for all who take them; where a peer's link is slow, whole frames are dropped up to the next key frame.
    Outlet(Outlet),
    /// The tier that the peer's link carries.
    Tiers(Encodings),
    /// Likewise, of the encodings that whoever sends the picture makes itself.
    Layers(Layers),
}

/// Tells it; called when a peer is about to send.
pub type Producers = Arc<dyn Fn(Codec) -> Result<Supply> + Send + Sync>;

/// How a peer is to be made.
#[derive(Clone)]
pub struct PeerSettings {
    /// A name for logs and pictures of pipelines; no secret, no address.
    pub name: String,
    /// Servers and policy.
    pub ice: Ice,
    /// The tracks we have to send.
    pub sends: Sends,
    /// Where they come from.
    pub producers: Option<Producers>,
    /// The video codecs that are offered and taken, best first: the order in which they are offered, and in which one of an
    /// offer is chosen.
    pub video_codecs: Vec<Codec>,
    /// What to do with what comes.
    pub receive: Receive,
    /// The jitter buffers' length.
    pub latency: Latency,
    /// The other side is no participant but a server or a publisher: it has nothing to say on a data channel, and what it
    /// sends is coded as it likes best.
    pub is_outside: bool,
}

/// The process's first peer, once it was made and closed; and whether that has begun.
static WARM: OnceCell<()> = OnceCell::const_new();
static BEGUN: AtomicBool = AtomicBool::new(false);

/// What a peer tells its owner.
#[derive(Debug)]
pub enum PeerEvent {
    /// A local candidate, to be trickled.
    Candidate(Candidate),
    /// The connection moved on.
    State(PeerState),
    /// A decoded track arrives (only with [`Receive::Decoded`] and [`Receive::Only`]).
    Track {
        /// Sound or picture.
        kind: MediaKind,
        /// Its raw frames.
        producer: StreamProducer,
    },
    /// The data channel can be written to.
    ChatOpen,
    /// A text came over the data channel.
    Message(String),
    /// What [`Peer::measure`] asked for.
    Measured(Box<Counts>),
    /// Another tier of the picture is sent from now on; `None`: the link carries sound only.
    Tier(Option<Tier>),
    /// Something broke; the peer is of no use any more.
    Error(String),
}

/// Frames received so far.
#[derive(Debug, Default)]
pub struct Counters {
    audio: AtomicU64,
    video: AtomicU64,
}

impl Counters {
    /// Frames of this kind since the peer was made.
    pub fn get(&self, kind: MediaKind) -> u64 {
        self.of(kind).load(Ordering::Relaxed)
    }

    fn of(&self, kind: MediaKind) -> &AtomicU64 {
        match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video => &self.video,
        }
    }
}

/// One PeerConnection: a webrtcbin in a pipeline of its own.
pub struct Peer {
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
    settings: PeerSettings,
    senders: Vec<send::Sender>,
    chat: data::Chat,
    counters: Arc<Counters>,
    closed: Arc<AtomicBool>,
    events: UnboundedSender<PeerEvent>,
    reports: reports::Reports,
    heard: traffic::Packets,
    sources: layers::Sources,
    line: Arc<pacer::line::Line>,
    /// The other side knows that there is no picture.
    told_paused: bool,
    /// The last time that counters were asked for.
    measuring: Option<gst::Promise>,
}

impl Peer {
    /// Makes the PeerConnection that we offer, and the offer.
    pub async fn offer(
        settings: PeerSettings,
    ) -> Result<(Self, String, UnboundedReceiver<PeerEvent>)> {
        Self::warm_up().await?;
        let (mut peer, events) = Self::build(settings, Side::Offers)?;
        let offer = peer
            .negotiate_offer()
            .await
            .context("cannot make an offer")?;
        Ok((peer, offer, events))
    }

    /// Makes the PeerConnection that the other side offered, and the answer.
    pub async fn answer(
        settings: PeerSettings,
        offer: &str,
    ) -> Result<(Self, String, UnboundedReceiver<PeerEvent>)> {
        Self::warm_up().await?;
        let (mut peer, events) = Self::build(settings, Side::Answers)?;
        let answer = peer
            .negotiate_answer(offer)
            .await
            .context("cannot answer the offer")?;
        peer.prepare_sending();
        Ok((peer, answer, events))
    }

    /// Makes the process's first peer up to its offer and closes it; later calls wait for that, or do nothing. The first
    /// one is slow (a certificate is made, plugins are loaded): better before it is needed, and alone.
    pub async fn warm_up() -> Result<()> {
        BEGUN.store(true, Ordering::Relaxed);
        let settings = PeerSettings {
            name: "warm-up".to_owned(),
            ice: Ice::default(),
            sends: Sends {
                audio: true,
                video: true,
            },
            producers: None,
            video_codecs: vec![Codec::Vp8, Codec::H264],
            receive: Receive::Decoded {
                audio: true,
                video: true,
            },
            latency: Latency::Fixed(Duration::ZERO),
            is_outside: false,
        };
        let warm_up = async || {
            let (mut peer, _events) = Self::build(settings, Side::Offers)?;
            let described = peer.describe_offer().await;
            peer.close().await;
            described.map(drop)
        };
        WARM.get_or_try_init(warm_up).await.copied()
    }

    /// Waits for a [`Peer::warm_up`] that is under way: the process must not end while its threads run.
    pub async fn settle() {
        if BEGUN.load(Ordering::Relaxed) {
            // Whoever needs a peer is told the error.
            let _ = Self::warm_up().await;
        }
    }

    /// Takes the answer to our offer.
    pub async fn accept(&mut self, answer: &str) -> Result<()> {
        self.negotiate_accept(answer)
            .await
            .context("cannot take the answer")?;
        self.prepare_sending();
        Ok(())
    }

    /// Takes a candidate of the other side.
    pub fn add_candidate(&self, candidate: &Candidate) {
        ice::add_candidate(&self.webrtc, candidate);
    }

    /// Lets media flow; called when the connection is up, so that no old frame waits in a queue.
    pub fn start_sending(&mut self) -> Result<()> {
        bandwidth::follow(&self.webrtc, &self.line)?;
        let Some(producers) = self.settings.producers.clone() else {
            return Ok(());
        };
        let (bandwidth, events) = (self.line.bandwidth(), &self.events);
        self.senders
            .iter_mut()
            .try_for_each(|sender| sender.start(&producers, bandwidth.watch(), events))
    }

    fn prepare_sending(&self) {
        if let Some(producers) = &self.settings.producers {
            self.senders
                .iter()
                .for_each(|sender| sender.prepare(producers));
        }
    }

    /// Sends a text over the data channel; an error says that the channel is not open.
    pub fn send_message(&self, text: &str) -> Result<()> {
        self.chat.send(text)
    }

    /// Tells the other side over the data channel what becomes of its sound; an error says that the channel is not open.
    pub fn send_report(&self, report: &FilterReport) -> Result<()> {
        self.chat.send_report(report)
    }

    /// Notes that the link leaves no room for the picture, and when there is room again, and tells the other side over the
    /// data channel; an error says that the channel is not open.
    pub fn tell_paused(&mut self, is_paused: bool) -> Result<()> {
        if std::mem::replace(&mut self.told_paused, is_paused) == is_paused {
            return Ok(());
        }
        self.line.pause_picture(is_paused);
        self.chat.send_paused(is_paused)
    }

    /// Frames received so far.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Asks for the counters of the connection; they come as [`PeerEvent::Measured`].
    pub fn measure(&mut self) {
        let of_sender = |sender: &send::Sender| (sender.sent().0, sender.kind());
        let described = self.webrtc.property::<Option<_>>("remote-description");
        let repeaters =
            described.map_or_else(Vec::new, |described| bandwidth::repeaters(&described));
        let sources = stats::Sources {
            sent: self.senders.iter().map(of_sender).collect(),
            repeated: repeaters.into_iter().map(|(_, again)| again).collect(),
        };
        let asked = stats::ask(&self.webrtc, sources, &self.reports, &self.events);
        self.measuring = Some(asked);
    }

    /// What the way to the other side carries, see [`bandwidth`].
    pub fn bandwidth(&self) -> watch::Receiver<Option<bandwidth::Estimate>> {
        self.line.bandwidth().watch()
    }

    /// Packets of any sort that arrived so far.
    pub fn heard(&self) -> u64 {
        self.heard.get()
    }

    /// What the other side reported last of each track of ours, by SSRC.
    pub fn reported(&self) -> Vec<(u32, Reported)> {
        self.reports.watch(&self.webrtc);
        let of_sender = |sender: &send::Sender| {
            let (ssrc, sent) = sender.sent();
            let report = self.reports.of(ssrc)?;
            let reported = Reported {
                reports: report.reports,
                highest: report.highest,
                sent,
            };
            Some((ssrc, reported))
        };
        self.senders.iter().filter_map(of_sender).collect()
    }

    /// Whether [`Peer::probe`] reaches the other side, if a path does.
    pub fn can_probe(&self) -> bool {
        self.chat.is_open()
    }

    /// Asks the other side's SCTP for a sign of life, unless it is asked already.
    pub fn probe(&self) {
        self.chat.probe();
    }

    /// How long the other side's media waits in the jitter buffer; of one that follows the loss, while nothing is missing.
    pub fn latency(&self) -> Duration {
        self.settings.latency.first()
    }

    /// Ends the connection; returns when its threads are gone.
    pub async fn close(mut self) {
        self.senders.clear();
        let (pipeline, measuring) = (self.pipeline.clone(), self.measuring.take());
        self.closed.store(true, Ordering::Relaxed);
        // Stopping joins streaming threads: off the async threads.
        let stopping = tokio::task::spawn_blocking(move || stop(&pipeline, measuring.as_ref()));
        let _ = stopping.await;
    }

    fn build(settings: PeerSettings, side: Side) -> Result<(Self, UnboundedReceiver<PeerEvent>)> {
        let (events, receiver) = unbounded_channel();
        let pipeline = gst::Pipeline::with_name(&settings.name);
        clock::prepare(&pipeline);
        let webrtc = gst::ElementFactory::make("webrtcbin")
            .property_from_str("bundle-policy", "max-bundle")
            .property(
                "latency",
                u32::try_from(settings.latency.first().as_millis()).unwrap_or(u32::MAX),
            )
            .build()
            .context(
                "webrtcbin is missing: install gstreamer1.0-plugins-bad and gstreamer1.0-nice",
            )?;
        ice::configure(&webrtc, &settings.ice)?;
        jitter::prepare(&webrtc, settings.latency)?;
        pipeline.add(&webrtc)?;
        let line = pacer::line::Line::new().context("no thread can be made")?;
        pacer::insert(&webrtc, &line);
        lean::prepare(&webrtc, side, &line)?;
        let heard = traffic::hear(&webrtc)?;
        let sources = layers::Sources::watch(&webrtc)?;
        let counters = Arc::new(Counters::default());
        watch_state(&webrtc, &events);
        if settings.is_outside {
            // Participants of a room tell by signalling that they leave.
            goodbye::listen(&webrtc, &events)?;
        }
        watch_bus(&pipeline, &events)?;
        ice::watch_candidates(&webrtc, &events);
        let counted = (&counters, &sources);
        receive::watch_pads(&pipeline, &webrtc, &settings.receive, counted, &events);
        let chat = data::Chat::watch(&webrtc, &events);
        let peer = Self {
            pipeline,
            webrtc,
            settings,
            senders: Vec::new(),
            chat,
            counters,
            closed: Arc::new(AtomicBool::new(false)),
            events,
            reports: reports::Reports::default(),
            heard,
            sources,
            line,
            told_paused: false,
            measuring: None,
        };
        peer.pipeline
            .set_state(gst::State::Playing)
            .context("webrtcbin does not start: is gstreamer1.0-nice there?")?;
        Ok((peer, receiver))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            let (pipeline, measuring) = (self.pipeline.clone(), self.measuring.take());
            std::thread::spawn(move || stop(&pipeline, measuring.as_ref()));
        }
    }
}

fn stop(pipeline: &gst::Pipeline, measuring: Option<&gst::Promise>) {
    if let Some(measuring) = measuring {
        // What is read of its sessions would be freed beneath the reader. webrtcbin answers, also when it fails.
        measuring.wait();
    }
    if let Some(bus) = pipeline.bus() {
        bus.unset_sync_handler();
    }
    if let Err(error) = pipeline.set_state(gst::State::Null) {
        tracing::warn!(%error, "a peer's pipeline did not stop");
    }
}

fn watch_state(webrtc: &gst::Element, events: &UnboundedSender<PeerEvent>) {
    let events = events.clone();
    webrtc.connect_notify(Some("connection-state"), move |webrtc, _| {
        use gst_webrtc::WebRTCPeerConnectionState as State;
        let state = match webrtc.property::<State>("connection-state") {
            State::New => PeerState::New,
            State::Connecting => PeerState::Connecting,
            State::Connected => PeerState::Connected,
            State::Disconnected => PeerState::Disconnected,
            State::Failed => PeerState::Failed,
            State::Closed => PeerState::Closed,
            // An enum of C: values of newer libraries mean nothing to us.
            _ => return,
        };
        let _ = events.send(PeerEvent::State(state));
    });
}

/// Errors on the bus become events at once; nothing else on it matters here.
fn watch_bus(pipeline: &gst::Pipeline, events: &UnboundedSender<PeerEvent>) -> Result<()> {
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    let events = events.clone();
    let pipeline = pipeline.downgrade();
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Error(error) => {
                let element = error
                    .src()
                    .map(|src| src.name().to_string())
                    .unwrap_or_default();
                let _ = events.send(PeerEvent::Error(format!("{element}: {}", error.error())));
            }
            gst::MessageView::Latency(_) => {
                if let Some(pipeline) = pipeline.upgrade() {
                    pipeline.call_async(|pipeline| {
                        let _ = pipeline.recalculate_latency();
                    });
                }
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
    Ok(())
}
