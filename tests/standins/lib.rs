//! A GStreamer plugin of stand-ins for hardware encoders: their names and properties around a software encoder, with
//! behaviour from the environment.
//!
//! An element is there only if its variable is: `ATTACHE_STANDIN_vah264enc=works`. Others are `fail-on-start`,
//! `fail-after:60`, `hang-after:60`, `crash`, `crash-after:60` (frames), `slow:80ms` (each frame), `garbage`
//! (pictures of something else) and `deaf` (no key frame when asked). [`camera`] is one to unplug.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "GStreamer's plugin entry is unsafe; a stand-in that cannot be built fails its test"
)]

mod camera;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Works,
    FailOnStart,
    FailAfter(u32),
    HangAfter(u32),
    CrashAfter(u32),
    Slow(Duration),
    Garbage,
    Deaf,
}

impl Behaviour {
    fn parse(text: &str) -> Self {
        let (word, number) = text.split_once(':').unwrap_or((text, "0"));
        let number: u32 = number.trim_end_matches("ms").parse().unwrap();
        match word {
            "works" => Self::Works,
            "fail-on-start" => Self::FailOnStart,
            "fail-after" => Self::FailAfter(number),
            "hang-after" => Self::HangAfter(number),
            "crash" | "crash-after" => Self::CrashAfter(number),
            "slow" => Self::Slow(Duration::from_millis(number.into())),
            "garbage" => Self::Garbage,
            "deaf" => Self::Deaf,
            other => panic!("no stand-in does {other}"),
        }
    }

    fn of(factory: &str) -> Option<Self> {
        let text = std::env::var(format!("ATTACHE_STANDIN_{factory}")).ok()?;
        Some(Self::parse(&text))
    }
}

/// What all stand-ins do.
struct Body {
    behaviour: Behaviour,
    encoder: gst::Element,
}

impl Body {
    /// Puts an identity, which behaves, and a software encoder into the bin.
    fn new(bin: &gst::Bin, factory: &str, software: &str) -> Self {
        let behaviour = Behaviour::of(factory).unwrap_or(Behaviour::Works);
        let gate = gst::ElementFactory::make("identity").build().unwrap();
        let convert = gst::ElementFactory::make("videoconvert").build().unwrap();
        let encoder = gst::ElementFactory::make(software).build().unwrap();
        encoder.set_property_from_str("tune", "zerolatency");
        encoder.set_property_from_str("speed-preset", "ultrafast");
        encoder.set_property_from_str("key-int-max", "1800");
        bin.add_many([&gate, &convert, &encoder]).unwrap();
        gst::Element::link_many([&gate, &convert, &encoder]).unwrap();
        let pad = |element: &gst::Element, name| {
            let target = element.static_pad(name).unwrap();
            let template = bin.pad_template(name).unwrap();
            let pad = gst::GhostPad::builder_from_template_with_target(&template, &target);
            bin.add_pad(&pad.unwrap().name(name).build()).unwrap();
        };
        pad(&gate, "sink");
        pad(&encoder, "src");
        behave(bin, &gate, behaviour);
        if behaviour == Behaviour::Deaf {
            let pad = encoder.static_pad("src").unwrap();
            pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, |_, info| {
                if let Some(gst::PadProbeData::Event(event)) = info.data.as_mut()
                    && event
                        .structure()
                        .is_some_and(|asked| asked.name() == "GstForceKeyUnit")
                {
                    let nothing = gst::Structure::new_empty("attache-unheard");
                    *event = gst::event::CustomUpstream::new(nothing);
                }
                gst::PadProbeReturn::Ok
            });
        }
        Self { behaviour, encoder }
    }

    fn set(&self, name: &str, value: &glib::Value) {
        let kilobits = match name {
            "bitrate" => value.get::<u32>().ok(),
            "extra-controls" => value.get::<gst::Structure>().ok().and_then(|controls| {
                let bits = controls.get::<i32>("video_bitrate").ok()?;
                u32::try_from(bits / 1000).ok()
            }),
            _ => None,
        };
        if let Some(kilobits) = kilobits {
            self.encoder.set_property("bitrate", kilobits);
        }
    }
}

