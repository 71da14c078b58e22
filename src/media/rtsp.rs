//! The element `attachertsp`: one stream of an RTSP camera, decoded, through all the camera's absences.
//!
//! The camera's connection is a pipeline of its own inside the element. It is thrown away and made anew when the camera
//! goes, so no error of it ends the pipeline around the element. Depayloaders and decoders are fixed ones: a camera is
//! a stranger like any other.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::clock;
use super::feed::{self, Chain, Media, Outside};

glib::wrapper! {
    /// Gives one stream of an RTSP camera as raw sound or picture, and comes back when the camera does.
    pub struct RtspSource(ObjectSubclass<element::RtspSource>) @extends gst::Bin, gst::Element, gst::Object;
}

/// Makes the element known to this process's GStreamer. To be called once.
pub fn register() -> Result<(), glib::BoolError> {
    let element = RtspSource::static_type();
    gst::Element::register(None, "attachertsp", gst::Rank::NONE, element)
}

/// How the camera's media travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "AttacheRtspProtocols")]
pub enum Protocols {
    /// UDP, and TCP if nothing arrives by that.
    #[default]
    Auto,
    /// Inside the RTSP connection.
    Tcp,
    /// UDP only.
    Udp,
}

/// The first wait after the camera was lost; doubled each time, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// So long a new connection may take to its first frame: within it, rtspsrc gives up on UDP and tries TCP.
const FIRST_FRAME: Duration = Duration::from_secs(15);
/// A camera that sends nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(5);
/// How often the thread looks after the connection.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(100);

const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const BASE: &str = "gstreamer1.0-plugins-base";
const LIBAV: &str = "gstreamer1.0-libav";

/// From RTP to raw, by RTP encoding name (RFC 3551 and the payload formats' own).
const DECODERS: [(Media, &str, Chain); 11] = [
    (
        Media::Video,
        "H264",
        &[
            ("rtph264depay", GOOD),
            ("h264parse", BAD),
            ("avdec_h264", LIBAV),
        ],
    ),
    (
        Media::Video,
        "H265",
        &[
            ("rtph265depay", GOOD),
            ("h265parse", BAD),
            ("avdec_h265", LIBAV),
        ],
    ),
    (
        Media::Video,
        "JPEG",
        &[("rtpjpegdepay", GOOD), ("jpegdec", GOOD)],
    ),
    (
        Media::Video,
        "VP8",
        &[("rtpvp8depay", GOOD), ("vp8dec", GOOD)],
    ),
    (
        Media::Video,
        "VP9",
        &[("rtpvp9depay", GOOD), ("vp9dec", GOOD)],
    ),
    (
        Media::Video,
        "MP4V-ES",
        &[
            ("rtpmp4vdepay", GOOD),
            ("mpeg4videoparse", BAD),
            ("avdec_mpeg4", LIBAV),
        ],
    ),
    (
        Media::Audio,
        "PCMU",
        &[("rtppcmudepay", GOOD), ("mulawdec", GOOD)],
    ),
    (
        Media::Audio,
        "PCMA",
        &[("rtppcmadepay", GOOD), ("alawdec", GOOD)],
    ),
    (
        Media::Audio,
        "OPUS",
        &[("rtpopusdepay", GOOD), ("opusdec", BASE)],
    ),
    (
        Media::Audio,
        "MPEG4-GENERIC",
        &[
            ("rtpmp4gdepay", GOOD),
            ("aacparse", GOOD),
            ("avdec_aac", LIBAV),
        ],
    ),
    (
        Media::Audio,
        "L16",
        &[("rtpL16depay", GOOD), ("audioconvert", BASE)],
    ),
];

fn decoder(media: Media, encoding: &str) -> Option<Chain> {
    DECODERS
        .iter()
        .find(|(of, name, _)| *of == media && name.eq_ignore_ascii_case(encoding))
        .map(|(_, _, chain)| *chain)
}

