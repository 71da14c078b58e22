//! The table of encoders: every one that attache knows, with the names and units of its own properties.
//!
//! Sources: the elements' `gst-inspect-1.0` for software, GStreamer's sources (1.22 to 1.26) for hardware, the kernel's
//! stateful encoder controls for V4L2. All of them make a key frame on GStreamer's upstream force-key-unit event.

use super::effort::{ONE_SPEED, Speed, Speeds};
use super::tuning::Amount::{self, Bits, KeyFrameDistance, Kilobits, Text, Threads, V4l2Controls};
use super::tuning::Setting;
use crate::media::Codec;

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
    pub package: &'static str,
    /// What it runs on, in words.
    pub runs_on: &'static str,
    /// The raw pictures it takes in plain memory; what comes is converted.
    pub(super) input: &'static str,
    /// Samples that a decoder gives out before the first one that went in: its frames are stamped so much earlier.
    pub(super) priming: u64,
    /// What low latency needs.
    pub(super) settings: &'static [Setting],
    /// What it can be sped up with.
    pub(super) speeds: Speeds,
}

const BAD: &str = "gstreamer1.0-plugins-bad";
const GOOD: &str = "gstreamer1.0-plugins-good";

const ANY: &str = "";
const NV12: &str = "video/x-raw,format=NV12";
const PLANAR: &str = "video/x-raw,format={I420,NV12}";

const fn need(property: &'static str, amount: Amount) -> Setting {
    Setting::required(property, amount)
}

const fn may(property: &'static str, amount: Amount) -> Setting {
    Setting::if_present(property, amount)
}

const OFF: Amount = Text(&["false"]);
const ON: Amount = Text(&["true"]);
const NONE: Amount = Text(&["0"]);
const CBR: Amount = Text(&["cbr"]);

/// `nvh264enc` and its like: the older mode of the plugin; since 1.24 the newer one under the old name.
const NV: &[Setting] = &[
    need("bitrate", Kilobits),
    need("gop-size", KeyFrameDistance),
    may("preset", Text(&["p3", "low-latency-hp"])),
    may("tune", Text(&["ultra-low-latency"])),
    may("rc-mode", Text(&["cbr-ld-hq", "cbr"])),
    may("rate-control", CBR),
    may("zerolatency", ON),
    may("zero-reorder-delay", ON),
    may("bframes", NONE),
    may("b-frames", NONE),
    may("rc-lookahead", NONE),
    may("aud", OFF),
    may("repeat-sequence-header", ON),
];
/// `nvcudah264enc`, `nvautogpuh264enc` and their like.
const NV_NEW: &[Setting] = &[
    need("bitrate", Kilobits),
    need("gop-size", KeyFrameDistance),
    need("rate-control", CBR),
    need("preset", Text(&["p3", "p1"])),
    need("tune", Text(&["ultra-low-latency", "low-latency"])),
    may("multi-pass", Text(&["disabled"])),
    may("zero-reorder-delay", ON),
    may("b-frames", NONE),
    may("rc-lookahead", NONE),
    may("aud", OFF),
    may("repeat-sequence-header", ON),
];
/// The `va` plugin. Which rate controls there are is the driver's.
const VA: &[Setting] = &[
    need("bitrate", Kilobits),
    need("key-int-max", KeyFrameDistance),
    may("rate-control", CBR),
    may("target-usage", Text(&["6"])),
    may("b-frames", NONE),
    may("ref-frames", Text(&["1"])),
    may("aud", OFF),
];
/// The older `vaapi` plugin, gone after GStreamer 1.24.
const VAAPI: &[Setting] = &[
    need("bitrate", Kilobits),
    need("keyframe-period", KeyFrameDistance),
    may("rate-control", CBR),
    may("max-bframes", NONE),
    may("quality-level", Text(&["6"])),
];
const QSV: &[Setting] = &[
    need("bitrate", Kilobits),
    need("gop-size", KeyFrameDistance),
    may("max-bitrate", Kilobits),
    may("rate-control", CBR),
    may("low-latency", ON),
    may("target-usage", Text(&["6"])),
    may("b-frames", NONE),
    may("ref-frames", Text(&["1"])),
];
/// Intel's Media SDK.
const MSDK: &[Setting] = &[
    need("bitrate", Kilobits),
    need("gop-size", KeyFrameDistance),
    may("rate-control", CBR),
    may("async-depth", Text(&["1"])),
    may("target-usage", Text(&["6"])),
    may("b-frames", NONE),
    may("rc-lookahead", NONE),
    may("ref-frames", Text(&["1"])),
];
const V4L2: &[Setting] = &[need("extra-controls", V4l2Controls)];

