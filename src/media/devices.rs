//! Cameras, microphones, speakers and displays of this machine: what is there, which one is taken, and how.

use std::collections::BTreeMap;
use std::path::Path;

use gst::prelude::*;
use gstreamer as gst;

use crate::pipeline::fragment::Fragment;
use crate::pipeline::parameters::Values;
use crate::pipeline::{Description, Settings};

/// What a device is for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Takes pictures.
    Camera,
    /// Takes sound.
    Microphone,
    /// Plays sound.
    Speaker,
    /// Shows pictures.
    Display,
}

impl DeviceKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Camera, Self::Microphone, Self::Speaker, Self::Display];

    /// The kind of this name, as descriptions write it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As descriptions, events and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
            Self::Display => "display",
        }
    }

    /// What people are told when it is lost, and why, or back.
    pub fn told(self, lost: Option<&str>) -> String {
        let Some(reason) = lost else {
            return format!("{self}: it is back");
        };
        let instead = match self {
            Self::Camera => "a picture that says so is sent",
            Self::Microphone => "silence is sent",
            Self::Speaker => "what others say is not played",
            Self::Display => "what others show is not shown",
        };
        format!("{self} lost: {reason}; {instead} until it is back")
    }

    /// Where it is looked for, in words.
    pub fn searched(self) -> &'static str {
        match self {
            Self::Camera => "V4L2 and PipeWire",
            Self::Microphone | Self::Speaker => "PulseAudio, PipeWire and ALSA",
            Self::Display => "$WAYLAND_DISPLAY, $DISPLAY and connected outputs in /sys/class/drm",
        }
    }
}

impl std::fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A device that is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What people call it.
    pub name: String,
    /// What the system calls it: a path, an ALSA name.
    pub path: String,
    /// What it gives or takes, in words; not all of it.
    pub formats: Vec<String>,
    /// The launch text of its element.
    launch: String,
}

/// The devices that a fragment names: its parameter, the kind, and which one is wanted (`auto`, `none`, name or path).
#[derive(Debug, Default)]
pub struct Wanted(Vec<(String, DeviceKind, String)>);

impl Wanted {
    /// Those of a fragment with these values.
    pub fn of(description: &Description, fragment: &Fragment, values: &Values) -> Self {
        let devices = description.devices_of(fragment).into_iter();
        let wanted = |name: &str| values.text(name).unwrap_or("auto").to_owned();
        Self(
            devices
                .map(|(name, kind)| (name.to_owned(), kind, wanted(name)))
                .collect(),
        )
    }
}

/// The devices found, by parameter.
#[derive(Debug, Default)]
pub struct Found(BTreeMap<String, (DeviceKind, Device)>);

impl Found {
    /// The launch text that stands for a parameter.
    pub fn launch(&self, parameter: &str) -> Option<String> {
        self.0
            .get(parameter)
            .map(|(_, device)| device.launch.clone())
    }

    /// Each choice in words.
    pub fn notices(&self) -> Vec<String> {
        self.0
            .values()
            .map(|(kind, device)| format!("{kind}: {} ({})", device.name, device.path))
            .collect()
    }
}

/// Why there is no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The job asked for none.
    #[error("no {0} is used, as asked")]
    Unwanted(DeviceKind),
    /// The machine has none.
    #[error("no {kind} found (looked in {searched})")]
    Absent {
        /// Of which kind.
        kind: DeviceKind,
        /// Where it was looked for.
        searched: &'static str,
    },
    /// The machine has others.
    #[error("no {kind} is called {wanted:?}; present: {present}")]
    Other {
        /// Of which kind.
        kind: DeviceKind,
        /// Which one was asked for.
        wanted: String,
        /// Those that are there.
        present: String,
    },
}

