//! Parameters: what a description lets a job choose, and the checks of the values that it gives.

use std::collections::BTreeMap;

use super::problem::Place;
use super::reader::Table;
use super::schema::{DEVICE_KINDS, PARAMETERS};
use crate::job::Value;
use crate::media::devices::DeviceKind;
use crate::streaming::target;

/// Found texts in errors are cut to this many characters: they may come from a stranger.
const SHOWN: usize = 60;
/// No text parameter is longer than this, whatever the description says.
const LONGEST_TEXT: usize = 256;

/// What values a parameter takes.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterType {
    /// A text: one of `values`, or one that fits the pattern.
    String {
        /// The only values allowed.
        values: Vec<String>,
        /// What the whole text must fit, where `values` is empty.
        pattern: Pattern,
        /// The longest text allowed, in characters.
        max_length: usize,
    },
    /// A whole number.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A finite number.
    Float {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// `true` or `false`.
    Boolean,
    /// A device of this machine: `auto`, `none`, or a name or path of one that was found.
    Device(DeviceKind),
}

/// A parameter as a description declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// What values it takes.
    pub kind: ParameterType,
    /// Its value when a job gives none.
    pub default: Value,
    /// In what the number is counted.
    pub unit: Option<String>,
    /// What it does, for integrators.
    pub description: String,
}

/// A regular expression that a whole text fits.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: regex::Regex,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let regex = regex::RegexBuilder::new(&format!(r"\A(?:{text})\z"))
            .size_limit(1 << 20)
            .build()
            .map_err(|error| last_line(&error.to_string()))?;
        Ok(Self {
            text: text.to_owned(),
            regex,
        })
    }

    /// As the description has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

impl Parameter {
    /// Reads `[parameters.NAME]`; what is wrong is reported.
    pub(super) fn read(table: Table<'_>) -> Option<Self> {
        let type_name = table.string("type");
        let known = |name: &str| PARAMETERS.iter().find(|(known, _)| *known == name);
        let Some(type_name) = type_name else {
            let keys = table.expect(PARAMETERS[0].1);
            // Reports that the type is missing; nothing else can be said of it.
            drop(keys);
            return None;
        };
        let Some((name, keys)) = known(&type_name.text) else {
            let right = "one of string, integer, float, boolean, device";
            table.report(
                type_name.place,
                "type",
                format!("found {:?}", type_name.text),
                right,
            );
            return None;
        };
        let table = table.expect(keys);
        let kind = match *name {
            "string" => read_string(&table),
            "integer" => range(&table, as_integer, (i64::MIN, i64::MAX), "a whole number")
                .map(|(min, max)| ParameterType::Integer { min, max }),
            "float" => range(&table, as_float, (f64::MIN, f64::MAX), "a number")
                .map(|(min, max)| ParameterType::Float { min, max }),
            "boolean" => Some(ParameterType::Boolean),
            _ => read_device_kind(&table).map(ParameterType::Device),
        };
        let (description, unit) = (table.string("description"), table.string("unit"));
        let default = table.value("default");
        let (kind, (default, place)) = (kind?, default?);
        let default = match kind.check(&default) {
            Ok(default) => default,
            Err(wrong) => {
                table.report(place, "default", wrong.found, wrong.right);
                return None;
            }
        };
        Some(Self {
            kind,
            default,
            unit: unit.map(|unit| unit.text),
            description: description.map(|text| text.text).unwrap_or_default(),
        })
    }
}

fn read_string(table: &Table<'_>) -> Option<ParameterType> {
    let values = table.strings("values");
    let pattern = table.string("pattern");
    let max_length = match table.value("max_length") {
        None => LONGEST_TEXT,
        Some((value, place)) => {
            let length = as_integer(&value).and_then(|value| usize::try_from(value).ok());
            let Some(length @ 1..=LONGEST_TEXT) = length else {
                let found = format!("found {}", shown(&value));
                table.report(place, "max_length", found, format!("1 to {LONGEST_TEXT}"));
                return None;
            };
            length
        }
    };
    let (values, pattern) = match (values, pattern) {
        (Some((values, _)), None) if !values.is_empty() => (values, "".to_owned()),
        (None, Some(pattern)) => match Pattern::parse(&pattern.text) {
            Ok(_) => (Vec::new(), pattern.text),
            Err(why) => {
                let right = "a regular expression of the Rust crate regex, such as [A-Za-z0-9 ]*";
                table.report(pattern.place, "pattern", why, right);
                return None;
            }
        },
        (Some(_), _) | (None, None) => {
            let right = "a string parameter says either values = [\"a\", \"b\"] or pattern = \"[A-Za-z0-9 ]*\"";
            table.report(
                table.place,
                "values",
                "found neither or both of values and pattern",
                right,
            );
            return None;
        }
    };
    Some(ParameterType::String {
        values,
        pattern: Pattern::parse(&pattern).ok()?,
        max_length,
    })
}

