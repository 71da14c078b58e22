//! Fan-out: where the frames of a track leave for any number of consumers, whatever pipeline makes them at the moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_utils::StreamProducer;
use gstreamer_utils::streamproducer::ProducerSettings;
use gstreamer_video as gst_video;

use super::key_frames::KeyFrames;
use super::{Codec, MediaError, MediaKind};

/// The stable end of one track, raw or encoded. Consumers attach to its [`StreamProducer`] and stay, while the
/// pipelines behind it, each with a [`Feed`], are replaced. Clones are the same outlet.
#[derive(Debug, Clone)]
pub struct Outlet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    producer: StreamProducer,
    /// Nobody waits for its frames, and none is left out.
    is_recorded: bool,
    /// Our end of the link to the producer's appsink, which stands in no pipeline.
    pad: gst::Pad,
    state: Arc<Mutex<State>>,
    /// Told when a feed has taken over.
    taken_over: Condvar,
    /// Held while a frame passes: events and frames of two feeds never mix. Consumers only queue what they get, so
    /// nothing that waits comes back here.
    turn: Mutex<()>,
    /// Those who take frames as they pass; a list of its own for each change, so that no lock is held while they do.
    takers: Mutex<Arc<Vec<Taker>>>,
    feeds: AtomicU64,
    frames: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// The feed whose frames pass; 0 is none.
    current: u64,
    /// Where key frames are asked for.
    upstream: Option<gst::glib::WeakRef<gst::Pad>>,
    key_frames: Option<KeyFrames>,
    caps: Option<gst::Caps>,
    segment_sent: bool,
    last: Option<gst::ClockTime>,
}

/// Somebody who takes frames as they pass, on the thread that makes them: to look and to queue, not to work.
#[derive(Clone)]
struct Taker {
    number: u64,
    take: Arc<Take>,
}

type Take = dyn Fn(&gst::Buffer, &gst::Caps) + Send + Sync;

impl std::fmt::Debug for Taker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taker")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Frames are taken as long as this lives; one that is on its way may still come then.
#[derive(Debug)]
pub struct Taking {
    outlet: Weak<Inner>,
    number: u64,
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(outlet) = self.outlet.upgrade() {
            outlet.exchange_takers(|takers| takers.retain(|taker| taker.number != self.number));
        }
    }
}

/// The way of one pipeline's frames into an [`Outlet`].
#[derive(Debug, Clone)]
pub struct Feed {
    outlet: Outlet,
    /// The highest one's frames pass.
    number: Arc<AtomicU64>,
    /// Frames that came, whether or not they passed.
    came: Arc<AtomicU64>,
}

impl Outlet {
    /// An outlet for raw frames of a call: an encoder that cannot keep up for a moment leaves some out.
    pub fn raw() -> Result<Self, MediaError> {
        Self::new(None, false)
    }

    /// An outlet for raw frames of a recording: they wait for their encoder.
    pub fn recorded() -> Result<Self, MediaError> {
        Self::new(None, true)
    }

    /// An outlet for a codec's frames. Of a video codec's, each consumer gets a key frame first; requests for key
    /// frames are merged as [`KeyFrames`] says and go to the pipeline that feeds.
    pub fn encoded(codec: Codec) -> Result<Self, MediaError> {
        let key_frames = (codec.kind() == MediaKind::Video).then(KeyFrames::default);
        Self::new(key_frames, false)
    }

    fn new(key_frames: Option<KeyFrames>, is_recorded: bool) -> Result<Self, MediaError> {
        let appsink = gst_app::AppSink::builder()
            .async_(false)
            .wait_on_eos(false)
            .build();
        let producer = StreamProducer::with(&appsink, ProducerSettings { sync: false });
        let state = Arc::new(Mutex::new(State {
            key_frames,
            ..State::default()
        }));
        let asked = Arc::clone(&state);
        let pad = gst::Pad::builder(gst::PadDirection::Src)
            .event_function(move |_, _, event| on_upstream_event(&asked, event))
            .build();
        let doing = "make an outlet";
        let wrong = |reason: String| MediaError::GStreamer { doing, reason };
        let sink = appsink.static_pad("sink");
        let sink = sink.ok_or_else(|| wrong("an appsink without a pad".to_owned()))?;
        pad.link(&sink).map_err(|error| wrong(error.to_string()))?;
        pad.set_active(true).map_err(MediaError::gstreamer(doing))?;
        let playing = appsink.set_state(gst::State::Playing);
        playing.map_err(|error| wrong(error.to_string()))?;
        let stream = gst::event::StreamStart::builder("attache").group_id(gst::GroupId::next());
        pad.push_event(stream.build());
        Ok(Self(Arc::new(Inner {
            producer,
            is_recorded,
            pad,
            state,
            taken_over: Condvar::new(),
            turn: Mutex::new(()),
            takers: Mutex::default(),
            feeds: AtomicU64::new(0),
            frames: AtomicU64::new(0),
        })))
    }

