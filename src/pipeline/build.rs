//! Fragments become GStreamer bins, with errors that name file, line and element.

use gst::prelude::*;
use gstreamer as gst;

use super::description::{Description, DescriptionError};
use super::fragment::Fragment;

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

/// Parses a fragment's filled launch text into a bin with the ghost pads `src`, `sink` or both.
pub fn bin(
    description: &Description,
    fragment: &Fragment,
    launch: &str,
    end: End,
) -> Result<gst::Bin, DescriptionError> {
    let name = fragment.key.replace('.', "-");
    let flags = gst::ParseFlags::FATAL_ERRORS;
    let bin = gst::parse::bin_from_description_with_name_full(launch, false, &name, None, flags)
        .map_err(|error| parse_error(description, fragment, &error))?;
    let not_a_bin =
        |_| description.error(Some(fragment.line), fragment.key, "no bin", "a launch text");
    let bin = bin.downcast::<gst::Bin>().map_err(not_a_bin)?;
    for pad in free_pads(description, fragment, &bin, end)? {
        let no_ghost = |error: gst::glib::BoolError| {
            let found = error.to_string();
            description.error(Some(fragment.line), fragment.key, found, "another pad")
        };
        let ghost = gst::GhostPad::with_target(&pad).map_err(no_ghost)?;
        ghost
            .set_active(true)
            .and_then(|()| bin.add_pad(&ghost))
            .map_err(no_ghost)?;
    }
    Ok(bin)
}

/// The pads that are free, one at each end that is wanted, and none elsewhere.
fn free_pads(
    description: &Description,
    fragment: &Fragment,
    bin: &gst::Bin,
    end: End,
) -> Result<Vec<gst::Pad>, DescriptionError> {
    use gst::PadDirection::{Sink, Src};
    let (wanted, right): (&[_], _) = match end {
        End::Source => (&[Src], "this fragment ends with one free source pad"),
        End::Sink => (&[Sink], "this fragment begins with one free sink pad"),
        End::Both => (
            &[Sink, Src],
            "this fragment begins with one free sink pad and ends with one free source pad",
        ),
    };
    let wrong = |found: String| description.error(Some(fragment.line), fragment.key, found, right);
    let mut free = Vec::new();
    for direction in wanted {
        let pad = bin.find_unlinked_pad(*direction);
        free.push(pad.ok_or_else(|| wrong("no free pad found".to_owned()))?);
    }
    // Elements may leave side entrances free (textoverlay's text_sink), but not their main one.
    let pads = |element: gst::Element| {
        ["sink", "src"]
            .into_iter()
            .filter_map(move |name| element.static_pad(name))
    };
    let elements = bin.iterate_elements().into_iter().flatten();
    let dangling = elements
        .flat_map(pads)
        .find(|pad| !pad.is_linked() && !free.contains(pad));
    if let Some(pad) = dangling {
        return Err(wrong(format!("the pad {} leads nowhere", path(&pad))));
    }
    Ok(free)
}

fn path(pad: &gst::Pad) -> String {
    let element = pad
        .parent()
        .map(|element| element.name().to_string())
        .unwrap_or_default();
    format!("{element}.{}", pad.name())
}

/// GStreamer's words with the line of the element or property they name in quotes.
fn parse_error(
    description: &Description,
    fragment: &Fragment,
    error: &gst::glib::Error,
) -> DescriptionError {
    let message = error.message();
    let named = message.split('"').nth(1).filter(|word| !word.is_empty());
    let line = named.map_or(fragment.line, |word| fragment.line_with(word));
    let right = match error.kind::<gst::ParseError>() {
        Some(gst::ParseError::NoSuchElement) => {
            "an element that gst-inspect-1.0 lists, or its plugin installed"
        }
        Some(gst::ParseError::NoSuchProperty) => {
            "a property that gst-inspect-1.0 shows for this element"
        }
        Some(gst::ParseError::CouldNotSetProperty) => {
            "a value that gst-inspect-1.0 shows for this property"
        }
        Some(gst::ParseError::Link) => "elements whose caps fit, or a converter between them",
        _ => "a text that gst-launch-1.0 accepts",
    };
    description.error(Some(line), fragment.key, message.trim().to_owned(), right)
}
