//! Where encoded frames enter a consumer's pipeline: a thread pushes those of all consumers.
//!
//! An `appsrc` has a thread of its own, and every frame wakes each of them. Behind an [`Inlet`] are payloaders, and then
//! the pacer's queue: nothing there waits, so one thread serves all peers of the process. Should a pipeline hold it up
//! nevertheless, another thread goes on with the others.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;

use super::MediaError;

/// So much may wait for one consumer.
const MOST_WAITING: gst::ClockTime = gst::ClockTime::from_mseconds(400);
/// When frames have waited so long for a thread, there is another one.
const HELD_UP: Duration = Duration::from_millis(50);
/// A thread that is not the last ends after so long without frames, or when so long not all of them had something to do.
const IDLE: Duration = Duration::from_secs(10);

/// One way in. Clones are the same.
#[derive(Debug, Clone)]
pub struct Inlet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pad: gst::Pad,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<(gst::Buffer, gst::Caps)>,
    /// When the frame is from that is on its way in.
    entering: Option<gst::ClockTime>,
    /// A thread has it, or will.
    is_served: bool,
    /// What was told downstream.
    caps: Option<gst::Caps>,
    is_begun: bool,
}

/// The threads, and the inlets that wait for one.
#[derive(Default)]
struct Pool {
    state: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Default)]
struct Waiting {
    inlets: VecDeque<(Weak<Inner>, Instant)>,
    threads: usize,
    idle: usize,
    /// When none was idle for the last time.
    all_at_work: Option<Instant>,
}

static POOL: LazyLock<Pool> = LazyLock::new(Pool::default);

impl Inlet {
    /// One whose frames go nowhere yet.
    ///
    /// # Errors
    /// No thread can be made, or GStreamer has none of what it needs.
    pub fn new() -> Result<Self, MediaError> {
        let doing = "make a way for encoded frames";
        POOL.begin().map_err(|error| MediaError::GStreamer {
            doing,
            reason: error.to_string(),
        })?;
        let pad = gst::Pad::builder(gst::PadDirection::Src)
            .query_function(|pad, parent, query| match query.view_mut() {
                // Frames come at their time, and wait for nothing.
                gst::QueryViewMut::Latency(latency) => {
                    latency.set(true, gst::ClockTime::ZERO, gst::ClockTime::NONE);
                    true
                }
                // An enum of C.
                _ => gst::Pad::query_default(pad, parent, query),
            })
            // Whoever wants to hear requests for key frames has a probe.
            .event_function(|_, _, _| true)
            .build();
        pad.set_active(true).map_err(MediaError::gstreamer(doing))?;
        Ok(Self(Arc::new(Inner {
            pad,
            state: Mutex::default(),
        })))
    }

    /// The end that frames leave through: to be linked, and watched.
    pub fn pad(&self) -> &gst::Pad {
        &self.0.pad
    }

    /// Takes a frame, stamped with running time, with its caps.
    pub fn push(&self, buffer: gst::Buffer, caps: &gst::Caps) {
        let mut state = self.0.state();
        state.frames.push_back((buffer, caps.clone()));
        let is_served = std::mem::replace(&mut state.is_served, true);
        drop(state);
        POOL.look_after((!is_served).then(|| Arc::downgrade(&self.0)));
    }

    /// From the oldest frame that has not entered to the newest.
    pub fn waiting(&self) -> gst::ClockTime {
        let state = self.0.state();
        let time = |frame: &(gst::Buffer, gst::Caps)| frame.0.pts();
        let oldest = state
            .entering
            .or_else(|| state.frames.front().and_then(time));
        let newest = state.frames.back().and_then(time);
        newest
            .zip(oldest)
            .map_or(gst::ClockTime::ZERO, |(newest, oldest)| {
                newest.saturating_sub(oldest)
            })
    }

