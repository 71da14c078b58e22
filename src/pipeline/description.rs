//! Descriptions: what an integrator's TOML file says about capture, playback and their settings. No GStreamer here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::fragment::Fragment;
use super::parameters::{Parameter, ParameterType, Values};
use super::reader::{Source, Table, Text};
use super::settings::{self, Settings};
use crate::job::{Parameters, Role, Value};
use crate::media::devices::DeviceKind;
use crate::signalling::ids::RoomName;

/// What is wrong in a description or with a value for it: where, what was found, what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescriptionError {
    /// The description's file.
    pub file: PathBuf,
    /// The line, from 1; none where the mistake is not in the file (a value that a job gave, a file that is missing).
    pub line: Option<usize>,
    /// The key, parameter or element.
    pub key: String,
    /// What was found.
    pub found: String,
    /// What would be right.
    pub right: String,
}

impl std::error::Error for DescriptionError {}

impl std::fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}; {}", self.found, self.right)
    }
}

/// The launch texts of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragments {
    /// Picture.
    pub video: Option<Fragment>,
    /// Sound.
    pub audio: Option<Fragment>,
}

/// A description, read and checked as far as that goes without GStreamer.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Its name: the file's, without `.toml`.
    pub name: String,
    /// Where it was read from.
    pub file: PathBuf,
    /// The role it is for.
    pub role: Role,
    /// What it does, in one line.
    pub summary: String,
    /// What a job may choose.
    pub parameters: BTreeMap<String, Parameter>,
    /// Sources: each has one free source pad.
    pub capture: Fragments,
    /// Sinks: each has one free sink pad.
    pub playback: Fragments,
    /// Of a kiosk: sources that it plays to itself while nobody else who sends is in the room.
    pub attract: Fragments,
    /// Of a filter: what a remote track goes through; one free sink pad, one free source pad.
    pub chain: Fragments,
    /// Of a recorder that mixes: what the mix goes through before it is encoded; pads as of `chain`.
    pub record: Fragments,
    /// The description whose capture serves where a device is missing.
    pub fallback: Option<Box<Description>>,
    fallback_name: Option<Text>,
    settings: settings::Declared,
}

/// Placeholders that every fragment may use besides the description's parameters.
const BUILT_IN: [&str; 4] = ["room", "width", "height", "framerate"];

impl Description {
    /// Reads `NAME.toml` from the folder of descriptions, and its fallback. Reads files: not for async threads.
    pub fn load(folder: &Path, name: &str) -> Result<Self, DescriptionError> {
        let mut description = Self::load_one(folder, name)?;
        let Some(Text {
            text: fallback,
            line,
        }) = description.fallback_name.clone()
        else {
            return Ok(description);
        };
        let loaded = Self::load_one(folder, &fallback)?;
        let wrong = |found: String| {
            let right = "a fallback is a description that needs no device and no fallback itself";
            description.error(Some(line), "fallback", found, right)
        };
        if loaded.fallback_name.is_some() {
            return Err(wrong(format!("{fallback} has a fallback")));
        }
        let fragments = [&loaded.capture.video, &loaded.capture.audio];
        if fragments
            .into_iter()
            .flatten()
            .any(|fragment| !loaded.devices_of(fragment).is_empty())
        {
            return Err(wrong(format!("{fallback} captures from a device")));
        }
        description.fallback = Some(Box::new(loaded));
        Ok(description)
    }

    fn load_one(folder: &Path, name: &str) -> Result<Self, DescriptionError> {
        let is_name = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let file = folder.join(if is_name {
            format!("{name}.toml")
        } else {
            String::new()
        });
        let wrong = |found: String, right: &str| DescriptionError {
            file: file.clone(),
            line: None,
            key: "description".to_owned(),
            found,
            right: right.to_owned(),
        };
        if !is_name {
            let found = format!("found {:?}", name.chars().take(40).collect::<String>());
            return Err(wrong(
                found,
                "a description's name is 1 to 64 of A-Z a-z 0-9 - _",
            ));
        }
        let text = std::fs::read_to_string(&file).map_err(|error| {
            wrong(
                format!("cannot be read: {error}"),
                "name a file of this folder",
            )
        })?;
        Self::parse(&file, name, &text)
    }