/// Finds all devices that a fragment needs. Asks drivers and sound servers: not for async threads.
pub fn find(wanted: &Wanted, settings: &Settings) -> Result<Found, Missing> {
    let mut found = Found::default();
    for (parameter, kind, which) in &wanted.0 {
        let present = if which == "none" {
            Vec::new()
        } else {
            present(*kind, settings)
        };
        let device = choose(*kind, which, present)?;
        found.0.insert(parameter.clone(), (*kind, device));
    }
    Ok(found)
}

/// The device wanted among those present.
fn choose(kind: DeviceKind, wanted: &str, mut present: Vec<Device>) -> Result<Device, Missing> {
    if wanted == "none" {
        return Err(Missing::Unwanted(kind));
    }
    if present.is_empty() {
        return Err(Missing::Absent {
            kind,
            searched: kind.searched(),
        });
    }
    let is_wanted =
        |device: &Device| wanted == "auto" || device.name == wanted || device.path == wanted;
    if let Some(index) = present.iter().position(is_wanted) {
        return Ok(present.swap_remove(index));
    }
    let names: Vec<_> = present
        .iter()
        .map(|device| format!("{:?}", device.name))
        .collect();
    Err(Missing::Other {
        kind,
        wanted: wanted.to_owned(),
        present: names.join(", "),
    })
}

/// The devices of a kind, the preferred ones first.
pub fn present(kind: DeviceKind, settings: &Settings) -> Vec<Device> {
    match kind {
        DeviceKind::Camera => monitored("Video/Source", kind, settings),
        DeviceKind::Microphone => monitored("Audio/Source", kind, settings),
        DeviceKind::Speaker => monitored("Audio/Sink", kind, settings),
        DeviceKind::Display => {
            let has_display = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let connected = has_connected_output(Path::new("/sys/class/drm"));
            displays(
                has_display("WAYLAND_DISPLAY"),
                has_display("DISPLAY"),
                connected,
            )
        }
    }
}

/// How to show pictures: Wayland, X11, or the bare screen.
fn displays(wayland: bool, x11: bool, bare: bool) -> Vec<Device> {
    let candidates = [
        (wayland, "Wayland", "waylandsink"),
        (x11, "X11", "xvimagesink"),
        (x11, "X11", "ximagesink"),
        (bare, "the screen without a desktop", "kmssink"),
    ];
    let here = candidates
        .into_iter()
        .filter(|(is_here, _, sink)| *is_here && opens(sink));
    here.map(|(_, name, sink)| Device {
        name: name.to_owned(),
        path: sink.to_owned(),
        formats: Vec::new(),
        launch: format!("videoconvertscale ! {sink} sync=true"),
    })
    .collect()
}

/// Whether a sink can open its display: X servers of virtual machines, for example, have no Xv.
fn opens(sink: &str) -> bool {
    let Ok(sink) = gst::ElementFactory::make(sink).build() else {
        return false;
    };
    let opened = sink.set_state(gst::State::Ready).is_ok();
    // It is thrown away: whether it closes well tells nothing.
    let _ = sink.set_state(gst::State::Null);
    opened
}

/// Whether some output of a graphics card has a screen: `card0-HDMI-A-1/status` says `connected`.
fn has_connected_output(drm: &Path) -> bool {
    let outputs = std::fs::read_dir(drm).into_iter().flatten().flatten();
    outputs.into_iter().any(|output| {
        std::fs::read_to_string(output.path().join("status"))
            .is_ok_and(|status| status.trim() == "connected")
    })
}

/// Elements that we know how to name a device to: factory and property, the preferred ones first.
const ELEMENTS: [(&str, &str); 8] = [
    ("v4l2src", "device"),
    ("pipewiresrc", "target-object"),
    ("pulsesrc", "device"),
    ("pulsesink", "device"),
    ("pipewiresink", "target-object"),
    ("alsasrc", "device"),
    ("alsasink", "device"),
    ("libcamerasrc", "camera-name"),
];

