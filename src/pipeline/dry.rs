//! The dry run: a description's fragments are built as a job would build them, with stand-ins for devices, cameras on
//! the network and files, and brought to PAUSED; the first frame goes all the way.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;

use super::build;
use super::description::Description;
use super::fragment::Fragment;
use super::launch::{Launch, What};
use super::problem::{DescriptionError, Problem};
use super::settings::Settings;
use crate::graph::Graph;
use crate::job::Parameters;
use crate::media::MediaKind;

/// All fragments of a file together may take this long; they take some milliseconds.
const LIMIT: Duration = Duration::from_millis(1500);
/// What starts without giving frames is listened to for this long.
const LIVE_LIMIT: Duration = Duration::from_millis(50);

impl Description {
    /// Brings every fragment to PAUSED with the parameters' defaults. Waits for frames: not for async threads.
    ///
    /// # Errors
    /// What elements say, each at the element's place.
    pub fn dry_run(&self) -> Result<(), DescriptionError> {
        let wrong = |found: String| {
            DescriptionError::without_place(&self.file, "dry run", found, "a GStreamer that works")
        };
        crate::media::init().map_err(|error| wrong(error.to_string()))?;
        let room = "room".parse().map_err(|_| wrong("no room".to_owned()))?;
        let settings = self.settings(&self.values(&Parameters::new(), &room)?)?;
        let mut problems = Vec::new();
        let mut runs = Vec::new();
        for fragment in self.fragments() {
            let run = match Run::start(self, fragment, &settings) {
                Ok(run) => run,
                Err(error) => {
                    problems.extend(error.0);
                    continue;
                }
            };
            runs.extend(run);
        }
        let deadline = Instant::now() + LIMIT;
        for run in &runs {
            problems.extend(run.wait(self, deadline));
        }
        DescriptionError::unless_empty(problems)
    }
}

impl Description {
    /// The graph of every fragment, as a dry run leaves it.
    ///
    /// # Errors
    /// Where a fragment cannot be built.
    pub fn graph(&self) -> Result<Graph, DescriptionError> {
        let wrong = |found: String| {
            DescriptionError::without_place(&self.file, "graph", found, "a GStreamer that works")
        };
        crate::media::init().map_err(|error| wrong(error.to_string()))?;
        let room = "room".parse().map_err(|_| wrong("no room".to_owned()))?;
        let settings = self.settings(&self.values(&Parameters::new(), &room)?)?;
        let deadline = Instant::now() + LIMIT;
        let mut graph = Graph::default();
        for fragment in self.fragments() {
            let clusters = match Run::start(self, fragment, &settings)? {
                Some(run) => {
                    // What does not run is drawn all the same, without caps.
                    let _ = run.wait(self, deadline);
                    Graph::of(std::slice::from_ref(&run.bin)).clusters
                }
                None => {
                    let built = build::build(self, fragment, &self.stand_ins(fragment)?)?;
                    Graph::of(&[built.bin]).clusters
                }
            };
            graph.clusters.extend(clusters);
        }
        Ok(graph)
    }
}

struct Run<'a> {
    fragment: &'a Fragment,
    pipeline: gst::Pipeline,
    bin: gst::Bin,
    is_live: bool,
}

impl<'a> Run<'a> {
    /// `None` where there is nothing that could stand in for a device.
    fn start(
        description: &Description,
        fragment: &'a Fragment,
        settings: &Settings,
    ) -> Result<Option<Self>, DescriptionError> {
        let stand_ins: Vec<StandIn> = (0..fragment.launch.elements.len())
            .map(|index| stand_in(fragment, index))
            .collect();
        if stand_ins.iter().any(|one| matches!(one, StandIn::Nothing)) {
            return Ok(None);
        }
        let filled = description.stand_ins(fragment)?;
        let by_index = |index: usize| match stand_ins.get(index) {
            Some(StandIn::Launch(launch)) => Some(*launch),
            Some(StandIn::Itself | StandIn::Nothing) | None => None,
        };
        let built = build::build_with(description, fragment, &filled, &by_index)?;
        let wrong = |found: String| {
            let right = "elements that work together";
            let place = Some(fragment.place(0));
            DescriptionError::from(description.problem(place, fragment.key, found, right))
        };
        let pipeline = gst::Pipeline::new();
        let mut run = Self {
            fragment,
            pipeline: pipeline.clone(),
            bin: built.bin,
            is_live: false,
        };
        let failed = |error: gst::glib::BoolError| wrong(error.to_string());
        pipeline.add(&run.bin).map_err(failed)?;
        let around = surroundings(fragment, settings);
        for (launch, pad, is_before) in around.into_iter().flatten() {
            let outer = gst::parse::bin_from_description(&launch, true)
                .map_err(|error| wrong(error.to_string()))?;
            pipeline.add(&outer).map_err(failed)?;
            let outer: gst::Element = outer.upcast();
            let linked = if is_before {
                outer.link_pads(Some("src"), &run.bin, Some(pad))
            } else {
                run.bin.link_pads(Some(pad), &outer, Some("sink"))
            };
            linked.map_err(failed)?;
        }
        // What goes wrong is on the bus, with the element that says it.
        let started = pipeline.set_state(gst::State::Paused);
        run.is_live = started == Ok(gst::StateChangeSuccess::NoPreroll);
        Ok(Some(run))
    }

