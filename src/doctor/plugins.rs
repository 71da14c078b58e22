//! GStreamer's version and the elements that attache is made of.

use gstreamer as gst;

use super::report::{Check, Outcome};
use crate::media::encoder::exists;

/// An element, Debian's package of it, what it is for, and whether no call goes without.
const NEEDED: &[(&str, &str, &str, bool)] = &[
    (
        "webrtcbin",
        "gstreamer1.0-plugins-bad",
        "PeerConnections",
        true,
    ),
    ("nicesrc", "gstreamer1.0-nice", "ICE", true),
    ("dtlsenc", "gstreamer1.0-plugins-bad", "DTLS", true),
    ("srtpenc", "gstreamer1.0-plugins-bad", "SRTP", true),
    ("sctpenc", "gstreamer1.0-plugins-bad", "data channels", true),
    ("rtpbin", "gstreamer1.0-plugins-good", "RTP", true),
    ("rtpvp8pay", "gstreamer1.0-plugins-good", "VP8 in RTP", true),
    (
        "rtph264pay",
        "gstreamer1.0-plugins-good",
        "H.264 in RTP",
        true,
    ),
    ("h264parse", "gstreamer1.0-plugins-bad", "H.264", true),
    ("opusenc", "gstreamer1.0-plugins-base", "sound", true),
    ("opusdec", "gstreamer1.0-plugins-base", "sound", true),
    (
        "rtpopuspay",
        "gstreamer1.0-plugins-good",
        "sound in RTP",
        true,
    ),
    (
        "videoconvertscale",
        "gstreamer1.0-plugins-base",
        "pictures of any form",
        true,
    ),
    (
        "audioresample",
        "gstreamer1.0-plugins-base",
        "sound of any rate",
        true,
    ),
    (
        "compositor",
        "gstreamer1.0-plugins-base",
        "the picture of all participants",
        false,
    ),
    ("textoverlay", "gstreamer1.0-x", "text in pictures", false),
    ("v4l2src", "gstreamer1.0-plugins-good", "cameras", false),
    ("alsasrc", "gstreamer1.0-alsa", "sound cards", false),
    ("pulsesrc", "gstreamer1.0-pulseaudio", "PulseAudio", false),
    ("pipewiresrc", "gstreamer1.0-pipewire", "PipeWire", false),
];

pub fn look() -> Vec<Check> {
    let version = gst::version_string();
    let (major, minor, ..) = gst::version();
    let is_new = (major, minor) >= (1, 22);
    let mut checks = vec![if is_new {
        Check::new(Outcome::Good, "version", version)
    } else {
        Check::new(
            Outcome::Fatal,
            "version",
            format!("{version}; 1.22 or newer is needed"),
        )
    }];
    let (there, missing): (Vec<_>, Vec<_>) =
        NEEDED.iter().copied().partition(|(name, ..)| exists(name));
    checks.extend(
        missing
            .into_iter()
            .map(|(name, package, purpose, is_needed)| {
                let outcome = if is_needed {
                    Outcome::Fatal
                } else {
                    Outcome::Bad
                };
                Check::new(
                    outcome,
                    name,
                    format!("not there, for {purpose}: install {package}"),
                )
            }),
    );
    checks.push(Check::new(
        Outcome::Good,
        "elements",
        format!("{} of {} are there", there.len(), NEEDED.len()),
    ));
    checks
}