fn behave(bin: &gst::Bin, gate: &gst::Element, behaviour: Behaviour) {
    let seen = AtomicU32::new(0);
    let bin = bin.downgrade();
    let pad = gate.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let seen = seen.fetch_add(1, Ordering::Relaxed);
        match behaviour {
            Behaviour::Works | Behaviour::FailOnStart | Behaviour::Deaf => {}
            Behaviour::FailAfter(frames) if seen >= frames => {
                if let Some(bin) = bin.upgrade() {
                    gst::element_error!(
                        bin,
                        gst::LibraryError::Encode,
                        ("the stand-in fails as asked")
                    );
                }
                info.flow_res = Err(gst::FlowError::Error);
                return gst::PadProbeReturn::Handled;
            }
            Behaviour::HangAfter(frames) if seen >= frames => loop {
                std::thread::park();
            },
            Behaviour::CrashAfter(frames) if seen >= frames => std::process::abort(),
            Behaviour::FailAfter(_) | Behaviour::HangAfter(_) | Behaviour::CrashAfter(_) => {}
            Behaviour::Slow(time) => std::thread::sleep(time),
            Behaviour::Garbage => {
                let buffer = info.buffer_mut().unwrap().make_mut();
                buffer.map_writable().unwrap().fill(100);
            }
        }
        gst::PadProbeReturn::Ok
    });
}

fn uint(name: &'static str) -> glib::ParamSpec {
    glib::ParamSpecUInt::builder(name)
        .maximum(2_048_000)
        .build()
}

fn int(name: &'static str) -> glib::ParamSpec {
    glib::ParamSpecInt::builder(name)
        .minimum(-1)
        .default_value(75)
        .build()
}

fn flag(name: &'static str) -> glib::ParamSpec {
    glib::ParamSpecBoolean::builder(name).build()
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "AttacheStandInRateControl")]
#[repr(i32)]
enum RateControl {
    #[default]
    #[enum_value(name = "Constant quality", nick = "cqp")]
    Cqp = 0,
    #[enum_value(name = "Constant Bit Rate", nick = "cbr")]
    Cbr = 2,
    #[enum_value(name = "Variable Bit Rate", nick = "vbr")]
    Vbr = 4,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "AttacheStandInPreset")]
#[repr(i32)]
enum Preset {
    #[default]
    #[enum_value(name = "Default", nick = "default")]
    Default = 0,
    #[enum_value(name = "Low Latency", nick = "low-latency")]
    LowLatency = 3,
    #[enum_value(name = "Low Latency, High Performance", nick = "low-latency-hp")]
    LowLatencyHp = 5,
}

fn rate_control(name: &'static str) -> glib::ParamSpec {
    glib::ParamSpecEnum::builder::<RateControl>(name).build()
}

/// As `vah264enc` and `vah265enc` have them.
fn va() -> Vec<glib::ParamSpec> {
    vec![
        uint("bitrate"),
        uint("key-int-max"),
        rate_control("rate-control"),
        uint("target-usage"),
        uint("b-frames"),
        uint("ref-frames"),
        uint("cpb-size"),
        flag("aud"),
        flag("cabac"),
        flag("dct8x8"),
    ]
}

/// As `nvh264enc` of GStreamer 1.22 has them.
fn nv() -> Vec<glib::ParamSpec> {
    vec![
        uint("bitrate"),
        int("gop-size"),
        glib::ParamSpecEnum::builder::<Preset>("preset").build(),
        rate_control("rc-mode"),
        flag("zerolatency"),
        uint("bframes"),
        uint("rc-lookahead"),
        flag("aud"),
    ]
}

/// As `v4l2h264enc` has them.
fn v4l2() -> Vec<glib::ParamSpec> {
    vec![glib::ParamSpecBoxed::builder::<gst::Structure>("extra-controls").build()]
}

