//! The element `attacheaec`: takes what the loudspeakers play out of what the microphone hears, and evens out how loud
//! people are.
//!
//! GStreamer's `webrtcdsp` does the work. It has to know what is played, from a `webrtcechoprobe`, while microphone and
//! loudspeaker are in pipelines of their own here, which come and go independently. So the probe stands in this element,
//! beside the canceller, and [`far`] leads there what the playback hands to its sink. How late that comes back depends on
//! devices and on the room; the canceller of Debian 12 copes with 40 ms (its mode that finds delays has no effect: 80 ms were
//! as bad with it as without). So [`delay`] finds it, and what is played is handed over so much later.

mod delay;
mod element;
pub mod far;

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

glib::wrapper! {
    /// A microphone's sound in, the same without the loudspeakers' out: mono, S16LE, 48 kHz.
    pub struct EchoCanceller(ObjectSubclass<element::EchoCanceller>) @extends gst::Bin, gst::Element, gst::Object;
}

/// Makes the element known to this process's GStreamer. To be called once.
pub fn register() -> Result<(), glib::BoolError> {
    let element = EchoCanceller::static_type();
    gst::Element::register(None, "attacheaec", gst::Rank::NONE, element)
}

/// How much stationary noise is taken out: `webrtcdsp`'s levels, and none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "AttacheAecNoiseSuppression")]
pub enum NoiseSuppression {
    /// None.
    #[default]
    Off,
    /// 6 dB.
    Low,
    /// 12 dB.
    Moderate,
    /// 18 dB.
    High,
    /// 21 dB; voices suffer.
    VeryHigh,
}

impl NoiseSuppression {
    /// `webrtcdsp`'s word for it; none where it is off.
    fn level(self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Low => Some("low"),
            Self::Moderate => Some("moderate"),
            Self::High => Some("high"),
            Self::VeryHigh => Some("very-high"),
        }
    }
}

/// What is left over of an echo is made quieter by this: the more, the less of two who speak at once is heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "AttacheAecSuppression")]
pub enum Suppression {
    /// Both who speak at once are heard.
    Low,
    /// Between them.
    #[default]
    Moderate,
    /// No echo is heard.
    High,
}

impl Suppression {
    fn level(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
        }
    }
}
