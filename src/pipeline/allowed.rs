//! The elements and properties that descriptions may use. What reads or writes files, opens sockets, runs commands, loads
//! plugins or chooses elements by itself is not among them; the operator adds single elements by name.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::description::Description;
use super::fragment::Fragment;
use super::launch::{Piece, Property, What};
use super::problem::{Problem, nearest};

/// Which properties of an element may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Properties {
    /// All but those that name files: see [`FILES`].
    All,
    /// Neither these nor those that name files.
    AllBut(&'static [&'static str]),
    /// Only these.
    Only(&'static [&'static str]),
}

struct Group {
    /// What its elements are for.
    purpose: &'static str,
    properties: Properties,
    /// Names, or beginnings that end with `*`.
    elements: &'static [&'static str],
}

/// Properties that name files, folders, sockets, programs or presets, whatever the element.
const FILES: &[&str] = &[
    "location",
    "filename",
    "file-name",
    "file",
    "uri",
    "path",
    "fd",
    "device-fd",
    "directory",
    "folder",
    "multipass-cache-file",
    "multipass-cache",
    "stats-file",
    "statsfile",
    "passlogfile",
    "vstats-file",
    "option-string",
    "parameters-string",
    "options",
    "socket-path",
    "host",
    "port",
    "server",
    "command",
    "script",
    "module",
    "plugin",
    "library",
    "soundfont",
    "model",
    "preset-file",
    "dump-file",
    "trace-file",
    "kar-file",
    "log-file",
    "fontconfig",
    "tune-file",
    "vqm-file",
    "quantizer-file",
];

use Properties::{All, AllBut, Only};

