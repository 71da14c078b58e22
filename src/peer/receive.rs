//! From webrtcbin to the role: depayloader, and where the role wants it, a decoder.
//!
//! Only these depayloaders and a fixed decoder each may see remote bytes; nothing is plugged by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_utils::{StreamProducer, streamproducer::ProducerSettings};
use gstreamer_video as gst_video;
use tokio::sync::mpsc::UnboundedSender;

use super::layers::{Layer, Sources};
use super::sender_clock::Stream;
use super::simulcast::Rid;
use super::timing::{PeerClock, TrackTiming};
use super::{Counters, PeerEvent, key_frame};
use crate::media::fanout::Outlet;
use crate::media::{Codec, MediaKind, decoder, opus};

/// Takes encoded frames on a streaming thread; must not block. Its answer goes back to the sender.
pub type EncodedSink = Arc<dyn Fn(MediaKind, gst::Sample) -> Wish + Send + Sync>;

/// Gives the outlet that the frames of a received codec go to.
pub type Passage = Arc<dyn Fn(Codec) -> Result<Outlet> + Send + Sync>;

/// Likewise; of a picture of which several encodings were agreed on, one for each.
pub type LayerPassage = Arc<dyn Fn(Codec, Option<&Rid>) -> Result<Outlet> + Send + Sync>;

/// What the taker of a frame wants of the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    Nothing,
    /// A key frame, asked for by RTCP PLI (RFC 4585 6.3.1).
    KeyFrame,
}

/// What to do with the other side's media.
#[derive(Clone)]
pub enum Receive {
    /// It is not wanted: the m-lines do not receive.
    Nothing,
    /// Whole encoded frames, as they were sent: `audio/x-opus`, `video/x-vp8`, `video/x-vp9`, `video/x-av1` (by temporal
    /// unit), `video/x-h264` and `video/x-h265` (byte stream, by access unit, parameter sets in front of each key frame).
    /// Their PTS is when they were captured, in running time.
    Encoded(EncodedSink),
    /// The same of sound alone; the m-line of pictures does not receive, so that nobody sends them in vain.
    EncodedSound(EncodedSink),
    /// Frames of both, straight into the fan-out: to others, without a look at them. Their PTS are when they were captured,
    /// so that sound and picture go on as far apart as the sender made them, and not as they arrived.
    Passed(Passage),
    /// The same; a picture may come in several encodings (simulcast), each with an outlet of its own. A description says
    /// that all are taken that the other side has; our offers ask for three.
    Layers(LayerPassage),
    /// Raw frames: `audio/x-raw` S16LE 48 kHz stereo, `video/x-raw` I420; handed over in [`PeerEvent::Track`].
    /// What is not wanted is received and dropped undecoded.
    Decoded {
        /// Sound is wanted.
        audio: bool,
        /// Pictures are wanted.
        video: bool,
    },
    /// Raw frames likewise, for a recording: their PTS is when they were captured, as that of encoded ones, not when they
    /// arrived.
    Recorded {
        /// Sound is wanted.
        audio: bool,
        /// Pictures are wanted.
        video: bool,
    },
    /// Raw frames likewise, at once: lost sound is made up for, not waited for. The m-line of what is not wanted does not
    /// receive, so that nobody sends it in vain.
    Only {
        /// Sound is wanted.
        audio: bool,
        /// Pictures are wanted.
        video: bool,
    },
}

impl Receive {
    /// Whether the m-line of this kind receives.
    pub(super) fn opens(&self, kind: MediaKind) -> bool {
        match self {
            Self::Nothing => false,
            Self::Encoded(_)
            | Self::Passed(_)
            | Self::Layers(_)
            | Self::Decoded { .. }
            | Self::Recorded { .. } => true,
            Self::EncodedSound(_) => kind == MediaKind::Audio,
            Self::Only { .. } => self.decodes(kind),
        }
    }

    /// Whether each packet of sound waits for the next one, which has a rough copy of it in case it is lost (RFC 6716,
    /// 2.1.7). What a filter gives back is heard in the place of the original: it must not be a packet later.
    fn mends_sound(&self) -> bool {
        match self {
            Self::Only { .. } => false,
            Self::Nothing
            | Self::Encoded(_)
            | Self::EncodedSound(_)
            | Self::Passed(_)
            | Self::Layers(_)
            | Self::Decoded { .. }
            | Self::Recorded { .. } => true,
        }
    }

    /// Whether received frames of this kind are handed over raw.
    fn decodes(&self, kind: MediaKind) -> bool {
        match (self, kind) {
            (
                Self::Nothing
                | Self::Encoded(_)
                | Self::EncodedSound(_)
                | Self::Passed(_)
                | Self::Layers(_),
                _,
            ) => false,
            (
                Self::Decoded { audio, .. }
                | Self::Recorded { audio, .. }
                | Self::Only { audio, .. },
                MediaKind::Audio,
            ) => *audio,
            (
                Self::Decoded { video, .. }
                | Self::Recorded { video, .. }
                | Self::Only { video, .. },
                MediaKind::Video,
            ) => *video,
        }
    }
}

