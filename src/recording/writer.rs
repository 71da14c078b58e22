//! One participant's visit on its way to disk: a bounded queue in front, a thread of its own behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use gstreamer as gst;
use time::OffsetDateTime;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::beside::Beside;
use super::container::Format;
use super::frame;
use super::gate::{Gate, Turn};
use super::manifest::End;
use super::parts::Parts;
use super::places::Places;
use super::report::{Event, FileReport, Report, Stem, WriteError};
use crate::media::{MediaKind, clock};
use crate::signalling::ids::Generation;
use crate::signalling::protocol::Sends;

/// Media that may wait for a slow disk, in bytes: half a minute of a good picture.
const QUEUE: usize = 8 * 1024 * 1024;
/// What a queued sample costs besides its media.
const OVERHEAD: usize = 512;
/// After so long without a frame, what waits is written.
const IDLE: Duration = Duration::from_millis(100);

/// Tells the wall-clock time of a running time.
pub type WallClock = Arc<dyn Fn(Duration) -> OffsetDateTime + Send + Sync>;

/// Writes one participant's audio and video. Clones write into the same files.
///
/// When the last clone is dropped without [`Writer::finish`], the files are finished in the background all the same,
/// as [`End::Stopped`]; a process that ends before that leaves a file without duration and cues, playable still.
#[derive(Clone)]
pub struct Writer {
    messages: Sender<Message>,
    events: UnboundedSender<Report>,
    stem: Stem,
    queue: Arc<Queue>,
    gate: Arc<Gate>,
}

/// What a visit left behind.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Its files.
    pub files: Vec<FileReport>,
    /// Why there is less than there should be.
    pub error: Option<WriteError>,
    /// Frames that the disk was too slow for.
    pub dropped: u64,
}

#[derive(Default)]
struct Queue {
    bytes: AtomicUsize,
    dropped: AtomicU64,
    audio_overflows: AtomicBool,
    video_overflows: AtomicBool,
}

impl Queue {
    fn overflows(&self, kind: MediaKind) -> &AtomicBool {
        match kind {
            MediaKind::Audio => &self.audio_overflows,
            MediaKind::Video => &self.video_overflows,
        }
    }
}

enum Message {
    Sample(MediaKind, gst::Sample, Turn),
    Lost(MediaKind),
    Sends(Sends),
    Generation(Generation),
    Follow(Arc<Gate>),
    Make(Beside),
    Finish(End, oneshot::Sender<Summary>),
}

impl Writer {
    /// For files `<stem>.webm` (or `.mp4`, `.mkv`, `.opus`) in these places; a further file of the same visit is `<stem>-2`.
    /// The first file is made when the tracks that `sends` announces are there, or two seconds after the first frame.
    ///
    /// Failures come as [`Event::Failed`], and [`Event::GoesOn`] when the disk takes media again; [`Event::Ended`] is always the last.
    pub fn new(
        places: Arc<Places>,
        stem: Stem,
        sends: Sends,
        format: Format,
        events: UnboundedSender<Report>,
    ) -> Self {
        let wall = |at| clock::wall_clock(running_time(at));
        Self::with_wall_clock(places, stem, sends, format, events, Arc::new(wall))
    }

