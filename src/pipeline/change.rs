//! What a running job has to do when its description or its parameters change: decided without GStreamer.

use super::description::Description;
use super::fragment::{Fragment, Section, literal};
use super::launch::{Element, Property, Template, What};
use super::live;
use super::parameters::Values;
use super::problem::DescriptionError;
use super::settings::Settings;
use crate::job::Value;
use crate::media::MediaKind;

/// A fragment's place in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// Its table.
    pub section: Section,
    /// Picture or sound.
    pub kind: MediaKind,
}

/// A property to set on a built element.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// In the bin of which fragment.
    pub part: Part,
    /// The element's name in that bin.
    pub element: String,
    /// Its property.
    pub property: String,
    /// The new value.
    pub value: NewValue,
}

/// A property's new value.
#[derive(Debug, Clone, PartialEq)]
pub enum NewValue {
    /// A parameter's.
    Parameter(Value),
    /// As the description's file has it, with checked literals in it.
    Written(String),
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Nothing that runs is concerned.
    Nothing,
    /// Set these properties; nothing is built anew.
    InPlace(Vec<Setting>),
    /// Build some of it anew.
    Rebuild(Rebuild),
}

/// What is built anew, and what is set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rebuild {
    /// Fragments whose bins are built anew, those that came or went included.
    pub parts: Vec<Part>,
    /// Encoders that get other settings.
    pub encoders: Vec<MediaKind>,
    /// Jitter buffer or codecs are others: new peers get them.
    pub peers: bool,
    /// Properties of the parts that stay.
    pub settings: Vec<Setting>,
}

impl Rebuild {
    /// Whether a part is built anew.
    pub fn concerns(&self, section: Section, kind: MediaKind) -> bool {
        self.parts.contains(&Part { section, kind })
    }

    fn add(&mut self, part: Part) {
        if !self.parts.contains(&part) {
            self.parts.push(part);
        }
    }
}

impl Description {
    /// What a job that runs this description with `old` values does to run `new` with `values`.
    ///
    /// # Errors
    /// Where values do not fit the settings.
    pub fn changes(
        &self,
        old: &Values,
        new: &Self,
        values: &Values,
    ) -> Result<Change, DescriptionError> {
        let mut rebuild = Rebuild::default();
        for section in Section::ALL {
            for kind in [MediaKind::Video, MediaKind::Audio] {
                let part = Part { section, kind };
                let before = self.section(section).of(kind);
                let after = new.section(section).of(kind);
                match compare(part, before.map(|f| (f, old)), after.map(|f| (f, values))) {
                    Some(settings) => rebuild.settings.extend(settings),
                    None => rebuild.add(part),
                }
            }
        }
        let (before, after) = (self.settings(old)?, new.settings(values)?);
        self.compare_settings(new, (&before, &after), &mut rebuild);
        self.compare_fallback(old, new, values, &mut rebuild)?;
        rebuild
            .settings
            .retain(|setting| !rebuild.parts.contains(&setting.part));
        let is_in_place = rebuild.parts.is_empty() && rebuild.encoders.is_empty() && !rebuild.peers;
        Ok(match (is_in_place, rebuild.settings.is_empty()) {
            (true, true) => Change::Nothing,
            (true, false) => Change::InPlace(rebuild.settings),
            (false, _) => Change::Rebuild(rebuild),
        })
    }

    /// Another size or number of channels concerns every part of its kind: what attache attaches to it is another.
    fn compare_settings(
        &self,
        new: &Self,
        (before, after): (&Settings, &Settings),
        rebuild: &mut Rebuild,
    ) {
        let size = |settings: &Settings| {
            let video = &settings.video;
            (video.width, video.height, video.framerate)
        };
        for (kind, is_other_form, is_other_rate) in [
            (
                MediaKind::Video,
                size(before) != size(after),
                before.video.bitrate != after.video.bitrate,
            ),
            (
                MediaKind::Audio,
                before.audio.channels != after.audio.channels,
                before.audio.bitrate != after.audio.bitrate,
            ),
        ] {
            if is_other_rate {
                rebuild.encoders.push(kind);
            }
            for section in Section::ALL {
                let is_there = |description: &Self| description.section(section).of(kind).is_some();
                if is_other_form && (is_there(self) || is_there(new)) {
                    rebuild.add(Part { section, kind });
                }
            }
        }
        rebuild.peers =
            before.latency != after.latency || before.video.codecs != after.video.codecs;
    }

