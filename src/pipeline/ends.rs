//! Links between elements and the free pads of a fragment: made, or refused with the caps of both sides and advice.

use gst::prelude::*;
use gstreamer as gst;

use super::fragment::{Fragment, Section};
use crate::media::MediaKind;

/// Why two elements do not link.
pub(super) struct WrongLink {
    pub found: String,
    pub right: String,
}

/// What is wrong with a fragment's free pads.
pub(super) struct WrongEnd {
    pub element: Option<usize>,
    pub at: usize,
    pub found: String,
    pub right: String,
}

/// Links two elements, with a pad's name where the fragment gives one. Pads that come later are linked when they come.
pub(super) fn link(
    from: (&gst::Element, Option<&str>),
    to: (&gst::Element, Option<&str>),
) -> Result<(), WrongLink> {
    if from.0.link_pads(from.1, to.0, to.1).is_ok() {
        return Ok(());
    }
    let comes_later = from.0.pad_template_list().into_iter().any(|template| {
        template.presence() == gst::PadPresence::Sometimes
            && template.direction() == gst::PadDirection::Src
    });
    if comes_later && from.1.is_none_or(|pad| from.0.static_pad(pad).is_none()) {
        link_later(from, to);
        return Ok(());
    }
    Err(why_not(from, to))
}

fn link_later(from: (&gst::Element, Option<&str>), to: (&gst::Element, Option<&str>)) {
    let sink = to.0.downgrade();
    let wanted = from.1.map(str::to_owned);
    let entrance = to.1.map(str::to_owned);
    from.0.connect_pad_added(move |from, pad| {
        let is_wanted = wanted.as_ref().is_none_or(|wanted| pad.name() == *wanted);
        let Some(to) = sink.upgrade().filter(|_| is_wanted) else {
            return;
        };
        // One of another kind stays free; its stream ends there.
        if let Err(error) = from.link_pads(Some(&pad.name()), &to, entrance.as_deref()) {
            tracing::debug!(%error, "a pad that came later was not linked");
        }
    });
}

fn why_not(from: (&gst::Element, Option<&str>), to: (&gst::Element, Option<&str>)) -> WrongLink {
    let source = pad_of(from.0, from.1, gst::PadDirection::Src);
    let sink = pad_of(to.0, to.1, gst::PadDirection::Sink);
    let (given, taken) = match (source, sink) {
        (Ok(given), Ok(taken)) => (given, taken),
        (Err(found), _) => {
            let right = "an element with a free source pad before \"!\"; tee gives as many as are asked for";
            return WrongLink {
                found,
                right: right.to_owned(),
            };
        }
        (Ok(_), Err(found)) => {
            let right = "an element with a free sink pad behind \"!\"; compositor, audiomixer and funnel have many";
            return WrongLink {
                found,
                right: right.to_owned(),
            };
        }
    };
    WrongLink {
        found: format!("it gives {}, and {} is taken", short(&given), short(&taken)),
        right: advice(&given, &taken),
    }
}

/// What a free pad of an element can carry; else why there is none.
fn pad_of(
    element: &gst::Element,
    name: Option<&str>,
    direction: gst::PadDirection,
) -> Result<gst::Caps, String> {
    let words = match direction {
        gst::PadDirection::Src => "source",
        _ => "sink",
    };
    let pads = element.pads();
    let fits = |pad: &&gst::Pad| {
        pad.direction() == direction && name.is_none_or(|name| pad.name() == name)
    };
    let mut pads = pads.iter().filter(fits).peekable();
    if let Some(free) = pads.clone().find(|pad| !pad.is_linked()) {
        return Ok(free.query_caps(None));
    }
    let template = element.pad_template_list().into_iter().find(|template| {
        template.direction() == direction && template.presence() != gst::PadPresence::Always
    });
    match (template, pads.peek()) {
        (Some(template), _) if name.is_none() => Ok(template.caps().clone()),
        (_, Some(pad)) => Err(format!("{} is linked already", pad.name())),
        (_, None) => Err(match name {
            Some(name) => format!("it has no {words} pad {name}"),
            None => format!("it has no {words} pad"),
        }),
    }
}

