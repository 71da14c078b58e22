//! The GStreamer side of `attacheclip`: properties, pad and states.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::super::feed::{self, Media, Outside};
use super::file;
use super::player::Playing;

/// How far the file is decoded ahead.
const AHEAD: gst::ClockTime = gst::ClockTime::from_mseconds(500);

#[derive(Default)]
struct Settings {
    location: String,
    media: Media,
}

pub struct ClipSource {
    settings: Mutex<Settings>,
    source: gst_app::AppSrc,
    playing: Mutex<Option<Playing>>,
}

#[glib::object_subclass]
impl ObjectSubclass for ClipSource {
    const NAME: &'static str = "AttacheClipSource";
    type Type = super::ClipSource;
    type ParentType = gst::Bin;

    fn new() -> Self {
        let source = gst_app::AppSrc::builder()
            .format(gst::Format::Time)
            .max_bytes(0)
            .max_time(AHEAD)
            .block(true)
            .build();
        Self {
            settings: Mutex::default(),
            source,
            playing: Mutex::default(),
        }
    }
}

impl ObjectImpl for ClipSource {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("location")
                    .nick("Location")
                    .blurb("The name of a file in the media folder")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder::<Media>("media")
                    .nick("Media")
                    .blurb("Picture or sound of the file")
                    .mutable_ready()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "location" => {
                let text = value.get::<Option<String>>().ok().flatten();
                settings.location = text.unwrap_or_default();
            }
            "media" => settings.media = value.get().unwrap_or_default(),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "location" => settings.location.to_value(),
            _ => settings.media.to_value(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let bin = self.obj();
        let built = gst::ElementFactory::make("clocksync")
            .build()
            .and_then(|sync| {
                let chain = [self.source.clone().upcast(), sync];
                feed::fit(bin.upcast_ref(), &chain)
            });
        if let Err(error) = built {
            gst::error!(gst::CAT_RUST, obj = bin, "cannot be built: {error}");
        }
    }
}

impl GstObjectImpl for ClipSource {}

impl ElementImpl for ClipSource {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Clip",
                "Source/File",
                "A file of the media folder, over and over, in real time",
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
                // The way out takes nothing any more, so the thread does not wait there.
                let playing = lock(&self.playing).take();
                if let Some(playing) = playing {
                    playing.end();
                }
            }
            _ => {}
        }
        Ok(changed)
    }
}

impl BinImpl for ClipSource {}

impl ClipSource {
    fn start(&self) -> Result<(), gst::StateChangeError> {
        let bin = self.obj();
        let outside = Outside::new(bin.upcast_ref(), &self.source);
        let (clip, media) = {
            let settings = lock(&self.settings);
            (
                file::find(super::folder().as_deref(), &settings.location),
                settings.media,
            )
        };
        let started = clip.and_then(|clip| {
            let started = Playing::start(clip, media, outside.clone());
            started.map_err(|error| error.to_string())
        });
        match started {
            Ok(playing) => {
                *lock(&self.playing) = Some(playing);
                Ok(())
            }
            Err(wrong) => {
                outside.fail(&wrong);
                Err(gst::StateChangeError)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
