//! Clock, capture, encoders, fan-out and playback.
//!
//! * [`clock`]: one clock and base time for all pipelines; [`running`]: which pipelines there are; [`bus`]: what a pipeline says becomes [`MediaEvent`]s.
//! * [`capture`]: what a description captures, for all peers; `source`: the pipeline of one fragment; `place`: it, or what
//!   stands in for it while its device is away; [`presence`]: whether it is; `slate`: what stands in.
//! * [`fanout`]: where frames leave, whatever pipeline makes them; [`tap`]: one that takes them; [`key_frames`]: when a key frame is made.
//! * [`encoder`]: which encoders, and why; [`encodings`]: those at work; `lane`: one codec
//!   in one tier; `encoding`: its encoder; [`health`]: whether it
//!   keeps up.
//! * [`tiers`]: cheaper encodings for slower links, and who gets which; [`layers`]: those that a sender makes itself.
//! * [`chain`]: what a filter does with a track; [`choice`]: whether that or the original is heard.
//! * [`playback`]: what others send, mixed; `mixer`: GStreamer's mixers; `seat`: one of them in it; `fade`: whether it is
//!   heard; `fit`: its size; [`grid`], [`layout`]: where each picture lies.
//! * [`scene`]: what a recorded mix shows; [`speaker`]: who speaks; `overlay`, `paint`, `ink`: names and signs.
//! * [`decoder`]: what decodes others' frames; [`opus`]: packets of sound, and how late their decoder is. [`devices`]: cameras, microphones, speakers and displays of this machine.
//! * [`echo`]: what is played, taken out of what the microphone hears.
//! * [`rtsp`]: a camera of the network, as an element; [`clip`]: a file; `feed`: what these two have in common.
//! * [`timecode`]: what the test picture tells machines; [`marks`]: the elements that draw it, flash and beep.

pub mod bus;
pub mod capture;
pub mod chain;
pub mod choice;
pub mod clip;
pub mod clock;
pub mod decoder;
pub mod devices;
pub mod echo;
pub mod elements;
pub mod encoder;
mod encoding;
pub mod encodings;
mod fade;
pub mod fanout;
pub(crate) mod feed;
mod fit;
pub mod grid;
pub mod health;
mod ink;
pub mod inlet;
pub mod key_frames;
mod lane;
pub mod layers;
pub mod layout;
pub mod marks;
mod mixer;
pub(crate) mod notice;
pub mod opus;
mod overlay;
mod paint;
mod place;
pub mod playback;
pub mod presence;
pub mod rtsp;
pub mod running;
pub mod scene;
mod seat;
mod slate;
mod source;
pub mod speaker;
mod stage;
pub mod tap;
pub mod tiers;
pub mod timecode;

use std::sync::LazyLock;

use gstreamer as gst;

use self::devices::DeviceKind;
use self::speaker::Speech;
use crate::filter::report::FilterReport;
use crate::job::EncoderInUse;

/// What capture and playback report; the receiver is the job's task.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEvent {
    /// A choice the operator should know of: which device, and why.
    Notice(String),
    /// An encoder begins to work, the first of its codec or in place of another.
    Encoder(EncoderInUse),
    /// Somebody else speaks, or nobody any more.
    Speech(Speech),
    /// What the filter of the sound does.
    Filter(FilterReport),
    /// A device was lost, or is back.
    Device(DeviceNews),
    /// An element failed; the pipeline does not work any more.
    Failed(MediaError),
}

/// What became of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNews {
    /// What it is for.
    pub device: DeviceKind,
    /// Why it is lost; absent: it is back.
    pub lost: Option<String>,
}

/// Where [`MediaEvent`]s go.
pub type MediaEvents = tokio::sync::mpsc::UnboundedSender<MediaEvent>;

/// Why capture or playback does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// The description is wrong, or does not fit this machine.
    #[error(transparent)]
    Description(#[from] crate::pipeline::DescriptionError),
    /// GStreamer or a plugin is missing.
    #[error("GStreamer has no element {element}: install {package}")]
    Missing {
        /// The element's factory.
        element: String,
        /// Where Debian has it.
        package: &'static str,
    },
    /// An element failed.
    #[error("{pipeline}: element {element} failed: {reason}")]
    Element {
        /// Which of our pipelines.
        pipeline: String,
        /// The element's name.
        element: String,
        /// What it said.
        reason: String,
    },
    /// What is asked for is not there.
    #[error("{0} is not captured by this description: it has no fragment for it")]
    NotCaptured(Codec),
    /// Peers were made without this kind of media.
    #[error("{0} was not captured when the job began; stop the job and start it again")]
    NewTrack(MediaKind),
    /// GStreamer refused.
    #[error("{doing}: {reason}")]
    GStreamer {
        /// While doing what.
        doing: &'static str,
        /// What it said.
        reason: String,
    },
}

impl MediaError {
    /// GStreamer refused while doing this.
    pub(crate) fn gstreamer(doing: &'static str) -> impl FnOnce(gst::glib::BoolError) -> Self {
        move |error| Self::GStreamer {
            doing,
            reason: error.to_string(),
        }
    }
}

/// Initializes GStreamer and registers attache's own elements. Cheap when done before.
pub fn init() -> Result<(), MediaError> {
    gst::init().map_err(|error| MediaError::GStreamer {
        doing: "initialize GStreamer",
        reason: error.to_string(),
    })?;
    clock::base_time();
    static REGISTERED: LazyLock<Result<(), gst::glib::BoolError>> = LazyLock::new(|| {
        marks::register()?;
        // `rtpav1pay` and `rtpav1depay`, which GStreamer 1.22 does not bring.
        gstrsrtp::plugin_register_static()?;
        rtsp::register()?;
        clip::register()?;
        echo::register()?;
        crate::filter::element::register()
    });
    let registered = REGISTERED.clone();
    registered.map_err(MediaError::gstreamer("register attache's elements"))
}

/// Sound or picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

impl std::fmt::Display for MediaKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Audio => "sound",
            Self::Video => "picture",
        })
    }
}

/// The codecs that attache knows: peers send and receive them, recorders write them down.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Opus (RFC 6716), 48 kHz.
    Opus,
    /// VP8 (RFC 6386).
    Vp8,
    /// H.264, constrained baseline.
    H264,
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
    /// H.265.
    H265,
    /// AAC-LC (ISO 14496-3), 48 kHz: of files and live streams, not of calls.
    Aac,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Opus,
        Self::Vp8,
        Self::H264,
        Self::Vp9,
        Self::Av1,
        Self::H265,
        Self::Aac,
    ];

    /// The word for it in files and arguments: `opus`, `vp8`, `h264`, `vp9`, `av1`, `h265`, `aac`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Vp8 => "vp8",
            Self::H264 => "h264",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
            Self::H265 => "h265",
            Self::Aac => "aac",
        }
    }

    /// The codec of this [`Codec::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// What it carries.
    pub fn kind(self) -> MediaKind {
        match self {
            Self::Opus | Self::Aac => MediaKind::Audio,
            Self::Vp8 | Self::H264 | Self::Vp9 | Self::Av1 | Self::H265 => MediaKind::Video,
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Opus => "Opus",
            Self::Vp8 => "VP8",
            Self::H264 => "H.264",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::H265 => "H.265",
            Self::Aac => "AAC",
        })
    }
}
