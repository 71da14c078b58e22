//! Two PeerConnections of ours, back to back, with real media, ICE and DTLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attache::job::PeerState;
use attache::media::fanout::Outlet;
use attache::media::{Codec, MediaKind, clock};
use attache::peer::{
    EncodedSink, Latency, Peer, PeerEvent, PeerSettings, Producers, Receive, Supply, Wish,
};
use attache::quality::{Counts, Path, Quality};
use attache::recording::frame::{Content, Frame};
use attache::signalling::protocol::{Ice, Sends};
use gstreamer as gst;
use gstreamer::prelude::*;
use tokio::sync::mpsc::UnboundedReceiver;

const LIMIT: Duration = Duration::from_secs(20);

/// A live encoder for each codec, made when first asked for.
fn producers() -> Producers {
    Arc::new(|codec| {
        let text = match codec {
            Codec::Opus => {
                "audiotestsrc is-live=true do-timestamp=true ! opusenc ! identity name=last"
            }
            Codec::Vp8 => {
                "videotestsrc is-live=true do-timestamp=true ! video/x-raw,width=320,height=180,framerate=30/1 \
                 ! vp8enc deadline=1 cpu-used=8 ! identity name=last"
            }
            Codec::H264 => {
                "videotestsrc is-live=true do-timestamp=true \
                 ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 \
                 ! x264enc tune=zerolatency speed-preset=ultrafast ! video/x-h264,profile=constrained-baseline \
                 ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au \
                 ! identity name=last"
            }
            Codec::Vp9 => {
                "videotestsrc is-live=true do-timestamp=true ! video/x-raw,format=I420,width=320,height=180,framerate=15/1 \
                 ! vp9enc deadline=1 cpu-used=8 lag-in-frames=0 ! identity name=last"
            }
            Codec::Av1 => {
                "videotestsrc is-live=true do-timestamp=true ! video/x-raw,format=I420,width=320,height=180,framerate=15/1 \
                 ! av1enc usage-profile=realtime cpu-used=9 lag-in-frames=0 ! av1parse \
                 ! video/x-av1,stream-format=obu-stream,alignment=tu ! identity name=last"
            }
            Codec::H265 => {
                "videotestsrc is-live=true do-timestamp=true ! video/x-raw,format=I420,width=320,height=180,framerate=15/1 \
                 ! x265enc tune=zerolatency speed-preset=ultrafast ! h265parse config-interval=-1 \
                 ! video/x-h265,stream-format=byte-stream,alignment=au ! identity name=last"
            }
            Codec::Aac => panic!("calls have no AAC"),
        };
        let pipeline = gst::parse::launch(text)?
            .downcast::<gst::Pipeline>()
            .expect("a pipeline");
        clock::prepare(&pipeline);
        let outlet = Outlet::encoded(codec)?;
        let sink = outlet.feed().appsink();
        pipeline.add(&sink)?;
        pipeline.by_name("last").expect("an end").link(&sink)?;
        pipeline.set_state(gst::State::Playing)?;
        // Lives as long as the test's process.
        std::mem::forget(pipeline);
        Ok(Supply::Outlet(outlet))
    })
}

fn settings(name: &str, video_codecs: Vec<Codec>, receive: Receive) -> PeerSettings {
    PeerSettings {
        name: name.to_owned(),
        ice: Ice::default(),
        sends: Sends {
            audio: true,
            video: true,
        },
        producers: Some(producers()),
        video_codecs,
        receive,
        latency: Latency::Fixed(Duration::from_millis(50)),
        is_outside: false,
    }
}

/// One side of a call, and what it has seen.
struct Side {
    peer: Peer,
    events: UnboundedReceiver<PeerEvent>,
    chat: bool,
    tracks: Vec<MediaKind>,
    message: Option<String>,
    counts: Option<Counts>,
}

impl Side {
    fn new(peer: Peer, events: UnboundedReceiver<PeerEvent>) -> Self {
        Self {
            peer,
            events,
            chat: false,
            tracks: Vec::new(),
            message: None,
            counts: None,
        }
    }

