//! The inner pipeline of a clip, and the thread that sends it back to the beginning.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::super::clock;
use super::super::feed::{self, Media, Outside};
use super::file::{self, Clip, Format};

/// How often a still picture is repeated, per second: a key frame must not wait long for the next one.
const STILL_RATE: i32 = 10;
/// From the decision to play to the first frame's time.
const START: gst::ClockTime = gst::ClockTime::from_mseconds(100);
/// A frame that is later than this is not sent: it is only decoded on the way to the right place.
const LATE: gst::ClockTime = gst::ClockTime::from_mseconds(200);
/// One that begins so far behind the others looks for the place where they are.
const BEHIND: gst::ClockTime = gst::ClockTime::from_seconds(1);
/// Reading a file's beginning takes no longer.
const OPENING: Duration = Duration::from_secs(10);
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// When files began that are being played: whoever plays one of them joins in.
static BEGINNINGS: Mutex<Vec<(PathBuf, Weak<gst::ClockTime>)>> = Mutex::new(Vec::new());

fn beginning(path: &PathBuf) -> Arc<gst::ClockTime> {
    let mut beginnings = BEGINNINGS.lock().unwrap_or_else(PoisonError::into_inner);
    beginnings.retain(|(_, begun)| begun.strong_count() > 0);
    let same = beginnings.iter().find(|(of, _)| of == path);
    if let Some(begun) = same.and_then(|(_, begun)| begun.upgrade()) {
        return begun;
    }
    let begun = Arc::new(clock::running_time() + START);
    beginnings.push((path.clone(), Arc::downgrade(&begun)));
    begun
}

/// A thread that plays a clip until it is ended.
pub struct Playing {
    stop: Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Playing {
    pub fn start(clip: Clip, media: Media, outside: Arc<Outside>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("clip".to_owned())
            .spawn(move || {
                let played =
                    Player::open(&clip, media, &outside).and_then(|player| player.play(&stopped));
                match played {
                    Ok(()) => {}
                    Err(Wrong::Silent) => {
                        outside.say(&format!("the clip {} has no {}", clip.name, media.word()));
                    }
                    Err(Wrong::Broken(wrong)) => {
                        outside.fail(&format!("attacheclip: {}: {wrong}", clip.name));
                    }
                }
            })?;
        Ok(Self { stop, thread })
    }

    /// Waits until the thread has ended; its frames must not be waited for any more.
    pub fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread of a clip panicked");
        }
    }
}

/// Why a clip is not played.
#[derive(Debug)]
enum Wrong {
    /// It has nothing of the kind that is wanted. That is no mistake: a picture is shown, and there is nothing to hear.
    Silent,
    /// It cannot be read.
    Broken(String),
}

impl From<String> for Wrong {
    fn from(wrong: String) -> Self {
        Self::Broken(wrong)
    }
}

impl From<glib::BoolError> for Wrong {
    fn from(error: glib::BoolError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Where frames of the file lie in running time.
#[derive(Debug, Default)]
struct Timeline {
    /// The running time of the file's beginning, in nanoseconds: of this time through.
    begun: AtomicU64,
    /// The end of the last frame, in nanoseconds of the file.
    end: AtomicU64,
}

struct Player {
    pipeline: gst::Pipeline,
    timeline: Arc<Timeline>,
    begun: Arc<gst::ClockTime>,
    wrong: Arc<Mutex<Option<Wrong>>>,
}

impl Player {
    fn open(clip: &Clip, media: Media, outside: &Arc<Outside>) -> Result<Self, Wrong> {
        let pipeline = gst::Pipeline::with_name("clip");
        clock::prepare(&pipeline);
        let timeline = Arc::new(Timeline::default());
        let begun = match clip.format {
            Format::Still(_) => Arc::new(clock::running_time() + START),
            Format::Container(_) => beginning(&clip.path),
        };
        timeline.begun.store(begun.nseconds(), Ordering::Relaxed);
        let sink = appsink(outside, &timeline);
        let source = make("filesrc")?;
        source.set_property("location", &clip.path);
        pipeline.add_many([&source, sink.upcast_ref()])?;
        let player = Self {
            pipeline,
            timeline,
            begun,
            wrong: Arc::default(),
        };
        match clip.format {
            Format::Still(_) if media == Media::Audio => {
                return Err(Wrong::Silent);
            }
            Format::Still(decoder) => player.still(&source, decoder, &sink)?,
            Format::Container(demuxer) => player.container(&source, demuxer, media, &sink)?,
        }
        Ok(player)
    }

    fn still(
        &self,
        source: &gst::Element,
        decoder: &str,
        sink: &gst_app::AppSink,
    ) -> Result<(), Wrong> {
        let rate = make("capsfilter")?;
        let caps = gst::Caps::builder("video/x-raw")
            .field("framerate", gst::Fraction::new(STILL_RATE, 1))
            .build();
        rate.set_property("caps", caps);
        let chain = [
            make(decoder)?,
            make("videoconvert")?,
            make("imagefreeze")?,
            rate,
        ];
        self.pipeline.add_many(&chain)?;
        gst::Element::link_many(&chain)?;
        let [first, .., last] = &chain;
        source.link(first)?;
        Ok(last.link(sink)?)
    }

    fn container(
        &self,
        source: &gst::Element,
        demuxer: &str,
        media: Media,
        sink: &gst_app::AppSink,
    ) -> Result<(), Wrong> {
        let demuxer = make(demuxer)?;
        self.pipeline.add(&demuxer)?;
        source.link(&demuxer)?;
        let found = Arc::new(AtomicBool::new(false));
        let (weak, wrong) = (self.pipeline.downgrade(), self.wrong.clone());
        let (sink, linked) = (sink.clone(), found.clone());
        demuxer.connect_pad_added(move |_, pad| {
            let Some(pipeline) = weak.upgrade() else {
                return;
            };
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let Some(chain) = file::decoder(media, &caps) else {
                if let Some(found) = file::unknown(media, &caps) {
                    *wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.into());
                }
                return;
            };
            if linked.swap(true, Ordering::Relaxed) {
                return;
            }
            if let Err(found) = feed::decode(&pipeline, pad, chain, sink.upcast_ref()) {
                *wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.into());
            }
        });
        let wrong = self.wrong.clone();
        demuxer.connect_no_more_pads(move |_| {
            if !found.load(Ordering::Relaxed) {
                let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                wrong.get_or_insert(Wrong::Silent);
            }
        });
        Ok(())
    }