/// What GStreamer's device providers know.
fn monitored(class: &str, kind: DeviceKind, settings: &Settings) -> Vec<Device> {
    let monitor = gst::DeviceMonitor::new();
    monitor.add_filter(Some(class), None);
    if let Err(error) = monitor.start() {
        tracing::debug!(%error, class, "no device provider");
        return Vec::new();
    }
    let mut devices: Vec<(bool, usize, Device)> = Vec::new();
    for device in monitor.devices() {
        let Some((rank, described)) = describe(&device, kind, settings) else {
            continue;
        };
        let is_default = device
            .properties()
            .is_some_and(|about| about.get::<bool>("is-default").unwrap_or(false));
        devices.push((!is_default, rank, described));
    }
    monitor.stop();
    devices.sort_by_key(|(is_other, rank, _)| (*rank, *is_other));
    devices.into_iter().map(|(_, _, device)| device).collect()
}

/// A provider's device as launch text, with its place in [`ELEMENTS`].
fn describe(
    device: &gst::Device,
    kind: DeviceKind,
    settings: &Settings,
) -> Option<(usize, Device)> {
    let element = device.create_element(None).ok()?;
    let factory = element.factory()?.name().to_string();
    let rank = ELEMENTS.iter().position(|(known, _)| *known == factory)?;
    let path: Option<String> = element.property(ELEMENTS[rank].1);
    let path = path?;
    // A monitor of a loudspeaker is no microphone.
    if kind == DeviceKind::Microphone && path.ends_with(".monitor") {
        return None;
    }
    let launch = format!("{factory} {}={}", ELEMENTS[rank].1, quoted(&path)?);
    let is_sound_server_or_alsa = matches!(
        factory.as_str(),
        "pulsesrc" | "pulsesink" | "alsasrc" | "alsasink"
    );
    // The pipeline keeps the process's clock; a sound card follows it.
    let clock = if is_sound_server_or_alsa {
        " provide-clock=false"
    } else {
        ""
    };
    let launch = match kind {
        DeviceKind::Camera => camera_launch(&launch, device.caps().as_ref(), settings),
        DeviceKind::Microphone if is_sound_server_or_alsa => {
            format!("{launch}{clock} buffer-time=100000 latency-time=10000")
        }
        DeviceKind::Microphone | DeviceKind::Speaker | DeviceKind::Display => {
            format!("{launch}{clock}")
        }
    };
    Some((
        rank,
        Device {
            formats: device.caps().map_or_else(Vec::new, |caps| formats(&caps)),
            name: device.display_name().to_string(),
            path,
            launch,
        },
    ))
}

/// Formats that are told of a device.
const TOLD: usize = 8;