const VPX: &[Setting] = &[
    need("deadline", Text(&["1"])),
    // Negative is a fixed speed; positive lets libvpx vary it with the time it takes (and took a quarter more of it).
    need("cpu-used", Amount::Speed),
    need("lag-in-frames", NONE),
    need("threads", Threads),
    need("end-usage", CBR),
    need("target-bitrate", Bits),
    // Rate control as WebRTC's own: a buffer of a second, half full, and steps of at most that.
    need("buffer-size", Text(&["1000"])),
    need("buffer-initial-size", Text(&["500"])),
    need("buffer-optimal-size", Text(&["600"])),
    need("undershoot", Text(&["100"])),
    need("overshoot", Text(&["15"])),
    need("min-quantizer", Text(&["2"])),
    need("max-quantizer", Text(&["56"])),
    need("static-threshold", Text(&["1"])),
    need("error-resilient", Text(&["default"])),
    need("keyframe-max-dist", KeyFrameDistance),
    may("row-mt", ON),
];
const X264: &[Setting] = &[
    need("tune", Text(&["zerolatency"])),
    need("speed-preset", Amount::Speed),
    need("bitrate", Kilobits),
    need("vbv-buf-capacity", Text(&["500"])),
    need("threads", Threads),
    need("byte-stream", ON),
    need("aud", OFF),
    need("bframes", NONE),
    need("rc-lookahead", NONE),
    need("key-int-max", KeyFrameDistance),
];
const OPENH264: &[Setting] = &[
    need("usage-type", Text(&["camera"])),
    need("complexity", Text(&["low"])),
    need("rate-control", Text(&["bitrate"])),
    need("bitrate", Bits),
    need("max-bitrate", Bits),
    need("multi-thread", Threads),
    need("gop-size", KeyFrameDistance),
];
const SVTAV1: &[Setting] = &[
    need("preset", Amount::Speed),
    need("target-bitrate", Kilobits),
    need("intra-period-length", KeyFrameDistance),
    may("logical-processors", Threads),
    // Constant bit rate, low-delay prediction, nothing looked ahead at.
    need(
        "parameters-string",
        Text(&["rc=2:pred-struct=1:lookahead=0"]),
    ),
];
const AV1: &[Setting] = &[
    need("usage-profile", Text(&["realtime"])),
    need("cpu-used", Amount::Speed),
    need("end-usage", CBR),
    need("target-bitrate", Kilobits),
    need("lag-in-frames", NONE),
    need("threads", Threads),
    need("row-mt", ON),
    // The element's own default is 0, with which libaom ends the process in constant bit rate.
    need("max-quantizer", Text(&["56"])),
    need("min-quantizer", Text(&["2"])),
    need("keyframe-max-dist", KeyFrameDistance),
];
const X265: &[Setting] = &[
    need("tune", Text(&["zerolatency"])),
    need("speed-preset", Amount::Speed),
    need("bitrate", Kilobits),
    need("key-int-max", KeyFrameDistance),
];

const OPUS: &[Setting] = &[
    need("bitrate", Amount::SoundBits),
    need("frame-size", Amount::Packet),
    need("inband-fec", ON),
    // libopus writes redundancy only when it is told to expect loss.
    need("packet-loss-percentage", Amount::ExpectedLoss),
    need("dtx", Amount::LeavesSilenceOut),
];
const AAC: &[Setting] = &[need("bitrate", Amount::SoundBits)];

const VP8_SPEEDS: Speeds = Speeds {
    all: &[
        Speed {
            name: "-8",
            cost: 1.0,
        },
        Speed {
            name: "-12",
            cost: 0.8,
        },
        Speed {
            name: "-16",
            cost: 0.6,
        },
    ],
    usual: 0,
};
const VP9_SPEEDS: Speeds = Speeds {
    all: &[
        Speed {
            name: "7",
            cost: 1.3,
        },
        Speed {
            name: "8",
            cost: 1.0,
        },
        Speed {
            name: "9",
            cost: 0.8,
        },
    ],
    usual: 1,
};
const X264_SPEEDS: Speeds = Speeds {
    all: &[
        Speed {
            name: "veryfast",
            cost: 2.4,
        },
        Speed {
            name: "superfast",
            cost: 1.5,
        },
        Speed {
            name: "ultrafast",
            cost: 1.0,
        },
    ],
    usual: 2,
};
const X265_SPEEDS: Speeds = Speeds {
    all: &[Speed {
        name: "ultrafast",
        cost: 1.0,
    }],
    usual: 0,
};
const AV1_SPEEDS: Speeds = Speeds {
    all: &[
        Speed {
            name: "8",
            cost: 1.0,
        },
        Speed {
            name: "10",
            cost: 0.7,
        },
    ],
    usual: 0,
};
const SVTAV1_SPEEDS: Speeds = Speeds {
    all: &[
        Speed {
            name: "10",
            cost: 1.0,
        },
        Speed {
            name: "12",
            cost: 0.7,
        },
    ],
    usual: 0,
};