    fn frames(&self, kind: MediaKind) -> u64 {
        self.peer.counters().get(kind)
    }

    fn on_event(&mut self, other: &Peer, event: PeerEvent) {
        match event {
            PeerEvent::Candidate(candidate) => {
                let text = &candidate.candidate;
                assert!(!text.contains(" TCP "), "media goes by UDP: {text}");
                other.add_candidate(&candidate);
            }
            PeerEvent::State(PeerState::Connected) => {
                self.peer.start_sending().expect("sending starts")
            }
            PeerEvent::State(_) => {}
            PeerEvent::Track { kind, .. } => self.tracks.push(kind),
            PeerEvent::ChatOpen => self.chat = true,
            PeerEvent::Message(text) => self.message = Some(text),
            PeerEvent::Measured(counts) => self.counts = Some(*counts),
            PeerEvent::Tier(_) => {}
            PeerEvent::Error(error) => panic!("{error}"),
        }
    }
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let frames = (self.frames(MediaKind::Audio), self.frames(MediaKind::Video));
        write!(
            f,
            "frames {frames:?}, chat {}, tracks {:?}, message {:?}",
            self.chat, self.tracks, self.message
        )
    }
}

/// Two sides, and the answer that one gave the other.
struct Call {
    offerer: Side,
    answerer: Side,
    answer: String,
}

impl Call {
    async fn new(offerer: PeerSettings, answerer: PeerSettings) -> Self {
        Self::with_offer(offerer, answerer, |offer| offer).await
    }

    /// The answerer gets the offer as `edit` makes it.
    async fn with_offer(
        offerer: PeerSettings,
        answerer: PeerSettings,
        edit: impl Fn(String) -> String,
    ) -> Self {
        attache::media::init().expect("GStreamer starts");
        let (mut a, offer, a_events) = Peer::offer(offerer).await.expect("an offer");
        let offer = edit(offer);
        let (b, answer, b_events) = Peer::answer(answerer, &offer).await.expect("an answer");
        if std::env::var_os("SHOW_SDP").is_some() {
            println!("{offer}\n-----\n{answer}");
        }
        a.accept(&answer).await.expect("the answer is taken");
        Self {
            offerer: Side::new(a, a_events),
            answerer: Side::new(b, b_events),
            answer,
        }
    }

    /// Carries events from one side to the other until `done`.
    async fn run_until(&mut self, what: &str, mut done: impl FnMut(&Side, &Side) -> bool) {
        let limit = tokio::time::Instant::now() + LIMIT;
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let (a, b) = (&mut self.offerer, &mut self.answerer);
        while !done(a, b) {
            tokio::select! {
                event = a.events.recv() => a.on_event(&b.peer, event.expect("the offerer lives")),
                event = b.events.recv() => b.on_event(&a.peer, event.expect("the answerer lives")),
                _ = look.tick() => {}
                () = tokio::time::sleep_until(limit) => panic!("within {LIMIT:?}: {what}; found {a:?} and {b:?}"),
            }
        }
    }
}

