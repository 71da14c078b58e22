//! Descriptions: what an integrator's TOML file says about capture, playback and their settings. No GStreamer here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::fragment::{Fragment, Section};
use super::launch::{self, What};
use super::limits;
use super::parameters::{Parameter, ParameterType};
use super::problem::{DescriptionError, Place, Problem};
use super::reader::{Source, Table, Text};
use super::recording;
use super::schema::{FRAGMENTS, LIMITS, RECORDING, ROLES, ROOT, SETTINGS};
use super::settings;
use crate::job::{Parameters, Role};
use crate::media::MediaKind;
use crate::media::devices::DeviceKind;

mod checks;
mod values;

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
    recording: recording::Declared,
    limits: limits::Declared,
}

/// Placeholders that every fragment may use besides the description's parameters.
const BUILT_IN: [&str; 4] = ["room", "width", "height", "framerate"];

impl Fragments {
    /// The fragment of a kind.
    pub fn of(&self, kind: MediaKind) -> Option<&Fragment> {
        match kind {
            MediaKind::Video => self.video.as_ref(),
            MediaKind::Audio => self.audio.as_ref(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Fragment> {
        self.video.iter().chain(&self.audio)
    }
}

impl Description {
    /// Reads `NAME.toml` from the folder of descriptions, and its fallback, and checks them as far as that goes without
    /// GStreamer. Reads files: not for async threads.
    ///
    /// # Errors
    /// Every problem of the file; where it has none, those of its fallback.
    pub fn read(folder: &Path, name: &str) -> Result<Self, DescriptionError> {
        let mut description = Self::read_one(folder, name)?;
        let Some(Text {
            text: fallback,
            place,
            ..
        }) = description.fallback_name.clone()
        else {
            return Ok(description);
        };
        let wrong = |found: String| {
            let right = "a fallback is a description that needs no device and no fallback itself";
            DescriptionError::from(description.problem(Some(place), "fallback", found, right))
        };
        let is_there = is_name(&fallback) && folder.join(format!("{fallback}.toml")).is_file();
        if !is_there {
            return Err(wrong(format!(
                "there is no description {fallback:?} beside this one"
            )));
        }
        let loaded = Self::read_one(folder, &fallback)?;
        if loaded.fallback_name.is_some() {
            return Err(wrong(format!("{fallback} has a fallback")));
        }
        if loaded
            .capture
            .all()
            .any(|fragment| !loaded.devices_of(fragment).is_empty())
        {
            return Err(wrong(format!("{fallback} captures from a device")));
        }
        description.fallback = Some(Box::new(loaded));
        Ok(description)
    }

    fn read_one(folder: &Path, name: &str) -> Result<Self, DescriptionError> {
        if !is_name(name) {
            let found = format!("found {:?}", name.chars().take(40).collect::<String>());
            let right = "a description's name is 1 to 64 of A-Z a-z 0-9 - _";
            return Err(DescriptionError::without_place(
                folder,
                "description",
                found,
                right,
            ));
        }
        Self::read_file(&folder.join(format!("{name}.toml")), name)
    }

    /// Reads one file; its fallback is not looked for.
    pub(super) fn read_file(file: &Path, name: &str) -> Result<Self, DescriptionError> {
        Self::parse(file, name, &read_text(file)?)
    }

    /// Reads one file as far as it can be read, whatever is wrong with it.
    pub(super) fn read_as_far(file: &Path, name: &str) -> Option<Self> {
        Self::parse_as_far(file, name, &read_text(file).ok()?).0
    }

    /// Reads a description's text; `file` is for errors. Its fallback is not looked for.
    ///
    /// # Errors
    /// Every problem that shows without GStreamer.
    pub fn parse(file: &Path, name: &str, text: &str) -> Result<Self, DescriptionError> {
        let (description, problems) = Self::parse_as_far(file, name, text);
        DescriptionError::unless_empty(problems)?;
        description.ok_or_else(|| {
            let right = "a role and a summary at least";
            DescriptionError::without_place(file, "", "no description", right)
        })
    }

    /// What there is of a description, and what is wrong with it.
    fn parse_as_far(file: &Path, name: &str, text: &str) -> (Option<Self>, Vec<Problem>) {
        let source = Source::new(file, text);
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let place = source.place(error.span().map_or(0, |span| span.start));
            let found = error.message().replace('\n', ", ");
            source.report(place, "", found, "this must be TOML");
        }
        let description = errors
            .is_empty()
            .then(|| Self::from_table(&source, name, root.get_ref()))
            .flatten();
        (description, source.problems.into_inner())
    }

    fn from_table(source: &Source<'_>, name: &str, root: &DeTable<'_>) -> Option<Self> {
        let start = Place { line: 1, column: 1 };
        let root = Table::new(source, "", start, root).expect(ROOT);
        let role = read_role(&root);
        let summary = root.string("summary");
        let mut parameters = BTreeMap::new();
        let mut broken = Vec::new();
        for (name, table) in root.tables("parameters") {
            if let Some(table) = &table {
                check_parameter_name(table, &name);
            }
            match table.and_then(Parameter::read) {
                Some(parameter) => drop(parameters.insert(name, parameter)),
                None => broken.push(name),
            }
        }
        let fragments = |section| read_fragments(&root, section);
        let recording = root.table("recording", RECORDING);
        let limits = recording
            .as_ref()
            .and_then(|table| table.table("limits", LIMITS));
        let description = Self {
            name: name.to_owned(),
            file: source.file.to_owned(),
            role: role.unwrap_or(Role::Kiosk),
            summary: summary
                .as_ref()
                .map(|text| text.text.clone())
                .unwrap_or_default(),
            parameters,
            capture: fragments(Section::Capture),
            playback: fragments(Section::Playback),
            attract: fragments(Section::Attract),
            chain: fragments(Section::Chain),
            record: fragments(Section::Record),
            fallback: None,
            fallback_name: root.string("fallback"),
            settings: settings::Declared::read(root.table("settings", SETTINGS).as_ref()),
            recording: recording::Declared::read(recording.as_ref()),
            limits: limits::Declared::read(limits.as_ref()),
        };
        if let Some(role) = role {
            description.check_tables(role, &root);
        }
        let mut problems = source.problems.borrow_mut();
        for fragment in description.fragments() {
            description.check_placeholders(fragment, &broken, &mut problems);
        }
        if broken.is_empty()
            && let Ok(room) = "room".parse()
            && let Err(error) = description.values(&Parameters::new(), &room)
        {
            problems.extend(error.0);
        }
        Some(description)
    }

    /// All fragments, in the order of the format.
    pub fn fragments(&self) -> impl Iterator<Item = &Fragment> {
        Section::ALL
            .into_iter()
            .flat_map(|section| self.section(section).all())
    }

    /// The fragments of a table.
    pub fn section(&self, section: Section) -> &Fragments {
        match section {
            Section::Capture => &self.capture,
            Section::Playback => &self.playback,
            Section::Attract => &self.attract,
            Section::Chain => &self.chain,
            Section::Record => &self.record,
        }
    }

    /// The device parameters that a fragment names.
    pub fn devices_of<'a>(&'a self, fragment: &'a Fragment) -> Vec<(&'a str, DeviceKind)> {
        let elements = fragment.launch.elements.iter();
        elements
            .filter_map(|element| match &element.what {
                What::Device(name) => match self.parameters.get(name)?.kind {
                    ParameterType::Device(kind) => Some((name.as_str(), kind)),
                    ParameterType::String { .. }
                    | ParameterType::Integer { .. }
                    | ParameterType::Float { .. }
                    | ParameterType::Boolean => None,
                },
                What::Factory(_) | What::Caps(_) => None,
            })
            .collect()
    }

    /// A problem in this description's file.
    pub(super) fn problem(
        &self,
        place: Option<Place>,
        key: &str,
        found: impl Into<String>,
        right: impl Into<String>,
    ) -> Problem {
        Problem {
            file: self.file.clone(),
            place,
            key: key.to_owned(),
            element: None,
            found: found.into(),
            right: right.into(),
        }
    }
}

fn read_text(file: &Path) -> Result<String, DescriptionError> {
    std::fs::read_to_string(file).map_err(|error| {
        let found = format!("cannot be read: {error}");
        let right = "name a file of this folder, in UTF-8";
        DescriptionError::without_place(file, "description", found, right)
    })
}

/// Whether a description may be called so: its file stays in its folder.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn read_role(root: &Table<'_>) -> Option<Role> {
    let role = root.string("role")?;
    match role.text.as_str() {
        "kiosk" => Some(Role::Kiosk),
        "recorder" => Some(Role::Recorder),
        "filter" => Some(Role::Filter),
        "relay" => Some(Role::Relay),
        other => {
            let right = format!("one of {}", ROLES.join(", "));
            root.report(role.place, "role", format!("found {other:?}"), right);
            None
        }
    }
}