const fn hardware(
    codec: Codec,
    factory: &'static str,
    runs_on: &'static str,
    input: &'static str,
    settings: &'static [Setting],
) -> Candidate {
    Candidate {
        codec,
        factory,
        is_hardware: true,
        package: BAD,
        runs_on,
        input,
        priming: 0,
        settings,
        speeds: ONE_SPEED,
    }
}

const fn from(package: &'static str, candidate: Candidate) -> Candidate {
    Candidate {
        package,
        ..candidate
    }
}

const fn software(
    codec: Codec,
    factory: &'static str,
    package: &'static str,
    runs_on: &'static str,
    settings: &'static [Setting],
    speeds: Speeds,
) -> Candidate {
    Candidate {
        codec,
        factory,
        is_hardware: false,
        package,
        runs_on,
        input: ANY,
        priming: 0,
        settings,
        speeds,
    }
}

const NVIDIA: &str = "NVENC on an NVIDIA card";
const NVIDIA_CUDA: &str = "NVENC on an NVIDIA card, CUDA mode";
const NVIDIA_AUTO: &str = "NVENC on the least busy NVIDIA card";
const GPU: &str = "VA-API on the graphics processor";
const GPU_LP: &str = "VA-API on the graphics processor, its low-power unit";
const GPU_OLD: &str = "VA-API on the graphics processor, older plugin";
const INTEL: &str = "Quick Sync on an Intel graphics processor";
const INTEL_OLD: &str = "Media SDK on an Intel graphics processor";
const KERNEL: &str = "the kernel's V4L2 encoder";

const LIBAV: &str = "gstreamer1.0-libav";

/// An encoder of AAC: the format of samples that it takes, and its priming as measured.
const fn aac(
    factory: &'static str,
    package: &'static str,
    runs_on: &'static str,
    input: &'static str,
    priming: u64,
) -> Candidate {
    Candidate {
        input,
        priming,
        ..software(Codec::Aac, factory, package, runs_on, AAC, ONE_SPEED)
    }
}