    /// Waits until a frame went through, an element failed, or time is up.
    fn wait(&self, description: &Description, deadline: Instant) -> Option<Problem> {
        let bus = self.pipeline.bus()?;
        // A live source gives nothing before PLAYING: only its elements' start can be looked at.
        let deadline = if self.is_live {
            deadline.min(Instant::now() + LIVE_LIMIT)
        } else {
            deadline
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = gst::ClockTime::try_from(left).unwrap_or_default();
            let kinds = [gst::MessageType::Error, gst::MessageType::AsyncDone];
            let Some(message) = bus.timed_pop_filtered(left, &kinds) else {
                if self.is_live {
                    return None;
                }
                let found = format!("no frame came through within {LIMIT:?}");
                let right = "each source gives frames, and each mixer has what it waits for";
                return Some(self.problem(description, None, found, right));
            };
            match message.view() {
                gst::MessageView::Error(error) => {
                    let element = message.src().and_then(|source| self.element_of(source));
                    let mut found = error.error().message().to_owned();
                    if let Some(reason) = error.debug().as_deref().and_then(reason) {
                        found = format!("{found} ({reason})");
                    }
                    let right = "properties and caps that the element can work with";
                    return Some(self.problem(description, element, found, right));
                }
                _ if message.src() == Some(self.pipeline.upcast_ref()) => return None,
                _ => {}
            }
        }
    }

    fn problem(
        &self,
        description: &Description,
        element: Option<usize>,
        found: String,
        right: &str,
    ) -> Problem {
        let at = element.map_or(0, |index| self.fragment.launch.elements[index].at);
        let place = Some(self.fragment.place(at));
        let key = self.fragment.key;
        let mut problem = description.problem(place, key, format!("dry run: {found}"), right);
        problem.element = element.map(|index| self.fragment.element_name(index));
        problem
    }

    /// The element of the fragment that an object belongs to.
    fn element_of(&self, object: &gst::Object) -> Option<usize> {
        let mut object = object.clone();
        loop {
            let parent = object.parent()?;
            if parent == *self.bin.upcast_ref::<gst::Object>() {
                return self.fragment.element_of(&object.name());
            }
            object = parent;
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // It is thrown away: whether it stops well tells nothing.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The last line of GStreamer's debug text: `streaming stopped, reason not-negotiated (-4)`.
fn reason(debug: &str) -> Option<&str> {
    debug
        .lines()
        .next_back()
        .map(|line| line.trim_end_matches(':'))
        .filter(|line| !line.contains(".c(") && !line.is_empty())
}

/// What a job attaches: launch text, the fragment's pad, and whether it comes before.
fn surroundings(
    fragment: &Fragment,
    settings: &Settings,
) -> [Option<(String, &'static str, bool)>; 2] {
    let video = &settings.video;
    let (source, sink) = match fragment.kind {
        MediaKind::Video => (
            format!(
                "videotestsrc ! capsfilter caps=video/x-raw,format=I420,width={},height={},framerate={}/1",
                video.width, video.height, video.framerate
            ),
            format!(
                "videorate drop-only=true ! videoconvertscale ! video/x-raw,format=I420,width={},height={} ! fakesink",
                video.width, video.height
            ),
        ),
        MediaKind::Audio => (
            "audiotestsrc ! capsfilter caps=audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2"
                .to_owned(),
            "audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000 ! fakesink".to_owned(),
        ),
    };
    let section = fragment.section;
    [
        section.has_sink().then_some((source, "sink", true)),
        section.has_source().then_some((sink, "src", false)),
    ]
}

enum StandIn {
    Itself,
    Launch(&'static str),
    /// Nothing here gives what it gives.
    Nothing,
}

/// What stands in for elements that need a device, a network, a file or time.
fn stand_in(fragment: &Fragment, index: usize) -> StandIn {
    let What::Factory(factory) = &fragment.launch.elements[index].what else {
        return StandIn::Itself;
    };
    match factory.as_str() {
        // It holds frames back before PLAYING.
        "clocksync" => StandIn::Launch("identity"),
        "pulsesink" | "alsasink" | "pipewiresink" | "waylandsink" | "xvimagesink"
        | "ximagesink" | "kmssink" => StandIn::Launch("fakesink"),
        "v4l2src" | "libcamerasrc" | "ximagesrc" | "pipewiresrc" | "pulsesrc" | "alsasrc"
        | "attachertsp" | "attacheclip" => {
            match (media_behind(&fragment.launch, index), fragment.kind) {
                (Behind::Raw, MediaKind::Video) => StandIn::Launch("videotestsrc"),
                (Behind::Raw, MediaKind::Audio) => StandIn::Launch("audiotestsrc"),
                (Behind::Jpeg, _) => StandIn::Launch("videotestsrc ! jpegenc"),
                (Behind::Other, _) => StandIn::Nothing,
            }
        }
        _ => StandIn::Itself,
    }
}

enum Behind {
    Raw,
    Jpeg,
    Other,
}

/// What the next element asks for.
fn media_behind(launch: &Launch, index: usize) -> Behind {
    let next = launch.links.iter().find(|link| link.from.element == index);
    let next = next.map(|link| &launch.elements[link.to.element].what);
    match next {
        Some(What::Caps(caps)) => {
            let caps = caps.filled(|_| String::new());
            if caps.starts_with("image/jpeg") {
                Behind::Jpeg
            } else if caps.starts_with("video/x-raw") || caps.starts_with("audio/x-raw") {
                Behind::Raw
            } else {
                Behind::Other
            }
        }
        Some(What::Factory(factory)) if factory.starts_with("jpeg") => Behind::Jpeg,
        Some(What::Factory(factory)) if factory.ends_with("parse") || factory.ends_with("dec") => {
            Behind::Other
        }
        Some(What::Factory(_) | What::Device(_)) | None => Behind::Raw,
    }
}