const GROUPS: &[Group] = &[
    Group {
        purpose: "attache's own",
        properties: Properties::AllBut(&[]),
        elements: &[
            "attachetimecode",
            "attachebeep",
            "attachedenoise",
            "attacheaec",
        ],
    },
    Group {
        purpose: "attache's own sources, which check what they are given",
        properties: Only(&["location", "latency", "protocols", "media"]),
        elements: &["attachertsp", "attacheclip"],
    },
    Group {
        purpose: "test sources",
        properties: All,
        elements: &[
            "videotestsrc",
            "audiotestsrc",
            "dtmfsrc",
            "tonegeneratesrc",
            "debugqroverlay",
            "spanplc",
        ],
    },
    Group {
        purpose: "flow",
        properties: All,
        elements: &[
            "queue",
            "tee",
            "valve",
            "identity",
            "clocksync",
            "capsfilter",
            "funnel",
            "input-selector",
            "output-selector",
            "concat",
            "multiqueue",
            "watchdog",
            "progressreport",
            "cpureport",
            "taginject",
            "capssetter",
            "rndbuffersize",
            "navseek",
            "errorignore",
            "downloadbuffer",
        ],
    },
    Group {
        purpose: "flow that could keep files",
        properties: AllBut(&["temp-template", "temp-remove", "use-buffering", "download"]),
        elements: &["queue2"],
    },
    Group {
        purpose: "an end that drops everything",
        properties: AllBut(&["dump", "last-message"]),
        elements: &["fakesink", "fakevideosink", "fakeaudiosink"],
    },
    Group {
        purpose: "picture: conversion, size, rate",
        properties: All,
        elements: &[
            "videoconvert",
            "videoscale",
            "videoconvertscale",
            "videorate",
            "videocrop",
            "aspectratiocrop",
            "videobox",
            "videoflip",
            "deinterlace",
            "interlace",
            "imagefreeze",
            "bayer2rgb",
            "rgb2bayer",
            "alpha",
            "autovideoconvert",
            "ivtc",
            "combdetect",
            "fieldanalysis",
            "avwait",
            "timecodestamper",
            "overlaycomposition",
        ],
    },
    Group {
        purpose: "picture: text",
        properties: All,
        elements: &[
            "textoverlay",
            "clockoverlay",
            "timeoverlay",
            "textrender",
            "qroverlay",
        ],
    },
    Group {
        purpose: "picture: mixers",
        properties: All,
        elements: &["compositor", "videomixer", "smpte", "smptealpha"],
    },
    Group {
        purpose: "picture: colours and effects",
        properties: All,
        elements: &[
            "videobalance",
            "gamma",
            "videomedian",
            "coloreffects",
            "chromahold",
            "gaussianblur",
            "smooth",
            "burn",
            "chromium",
            "dilate",
            "dodge",
            "exclusion",
            "solarize",
            "agingtv",
            "dicetv",
            "edgetv",
            "optv",
            "quarktv",
            "radioactv",
            "revtv",
            "rippletv",
            "shagadelictv",
            "streaktv",
            "vertigotv",
            "warptv",
            "bulge",
            "circle",
            "diffuse",
            "fisheye",
            "kaleidoscope",
            "marble",
            "mirror",
            "perspective",
            "pinch",
            "rotate",
            "sphere",
            "square",
            "stretch",
            "tunnel",
            "twirl",
            "waterripple",
            "zebrastripe",
            "scenechange",
            "videodiff",
            "faceoverlay",
            "videoanalyse",
            "simplevideomark",
            "simplevideomarkdetect",
            "zbar",
            "zxing",
            "navigationtest",
            "compare",
        ],
    },
    Group {
        purpose: "sound to picture",
        properties: All,
        elements: &[
            "goom",
            "goom2k1",
            "monoscope",
            "spacescope",
            "spectrascope",
            "synaescope",
            "wavescope",
        ],
    },
    Group {
        purpose: "sound: conversion, rate, level",
        properties: All,
        elements: &[
            "audioconvert",
            "audioresample",
            "audiorate",
            "volume",
            "level",
            "spectrum",
            "cutter",
            "removesilence",
            "audiobuffersplit",
            "deinterleave",
            "interleave",
            "audiointerleave",
            "audiomixmatrix",
            "audiochannelmix",
            "videoframe-audiolevel",
            "audiosegmentclip",
            "videosegmentclip",
        ],
    },
    Group {
        purpose: "sound: mixers",
        properties: All,
        elements: &["audiomixer", "liveadder", "adder"],
    },
    Group {
        purpose: "sound: effects and noise",
        properties: All,
        elements: &[
            "webrtcdsp",
            "webrtcechoprobe",
            "audiornnoise",
            "audiodynamic",
            "audioamplify",
            "audiochebband",
            "audiocheblimit",
            "audioecho",
            "audioinvert",
            "audiokaraoke",
            "audiopanorama",
            "audiowsincband",
            "audiowsinclimit",
            "audiofirfilter",
            "audioiirfilter",
            "equalizer-10bands",
            "equalizer-3bands",
            "equalizer-nbands",
            "freeverb",
            "pitch",
            "scaletempo",
            "speed",
            "stereo",
            "bs2b",
            "rganalysis",
            "rglimiter",
            "rgvolume",
            "audioloudnorm",
            "ebur128level",
            "dtmfdetect",
            "bpmdetect",
        ],
    },
    Group {
        purpose: "encoders",
        properties: All,
        elements: &[
            "vp8enc",
            "vp9enc",
            "x264enc",
            "openh264enc",
            "x265enc",
            "av1enc",
            "svtav1enc",
            "rav1enc",
            "opusenc",
            "jpegenc",
            "pngenc",
            "theoraenc",
            "vorbisenc",
            "voaacenc",
            "fdkaacenc",
            "lamemp3enc",
            "mulawenc",
            "alawenc",
            "speexenc",
            "flacenc",
            "wavenc",
            "webpenc",
            "vah264enc",
            "vah264lpenc",
            "vah265enc",
            "vah265lpenc",
            "vaav1enc",
            "vaapih264enc",
            "vaapih265enc",
            "vaapivp8enc",
            "vaapivp9enc",
            "nvh264enc",
            "nvh265enc",
            "nvav1enc",
            "nvcudah264enc",
            "nvcudah265enc",
            "nvautogpuh264enc",
            "nvautogpuh265enc",
            "qsvh264enc",
            "qsvh265enc",
            "qsvav1enc",
            "msdkh264enc",
            "msdkh265enc",
            "v4l2h264enc",
            "v4l2h265enc",
            "v4l2vp8enc",
            "v4l2vp9enc",
            "v4l2jpegenc",
        ],
    },
    Group {
        purpose: "libav's encoders",
        properties: Only(&[
            "bitrate",
            "quality",
            "gop-size",
            "max-key-interval",
            "threads",
            "compliance",
            "global-quality",
            "compression-level",
        ]),
        elements: &[
            "avenc_aac",
            "avenc_opus",
            "avenc_mjpeg",
            "avenc_h264_omx",
            "avenc_flac",
            "avenc_g722",
            "avenc_png",
        ],
    },
    Group {
        purpose: "parsers",
        properties: All,
        elements: &[
            "h264parse",
            "h265parse",
            "av1parse",
            "vp9parse",
            "mpegvideoparse",
            "mpeg4videoparse",
            "jpegparse",
            "pngparse",
            "opusparse",
            "aacparse",
            "flacparse",
            "mpegaudioparse",
            "rawvideoparse",
            "rawaudioparse",
            "ac3parse",
            "h264timestamper",
            "h265timestamper",
        ],
    },
    Group {
        purpose: "decoders, by name",
        properties: All,
        elements: &[
            "vp8dec",
            "vp9dec",
            "openh264dec",
            "av1dec",
            "dav1ddec",
            "opusdec",
            "jpegdec",
            "pngdec",
            "theoradec",
            "vorbisdec",
            "faad",
            "fdkaacdec",
            "mulawdec",
            "alawdec",
            "speexdec",
            "flacdec",
            "wavparse",
            "mpg123audiodec",
            "webpdec",
            "avdec_*",
            "avdeinterlace",
            "vah264dec",
            "vah265dec",
            "vavp8dec",
            "vavp9dec",
            "vaav1dec",
            "vajpegdec",
            "vapostproc",
            "vadeinterlace",
            "vacompositor",
            "vaapih264dec",
            "vaapih265dec",
            "vaapijpegdec",
            "vaapipostproc",
            "nvh264dec",
            "nvh265dec",
            "nvjpegdec",
            "v4l2h264dec",
            "v4l2h265dec",
            "v4l2jpegdec",
            "v4l2convert",
            "libde265dec",
        ],
    },
    Group {
        purpose: "cameras",
        properties: Only(&[
            "device",
            "brightness",
            "contrast",
            "saturation",
            "hue",
            "norm",
            "io-mode",
            "extra-controls",
            "pixel-aspect-ratio",
            "force-aspect-ratio",
            "do-timestamp",
            "num-buffers",
            "crop-left",
            "crop-right",
            "crop-top",
            "crop-bottom",
            "camera-name",
            "ae-enable",
            "ae-metering-mode",
        ]),
        elements: &["v4l2src", "libcamerasrc"],
    },
    Group {
        purpose: "PipeWire",
        properties: Only(&[
            "target-object",
            "client-name",
            "always-copy",
            "min-buffers",
            "max-buffers",
            "keepalive-time",
            "resend-last",
            "do-timestamp",
            "num-buffers",
            "provide-clock",
            "sync",
            "mode",
            "stream-properties",
        ]),
        elements: &["pipewiresrc", "pipewiresink"],
    },
    Group {
        purpose: "sound cards",
        properties: Only(&[
            "device",
            "client-name",
            "stream-properties",
            "volume",
            "mute",
            "provide-clock",
            "slave-method",
            "buffer-time",
            "latency-time",
            "do-timestamp",
            "num-buffers",
            "sync",
            "use-driver-timestamps",
            "alignment-threshold",
            "discont-wait",
            "drift-tolerance",
            "qos",
            "max-lateness",
        ]),
        elements: &["pulsesrc", "pulsesink", "alsasrc", "alsasink"],
    },
    Group {
        purpose: "screen capture",
        properties: Only(&[
            "display-name",
            "show-pointer",
            "use-damage",
            "startx",
            "starty",
            "endx",
            "endy",
            "remote",
            "xid",
            "xname",
            "do-timestamp",
            "num-buffers",
            "enable-navigation-events",
        ]),
        elements: &["ximagesrc"],
    },
    Group {
        purpose: "displays",
        properties: Only(&[
            "sync",
            "qos",
            "max-lateness",
            "force-aspect-ratio",
            "display",
            "display-name",
            "handle-events",
            "handle-expose",
            "pixel-aspect-ratio",
            "synchronous",
            "draw-borders",
            "brightness",
            "contrast",
            "hue",
            "saturation",
            "fullscreen",
            "rotate-method",
            "driver-name",
            "connector-id",
            "plane-id",
            "can-scale",
            "render-rectangle",
            "force-modesetting",
            "restore-crtc",
            "bus-id",
            "ts-offset",
            "processing-deadline",
            "async",
            "colorkey",
            "autopaint-colorkey",
            "double-buffer",
            "device",
        ]),
        elements: &["waylandsink", "xvimagesink", "ximagesink", "kmssink"],
    },
    Group {
        purpose: "channels inside of one worker",
        properties: Only(&[
            "channel",
            "timeout",
            "sync",
            "do-timestamp",
            "buffer-time",
            "latency-time",
            "period-time",
            "qos",
        ]),
        elements: &[
            "intervideosrc",
            "intervideosink",
            "interaudiosrc",
            "interaudiosink",
        ],
    },
];

