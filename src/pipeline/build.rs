//! Fragments become GStreamer bins, element by element: no text of a description or of a value reaches a launch parser.

use std::str::FromStr;

use gst::prelude::*;
use gstreamer as gst;

use super::change::{NewValue, Setting};
use super::description::Description;
use super::ends;
use super::fragment::{Filled, Fragment, literal};
use super::launch::{Property, Template, What};
use super::live;
use super::packages;
use super::problem::{DescriptionError, Problem};
use super::property::{self, WrongProperty};
use crate::job::Value;

/// Which free pad a fragment must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A source pad: it captures.
    Source,
    /// A sink pad: it plays.
    Sink,
    /// One of each: media passes through it.
    Both,
}

/// Where a parameter's value went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The parameter.
    pub parameter: String,
    /// The name of the built element.
    pub element: String,
    /// Its property.
    pub property: String,
    /// Whether the parameter is the property's whole value, and the element takes a new one while it plays.
    pub is_live: bool,
}

/// A fragment, built.
#[derive(Debug)]
pub struct Built {
    /// The bin, with the ghost pads `src`, `sink` or both.
    pub bin: gst::Bin,
    /// Where the values of the parameters went.
    pub bindings: Vec<Binding>,
}

/// Why a value cannot be set in place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Nothing here has it.
    #[error("{0} is not used here")]
    Unknown(String),
    /// The element takes it only before it plays.
    #[error("{element} does not take {property} while it plays")]
    NotLive {
        /// The element's name.
        element: String,
        /// Its property.
        property: String,
    },
    /// The value does not fit the property.
    #[error("{element}: {property}: {found}; {right}")]
    Wrong {
        /// The element's name.
        element: String,
        /// Its property.
        property: String,
        /// What was found.
        found: String,
        /// What would be right.
        right: String,
    },
}

impl Built {
    /// Gives a parameter another value while the bin plays: all of its properties, or none.
    ///
    /// # Errors
    /// Where a property does not take it while playing, or the value does not fit.
    pub fn set(&self, parameter: &str, value: &Value) -> Result<(), SetError> {
        let is_of_it = |binding: &&Binding| binding.parameter == parameter;
        let bindings: Vec<&Binding> = self.bindings.iter().filter(is_of_it).collect();
        if bindings.is_empty() {
            return Err(SetError::Unknown(parameter.to_owned()));
        }
        if let Some(fixed) = bindings.iter().find(|binding| !binding.is_live) {
            return Err(SetError::NotLive {
                element: fixed.element.clone(),
                property: fixed.property.clone(),
            });
        }
        let value = NewValue::Parameter(value.clone());
        let typed = |binding: &&Binding| self.typed(&binding.element, &binding.property, &value);
        let values: Result<Vec<_>, SetError> = bindings.iter().map(typed).collect();
        for (binding, (object, value)) in bindings.iter().zip(values?) {
            object.set_property_from_value(property::last(&binding.property), &value);
        }
        Ok(())
    }

    /// Sets one property as [`Description::changes`] says.
    ///
    /// # Errors
    /// Where there is no such element, or the value does not fit.
    pub fn apply(&self, setting: &Setting) -> Result<(), SetError> {
        let (object, value) = self.typed(&setting.element, &setting.property, &setting.value)?;
        object.set_property_from_value(property::last(&setting.property), &value);
        Ok(())
    }

    fn typed(
        &self,
        element: &str,
        property: &str,
        value: &NewValue,
    ) -> Result<(gst::glib::Object, gst::glib::Value), SetError> {
        let found = self.bin.by_name(element);
        let found = found.ok_or_else(|| SetError::Unknown(element.to_owned()))?;
        let wrong = |wrong: WrongProperty| SetError::Wrong {
            element: element.to_owned(),
            property: property.to_owned(),
            found: wrong.found,
            right: wrong.right,
        };
        let (object, spec) = property::find(&found, property).map_err(wrong)?;
        let value = match value {
            NewValue::Parameter(value) => property::typed(&spec, value),
            NewValue::Written(text) => property::read(&spec, text),
        };
        Ok((object, value.map_err(wrong)?))
    }
}

/// The bin of a fragment, without its bindings.
///
/// # Errors
/// Every problem of the fragment.
pub fn bin(
    description: &Description,
    fragment: &Fragment,
    filled: &Filled,
    _end: End,
) -> Result<gst::Bin, DescriptionError> {
    build(description, fragment, filled).map(|built| built.bin)
}

/// Builds a fragment with these values.
///
/// # Errors
/// Every problem: elements that do not exist, properties, values, links, free pads.
pub fn build(
    description: &Description,
    fragment: &Fragment,
    filled: &Filled,
) -> Result<Built, DescriptionError> {
    build_with(description, fragment, filled, &|_| None)
}

