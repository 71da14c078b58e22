//! Values become typed properties of GStreamer's elements, or errors that say what would fit.

use gst::glib::{self, ParamFlags, ParamSpec};
use gst::prelude::*;
use gstreamer as gst;

use super::fragment::literal;
use super::problem::did_you_mean;
use crate::job::Value;

/// Why a property cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrongProperty {
    pub found: String,
    pub right: String,
    /// It is the property's name that is wrong, not its value.
    pub is_name: bool,
}

fn wrong_value(found: String, right: String) -> WrongProperty {
    WrongProperty {
        found,
        right,
        is_name: false,
    }
}

/// The name of the property itself in `pad::property`.
pub(super) fn last(name: &str) -> &str {
    name.rsplit_once("::").map_or(name, |(_, last)| last)
}

/// The object that a property belongs to (the element, or one of its pads for `sink_0::alpha`), and its specification.
pub(super) fn find(
    element: &gst::Element,
    name: &str,
) -> Result<(glib::Object, ParamSpec), WrongProperty> {
    let wrong_name = |found: String, right: String| WrongProperty {
        found,
        right,
        is_name: true,
    };
    let (object, own) = match name.rsplit_once("::") {
        None => (element.clone().upcast::<glib::Object>(), name),
        Some((pad, own)) => {
            let Some(pad) = element.static_pad(pad) else {
                let pads: Vec<String> = element
                    .pads()
                    .iter()
                    .map(|pad| pad.name().to_string())
                    .collect();
                let found = format!("no pad {pad}");
                let right = format!("a pad that is linked here: {}", pads.join(", "));
                return Err(wrong_name(found, right));
            };
            (pad.upcast(), own)
        }
    };
    let known = object.list_properties();
    let writable = || {
        let is_writable = |spec: &&ParamSpec| {
            spec.flags().contains(ParamFlags::WRITABLE)
                && !spec.flags().contains(ParamFlags::CONSTRUCT_ONLY)
                && !matches!(spec.name(), "name" | "parent" | "template")
        };
        known.iter().filter(is_writable)
    };
    if let Some(spec) = writable().find(|spec| spec.name() == own.replace('_', "-")) {
        return Ok((object.clone(), spec.clone()));
    }
    let found = if known.iter().any(|spec| spec.name() == own) {
        format!("the property {own} cannot be set")
    } else {
        format!("no property {own}")
    };
    let mut names: Vec<&str> = writable().map(|spec| spec.name()).collect();
    names.sort_unstable();
    let right = did_you_mean(own, names.iter().copied())
        .unwrap_or_else(|| format!("its properties: {}", names.join(", ")));
    Err(wrong_name(found, right))
}

/// A parameter's value, for a property. A text goes only where texts and names go.
pub(super) fn typed(spec: &ParamSpec, value: &Value) -> Result<glib::Value, WrongProperty> {
    let Value::String(text) = value else {
        return read(spec, &literal(value));
    };
    let is_for_texts = spec.value_type() == glib::Type::STRING || nicks(spec).is_some();
    if !is_for_texts {
        let right = format!("a parameter that gives {}", wanted(spec));
        return Err(wrong_value("a text parameter".to_owned(), right));
    }
    read(spec, text)
}

/// A written value, for a property.
pub(super) fn read(spec: &ParamSpec, text: &str) -> Result<glib::Value, WrongProperty> {
    let wrong = || {
        let shown: String = text.chars().take(60).collect();
        let mut right = wanted(spec);
        if let Some(meant) =
            nicks(spec).and_then(|nicks| did_you_mean(text, nicks.iter().map(String::as_str)))
        {
            right = format!("{meant} {right}");
        }
        wrong_value(format!("{} is {shown:?}", spec.name()), right)
    };
    if text.contains('\0') {
        return Err(wrong());
    }
    if spec.value_type() == glib::Type::STRING {
        return Ok(text.to_value());
    }
    let value = glib::Value::deserialize_with_pspec(text, spec).map_err(|_| wrong())?;
    let fits = value.type_().is_a(spec.value_type()) && spec.value_is_valid(&value);
    if fits { Ok(value) } else { Err(wrong()) }
}

/// The names of an enumeration's or set's values.
fn nicks(spec: &ParamSpec) -> Option<Vec<String>> {
    let kind = spec.value_type();
    if let Some(class) = glib::EnumClass::with_type(kind) {
        let nicks = class.values().iter().map(|value| value.nick().to_owned());
        return Some(nicks.collect());
    }
    let class = glib::FlagsClass::with_type(kind)?;
    let nicks = class.values().iter().map(|value| value.nick().to_owned());
    Some(nicks.collect())
}

/// What fits a property, in words.
fn wanted(spec: &ParamSpec) -> String {
    macro_rules! ranges {
        ($($kind:ident $words:literal),*) => {
            $(if let Some(spec) = spec.downcast_ref::<glib::$kind>() {
                return format!("{} from {} to {}", $words, spec.minimum(), spec.maximum());
            })*
        };
    }
    ranges!(
        ParamSpecInt "a whole number",
        ParamSpecUInt "a whole number",
        ParamSpecInt64 "a whole number",
        ParamSpecUInt64 "a whole number",
        ParamSpecLong "a whole number",
        ParamSpecULong "a whole number",
        ParamSpecFloat "a number",
        ParamSpecDouble "a number"
    );
    if spec.value_type() == glib::Type::BOOL {
        return "true or false".to_owned();
    }
    if spec.value_type() == glib::Type::STRING {
        return "a text".to_owned();
    }
    if let Some(nicks) = nicks(spec) {
        return format!("one of {}", nicks.join(", "));
    }
    if spec.value_type() == gst::Caps::static_type() {
        return "caps such as \"video/x-raw,width=640\"".to_owned();
    }
    if spec.value_type() == gst::Fraction::static_type() {
        return "a fraction such as 30/1".to_owned();
    }
    format!("a {}", spec.value_type().name())
}