/// Well-known elements that are not allowed: why, and what serves instead.
const INSTEAD: &[(&[&str], &str, &str)] = &[
    (
        &["rtspsrc", "rtspclientsink"],
        "it opens network connections",
        "attachertsp location={camera} plays RTSP cameras",
    ),
    (
        &[
            "filesrc",
            "multifilesrc",
            "splitfilesrc",
            "splitmuxsrc",
            "imagesequencesrc",
            "giosrc",
            "pushfilesrc",
            "dataurisrc",
            "gdkpixbufoverlay",
            "rsvgoverlay",
            "sndfile*",
        ],
        "it reads files",
        "attacheclip location={clip} plays a file of the media folder",
    ),
    (
        &[
            "filesink",
            "multifilesink",
            "splitmuxsink",
            "giosink",
            "gdkpixbufsink",
            "fdsink",
            "fdsrc",
            "hlssink*",
            "qtmoovrecover",
        ],
        "it reads or writes files",
        "a recorder writes files",
    ),
    (
        &[
            "decodebin*",
            "parsebin",
            "autovideosrc",
            "autoaudiosrc",
            "autovideosink",
            "autoaudiosink",
            "autoconvert",
            "encodebin*",
            "playsink",
        ],
        "it chooses elements by itself",
        "name the elements; a parameter of type device stands for a camera, microphone, speaker or display",
    ),
    (
        &[
            "playbin*",
            "uridecodebin*",
            "urisourcebin",
            "souphttpsrc",
            "souphttpclientsink",
            "curl*",
            "udpsrc",
            "udpsink",
            "multiudpsink",
            "dynudpsink",
            "tcp*",
            "rtmp*",
            "srt*",
            "rist*",
            "shout2send",
            "rtpsrc",
            "rtpsink",
            "neonhttpsrc",
            "webrtcbin",
            "nicesrc",
            "nicesink",
            "sctp*",
            "rfbsrc",
            "socketsrc",
            "multisocketsink",
            "hlsdemux*",
            "dashdemux*",
            "mssdemux*",
        ],
        "it opens network connections",
        "attachertsp location={camera} plays RTSP cameras",
    ),
    (
        &["shm*", "appsrc", "appsink", "proxy*", "ipc*", "interpipe*"],
        "it is for programs",
        "attache feeds and reads the free pads of a fragment",
    ),
    (
        &[
            "frei0r-*", "ladspa-*", "lv2-*", "python", "wpe*", "cef*", "gl*",
        ],
        "it loads code, or programs of others",
        "an element that works by itself",
    ),
];

