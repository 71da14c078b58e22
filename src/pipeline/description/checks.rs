//! What a description may not say although each of its parts can be read: tables of other roles, placeholders that do not fit.

use super::{BUILT_IN, Description, Fragments};
use crate::job::Role;
use crate::pipeline::fragment::{Fragment, Section};
use crate::pipeline::launch::{Template, What};
use crate::pipeline::parameters::ParameterType;
use crate::pipeline::problem::{Problem, did_you_mean};
use crate::pipeline::reader::Table;

/// Where a placeholder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// As an element.
    Element,
    /// As the whole value of a property.
    Value,
    /// Within a value, or within caps.
    Within,
}

impl Description {
    /// Each role has its own tables.
    pub(super) fn check_tables(&self, role: Role, root: &Table<'_>) {
        for section in Section::ALL {
            if section.role() == role {
                continue;
            }
            for fragment in self.section(section).all() {
                let found = format!("found in a description for a {role}");
                let right = format!("leave this out: it is for a {}", section.role());
                root.report(fragment.place(0), fragment.key, found, right);
            }
        }
        if let Some(place) = self.recording.place.filter(|_| role != Role::Recorder) {
            let found = format!("found in a description for a {role}");
            root.report(
                place,
                "recording",
                found,
                "leave this out: it is for a recorder",
            );
        }
        if role == Role::Filter && self.chain == Fragments::default() {
            let right =
                "a filter says what it does under [chain], as audio = \"...\" or video = \"...\"";
            root.report(root.place, "chain", "found nothing", right);
        }
    }

    pub(super) fn check_placeholders(
        &self,
        fragment: &Fragment,
        broken: &[String],
        problems: &mut Vec<Problem>,
    ) {
        let mut check = |name: &str, at: usize, stands: Stands| {
            if broken.iter().any(|other| other == name) {
                return;
            }
            if let Some((found, right)) = self.wrong_placeholder(name, stands) {
                let place = Some(fragment.place(at));
                let found = format!("{{{name}}} {found}");
                problems.push(self.problem(place, fragment.key, found, right));
            }
        };
        for element in &fragment.launch.elements {
            match &element.what {
                What::Device(name) => check(name, element.at, Stands::Element),
                What::Caps(caps) => {
                    for (name, at) in caps.placeholders() {
                        check(name, at, Stands::Within);
                    }
                }
                What::Factory(_) => {}
            }
            for property in &element.properties {
                let stands = |value: &Template| match value.whole() {
                    Some(_) => Stands::Value,
                    None => Stands::Within,
                };
                for (name, at) in property.value.placeholders() {
                    check(name, at, stands(&property.value));
                }
            }
        }
    }

    /// What is wrong with a placeholder where it stands, and what would be right.
    fn wrong_placeholder(&self, name: &str, stands: Stands) -> Option<(&'static str, String)> {
        let kind = self.parameters.get(name).map(|parameter| &parameter.kind);
        let is_text = match kind {
            Some(ParameterType::Device(_)) => {
                let right = "it stands as an element of its own: {camera} ! ...";
                return (stands != Stands::Element).then(|| ("is a device", right.to_owned()));
            }
            Some(ParameterType::String { .. }) => true,
            Some(
                ParameterType::Integer { .. }
                | ParameterType::Float { .. }
                | ParameterType::Boolean,
            ) => false,
            None if BUILT_IN.contains(&name) => name == "room",
            None => {
                let declared = self.parameters.keys().map(String::as_str);
                let known: Vec<&str> = BUILT_IN.into_iter().chain(declared).collect();
                let list = format!("known here: {}", known.join(", "));
                let right = match did_you_mean(name, known) {
                    Some(meant) => format!("{meant} {list}"),
                    None => list,
                };
                return Some(("is no parameter", right));
            }
        };
        match stands {
            Stands::Value => None,
            Stands::Within if !is_text => None,
            Stands::Within => Some((
                "is a text",
                format!("it must be the whole value of a property: text={{{name}}}"),
            )),
            Stands::Element => Some((
                "is no device",
                "only a parameter of type device stands as an element".to_owned(),
            )),
        }
    }
}