/// Builds a fragment; `stand_in` may give the launch text of what stands in for an element, by index.
pub(super) fn build_with(
    description: &Description,
    fragment: &Fragment,
    filled: &Filled,
    stand_in: &dyn Fn(usize) -> Option<&'static str>,
) -> Result<Built, DescriptionError> {
    let mut builder = Builder::new(description, fragment, filled, stand_in);
    for index in 0..fragment.launch.elements.len() {
        let element = builder.element(index);
        builder.elements.push(element);
    }
    builder.set_properties(|property| !property.name.contains("::"));
    if builder.elements.iter().all(Option::is_some) && builder.problems.is_empty() {
        builder.link();
        builder.set_properties(|property| property.name.contains("::"));
    }
    if builder.problems.is_empty() {
        let elements: Vec<gst::Element> = builder.elements.iter().flatten().cloned().collect();
        let ends = ends::expose(&builder.bin, &elements, fragment);
        for wrong in ends.err().into_iter().flatten() {
            builder.problem(wrong.element, wrong.at, wrong.found, wrong.right);
        }
    }
    DescriptionError::unless_empty(builder.problems)?;
    Ok(Built {
        bin: builder.bin,
        bindings: builder.bindings,
    })
}

/// What is wrong with the elements and properties of a fragment some of whose placeholders have no value; links and
/// values that hang on those are left for later.
pub(super) fn look(
    description: &Description,
    fragment: &Fragment,
    filled: &Filled,
) -> Vec<Problem> {
    let mut builder = Builder::new(description, fragment, filled, &|_| None);
    for (index, written) in fragment.launch.elements.iter().enumerate() {
        let is_known = match &written.what {
            What::Factory(_) => true,
            What::Caps(caps) => builder.knows(caps),
            What::Device(device) => filled.devices.contains_key(device),
        };
        let element = is_known.then(|| builder.element(index)).flatten();
        builder.elements.push(element);
    }
    builder.set_properties(|property| !property.name.contains("::"));
    builder.problems
}

