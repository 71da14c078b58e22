//! Settings of a description: picture size, rates and delays, as numbers with units.

use std::time::Duration;

use super::description::DescriptionError;
use super::parameters::{Values, shown};
use super::reader::Table;
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
    /// The codecs offered, the preferred one first.
    pub codecs: Vec<Codec>,
}

/// The sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSettings {
    /// What the encoder aims at.
    pub bitrate: Bitrate,
    /// 1 or 2.
    pub channels: u32,
}

/// A number in the file: itself, or the name of the parameter that gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    key: &'static str,
    line: usize,
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
}

struct Limits {
    key: &'static str,
    name: &'static str,
    default: u32,
    min: u32,
    max: u32,
    even: bool,
}

const LATENCY: Limits = Limits {
    key: "settings.latency_ms",
    name: "latency_ms",
    default: 60,
    min: 0,
    max: 5000,
    even: false,
};
const WIDTH: Limits = Limits {
    key: "settings.video.width",
    name: "width",
    default: 1280,
    min: 64,
    max: 7680,
    even: true,
};
const HEIGHT: Limits = Limits {
    key: "settings.video.height",
    name: "height",
    default: 720,
    min: 64,
    max: 4320,
    even: true,
};
const FRAMERATE: Limits = Limits {
    key: "settings.video.framerate",
    name: "framerate",
    default: 30,
    min: 1,
    max: 120,
    even: false,
};
const VIDEO_KBPS: Limits = Limits {
    key: "settings.video.bitrate_kbps",
    name: "bitrate_kbps",
    default: 1500,
    min: 50,
    max: 50_000,
    even: false,
};
const AUDIO_KBPS: Limits = Limits {
    key: "settings.audio.bitrate_kbps",
    name: "bitrate_kbps",
    default: 48,
    min: 6,
    max: 510,
    even: false,
};
const CHANNELS: Limits = Limits {
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
            line: 0,
            min: limits.min,
            max: limits.max,
            even: limits.even,
            value: Source::Fixed(limits.default),
        }
    }

    fn read(table: Option<&mut Table<'_>>, limits: &Limits) -> Result<Self, DescriptionError> {
        let mut number = Self::absent(limits);
        let Some(table) = table else {
            return Ok(number);
        };
        let Some((value, line)) = table.value(limits.name)? else {
            return Ok(number);
        };
        number.line = line;
        let parameter = match &value {
            Value::String(text) => text
                .strip_prefix('{')
                .and_then(|text| text.strip_suffix('}')),
            Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => None,
        };
        number.value = match parameter {
            Some(name) => Source::Parameter(name.to_owned()),
            None => Source::Fixed(
                number
                    .check(&value)
                    .map_err(|(found, right)| table.error(line, limits.name, found, right))?,
            ),
        };
        Ok(number)
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

    fn resolve(&self, values: &Values, wrong: &Wrong<'_>) -> Result<u32, DescriptionError> {
        let name = match &self.value {
            Source::Fixed(number) => return Ok(*number),
            Source::Parameter(name) => name,
        };
        let Some(value) = values.get(name) else {
            let right = "name a parameter that the description declares";
            return Err(wrong(
                self.line,
                self.key,
                format!("{{{name}}} is no parameter"),
                right.to_owned(),
            ));
        };
        self.check(value).map_err(|(found, right)| {
            wrong(
                self.line,
                self.key,
                format!("parameter {name}: {found}"),
                right,
            )
        })
    }
}

/// Makes an error at line and key, of what was found and what would be right.
pub(super) type Wrong<'a> = dyn Fn(usize, &str, String, String) -> DescriptionError + 'a;

impl Declared {
    /// Reads `[settings]`; what is not said has the project's defaults.
    pub fn read(mut settings: Option<Table<'_>>) -> Result<Self, DescriptionError> {
        let latency_ms = Number::read(settings.as_mut(), &LATENCY)?;
        let mut video = settings
            .as_mut()
            .map(|table| table.table("video"))
            .transpose()?
            .flatten();
        let mut audio = settings
            .as_mut()
            .map(|table| table.table("audio"))
            .transpose()?
            .flatten();
        let declared = Self {
            latency_ms,
            width: Number::read(video.as_mut(), &WIDTH)?,
            height: Number::read(video.as_mut(), &HEIGHT)?,
            framerate: Number::read(video.as_mut(), &FRAMERATE)?,
            video_kbps: Number::read(video.as_mut(), &VIDEO_KBPS)?,
            codecs: read_codecs(video.as_mut())?,
            audio_kbps: Number::read(audio.as_mut(), &AUDIO_KBPS)?,
            channels: Number::read(audio.as_mut(), &CHANNELS)?,
        };
        [video, audio, settings]
            .into_iter()
            .flatten()
            .try_for_each(Table::finish)?;
        Ok(declared)
    }

    /// The settings with parameters' values in them.
    pub fn resolve(
        &self,
        values: &Values,
        wrong: &Wrong<'_>,
    ) -> Result<Settings, DescriptionError> {
        let get = |number: &Number| number.resolve(values, wrong);
        Ok(Settings {
            latency: Duration::from_millis(u64::from(get(&self.latency_ms)?)),
            video: VideoSettings {
                width: get(&self.width)?,
                height: get(&self.height)?,
                framerate: get(&self.framerate)?,
                bitrate: Bitrate::from_kilobits(get(&self.video_kbps)?),
                codecs: self.codecs.clone(),
            },
            audio: AudioSettings {
                bitrate: Bitrate::from_kilobits(get(&self.audio_kbps)?),
                channels: get(&self.channels)?,
            },
        })
    }
}

fn read_codecs(table: Option<&mut Table<'_>>) -> Result<Vec<Codec>, DescriptionError> {
    let both = vec![Codec::Vp8, Codec::H264];
    let Some(table) = table else {
        return Ok(both);
    };
    let Some((names, line)) = table.strings("codecs")? else {
        return Ok(both);
    };
    let wrong = || {
        let right = "a list of one or both of \"vp8\" and \"h264\", the preferred one first";
        table.error(line, "codecs", format!("found {names:?}"), right)
    };
    let mut codecs = Vec::new();
    for name in &names {
        let codec = match name.as_str() {
            "vp8" => Codec::Vp8,
            "h264" => Codec::H264,
            _ => return Err(wrong()),
        };
        if codecs.contains(&codec) {
            return Err(wrong());
        }
        codecs.push(codec);
    }
    if codecs.is_empty() {
        Err(wrong())
    } else {
        Ok(codecs)
    }
}