/// Links every track at once when webrtcbin shows it: later would be too late ("not-linked" is final).
pub fn watch_pads(
    pipeline: &gst::Pipeline,
    webrtc: &gst::Element,
    receive: &Receive,
    (counters, sources): (&Arc<Counters>, &Sources),
    events: &UnboundedSender<PeerEvent>,
) {
    let pipeline = pipeline.downgrade();
    let (receive, counters, events) = (receive.clone(), counters.clone(), events.clone());
    let sources = sources.clone();
    let clock = match receive {
        Receive::Passed(_) | Receive::Layers(_) => PeerClock::passing_on(),
        Receive::Nothing
        | Receive::Encoded(_)
        | Receive::EncodedSound(_)
        | Receive::Decoded { .. }
        | Receive::Recorded { .. }
        | Receive::Only { .. } => PeerClock::default(),
    };
    webrtc.connect_pad_added(move |webrtc, pad| {
        let Some(pipeline) = pipeline.upgrade() else {
            return;
        };
        if pad.direction() != gst::PadDirection::Src {
            return;
        }
        let layer = sources.at(pad);
        let timing = |kind| {
            let encoding = match layer {
                Layer::One { ssrc, .. } => ssrc,
                Layer::Whole | Layer::Unknown => 0,
            };
            TrackTiming::watch(&clock, Stream { kind, encoding }, webrtc, pad)
        };
        let counted = (&counters, &layer);
        if let Err(error) = link(&pipeline, pad, &receive, counted, &events, timing) {
            let _ = events.send(PeerEvent::Error(format!(
                "a received track cannot be used: {error:#}"
            )));
        }
    });
}

fn link(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    receive: &Receive,
    (counters, layer): (&Arc<Counters>, &Layer),
    events: &UnboundedSender<PeerEvent>,
    timing: impl FnOnce(MediaKind) -> Arc<TrackTiming>,
) -> Result<()> {
    let codec = codec_of(pad)?;
    let kind = codec.kind();
    let decoded = receive.decodes(kind);
    let bin = gst::parse::bin_from_description(&chain(codec, decoded)?, true)?;
    if let Ok(decoder) = element(&bin, "opusdec") {
        match receive.mends_sound() {
            true => opus::tell_true_latency(&decoder),
            false => decoder.set_property("use-inband-fec", false),
        }
    }
    if codec == Codec::H265 {
        let parser = element(&bin, "h265parse")?;
        let pictures = parser.static_pad("src").context("a parser without a pad")?;
        key_frame::wait_for_it(&first_pad(&bin)?, &pictures);
    }
    let way = way(receive, codec, layer)?;
    let sink = way.as_ref().map_or_else(end, |way| way.feed().appsink());
    pipeline.add(&bin)?;
    pipeline.add(&sink)?;
    bin.link(&sink)?;
    count(&sink, counters, kind)?;
    let track = match receive {
        Receive::Encoded(encoded) | Receive::EncodedSound(encoded) => {
            forward(&sink, kind, timing(kind), encoded);
            None
        }
        Receive::Passed(_) | Receive::Layers(_) if way.is_some() => {
            let pad = sink.static_pad("sink");
            stamp(&pad.context("an appsink without a pad")?, timing(kind));
            None
        }
        Receive::Decoded { .. } | Receive::Recorded { .. } | Receive::Only { .. } if decoded => {
            if let Receive::Recorded { .. } = receive {
                stamp(&depayloaded(&bin)?, timing(kind));
            }
            let settings = ProducerSettings { sync: false };
            Some(PeerEvent::Track {
                kind,
                producer: StreamProducer::with(&sink, settings),
            })
        }
        Receive::Decoded { .. }
        | Receive::Recorded { .. }
        | Receive::Only { .. }
        | Receive::Passed(_)
        | Receive::Layers(_)
        | Receive::Nothing => {
            discard(&sink);
            None
        }
    };
    sink.sync_state_with_parent()?;
    bin.sync_state_with_parent()?;
    pad.link(
        &bin.static_pad("sink")
            .context("a receiving bin without a sink pad")?,
    )?;
    if let Some(track) = track {
        let _ = events.send(track);
    }
    Ok(())
}

/// The outlet that frames go to as they come, if they do.
fn way(receive: &Receive, codec: Codec, layer: &Layer) -> Result<Option<Outlet>> {
    Ok(match (receive, layer) {
        (Receive::Passed(outlet), _) => Some(outlet(codec)?),
        (Receive::Layers(outlet), Layer::One { rid, .. }) => Some(outlet(codec, Some(rid))?),
        (Receive::Layers(outlet), Layer::Unknown) if codec.kind() == MediaKind::Audio => {
            Some(outlet(codec, None)?)
        }
        (Receive::Layers(_), Layer::Unknown) => {
            tracing::warn!(%codec, "none of its packets says which encoding of the picture this is: it is left out");
            None
        }
        (Receive::Layers(outlet), Layer::Whole) => Some(outlet(codec, None)?),
        (
            Receive::Nothing
            | Receive::Encoded(_)
            | Receive::EncodedSound(_)
            | Receive::Decoded { .. }
            | Receive::Recorded { .. }
            | Receive::Only { .. },
            _,
        ) => None,
    })
}

