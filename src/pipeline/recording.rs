//! `[recording]` of a description: how a recorder records, as typed values.

use std::time::Duration;

use super::parameters::{Values, shown};
use super::problem::{Place, did_you_mean};
use super::reader::Table;
use super::settings::{Limits as Range, Number, Wrong};
use crate::job::Value;
use crate::media::Codec;
use crate::media::layout::Layout;
use crate::recording::{Beside, Containers, Format, Media, hls};
use crate::streaming::Target;

/// How a recorder records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingSettings {
    /// How the pictures of a mix are arranged.
    pub layout: Layout,
    /// Participants' display names are written: in the manifest, and on the pictures of a mix.
    pub names: bool,
    /// What the files are.
    pub format: Format,
    /// What the sound of a mix is encoded to.
    pub audio: Sound,
    /// What is made beside them.
    pub beside: Beside,
    /// Where a mix goes out live.
    pub stream: Option<Target>,
}

/// The codecs that a mix's sound may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sound {
    /// Opus.
    #[default]
    Opus,
    /// AAC-LC, for players that know nothing else in MP4.
    Aac,
}

impl Sound {
    /// The words for them in descriptions.
    pub const NAMES: [&'static str; 2] = ["opus", "aac"];

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "opus" => Some(Self::Opus),
            "aac" => Some(Self::Aac),
            _ => None,
        }
    }

    /// As a codec.
    pub fn codec(self) -> Codec {
        match self {
            Self::Opus => Codec::Opus,
            Self::Aac => Codec::Aac,
        }
    }
}

/// How long a segment of HLS is, in seconds.
pub(super) static HLS_SEGMENT: Range = Range {
    key: "recording.hls_segment_s",
    name: "hls_segment_s",
    default: 4,
    min: 1,
    max: 60,
    even: false,
};
/// How often a thumbnail is made, in seconds; 0: never.
pub(super) static THUMBNAILS: Range = Range {
    key: "recording.thumbnails_s",
    name: "thumbnails_s",
    default: 0,
    min: 0,
    max: 24 * 3600,
    even: false,
};
/// How many segments a playlist names; 0: all.
pub(super) static HLS_KEEP: Range = Range {
    key: "recording.hls_keep",
    name: "hls_keep",
    default: 0,
    min: 0,
    max: 100_000,
    even: false,
};

/// `[recording]` as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    /// Where the table is, if it is there.
    pub place: Option<Place>,
    layout: Field,
    names: Field,
    container: Field,
    media: Field,
    audio: Field,
    hls: Field,
    hls_segment: Number,
    hls_keep: Number,
    stream: Field,
    thumbnails: Number,
}

/// A value in the file: itself, or the name of the parameter that gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Field(Option<(Place, Written)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Written {
    Flag(bool),
    Text(String),
    Parameter(String),
}

impl Declared {
    /// Reads the table; what is not said has the project's defaults. What is wrong shows in [`Declared::resolve`].
    pub fn read(table: Option<&Table<'_>>) -> Self {
        let field = |key| Field(table.and_then(|table| Field::read(table, key)));
        Self {
            place: table.map(|table| table.place),
            layout: field("layout"),
            names: field("names"),
            container: field("container"),
            media: field("media"),
            audio: field("audio"),
            hls: field("hls"),
            hls_segment: Number::read(table, &HLS_SEGMENT),
            hls_keep: Number::read(table, &HLS_KEEP),
            stream: field("stream"),
            thumbnails: Number::read(table, &THUMBNAILS),
        }
    }