fn check_parameter_name(table: &Table<'_>, name: &str) {
    // The three picture sizes may be declared: the settings then take them from there, and they mean the same.
    if !launch::is_parameter_name(name) || name == "room" {
        let right = "a small letter, then small letters, digits and _; room is attache's own";
        table.report(table.place, "", "not a parameter's name", right);
    }
}

fn read_fragments(root: &Table<'_>, section: Section) -> Fragments {
    let Some(table) = root.table(section.name(), FRAGMENTS) else {
        return Fragments::default();
    };
    let read = |kind, name| {
        let text = table.string(name)?;
        let places = table.source.places(text.start, &text.text);
        let mut fragment = Fragment {
            section,
            kind,
            key: section.key(kind),
            line: places.first().map_or(text.place.line, |place| place.line),
            text: text.text,
            launch: launch::Launch::default(),
            places,
        };
        match launch::parse(&fragment.text) {
            Ok(launch) => fragment.launch = launch,
            Err(mistakes) => {
                for mistake in mistakes {
                    let place = fragment.place(mistake.at);
                    table.report(place, name, mistake.found, mistake.right);
                }
            }
        }
        Some(fragment)
    };
    Fragments {
        video: read(MediaKind::Video, "video"),
        audio: read(MediaKind::Audio, "audio"),
    }
}
