//! A camera that can be unplugged: `libcamerasrc` with its device, white pictures.
//!
//! `ATTACHE_STANDIN_camera=FILE`: while the file is there, the camera is plugged in; while it says `silent`, it gives no
//! pictures.

use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

/// Where the camera's state is; none where no camera is wanted.
fn file() -> Option<PathBuf> {
    std::env::var_os("ATTACHE_STANDIN_camera").map(PathBuf::from)
}

/// `None`: it is unplugged.
fn state() -> Option<String> {
    std::fs::read_to_string(file()?).ok()
}

#[derive(Default)]
pub struct Camera {
    name: Mutex<Option<String>>,
}

#[glib::object_subclass]
impl ObjectSubclass for Camera {
    const NAME: &'static str = "AttacheStandInCamera";
    type Type = Element;
    type ParentType = gst::Bin;
}

impl ObjectImpl for Camera {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
            LazyLock::new(|| vec![glib::ParamSpecString::builder("camera-name").build()]);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, _pspec: &glib::ParamSpec) {
        *self.name.lock().unwrap() = value.get().unwrap();
    }

    fn property(&self, _id: usize, _pspec: &glib::ParamSpec) -> glib::Value {
        self.name.lock().unwrap().to_value()
    }

    fn constructed(&self) {
        self.parent_constructed();
        let bin = self.obj();
        let source = gst::ElementFactory::make("videotestsrc").build().unwrap();
        source.set_property("is-live", true);
        source.set_property_from_str("pattern", "white");
        bin.add(&source).unwrap();
        let target = source.static_pad("src").unwrap();
        let weak = bin.downgrade();
        target.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            match state().as_deref().map(str::trim) {
                Some("silent") => gst::PadProbeReturn::Drop,
                Some(_) => gst::PadProbeReturn::Ok,
                None => {
                    if let Some(bin) = weak.upgrade() {
                        gst::element_error!(
                            bin,
                            gst::ResourceError::Read,
                            ("the camera is unplugged")
                        );
                    }
                    info.flow_res = Err(gst::FlowError::Error);
                    gst::PadProbeReturn::Handled
                }
            }
        });
        let template = bin.pad_template("src").unwrap();
        let pad = gst::GhostPad::builder_from_template_with_target(&template, &target);
        bin.add_pad(&pad.unwrap().name("src").build()).unwrap();
    }
}

impl GstObjectImpl for Camera {}

impl ElementImpl for Camera {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Stand-in for a camera",
                "Source/Video",
                "Is there while a file is there",
                "the attache authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps: gst::Caps = "video/x-raw".parse().unwrap();
            let (direction, always) = (gst::PadDirection::Src, gst::PadPresence::Always);
            vec![gst::PadTemplate::new("src", direction, always, &caps).unwrap()]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady && state().is_none() {
            gst::element_imp_error!(
                self,
                gst::ResourceError::NotFound,
                ("there is no such camera")
            );
            return Err(gst::StateChangeError);
        }
        self.parent_change_state(transition)
    }
}

impl BinImpl for Camera {}

glib::wrapper! {
    pub struct Element(ObjectSubclass<Camera>) @extends gst::Bin, gst::Element, gst::Object, @implements gst::ChildProxy;
}

#[derive(Default)]
pub struct Plug;

#[glib::object_subclass]
impl ObjectSubclass for Plug {
    const NAME: &'static str = "AttacheStandInPlug";
    type Type = Device;
    type ParentType = gst::Device;
}

impl ObjectImpl for Plug {}
impl GstObjectImpl for Plug {}

impl DeviceImpl for Plug {
    fn create_element(&self, _name: Option<&str>) -> Result<gst::Element, gst::LoggableError> {
        let camera = gst::ElementFactory::make("libcamerasrc").build().unwrap();
        camera.set_property("camera-name", "front");
        Ok(camera)
    }
}

glib::wrapper! {
    pub struct Device(ObjectSubclass<Plug>) @extends gst::Device, gst::Object;
}

#[derive(Default)]
pub struct Bus;

#[glib::object_subclass]
impl ObjectSubclass for Bus {
    const NAME: &'static str = "AttacheStandInBus";
    type Type = Provider;
    type ParentType = gst::DeviceProvider;
}

impl ObjectImpl for Bus {}
impl GstObjectImpl for Bus {}

impl DeviceProviderImpl for Bus {
    fn metadata() -> Option<&'static gst::subclass::DeviceProviderMetadata> {
        static METADATA: LazyLock<gst::subclass::DeviceProviderMetadata> = LazyLock::new(|| {
            gst::subclass::DeviceProviderMetadata::new(
                "Stand-ins for cameras",
                "Source/Video",
                "Finds the stand-in while it is plugged in",
                "the attache authors",
            )
        });
        Some(&METADATA)
    }

    fn start(&self) -> Result<(), gst::LoggableError> {
        if state().is_some() {
            let device = glib::Object::builder::<Device>()
                .property("display-name", "Front camera")
                .property("device-class", "Video/Source")
                .property("caps", "video/x-raw".parse::<gst::Caps>().unwrap())
                .build();
            self.obj().device_add(&device);
        }
        Ok(())
    }

    fn stop(&self) {}
}

glib::wrapper! {
    pub struct Provider(ObjectSubclass<Bus>) @extends gst::DeviceProvider, gst::Object;
}

/// Registers it where it is wanted.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    if file().is_none() {
        return Ok(());
    }
    let (element, provider) = (Element::static_type(), Provider::static_type());
    gst::Element::register(Some(plugin), "libcamerasrc", gst::Rank::NONE, element)?;
    gst::DeviceProvider::register(
        Some(plugin),
        "standinprovider",
        gst::Rank::PRIMARY,
        provider,
    )
}