    /// What consumers attach to.
    pub fn producer(&self) -> StreamProducer {
        self.0.producer.clone()
    }

    /// Whether frames wait for their encoder, and none is left out.
    pub fn is_recorded(&self) -> bool {
        self.0.is_recorded
    }

    /// Calls `take` for each frame from now on, with its caps: for consumers that choose what they queue.
    pub fn take(&self, take: impl Fn(&gst::Buffer, &gst::Caps) + Send + Sync + 'static) -> Taking {
        let number = self.0.feeds.fetch_add(1, Ordering::Relaxed) + 1;
        let taker = Taker {
            number,
            take: Arc::new(take),
        };
        self.0.exchange_takers(|takers| takers.push(taker));
        Taking {
            outlet: Arc::downgrade(&self.0),
            number,
        }
    }

    /// Whether this is the same outlet.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A way in for another pipeline. It takes over from older feeds with its first frame; where there are key frames,
    /// with its first key frame.
    pub fn feed(&self) -> Feed {
        Feed {
            outlet: self.clone(),
            number: Arc::new(self.next_number().into()),
            came: Arc::default(),
        }
    }

    fn next_number(&self) -> u64 {
        self.0.feeds.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Frames that passed so far.
    pub fn frames(&self) -> u64 {
        self.0.frames.load(Ordering::Relaxed)
    }

    /// How much passed: pictures, or units of 20 ms up to the newest sound. An encoder cuts sound into frames of its own
    /// length.
    pub fn amount(&self, kind: MediaKind) -> u64 {
        match kind {
            MediaKind::Video => self.frames(),
            MediaKind::Audio => self.state().last.map_or(0, |last| last.mseconds() / 20),
        }
    }

    /// Somebody will attach: the next request for a key frame passes without waiting.
    pub fn expect_newcomer(&self) {
        if let Some(key_frames) = &mut self.state().key_frames {
            key_frames.expect_newcomer();
        }
    }

    /// Asks the pipeline that feeds for a key frame, merged with what consumers ask.
    pub fn request_key_frame(&self) {
        on_upstream_event(&self.0.state, key_frame_request());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

impl Feed {
    /// The end of the pipeline that feeds: its frames go to the outlet, with running times as timestamps.
    pub fn appsink(&self) -> gst_app::AppSink {
        let feed = self.clone();
        let callbacks = gst_app::AppSinkCallbacks::builder()
            .new_sample(move |appsink| {
                let sample = appsink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                feed.push(appsink, &sample);
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        gst_app::AppSink::builder()
            .async_(false)
            .sync(false)
            .wait_on_eos(false)
            .callbacks(callbacks)
            .build()
    }

    /// Waits until this feed's frames pass; false if they do not within the limit. Blocks: not for async threads.
    pub fn wait(&self, limit: Duration) -> bool {
        let number = self.number();
        let waits = |state: &mut State| state.current < number;
        let state = self.outlet.state();
        let waited = self
            .outlet
            .0
            .taken_over
            .wait_timeout_while(state, limit, waits);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.current >= number
    }

    /// Whether this feed's frames pass, or a later one's.
    pub fn has_taken_over(&self) -> bool {
        let number = self.number();
        self.outlet.state().current >= number
    }

    /// With its next frame, it takes over from all other feeds, as a new one would.
    pub fn retake(&self) {
        self.number
            .store(self.outlet.next_number(), Ordering::Relaxed);
    }

    /// Frames that came from its pipeline so far, whether or not they passed.
    pub fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    fn push(&self, appsink: &gst_app::AppSink, sample: &gst::Sample) {
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else {
            return;
        };
        self.came.fetch_add(1, Ordering::Relaxed);
        let inner = &self.outlet.0;
        let _turn = inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(frame) = self.admit(appsink, sample, buffer, &caps) else {
            return;
        };
        for event in frame.events {
            inner.pad.push_event(event);
        }
        for taker in inner.takers().iter() {
            (taker.take)(&frame.buffer, &caps);
        }
        if inner.pad.push(frame.buffer).is_ok() {
            inner.frames.fetch_add(1, Ordering::Relaxed);
        }
        if let (true, Some(pad)) = (frame.asks_again, appsink.static_pad("sink")) {
            pad.push_event(key_frame_request());
        }
    }

    /// Decides whether a frame passes, and stamps it with its running time.
    fn admit(
        &self,
        appsink: &gst_app::AppSink,
        sample: &gst::Sample,
        mut buffer: gst::Buffer,
        caps: &gst::Caps,
    ) -> Option<Frame> {
        let number = self.number();
        let mut state = self.outlet.state();
        if number < state.current {
            return None;
        }
        let is_key_frame = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let takes_over = number > state.current;
        if takes_over && state.key_frames.is_some() && !is_key_frame {
            return None;
        }
        // x264enc counts from 1000 hours, to have room for negative decoding times.
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let time = segment.to_running_time(buffer.pts())?;
        // Two sources overlap for a moment; time does not go back.
        if state.last.is_some_and(|last| time <= last) {
            return None;
        }
        state.last = Some(time);
        let made = buffer.make_mut();
        made.set_pts(time);
        // No encoder here reorders pictures.
        made.set_dts(time);
        if takes_over {
            made.set_flags(gst::BufferFlags::DISCONT);
            state.current = number;
            state.upstream = appsink.static_pad("sink").map(|pad| pad.downgrade());
            self.outlet.0.taken_over.notify_all();
        }
        let mut asks_again = false;
        if let Some(key_frames) = &mut state.key_frames {
            let now = Instant::now();
            match is_key_frame {
                true => key_frames.on_key_frame(now),
                false => asks_again = key_frames.on_other_frame(now),
            }
        }
        let mut events = Vec::new();
        if state.caps.as_ref() != Some(caps) {
            events.push(gst::event::Caps::new(caps));
            state.caps = Some(caps.clone());
        }
        if !std::mem::replace(&mut state.segment_sent, true) {
            let plain = gst::FormattedSegment::<gst::ClockTime>::new();
            events.push(gst::event::Segment::new(&plain));
        }
        Some(Frame {
            events,
            buffer,
            asks_again,
        })
    }
}

/// A frame as an appsrc takes it: what leaves an outlet is stamped with running times.
pub fn in_time(buffer: &gst::Buffer, caps: &gst::Caps) -> gst::Sample {
    let plain = gst::FormattedSegment::<gst::ClockTime>::new();
    gst::Sample::builder()
        .buffer(buffer)
        .caps(caps)
        .segment(&plain)
        .build()
}

/// A frame on its way out, and what is told before it.
struct Frame {
    events: Vec<gst::Event>,
    buffer: gst::Buffer,
    /// The key frame that was asked for has not come.
    asks_again: bool,
}

fn key_frame_request() -> gst::Event {
    gst_video::UpstreamForceKeyUnitEvent::builder()
        .all_headers(true)
        .build()
}

/// Lets only those requests for key frames pass that [`KeyFrames`] grants.
fn on_upstream_event(state: &Mutex<State>, event: gst::Event) -> bool {
    if gst_video::UpstreamForceKeyUnitEvent::parse(&event).is_err() {
        return true;
    }
    let upstream = {
        let mut state = lock(state);
        let granted = state
            .key_frames
            .as_mut()
            .is_some_and(|key_frames| key_frames.on_request(Instant::now()));
        state.upstream.clone().filter(|_| granted)
    };
    if let Some(pad) = upstream.and_then(|pad| pad.upgrade()) {
        pad.push_event(event);
    }
    true
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn takers(&self) -> Arc<Vec<Taker>> {
        let takers = self.takers.lock();
        Arc::clone(&takers.unwrap_or_else(PoisonError::into_inner))
    }

    fn exchange_takers(&self, change: impl FnOnce(&mut Vec<Taker>)) {
        let takers = self.takers.lock();
        let mut takers = takers.unwrap_or_else(PoisonError::into_inner);
        let mut changed = takers.to_vec();
        change(&mut changed);
        *takers = Arc::new(changed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without this the appsink, which is in no pipeline, would be freed while it plays.
        let _ = self.producer.appsink().set_state(gst::State::Null);
    }
}