/// Where frames end that go to no outlet.
fn end() -> gst_app::AppSink {
    gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .build()
}

fn codec_of(pad: &gst::Pad) -> Result<Codec> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let name = caps
        .structure(0)
        .and_then(|caps| caps.get::<String>("encoding-name").ok());
    match name.as_deref() {
        Some("OPUS") => Ok(Codec::Opus),
        Some("VP8") => Ok(Codec::Vp8),
        Some("H264") => Ok(Codec::H264),
        Some("VP9") => Ok(Codec::Vp9),
        Some("AV1") => Ok(Codec::Av1),
        Some("H265") => Ok(Codec::H265),
        other => anyhow::bail!(
            "it is {}; Opus, VP8, VP9, AV1, H264 or H265 was agreed on",
            other.unwrap_or("of no known codec")
        ),
    }
}

/// The elements behind webrtcbin, in launch syntax: a fixed text, no part of it is remote.
/// Caps stand in a `capsfilter` each: the short form needs an element behind it.
fn chain(codec: Codec, decoded: bool) -> Result<String> {
    let depay = match codec {
        Codec::Opus => "rtpopusdepay",
        Codec::Aac => bail!("AAC is not received in calls"),
        // After a loss: ask for a key frame, and show nothing broken until it comes.
        Codec::Vp8 => "rtpvp8depay request-keyframe=true wait-for-keyframe=true",
        Codec::H264 => {
            "rtph264depay request-keyframe=true wait-for-keyframe=true ! h264parse config-interval=-1 \
             ! capsfilter caps=video/x-h264,stream-format=byte-stream,alignment=au"
        }
        Codec::Vp9 => "rtpvp9depay request-keyframe=true wait-for-keyframe=true",
        Codec::Av1 => {
            "rtpav1depay request-keyframe=true wait-for-keyframe=true ! av1parse \
             ! capsfilter caps=video/x-av1,stream-format=obu-stream,alignment=tu"
        }
        Codec::H265 => {
            "rtph265depay ! h265parse config-interval=-1 \
             ! capsfilter caps=video/x-h265,stream-format=byte-stream,alignment=au"
        }
    };
    match decoder::chain(codec).filter(|_| decoded) {
        Some(decoder) => Ok(format!("{depay} ! {decoder}")),
        None => Ok(depay.to_owned()),
    }
}

fn count(sink: &gst_app::AppSink, counters: &Arc<Counters>, kind: MediaKind) -> Result<()> {
    let counters = counters.clone();
    let pad = sink
        .static_pad("sink")
        .context("an appsink without a pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counters.of(kind).fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn forward(
    sink: &gst_app::AppSink,
    kind: MediaKind,
    timing: Arc<TrackTiming>,
    encoded: &EncodedSink,
) {
    let encoded = encoded.clone();
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let wish = encoded(kind, timing.stamp(sample));
        if let (Wish::KeyFrame, Some(pad)) = (wish, sink.static_pad("sink")) {
            pad.push_event(
                gst_video::UpstreamForceKeyUnitEvent::builder()
                    .all_headers(true)
                    .build(),
            );
        }
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

/// Gives frames that pass a pad the time of their capture. Where they are decoded, that is to be before it: a decoder keeps
/// that time, but where it knows when a packet arrived (the DTS of a jitter buffer) it may take that instead.
fn stamp(pad: &gst::Pad, timing: Arc<TrackTiming>) {
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(types, move |_, info| {
        let stamped = |mut buffer: gst::Buffer| {
            if let Some(at) = timing.capture(&buffer) {
                let writable = buffer.make_mut();
                writable.set_pts(at);
                writable.set_dts(gst::ClockTime::NONE);
            }
            buffer
        };
        match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => *buffer = stamped(buffer.clone()),
            Some(gst::PadProbeData::BufferList(list)) => {
                *list = list.iter_owned().map(stamped).collect();
            }
            Some(_) | None => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// Where frames leave the depayloader.
fn depayloaded(bin: &gst::Bin) -> Result<gst::Pad> {
    let depayloader = first_pad(bin)?.parent_element();
    let pad = depayloader.and_then(|depayloader| depayloader.static_pad("src"));
    pad.context("a receiving bin without a depayloader")
}

/// Where packets enter the depayloader.
fn first_pad(bin: &gst::Bin) -> Result<gst::Pad> {
    bin.static_pad("sink")
        .and_then(|pad| pad.downcast::<gst::GhostPad>().ok()?.target())
        .context("a receiving bin without a sink pad")
}

/// The one of this factory.
fn element(bin: &gst::Bin, factory: &str) -> Result<gst::Element> {
    let is_it = |element: &gst::Element| element.factory().is_some_and(|it| it.name() == factory);
    let mut elements = bin.iterate_elements().into_iter().flatten();
    elements
        .find(is_it)
        .with_context(|| format!("a receiving bin without {factory}"))
}

fn discard(sink: &gst_app::AppSink) {
    sink.set_max_buffers(1);
    sink.set_drop(true);
}
