//! A call of this machine with itself: two PeerConnections in one process, a picture that tells its time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_utils::StreamProducer;
use gstreamer_video as gst_video;
use gstreamer_video::VideoFrameExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::report::{Check, Outcome};
use crate::job::PeerState;
use crate::media::MediaKind;
use crate::media::capture::{Capture, Context};
use crate::media::encoder::Encoders;
use crate::media::timecode::{self, Luma};
use crate::peer::{Latency, Peer, PeerEvent, PeerSettings, Receive, Supply};
use crate::pipeline::Description;
use crate::signalling::ids::RoomName;
use crate::signalling::protocol::{Ice, Sends};

/// The picture that is sent.
const TEST_PICTURE: &str = include_str!("../../pipelines/kiosk-test.toml");
/// From the offer to the last picture.
const LIMIT: Duration = Duration::from_secs(20);
/// Pictures that are measured, after those in which buffers fill.
const MEASURED: usize = 60;
const SKIPPED: usize = 30;

pub async fn look(encoders: &Encoders) -> Vec<Check> {
    let call = tokio::time::timeout(LIMIT, call(encoders.clone())).await;
    let result = call.unwrap_or_else(|_| {
        Err(anyhow::anyhow!(
            "no pictures came through within {} s: do packets between this machine's own addresses pass?",
            LIMIT.as_secs()
        ))
    });
    vec![match result {
        Ok(heard) => Check::new(Outcome::Good, "loopback", heard),
        Err(error) => Check::new(Outcome::Fatal, "loopback", format!("{error:#}")),
    }]
}

/// Sends the test picture to itself; what came, in words.
async fn call(encoders: Encoders) -> Result<String> {
    let file = Path::new("kiosk-test.toml");
    let description = Description::parse(file, "kiosk-test", TEST_PICTURE)?;
    let room = RoomName::try_from("doctor".to_owned()).map_err(anyhow::Error::msg)?;
    let context = Context { room, encoders };
    let (notices, mut from_media) = unbounded_channel();
    let capture = Capture::start(&description, &Default::default(), context, notices).await?;
    let latencies = carry(&capture).await;
    capture.stop().await;
    let mut latencies = latencies?;
    latencies.sort_unstable();
    let median = latencies
        .get(latencies.len() / 2)
        .copied()
        .unwrap_or_default();
    let worst = latencies.last().copied().unwrap_or_default();
    let mut encoded = "video".to_owned();
    while let Ok(event) = from_media.try_recv() {
        if let crate::media::MediaEvent::Encoder(used) = event
            && used.codec != "Opus"
        {
            encoded = format!("{} of {}", used.codec, used.encoder);
        }
    }
    Ok(format!(
        "{encoded} at 1280x720, SRTP, decoded: {median} ms from picture to picture, {worst} ms at worst, of {} pictures, \
         before the {} ms that playback waits",
        latencies.len(),
        capture.settings().latency.as_millis()
    ))
}

/// The latencies of pictures in milliseconds, without encoding's wait for its clock.
async fn carry(capture: &Capture) -> Result<Vec<u64>> {
    let from = capture.clone();
    let settings = |name: &str, sends: bool| PeerSettings {
        name: name.to_owned(),
        ice: Ice::default(),
        sends: Sends {
            audio: sends,
            video: sends,
        },
        producers: None,
        video_codecs: capture.settings().video.codecs.clone(),
        receive: Receive::Decoded {
            audio: true,
            video: true,
        },
        latency: Latency::Fixed(capture.settings().latency),
        is_outside: false,
    };
    let sender = PeerSettings {
        producers: Some(Arc::new(move |codec| {
            Ok(Supply::Outlet(from.outlet(codec)?))
        })),
        ..settings("doctor-sends", true)
    };
    let (mut sender, offer, mut sent) = Peer::offer(sender).await?;
    let (receiver, answer, mut received) =
        Peer::answer(settings("doctor-receives", false), &offer).await?;
    sender.accept(&answer).await?;
    let (tell, mut latencies) = unbounded_channel();
    let mut found = Vec::new();
    while found.len() < SKIPPED + MEASURED {
        tokio::select! {
            event = sent.recv() => match event.context("the sender ended")? {
                PeerEvent::Candidate(candidate) => receiver.add_candidate(&candidate),
                PeerEvent::State(PeerState::Connected) => sender.start_sending()?,
                other => fail_on(&other)?,
            },
            event = received.recv() => match event.context("the receiver ended")? {
                PeerEvent::Candidate(candidate) => sender.add_candidate(&candidate),
                PeerEvent::Track { kind: MediaKind::Video, producer } => measure(&producer, tell.clone())?,
                other => fail_on(&other)?,
            },
            Some(latency) = latencies.recv() => found.push(latency),
        }
    }
    close(sender, sent).await;
    close(receiver, received).await;
    Ok(found.split_off(SKIPPED))
}

fn fail_on(event: &PeerEvent) -> Result<()> {
    match event {
        PeerEvent::Error(error) => bail!("{error}"),
        PeerEvent::State(PeerState::Failed) => bail!("the two sides found no way to each other"),
        PeerEvent::State(_)
        | PeerEvent::Candidate(_)
        | PeerEvent::Track { .. }
        | PeerEvent::ChatOpen
        | PeerEvent::Measured(_)
        | PeerEvent::Tier(_)
        | PeerEvent::Message(_) => Ok(()),
    }
}

async fn close(peer: Peer, events: UnboundedReceiver<PeerEvent>) {
    peer.close().await;
    drop(events);
}

/// Reports how old each decoded picture is.
fn measure(producer: &StreamProducer, tell: UnboundedSender<u64>) -> Result<()> {
    let pad = producer
        .appsink()
        .static_pad("sink")
        .context("a sink without a pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(latency) = info.buffer().and_then(|buffer| age(pad, buffer)) {
            // Nobody listens any more once enough came.
            let _ = tell.send(latency);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn age(pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<u64> {
    let caps = pad.current_caps()?;
    let info = gst_video::VideoInfo::from_caps(&caps).ok()?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok()?;
    let shown = timecode::read(&Luma {
        data: frame.plane_data(0).ok()?,
        width: usize::try_from(info.width()).ok()?,
        height: usize::try_from(info.height()).ok()?,
        stride: usize::try_from(*frame.plane_stride().first()?).ok()?,
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(now.as_millis()).ok()?.checked_sub(shown)
}