    /// The same with another relation of running time to wall-clock time.
    pub fn with_wall_clock(
        places: Arc<Places>,
        stem: Stem,
        sends: Sends,
        format: Format,
        events: UnboundedSender<Report>,
        wall: WallClock,
    ) -> Self {
        let (messages, received) = channel();
        let queue = Arc::new(Queue::default());
        let (folders, name) = (places.clone(), stem.clone());
        let parts = Parts::new(folders, name, sends, format, events.clone(), wall);
        let shared = queue.clone();
        let spawned = std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || run(parts, &received, &shared));
        if let Err(error) = spawned {
            let error = WriteError::create(places.first(), &error);
            for event in [Event::Failed(error), Event::Ended(End::Stopped)] {
                let _ = events.send(Report {
                    stem: stem.clone(),
                    event,
                });
            }
        }
        Self {
            messages,
            events,
            stem,
            queue,
            gate: Arc::default(),
        }
    }

    /// Lets this gate say what is written. To be called before the first frame.
    pub fn following(mut self, gate: Arc<Gate>) -> Self {
        let _ = self.messages.send(Message::Follow(gate.clone()));
        self.gate = gate;
        self
    }

    /// Makes this beside the files. To be called before the first frame.
    pub fn making(self, beside: Beside) -> Self {
        let _ = self.messages.send(Message::Make(beside));
        self
    }

    /// Takes an encoded frame from a streaming thread; never waits for the disk.
    ///
    /// Caps: `audio/x-opus`, `video/x-vp8`, or `video/x-h264, stream-format=byte-stream, alignment=au` with width and
    /// height and with the parameter sets in front of each IDR picture (`h264parse config-interval=-1`).
    /// PTS: running time of the process-wide clock, for both kinds. Pictures before the first key frame are left out.
    pub fn push(&self, kind: MediaKind, sample: gst::Sample) {
        // A sample without a time is judged as one of now; the writer refuses it in words.
        let captured = frame::running_time(&sample).unwrap_or_else(|| clock::running_time().into());
        let Some(turn) = self.gate.admit(captured) else {
            return;
        };
        let size = weight(&sample);
        let queued = self.queue.bytes.fetch_add(size, Ordering::Relaxed) + size;
        if queued <= QUEUE {
            if self.queue.overflows(kind).swap(false, Ordering::Relaxed) {
                self.report_loss();
            }
            // A writer that has ended takes nothing more.
            let _ = self.messages.send(Message::Sample(kind, sample, turn));
            return;
        }
        self.queue.bytes.fetch_sub(size, Ordering::Relaxed);
        self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        if !self.queue.overflows(kind).swap(true, Ordering::Relaxed) {
            let _ = self.messages.send(Message::Lost(kind));
            self.report_loss();
        }
    }

    /// The participant announces other tracks: mute, camera off, and back.
    pub fn set_sends(&self, sends: Sends) {
        let _ = self.messages.send(Message::Sends(sends));
    }

    /// From here on frames come over this PeerConnection.
    pub fn set_generation(&self, generation: Generation) {
        let _ = self.messages.send(Message::Generation(generation));
    }

    /// Bytes of media that wait for the disk.
    pub fn queued(&self) -> usize {
        self.queue.bytes.load(Ordering::Relaxed)
    }

    /// Finishes the file: duration, cues, size, and waits until the disk has it. Further calls find nothing to do.
    pub async fn finish(&self, why: End) -> Summary {
        let (answer, summary) = oneshot::channel();
        let _ = self.messages.send(Message::Finish(why, answer));
        summary.await.unwrap_or_default()
    }

    fn report_loss(&self) {
        let dropped = self.queue.dropped.load(Ordering::Relaxed);
        let _ = self.events.send(Report {
            stem: self.stem.clone(),
            event: Event::Behind { dropped },
        });
    }
}

fn running_time(at: Duration) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(u64::try_from(at.as_nanos()).unwrap_or(0))
}

/// The thread: takes from the queue until somebody finishes the visit, or nobody is left who could.
fn run(mut parts: Parts, messages: &Receiver<Message>, queue: &Queue) {
    let (why, answer) = loop {
        match messages.recv_timeout(IDLE) {
            Ok(Message::Sample(kind, sample, turn)) => {
                parts.take(kind, &sample, turn);
                queue.bytes.fetch_sub(weight(&sample), Ordering::Relaxed);
            }
            Ok(Message::Lost(kind)) => parts.lost(kind),
            Ok(Message::Sends(sends)) => parts.set_sends(sends),
            Ok(Message::Generation(generation)) => parts.set_generation(generation),
            Ok(Message::Follow(gate)) => parts.follow(gate),
            Ok(Message::Make(beside)) => parts.make(beside),
            Ok(Message::Finish(why, answer)) => break (why, Some(answer)),
            Err(RecvTimeoutError::Timeout) => parts.idle(),
            Err(RecvTimeoutError::Disconnected) => break (End::Stopped, None),
        }
    };
    let summary = Summary {
        dropped: queue.dropped.load(Ordering::Relaxed),
        ..parts.end(why)
    };
    if let Some(answer) = answer {
        let _ = answer.send(summary);
    }
}

/// What a sample costs while it is queued, in bytes.
fn weight(sample: &gst::Sample) -> usize {
    sample.buffer().map_or(0, gst::BufferRef::size) + OVERHEAD
}
