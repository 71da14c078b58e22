//! The thread that keeps a stream up: connects, passes frames on, and tries again when the server is lost.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::backlog::{Backlog, Frame};
use super::course::{Flow, PATIENCE, Retry};
use super::line::Line;
use super::target::Target;
use crate::job::{Event, StreamState};
use crate::media::MediaKind;

/// How long the thread waits for a frame before it looks at the connection.
const LOOK: Duration = Duration::from_millis(20);
/// The server has so long to hear that the stream is over.
const GOOD_BYE: Duration = Duration::from_secs(1);
/// The thread's end is awaited no longer than this.
const STOP_LIMIT: Duration = Duration::from_secs(4);
/// The first piece of media is held until the server has accepted the stream: with the second one it is live.
const LIVE: u64 = 2;

/// A stream that goes on until it is stopped, whatever becomes of the server.
pub struct Streamer {
    shared: Arc<Shared>,
    ended: oneshot::Receiver<()>,
}

/// Where frames go in. Clones are the same.
#[derive(Clone, Default)]
pub struct Inlet(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    backlog: Backlog<gst::Sample>,
    is_over: bool,
    /// Why there is nothing to be sent any more.
    broken: Option<String>,
}

impl Streamer {
    /// Begins to connect, in a thread of its own, and sends what comes in there. What happens is told as [`Event::Stream`].
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        inlet: &Inlet,
        target: Target,
        with_audio: bool,
        events: UnboundedSender<Event>,
    ) -> std::io::Result<Self> {
        let shared = inlet.0.clone();
        let (tell_end, ended) = oneshot::channel();
        let thread = Thread {
            told: target.told(),
            target,
            with_audio,
            shared: shared.clone(),
            events,
        };
        std::thread::Builder::new()
            .name("stream".to_owned())
            .spawn(move || {
                thread.run();
                // Nobody waits for it any more if it took too long.
                let _ = tell_end.send(());
            })?;
        Ok(Self { shared, ended })
    }

    /// Ends it and waits a moment for the server to hear of it.
    pub async fn stop(self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
        if tokio::time::timeout(STOP_LIMIT, self.ended).await.is_err() {
            tracing::warn!("the stream does not end; it is left alone");
        }
    }
}

impl Inlet {
    /// Takes an encoded frame, if there is use for it: H.264 access units in byte-stream form; AAC or Opus. PTS is running
    /// time. Never waits. True where the encoder should make a key frame.
    #[must_use]
    pub fn push(&self, kind: MediaKind, sample: gst::Sample) -> bool {
        let Some(buffer) = sample.buffer() else {
            return false;
        };
        let Some(at) = buffer.pts() else {
            return false;
        };
        let frame = Frame {
            kind,
            at: at.into(),
            key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            bytes: buffer.size(),
            data: sample,
        };
        let asks = self.0.state().backlog.push(frame);
        self.0.changed.notify_all();
        asks
    }

    /// There will be no frames any more: the stream has failed for good.
    pub fn break_off(&self, reason: String) {
        self.0.state().broken.get_or_insert(reason);
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changed, no longer than this.
    fn wait(&self, limit: Duration, until: impl Fn(&State) -> bool) {
        let waits = |state: &mut State| !until(state) && !state.ends();
        let waited = self.changed.wait_timeout_while(self.state(), limit, waits);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl State {
    fn ends(&self) -> bool {
        self.is_over || self.broken.is_some()
    }
}

/// The thread's own.
struct Thread {
    target: Target,
    told: String,
    with_audio: bool,
    shared: Arc<Shared>,
    events: UnboundedSender<Event>,
}

/// How a connection went.
struct Over {
    /// How long it was live, if it was.
    live: Option<Duration>,
    reason: String,
}

impl Thread {
    fn run(self) {
        let mut retry = Retry::default();
        loop {
            self.tell(StreamState::Connecting, None);
            let over = self.connect();
            let (is_over, broken) = {
                let mut state = self.shared.state();
                state.backlog.close();
                (state.is_over, state.broken.clone())
            };
            match broken {
                Some(reason) => return self.tell(StreamState::Failed, Some(reason)),
                None if is_over => return self.tell(StreamState::Ended, None),
                None => {}
            }
            let random = rand::RngExt::random_range(&mut rand::rng(), 0.0..1.0);
            let wait = retry.after(over.live, random);
            let reason = self.target.without_secrets(&over.reason);
            let seconds = wait.as_secs_f32();
            let reason = format!("{reason}; trying again in {seconds:.1} s");
            self.tell(StreamState::Waiting, Some(reason));
            self.shared.wait(wait, |_| false);
        }
    }

    fn connect(&self) -> Over {
        self.shared.state().backlog.open();
        match Line::open(&self.target, self.with_audio) {
            Ok(mut line) => {
                let over = self.pass_on(&mut line);
                if self.shared.state().is_over {
                    line.finish(GOOD_BYE);
                }
                over
            }
            Err(error) => Over {
                live: None,
                reason: error.to_string(),
            },
        }
    }

    /// Passes frames on until the connection or the stream is over.
    fn pass_on(&self, line: &mut Line) -> Over {
        let (mut flow, mut live) = (Flow::new(), None::<Instant>);
        let over = |live: Option<Instant>, reason: String| Over {
            live: live.map(|since| since.elapsed()),
            reason,
        };
        loop {
            self.shared.wait(LOOK, |state| !state.backlog.is_empty());
            if self.shared.state().ends() {
                return over(live, "stopped".to_owned());
            }
            if let Some(reason) = line.failed() {
                return over(live, reason);
            }
            while let Some(frame) = self.next(line) {
                line.push(frame.kind, &frame.data);
            }
            let waiting = !self.shared.state().backlog.is_empty();
            let passed = line.passed();
            if live.is_none() && passed >= LIVE {
                live = Some(Instant::now());
                self.tell(StreamState::Live, None);
            }
            if !flow.moves(passed, waiting, Instant::now()) {
                let seconds = PATIENCE.as_secs();
                return over(live, format!("the server took nothing for {seconds} s"));
            }
            if waiting {
                // There is no room in the pipeline: nothing to be awaken for.
                std::thread::sleep(LOOK);
            }
        }
    }

    fn next(&self, line: &Line) -> Option<Frame<gst::Sample>> {
        let room = (
            line.has_room(MediaKind::Audio),
            line.has_room(MediaKind::Video),
        );
        let has_room = |kind| match kind {
            MediaKind::Audio => room.0,
            MediaKind::Video => room.1,
        };
        self.shared.state().backlog.pop(has_room)
    }

    fn tell(&self, state: StreamState, reason: Option<String>) {
        let target = &self.told;
        match &reason {
            None => tracing::info!(%target, %state, "stream"),
            Some(reason) => tracing::warn!(%target, %state, %reason, "stream"),
        }
        // Nobody listens any more once the job has ended.
        let _ = self.events.send(Event::Stream {
            target: target.clone(),
            state,
            reason,
        });
    }
}
