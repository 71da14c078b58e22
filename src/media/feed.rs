//! The way out of a source element that has a pipeline of its own inside: what fails in there stays in there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::{clock, notice};

/// Which of a source's streams is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "AttacheMedia")]
pub enum Media {
    /// Pictures.
    #[default]
    Video,
    /// Sound.
    Audio,
}

impl Media {
    /// As RTSP and RTP caps say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }

    /// What people call it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Video => "picture",
            Self::Audio => "sound",
        }
    }
}

/// The outer end, shared by the inner pipeline's callbacks and the thread that tends it.
#[derive(Debug)]
pub(super) struct Outside {
    element: glib::WeakRef<gst::Element>,
    source: gst_app::AppSrc,
    /// The running time of the newest frame.
    last: Mutex<Option<gst::ClockTime>>,
    /// Frames so far.
    frames: AtomicU64,
    /// The next frame does not follow on the last one.
    discontinuous: std::sync::atomic::AtomicBool,
}

impl Outside {
    pub fn new(element: &gst::Element, source: &gst_app::AppSrc) -> Arc<Self> {
        Arc::new(Self {
            element: element.downgrade(),
            source: source.clone(),
            last: Mutex::default(),
            frames: AtomicU64::default(),
            discontinuous: true.into(),
        })
    }

    /// How many frames went out.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// The next frame comes after a gap.
    pub fn interrupted(&self) {
        self.discontinuous.store(true, Ordering::Relaxed);
    }

    /// Sends a frame out with a running time of the process-wide clock. One that is not newer than the last is dropped.
    pub fn push(
        &self,
        caps: &gst::Caps,
        mut buffer: gst::Buffer,
        running_time: gst::ClockTime,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| running_time <= last) {
                return Ok(gst::FlowSuccess::Ok);
            }
            *last = Some(running_time);
        }
        // A pipeline may have a base time of its own.
        let base = self.source.base_time().unwrap_or(clock::base_time());
        let Some(pts) = (clock::base_time() + running_time).checked_sub(base) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        {
            let buffer = buffer.make_mut();
            buffer.set_pts(pts);
            buffer.set_dts(gst::ClockTime::NONE);
            if self.discontinuous.swap(false, Ordering::Relaxed) {
                buffer.set_flags(gst::BufferFlags::DISCONT);
            } else {
                buffer.unset_flags(gst::BufferFlags::DISCONT);
            }
        }
        let sample = gst::Sample::builder().buffer(&buffer).caps(caps).build();
        let pushed = self.source.push_sample(&sample);
        self.frames.fetch_add(1, Ordering::Relaxed);
        pushed
    }

    /// Tells the operator, as a notice of the job.
    pub fn say(&self, text: &str) {
        if let Some(element) = self.element.upgrade() {
            notice::post(&element, text);
        }
    }

    /// Ends the outer pipeline: what is asked for will never work.
    pub fn fail(&self, text: &str) {
        if let Some(element) = self.element.upgrade() {
            gst::element_error!(element, gst::ResourceError::Settings, ("{}", text));
        }
    }
}

/// The names of a chain's elements and who has them in Debian.
pub(crate) type Chain = &'static [(&'static str, &'static str)];

/// Adds a chain of elements to a running pipeline, from a pad that has just appeared to the pipeline's appsink.
pub(crate) fn decode(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    chain: Chain,
    sink: &gst::Element,
) -> Result<(), String> {
    let mut elements = Vec::new();
    for (name, package) in chain {
        let element = gst::ElementFactory::make(name).build();
        elements.push(
            element.map_err(|_| format!("GStreamer has no element {name}: install {package}"))?,
        );
    }
    let failed = |error: glib::BoolError| format!("cannot be decoded: {error}");
    pipeline.add_many(&elements).map_err(failed)?;
    elements.push(sink.clone());
    gst::Element::link_many(&elements).map_err(failed)?;
    for element in elements.iter().rev() {
        element.sync_state_with_parent().map_err(failed)?;
    }
    let first = elements
        .first()
        .and_then(|element| element.static_pad("sink"));
    let linked = first.map(|first| pad.link(&first));
    match linked {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(format!("cannot be decoded: {error}")),
        None => Err("cannot be decoded: the decoder has no entrance".to_owned()),
    }
}

/// The one pad of an element of ours that captures: raw pictures or raw sound.
pub(super) fn templates() -> Vec<gst::PadTemplate> {
    let caps = gst::Caps::builder_full()
        .structure(gst::Structure::new_empty("video/x-raw"))
        .structure(gst::Structure::new_empty("audio/x-raw"))
        .build();
    gst::PadTemplate::new(
        "src",
        gst::PadDirection::Src,
        gst::PadPresence::Always,
        &caps,
    )
    .into_iter()
    .collect()
}

/// Puts a chain of elements into a bin of ours; the last one's source pad becomes the bin's `src`.
pub(super) fn fit(bin: &gst::Bin, chain: &[gst::Element]) -> Result<(), glib::BoolError> {
    bin.add_many(chain)?;
    gst::Element::link_many(chain)?;
    let target = chain.last().and_then(|last| last.static_pad("src"));
    let template = bin.pad_template("src");
    let (Some(target), Some(template)) = (target, template) else {
        return Err(glib::bool_error!("a chain without an end"));
    };
    let pad = gst::GhostPad::builder_from_template_with_target(&template, &target)?;
    bin.add_pad(&pad.name("src").build())
}