/// An `rtsp` or `rtsps` URL. It may hold a password: only [`Location::camera`] may be told.
#[derive(Clone)]
pub(super) struct Location {
    url: url::Url,
}

impl Location {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong, without the URL itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let right = "attachertsp needs location=rtsp://HOST/PATH (or rtsps://), with USER:PASSWORD@ before the host \
                     where the camera wants it";
        if text.is_empty() {
            return Err(format!("no location; {right}"));
        }
        let url = url::Url::parse(text)
            .map_err(|error| format!("the location is no URL ({error}); {right}"))?;
        if !matches!(url.scheme(), "rtsp" | "rtsps") {
            return Err(format!(
                "the location begins with {}:; {right}",
                url.scheme()
            ));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(format!("the location names no host; {right}"));
        }
        Ok(Self { url })
    }

    /// Host, port and path: what may be told.
    pub fn camera(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}"));
        format!("{host}{}{}", port.unwrap_or_default(), self.url.path())
    }

    /// The URL without user and password.
    pub fn redacted(&self) -> String {
        format!("{}://{}", self.url.scheme(), self.camera())
    }
}

/// What the element was told.
#[derive(Clone)]
struct Plan {
    location: Location,
    latency: u32,
    protocols: Protocols,
    media: Media,
}

/// The thread that keeps a connection.
struct Tending {
    stop: Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Tending {
    fn start(plan: Plan, outside: Arc<Outside>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("rtsp".to_owned())
            .spawn(move || tend(&plan, &outside, &stopped))?;
        Ok(Self { stop, thread })
    }

    fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread of an RTSP source panicked");
        }
    }
}