/// Caps in words: "I420 1280x720 30/s", "S16LE 48000 Hz 2 channels".
fn formats(caps: &gst::Caps) -> Vec<String> {
    let one = |caps: &gst::StructureRef| {
        let text = |name: &str| {
            let value = caps.value(name).ok()?;
            let text = value
                .get::<String>()
                .ok()
                .or_else(|| value.serialize().ok().map(Into::into))?;
            Some(
                text.replace("(string)", "")
                    .replace("(int)", "")
                    .replace("(fraction)", ""),
            )
        };
        let kind = match caps.name().as_str() {
            "video/x-raw" | "audio/x-raw" => text("format").unwrap_or_default(),
            other => other.to_owned(),
        };
        let size = text("width").zip(text("height"));
        let parts = [
            Some(kind),
            size.map(|(width, height)| format!("{width}x{height}")),
            text("framerate").map(|rate| format!("{}/s", rate.trim_end_matches("/1"))),
            text("rate").map(|rate| format!("{rate} Hz")),
            text("channels").map(|channels| format!("{channels} channels")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let mut told: Vec<String> = caps.iter().map(one).collect();
    told.dedup();
    let more = told.len().saturating_sub(TOLD);
    told.truncate(TOLD);
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told
}

/// A text in quotes for gst-launch; none if it has characters that no device's name has.
fn quoted(text: &str) -> Option<String> {
    let is_safe = !text
        .chars()
        .any(|letter| letter.is_control() || matches!(letter, '"' | '\\'));
    is_safe.then(|| format!("\"{text}\""))
}

/// Takes pictures as JPEG where the camera has the wanted size and rate only so: USB 2 is too slow for raw 720p30.
fn camera_launch(launch: &str, caps: Option<&gst::Caps>, settings: &Settings) -> String {
    let video = &settings.video;
    let size = |name: &str| {
        gst::Caps::builder(name)
            .field("width", i32::try_from(video.width).unwrap_or(i32::MAX))
            .field("height", i32::try_from(video.height).unwrap_or(i32::MAX))
            .field(
                "framerate",
                gst::Fraction::new(i32::try_from(video.framerate).unwrap_or(30), 1),
            )
            .build()
    };
    let can = |wanted: &gst::Caps| caps.is_some_and(|caps| caps.can_intersect(wanted));
    let jpeg = size("image/jpeg");
    if !can(&size("video/x-raw")) && can(&jpeg) {
        return format!("{launch} ! {jpeg} ! jpegdec");
    }
    launch.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, path: &str) -> Device {
        Device {
            formats: Vec::new(),
            name: name.into(),
            path: path.into(),
            launch: String::new(),
        }
    }

    #[test]
    fn the_wanted_device_is_taken_by_name_or_path_and_auto_takes_the_first() {
        let present = || {
            vec![
                device("Front", "/dev/video0"),
                device("Back", "/dev/video2"),
            ]
        };
        for (wanted, path) in [
            ("auto", "/dev/video0"),
            ("Back", "/dev/video2"),
            ("/dev/video2", "/dev/video2"),
        ] {
            assert_eq!(
                choose(DeviceKind::Camera, wanted, present()).unwrap().path,
                path
            );
        }
        let missing = choose(DeviceKind::Camera, "Side", present()).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "no camera is called \"Side\"; present: \"Front\", \"Back\""
        );
    }

    #[test]
    fn a_machine_without_devices_says_where_it_looked() {
        let missing = choose(DeviceKind::Microphone, "auto", Vec::new()).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "no microphone found (looked in PulseAudio, PipeWire and ALSA)"
        );
    }

    #[test]
    fn a_camera_that_is_fast_only_in_jpeg_is_asked_for_jpeg() {
        gst::init().unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        let description = Description::load(&folder, "kiosk-test").unwrap();
        let values = description
            .values(&Default::default(), &"r".parse().unwrap())
            .unwrap();
        let settings = description.settings(&values).unwrap();
        let caps = |text: &str| text.parse::<gst::Caps>().unwrap();
        let usb2 = caps(
            "video/x-raw,format=YUY2,width=1280,height=720,framerate=10/1;\
             image/jpeg,width=1280,height=720,framerate={30/1,15/1}",
        );
        let launch = camera_launch("v4l2src", Some(&usb2), &settings);
        assert!(
            launch.contains("image/jpeg") && launch.ends_with("jpegdec"),
            "{launch}"
        );
        gst::parse::bin_from_description(&launch, false).expect("gst-launch reads it");
        let usb3 = caps("video/x-raw,format=YUY2,width=1280,height=720,framerate=30/1;image/jpeg");
        assert_eq!(camera_launch("v4l2src", Some(&usb3), &settings), "v4l2src");
    }

    #[test]
    fn a_screen_counts_when_its_output_is_connected() {
        let drm = tempfile::tempdir().unwrap();
        assert!(!has_connected_output(drm.path()));
        let output = drm.path().join("card0-HDMI-A-1");
        std::fs::create_dir(&output).unwrap();
        std::fs::write(output.join("status"), "disconnected\n").unwrap();
        assert!(!has_connected_output(drm.path()));
        std::fs::write(output.join("status"), "connected\n").unwrap();
        assert!(has_connected_output(drm.path()));
    }
}
