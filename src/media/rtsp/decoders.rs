//! Which depayloader and which decoder take a camera's stream: fixed ones, since a camera is a stranger.

use super::super::feed::{Chain, Media};

pub(super) const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const BASE: &str = "gstreamer1.0-plugins-base";
const LIBAV: &str = "gstreamer1.0-libav";

/// From RTP to raw, by RTP encoding name (RFC 3551 and the payload formats' own).
pub(super) const DECODERS: [(Media, &str, Chain); 11] = [
    (
        Media::Video,
        "H264",
        &[
            ("rtph264depay", GOOD),
            ("h264parse", BAD),
            ("avdec_h264", LIBAV),
        ],
    ),
    (
        Media::Video,
        "H265",
        &[
            ("rtph265depay", GOOD),
            ("h265parse", BAD),
            ("avdec_h265", LIBAV),
        ],
    ),
    (
        Media::Video,
        "JPEG",
        &[("rtpjpegdepay", GOOD), ("jpegdec", GOOD)],
    ),
    (
        Media::Video,
        "VP8",
        &[("rtpvp8depay", GOOD), ("vp8dec", GOOD)],
    ),
    (
        Media::Video,
        "VP9",
        &[("rtpvp9depay", GOOD), ("vp9dec", GOOD)],
    ),
    (
        Media::Video,
        "MP4V-ES",
        &[
            ("rtpmp4vdepay", GOOD),
            ("mpeg4videoparse", BAD),
            ("avdec_mpeg4", LIBAV),
        ],
    ),
    (
        Media::Audio,
        "PCMU",
        &[("rtppcmudepay", GOOD), ("mulawdec", GOOD)],
    ),
    (
        Media::Audio,
        "PCMA",
        &[("rtppcmadepay", GOOD), ("alawdec", GOOD)],
    ),
    (
        Media::Audio,
        "OPUS",
        &[("rtpopusdepay", GOOD), ("opusdec", BASE)],
    ),
    (
        Media::Audio,
        "MPEG4-GENERIC",
        &[
            ("rtpmp4gdepay", GOOD),
            ("aacparse", GOOD),
            ("avdec_aac", LIBAV),
        ],
    ),
    (
        Media::Audio,
        "L16",
        &[("rtpL16depay", GOOD), ("audioconvert", BASE)],
    ),
];

pub(super) fn decoder(media: Media, encoding: &str) -> Option<Chain> {
    DECODERS
        .iter()
        .find(|(of, name, _)| *of == media && name.eq_ignore_ascii_case(encoding))
        .map(|(_, _, chain)| *chain)
}
