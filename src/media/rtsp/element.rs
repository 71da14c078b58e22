//! The GStreamer side of `attachertsp`: properties, pad and states.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::super::feed::{self, Media, Outside};
use super::location::Location;
use super::{Plan, Protocols, Tending};

#[derive(Default)]
struct Settings {
    location: String,
    latency: u32,
    protocols: Protocols,
    media: Media,
}

pub struct RtspSource {
    settings: Mutex<Settings>,
    source: gst_app::AppSrc,
    tending: Mutex<Option<Tending>>,
}

#[glib::object_subclass]
impl ObjectSubclass for RtspSource {
    const NAME: &'static str = "AttacheRtspSource";
    type Type = super::RtspSource;
    type ParentType = gst::Bin;

    fn new() -> Self {
        // Late frames are of no use: whoever is slow behind this loses the oldest.
        let source = gst_app::AppSrc::builder()
            .is_live(true)
            .format(gst::Format::Time)
            .max_bytes(0)
            .max_buffers(50)
            .max_time(gst::ClockTime::from_mseconds(500))
            .leaky_type(gst_app::AppLeakyType::Downstream)
            .build();
        Self {
            settings: Mutex::new(Settings {
                latency: 200,
                ..Settings::default()
            }),
            source,
            tending: Mutex::default(),
        }
    }
}

impl ObjectImpl for RtspSource {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("location")
                    .nick("Location")
                    .blurb("rtsp://HOST/PATH of the stream; reads without user and password")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("latency")
                    .nick("Latency")
                    .blurb("Jitter buffer in milliseconds")
                    .maximum(10_000)
                    .default_value(200)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder::<Protocols>("protocols")
                    .nick("Protocols")
                    .blurb("How the media travel")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder::<Media>("media")
                    .nick("Media")
                    .blurb("Which stream of the camera")
                    .mutable_ready()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        {
            let mut settings = self.settings();
            match pspec.name() {
                "location" => {
                    settings.location = value
                        .get::<Option<String>>()
                        .ok()
                        .flatten()
                        .unwrap_or_default();
                }
                "latency" => settings.latency = value.get().unwrap_or_default(),
                "protocols" => settings.protocols = value.get().unwrap_or_default(),
                "media" => settings.media = value.get().unwrap_or_default(),
                _ => return,
            }
        }
        let running = self
            .tending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(running) = running {
            running.end();
            // The element says itself what is wrong with a new location.
            let _ = self.start();
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings();
        match pspec.name() {
            "location" => Location::parse(&settings.location)
                .map(|location| location.redacted())
                .unwrap_or_default()
                .to_value(),
            "latency" => settings.latency.to_value(),
            "protocols" => settings.protocols.to_value(),
            _ => settings.media.to_value(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let bin = self.obj();
        let built = feed::fit(bin.upcast_ref(), &[self.source.clone().upcast()]);
        if let Err(error) = built {
            gst::error!(gst::CAT_RUST, obj = bin, "cannot be built: {error}");
        }
    }
}

impl GstObjectImpl for RtspSource {}

impl ElementImpl for RtspSource {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "RTSP camera",
                "Source/Network",
                "One stream of an RTSP camera, decoded; survives the camera's absence",
                "the attache authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(feed::templates);
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let changed = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::ReadyToPaused => self.start()?,
            gst::StateChange::PausedToReady => {
                let running = self
                    .tending
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                if let Some(running) = running {
                    running.end();
                }
            }
            _ => {}
        }
        Ok(changed)
    }
}

impl BinImpl for RtspSource {}

impl RtspSource {
    fn settings(&self) -> std::sync::MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) -> Result<(), gst::StateChangeError> {
        let bin = self.obj();
        let outside = Outside::new(bin.upcast_ref(), &self.source);
        let plan = {
            let settings = self.settings();
            Location::parse(&settings.location).map(|location| Plan {
                location,
                latency: settings.latency,
                protocols: settings.protocols,
                media: settings.media,
            })
        };
        let started = plan.and_then(|plan| {
            let latency = i64::from(plan.latency) * 1_000_000;
            self.source.set_property("min-latency", latency);
            Tending::start(plan, Arc::clone(&outside)).map_err(|error| error.to_string())
        });
        match started {
            Ok(tending) => {
                *self.tending.lock().unwrap_or_else(PoisonError::into_inner) = Some(tending);
                Ok(())
            }
            Err(wrong) => {
                outside.fail(&wrong);
                Err(gst::StateChangeError)
            }
        }
    }
}