    /// Plays until `stop` is closed.
    fn play(&self, stop: &Receiver<()>) -> Result<(), Wrong> {
        // What is wrong comes over the bus.
        let _ = self.pipeline.set_state(gst::State::Paused);
        let opened = Instant::now();
        while !self.happened(gst::MessageType::AsyncDone)? {
            if is_over(stop) {
                return Ok(());
            }
            if opened.elapsed() > OPENING {
                return Err("its beginning cannot be read".to_owned().into());
            }
        }
        self.catch_up();
        let _ = self.pipeline.set_state(gst::State::Playing);
        while !is_over(stop) {
            if self.happened(gst::MessageType::Eos)? {
                self.again()?;
            }
        }
        Ok(())
    }

    /// Waits a moment for a message of this kind; an error ends the clip.
    fn happened(&self, wanted: gst::MessageType) -> Result<bool, Wrong> {
        let bus = self
            .pipeline
            .bus()
            .ok_or_else(|| "its pipeline has no bus".to_owned())?;
        let message = bus.timed_pop_filtered(LOOK, &[wanted, gst::MessageType::Error]);
        if let Some(wrong) = self
            .wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            return Err(wrong);
        }
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => Err(error.error().message().to_owned().into()),
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }

    /// How long one time through is.
    fn duration(&self) -> Option<gst::ClockTime> {
        let end = gst::ClockTime::from_nseconds(self.timeline.end.load(Ordering::Relaxed));
        let told = self.pipeline.query_duration::<gst::ClockTime>();
        told.filter(|told| !told.is_zero())
            .or((!end.is_zero()).then_some(end))
    }

    /// Goes to where others are that play the same file.
    fn catch_up(&self) {
        let elapsed = clock::running_time().saturating_sub(*self.begun);
        let Some(duration) = self.duration().filter(|_| elapsed > BEHIND) else {
            return;
        };
        let (rounds, position) = (
            elapsed.nseconds() / duration.nseconds(),
            elapsed.nseconds() % duration.nseconds(),
        );
        let begun = self.begun.nseconds() + rounds * duration.nseconds();
        self.timeline.begun.store(begun, Ordering::Relaxed);
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
        // A file that cannot be searched is decoded from its beginning, as fast as it goes.
        let _ = self
            .pipeline
            .seek_simple(flags, gst::ClockTime::from_nseconds(position));
    }

    fn again(&self) -> Result<(), Wrong> {
        let duration = self.duration().ok_or_else(|| "it is empty".to_owned())?;
        self.timeline
            .begun
            .fetch_add(duration.nseconds(), Ordering::Relaxed);
        let sought = self
            .pipeline
            .seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::ZERO);
        sought.map_err(|_| {
            "it cannot be played again from its beginning"
                .to_owned()
                .into()
        })
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // The element's own thread drops it: it may wait for streaming threads.
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "a clip did not stop");
        }
    }
}

fn is_over(stop: &Receiver<()>) -> bool {
    !matches!(stop.try_recv(), Err(TryRecvError::Empty))
}

fn make(name: &str) -> Result<gst::Element, Wrong> {
    gst::ElementFactory::make(name).build().map_err(|_| {
        format!("GStreamer has no element {name}: see scripts/install-dependencies.sh").into()
    })
}

/// The inner pipeline's end. It does not wait for a frame's time: the way out is full soon, and then it waits there.
fn appsink(outside: &Arc<Outside>, timeline: &Arc<Timeline>) -> gst_app::AppSink {
    let (outside, timeline) = (outside.clone(), timeline.clone());
    let callbacks = gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let (Some(caps), Some(buffer)) = (sample.caps_owned(), sample.buffer_owned()) else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let segment = sample
                .segment()
                .and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
            let Some(position) = segment.and_then(|segment| segment.to_stream_time(buffer.pts()))
            else {
                return Ok(gst::FlowSuccess::Ok);
            };
            drop(sample);
            let end = position + buffer.duration().unwrap_or_default();
            timeline.end.fetch_max(end.nseconds(), Ordering::Relaxed);
            let begun = gst::ClockTime::from_nseconds(timeline.begun.load(Ordering::Relaxed));
            let running_time = begun + position;
            if running_time + LATE < clock::running_time() {
                return Ok(gst::FlowSuccess::Ok);
            }
            outside.push(&caps, buffer, running_time)
        })
        .build();
    gst_app::AppSink::builder()
        .sync(false)
        .max_buffers(1)
        .callbacks(callbacks)
        .build()
}
