//! Encoders: a table of what GStreamer may have, the choice among them, and their low-latency settings.

use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use super::elements::{capsfilter, make};
use super::{Codec, MediaError};
use crate::pipeline::Settings;

/// One encoder that attache knows how to set.
#[derive(Debug)]
pub struct Candidate {
    /// What it makes.
    pub codec: Codec,
    /// The GStreamer element.
    pub factory: &'static str,
    /// Whether a device of its own does the work.
    pub is_hardware: bool,
    /// Debian's package of it.
    package: &'static str,
    /// Why it stands at this place of the table.
    reason: &'static str,
    /// Sets what low latency needs.
    configure: fn(&gst::Element, &Settings),
}

/// The encoders of each codec, the preferred one first.
static CANDIDATES: [Candidate; 4] = [
    Candidate {
        codec: Codec::Vp8,
        factory: "vp8enc",
        is_hardware: false,
        package: "gstreamer1.0-plugins-good",
        reason: "libvpx on the processor",
        configure: configure_vp8enc,
    },
    Candidate {
        codec: Codec::H264,
        factory: "x264enc",
        is_hardware: false,
        package: "gstreamer1.0-plugins-ugly",
        reason: "x264 on the processor, the best picture of the two in software",
        configure: configure_x264enc,
    },
    Candidate {
        codec: Codec::H264,
        factory: "openh264enc",
        is_hardware: false,
        package: "gstreamer1.0-plugins-bad",
        reason: "OpenH264 on the processor, since x264enc is not installed",
        configure: configure_openh264enc,
    },
    Candidate {
        codec: Codec::Opus,
        factory: "opusenc",
        is_hardware: false,
        package: "gstreamer1.0-plugins-base",
        reason: "libopus on the processor",
        configure: configure_opusenc,
    },
];

/// Without a request, a key frame comes this often: receivers ask when they need one.
const KEY_FRAME_SECONDS: u32 = 60;

/// An encoder that may be used, and why.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Which one.
    pub candidate: &'static Candidate,
    /// Why it stands where it stands.
    pub reason: String,
    /// What one frame took when it was proven.
    pub time_per_frame: Option<Duration>,
}

impl Choice {
    /// The choice and its reason, for the operator.
    pub fn notice(&self) -> String {
        let Candidate { codec, factory, .. } = self.candidate;
        format!("{codec} is encoded by {factory} ({})", self.reason)
    }

    /// The encoder and what must follow it: each one's pads link in order. In go I420 or S16LE at 48 kHz; out come VP8
    /// frames, H.264 access units in byte-stream form with SPS and PPS on each key frame, or Opus packets.
    pub fn build(&self, settings: &Settings) -> Result<Vec<gst::Element>, MediaError> {
        self.candidate.build(settings)
    }
}

/// The encoders of this machine.
#[derive(Debug, Clone, Default)]
pub struct Encoders;

impl Encoders {
    /// Those that may encode this, the best one first; at least one.
    pub fn choices(&self, codec: Codec, _settings: &Settings) -> Result<Vec<Choice>, MediaError> {
        choices(codec, exists)
    }
}

fn choices(codec: Codec, exists: impl Fn(&str) -> bool) -> Result<Vec<Choice>, MediaError> {
    let of_codec = || {
        CANDIDATES
            .iter()
            .filter(|candidate| candidate.codec == codec)
    };
    let choices: Vec<Choice> = of_codec()
        .filter(|candidate| exists(candidate.factory))
        .map(|candidate| Choice {
            candidate,
            reason: candidate.reason.to_owned(),
            time_per_frame: None,
        })
        .collect();
    if !choices.is_empty() {
        return Ok(choices);
    }
    let names: Vec<_> = of_codec().map(|candidate| candidate.factory).collect();
    Err(MediaError::Missing {
        element: names.join(" or "),
        package: of_codec()
            .next()
            .map_or("GStreamer's plugins", |candidate| candidate.package),
    })
}

/// Whether GStreamer has an element.
pub fn exists(factory: &str) -> bool {
    gst::ElementFactory::find(factory).is_some()
}