    /// The settings with parameters' values in them; what is wrong is told to `wrong`. Only a mix is encoded.
    pub fn resolve(
        &self,
        values: &Values,
        is_mix: bool,
        wrong: &mut Wrong<'_>,
    ) -> RecordingSettings {
        let mut settings = RecordingSettings::default();
        let layout = |value: &Value| text(value).and_then(Layout::from_name);
        let layouts = format!("one of: {}", Layout::NAMES.join(", "));
        if let Some(layout) =
            self.layout
                .resolve("recording.layout", values, layout, &layouts, wrong)
        {
            settings.layout = layout;
        }
        let containers = |value: &Value| text(value).and_then(Containers::from_name);
        let known = format!("one of: {}", Containers::NAMES.join(", "));
        if let Some(containers) =
            self.container
                .resolve("recording.container", values, containers, &known, wrong)
        {
            settings.format.containers = containers;
        }
        let media = |value: &Value| text(value).and_then(Media::from_name);
        let known = format!("one of: {}", Media::NAMES.join(", "));
        if let Some(media) = self
            .media
            .resolve("recording.media", values, media, &known, wrong)
        {
            settings.format.media = media;
        }
        let sound = |value: &Value| text(value).and_then(Sound::from_name);
        let known = format!("one of: {}", Sound::NAMES.join(", "));
        if let Some(sound) = self
            .audio
            .resolve("recording.audio", values, sound, &known, wrong)
        {
            settings.audio = sound;
        }
        settings.stream = self.stream(values, wrong);
        for (key, field) in [("audio", &self.audio), ("stream", &self.stream)] {
            if let (Some((place, _)), false) = (&field.0, is_mix) {
                let found = "found in a recorder that writes what everybody sends as it comes";
                let right = "leave this out, or mix: say under [record] what the mix goes through";
                let key = format!("recording.{key}");
                wrong(Some(*place), &key, found.to_owned(), right.to_owned());
            }
        }
        if let Some(names) =
            self.names
                .resolve("recording.names", values, flag, "true or false", wrong)
        {
            settings.names = names;
        }
        settings.beside = self.beside(values, wrong);
        settings
    }

    fn beside(&self, values: &Values, wrong: &mut Wrong<'_>) -> Beside {
        let (segment, keep) = (
            self.hls_segment.resolve(values, wrong),
            self.hls_keep.resolve(values, wrong),
        );
        let is_made = self
            .hls
            .resolve("recording.hls", values, flag, "true or false", wrong);
        let hls = is_made.unwrap_or_default().then(|| hls::Settings {
            segment: Duration::from_secs(segment.into()),
            keep: usize::try_from(keep).unwrap_or(usize::MAX),
        });
        let seconds = self.thumbnails.resolve(values, wrong);
        let thumbnails = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        Beside { hls, thumbnails }
    }

    /// The stream's target; an empty text is none.
    fn stream(&self, values: &Values, wrong: &mut Wrong<'_>) -> Option<Target> {
        let key = "recording.stream";
        let url = |value: &Value| text(value).map(str::to_owned);
        let url = self.stream.resolve(key, values, url, "a URL", wrong)?;
        if url.is_empty() {
            return None;
        }
        let error = match Target::parse(&url) {
            Ok(target) => return Some(target),
            Err(error) => error.to_string(),
        };
        let place = self.stream.0.as_ref().map(|(place, _)| *place);
        let (found, right) = error.split_once("; ").unwrap_or((&error, "give a URL"));
        wrong(place, key, found.to_owned(), right.to_owned());
        None
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => None,
    }
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(flag) => Some(*flag),
        Value::String(_) | Value::Integer(_) | Value::Float(_) => None,
    }
}

impl Field {
    fn read(table: &Table<'_>, key: &str) -> Option<(Place, Written)> {
        let (value, place) = table.value(key)?;
        let written = match value {
            Value::Boolean(flag) => Written::Flag(flag),
            Value::String(text) => {
                let name = text
                    .strip_prefix('{')
                    .and_then(|text| text.strip_suffix('}'));
                match name {
                    Some(name) => Written::Parameter(name.to_owned()),
                    None => Written::Text(text),
                }
            }
            Value::Integer(_) | Value::Float(_) => {
                let found = format!("found {}", shown(&value));
                table.report(place, key, found, "a text, true or false is wanted here");
                return None;
            }
        };
        Some((place, written))
    }

