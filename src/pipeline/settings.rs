//! Settings of a description: picture size, rates and delays, as numbers with units.

use std::time::Duration;

use super::parameters::{Values, shown};
use super::problem::{Place, did_you_mean};
use super::reader::Table;
use super::schema::{AUDIO, CODECS, VIDEO};
use super::tiers::{self, Tier};
use crate::job::Value;
use crate::media::Codec;

/// A rate of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bitrate {
    /// Bits per second.
    pub bits_per_second: u32,
}

impl Bitrate {
    /// From thousands of bits per second.
    pub fn from_kilobits(kilobits: u32) -> Self {
        Self {
            bits_per_second: kilobits.saturating_mul(1000),
        }
    }

    /// In thousands of bits per second, rounded down.
    pub fn kilobits(self) -> u32 {
        self.bits_per_second / 1000
    }
}

/// What a description settles in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The jitter buffer of each peer (webrtcbin's `latency`).
    pub latency: Duration,
    /// The picture that is sent, and the grid that is shown.
    pub video: VideoSettings,
    /// The sound that is sent.
    pub audio: AudioSettings,
}

/// The picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSettings {
    /// Pixels across; even.
    pub width: u32,
    /// Pixels down; even.
    pub height: u32,
    /// Pictures per second, at most.
    pub framerate: u32,
    /// What an encoder aims at.
    pub bitrate: Bitrate,
    /// The codecs offered and taken, the preferred one first.
    pub codecs: Vec<Codec>,
    /// Cheaper encodings of it for slower links, the best first.
    pub lower: Vec<Tier>,
    /// Where less than this is left for the picture, none is sent.
    pub pause_below: Bitrate,
}

/// The sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSettings {
    /// What the encoder aims at.
    pub bitrate: Bitrate,
    /// 1 or 2.
    pub channels: u32,
    /// The length of a packet (RFC 6716 2.1.4): 20 ms, and 10 ms of a filter.
    pub packet: Duration,
    /// The loss that redundancy is written for, in percent (RFC 6716 2.1.7); it follows the listeners' links.
    pub expected_loss: u32,
    /// Silence is not sent (RFC 6716 2.1.9): where links are scarce.
    pub is_silence_left_out: bool,
}

/// The usual length of a packet of sound.
pub const PACKET: Duration = Duration::from_millis(20);

/// What is expected to be lost before anything is known, in percent: libopus writes redundancy only when it is told to
/// expect loss.
pub const EXPECTED_LOSS: u32 = 10;

/// A number in the file: itself, or the name of the parameter that gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    key: &'static str,
    place: Option<Place>,
    min: u32,
    max: u32,
    even: bool,
    value: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Fixed(u32),
    Parameter(String),
}

/// `[settings]` as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    latency_ms: Number,
    width: Number,
    height: Number,
    framerate: Number,
    video_kbps: Number,
    audio_kbps: Number,
    channels: Number,
    codecs: Vec<Codec>,
    tiers: tiers::Declared,
}

/// What a number may be.
#[derive(Debug)]
pub(super) struct Limits {
    pub key: &'static str,
    pub name: &'static str,
    pub default: u32,
    pub min: u32,
    pub max: u32,
    pub even: bool,
}

pub(super) static LATENCY: Limits = Limits {
    key: "settings.latency_ms",
    name: "latency_ms",
    default: 60,
    min: 0,
    max: 5000,
    even: false,
};
pub(super) static WIDTH: Limits = Limits {
    key: "settings.video.width",
    name: "width",
    default: 1280,
    min: 64,
    max: 7680,
    even: true,
};
pub(super) static HEIGHT: Limits = Limits {
    key: "settings.video.height",
    name: "height",
    default: 720,
    min: 64,
    max: 4320,
    even: true,
};
pub(super) static FRAMERATE: Limits = Limits {
    key: "settings.video.framerate",
    name: "framerate",
    default: 30,
    min: 1,
    max: 120,
    even: false,
};
pub(super) static VIDEO_KBPS: Limits = Limits {
    key: "settings.video.bitrate_kbps",
    name: "bitrate_kbps",
    default: 1500,
    min: 50,
    max: 50_000,
    even: false,
};
pub(super) static AUDIO_KBPS: Limits = Limits {
    key: "settings.audio.bitrate_kbps",
    name: "bitrate_kbps",
    default: 48,
    min: 6,
    max: 510,
    even: false,
};
pub(super) static CHANNELS: Limits = Limits {
    key: "settings.audio.channels",
    name: "channels",
    default: 1,
    min: 1,
    max: 2,
    even: false,
};

impl Number {
    fn absent(limits: &Limits) -> Self {
        Self {
            key: limits.key,
            place: None,
            min: limits.min,
            max: limits.max,
            even: limits.even,
            value: Source::Fixed(limits.default),
        }
    }

    /// Reads the number; a wrong one is reported and reads as the default.
    pub fn read(table: Option<&Table<'_>>, limits: &Limits) -> Self {
        let mut number = Self::absent(limits);
        let Some(table) = table else {
            return number;
        };
        let Some((value, place)) = table.value(limits.name) else {
            return number;
        };
        number.place = Some(place);
        let parameter = match &value {
            Value::String(text) => text
                .strip_prefix('{')
                .and_then(|text| text.strip_suffix('}')),
            Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => None,
        };
        if let Some(name) = parameter {
            number.value = Source::Parameter(name.to_owned());
            return number;
        }
        match number.check(&value) {
            Ok(fixed) => number.value = Source::Fixed(fixed),
            Err((found, right)) => table.report(place, limits.name, found, right),
        }
        number
    }