    /// Where a device is missing the fallback runs; whether it does is not known here.
    fn compare_fallback(
        &self,
        old: &Values,
        new: &Self,
        values: &Values,
        rebuild: &mut Rebuild,
    ) -> Result<(), DescriptionError> {
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let with_device = |description: &Self| {
                let fragment = description.capture.of(kind);
                fragment.is_some_and(|fragment| !description.devices_of(fragment).is_empty())
            };
            if !with_device(self) && !with_device(new) {
                continue;
            }
            let part = Part {
                section: Section::Capture,
                kind,
            };
            let of = |description: &'_ Self, values: &Values| {
                let fallback = description.fallback.as_deref();
                let room = values.text("room").and_then(|room| room.parse().ok());
                let both = fallback.zip(room);
                both.map(|(fallback, room)| description.fallback_values(fallback, values, &room))
                    .transpose()
            };
            let (before, after) = (of(self, old)?, of(new, values)?);
            let fragment = |description: &'_ Self| {
                description
                    .fallback
                    .as_deref()
                    .and_then(|other| other.capture.of(kind).cloned())
            };
            let (from, to) = (fragment(self), fragment(new));
            let same = compare(
                part,
                from.as_ref().zip(before.as_ref()),
                to.as_ref().zip(after.as_ref()),
            );
            if same.is_none_or(|settings| !settings.is_empty()) {
                rebuild.add(part);
            }
        }
        Ok(())
    }
}

/// The properties that turn one fragment into the other; `None` where it has to be built anew.
fn compare(
    part: Part,
    before: Option<(&Fragment, &Values)>,
    after: Option<(&Fragment, &Values)>,
) -> Option<Vec<Setting>> {
    let ((before, old), (after, new)) = match (before, after) {
        (None, None) => return Some(Vec::new()),
        (Some(_), None) | (None, Some(_)) => return None,
        (Some(before), Some(after)) => (before, after),
    };
    let links = |fragment: &Fragment| {
        let links = fragment.launch.links.iter();
        links
            .map(|link| (link.from.clone(), link.to.clone()))
            .collect::<Vec<_>>()
    };
    if before.launch.elements.len() != after.launch.elements.len() || links(before) != links(after)
    {
        return None;
    }
    let mut settings = Vec::new();
    for (index, (one, other)) in before
        .launch
        .elements
        .iter()
        .zip(&after.launch.elements)
        .enumerate()
    {
        if !is_same(one, old, other, new) || one.properties.len() != other.properties.len() {
            return None;
        }
        let What::Factory(factory) = &other.what else {
            continue;
        };
        for (was, is) in one.properties.iter().zip(&other.properties) {
            if was.name != is.name {
                return None;
            }
            if value(was, old) == value(is, new) {
                continue;
            }
            if !live::is_in_table(factory, &is.name) {
                return None;
            }
            settings.push(Setting {
                part,
                element: after.element_name(index),
                property: is.name.clone(),
                value: value(is, new),
            });
        }
    }
    Some(settings)
}

fn is_same(one: &Element, old: &Values, other: &Element, new: &Values) -> bool {
    let what = match (&one.what, &other.what) {
        (What::Factory(one), What::Factory(other)) => one == other,
        (What::Caps(one), What::Caps(other)) => filled(one, old) == filled(other, new),
        (What::Device(one), What::Device(other)) => {
            one == other && old.text(one) == new.text(other)
        }
        (What::Factory(_) | What::Caps(_) | What::Device(_), _) => false,
    };
    what && one.name == other.name
}

fn filled(template: &Template, values: &Values) -> String {
    template.filled(|name| values.get(name).map(literal).unwrap_or_default())
}

fn value(property: &Property, values: &Values) -> NewValue {
    let whole = property.value.whole().and_then(|name| values.get(name));
    match whole {
        Some(value) => NewValue::Parameter(value.clone()),
        None => NewValue::Written(filled(&property.value, values)),
    }
}
