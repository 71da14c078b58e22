//! A file's way to the mixers of a film: read, taken apart, decoded, in the mixer's form.

use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use super::plan::Clip;
use super::{BAD, BASE, GOOD, MixError};
use crate::media::MediaError;
use crate::media::elements::make;

/// Sound and picture of a file may lie so far apart in it: a demuxer tells of a gap within five seconds.
const WAITING: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// A file that a film takes sound or picture from.
pub(super) struct Branch<'a> {
    /// Its place in the plan, and in the names of its bin and pads.
    pub index: usize,
    /// The file, and where it lies in the film.
    pub clip: &'a Clip,
    /// What is written onto its picture.
    pub label: &'a str,
}

impl Branch<'_> {
    /// Adds it to the pipeline; its tracks go to the mixers that are given.
    pub fn join(
        &self,
        pipeline: &gst::Pipeline,
        pictures: Option<&gst::Element>,
        sound: Option<&gst::Element>,
    ) -> Result<(), MixError> {
        let source = make("filesrc", "libgstreamer1.0-0")?;
        source.set_property("location", self.clip.file.to_string_lossy().as_ref());
        let demuxer = self.demuxer()?;
        let bin = gst::Bin::with_name(&format!("clip-{}", self.index));
        let added = bin.add_many([&source, &demuxer]);
        added.map_err(MediaError::gstreamer("build a pipeline"))?;
        source
            .link(&demuxer)
            .map_err(MediaError::gstreamer("link a pipeline"))?;
        let added = pipeline.add(&bin);
        added.map_err(MediaError::gstreamer("build a pipeline"))?;
        // The mixers wait for every pad they have: those that the file will fill are there from the beginning.
        let mut inputs = Vec::new();
        if let Some(mixer) = pictures {
            inputs.push(("video/", self.picture_input(mixer)?));
        }
        if let Some(mixer) = sound {
            inputs.push(("audio/", self.sound_input(mixer)?));
        }
        let (weak, label) = (bin.downgrade(), self.label.to_owned());
        demuxer.connect_pad_added(move |demuxer, pad| {
            let Some(bin) = weak.upgrade() else { return };
            if let Err(error) = decode(&bin, pad, &inputs, &label) {
                gst::element_error!(demuxer, gst::StreamError::Failed, ("{error}"));
            }
        });
        Ok(())
    }

    fn demuxer(&self) -> Result<gst::Element, MediaError> {
        let ending = self.clip.file.extension().unwrap_or_default();
        match ending.to_string_lossy().as_ref() {
            "mp4" => make("qtdemux", GOOD),
            "ogg" | "opus" => make("oggdemux", BASE),
            _ => make("matroskademux", GOOD),
        }
    }

    fn picture_input(&self, mixer: &gst::Element) -> Result<gst::Pad, MediaError> {
        let pad = self.input(mixer)?;
        pad.set_property_from_str("sizing-policy", "keep-aspect-ratio");
        // A picture that nothing follows does not stay for ever.
        pad.set_property("max-last-buffer-repeat", gst::ClockTime::SECOND);
        Ok(pad)
    }

    fn sound_input(&self, mixer: &gst::Element) -> Result<gst::Pad, MediaError> {
        let pad = self.input(mixer)?;
        silence(&pad, self.clip);
        Ok(pad)
    }

    fn input(&self, mixer: &gst::Element) -> Result<gst::Pad, MediaError> {
        let template = mixer.pad_template("sink_%u");
        let name = format!("sink_{}", self.index);
        let pad = template.and_then(|template| mixer.request_pad(&template, Some(&name), None));
        let pad = pad.ok_or_else(|| MediaError::GStreamer {
            doing: "mix",
            reason: "a mixer gives no pad".to_owned(),
        })?;
        pad.set_offset(i64::try_from(self.clip.at.as_nanos()).unwrap_or(i64::MAX));
        Ok(pad)
    }
}

/// Takes the sound away where a filter's is heard instead.
fn silence(pad: &gst::Pad, clip: &Clip) {
    if clip.silent.is_empty() {
        return;
    }
    let clip = clip.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        let at = buffer.pts().map(|pts| clip.at + Duration::from(pts));
        let is_silent = |at| {
            clip.silent
                .iter()
                .any(|(from, to)| (*from..*to).contains(&at))
        };
        if at.is_some_and(is_silent)
            && let Ok(mut sound) = buffer.make_mut().map_writable()
        {
            // Signed samples: nought is silence.
            sound.fill(0);
        }
        gst::PadProbeReturn::Ok
    });
}

