//! The GStreamer side of `attacheaec`: properties, the elements inside, and the probe's two ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use super::super::elements::{capsfilter, make};
use super::super::{MediaError, feed, notice};
use super::far::{self, Ear};
use super::{NoiseSuppression, Suppression};

const PLUGINS_BAD: &str = "gstreamer1.0-plugins-bad";
const PLUGINS_BASE: &str = "gstreamer1.0-plugins-base";
/// What the canceller works on. One channel: a second microphone would need a canceller of its own.
const NEAR: &str = "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=1";

#[derive(Debug, Clone, Copy)]
struct Settings {
    echo_cancel: bool,
    suppression: Suppression,
    gain_control: bool,
    noise_suppression: NoiseSuppression,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            echo_cancel: true,
            suppression: Suppression::default(),
            gain_control: true,
            noise_suppression: NoiseSuppression::default(),
        }
    }
}

/// What is inside.
#[derive(Debug)]
struct Inside {
    dsp: gst::Element,
    /// What is played comes in here,
    far: gst::Pad,
    /// and ends here, behind the probe.
    end: gst::Pad,
}

#[derive(Default)]
pub struct EchoCanceller {
    settings: Mutex<Settings>,
    inside: OnceLock<Result<Inside, MediaError>>,
    ear: Mutex<Option<Arc<Ear>>>,
}

#[glib::object_subclass]
impl ObjectSubclass for EchoCanceller {
    const NAME: &'static str = "AttacheEchoCanceller";
    type Type = super::EchoCanceller;
    type ParentType = gst::Bin;
}

impl ObjectImpl for EchoCanceller {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecBoolean::builder("echo-cancel")
                    .blurb("Take out what this process plays")
                    .default_value(true)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder::<Suppression>("suppression")
                    .blurb("How much is done against what is left over of an echo")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("gain-control")
                    .blurb("Bring quiet and loud voices to the same level")
                    .default_value(true)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder::<NoiseSuppression>("noise-suppression")
                    .blurb("How much stationary noise is taken out")
                    .mutable_ready()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings();
        match pspec.name() {
            "echo-cancel" => settings.echo_cancel = value.get().unwrap_or(true),
            "suppression" => settings.suppression = value.get().unwrap_or_default(),
            "gain-control" => settings.gain_control = value.get().unwrap_or(true),
            "noise-suppression" => settings.noise_suppression = value.get().unwrap_or_default(),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = *self.settings();
        match pspec.name() {
            "echo-cancel" => settings.echo_cancel.to_value(),
            "suppression" => settings.suppression.to_value(),
            "gain-control" => settings.gain_control.to_value(),
            _ => settings.noise_suppression.to_value(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        // Told when it is to start: there is somebody to hear it then.
        let _ = self.inside.set(Inside::build(self.obj().upcast_ref()));
        let microphone = self
            .inside()
            .and_then(|inside| inside.dsp.static_pad("sink"));
        let element = self.obj().downgrade();
        microphone.map(|pad| {
            pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
                if let (Some(element), Some(buffer)) = (element.upgrade(), info.buffer()) {
                    element.imp().hear(pad, buffer);
                }
                gst::PadProbeReturn::Ok
            })
        });
    }
}

impl GstObjectImpl for EchoCanceller {}

impl ElementImpl for EchoCanceller {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Echo canceller",
                "Filter/Effect/Audio",
                "Takes what this process plays out of a microphone's sound, and evens out its level",
                "the attache authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = |name, direction, caps: &str| {
                let caps = caps.parse().ok()?;
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
            };
            [
                template("sink", gst::PadDirection::Sink, "audio/x-raw"),
                template("src", gst::PadDirection::Src, NEAR),
            ]
            .into_iter()
            .flatten()
            .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.check()?,
            gst::StateChange::ReadyToPaused => self.set_up(),
            gst::StateChange::PausedToReady => self.close(),
            _ => {}
        }
        let changed = self.parent_change_state(transition)?;
        if transition == gst::StateChange::ReadyToPaused {
            self.open();
        }
        Ok(changed)
    }
}

impl BinImpl for EchoCanceller {}

impl EchoCanceller {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inside(&self) -> Option<&Inside> {
        self.inside.get().and_then(|inside| inside.as_ref().ok())
    }

    /// Fails where something is missing.
    fn check(&self) -> Result<(), gst::StateChangeError> {
        let Some(Err(error)) = self.inside.get() else {
            return Ok(());
        };
        gst::element_imp_error!(self, gst::CoreError::MissingPlugin, ("{error}"));
        Err(gst::StateChangeError)
    }