struct Builder<'a> {
    description: &'a Description,
    fragment: &'a Fragment,
    filled: &'a Filled,
    stand_in: &'a dyn Fn(usize) -> Option<&'static str>,
    bin: gst::Bin,
    elements: Vec<Option<gst::Element>>,
    bindings: Vec<Binding>,
    problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    fn new(
        description: &'a Description,
        fragment: &'a Fragment,
        filled: &'a Filled,
        stand_in: &'a dyn Fn(usize) -> Option<&'static str>,
    ) -> Self {
        Self {
            description,
            fragment,
            filled,
            stand_in,
            bin: gst::Bin::with_name(&fragment.key.replace('.', "-")),
            elements: Vec::new(),
            bindings: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn problem(
        &mut self,
        element: Option<usize>,
        at: usize,
        found: impl Into<String>,
        right: impl Into<String>,
    ) {
        let place = Some(self.fragment.place(at));
        let key = self.fragment.key;
        let mut problem = self.description.problem(place, key, found, right);
        problem.element = element.map(|index| self.fragment.element_name(index));
        self.problems.push(problem);
    }

    /// Whether every placeholder has a value.
    fn knows(&self, template: &Template) -> bool {
        template
            .placeholders()
            .all(|(name, _)| self.filled.values.get(name).is_some())
    }

    fn literal(&self, template: &Template) -> String {
        template.filled(|name| {
            self.filled
                .values
                .get(name)
                .map(literal)
                .unwrap_or_default()
        })
    }

    /// Makes an element and puts it into the bin.
    fn element(&mut self, index: usize) -> Option<gst::Element> {
        let fragment = self.fragment;
        let (name, at) = (
            fragment.element_name(index),
            fragment.launch.elements[index].at,
        );
        let element = match &fragment.launch.elements[index].what {
            What::Factory(factory) => match (self.stand_in)(index) {
                Some(launch) => self.parsed(index, &name, launch),
                None => self.made_by(index, &name, factory),
            },
            What::Caps(template) => self.capsfilter(index, &name, template),
            What::Device(device) => {
                let Some(launch) = self.filled.devices.get(device).cloned() else {
                    self.problem(Some(index), at, "there is no such device", "another device");
                    return None;
                };
                self.parsed(index, &name, &launch)
            }
        }?;
        if let Err(error) = self.bin.add(&element) {
            let right = "names that no two elements share";
            self.problem(Some(index), at, error.to_string(), right);
            return None;
        }
        Some(element)
    }

    fn made_by(&mut self, index: usize, name: &str, factory: &str) -> Option<gst::Element> {
        let at = self.fragment.launch.elements[index].at;
        let Some(found) = gst::ElementFactory::find(factory) else {
            let right = packages::advice(factory);
            self.problem(None, at, format!("no element {factory}"), right);
            return None;
        };
        let missing = packages::needed_by(factory)
            .filter(|needed| gst::ElementFactory::find(needed).is_none());
        if let Some(missing) = missing {
            let found = format!("no element {missing}, which {factory} needs");
            self.problem(None, at, found, packages::advice(missing));
            return None;
        }
        match found.create().name(name).build() {
            Ok(element) => Some(element),
            Err(error) => {
                let right =
                    "an element whose plugin loads: see GST_DEBUG=3 attache pipelines check";
                self.problem(Some(index), at, error.to_string(), right);
                None
            }
        }
    }

    /// A launch text that attache made itself.
    fn parsed(&mut self, index: usize, name: &str, launch: &str) -> Option<gst::Element> {
        let flags = gst::ParseFlags::FATAL_ERRORS;
        let made = gst::parse::bin_from_description_with_name_full(launch, true, name, None, flags);
        match made {
            Ok(bin) => Some(bin),
            Err(error) => {
                let at = self.fragment.launch.elements[index].at;
                let right = "a device whose element works on this machine";
                self.problem(Some(index), at, error.message().to_owned(), right);
                None
            }
        }
    }

    fn capsfilter(
        &mut self,
        index: usize,
        name: &str,
        template: &Template,
    ) -> Option<gst::Element> {
        let at = self.fragment.launch.elements[index].at;
        let text = self.literal(template);
        let Ok(caps) = gst::Caps::from_str(&text) else {
            let right = "caps are like video/x-raw,format=I420,width=640,framerate=30/1";
            self.problem(None, at, format!("{text:?} are no caps"), right);
            return None;
        };
        for (parameter, _) in template.placeholders() {
            self.bindings.push(Binding {
                parameter: parameter.to_owned(),
                element: name.to_owned(),
                property: "caps".to_owned(),
                is_live: false,
            });
        }
        match gst::ElementFactory::make("capsfilter")
            .name(name)
            .property("caps", &caps)
            .build()
        {
            Ok(element) => Some(element),
            Err(error) => {
                self.problem(None, at, error.to_string(), packages::advice("capsfilter"));
                None
            }
        }
    }

    fn set_properties(&mut self, is_meant: impl Fn(&Property) -> bool) {
        let fragment = self.fragment;
        for (index, written) in fragment.launch.elements.iter().enumerate() {
            let What::Factory(factory) = &written.what else {
                continue;
            };
            // What stands in has properties of its own.
            if (self.stand_in)(index).is_some() {
                continue;
            }
            let Some(element) = self.elements[index].clone() else {
                continue;
            };
            for property in written
                .properties
                .iter()
                .filter(|property| is_meant(property))
            {
                if let Err(wrong) = self.set(index, factory, &element, property) {
                    let at = if wrong.is_name {
                        property.at
                    } else {
                        property.value_at
                    };
                    self.problem(Some(index), at, wrong.found, wrong.right);
                }
            }
        }
    }

    fn set(
        &mut self,
        index: usize,
        factory: &str,
        element: &gst::Element,
        written: &Property,
    ) -> Result<(), WrongProperty> {
        let (object, spec) = property::find(element, &written.name)?;
        if !self.knows(&written.value) {
            return Ok(());
        }
        let whole = written.value.whole();
        let value = match whole.and_then(|name| self.filled.values.get(name)) {
            Some(value) => property::typed(&spec, value)?,
            None => property::read(&spec, &self.literal(&written.value))?,
        };
        object.set_property_from_value(spec.name(), &value);
        let is_live = whole.is_some() && live::is_live(factory, &written.name, &spec);
        for (parameter, _) in written.value.placeholders() {
            self.bindings.push(Binding {
                parameter: parameter.to_owned(),
                element: self.fragment.element_name(index),
                property: written.name.clone(),
                is_live,
            });
        }
        Ok(())
    }

    fn link(&mut self) {
        let fragment = self.fragment;
        for link in &fragment.launch.links {
            let ends = (
                self.elements[link.from.element].clone(),
                self.elements[link.to.element].clone(),
            );
            let (Some(from), Some(to)) = ends else {
                continue;
            };
            let pads = (link.from.pad.as_deref(), link.to.pad.as_deref());
            if let Err(wrong) = ends::link((&from, pads.0), (&to, pads.1)) {
                let name = self.fragment.element_name(link.to.element);
                let from = self.fragment.element_name(link.from.element);
                let found = format!("{from} does not link to {name}: {}", wrong.found);
                self.problem(Some(link.to.element), link.at, found, wrong.right);
            }
        }
    }
}
