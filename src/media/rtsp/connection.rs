//! One connection to an RTSP camera, in a pipeline of its own.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::super::clock;
use super::super::feed::{self, Media, Outside};
use super::decoders::{DECODERS, GOOD, decoder};
use super::{Plan, Protocols};

/// So long a new connection may take to its first frame: within it, rtspsrc gives up on UDP and tries TCP.
const FIRST_FRAME: Duration = Duration::from_secs(15);
/// A camera that sends nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(5);
/// How often the thread looks after the connection.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// What the camera's session description offers, and what became of it.
#[derive(Debug, Default)]
struct Offered {
    streams: Vec<String>,
    chosen: bool,
    wrong: Option<String>,
}

/// One connection to the camera. Dropped, it is closed.
pub(super) struct Connection {
    pipeline: gst::Pipeline,
    media: Media,
    offered: Arc<Mutex<Offered>>,
}

impl Connection {
    pub fn open(plan: &Plan, outside: &Arc<Outside>) -> Result<Self, String> {
        let failed = |error: glib::BoolError| error.to_string();
        let pipeline = gst::Pipeline::with_name("rtsp");
        clock::prepare(&pipeline);
        let source = gst::ElementFactory::make("rtspsrc")
            .property("location", plan.location.url.as_str())
            .property("latency", plan.latency)
            .property("tcp-timeout", 5_000_000u64)
            .property_from_str(
                "protocols",
                match plan.protocols {
                    Protocols::Auto => "tcp+udp-mcast+udp",
                    Protocols::Tcp => "tcp",
                    Protocols::Udp => "udp-mcast+udp",
                },
            )
            .build()
            .map_err(|_| format!("GStreamer has no element rtspsrc: install {GOOD}"))?;
        let sink = appsink(outside);
        pipeline
            .add_many([&source, sink.upcast_ref()])
            .map_err(failed)?;
        let offered = Arc::new(Mutex::new(Offered::default()));
        select(&source, plan.media, &offered);
        let (weak, told, media) = (pipeline.downgrade(), offered.clone(), plan.media);
        source.connect_pad_added(move |_, pad| {
            let Some(pipeline) = weak.upgrade() else {
                return;
            };
            let chain = pad
                .current_caps()
                .and_then(|caps| decoder(media, encoding_of(&caps)?.as_str()));
            let linked = match chain {
                Some(chain) => feed::decode(&pipeline, pad, chain, sink.upcast_ref()),
                None => Ok(()),
            };
            if let Err(wrong) = linked {
                told.lock().unwrap_or_else(PoisonError::into_inner).wrong = Some(wrong);
            }
        });
        let connection = Self {
            pipeline,
            media: plan.media,
            offered,
        };
        // Its reason comes over the bus.
        let _ = connection.pipeline.set_state(gst::State::Playing);
        Ok(connection)
    }

    /// Waits until the connection is of no use any more, and says why; `Ok` when it is to end.
    pub fn watch(
        &self,
        outside: &Outside,
        stop: &Receiver<()>,
        playing: impl FnOnce(),
    ) -> Result<(), String> {
        let bus = self.pipeline.bus().ok_or("its pipeline has no bus")?;
        let mut frames = outside.frames();
        let (mut since, mut limit) = (Instant::now(), FIRST_FRAME);
        let mut playing = Some(playing);
        loop {
            let ends = [gst::MessageType::Error, gst::MessageType::Eos];
            let message = bus.timed_pop_filtered(LOOK, &ends);
            if !matches!(stop.try_recv(), Err(TryRecvError::Empty)) {
                return Ok(());
            }
            if let Some(wrong) = self.wrong() {
                return Err(wrong);
            }
            match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::Error(error)) => return Err(in_words(&error.error())),
                Some(gst::MessageView::Eos(_)) => {
                    return Err("the camera ended the stream".to_owned());
                }
                Some(_) | None => {}
            }
            if outside.frames() != frames {
                frames = outside.frames();
                (since, limit) = (Instant::now(), SILENCE);
                if let Some(playing) = playing.take() {
                    playing();
                }
            } else if since.elapsed() > limit {
                let word = self.media.word();
                return Err(format!("no {word} came for {} s", limit.as_secs()));
            }
        }
    }

    /// What the session description already tells.
    fn wrong(&self) -> Option<String> {
        let offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        if offered.wrong.is_some() || offered.chosen || offered.streams.is_empty() {
            return offered.wrong.clone();
        }
        let known: Vec<&str> = DECODERS
            .iter()
            .filter(|(media, ..)| *media == self.media)
            .map(|(_, name, _)| *name)
            .collect();
        Some(format!(
            "it offers {}, and none of that is a {} that attache decodes: let it send one of {}",
            offered.streams.join(", "),
            self.media.word(),
            known.join(", ")
        ))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The element's own thread drops it: it may wait for streaming threads.
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "an RTSP connection did not stop");
        }
    }
}