impl Candidate {
    fn build(&self, settings: &Settings) -> Result<Vec<gst::Element>, MediaError> {
        let encoder = make(self.factory, self.package)?;
        (self.configure)(&encoder, settings);
        let mut chain = vec![encoder];
        match self.codec {
            Codec::H264 => {
                chain.push(capsfilter("video/x-h264,profile=constrained-baseline")?);
                let parser = make("h264parse", "gstreamer1.0-plugins-bad")?;
                // SPS and PPS with each key frame: a latecomer has nothing else.
                parser.set_property("config-interval", -1);
                chain.push(parser);
                chain.push(capsfilter(
                    "video/x-h264,stream-format=byte-stream,alignment=au",
                )?);
            }
            Codec::Vp8 | Codec::Opus => {}
        }
        Ok(chain)
    }
}

/// One thread does 720p30 at a third of a core. More only for larger pictures and where cores are free: libvpx's threads
/// spin while they wait for each other, which on two busy cores took ten times the processor time of one thread.
fn threads(settings: &Settings) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let useful = if settings.video.height > 720 { 4 } else { 1 };
    u32::try_from(cores / 2).unwrap_or(1).clamp(1, useful)
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn configure_vp8enc(encoder: &gst::Element, settings: &Settings) {
    let video = &settings.video;
    encoder.set_property("deadline", 1i64);
    // Negative is a fixed speed; positive lets libvpx vary it with the time it takes (and took a quarter more of it).
    encoder.set_property("cpu-used", -8);
    encoder.set_property("lag-in-frames", 0);
    encoder.set_property("threads", signed(threads(settings)));
    encoder.set_property_from_str("end-usage", "cbr");
    encoder.set_property("target-bitrate", signed(video.bitrate.bits_per_second));
    // Rate control as WebRTC's own: a buffer of a second, half full, and steps of at most that.
    encoder.set_property("buffer-size", 1000);
    encoder.set_property("buffer-initial-size", 500);
    encoder.set_property("buffer-optimal-size", 600);
    encoder.set_property("undershoot", 100);
    encoder.set_property("overshoot", 15);
    encoder.set_property("min-quantizer", 2);
    encoder.set_property("max-quantizer", 56);
    encoder.set_property("static-threshold", 1);
    encoder.set_property_from_str("error-resilient", "default");
    encoder.set_property(
        "keyframe-max-dist",
        signed(video.framerate.saturating_mul(KEY_FRAME_SECONDS)),
    );
}

fn configure_x264enc(encoder: &gst::Element, settings: &Settings) {
    let video = &settings.video;
    encoder.set_property_from_str("tune", "zerolatency");
    encoder.set_property_from_str("speed-preset", "ultrafast");
    encoder.set_property("bitrate", video.bitrate.kilobits().max(1));
    encoder.set_property("vbv-buf-capacity", 500u32);
    encoder.set_property("threads", threads(settings));
    encoder.set_property("byte-stream", true);
    encoder.set_property("aud", false);
    encoder.set_property(
        "key-int-max",
        video.framerate.saturating_mul(KEY_FRAME_SECONDS),
    );
}

fn configure_openh264enc(encoder: &gst::Element, settings: &Settings) {
    let video = &settings.video;
    encoder.set_property_from_str("usage-type", "camera");
    encoder.set_property_from_str("complexity", "low");
    encoder.set_property_from_str("rate-control", "bitrate");
    encoder.set_property("bitrate", video.bitrate.bits_per_second);
    encoder.set_property("max-bitrate", video.bitrate.bits_per_second);
    encoder.set_property("multi-thread", threads(settings));
    encoder.set_property(
        "gop-size",
        video.framerate.saturating_mul(KEY_FRAME_SECONDS),
    );
}

fn configure_opusenc(encoder: &gst::Element, settings: &Settings) {
    encoder.set_property("bitrate", signed(settings.audio.bitrate.bits_per_second));
    encoder.set_property_from_str("frame-size", "20");
    encoder.set_property("inband-fec", true);
    // libopus writes redundancy only when it is told to expect loss.
    encoder.set_property("packet-loss-percentage", 10);
    encoder.set_property("dtx", false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x264_is_preferred_and_openh264_serves_without_it() {
        let best =
            |exists: fn(&str) -> bool| choices(Codec::H264, exists).unwrap()[0].candidate.factory;
        assert_eq!(best(|_| true), "x264enc");
        assert_eq!(best(|name| name != "x264enc"), "openh264enc");
    }

    #[test]
    fn a_codec_without_encoder_says_what_to_install() {
        let Err(error) = choices(Codec::Vp8, |_| false) else {
            panic!("chose something")
        };
        assert_eq!(
            error.to_string(),
            "GStreamer has no element vp8enc: install gstreamer1.0-plugins-good"
        );
    }
}
