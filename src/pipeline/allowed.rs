//! The elements and properties that descriptions may use. What reads or writes files, opens sockets, runs commands, loads
//! plugins or chooses elements by itself is not among them; the operator adds single elements by name.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::description::Description;
use super::fragment::Fragment;
use super::launch::{Piece, Property, What};
use super::problem::{Problem, nearest};

mod elements;

use elements::Properties::{All, AllBut, Only};
use elements::{FILES, GROUPS, Group, INSTEAD};

/// Which elements descriptions may use: attache's list, and those that the operator adds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Allowed {
    added: BTreeSet<String>,
}

fn is_one(name: &str, list: &[&str]) -> bool {
    list.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => *known == name,
    })
}

/// Whether a text can be the name of an element's factory.
pub fn is_factory_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.len() <= 100
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl Allowed {
    /// attache's list and these elements, with all of their properties.
    pub fn with(added: impl IntoIterator<Item = String>) -> Self {
        Self {
            added: added.into_iter().collect(),
        }
    }

    /// These elements, too.
    pub fn and(mut self, added: impl IntoIterator<Item = String>) -> Self {
        self.added.extend(added);
        self
    }

    /// What `attache pipelines` is told of it.
    pub fn arguments(&self) -> Vec<String> {
        self.added
            .iter()
            .map(|element| format!("--allow={element}"))
            .collect()
    }

    /// Whether nothing was added.
    pub fn is_plain(&self) -> bool {
        self.added.is_empty()
    }

    fn group(factory: &str) -> Option<&'static Group> {
        GROUPS.iter().find(|group| is_one(factory, group.elements))
    }

    /// What is wrong with the elements and properties that a fragment uses.
    pub(super) fn check(&self, description: &Description, fragment: &Fragment) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, element) in fragment.launch.elements.iter().enumerate() {
            let What::Factory(factory) = &element.what else {
                continue;
            };
            if self.added.contains(factory) {
                continue;
            }
            let mut report = |element: Option<String>, at, found: String, right: String| {
                let place = Some(fragment.place(at));
                let mut problem = description.problem(place, fragment.key, found, right);
                problem.element = element;
                problems.push(problem);
            };
            let Some(group) = Self::group(factory) else {
                let (found, right) = refusal(factory);
                report(None, element.at, found, right);
                continue;
            };
            for property in &element.properties {
                if let Some((at, found, right)) = wrong_property(group, factory, property) {
                    report(Some(fragment.element_name(index)), at, found, right);
                }
            }
        }
        problems
    }
}

/// What to say of an element that is not on the list.
fn refusal(factory: &str) -> (String, String) {
    let add = format!(
        "the operator allows it with [descriptions] elements = [{factory:?}] in attache.toml"
    );
    if let Some((_, why, instead)) = INSTEAD.iter().find(|(names, ..)| is_one(factory, names)) {
        let found = format!("the element {factory} is not allowed: {why}");
        return (found, format!("{instead}; {add}"));
    }
    let names = GROUPS.iter().flat_map(|group| group.elements).copied();
    match nearest(factory, names.filter(|name| !name.ends_with('*'))) {
        Some(near) => (
            format!("the element {factory} is not among those that descriptions may use"),
            format!("did you mean {near}? Else {add}"),
        ),
        None => (
            format!("the element {factory} is not among those that descriptions may use"),
            format!("docs/pipelines.md has the list; {add}"),
        ),
    }
}

fn wrong_property(
    group: &Group,
    factory: &str,
    written: &Property,
) -> Option<(usize, String, String)> {
    let name = written.name.rsplit("::").next().unwrap_or_default();
    let refused = |right: String| {
        let found = format!("the property {name} of {factory} is not allowed");
        Some((written.at, found, right))
    };
    match group.properties {
        Only(names) if !names.contains(&name) => {
            return refused(format!("allowed here: {}", names.join(", ")));
        }
        AllBut(names) if names.contains(&name) => {
            return refused("leave it out: it could reach files".to_owned());
        }
        All | AllBut(_) if FILES.contains(&name) => {
            return refused(
                "leave it out: it could reach files, programs or the network".to_owned(),
            );
        }
        All | AllBut(_) | Only(_) => {}
    }
    let is_alsa = matches!(factory, "alsasrc" | "alsasink");
    if !is_alsa || name != "device" {
        return None;
    }
    // ALSA's names are a language of their own, in which "file:" and "tee:" write files.
    let is_plain = match written.value.0.as_slice() {
        [Piece::Text(text)] => is_sound_card(text),
        _ => false,
    };
    let right = "default, or hw:, plughw:, dsnoop:, dmix: or sysdefault: with a card; or a parameter of type device";
    (!is_plain).then(|| {
        let found = format!("the device of {factory}");
        (written.value_at, found, right.to_owned())
    })
}

fn is_sound_card(text: &str) -> bool {
    let (kind, card) = text.split_once(':').unwrap_or((text, "0"));
    let is_kind = matches!(
        kind,
        "default"
            | "sysdefault"
            | "hw"
            | "plughw"
            | "dsnoop"
            | "dmix"
            | "front"
            | "pulse"
            | "pipewire"
    );
    let is_card = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'=' | b',' | b'_' | b'-');
    is_kind && card.bytes().all(is_card)
}

/// The list for people: purpose, elements, and what may be set.
pub fn list() -> impl Iterator<Item = (&'static str, &'static [&'static str], String)> {
    GROUPS.iter().map(|group| {
        let properties = match group.properties {
            All | AllBut([]) => "all properties".to_owned(),
            AllBut(names) => format!("all properties but {}", names.join(", ")),
            Only(names) => names.join(", "),
        };
        (group.purpose, group.elements, properties)
    })
}