/// Connects, again and again, until `stop` is closed.
fn tend(plan: &Plan, outside: &Arc<Outside>, stop: &Receiver<()>) {
    let camera = plan.location.camera();
    let word = plan.media.word();
    let mut wait = FIRST_WAIT;
    let mut told: Option<String> = None;
    loop {
        let before = outside.frames();
        let playing = || {
            if told.is_some() {
                outside.say(&format!("camera {camera}: the {word} is back"));
            }
        };
        let Some(reason) = Connection::open(plan, outside)
            .and_then(|connection| connection.watch(outside, stop, playing))
            .err()
        else {
            return;
        };
        outside.interrupted();
        if outside.frames() > before {
            wait = FIRST_WAIT;
            told = None;
        }
        // The same once: a camera that is away for a week must not fill the log.
        if told.as_ref() != Some(&reason) {
            outside.say(&format!(
                "camera {camera}: {reason}; trying again until the {word} comes"
            ));
            told = Some(reason);
        }
        match stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => wait = (wait * 2).min(LONGEST_WAIT),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What the camera's session description offers, and what became of it.
#[derive(Debug, Default)]
struct Offered {
    streams: Vec<String>,
    chosen: bool,
    wrong: Option<String>,
}

/// One connection to the camera. Dropped, it is closed.
struct Connection {
    pipeline: gst::Pipeline,
    media: Media,
    offered: Arc<Mutex<Offered>>,
}

impl Connection {
    fn open(plan: &Plan, outside: &Arc<Outside>) -> Result<Self, String> {
        let failed = |error: glib::BoolError| error.to_string();
        let pipeline = gst::Pipeline::with_name("rtsp");
        clock::prepare(&pipeline);
        let source = gst::ElementFactory::make("rtspsrc")
            .property("location", plan.location.url.as_str())
            .property("latency", plan.latency)
            .property("tcp-timeout", 5_000_000u64)
            .property_from_str(
                "protocols",
                match plan.protocols {
                    Protocols::Auto => "tcp+udp-mcast+udp",
                    Protocols::Tcp => "tcp",
                    Protocols::Udp => "udp-mcast+udp",
                },
            )
            .build()
            .map_err(|_| format!("GStreamer has no element rtspsrc: install {GOOD}"))?;
        let sink = appsink(outside);
        pipeline
            .add_many([&source, sink.upcast_ref()])
            .map_err(failed)?;
        let offered = Arc::new(Mutex::new(Offered::default()));
        select(&source, plan.media, &offered);
        let (weak, told, media) = (pipeline.downgrade(), offered.clone(), plan.media);
        source.connect_pad_added(move |_, pad| {
            let Some(pipeline) = weak.upgrade() else {
                return;
            };
            let chain = pad
                .current_caps()
                .and_then(|caps| decoder(media, encoding_of(&caps)?.as_str()));
            let linked = match chain {
                Some(chain) => feed::decode(&pipeline, pad, chain, sink.upcast_ref()),
                None => Ok(()),
            };
            if let Err(wrong) = linked {
                told.lock().unwrap_or_else(PoisonError::into_inner).wrong = Some(wrong);
            }
        });
        let connection = Self {
            pipeline,
            media: plan.media,
            offered,
        };
        // Its reason comes over the bus.
        let _ = connection.pipeline.set_state(gst::State::Playing);
        Ok(connection)
    }

    /// Waits until the connection is of no use any more, and says why; `Ok` when it is to end.
    fn watch(
        &self,
        outside: &Outside,
        stop: &Receiver<()>,
        playing: impl FnOnce(),
    ) -> Result<(), String> {
        let bus = self.pipeline.bus().ok_or("its pipeline has no bus")?;
        let mut frames = outside.frames();
        let (mut since, mut limit) = (Instant::now(), FIRST_FRAME);
        let mut playing = Some(playing);
        loop {
            let ends = [gst::MessageType::Error, gst::MessageType::Eos];
            let message = bus.timed_pop_filtered(LOOK, &ends);
            if !matches!(stop.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
                return Ok(());
            }
            if let Some(wrong) = self.wrong() {
                return Err(wrong);
            }
            match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::Error(error)) => return Err(in_words(&error.error())),
                Some(gst::MessageView::Eos(_)) => {
                    return Err("the camera ended the stream".to_owned());
                }
                Some(_) | None => {}
            }
            if outside.frames() != frames {
                frames = outside.frames();
                (since, limit) = (Instant::now(), SILENCE);
                if let Some(playing) = playing.take() {
                    playing();
                }
            } else if since.elapsed() > limit {
                let word = self.media.word();
                return Err(format!("no {word} came for {} s", limit.as_secs()));
            }
        }
    }

    /// What the session description already tells.
    fn wrong(&self) -> Option<String> {
        let offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        if offered.wrong.is_some() || offered.chosen || offered.streams.is_empty() {
            return offered.wrong.clone();
        }
        let known: Vec<&str> = DECODERS
            .iter()
            .filter(|(media, ..)| *media == self.media)
            .map(|(_, name, _)| *name)
            .collect();
        Some(format!(
            "it offers {}, and none of that is a {} that attache decodes: let it send one of {}",
            offered.streams.join(", "),
            self.media.word(),
            known.join(", ")
        ))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The element's own thread drops it: it may wait for streaming threads.
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "an RTSP connection did not stop");
        }
    }
}

/// Takes the first stream of the kind that can be decoded, and no other.
fn select(source: &gst::Element, media: Media, offered: &Arc<Mutex<Offered>>) {
    let offered = offered.clone();
    source.connect("select-stream", false, move |arguments| {
        let caps = arguments
            .get(2)
            .and_then(|caps| caps.get::<gst::Caps>().ok());
        let stream = caps.and_then(|caps| {
            let of: String = caps.structure(0)?.get("media").ok()?;
            Some((of, encoding_of(&caps)?))
        });
        let Some((of, encoding)) = stream else {
            return Some(false.to_value());
        };
        let mut offered = offered.lock().unwrap_or_else(PoisonError::into_inner);
        // A stranger's words: cut short.
        let word: String = format!("{of} {encoding}")
            .chars()
            .filter(|c| !c.is_control())
            .take(40)
            .collect();
        offered.streams.push(word);
        let is_wanted =
            !offered.chosen && of == media.name() && decoder(media, &encoding).is_some();
        offered.chosen |= is_wanted;
        Some(is_wanted.to_value())
    });
}

