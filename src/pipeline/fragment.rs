//! Fragments: launch texts with `{name}` placeholders, and the values that go with them.

use std::collections::BTreeMap;
use std::fmt;

use super::launch::{Element, Launch, What};
use super::parameters::Values;
use super::problem::Place;
use crate::job::{Role, Value};
use crate::media::MediaKind;

/// The tables that hold fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// What a kiosk sends.
    Capture,
    /// Where a kiosk shows and plays others.
    Playback,
    /// What a kiosk shows and plays while nobody else is there.
    Attract,
    /// What a filter does.
    Chain,
    /// What a mixed recording goes through.
    Record,
}

impl Section {
    /// In the order of the format.
    pub const ALL: [Self; 5] = [
        Self::Capture,
        Self::Playback,
        Self::Attract,
        Self::Chain,
        Self::Record,
    ];

    /// The role whose descriptions have it.
    pub fn role(self) -> Role {
        match self {
            Self::Capture | Self::Playback | Self::Attract => Role::Kiosk,
            Self::Chain => Role::Filter,
            Self::Record => Role::Recorder,
        }
    }

    /// As the file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Playback => "playback",
            Self::Attract => "attract",
            Self::Chain => "chain",
            Self::Record => "record",
        }
    }

    /// The key of one of its fragments.
    pub fn key(self, kind: MediaKind) -> &'static str {
        match (self, kind) {
            (Self::Capture, MediaKind::Video) => "capture.video",
            (Self::Capture, MediaKind::Audio) => "capture.audio",
            (Self::Playback, MediaKind::Video) => "playback.video",
            (Self::Playback, MediaKind::Audio) => "playback.audio",
            (Self::Attract, MediaKind::Video) => "attract.video",
            (Self::Attract, MediaKind::Audio) => "attract.audio",
            (Self::Chain, MediaKind::Video) => "chain.video",
            (Self::Chain, MediaKind::Audio) => "chain.audio",
            (Self::Record, MediaKind::Video) => "record.video",
            (Self::Record, MediaKind::Audio) => "record.audio",
        }
    }

    /// Whether media goes into its fragments.
    pub fn has_sink(self) -> bool {
        !matches!(self, Self::Capture | Self::Attract)
    }

    /// Whether media comes out of its fragments.
    pub fn has_source(self) -> bool {
        !matches!(self, Self::Playback)
    }
}

/// A launch text of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The table it stands in.
    pub section: Section,
    /// Picture or sound.
    pub kind: MediaKind,
    /// The key it stands under: `capture.video`.
    pub key: &'static str,
    /// The launch text, with its placeholders.
    pub text: String,
    /// The line of the file on which the text begins, from 1.
    pub line: usize,
    /// The text, read.
    pub launch: Launch,
    /// The place in the file of each byte of the text, and of its end.
    pub(super) places: Vec<Place>,
}

impl Fragment {
    /// The place in the file of a byte position of the text.
    pub fn place(&self, at: usize) -> Place {
        let last = self.places.last().copied();
        let place = self.places.get(at).copied().or(last);
        place.unwrap_or(Place {
            line: self.line,
            column: 1,
        })
    }

    /// The name that an element is built with: its own, or factory and index.
    pub fn element_name(&self, index: usize) -> String {
        self.launch.elements.get(index).map_or_else(
            || format!("element#{index}"),
            |element| {
                element
                    .name
                    .clone()
                    .unwrap_or_else(|| format!("{}#{index}", short_name(element)))
            },
        )
    }

    /// The index of the element that was built with this name.
    pub fn element_of(&self, name: &str) -> Option<usize> {
        (0..self.launch.elements.len()).find(|index| self.element_name(*index) == name)
    }

    /// The fragment with values in its placeholders. `device` gives the launch text of a device's element; it is made by
    /// attache, not by whoever gave the parameter.
    pub fn fill(&self, values: &Values, device: impl Fn(&str) -> Option<String>) -> Filled {
        let mut filled = Filled {
            values: values.clone(),
            devices: BTreeMap::new(),
            text: String::with_capacity(self.text.len()),
        };
        let mut placeholders: Vec<(usize, &str)> = Vec::new();
        for element in &self.launch.elements {
            match &element.what {
                What::Device(name) => {
                    placeholders.push((element.at, name));
                    if let Some(launch) = device(name) {
                        filled.devices.insert(name.clone(), launch);
                    }
                }
                What::Caps(caps) => {
                    placeholders.extend(caps.placeholders().map(|(name, at)| (at, name)));
                }
                What::Factory(_) => {}
            }
            for property in &element.properties {
                placeholders.extend(property.value.placeholders().map(|(name, at)| (at, name)));
            }
        }
        placeholders.sort_unstable();
        let mut done = 0;
        for (at, name) in placeholders {
            filled.text.push_str(&self.text[done..at]);
            match (filled.devices.get(name), values.get(name)) {
                (Some(launch), _) => filled.text.push_str(launch),
                (None, Some(value)) => filled.text.push_str(&shown(value)),
                (None, None) => filled.text.push_str(&self.text[at..at + name.len() + 2]),
            }
            done = at + name.len() + 2;
        }
        filled.text.push_str(&self.text[done..]);
        filled
    }
}

/// What an element is called by.
pub(super) fn short_name(element: &Element) -> &str {
    match &element.what {
        What::Factory(factory) => factory,
        What::Caps(_) => "caps",
        What::Device(name) => name,
    }
}

/// The values for a fragment's placeholders. Shown, it is the fragment with them in it: for people and for comparing,
/// never for a parser.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    pub(super) values: Values,
    /// Launch texts of devices, made by attache.
    pub(super) devices: BTreeMap<String, String>,
    text: String,
}

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim())
    }
}

/// A value as people read it in a fragment.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => literal(value),
    }
}

/// A number or boolean as GStreamer reads it; a text as it is.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::String(text) => text.clone(),
    }
}
