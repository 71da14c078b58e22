//! The format's tables: which keys a description may have. The reader checks against them; the JSON Schema is made of them.

use serde_json::{Map, Value as Json, json};

use super::limits::{DURATION, EMPTY_ROOM, SILENCE, SIZE};
use super::recording::{HLS_KEEP, HLS_SEGMENT, Sound, THUMBNAILS};
use super::settings::{
    AUDIO_KBPS, CHANNELS, FRAMERATE, HEIGHT, LATENCY, Limits, VIDEO_KBPS, WIDTH,
};
use super::tiers::{PAUSE_KBPS, TIER_FRAMERATE, TIER_HEIGHT, TIER_KBPS};
use crate::media::layout::Layout;
use crate::recording::{Containers, Media};

/// A key of a table.
pub(super) struct Key {
    pub name: &'static str,
    pub is_required: bool,
    pub holds: Holds,
    /// What it means, for editors.
    pub about: &'static str,
}

/// What a key holds.
pub(super) enum Holds {
    Text,
    OneOf(&'static [&'static str]),
    Texts,
    Fragment,
    /// One of these, or the name of a parameter in braces.
    Choice(&'static [&'static str]),
    /// True, false, or the name of a parameter in braces.
    Switch,
    /// A number or the name of a parameter in braces.
    Setting(&'static Limits),
    /// The same, whose default follows from other keys.
    Derived(&'static Limits),
    Codecs,
    Integer,
    Number,
    Boolean,
    Table(&'static [Key]),
    /// A list of tables.
    List(&'static [Key]),
    Parameters,
}

const fn key(name: &'static str, holds: Holds, about: &'static str) -> Key {
    Key {
        name,
        is_required: false,
        holds,
        about,
    }
}

const fn required(name: &'static str, holds: Holds, about: &'static str) -> Key {
    Key {
        name,
        is_required: true,
        holds,
        about,
    }
}

pub(super) const ROLES: [&str; 4] = ["kiosk", "recorder", "filter", "relay"];
pub(super) const MOTIONS: [&str; 2] = ["high", "low"];
pub(super) const DEVICE_KINDS: [&str; 4] = ["camera", "microphone", "speaker", "display"];
pub(super) const CODECS: [&str; 5] = ["vp8", "h264", "vp9", "av1", "h265"];

pub(super) const ROOT: &[Key] = &[
    required(
        "role",
        Holds::OneOf(&ROLES),
        "The role that this description is for",
    ),
    required("summary", Holds::Text, "What it does, in one line"),
    key(
        "fallback",
        Holds::Text,
        "The description whose capture serves where a device is missing",
    ),
    key("parameters", Holds::Parameters, "What a job may choose"),
    key(
        "settings",
        Holds::Table(SETTINGS),
        "Sizes, rates and delays",
    ),
    key(
        "capture",
        Holds::Table(FRAGMENTS),
        "Kiosk: what is sent; each fragment ends with one free source pad",
    ),
    key(
        "playback",
        Holds::Table(FRAGMENTS),
        "Kiosk: where others are shown and heard; each fragment begins with one free sink pad",
    ),
    key(
        "attract",
        Holds::Table(FRAGMENTS),
        "Kiosk: what is shown and heard here while nobody else is in the room; each fragment ends with one free source pad",
    ),
    key(
        "chain",
        Holds::Table(FRAGMENTS),
        "Filter: what a remote track goes through; one free sink pad and one free source pad",
    ),
    key(
        "record",
        Holds::Table(FRAGMENTS),
        "Recorder: everybody is mixed, and the mix goes through this; one free sink pad and one free source pad",
    ),
    key(
        "recording",
        Holds::Table(RECORDING),
        "Recorder: how it records",
    ),
];

pub(super) const RECORDING: &[Key] = &[
    key(
        "audio",
        Holds::Choice(&Sound::NAMES),
        "What the sound of a mix is encoded to",
    ),
    key(
        "stream",
        Holds::Text,
        "Where a mix goes out live: rtmp://HOST/APPLICATION/KEY, rtmps://... or srt://HOST:PORT?streamid=ID; empty: nowhere",
    ),
    key(
        "layout",
        Holds::Choice(&Layout::NAMES),
        "How the pictures of a mix are arranged",
    ),
    key(
        "names",
        Holds::Switch,
        "Participants' display names are written down, and on the pictures of a mix",
    ),
    key(
        "container",
        Holds::Choice(&Containers::NAMES),
        "What files are: auto is MP4 for H.264, H.265, VP9 and AV1, and WebM for VP8",
    ),
    key(
        "media",
        Holds::Choice(&Media::NAMES),
        "What is written: all, or audio alone, into Ogg",
    ),
    key(
        "hls",
        Holds::Switch,
        "HLS is made beside the files: H.264, H.265, VP9, AV1 and Opus, no VP8",
    ),
    key(
        "hls_segment_s",
        Holds::Setting(&HLS_SEGMENT),
        "How long a segment of HLS is, about; so often a key frame is asked for, in s",
    ),
    key(
        "hls_keep",
        Holds::Setting(&HLS_KEEP),
        "Segments that a playlist of HLS names, older ones are removed; 0: all",
    ),
    key(
        "thumbnails_s",
        Holds::Setting(&THUMBNAILS),
        "How often a small JPEG of everybody, or of the mix, is made, in s; 0: never",
    ),
    key(
        "limits",
        Holds::Table(LIMITS),
        "When it ends by itself; 0: no such limit",
    ),
];

pub(super) const LIMITS: &[Key] = &[
    key(
        "duration_s",
        Holds::Setting(&DURATION),
        "How long it records, pauses left out, in s",
    ),
    key(
        "size_mb",
        Holds::Setting(&SIZE),
        "How large its files become together, in MB",
    ),
    key(
        "silence_s",
        Holds::Setting(&SILENCE),
        "How long nobody may be heard, in s",
    ),
    key(
        "empty_room_s",
        Holds::Setting(&EMPTY_ROOM),
        "How long nobody else may be in the room, in s",
    ),
];

pub(super) const FRAGMENTS: &[Key] = &[
    key(
        "video",
        Holds::Fragment,
        "Picture: elements in the grammar of gst-launch-1.0",
    ),
    key(
        "audio",
        Holds::Fragment,
        "Sound: elements in the grammar of gst-launch-1.0",
    ),
];

pub(super) const SETTINGS: &[Key] = &[
    key(
        "latency_ms",
        Holds::Setting(&LATENCY),
        "Jitter buffer of each peer, in ms",
    ),
    key(
        "video",
        Holds::Table(VIDEO),
        "The picture that is sent, and the grid that is shown",
    ),
    key("audio", Holds::Table(AUDIO), "The sound that is sent"),
];

pub(super) const VIDEO: &[Key] = &[
    key("width", Holds::Setting(&WIDTH), "Pixels across; even"),
    key("height", Holds::Setting(&HEIGHT), "Pixels down; even"),
    key(
        "framerate",
        Holds::Setting(&FRAMERATE),
        "Pictures per second, at most",
    ),
    key(
        "bitrate_kbps",
        Holds::Setting(&VIDEO_KBPS),
        "What the video encoder aims at, in kb/s",
    ),
    key(
        "codecs",
        Holds::Codecs,
        "The codecs offered and taken, the preferred one first",
    ),
    key(
        "motion",
        Holds::OneOf(&MOTIONS),
        "Where links carry less, low: fewer pictures before smaller ones; high, the default: smaller ones",
    ),
    key(
        "tiers",
        Holds::List(TIER),
        "Cheaper encodings of the picture for slower links, the best first; default: a half and a quarter of its size",
    ),
    key(
        "pause_below_kbps",
        Holds::Derived(&PAUSE_KBPS),
        "Where less is left for the picture, none is sent; default: a third of the lowest tier's rate, in kb/s",
    ),
];

pub(super) const TIER: &[Key] = &[
    required(
        "height",
        Holds::Derived(&TIER_HEIGHT),
        "Pixels down; even. The width follows from the picture's shape",
    ),
    key(
        "framerate",
        Holds::Derived(&TIER_FRAMERATE),
        "Pictures per second, at most; default: as the tier above",
    ),
    required(
        "bitrate_kbps",
        Holds::Derived(&TIER_KBPS),
        "What its encoder aims at, at most, in kb/s; where less than that of the next tier is left, that one serves",
    ),
];

pub(super) const AUDIO: &[Key] = &[
    key(
        "bitrate_kbps",
        Holds::Setting(&AUDIO_KBPS),
        "What the audio encoder aims at, in kb/s",
    ),
    key("channels", Holds::Setting(&CHANNELS), "1 or 2"),
];

/// The keys of `[parameters.NAME]` for each type.
pub(super) const PARAMETERS: [(&str, &[Key]); 5] = [
    ("string", STRING),
    ("integer", INTEGER),
    ("float", FLOAT),
    ("boolean", BOOLEAN),
    ("device", DEVICE),
];

const TYPE: Key = required(
    "type",
    Holds::OneOf(&["string", "integer", "float", "boolean", "device"]),
    "What values it takes",
);
const DESCRIPTION: Key = required("description", Holds::Text, "What it does, for people");
const UNIT: Key = key("unit", Holds::Text, "In what the number is counted");

const STRING: &[Key] = &[
    TYPE,
    DESCRIPTION,
    required("default", Holds::Text, "Its value when a job gives none"),
    key("values", Holds::Texts, "The only values allowed"),
    key(
        "pattern",
        Holds::Text,
        "A regular expression that the whole value fits",
    ),
    key(
        "max_length",
        Holds::Integer,
        "The longest text allowed, in characters",
    ),
    UNIT,
];
const INTEGER: &[Key] = &[
    TYPE,
    DESCRIPTION,
    required("default", Holds::Integer, "Its value when a job gives none"),
    key("min", Holds::Integer, "The smallest value"),
    key("max", Holds::Integer, "The largest value"),
    UNIT,
];
const FLOAT: &[Key] = &[
    TYPE,
    DESCRIPTION,
    required("default", Holds::Number, "Its value when a job gives none"),
    key("min", Holds::Number, "The smallest value"),
    key("max", Holds::Number, "The largest value"),
    UNIT,
];
const BOOLEAN: &[Key] = &[
    TYPE,
    DESCRIPTION,
    required("default", Holds::Boolean, "Its value when a job gives none"),
    UNIT,
];
const DEVICE: &[Key] = &[
    TYPE,
    DESCRIPTION,
    required("kind", Holds::OneOf(&DEVICE_KINDS), "Of which kind"),
    required(
        "default",
        Holds::Text,
        "auto: the first that is found; none; or a name or path",
    ),
    UNIT,
];

/// The JSON Schema (2020-12) of descriptions, for editors.
pub fn json_schema() -> Json {
    let mut schema = table(ROOT);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("A description of attache: docs/pipelines.md");
    let of_role = |role: &str, forbidden: &[&str]| {
        let forbidden: Vec<Json> = forbidden
            .iter()
            .map(|name| json!({"required": [name]}))
            .collect();
        json!({
            "if": {"properties": {"role": {"const": role}}, "required": ["role"]},
            "then": {"not": {"anyOf": forbidden}},
        })
    };
    schema["allOf"] = json!([
        of_role("kiosk", &["chain", "record", "recording"]),
        of_role("recorder", &["capture", "playback", "attract", "chain"]),
        of_role("filter", &["capture", "playback", "attract", "record", "recording"]),
        {
            "if": {"properties": {"role": {"const": "filter"}}, "required": ["role"]},
            "then": {"required": ["chain"], "properties": {"chain": {"minProperties": 1}}},
        },
    ]);
    schema
}

fn table(keys: &[Key]) -> Json {
    let mut properties = Map::new();
    for key in keys {
        let mut about = holds(&key.holds);
        about["description"] = json!(key.about);
        properties.insert(key.name.to_owned(), about);
    }
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.is_required)
        .map(|key| key.name)
        .collect();
    let mut table =
        json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn holds(holds: &Holds) -> Json {
    match holds {
        Holds::Text => json!({"type": "string"}),
        Holds::Fragment => json!({"type": "string", "minLength": 1}),
        Holds::OneOf(names) => json!({"enum": names}),
        Holds::Texts => json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
        Holds::Integer => json!({"type": "integer"}),
        Holds::Number => json!({"type": "number"}),
        Holds::Boolean => json!({"type": "boolean"}),
        Holds::Codecs => {
            json!({"type": "array", "items": {"enum": CODECS}, "minItems": 1, "uniqueItems": true})
        }
        Holds::Choice(names) => json!({"anyOf": [{"enum": names}, placeholder()]}),
        Holds::Switch => json!({"anyOf": [{"type": "boolean"}, placeholder()]}),
        Holds::Setting(limits) => {
            json!({"default": limits.default, "anyOf": [number(limits), placeholder()]})
        }
        Holds::Derived(limits) => json!({"anyOf": [number(limits), placeholder()]}),
        Holds::Table(keys) => table(keys),
        Holds::List(keys) => json!({"type": "array", "items": table(keys)}),
        Holds::Parameters => parameters(),
    }
}

fn number(limits: &Limits) -> Json {
    let mut number = json!({"type": "integer", "minimum": limits.min, "maximum": limits.max});
    if limits.even {
        number["multipleOf"] = json!(2);
    }
    number
}

/// The name of a parameter in braces.
fn placeholder() -> Json {
    json!({"type": "string", "pattern": r"^\{[a-z][a-z0-9_]*\}$"})
}

fn parameters() -> Json {
    let types: Vec<Json> = PARAMETERS
        .iter()
        .map(|(name, keys)| {
            let mut of_type = table(keys);
            of_type["properties"]["type"] = json!({"const": name});
            if *name == "string" {
                of_type["oneOf"] = json!([{"required": ["values"]}, {"required": ["pattern"]}]);
            }
            of_type
        })
        .collect();
    json!({
        "type": "object",
        "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$", "not": {"const": "room"}},
        "additionalProperties": {"oneOf": types},
    })
}