    /// Reads the number where the file has it.
    pub fn read_if_there(table: Option<&Table<'_>>, limits: &Limits) -> Option<Self> {
        let there = table.filter(|table| table.value(limits.name).is_some());
        there.map(|table| Self::read(Some(table), limits))
    }

    /// Where the file has it.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    fn check(&self, value: &Value) -> Result<u32, (String, String)> {
        let number = match value {
            Value::Integer(number) => u32::try_from(*number).ok(),
            Value::Boolean(_) | Value::Float(_) | Value::String(_) => None,
        };
        number
            .filter(|number| (self.min..=self.max).contains(number))
            .filter(|number| !self.even || number.is_multiple_of(2))
            .ok_or_else(|| {
                let even = if self.even { "even " } else { "" };
                (
                    format!("found {}", shown(value)),
                    format!(
                        "an {even}whole number from {} to {}, or \"{{parameter}}\"",
                        self.min, self.max
                    )
                    .replace("an whole", "a whole"),
                )
            })
    }

    /// The number, with the parameter's value where one gives it; what is wrong is told to `wrong`.
    pub fn resolve(&self, values: &Values, wrong: &mut Wrong<'_>) -> u32 {
        let name = match &self.value {
            Source::Fixed(number) => return *number,
            Source::Parameter(name) => name,
        };
        let Some(value) = values.get(name) else {
            let mut right = "name a parameter that the description declares".to_owned();
            if let Some(meant) = did_you_mean(name, values.names()) {
                right = format!("{meant} {right}");
            }
            wrong(
                self.place,
                self.key,
                format!("{{{name}}} is no parameter"),
                right,
            );
            return self.min;
        };
        self.check(value).unwrap_or_else(|(found, right)| {
            let found = format!("parameter {name}: {found}");
            wrong(self.place, self.key, found, right);
            self.min
        })
    }
}

/// Takes a problem: place and key, what was found and what would be right.
pub(super) type Wrong<'a> = dyn FnMut(Option<Place>, &str, String, String) + 'a;

impl Declared {
    /// Reads `[settings]`; what is not said, or wrong, has the project's defaults.
    pub fn read(settings: Option<&Table<'_>>) -> Self {
        let below = |key, keys| settings.and_then(|table| table.table(key, keys));
        let (video, audio) = (below("video", VIDEO), below("audio", AUDIO));
        let (video, audio) = (video.as_ref(), audio.as_ref());
        Self {
            latency_ms: Number::read(settings, &LATENCY),
            width: Number::read(video, &WIDTH),
            height: Number::read(video, &HEIGHT),
            framerate: Number::read(video, &FRAMERATE),
            video_kbps: Number::read(video, &VIDEO_KBPS),
            codecs: read_codecs(video),
            tiers: tiers::Declared::read(video),
            audio_kbps: Number::read(audio, &AUDIO_KBPS),
            channels: Number::read(audio, &CHANNELS),
        }
    }

    /// The settings with parameters' values in them; what is wrong is told to `wrong`.
    pub fn resolve(&self, values: &Values, wrong: &mut Wrong<'_>) -> Settings {
        let mut get = |number: &Number| number.resolve(values, wrong);
        let own = Tier {
            width: get(&self.width),
            height: get(&self.height),
            framerate: get(&self.framerate),
            bitrate: Bitrate::from_kilobits(get(&self.video_kbps)),
        };
        let (lower, pause_below) = self.tiers.resolve(own, values, wrong);
        let mut get = |number: &Number| number.resolve(values, wrong);
        Settings {
            latency: Duration::from_millis(u64::from(get(&self.latency_ms))),
            video: VideoSettings {
                width: own.width,
                height: own.height,
                framerate: own.framerate,
                bitrate: own.bitrate,
                codecs: self.codecs.clone(),
                lower,
                pause_below,
            },
            audio: AudioSettings {
                bitrate: Bitrate::from_kilobits(get(&self.audio_kbps)),
                channels: get(&self.channels),
                packet: PACKET,
                expected_loss: EXPECTED_LOSS,
                is_silence_left_out: false,
            },
        }
    }
}

fn read_codecs(table: Option<&Table<'_>>) -> Vec<Codec> {
    let usual = vec![Codec::Vp8, Codec::H264];
    let Some((table, (names, place))) =
        table.and_then(|table| Some((table, table.strings("codecs")?)))
    else {
        return usual;
    };
    let known = |name: &String| Codec::from_name(name).filter(|_| CODECS.contains(&name.as_str()));
    let codecs: Option<Vec<Codec>> = names.iter().map(known).collect();
    let is_once = |codecs: &Vec<Codec>| {
        let mut rest = codecs.iter().enumerate();
        rest.all(|(index, codec)| !codecs[..index].contains(codec))
    };
    if let Some(codecs) = codecs.filter(|codecs| !codecs.is_empty() && is_once(codecs)) {
        return codecs;
    }
    let right = format!("a list of one or more of {CODECS:?}, the preferred one first");
    table.report(place, "codecs", format!("found {names:?}"), right);
    usual
}