    /// What `parse` makes of the value; none where the file says nothing, or something wrong.
    fn resolve<T>(
        &self,
        key: &str,
        values: &Values,
        parse: impl FnOnce(&Value) -> Option<T>,
        right: &str,
        wrong: &mut Wrong<'_>,
    ) -> Option<T> {
        let (place, written) = self.0.as_ref()?;
        let (value, whose) = match written {
            Written::Flag(flag) => (Value::Boolean(*flag), String::new()),
            Written::Text(text) => (Value::String(text.clone()), String::new()),
            Written::Parameter(name) => match values.get(name) {
                Some(value) => (value.clone(), format!("parameter {name}: ")),
                None => {
                    let mut right = "name a parameter that the description declares".to_owned();
                    if let Some(meant) = did_you_mean(name, values.names()) {
                        right = format!("{meant} {right}");
                    }
                    wrong(
                        Some(*place),
                        key,
                        format!("{{{name}}} is no parameter"),
                        right,
                    );
                    return None;
                }
            },
        };
        let parsed = parse(&value);
        if parsed.is_none() {
            let found = format!("{whose}found {}", shown(&value));
            wrong(
                Some(*place),
                key,
                found,
                format!("{right}, or \"{{parameter}}\""),
            );
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Description;
    use super::*;
    use crate::job::Parameters;

    fn of(recording: &str, given: &[(&str, Value)]) -> Result<RecordingSettings, String> {
        let text = format!(
            "role = \"recorder\"\nsummary = \"s\"\n\
             [parameters.how]\ntype = \"string\"\nvalues = [\"grid\", \"pip\", \"odd\"]\ndefault = \"grid\"\ndescription = \"d\"\n\
             [recording]\n{recording}"
        );
        let description = Description::parse(Path::new("it.toml"), "it", &text);
        let description = description.map_err(|error| error.to_string())?;
        let given: Parameters = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let values = description.values(&given, &"room".parse().unwrap());
        let values = values.map_err(|error| error.to_string())?;
        description
            .recording(&values)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn layout_and_names_are_settled_by_file_or_parameter() {
        assert_eq!(of("", &[]).unwrap(), RecordingSettings::default());
        let fixed = of("layout = \"speaker\"\nnames = true", &[]).unwrap();
        assert_eq!((fixed.layout, fixed.names), (Layout::Speaker, true));
        let given = of(
            "layout = \"{how}\"",
            &[("how", Value::String("pip".to_owned()))],
        )
        .unwrap();
        assert_eq!(given.layout, Layout::Pip);
    }

    #[test]
    fn container_and_media_are_settled_by_the_file() {
        let fixed = of("container = \"matroska\"\nmedia = \"audio\"", &[]).unwrap();
        let expected = Format {
            containers: Containers::Matroska,
            media: Media::Audio,
        };
        assert_eq!(fixed.format, expected);
    }

    #[test]
    fn hls_is_made_where_the_file_says_so() {
        assert_eq!(
            of("hls_segment_s = 2", &[]).unwrap().beside,
            Beside::default()
        );
        let made = of("hls = true\nhls_segment_s = 2\nhls_keep = 5", &[]);
        let expected = hls::Settings {
            segment: Duration::from_secs(2),
            keep: 5,
        };
        assert_eq!(made.unwrap().beside.hls, Some(expected));
    }

    #[test]
    fn thumbnails_are_made_where_the_file_says_how_often() {
        assert_eq!(
            of("thumbnails_s = 0", &[]).unwrap().beside,
            Beside::default()
        );
        let made = of("thumbnails_s = 10", &[]).unwrap().beside.thumbnails;
        assert_eq!(made, Some(Duration::from_secs(10)));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_would_be_right() {
        for (recording, told) in [
            ("layout = \"mosaic\"", "grid, speaker, pip"),
            ("layout = 3", "a text"),
            ("layout = \"{hows}\"", "did you mean"),
            ("names = \"yes\"", "true or false"),
            ("container = \"avi\"", "auto, mp4, matroska"),
            ("media = true", "all, audio"),
            ("audio = \"aac\"", "[record]"),
            ("nmaes = true", "names"),
            ("hls = 3", "true or false"),
            ("hls_segment_s = 0", "1 to 60"),
        ] {
            let error = of(recording, &[]).unwrap_err();
            assert!(
                error.contains(told) && error.contains("it.toml:9"),
                "{error}"
            );
        }
        let error = of(
            "layout = \"{how}\"",
            &[("how", Value::String("odd".to_owned()))],
        );
        assert!(error.unwrap_err().contains("parameter how"));
    }
}
