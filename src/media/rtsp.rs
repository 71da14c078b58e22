//! The element `attachertsp`: one stream of an RTSP camera, decoded, through all the camera's absences.
//!
//! The camera's connection is a pipeline of its own inside the element. It is thrown away and made anew when the camera
//! goes, so no error of it ends the pipeline around the element. Depayloaders and decoders are fixed ones: a camera is
//! a stranger like any other.

mod connection;
mod decoders;
mod element;
mod location;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

use super::feed::{Media, Outside};
use connection::Connection;
use location::Location;

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