    /// Tells `webrtcdsp` what is wanted: it reads its properties when it starts.
    fn set_up(&self) {
        let (settings, Some(inside)) = (*self.settings(), self.inside()) else {
            return;
        };
        let dsp = &inside.dsp;
        dsp.set_property("echo-cancel", settings.echo_cancel);
        dsp.set_property_from_str("echo-suppression-level", settings.suppression.level());
        dsp.set_property("gain-control", settings.gain_control);
        let noise = settings.noise_suppression.level();
        dsp.set_property("noise-suppression", noise.is_some());
        if let Some(level) = noise {
            dsp.set_property_from_str("noise-suppression-level", level);
        }
    }

    /// From now on it hears what is played.
    fn open(&self) {
        if !self.settings().echo_cancel {
            return;
        }
        let opened = self.inside().and_then(Inside::open);
        *self.ear() = opened;
    }

    fn ear(&self) -> MutexGuard<'_, Option<Arc<Ear>>> {
        self.ear.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares what the microphone hears with what is played.
    fn hear(&self, pad: &gst::Pad, buffer: &gst::Buffer) {
        let Some(ear) = self.ear().clone() else {
            return;
        };
        let segment = pad.sticky_event::<gst::event::Segment>(0);
        let at = segment.and_then(|segment| {
            let segment = segment.segment().downcast_ref::<gst::ClockTime>()?;
            segment.to_running_time(buffer.pts())
        });
        let (Some(at), Ok(map)) = (at, buffer.map_readable()) else {
            return;
        };
        if let Some(delay) = ear.hear(at, &map) {
            let text = format!(
                "what is played comes back into the microphone after {} ms",
                delay.as_millis()
            );
            notice::post(self.obj().upcast_ref(), &text);
        }
    }

    fn close(&self) {
        let ear = self.ear().take();
        drop(ear);
        if let Some(inside) = self.inside() {
            inside.close();
        }
    }
}

impl Inside {
    fn build(bin: &gst::Bin) -> Result<Self, MediaError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let doing = "build an echo canceller";
        let refused = |error: glib::BoolError| MediaError::gstreamer(doing)(error);
        let (dsp, probe) = (
            make("webrtcdsp", PLUGINS_BAD)?,
            make("webrtcechoprobe", PLUGINS_BAD)?,
        );
        // The canceller finds its probe by this name in the whole process, and a new capture starts beside the old one.
        let name = format!("attacheaec-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        probe.set_property("name", &name);
        dsp.set_property("probe", &name);
        let chain = [
            make("audioconvert", PLUGINS_BASE)?,
            make("audioresample", PLUGINS_BASE)?,
            capsfilter(NEAR)?,
            dsp.clone(),
        ];
        feed::fit(bin, &chain).map_err(refused)?;
        bin.add(&probe).map_err(refused)?;
        let entrance = chain[0].static_pad("sink").zip(bin.pad_template("sink"));
        let ends = probe.static_pad("sink").zip(probe.static_pad("src"));
        let (Some((entrance, template)), Some((sink, source))) = (entrance, ends) else {
            return Err(refused(glib::bool_error!("elements without pads")));
        };
        let ghost = gst::GhostPad::builder_from_template_with_target(&template, &entrance);
        let ghost = ghost.map_err(refused)?.name("sink").build();
        bin.add_pad(&ghost).map_err(refused)?;
        let far = gst::Pad::builder(gst::PadDirection::Src).build();
        let end = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(|_, _, _| Ok(gst::FlowSuccess::Ok))
            .event_function(|_, _, _| true)
            .build();
        let linked = far.link(&sink).and_then(|_| source.link(&end));
        linked.map_err(|error| refused(glib::bool_error!("{error}")))?;
        Ok(Self { dsp, far, end })
    }

    fn open(&self) -> Option<Arc<Ear>> {
        self.end.set_active(true).ok()?;
        self.far.set_active(true).ok()?;
        let caps = far::CAPS.parse().ok()?;
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        self.far.push_event(gst::event::StreamStart::new("far"));
        self.far.push_event(gst::event::Caps::new(&caps));
        self.far.push_event(gst::event::Segment::new(&segment));
        // The probe gives nothing away before it knows how late its sound is heard.
        self.end
            .push_event(gst::event::Latency::new(gst::ClockTime::ZERO));
        Some(Ear::open(self.far.clone()))
    }

    fn close(&self) {
        for pad in [&self.far, &self.end] {
            if let Err(error) = pad.set_active(false) {
                tracing::warn!(%error, "an echo canceller did not stop");
            }
        }
    }
}
