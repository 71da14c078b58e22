//! Parameters: what a description lets a job choose, and the checks that make a value harmless text.

use std::collections::BTreeMap;

use super::description::DescriptionError;
use super::reader::Table;
use crate::job::Value;
use crate::media::devices::DeviceKind;

/// Found texts in errors are cut to this many characters: they may come from a stranger.
const SHOWN: usize = 60;
/// No text parameter is longer than this, whatever the description says.
const LONGEST_TEXT: usize = 256;

/// What values a parameter takes.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterType {
    /// A text: one of `values`, or made of `characters` only.
    String {
        /// The only values allowed.
        values: Vec<String>,
        /// The only characters allowed, where `values` is empty.
        characters: Characters,
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

/// A set of characters, as in a regular expression's brackets: `A-Za-z0-9 .-`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Characters(Vec<(char, char)>);

impl Characters {
    fn parse(text: &str) -> Self {
        let letters: Vec<char> = text.chars().collect();
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < letters.len() {
            let is_range = at + 2 < letters.len() && letters[at + 1] == '-';
            let last = if is_range { at + 2 } else { at };
            ranges.push((letters[at], letters[last]));
            at = last + 1;
        }
        Self(ranges)
    }

    fn contains(&self, letter: char) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&letter))
    }
}

/// Characters that could end a quoted text of gst-launch, or that no property should hold.
fn is_dangerous(letter: char) -> bool {
    letter.is_control() || matches!(letter, '"' | '\'' | '\\' | '`' | '$')
}

impl Parameter {
    /// Reads `[parameters.NAME]`.
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, DescriptionError> {
        let type_name = table.required_string("type")?;
        let kind = match type_name.text.as_str() {
            "string" => read_string(&mut table)?,
            "integer" => {
                let (min, max) = range(
                    &mut table,
                    as_integer,
                    (i64::MIN, i64::MAX),
                    "a whole number",
                )?;
                ParameterType::Integer { min, max }
            }
            "float" => {
                let (min, max) = range(&mut table, as_float, (f64::MIN, f64::MAX), "a number")?;
                ParameterType::Float { min, max }
            }
            "boolean" => ParameterType::Boolean,
            "device" => ParameterType::Device(read_device_kind(&mut table)?),
            other => {
                return Err(table.error(
                    type_name.line,
                    "type",
                    format!("found {other:?}"),
                    "one of string, integer, float, boolean, device",
                ));
            }
        };
        let description = table.required_string("description")?.text;
        let unit = table.string("unit")?.map(|unit| unit.text);
        let Some((default, line)) = table.value("default")? else {
            let line = table.line;
            return Err(table.error(line, "default", "found nothing", "this key must be given"));
        };
        let checked = kind.check(&default);
        let default =
            checked.map_err(|wrong| table.error(line, "default", wrong.found, wrong.right))?;
        table.finish()?;
        Ok(Self {
            kind,
            default,
            unit,
            description,
        })
    }
}

fn read_string(table: &mut Table<'_>) -> Result<ParameterType, DescriptionError> {
    let line = table.line;
    let values = table.strings("values")?;
    let characters = table.string("characters")?;
    let max_length = table.value("max_length")?;
    let kind = match (values, characters) {
        (Some((values, _)), None) => ParameterType::String {
            values,
            characters: Characters::default(),
            max_length: LONGEST_TEXT,
        },
        (None, Some(characters)) => ParameterType::String {
            values: Vec::new(),
            characters: Characters::parse(&characters.text),
            max_length: LONGEST_TEXT,
        },
        (None, None) | (Some(_), Some(_)) => {
            return Err(table.error(
                line,
                "values",
                "found neither or both of values and characters",
                "a string parameter says either values = [...] or characters = \"A-Za-z0-9 \"",
            ));
        }
    };
    let ParameterType::String {
        values, characters, ..
    } = kind
    else {
        return Ok(kind);
    };
    let Some((value, line)) = max_length else {
        return Ok(ParameterType::String {
            values,
            characters,
            max_length: LONGEST_TEXT,
        });
    };
    match as_integer(&value).and_then(|value| usize::try_from(value).ok()) {
        Some(max_length @ 1..=LONGEST_TEXT) => Ok(ParameterType::String {
            values,
            characters,
            max_length,
        }),
        Some(_) | None => Err(table.error(
            line,
            "max_length",
            format!("found {}", shown(&value)),
            format!("1 to {LONGEST_TEXT}"),
        )),
    }
}

fn read_device_kind(table: &mut Table<'_>) -> Result<DeviceKind, DescriptionError> {
    let kind = table.required_string("kind")?;
    DeviceKind::from_name(&kind.text).ok_or_else(|| {
        table.error(
            kind.line,
            "kind",
            format!("found {:?}", kind.text),
            "one of camera, microphone, speaker, display",
        )
    })
}

fn range<T: Copy + PartialOrd>(
    table: &mut Table<'_>,
    read: fn(&Value) -> Option<T>,
    widest: (T, T),
    wanted: &str,
) -> Result<(T, T), DescriptionError> {
    let mut bound = |key: &'static str, otherwise: T| match table.value(key)? {
        None => Ok(otherwise),
        Some((value, line)) => read(&value)
            .ok_or_else(|| table.error(line, key, format!("found {}", shown(&value)), wanted)),
    };
    let (min, max) = (bound("min", widest.0)?, bound("max", widest.1)?);
    if min > max {
        let line = table.line;
        return Err(table.error(line, "min", "min is above max", "min must not be above max"));
    }
    Ok((min, max))
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
                characters,
                max_length,
            } => {
                let text = as_text(value, *max_length)
                    .filter(|text| values.is_empty() || values.iter().any(|value| value == text))
                    .filter(|text| {
                        !values.is_empty() || text.chars().all(|letter| characters.contains(letter))
                    });
                text.map(|text| Value::String(text.to_owned()))
                    .ok_or_else(|| {
                        wrong(if values.is_empty() {
                            format!("at most {max_length} of the allowed characters")
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
            && !text.chars().any(is_dangerous))
        .then_some(text.as_str()),
        Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => None,
    }
}

/// A value as an error shows it, cut short.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
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

    /// The value of a placeholder that holds a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Value::String(text)) => Some(text),
            Some(Value::Boolean(_) | Value::Integer(_) | Value::Float(_)) | None => None,
        }
    }
}
