//! Which properties an element takes while it plays.

use gst::glib::ParamSpec;
use gstreamer as gst;

/// Properties that elements read for each frame, though GStreamer's flags do not say so. Tried while playing:
/// `videotestsrc pattern` and `volume`; the others are set in the same way.
const LIVE: &[(&str, &[&str])] = &[
    ("attachebeep", &["enabled"]),
    (
        "attachedenoise",
        &["engine", "strength", "bypass", "max-load", "adaptive"],
    ),
    ("attachetimecode", &["flash"]),
    ("attachertsp", &["location", "latency", "protocols"]),
    ("audioamplify", &["amplification", "clipping-method"]),
    (
        "audiodynamic",
        &["characteristics", "mode", "ratio", "threshold"],
    ),
    ("audioecho", &["intensity", "feedback"]),
    ("audiopanorama", &["panorama"]),
    ("audiotestsrc", &["wave", "freq", "volume"]),
    ("clockoverlay", OVERLAY),
    ("equalizer-3bands", &["band0", "band1", "band2"]),
    ("gamma", &["gamma"]),
    ("identity", &["silent"]),
    ("input-selector", &["active-pad"]),
    ("level", &["interval", "post-messages"]),
    ("textoverlay", OVERLAY),
    ("timeoverlay", OVERLAY),
    ("valve", &["drop"]),
    (
        "videobalance",
        &["brightness", "contrast", "hue", "saturation"],
    ),
    ("videoflip", &["video-direction"]),
    (
        "videotestsrc",
        &[
            "pattern",
            "foreground-color",
            "background-color",
            "motion",
            "animation-mode",
        ],
    ),
    ("volume", &["volume", "mute"]),
    ("zebrastripe", &["threshold"]),
];

const OVERLAY: &[&str] = &[
    "text",
    "valignment",
    "halignment",
    "line-alignment",
    "font-desc",
    "color",
    "outline-color",
    "draw-outline",
    "draw-shadow",
    "shaded-background",
    "shading-value",
    "silent",
    "xpad",
    "ypad",
    "deltax",
    "deltay",
    "xpos",
    "ypos",
    "x-absolute",
    "y-absolute",
    "time-format",
];

/// Whether the table has it; needs no GStreamer.
pub(super) fn is_in_table(factory: &str, property: &str) -> bool {
    LIVE.iter()
        .any(|(known, properties)| *known == factory && properties.contains(&property))
}

/// Whether the table has it, or GStreamer's flags say so.
pub(super) fn is_live(factory: &str, property: &str, spec: &ParamSpec) -> bool {
    let flags = gst::PARAM_FLAG_CONTROLLABLE | gst::PARAM_FLAG_MUTABLE_PLAYING;
    is_in_table(factory, property) || spec.flags().intersects(flags)
}