macro_rules! stand_in {
    ($module:ident, $type:literal, $factory:literal, $software:literal, $properties:expr, $sink:literal, $src:literal) => {
        mod $module {
            use super::*;
            use std::sync::{LazyLock, OnceLock};

            #[derive(Default)]
            pub struct Imp(OnceLock<Body>);

            #[glib::object_subclass]
            impl ObjectSubclass for Imp {
                const NAME: &'static str = $type;
                type Type = Element;
                type ParentType = gst::Bin;
            }

            impl ObjectImpl for Imp {
                fn properties() -> &'static [glib::ParamSpec] {
                    static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new($properties);
                    &PROPERTIES
                }

                fn constructed(&self) {
                    self.parent_constructed();
                    let body = Body::new(self.obj().upcast_ref(), $factory, $software);
                    let _ = self.0.set(body);
                }

                fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
                    self.0.get().unwrap().set(pspec.name(), value);
                }

                fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
                    // Write-only in truth: nobody reads these.
                    pspec.default_value().clone()
                }
            }

            impl GstObjectImpl for Imp {}

            impl ElementImpl for Imp {
                fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
                    static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                        gst::subclass::ElementMetadata::new(
                            concat!("Stand-in for ", $factory),
                            "Codec/Encoder/Video/Hardware",
                            "Behaves as the environment says",
                            "the attache authors",
                        )
                    });
                    Some(&METADATA)
                }

                fn pad_templates() -> &'static [gst::PadTemplate] {
                    static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                        let template = |name, direction, caps: &str| {
                            let caps: gst::Caps = caps.parse().unwrap();
                            let always = gst::PadPresence::Always;
                            gst::PadTemplate::new(name, direction, always, &caps).unwrap()
                        };
                        vec![
                            template("sink", gst::PadDirection::Sink, $sink),
                            template("src", gst::PadDirection::Src, $src),
                        ]
                    });
                    &TEMPLATES
                }

                fn change_state(
                    &self,
                    transition: gst::StateChange,
                ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
                    let behaviour = self.0.get().unwrap().behaviour;
                    if transition == gst::StateChange::NullToReady && behaviour == Behaviour::FailOnStart {
                        gst::element_imp_error!(self, gst::LibraryError::Init, ("the stand-in has no device"));
                        return Err(gst::StateChangeError);
                    }
                    self.parent_change_state(transition)
                }
            }

            impl BinImpl for Imp {}

            glib::wrapper! {
                pub struct Element(ObjectSubclass<Imp>) @extends gst::Bin, gst::Element, gst::Object, @implements gst::ChildProxy;
            }

            pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
                if Behaviour::of($factory).is_none() {
                    return Ok(());
                }
                gst::Element::register(Some(plugin), $factory, gst::Rank::NONE, Element::static_type())
            }
        }
    };
}

stand_in!(
    va_h264,
    "AttacheStandInVaH264",
    "vah264enc",
    "x264enc",
    va,
    "video/x-raw,format=NV12",
    "video/x-h264"
);
stand_in!(
    va_h265,
    "AttacheStandInVaH265",
    "vah265enc",
    "x265enc",
    va,
    "video/x-raw,format=NV12",
    "video/x-h265"
);
stand_in!(
    nv_h264,
    "AttacheStandInNvH264",
    "nvh264enc",
    "x264enc",
    nv,
    "video/x-raw,format={NV12,I420}",
    "video/x-h264"
);
stand_in!(
    v4l2_h264,
    "AttacheStandInV4l2H264",
    "v4l2h264enc",
    "x264enc",
    v4l2,
    "video/x-raw,format={NV12,I420}",
    "video/x-h264"
);

fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    va_h264::register(plugin)?;
    va_h265::register(plugin)?;
    nv_h264::register(plugin)?;
    v4l2_h264::register(plugin)?;
    camera::register(plugin)
}

gst::plugin_define!(
    standins,
    "Stand-ins for hardware encoders, for tests",
    register,
    "0.1.0",
    "MIT/X11",
    "attache",
    "attache",
    "https://example.org",
    "2026-11-25"
);