fn encoding_of(caps: &gst::Caps) -> Option<String> {
    caps.structure(0)?.get("encoding-name").ok()
}

/// The inner pipeline's end: frames go out with their running times.
fn appsink(outside: &Arc<Outside>) -> gst_app::AppSink {
    let outside = outside.clone();
    let callbacks = gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let (Some(caps), Some(buffer)) = (sample.caps_owned(), sample.buffer_owned()) else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let segment = sample
                .segment()
                .and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
            let running_time = segment.and_then(|segment| segment.to_running_time(buffer.pts()));
            drop(sample);
            match running_time {
                Some(running_time) => outside.push(&caps, buffer, running_time),
                None => Ok(gst::FlowSuccess::Ok),
            }
        })
        .build();
    gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .callbacks(callbacks)
        .build()
}

/// What an error of rtspsrc means. Its own words may hold the URL.
fn in_words(error: &glib::Error) -> String {
    let words = match error.kind::<gst::ResourceError>() {
        Some(gst::ResourceError::NotAuthorized) => {
            "it wants a user and a password, or other ones (401): rtsp://USER:PASSWORD@HOST/PATH"
        }
        Some(gst::ResourceError::NotFound) => {
            "it has no such stream (404): check the path of the URL"
        }
        Some(
            gst::ResourceError::OpenRead
            | gst::ResourceError::OpenWrite
            | gst::ResourceError::OpenReadWrite,
        ) => "it cannot be reached: check host and port of the URL, and that the camera is on",
        Some(gst::ResourceError::Read | gst::ResourceError::Write) => "the connection broke",
        Some(gst::ResourceError::Settings) => {
            "it has no transport that this element may use: try protocols=auto"
        }
        Some(_) => "the RTSP session failed",
        None => match error.kind::<gst::StreamError>() {
            Some(gst::StreamError::Decode | gst::StreamError::Demux) => {
                "what it sends cannot be decoded"
            }
            Some(_) | None => "the RTSP session failed",
        },
    };
    words.to_owned()
}

mod element {
    use std::sync::{Arc, LazyLock, Mutex, PoisonError};

    use gst::glib;
    use gst::prelude::*;
    use gst::subclass::prelude::*;
    use gstreamer as gst;
    use gstreamer_app as gst_app;

    use super::{Location, Media, Outside, Plan, Protocols, Tending};

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
            let template = bin.pad_template("src");
            let target = self.source.static_pad("src");
            let (Some(template), Some(target)) = (template, target) else {
                return;
            };
            let built = bin.add(&self.source).and_then(|()| {
                let pad = gst::GhostPad::builder_from_template_with_target(&template, &target)?;
                bin.add_pad(&pad.name("src").build())
            });
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
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> =
                LazyLock::new(|| super::super::feed::templates());
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_told_without_its_password() {
        let location =
            Location::parse("rtsp://admin:s3cret%40@cam.local:8554/live?token=abc").unwrap();
        assert_eq!(location.camera(), "cam.local:8554/live");
        assert_eq!(location.redacted(), "rtsp://cam.local:8554/live");
    }

    #[test]
    fn a_wrong_location_is_told_with_what_would_be_right_and_without_itself() {
        for wrong in [
            "",
            "camera",
            "http://admin:s3cret@cam/",
            "rtsp://",
            "file:///etc/passwd",
        ] {
            let Err(error) = Location::parse(wrong) else {
                panic!("{wrong:?} passed")
            };
            assert!(
                error.contains("rtsp://HOST/PATH") && !error.contains("s3cret"),
                "{error}"
            );
        }
    }
}