fn read_device_kind(table: &Table<'_>) -> Option<DeviceKind> {
    let kind = table.string("kind")?;
    let known = DeviceKind::from_name(&kind.text);
    if known.is_none() {
        let right = format!("one of {}", DEVICE_KINDS.join(", "));
        table.report(kind.place, "kind", format!("found {:?}", kind.text), right);
    }
    known
}

fn range<T: Copy + PartialOrd>(
    table: &Table<'_>,
    read: fn(&Value) -> Option<T>,
    widest: (T, T),
    wanted: &str,
) -> Option<(T, T)> {
    let bound = |key: &'static str, otherwise: T| match table.value(key) {
        None => Some((otherwise, table.place)),
        Some((value, place)) => {
            let read = read(&value);
            if read.is_none() {
                table.report(place, key, format!("found {}", shown(&value)), wanted);
            }
            read.map(|bound| (bound, place))
        }
    };
    let (min, max) = (bound("min", widest.0), bound("max", widest.1));
    let ((min, place), (max, _)): ((T, Place), (T, Place)) = (min?, max?);
    if min > max {
        table.report(
            place,
            "min",
            "min is above max",
            "min must not be above max",
        );
        return None;
    }
    Some((min, max))
}

fn as_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Boolean(_) | Value::Float(_) | Value::String(_) => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a whole number given for a float parameter"
)]
fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => number.is_finite().then_some(*number),
        Value::Integer(number) => Some(*number as f64),
        Value::Boolean(_) | Value::String(_) => None,
    }
}

/// Why a value does not fit its parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongValue {
    /// What was given.
    pub found: String,
    /// What would be right.
    pub right: String,
}

impl ParameterType {
    /// The value in this parameter's own type, if it is allowed.
    pub fn check(&self, value: &Value) -> Result<Value, WrongValue> {
        let wrong = |right: String| WrongValue {
            found: format!("found {}", shown(value)),
            right,
        };
        match self {
            Self::Boolean => match value {
                Value::Boolean(_) => Ok(value.clone()),
                Value::Integer(_) | Value::Float(_) | Value::String(_) => {
                    Err(wrong("true or false".to_owned()))
                }
            },
            Self::Integer { min, max } => as_integer(value)
                .filter(|number| (min..=max).contains(&number))
                .map(Value::Integer)
                .ok_or_else(|| wrong(format!("a whole number from {min} to {max}"))),
            Self::Float { min, max } => as_float(value)
                .filter(|number| (min..=max).contains(&number))
                .map(Value::Float)
                .ok_or_else(|| wrong(format!("a number from {min} to {max}"))),
            Self::Device(kind) => as_text(value, LONGEST_TEXT)
                .map(|text| Value::String(text.to_owned()))
                .ok_or_else(|| {
                    wrong(format!(
                        "auto, none, or the name of a {kind} that is present"
                    ))
                }),
            Self::String {
                values,
                pattern,
                max_length,
            } => {
                let text = as_text(value, *max_length).filter(|text| {
                    if values.is_empty() {
                        pattern.regex.is_match(text)
                    } else {
                        values.iter().any(|value| value == text)
                    }
                });
                text.map(|text| Value::String(text.to_owned()))
                    .ok_or_else(|| {
                        wrong(if values.is_empty() {
                            format!(
                                "a text of at most {max_length} characters that fits {}",
                                pattern.text
                            )
                        } else {
                            format!("one of {}", values.join(", "))
                        })
                    })
            }
        }
    }
}

fn as_text(value: &Value, max_length: usize) -> Option<&str> {
    match value {
        Value::String(text) => (text.chars().count() <= max_length
            && !text.chars().any(char::is_control))
        .then_some(text.as_str()),
        Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => None,
    }
}

/// A text without the user and password of a URL in it; of a live stream's, without the key, too.
fn without_credentials(text: &str) -> String {
    if let Some(hidden) = target::hidden(text) {
        return hidden;
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let authority = rest.find('/').unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// A value as an error shows it, cut short.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) => {
            let harmless = without_credentials(text);
            format!("{:?}", harmless.chars().take(SHOWN).collect::<String>())
        }
    }
}

/// Checked values by placeholder: parameters and what attache itself knows (`room`, `width`, ...).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values(BTreeMap<String, Value>);

impl Values {
    pub(super) fn insert(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// The value of a placeholder.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The placeholders that have a value.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The value of a placeholder that holds a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Value::String(text)) => Some(text),
            Some(Value::Boolean(_) | Value::Integer(_) | Value::Float(_)) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_tell_a_cameras_password() {
        let shown = |text: &str| shown(&Value::String(text.to_owned()));
        assert_eq!(shown("rtsp://me:secret@door/1"), "\"rtsp://***@door/1\"");
        assert_eq!(shown("rtsp://me:sec@ret@door"), "\"rtsp://***@door\"");
        assert_eq!(shown("rtsp://door/a@b"), "\"rtsp://door/a@b\"");
        assert_eq!(shown("rtmp://live/app/key"), "\"rtmp://live/...\"");
    }
}