/// Caps in a few words.
pub(super) fn short(caps: &gst::Caps) -> String {
    if caps.is_any() {
        return "anything".to_owned();
    }
    if caps.is_empty() {
        return "nothing".to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    for (structure, features) in caps.iter_with_features() {
        let mut part = structure.name().to_string();
        let features = features.to_string();
        if !features.is_empty() && features != "memory:SystemMemory" {
            part = format!("{part}({features})");
        }
        for field in ["format", "width", "height", "framerate", "rate", "channels"] {
            let Ok(value) = structure.value(field) else {
                continue;
            };
            let Ok(text) = value.serialize() else {
                continue;
            };
            if text.len() <= 24 && !text.contains("2147483647") {
                part = format!("{part},{field}={text}");
            }
        }
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let more = parts.len().saturating_sub(3);
    parts.truncate(3);
    let more = if more > 0 {
        format!(" or {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", parts.join(" or "))
}

/// What to put between caps that do not meet.
fn advice(given: &gst::Caps, taken: &gst::Caps) -> String {
    let names = |caps: &gst::Caps| -> Vec<String> {
        caps.iter()
            .map(|structure| structure.name().to_string())
            .collect()
    };
    let (from, to) = (names(given), names(taken));
    let all = |names: &[String], start: &str| {
        !names.is_empty() && names.iter().all(|name| name.starts_with(start))
    };
    let is_sound = |names: &[String]| all(names, "audio/");
    let is_picture = |names: &[String]| all(names, "video/") || all(names, "image/");
    let (is_raw_sound, is_raw_picture) = (
        |names: &[String]| names.iter().any(|name| name == "audio/x-raw"),
        |names: &[String]| names.iter().any(|name| name == "video/x-raw"),
    );
    if (is_sound(&from) && is_picture(&to)) || (is_picture(&from) && is_sound(&to)) {
        return "sound and picture go through elements of their own".to_owned();
    }
    if is_raw_picture(&from) && is_raw_picture(&to) {
        return "put videoconvertscale ! videorate between them".to_owned();
    }
    if is_raw_sound(&from) && is_raw_sound(&to) {
        return "put audioconvert ! audioresample between them".to_owned();
    }
    if is_raw_picture(&to) || is_raw_sound(&to) {
        let decoder = from.iter().find_map(|name| decoder(name));
        return match decoder {
            Some(decoder) => format!("put {decoder} between them"),
            None => "put a decoder between them".to_owned(),
        };
    }
    if is_raw_picture(&from) || is_raw_sound(&from) {
        return "put an encoder between them".to_owned();
    }
    "elements whose caps meet, or a converter between them".to_owned()
}

fn decoder(name: &str) -> Option<&'static str> {
    Some(match name {
        "image/jpeg" => "jpegdec",
        "image/png" => "pngdec",
        "video/x-h264" => "h264parse ! avdec_h264",
        "video/x-h265" => "h265parse ! avdec_h265",
        "video/x-vp8" => "vp8dec",
        "video/x-vp9" => "vp9dec",
        "audio/x-opus" => "opusdec",
        "audio/mpeg" => "aacparse ! avdec_aac",
        "audio/x-mulaw" => "mulawdec",
        "audio/x-alaw" => "alawdec",
        _ => return None,
    })
}

/// Gives the bin the ghost pads that its section has, and checks that nothing else is free.
pub(super) fn expose(
    bin: &gst::Bin,
    elements: &[gst::Element],
    fragment: &Fragment,
) -> Result<(), Vec<WrongEnd>> {
    let mut wrong = Vec::new();
    let section = fragment.section;
    for (direction, is_wanted) in [
        (gst::PadDirection::Sink, section.has_sink()),
        (gst::PadDirection::Src, section.has_source()),
    ] {
        let free = free_pads(elements, direction);
        if let Err(end) = expose_one(bin, &free, direction, is_wanted, fragment) {
            wrong.push(end);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Free pads with their element's index. Side entrances of overlays may stay free.
fn free_pads(elements: &[gst::Element], direction: gst::PadDirection) -> Vec<(usize, gst::Pad)> {
    let pads = elements
        .iter()
        .enumerate()
        .flat_map(|(index, element)| element.pads().into_iter().map(move |pad| (index, pad)));
    pads.filter(|(_, pad)| pad.direction() == direction && !pad.is_linked())
        .filter(|(_, pad)| !matches!(pad.name().as_str(), "text_sink" | "subtitle_sink"))
        .collect()
}

fn expose_one(
    bin: &gst::Bin,
    free: &[(usize, gst::Pad)],
    direction: gst::PadDirection,
    is_wanted: bool,
    fragment: &Fragment,
) -> Result<(), WrongEnd> {
    let right = ends_in_words(fragment.section);
    let name_of = |index: usize| fragment.element_name(index);
    let at = |index: usize| fragment.launch.elements[index].at;
    let (index, pad) = match free {
        [] if !is_wanted => return Ok(()),
        [one] if is_wanted => one,
        [] => {
            let found = match direction {
                gst::PadDirection::Src => "no free source pad",
                _ => "no free sink pad",
            };
            return Err(WrongEnd {
                element: None,
                at: 0,
                found: found.to_owned(),
                right: right.to_owned(),
            });
        }
        [.., (index, pad)] => {
            let names: Vec<String> = free
                .iter()
                .map(|(index, pad)| format!("{}.{}", name_of(*index), pad.name()))
                .collect();
            let found = if is_wanted {
                format!("{} free pads: {}", free.len(), names.join(", "))
            } else {
                format!("the pad {}.{} leads nowhere", name_of(*index), pad.name())
            };
            return Err(WrongEnd {
                element: Some(*index),
                at: at(*index),
                found,
                right: right.to_owned(),
            });
        }
    };
    let outside = outside(fragment, direction);
    let inside = pad.query_caps(None);
    let is_later_set = inside.is_any() || inside.can_intersect(&outside);
    if !is_later_set {
        let (given, taken) = match direction {
            gst::PadDirection::Src => (&inside, &outside),
            _ => (&outside, &inside),
        };
        let found = match direction {
            gst::PadDirection::Src => {
                format!(
                    "it gives {}, and attache takes {} here",
                    short(given),
                    short(taken)
                )
            }
            _ => format!(
                "it takes {}, and attache gives {} here",
                short(taken),
                short(given)
            ),
        };
        return Err(WrongEnd {
            element: Some(*index),
            at: at(*index),
            found,
            right: advice(given, taken).replace(
                "between them",
                match direction {
                    gst::PadDirection::Src => "behind it",
                    _ => "before it",
                },
            ),
        });
    }
    ghost(bin, pad).map_err(|error| WrongEnd {
        element: Some(*index),
        at: at(*index),
        found: error.to_string(),
        right: right.to_owned(),
    })
}

fn ghost(bin: &gst::Bin, pad: &gst::Pad) -> Result<(), gst::glib::BoolError> {
    let ghost = match pad.direction() {
        gst::PadDirection::Src => gst::GhostPad::builder_with_target(pad)?.name("src").build(),
        _ => gst::GhostPad::builder_with_target(pad)?
            .name("sink")
            .build(),
    };
    ghost.set_active(true)?;
    bin.add_pad(&ghost)
}

/// What attache attaches outside.
fn outside(fragment: &Fragment, direction: gst::PadDirection) -> gst::Caps {
    match (fragment.kind, direction) {
        (MediaKind::Video, gst::PadDirection::Src) => gst::Caps::new_empty_simple("video/x-raw"),
        (MediaKind::Audio, gst::PadDirection::Src) => gst::Caps::new_empty_simple("audio/x-raw"),
        (MediaKind::Video, _) => gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .build(),
        (MediaKind::Audio, _) => gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", 48_000)
            .build(),
    }
}

fn ends_in_words(section: Section) -> &'static str {
    match section {
        Section::Capture => "a capture fragment ends with one free source pad, and has no other",
        Section::Attract => "an attract fragment ends with one free source pad, and has no other",
        Section::Playback => "a playback fragment begins with one free sink pad, and has no other",
        Section::Chain | Section::Record => {
            "this fragment begins with one free sink pad and ends with one free source pad, and has no other"
        }
    }
}
