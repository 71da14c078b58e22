//! The pipeline of one connection: encoded frames through a muxer to one server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::target::{Protocol, Target};
use crate::media::elements::{add_linked, capsfilter, make};
use crate::media::{MediaError, MediaKind, clock};

const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const BASE: &str = "libgstreamer-plugins-base1.0-0";
/// Frames of a kind that may wait in the pipeline; the others wait where they can be dropped.
const ROOM: u64 = 8;
/// An elements' stop may take so long; after that its threads are left to themselves.
const STOP_LIMIT: Duration = Duration::from_millis(500);

/// One connection. Dropped, it is closed.
pub(super) struct Line {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    video: gst_app::AppSrc,
    audio: Option<gst_app::AppSrc>,
    passed: Arc<AtomicU64>,
    /// Running time of the first picture: the server counts from there.
    zero: Option<gst::ClockTime>,
}

impl Line {
    /// Begins to connect; how that ends shows in [`Line::failed`] and [`Line::passed`].
    pub fn open(target: &Target, with_audio: bool) -> Result<Self, MediaError> {
        let pipeline = gst::Pipeline::with_name("stream");
        clock::prepare(&pipeline);
        let (mux, sink) = ends(target)?;
        let passed = Arc::new(AtomicU64::new(0));
        count(&sink, &passed);
        add_linked(&pipeline, &[mux.clone(), sink])?;
        let (video_pad, audio_pad, form) = match target.protocol {
            Protocol::Rtmp { .. } => ("video", "audio", "avc"),
            Protocol::Srt { .. } => ("sink_%d", "sink_%d", "byte-stream"),
        };
        let form = format!("video/x-h264,stream-format={form},alignment=au");
        let chain = vec![make("h264parse", BAD)?, capsfilter(&form)?];
        let video = lead(&pipeline, chain, &mux, video_pad)?;
        let audio = with_audio.then(|| lead(&pipeline, Vec::new(), &mux, audio_pad));
        let audio = audio.transpose()?;
        let bus = pipeline.bus().ok_or(MediaError::GStreamer {
            doing: "start a stream",
            reason: "a pipeline without a bus".to_owned(),
        })?;
        let line = Self {
            pipeline,
            bus,
            video,
            audio,
            passed,
            zero: None,
        };
        match line.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(line),
            Err(error) => Err(MediaError::GStreamer {
                doing: "start a stream",
                reason: line.failed().unwrap_or_else(|| error.to_string()),
            }),
        }
    }

    /// Whether the pipeline takes a frame of this kind now.
    pub fn has_room(&self, kind: MediaKind) -> bool {
        self.source(kind)
            .is_none_or(|source| source.current_level_buffers() < ROOM)
    }

    /// Takes a frame; the first picture is a key frame.
    pub fn push(&mut self, kind: MediaKind, sample: &gst::Sample) {
        let (Some(mut buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else {
            return;
        };
        let Some(pts) = buffer.pts() else {
            return;
        };
        if kind == MediaKind::Video {
            self.zero.get_or_insert(pts);
        }
        // Sound of before the first picture belongs to none.
        let Some(at) = self.zero.and_then(|zero| pts.checked_sub(zero)) else {
            return;
        };
        let stamped = buffer.make_mut();
        stamped.set_pts(at);
        stamped.set_dts(at);
        let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
        if let Some(source) = self.source(kind) {
            // Why it takes none shows on the bus.
            let _ = source.push_sample(&sample);
        }
    }

    fn source(&self, kind: MediaKind) -> Option<&gst_app::AppSrc> {
        match kind {
            MediaKind::Video => Some(&self.video),
            MediaKind::Audio => self.audio.as_ref(),
        }
    }

    /// Pieces of media that the server's element has been given. It waits with the first one until it is connected.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Why the connection is over, in the element's words.
    pub fn failed(&self) -> Option<String> {
        let ends = [gst::MessageType::Error, gst::MessageType::Eos];
        let message = self.bus.pop_filtered(&ends)?;
        Some(match message.view() {
            gst::MessageView::Error(error) => error.error().message().to_owned(),
            _ => "the server ended it".to_owned(),
        })
    }

    /// Says good-bye to the server, if it listens.
    pub fn finish(&self, limit: Duration) {
        for source in [Some(&self.video), self.audio.as_ref()]
            .into_iter()
            .flatten()
        {
            // One that does not take it any more has ended.
            let _ = source.end_of_stream();
        }
        let ends = [gst::MessageType::Error, gst::MessageType::Eos];
        let limit = gst::ClockTime::try_from(limit).unwrap_or(gst::ClockTime::SECOND);
        self.bus.timed_pop_filtered(limit, &ends);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let pipeline = self.pipeline.clone();
        let (done, stopped) = mpsc::channel();
        std::thread::spawn(move || {
            // Whether it stops well tells nothing any more.
            let _ = pipeline.set_state(gst::State::Null);
            let _ = done.send(());
        });
        if stopped.recv_timeout(STOP_LIMIT).is_err() {
            tracing::warn!("a stream's pipeline does not stop; its threads are left alone");
        }
    }
}

/// Muxer and sink. What the URL says is set as properties: no other parser reads it.
fn ends(target: &Target) -> Result<(gst::Element, gst::Element), MediaError> {
    let (mux, sink) = match &target.protocol {
        Protocol::Rtmp {
            tls,
            application,
            stream,
            login,
        } => {
            let mux = make("flvmux", GOOD)?;
            mux.set_property("streamable", true);
            let sink = make("rtmp2sink", BAD)?;
            sink.set_property_from_str("scheme", if *tls { "rtmps" } else { "rtmp" });
            sink.set_property("host", target.host.host().trim_matches(['[', ']']));
            sink.set_property("port", i32::from(target.host.port()));
            sink.set_property("application", application.reveal());
            sink.set_property("stream", stream.reveal());
            if let Some((user, password)) = login {
                sink.set_property("username", user);
                sink.set_property("password", password.reveal());
            }
            (mux, sink)
        }
        Protocol::Srt {
            stream_id,
            passphrase,
            latency_ms,
        } => {
            let mux = make("mpegtsmux", BAD)?;
            // As many packets as a datagram of SRT holds.
            mux.set_property("alignment", 7_i32);
            let sink = make("srtsink", BAD)?;
            sink.set_property("uri", format!("srt://{}", target.host));
            sink.set_property_from_str("mode", "caller");
            // Whether and when to connect again is decided here, not there.
            if sink.has_property("auto-reconnect") {
                sink.set_property("auto-reconnect", false);
            }
            if let Some(id) = stream_id {
                sink.set_property("streamid", id.reveal());
            }
            if let Some(passphrase) = passphrase {
                sink.set_property("passphrase", passphrase.reveal());
                sink.set_property_from_str("pbkeylen", "16");
            }
            if let Some(latency) = latency_ms {
                sink.set_property("latency", i32::from(*latency));
            }
            (mux, sink)
        }
    };
    // Frames go as they come; the file's clock is not the server's.
    sink.set_property("sync", false);
    sink.set_property("async", false);
    Ok((mux, sink))
}

/// Leads a source's frames through these elements into the muxer.
fn lead(
    pipeline: &gst::Pipeline,
    form: Vec<gst::Element>,
    mux: &gst::Element,
    pad: &str,
) -> Result<gst_app::AppSrc, MediaError> {
    let doing = "start a stream";
    let source = gst_app::AppSrc::builder().format(gst::Format::Time).build();
    // How much waits is decided by whoever pushes.
    source.set_max_bytes(0);
    let queue = make("queue", BASE)?;
    let mut chain = vec![source.clone().upcast()];
    chain.extend(form);
    chain.push(queue.clone());
    add_linked(pipeline, &chain)?;
    let into = mux.request_pad_simple(pad);
    let from = queue.static_pad("src");
    let linked = from
        .zip(into)
        .and_then(|(from, into)| from.link(&into).ok());
    linked.map(|_| source).ok_or_else(|| MediaError::GStreamer {
        doing,
        reason: format!("the muxer gives no pad {pad}"),
    })
}

/// Counts the media that reaches the sink; RTMP's headers come without a connection, too.
fn count(sink: &gst::Element, passed: &Arc<AtomicU64>) {
    let Some(pad) = sink.static_pad("sink") else {
        return;
    };
    let passed = passed.clone();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(kinds, move |_, info| {
        let is_header = info
            .buffer()
            .is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::HEADER));
        if !is_header {
            passed.fetch_add(1, Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}