    /// Reads a description's text; `file` is for errors. Its fallback is not looked for.
    pub fn parse(file: &Path, name: &str, text: &str) -> Result<Self, DescriptionError> {
        let source = Source { file, text };
        let root = DeTable::parse(text).map_err(|error| {
            let line = source.line(error.span().map_or(0, |span| span.start));
            source.error(
                line,
                "",
                error.message().replace('\n', ", "),
                "this must be TOML",
            )
        })?;
        let mut root = Table::new(&source, "", 1, root.get_ref());
        let role = read_role(&mut root)?;
        let summary = root.required_string("summary")?.text;
        let fallback_name = root.string("fallback")?;
        let mut parameters = BTreeMap::new();
        for (name, table) in root
            .table("parameters")?
            .map(Table::tables)
            .transpose()?
            .unwrap_or_default()
        {
            check_parameter_name(&table, &name)?;
            parameters.insert(name, Parameter::read(table)?);
        }
        let capture = read_fragments(root.table("capture")?, "capture.video", "capture.audio")?;
        let playback = read_fragments(root.table("playback")?, "playback.video", "playback.audio")?;
        let attract = read_fragments(root.table("attract")?, "attract.video", "attract.audio")?;
        let chain = read_fragments(root.table("chain")?, "chain.video", "chain.audio")?;
        let record = read_fragments(root.table("record")?, "record.video", "record.audio")?;
        let settings = settings::Declared::read(root.table("settings")?)?;
        root.finish()?;
        let description = Self {
            name: name.to_owned(),
            file: file.to_owned(),
            role,
            summary,
            parameters,
            capture,
            playback,
            attract,
            chain,
            record,
            fallback: None,
            fallback_name,
            settings,
        };
        description.check()?;
        Ok(description)
    }

    /// Checks what spans several tables.
    fn check(&self) -> Result<(), DescriptionError> {
        let tables = [
            (&self.capture, Role::Kiosk),
            (&self.playback, Role::Kiosk),
            (&self.attract, Role::Kiosk),
            (&self.chain, Role::Filter),
            (&self.record, Role::Recorder),
        ];
        for (fragments, role) in tables {
            for fragment in [&fragments.video, &fragments.audio].into_iter().flatten() {
                if self.role != role {
                    let found = format!("found in a description for a {}", self.role);
                    let right = format!("leave this out: it is for a {role}");
                    return Err(self.error(Some(fragment.line), fragment.key, found, right));
                }
                self.check_placeholders(fragment)?;
            }
        }
        if self.role == Role::Filter && self.chain == Fragments::default() {
            let right =
                "a filter says what it does under [chain], as audio = \"...\" or video = \"...\"";
            return Err(self.error(None, "chain", "found nothing", right));
        }
        let room = "room"
            .parse()
            .map_err(|_| self.error(None, "room", "not a room", "a room name"))?;
        let values = self.values(&Parameters::new(), &room)?;
        self.settings(&values).map(|_| ())
    }

    fn check_placeholders(&self, fragment: &Fragment) -> Result<(), DescriptionError> {
        for placeholder in fragment.placeholders() {
            let name = placeholder.name;
            let wrong = |found: &str, right: &str| {
                let found = format!("{{{name}}} {found}");
                Err(self.error(
                    Some(fragment.line_of(&placeholder)),
                    fragment.key,
                    found,
                    right,
                ))
            };
            let kind = self.parameters.get(name).map(|parameter| &parameter.kind);
            match kind {
                None if name == "room" => {}
                None if BUILT_IN.contains(&name) => continue,
                None => {
                    let declared = self.parameters.keys().map(String::as_str);
                    let known: Vec<&str> = BUILT_IN.into_iter().chain(declared).collect();
                    return wrong(
                        "is no parameter",
                        &format!("known here: {}", known.join(", ")),
                    );
                }
                Some(ParameterType::String { .. }) => {}
                Some(ParameterType::Device(_)) if fragment.is_whole_element(&placeholder) => {
                    continue;
                }
                Some(ParameterType::Device(_)) => {
                    return wrong(
                        "is a device",
                        "it stands as an element of its own: {camera} ! ...",
                    );
                }
                Some(
                    ParameterType::Integer { .. }
                    | ParameterType::Float { .. }
                    | ParameterType::Boolean,
                ) => continue,
            }
            if !fragment.is_whole_value(&placeholder) {
                return wrong(
                    "is a text",
                    "it must be the whole value of a property, unquoted: text={room}",
                );
            }
        }
        Ok(())
    }

