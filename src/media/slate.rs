//! What is sent while a device is away: the description's fallback, else a dark picture; both say what is missing. For
//! sound, the fallback's or silence.

use gst::prelude::*;
use gstreamer as gst;

use super::elements::{capsfilter, make};
use super::source::Plan;
use super::{MediaError, MediaKind};
use crate::pipeline::build::Built;

const BASE: &str = "gstreamer1.0-plugins-base";

/// What a plan's source is called.
fn word(plan: &Plan, kind: MediaKind) -> &'static str {
    match (kind, plan.has_device(kind)) {
        (MediaKind::Video, true) => "camera",
        (MediaKind::Video, false) => "picture",
        (MediaKind::Audio, true) => "microphone",
        (MediaKind::Audio, false) => "sound",
    }
}

/// What people who look on are told.
pub(super) fn text(plan: &Plan, kind: MediaKind) -> String {
    format!("{} not available", word(plan, kind))
}

/// Builds what is sent while the plan's source is away.
pub(super) fn build(plan: &Plan, kind: MediaKind) -> Result<Built, MediaError> {
    let built = match plan.fallback(kind)? {
        Some((built, _)) => built,
        None => plain(plan, kind)?,
    };
    if kind == MediaKind::Video {
        write_on(&built, &text(plan, kind))?;
    }
    Ok(built)
}

/// Writes a text over the pictures of what was built, below the middle: the test picture has its marks above.
pub(super) fn write_on(built: &Built, text: &str) -> Result<(), MediaError> {
    let doing = "write on a picture";
    let overlay = make("textoverlay", BASE)?;
    overlay.set_property("text", text);
    overlay.set_property_from_str("halignment", "center");
    overlay.set_property_from_str("valignment", "position");
    overlay.set_property("ypos", 0.7);
    overlay.set_property("font-desc", "Sans Bold 28");
    overlay.set_property("shaded-background", true);
    let pad = built.bin.static_pad("src").and_downcast::<gst::GhostPad>();
    let inner = pad.as_ref().and_then(|pad| pad.target());
    let (Some(pad), Some(inner)) = (pad, inner) else {
        return Err(MediaError::GStreamer {
            doing,
            reason: "it has no pad to take pictures from".to_owned(),
        });
    };
    let wrong = MediaError::gstreamer;
    built.bin.add(&overlay).map_err(wrong(doing))?;
    let (sink, src) = ends(&overlay)?;
    pad.set_target(Some(&src)).map_err(wrong(doing))?;
    inner.link(&sink).map_err(|error| MediaError::GStreamer {
        doing,
        reason: error.to_string(),
    })?;
    Ok(())
}

fn ends(overlay: &gst::Element) -> Result<(gst::Pad, gst::Pad), MediaError> {
    let pads = overlay
        .static_pad("video_sink")
        .zip(overlay.static_pad("src"));
    pads.ok_or_else(|| MediaError::GStreamer {
        doing: "write on a picture",
        reason: "textoverlay has other pads than it should".to_owned(),
    })
}

/// A dark picture, or silence.
fn plain(plan: &Plan, kind: MediaKind) -> Result<Built, MediaError> {
    let doing = "build a slate";
    let video = &plan.settings.video;
    let chain = match kind {
        MediaKind::Video => {
            let source = make("videotestsrc", BASE)?;
            source.set_property_from_str("pattern", "solid-color");
            source.set_property("foreground-color", DARK);
            let caps = format!(
                "video/x-raw,format=I420,width={},height={},framerate={}/1",
                video.width, video.height, video.framerate
            );
            [source, capsfilter(&caps)?, make("clocksync", BASE)?]
        }
        MediaKind::Audio => {
            let source = make("audiotestsrc", BASE)?;
            source.set_property_from_str("wave", "silence");
            source.set_property("samplesperbuffer", 480);
            let caps = "audio/x-raw,format=S16LE,rate=48000,channels=1";
            [source, capsfilter(caps)?, make("clocksync", BASE)?]
        }
    };
    let bin = gst::Bin::with_name("slate");
    let wrong = MediaError::gstreamer;
    bin.add_many(&chain).map_err(wrong(doing))?;
    gst::Element::link_many(&chain).map_err(wrong(doing))?;
    let last = chain.last().and_then(|last| last.static_pad("src"));
    if let Some(last) = last {
        let pad = gst::GhostPad::builder_with_target(&last).map_err(wrong(doing))?;
        bin.add_pad(&pad.name("src").build())
            .map_err(wrong(doing))?;
    }
    Ok(Built {
        bin,
        bindings: Vec::new(),
    })
}

/// Opaque dark grey, as ARGB.
const DARK: u32 = 0xff20_2428;
