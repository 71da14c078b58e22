//! A job's values put into a description: its parameters, and the settings, limits and recording that depend on them.

use super::{BUILT_IN, Description, Fragments};
use crate::job::{Parameters, Value};
use crate::pipeline::parameters::Values;
use crate::pipeline::problem::{DescriptionError, Problem, did_you_mean};
use crate::pipeline::recording::RecordingSettings;
use crate::pipeline::settings::Settings;
use crate::recording::Limits;
use crate::signalling::ids::RoomName;

impl Description {
    /// A job's parameters, checked, with defaults for those not given and what attache knows itself.
    ///
    /// # Errors
    /// Every value that is wrong.
    pub fn values(&self, given: &Parameters, room: &RoomName) -> Result<Values, DescriptionError> {
        let mut problems = Vec::new();
        for unknown in given.keys() {
            if self.parameters.contains_key(unknown) {
                continue;
            }
            let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
            let name: String = unknown.chars().take(40).collect();
            let list = format!("this description has: {}", known.join(", "));
            let right = match did_you_mean(&name, known) {
                Some(meant) => format!("{meant} {list}"),
                None => list,
            };
            problems.push(self.problem(None, &format!("parameter {name:?}"), "unknown", right));
        }
        let mut values = Values::default();
        for (name, parameter) in &self.parameters {
            let value = given.get(name).unwrap_or(&parameter.default);
            match parameter.kind.check(value) {
                Ok(value) => values.insert(name, value),
                Err(wrong) => {
                    let key = format!("parameter {name}");
                    problems.push(self.problem(None, &key, wrong.found, wrong.right));
                    values.insert(name, parameter.default.clone());
                }
            }
        }
        values.insert("room", Value::String(room.to_string()));
        let settings = self.resolve(&values, &mut problems);
        self.resolve_recording(&values, &mut problems);
        self.resolve_limits(&values, &mut problems);
        DescriptionError::unless_empty(problems)?;
        values.insert("width", Value::Integer(settings.video.width.into()));
        values.insert("height", Value::Integer(settings.video.height.into()));
        values.insert("framerate", Value::Integer(settings.video.framerate.into()));
        Ok(values)
    }

    /// The settings with these values in them.
    ///
    /// # Errors
    /// Every value that does not fit the setting that it is for.
    pub fn settings(&self, values: &Values) -> Result<Settings, DescriptionError> {
        let mut problems = Vec::new();
        let settings = self.resolve(values, &mut problems);
        DescriptionError::unless_empty(problems).map(|()| settings)
    }

    /// When a recording ends by itself, with these values.
    ///
    /// # Errors
    /// Every value that does not fit what it is for.
    pub fn limits(&self, values: &Values) -> Result<Limits, DescriptionError> {
        let mut problems = Vec::new();
        let limits = self.resolve_limits(values, &mut problems);
        DescriptionError::unless_empty(problems).map(|()| limits)
    }

    fn resolve_limits(&self, values: &Values, problems: &mut Vec<Problem>) -> Limits {
        self.limits
            .resolve(values, &mut |place, key, found, right| {
                problems.push(self.problem(place, key, found, right));
            })
    }

    fn resolve(&self, values: &Values, problems: &mut Vec<Problem>) -> Settings {
        self.settings
            .resolve(values, &mut |place, key, found, right| {
                problems.push(self.problem(place, key, found, right));
            })
    }

    /// How a recorder records, with these values.
    ///
    /// # Errors
    /// Every value that does not fit what it is for.
    pub fn recording(&self, values: &Values) -> Result<RecordingSettings, DescriptionError> {
        let mut problems = Vec::new();
        let recording = self.resolve_recording(values, &mut problems);
        DescriptionError::unless_empty(problems).map(|()| recording)
    }

    fn resolve_recording(&self, values: &Values, problems: &mut Vec<Problem>) -> RecordingSettings {
        let is_mix = self.record != Fragments::default();
        self.recording
            .resolve(values, is_mix, &mut |place, key, found, right| {
                problems.push(self.problem(place, key, found, right));
            })
    }

    /// The fallback's values: its own defaults, this description's where both declare a parameter of the same name,
    /// and this description's picture.
    pub(crate) fn fallback_values(
        &self,
        fallback: &Self,
        values: &Values,
        room: &RoomName,
    ) -> Result<Values, DescriptionError> {
        let shared = fallback
            .parameters
            .keys()
            .filter(|name| self.parameters.contains_key(*name));
        let given = shared
            .filter_map(|name| Some((name.clone(), values.get(name)?.clone())))
            .collect();
        let mut filled = fallback.values(&given, room)?;
        for name in BUILT_IN {
            if let Some(value) = values.get(name) {
                filled.insert(name, value.clone());
            }
        }
        Ok(filled)
    }
}