/// Which elements descriptions may use: attache's list, and those that the operator adds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Allowed {
    added: BTreeSet<String>,
}

fn is_one(name: &str, list: &[&str]) -> bool {
    list.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => *known == name,
    })
}

/// Whether a text can be the name of an element's factory.
pub fn is_factory_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.len() <= 100
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl Allowed {
    /// attache's list and these elements, with all of their properties.
    pub fn with(added: impl IntoIterator<Item = String>) -> Self {
        Self {
            added: added.into_iter().collect(),
        }
    }

    /// These elements, too.
    pub fn and(mut self, added: impl IntoIterator<Item = String>) -> Self {
        self.added.extend(added);
        self
    }

    /// What `attache pipelines` is told of it.
    pub fn arguments(&self) -> Vec<String> {
        self.added
            .iter()
            .map(|element| format!("--allow={element}"))
            .collect()
    }

    /// Whether nothing was added.
    pub fn is_plain(&self) -> bool {
        self.added.is_empty()
    }

    fn group(factory: &str) -> Option<&'static Group> {
        GROUPS.iter().find(|group| is_one(factory, group.elements))
    }

    /// What is wrong with the elements and properties that a fragment uses.
    pub(super) fn check(&self, description: &Description, fragment: &Fragment) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, element) in fragment.launch.elements.iter().enumerate() {
            let What::Factory(factory) = &element.what else {
                continue;
            };
            if self.added.contains(factory) {
                continue;
            }
            let mut report = |element: Option<String>, at, found: String, right: String| {
                let place = Some(fragment.place(at));
                let mut problem = description.problem(place, fragment.key, found, right);
                problem.element = element;
                problems.push(problem);
            };
            let Some(group) = Self::group(factory) else {
                let (found, right) = refusal(factory);
                report(None, element.at, found, right);
                continue;
            };
            for property in &element.properties {
                if let Some((at, found, right)) = wrong_property(group, factory, property) {
                    report(Some(fragment.element_name(index)), at, found, right);
                }
            }
        }
        problems
    }
}