async fn a_call_both_ways(offered: Vec<Codec>) -> String {
    let decoded = Receive::Decoded {
        audio: true,
        video: true,
    };
    let mut call = Call::new(
        settings("a", offered, decoded.clone()),
        settings("b", vec![Codec::Vp8, Codec::H264], decoded),
    )
    .await;
    call.run_until("frames and chat on both sides", |a, b| {
        [a, b]
            .iter()
            .all(|s| s.chat && s.frames(MediaKind::Audio) > 20 && s.frames(MediaKind::Video) > 20)
    })
    .await;
    call.offerer
        .peer
        .send_message("from a")
        .expect("the channel is open");
    call.answerer
        .peer
        .send_message("from b")
        .expect("the channel is open");
    call.run_until("a message on both sides", |a, b| {
        a.message.is_some() && b.message.is_some()
    })
    .await;
    assert_eq!(call.offerer.message.as_deref(), Some("from b"));
    assert_eq!(call.answerer.message.as_deref(), Some("from a"));
    assert_eq!(
        (call.offerer.tracks.len(), call.answerer.tracks.len()),
        (2, 2)
    );
    call.offerer.peer.close().await;
    call.answerer.peer.close().await;
    call.answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audio_level_without_attributes_as_browsers_offer_it_does_no_harm() {
    let decoded = Receive::Decoded {
        audio: true,
        video: true,
    };
    let plain = |offer: String| {
        assert!(offer.contains("ssrc-audio-level vad=on"), "{offer}");
        offer.replace("ssrc-audio-level vad=on", "ssrc-audio-level")
    };
    let mut call = Call::with_offer(
        settings("a", vec![Codec::Vp8], decoded.clone()),
        settings("b", vec![Codec::Vp8], decoded),
        plain,
    )
    .await;
    call.run_until("sound and pictures of who answers", |a, _| {
        a.frames(MediaKind::Audio) > 50 && a.frames(MediaKind::Video) > 20
    })
    .await;
    call.offerer.peer.close().await;
    call.answerer.peer.close().await;
}

/// What both sides count by now.
async fn counted(call: &mut Call) -> [Counts; 2] {
    call.offerer.peer.measure();
    call.answerer.peer.measure();
    call.run_until("counters of both sides", |a, b| {
        a.counts.is_some() && b.counts.is_some()
    })
    .await;
    [&mut call.offerer, &mut call.answerer].map(|side| side.counts.take().unwrap())
}

/// A call of two that decode what they get.
async fn both_decode() -> Call {
    let decoded = Receive::Decoded {
        audio: true,
        video: true,
    };
    let codecs = vec![Codec::Vp8];
    Call::new(
        settings("a", codecs.clone(), decoded.clone()),
        settings("b", codecs, decoded),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_tells_how_good_it_is() {
    let mut call = both_decode().await;
    call.run_until("frames on both sides", |a, b| {
        a.frames(MediaKind::Video) > 0 && b.frames(MediaKind::Video) > 0
    })
    .await;
    let (begun, mut before) = (tokio::time::Instant::now(), counted(&mut call).await);
    // The round trip is known once reports went both ways: every few seconds. What a busy machine lost at the start is no
    // more than that.
    let is_lossless = |quality: &Quality| {
        let tracks = quality.sent.all().chain(quality.received.all());
        tracks.map(|track| track.loss).all(|loss| loss < 0.01)
    };
    let qualities: [Quality; 2] = loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let counts = counted(&mut call).await;
        let now = [0, 1].map(|side| {
            let buffer = Duration::from_millis(50);
            counts[side].since(&before[side], Duration::from_secs(1), buffer)
        });
        if now
            .iter()
            .all(|quality| quality.score.is_some() && is_lossless(quality))
        {
            break now;
        }
        assert!(
            begun.elapsed() < LIMIT,
            "no score without loss within {LIMIT:?}: {now:?}"
        );
        before = counts;
    };
    for quality in qualities {
        assert_eq!(quality.path, Some(Path::Direct), "{quality:?}");
        assert!(quality.round_trip_ms.unwrap() < 200.0, "{quality:?}");
        assert!(quality.score.unwrap() > 4.0, "{quality:?}");
        for tracks in [quality.sent, quality.received] {
            let (audio, video) = (tracks.audio.unwrap(), tracks.video.unwrap());
            assert!((5.0..200.0).contains(&audio.kbps), "{quality:?}");
            assert!((20.0..3000.0).contains(&video.kbps), "{quality:?}");
        }
        assert!(
            quality.received.video.unwrap().jitter_ms < 100.0,
            "{quality:?}"
        );
    }
    call.offerer.peer.close().await;
    call.answerer.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_picture_and_chat_flow_both_ways_in_vp8() {
    let answer = a_call_both_ways(vec![Codec::Vp9, Codec::H264, Codec::Vp8]).await;
    assert!(
        answer.contains("VP8/90000") && !answer.contains("H264/90000"),
        "the first that the answerer takes, of those that are offered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_picture_and_chat_flow_both_ways_in_h264() {
    let answer = a_call_both_ways(vec![Codec::H264]).await;
    assert!(
        answer.contains("H264/90000") && !answer.contains("VP8/90000"),
        "the codec offered, though the answerer likes another one better"
    );
}

/// What a recorder sees of a sender that takes one codec only.
async fn a_recorder_receives(codec: Codec) {
    let [sounds, pictures] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let counts = [sounds.clone(), pictures.clone()];
    let sink: EncodedSink = Arc::new(move |kind, sample: gst::Sample| {
        let frame = Frame::from_sample(kind, &sample).expect("it can be written");
        // Without a time it cannot be written: `h264parse` loses that of the very first picture now and then.
        let Some(frame) = frame else {
            return Wish::Nothing;
        };
        let (count, expected) = match kind {
            MediaKind::Audio => (&sounds, Codec::Opus),
            MediaKind::Video => (&pictures, codec),
        };
        assert_eq!(frame.codec(), expected);
        let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first && kind == MediaKind::Video {
            let Content::Key(picture) = frame.content else {
                panic!("{codec} begins with a key frame");
            };
            assert_eq!((picture.size.width, picture.size.height), (320, 180));
        }
        Wish::Nothing
    });
    let codecs = [Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1, Codec::H265];
    let mut recorder = settings("recorder", codecs.to_vec(), Receive::Encoded(sink));
    recorder.sends = Sends::default();
    recorder.producers = None;
    let decoded = Receive::Decoded {
        audio: true,
        video: true,
    };
    let sender = settings("kiosk", vec![codec], decoded);
    let mut call = Call::new(recorder, sender).await;
    assert_eq!(
        call.answer.matches("a=sendonly").count(),
        2,
        "the kiosk only sends"
    );
    call.run_until("20 frames of each kind", |_, _| {
        counts.iter().all(|c| c.load(Ordering::Relaxed) > 20)
    })
    .await;
    call.offerer.peer.close().await;
    call.answerer.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_sends_nothing_gets_whole_encoded_frames_of_every_codec() {
    for codec in Codec::ALL {
        if codec.kind() == MediaKind::Video {
            a_recorder_receives(codec).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_without_a_fingerprint_is_refused_with_the_reason() {
    gst::init().expect("GStreamer starts");
    let offer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
                 m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n";
    let answer = Peer::answer(settings("b", vec![], Receive::Nothing), offer).await;
    let error = format!("{:#}", answer.err().expect("it is refused"));
    assert!(
        error.contains("m-line 0 has no DTLS fingerprint"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_learn_that_the_way_carries_more_than_they_send() {
    let mut call = both_decode().await;
    // Both send about 300 kb/s: only probes that are filled up with retransmissions find more.
    call.run_until("an estimate of more than 3 Mb/s on both sides", |a, b| {
        [a, b].iter().all(|side| {
            let estimate = *side.peer.bandwidth().borrow();
            estimate.is_some_and(|estimate| estimate.bitrate.kilobits() > 3000)
        })
    })
    .await;
    call.offerer.peer.close().await;
    call.answerer.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_peer_that_is_closed_nothing_is_left() {
    let mut call = both_decode().await;
    call.run_until("pictures on both sides", |a, b| {
        a.frames(MediaKind::Video) > 0 && b.frames(MediaKind::Video) > 0
    })
    .await;
    let estimates = [&call.offerer, &call.answerer].map(|side| side.peer.bandwidth());
    call.offerer.peer.close().await;
    call.answerer.peer.close().await;
    for mut estimate in estimates {
        // What makes estimates is held by the element that packets leave through.
        let gone = async { while estimate.changed().await.is_ok() {} };
        let gone = tokio::time::timeout(LIMIT, gone).await;
        gone.expect("the pacer goes with its peer");
    }
}