/// The encoders of each codec, the preferred one first: hardware, then software.
#[rustfmt::skip]
pub static CANDIDATES: &[Candidate] = &[
    hardware(Codec::H264, "nvh264enc", NVIDIA, PLANAR, NV),
    hardware(Codec::H264, "nvcudah264enc", NVIDIA_CUDA, PLANAR, NV_NEW),
    hardware(Codec::H264, "nvautogpuh264enc", NVIDIA_AUTO, PLANAR, NV_NEW),
    hardware(Codec::H264, "vah264lpenc", GPU_LP, NV12, VA),
    hardware(Codec::H264, "vah264enc", GPU, NV12, VA),
    hardware(Codec::H264, "qsvh264enc", INTEL, NV12, QSV),
    hardware(Codec::H264, "msdkh264enc", INTEL_OLD, NV12, MSDK),
    from("gstreamer1.0-vaapi", hardware(Codec::H264, "vaapih264enc", GPU_OLD, PLANAR, VAAPI)),
    from(GOOD, hardware(Codec::H264, "v4l2h264enc", KERNEL, PLANAR, V4L2)),
    software(Codec::H264, "x264enc", "gstreamer1.0-plugins-ugly", "x264 on the processor", X264, X264_SPEEDS),
    software(Codec::H264, "openh264enc", BAD, "OpenH264 on the processor", OPENH264, ONE_SPEED),

    hardware(Codec::Vp8, "vavp8enc", GPU, NV12, VA),
    hardware(Codec::Vp8, "vavp8lpenc", GPU_LP, NV12, VA),
    from("gstreamer1.0-vaapi", hardware(Codec::Vp8, "vaapivp8enc", GPU_OLD, PLANAR, VAAPI)),
    from(GOOD, hardware(Codec::Vp8, "v4l2vp8enc", KERNEL, PLANAR, V4L2)),
    software(Codec::Vp8, "vp8enc", GOOD, "libvpx on the processor", VPX, VP8_SPEEDS),

    hardware(Codec::Vp9, "vavp9lpenc", GPU_LP, NV12, VA),
    hardware(Codec::Vp9, "vavp9enc", GPU, NV12, VA),
    hardware(Codec::Vp9, "qsvvp9enc", INTEL, NV12, QSV),
    hardware(Codec::Vp9, "msdkvp9enc", INTEL_OLD, NV12, MSDK),
    from("gstreamer1.0-vaapi", hardware(Codec::Vp9, "vaapivp9enc", GPU_OLD, PLANAR, VAAPI)),
    from(GOOD, hardware(Codec::Vp9, "v4l2vp9enc", KERNEL, PLANAR, V4L2)),
    software(Codec::Vp9, "vp9enc", GOOD, "libvpx on the processor", VPX, VP9_SPEEDS),

    hardware(Codec::Av1, "nvav1enc", NVIDIA, PLANAR, NV_NEW),
    hardware(Codec::Av1, "nvcudaav1enc", NVIDIA_CUDA, PLANAR, NV_NEW),
    hardware(Codec::Av1, "nvautogpuav1enc", NVIDIA_AUTO, PLANAR, NV_NEW),
    hardware(Codec::Av1, "vaav1lpenc", GPU_LP, NV12, VA),
    hardware(Codec::Av1, "vaav1enc", GPU, NV12, VA),
    hardware(Codec::Av1, "qsvav1enc", INTEL, NV12, QSV),
    hardware(Codec::Av1, "msdkav1enc", INTEL_OLD, NV12, MSDK),
    software(Codec::Av1, "svtav1enc", BAD, "SVT-AV1 on the processor", SVTAV1, SVTAV1_SPEEDS),
    software(Codec::Av1, "av1enc", BAD, "libaom on the processor", AV1, AV1_SPEEDS),

    hardware(Codec::H265, "nvh265enc", NVIDIA, PLANAR, NV),
    hardware(Codec::H265, "nvcudah265enc", NVIDIA_CUDA, PLANAR, NV_NEW),
    hardware(Codec::H265, "nvautogpuh265enc", NVIDIA_AUTO, PLANAR, NV_NEW),
    hardware(Codec::H265, "vah265lpenc", GPU_LP, NV12, VA),
    hardware(Codec::H265, "vah265enc", GPU, NV12, VA),
    hardware(Codec::H265, "qsvh265enc", INTEL, NV12, QSV),
    hardware(Codec::H265, "msdkh265enc", INTEL_OLD, NV12, MSDK),
    from("gstreamer1.0-vaapi", hardware(Codec::H265, "vaapih265enc", GPU_OLD, PLANAR, VAAPI)),
    from(GOOD, hardware(Codec::H265, "v4l2h265enc", KERNEL, PLANAR, V4L2)),
    software(Codec::H265, "x265enc", BAD, "x265 on the processor", X265, X265_SPEEDS),

    software(Codec::Opus, "opusenc", "gstreamer1.0-plugins-base", "libopus on the processor", OPUS, ONE_SPEED),

    aac("avenc_aac", LIBAV, "FFmpeg's AAC on the processor", "audio/x-raw,format=F32LE", 1024),
    aac("voaacenc", BAD, "VisualOn's AAC on the processor", "audio/x-raw,format=S16LE", 1600),
];

/// The encoders of a codec, the preferred one first.
pub fn of_codec(codec: Codec) -> impl Iterator<Item = &'static Candidate> {
    CANDIDATES
        .iter()
        .filter(move |candidate| candidate.codec == codec)
}

/// The encoder of this name.
pub fn find(codec: Codec, factory: &str) -> Option<&'static Candidate> {
    of_codec(codec).find(|candidate| candidate.factory == factory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_once_and_hardware_comes_first() {
        let names: std::collections::BTreeSet<_> =
            CANDIDATES.iter().map(|one| one.factory).collect();
        assert_eq!(names.len(), CANDIDATES.len());
        for codec in Codec::ALL {
            let kinds: Vec<bool> = of_codec(codec).map(|one| one.is_hardware).collect();
            assert!(
                kinds.is_sorted_by_key(|is_hardware| !is_hardware),
                "{codec}"
            );
            assert!(kinds.contains(&false), "{codec} has software");
        }
    }
}