/// What to say of an element that is not on the list.
fn refusal(factory: &str) -> (String, String) {
    let add = format!(
        "the operator allows it with [descriptions] elements = [{factory:?}] in attache.toml"
    );
    if let Some((_, why, instead)) = INSTEAD.iter().find(|(names, ..)| is_one(factory, names)) {
        let found = format!("the element {factory} is not allowed: {why}");
        return (found, format!("{instead}; {add}"));
    }
    let names = GROUPS.iter().flat_map(|group| group.elements).copied();
    match nearest(factory, names.filter(|name| !name.ends_with('*'))) {
        Some(near) => (
            format!("the element {factory} is not among those that descriptions may use"),
            format!("did you mean {near}? Else {add}"),
        ),
        None => (
            format!("the element {factory} is not among those that descriptions may use"),
            format!("docs/pipelines.md has the list; {add}"),
        ),
    }
}

fn wrong_property(
    group: &Group,
    factory: &str,
    written: &Property,
) -> Option<(usize, String, String)> {
    let name = written.name.rsplit("::").next().unwrap_or_default();
    let refused = |right: String| {
        let found = format!("the property {name} of {factory} is not allowed");
        Some((written.at, found, right))
    };
    match group.properties {
        Only(names) if !names.contains(&name) => {
            return refused(format!("allowed here: {}", names.join(", ")));
        }
        AllBut(names) if names.contains(&name) => {
            return refused("leave it out: it could reach files".to_owned());
        }
        All | AllBut(_) if FILES.contains(&name) => {
            return refused(
                "leave it out: it could reach files, programs or the network".to_owned(),
            );
        }
        All | AllBut(_) | Only(_) => {}
    }
    let is_alsa = matches!(factory, "alsasrc" | "alsasink");
    if !is_alsa || name != "device" {
        return None;
    }
    // ALSA's names are a language of their own, in which "file:" and "tee:" write files.
    let is_plain = match written.value.0.as_slice() {
        [Piece::Text(text)] => is_sound_card(text),
        _ => false,
    };
    let right = "default, or hw:, plughw:, dsnoop:, dmix: or sysdefault: with a card; or a parameter of type device";
    (!is_plain).then(|| {
        let found = format!("the device of {factory}");
        (written.value_at, found, right.to_owned())
    })
}

fn is_sound_card(text: &str) -> bool {
    let (kind, card) = text.split_once(':').unwrap_or((text, "0"));
    let is_kind = matches!(
        kind,
        "default"
            | "sysdefault"
            | "hw"
            | "plughw"
            | "dsnoop"
            | "dmix"
            | "front"
            | "pulse"
            | "pipewire"
    );
    let is_card = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'=' | b',' | b'_' | b'-');
    is_kind && card.bytes().all(is_card)
}

/// The list for people: purpose, elements, and what may be set.
pub fn list() -> impl Iterator<Item = (&'static str, &'static [&'static str], String)> {
    GROUPS.iter().map(|group| {
        let properties = match group.properties {
            All | AllBut([]) => "all properties".to_owned(),
            AllBut(names) => format!("all properties but {}", names.join(", ")),
            Only(names) => names.join(", "),
        };
        (group.purpose, group.elements, properties)
    })
}
