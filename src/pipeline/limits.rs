//! `[recording.limits]` of a description: when a recording ends by itself.

use std::time::Duration;

use super::parameters::Values;
use super::reader::Table;
use super::settings::{Limits as Range, Number, Wrong};
use crate::recording::Limits;

/// 0 stands for no limit.
const fn range(key: &'static str, name: &'static str, max: u32) -> Range {
    Range {
        key,
        name,
        default: 0,
        min: 0,
        max,
        even: false,
    }
}

/// A month, in seconds.
const LONGEST: u32 = 31 * 24 * 3600;

pub(super) static DURATION: Range = range("recording.limits.duration_s", "duration_s", LONGEST);
pub(super) static SIZE: Range = range("recording.limits.size_mb", "size_mb", 100_000_000);
pub(super) static SILENCE: Range = range("recording.limits.silence_s", "silence_s", LONGEST);
pub(super) static EMPTY_ROOM: Range =
    range("recording.limits.empty_room_s", "empty_room_s", LONGEST);

/// The table as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    duration: Number,
    size: Number,
    silence: Number,
    empty_room: Number,
}

impl Declared {
    /// Reads the table; what is not said has no limit.
    pub fn read(table: Option<&Table<'_>>) -> Self {
        Self {
            duration: Number::read(table, &DURATION),
            size: Number::read(table, &SIZE),
            silence: Number::read(table, &SILENCE),
            empty_room: Number::read(table, &EMPTY_ROOM),
        }
    }

    /// The limits with parameters' values in them; what is wrong is told to `wrong`.
    pub fn resolve(&self, values: &Values, wrong: &mut Wrong<'_>) -> Limits {
        let mut get = |number: &Number| {
            let number = number.resolve(values, wrong);
            (number > 0).then_some(u64::from(number))
        };
        Limits {
            duration: get(&self.duration).map(Duration::from_secs),
            bytes: get(&self.size).map(|megabytes| megabytes * 1_000_000),
            silence: get(&self.silence).map(Duration::from_secs),
            empty_room: get(&self.empty_room).map(Duration::from_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Description;
    use super::*;
    use crate::job::{Parameters, Value};

    fn of(limits: &str, given: Parameters) -> Result<Limits, String> {
        let text = format!(
            "role = \"recorder\"\nsummary = \"s\"\n\
             [parameters.most_s]\ntype = \"integer\"\ndefault = 0\ndescription = \"d\"\n\
             [recording.limits]\n{limits}"
        );
        let description = Description::parse(Path::new("it.toml"), "it", &text);
        let description = description.map_err(|error| error.to_string())?;
        let values = description.values(&given, &"room".parse().unwrap());
        let values = values.map_err(|error| error.to_string())?;
        description
            .limits(&values)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn limits_come_from_the_file_or_from_a_job_and_zero_is_none() {
        let fixed = of(
            "duration_s = 60\nsize_mb = 5\nsilence_s = 0",
            Parameters::new(),
        )
        .unwrap();
        let expected = Limits {
            duration: Some(Duration::from_secs(60)),
            bytes: Some(5_000_000),
            ..Limits::default()
        };
        assert_eq!(fixed, expected);
        let of_job = |seconds| {
            let given = [("most_s".to_owned(), Value::Integer(seconds))];
            of("empty_room_s = \"{most_s}\"", given.into())
        };
        assert_eq!(of_job(0).unwrap(), Limits::default());
        let limit = of_job(30).unwrap().empty_room;
        assert_eq!(limit, Some(Duration::from_secs(30)));
        assert!(
            of_job(-1)
                .unwrap_err()
                .contains("recording.limits.empty_room_s")
        );
    }

    #[test]
    fn what_no_limit_is_called_is_told() {
        let error = of("seconds = 3", Parameters::new()).unwrap_err();
        assert!(
            error.contains("seconds") && error.contains("it.toml:8"),
            "{error}"
        );
    }
}