/// A queue that holds [`WAITING`] of anything but too large pictures.
pub(super) fn queue() -> Result<gst::Element, MediaError> {
    let queue = make("queue", "libgstreamer1.0-0")?;
    queue.set_property("max-size-time", WAITING.nseconds());
    queue.set_property("max-size-buffers", 0u32);
    // Raw pictures are large: a second of them has to do.
    queue.set_property("max-size-bytes", 64 * 1024 * 1024u32);
    Ok(queue)
}

/// One track of a file: decoded, in the mixer's form, into its pad.
fn decode(
    bin: &gst::Bin,
    pad: &gst::Pad,
    inputs: &[(&'static str, gst::Pad)],
    label: &str,
) -> Result<(), MixError> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let name = caps
        .structure(0)
        .map(|caps| caps.name().to_string())
        .unwrap_or_default();
    let Some((media, input)) = inputs.iter().find(|(media, _)| name.starts_with(media)) else {
        return Ok(());
    };
    let mut chain = vec![queue()?];
    chain.extend(decoders(&name)?);
    if *media == "video/" {
        chain.extend([make("videoconvert", BASE)?, overlay(label)?]);
    } else {
        chain.extend([make("audioconvert", BASE)?, make("audioresample", BASE)?]);
    }
    let added = bin.add_many(&chain);
    added.map_err(MediaError::gstreamer("build a pipeline"))?;
    gst::Element::link_many(&chain).map_err(MediaError::gstreamer("link a pipeline"))?;
    connect(bin, &chain, pad, input)
}

/// What decodes it: only the recorder's own codecs.
fn decoders(name: &str) -> Result<Vec<gst::Element>, MediaError> {
    const LIBAV: &str = "gstreamer1.0-libav";
    match name {
        "audio/x-opus" => Ok(vec![make("opusdec", BASE)?]),
        "audio/mpeg" => Ok(vec![make("avdec_aac", LIBAV)?]),
        "video/x-vp8" => Ok(vec![make("vp8dec", GOOD)?]),
        "video/x-vp9" => Ok(vec![make("vp9dec", GOOD)?]),
        "video/x-av1" => Ok(vec![make("av1parse", BAD)?, make("av1dec", BAD)?]),
        "video/x-h264" => Ok(vec![make("h264parse", BAD)?, make("avdec_h264", LIBAV)?]),
        "video/x-h265" => Ok(vec![make("h265parse", BAD)?, make("avdec_h265", LIBAV)?]),
        other => Err(MediaError::GStreamer {
            doing: "read a part",
            reason: format!("found {other}, which no recorder of attache writes"),
        }),
    }
}

fn overlay(label: &str) -> Result<gst::Element, MediaError> {
    let overlay = make("textoverlay", "gstreamer1.0-x")?;
    // The overlay reads Pango markup; a name is not to be one.
    overlay.set_property("text", gst::glib::markup_escape_text(label).as_str());
    overlay.set_property_from_str("valignment", "bottom");
    overlay.set_property_from_str("halignment", "left");
    overlay.set_property("shaded-background", true);
    Ok(overlay)
}

/// Starts a linked chain of the bin, between the demuxer's pad and the mixer's.
fn connect(
    bin: &gst::Bin,
    chain: &[gst::Element],
    pad: &gst::Pad,
    input: &gst::Pad,
) -> Result<(), MixError> {
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
        return Ok(());
    };
    let (Some(sink), Some(source)) = (first.static_pad("sink"), last.static_pad("src")) else {
        return Ok(());
    };
    let ghost = gst::GhostPad::builder_with_target(&source)
        .map_err(MediaError::gstreamer("link a pipeline"))?
        .name(pad.name())
        .build();
    // Such a call on a bin that plays cannot fail but for a bad name.
    let _ = ghost.set_active(true);
    bin.add_pad(&ghost)
        .map_err(MediaError::gstreamer("link a pipeline"))?;
    for element in chain.iter().rev() {
        let synced = element.sync_state_with_parent();
        synced.map_err(MediaError::gstreamer("start a pipeline"))?;
    }
    let refused = |_| MediaError::GStreamer {
        doing: "link a pipeline",
        reason: format!("{} does not fit", pad.name()),
    };
    ghost.link(input).map_err(refused)?;
    pad.link(&sink).map_err(refused)?;
    Ok(())
}