/// Takes the first stream of the kind that can be decoded, and no other.
fn select(source: &gst::Element, media: Media, offered: &Arc<Mutex<Offered>>) {
    let offered = offered.clone();
    source.connect("select-stream", false, move |arguments| {
        let caps = arguments
            .get(2)
            .and_then(|caps| caps.get::<gst::Caps>().ok());
        let stream = caps.and_then(|caps| {
            let of: String = caps.structure(0)?.get("media").ok()?;
            Some((of, encoding_of(&caps)?))
        });
        let Some((of, encoding)) = stream else {
            return Some(false.to_value());
        };
        let mut offered = offered.lock().unwrap_or_else(PoisonError::into_inner);
        // A stranger's words: cut short.
        let word: String = format!("{of} {encoding}")
            .chars()
            .filter(|c| !c.is_control())
            .take(40)
            .collect();
        offered.streams.push(word);
        let is_wanted =
            !offered.chosen && of == media.name() && decoder(media, &encoding).is_some();
        offered.chosen |= is_wanted;
        Some(is_wanted.to_value())
    });
}

fn encoding_of(caps: &gst::Caps) -> Option<String> {
    caps.structure(0)?.get("encoding-name").ok()
}

/// The inner pipeline's end: frames go out with their running times.
fn appsink(outside: &Arc<Outside>) -> gst_app::AppSink {
    let outside = outside.clone();
    let callbacks = gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let (Some(caps), Some(buffer)) = (sample.caps_owned(), sample.buffer_owned()) else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let segment = sample
                .segment()
                .and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
            let running_time = segment.and_then(|segment| segment.to_running_time(buffer.pts()));
            drop(sample);
            match running_time {
                Some(running_time) => outside.push(&caps, buffer, running_time),
                None => Ok(gst::FlowSuccess::Ok),
            }
        })
        .build();
    gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .callbacks(callbacks)
        .build()
}

/// What an error of rtspsrc means. Its own words may hold the URL.
fn in_words(error: &glib::Error) -> String {
    let words = match error.kind::<gst::ResourceError>() {
        Some(gst::ResourceError::NotAuthorized) => {
            "it wants a user and a password, or other ones (401): rtsp://USER:PASSWORD@HOST/PATH"
        }
        Some(gst::ResourceError::NotFound) => {
            "it has no such stream (404): check the path of the URL"
        }
        Some(
            gst::ResourceError::OpenRead
            | gst::ResourceError::OpenWrite
            | gst::ResourceError::OpenReadWrite,
        ) => "it cannot be reached: check host and port of the URL, and that the camera is on",
        Some(gst::ResourceError::Read | gst::ResourceError::Write) => "the connection broke",
        Some(gst::ResourceError::Settings) => {
            "it has no transport that this element may use: try protocols=auto"
        }
        Some(_) => "the RTSP session failed",
        None => match error.kind::<gst::StreamError>() {
            Some(gst::StreamError::Decode | gst::StreamError::Demux) => {
                "what it sends cannot be decoded"
            }
            Some(_) | None => "the RTSP session failed",
        },
    };
    words.to_owned()
}