    /// The device parameters that a fragment names.
    pub fn devices_of<'a>(&'a self, fragment: &'a Fragment) -> Vec<(&'a str, DeviceKind)> {
        let placeholders = fragment.placeholders().into_iter();
        placeholders
            .filter_map(|found| match self.parameters.get(found.name)?.kind {
                ParameterType::Device(kind) => Some((found.name, kind)),
                ParameterType::String { .. }
                | ParameterType::Integer { .. }
                | ParameterType::Float { .. }
                | ParameterType::Boolean => None,
            })
            .collect()
    }

    /// A job's parameters, checked, with defaults for those not given and what attache knows itself.
    pub fn values(&self, given: &Parameters, room: &RoomName) -> Result<Values, DescriptionError> {
        if let Some(unknown) = given
            .keys()
            .find(|name| !self.parameters.contains_key(*name))
        {
            let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
            let name: String = unknown.chars().take(40).collect();
            let right = format!("this description has: {}", known.join(", "));
            return Err(self.error(None, &format!("parameter {name:?}"), "unknown", right));
        }
        let mut values = Values::default();
        for (name, parameter) in &self.parameters {
            let value = given.get(name).unwrap_or(&parameter.default);
            let value = parameter.kind.check(value);
            let value = value.map_err(|wrong| {
                self.error(None, &format!("parameter {name}"), wrong.found, wrong.right)
            })?;
            values.insert(name, value);
        }
        values.insert("room", Value::String(room.to_string()));
        let settings = self.settings(&values)?;
        values.insert("width", Value::Integer(settings.video.width.into()));
        values.insert("height", Value::Integer(settings.video.height.into()));
        values.insert("framerate", Value::Integer(settings.video.framerate.into()));
        Ok(values)
    }

    /// The settings with these values in them.
    pub fn settings(&self, values: &Values) -> Result<Settings, DescriptionError> {
        self.settings.resolve(values, &|line, key, found, right| {
            self.error((line > 0).then_some(line), key, found, right)
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

    /// An error in this description's file.
    pub(super) fn error(
        &self,
        line: Option<usize>,
        key: &str,
        found: impl Into<String>,
        right: impl Into<String>,
    ) -> DescriptionError {
        DescriptionError {
            file: self.file.clone(),
            line,
            key: key.to_owned(),
            found: found.into(),
            right: right.into(),
        }
    }
}

fn read_role(root: &mut Table<'_>) -> Result<Role, DescriptionError> {
    let role = root.required_string("role")?;
    match role.text.as_str() {
        "kiosk" => Ok(Role::Kiosk),
        "recorder" => Ok(Role::Recorder),
        "filter" => Ok(Role::Filter),
        other => Err(root.error(
            role.line,
            "role",
            format!("found {other:?}"),
            "one of kiosk, recorder, filter",
        )),
    }
}

fn check_parameter_name(table: &Table<'_>, name: &str) -> Result<(), DescriptionError> {
    let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    // The three picture sizes may be declared: the settings then take them from there, and they mean the same.
    if is_name && name != "room" {
        return Ok(());
    }
    let right = "a small letter, then small letters, digits and _; room is attache's own";
    Err(table.error(table.line, "", "not a parameter's name", right))
}

fn read_fragments(
    table: Option<Table<'_>>,
    video_key: &'static str,
    audio_key: &'static str,
) -> Result<Fragments, DescriptionError> {
    let Some(mut table) = table else {
        return Ok(Fragments::default());
    };
    let fragment = |text: Text, key| Fragment {
        key,
        text: text.text,
        line: text.line,
    };
    let video = table.string("video")?.map(|text| fragment(text, video_key));
    let audio = table.string("audio")?.map(|text| fragment(text, audio_key));
    table.finish()?;
    Ok(Fragments { video, audio })
}