    /// Whether so much waits here that frames had better be left out.
    pub fn is_full(&self) -> bool {
        self.waiting() > MOST_WAITING
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a frame in. Whether there are more.
    fn serve(&self) -> bool {
        let mut state = self.state();
        let Some((buffer, caps)) = state.frames.pop_front() else {
            state.is_served = false;
            return false;
        };
        state.entering = buffer.pts();
        let events = state.events(&caps);
        drop(state);
        for event in events {
            self.pad.push_event(event);
        }
        // A pipeline that is being stopped takes nothing more.
        let _ = self.pad.push(buffer);
        let mut state = self.state();
        state.entering = None;
        state.is_served = !state.frames.is_empty();
        state.is_served
    }
}

impl State {
    /// The events that have to go before a frame of these caps.
    fn events(&mut self, caps: &gst::Caps) -> Vec<gst::Event> {
        let mut events = Vec::new();
        let begins = !std::mem::replace(&mut self.is_begun, true);
        if begins {
            let stream = gst::event::StreamStart::builder("attache");
            events.push(stream.group_id(gst::GroupId::next()).build());
        }
        if self.caps.as_ref() != Some(caps) {
            self.caps = Some(caps.clone());
            events.push(gst::event::Caps::new(caps));
        }
        if begins {
            let plain = gst::FormattedSegment::<gst::ClockTime>::new();
            events.push(gst::event::Segment::new(&plain));
        }
        events
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.pad.set_active(false);
    }
}

impl Waiting {
    /// Whether one that has nothing to do at this moment can end: with steady frames each has its turn now and then, however
    /// many there are.
    fn threads_are_too_many(&self, now: Instant) -> bool {
        let all_at_work = |last: Instant| now.duration_since(last) <= IDLE;
        // Whoever put an inlet there takes it itself: nobody else was woken for it.
        let has_work = !self.inlets.is_empty();
        self.threads > 1 && self.idle > 0 && !has_work && !self.all_at_work.is_some_and(all_at_work)
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the first thread.
    fn begin(&'static self) -> std::io::Result<()> {
        let mut waiting = self.lock();
        if waiting.threads == 0 {
            self.spawn(&mut waiting)?;
        }
        Ok(())
    }

    fn spawn(&'static self, waiting: &mut Waiting) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name("frames".to_owned());
        thread.spawn(move || self.work())?;
        waiting.threads += 1;
        waiting.all_at_work = Some(Instant::now());
        Ok(())
    }

    /// Lets a thread serve an inlet; where all are held up, another one.
    fn look_after(&'static self, inlet: Option<Weak<Inner>>) {
        let now = Instant::now();
        let mut waiting = self.lock();
        // Whoever was called for the first of several goes on with the others.
        let is_first = waiting.inlets.is_empty();
        waiting.inlets.extend(inlet.map(|inlet| (inlet, now)));
        let is_late = |first: &(Weak<Inner>, Instant)| now.duration_since(first.1) > HELD_UP;
        let is_late = waiting.inlets.front().is_some_and(is_late);
        if waiting.idle > 0 {
            if is_first || is_late {
                drop(waiting);
                self.came.notify_one();
            }
        } else if is_late && let Err(error) = self.spawn(&mut waiting) {
            tracing::warn!(%error, "frames wait for a pipeline that is held up");
        }
    }

    fn work(&self) {
        while let Some(inlet) = self.next() {
            if let Some(inner) = inlet.upgrade()
                && inner.serve()
            {
                self.lock().inlets.push_back((inlet, Instant::now()));
            }
        }
    }

    /// The inlet whose turn it is; none where this thread is one too many.
    fn next(&self) -> Option<Weak<Inner>> {
        let mut waiting = self.lock();
        if waiting.threads_are_too_many(Instant::now()) {
            waiting.threads -= 1;
            return None;
        }
        waiting.idle += 1;
        let is_empty = |waiting: &mut Waiting| waiting.inlets.is_empty();
        loop {
            let (found, limit) = self
                .came
                .wait_timeout_while(waiting, IDLE, is_empty)
                .unwrap_or_else(PoisonError::into_inner);
            waiting = found;
            if let Some((inlet, _)) = waiting.inlets.pop_front() {
                waiting.idle -= 1;
                if waiting.idle == 0 {
                    waiting.all_at_work = Some(Instant::now());
                }
                return Some(inlet);
            }
            if limit.timed_out() && waiting.threads > 1 {
                waiting.idle -= 1;
                waiting.threads -= 1;
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use gstreamer_app as gst_app;

    use super::*;

    #[test]
    fn a_thread_that_load_has_brought_ends_although_frames_go_on_coming() {
        let now = Instant::now();
        let mut waiting = Waiting {
            threads: 2,
            idle: 1,
            all_at_work: Some(now),
            ..Waiting::default()
        };
        assert!(!waiting.threads_are_too_many(now + IDLE));
        assert!(waiting.threads_are_too_many(now + IDLE + Duration::from_millis(1)));
        waiting.inlets.push_back((Weak::new(), now));
        assert!(!waiting.threads_are_too_many(now + 2 * IDLE), "it has work");
        waiting.inlets.clear();
        waiting.idle = 0;
        assert!(
            !waiting.threads_are_too_many(now + 2 * IDLE),
            "it is needed"
        );
        (waiting.threads, waiting.idle) = (1, 1);
        assert!(
            !waiting.threads_are_too_many(now + 2 * IDLE),
            "the last one stays"
        );
    }

    #[test]
    fn frames_of_two_consumers_come_whole_in_order_and_with_their_caps() {
        crate::media::init().unwrap();
        let (tell, told) = mpsc::channel();
        let consumer = |number: usize| {
            let tell = tell.clone();
            let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let caps = sample.caps().map(ToString::to_string);
                let time = sample.buffer().and_then(gst::BufferRef::pts);
                let _ = tell.send((number, time.map(gst::ClockTime::mseconds), caps));
                Ok(gst::FlowSuccess::Ok)
            });
            let sink = gst_app::AppSink::builder().sync(false).async_(false);
            let sink = sink.callbacks(callbacks.build()).build();
            let pipeline = gst::Pipeline::new();
            pipeline.add(&sink).unwrap();
            pipeline.set_state(gst::State::Playing).unwrap();
            let inlet = Inlet::new().unwrap();
            let end = sink.static_pad("sink").unwrap();
            inlet.pad().link(&end).unwrap();
            (inlet, pipeline)
        };
        let consumers = [consumer(0), consumer(1)];
        let caps = |name: &str| gst::Caps::builder(name).build();
        let (one, other) = (caps("video/x-vp8"), caps("audio/x-opus"));
        let frame = |time| {
            let mut buffer = gst::Buffer::from_slice([0; 4]);
            buffer
                .get_mut()
                .unwrap()
                .set_pts(gst::ClockTime::from_mseconds(time));
            buffer
        };
        for (number, time, caps) in [(0, 0, &one), (1, 5, &other), (0, 33, &one), (0, 66, &other)] {
            consumers[number].0.push(frame(time), caps);
        }
        let limit = Duration::from_secs(20);
        let seen: Vec<_> = (0..4).map(|_| told.recv_timeout(limit).unwrap()).collect();
        let text = |caps: &gst::Caps| Some(caps.to_string());
        assert_eq!(
            seen,
            [
                (0, Some(0), text(&one)),
                (1, Some(5), text(&other)),
                (0, Some(33), text(&one)),
                (0, Some(66), text(&other)),
            ]
        );
        for (_, pipeline) in consumers {
            pipeline.set_state(gst::State::Null).unwrap();
        }
    }
}
