//! Decides what becomes of the frames of one participant: their order, where a file begins, when the next one does. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::container::{Container, Format};
use super::frame::{Content, Frame};
use super::track::{Block, Track};
use crate::media::{Codec, MediaKind};
use crate::signalling::protocol::Sends;

/// So long a file's beginning waits for a track that was announced.
const PATIENCE: Duration = Duration::from_secs(2);
/// So far one track may be behind the other and still be sorted in.
const WINDOW: Duration = Duration::from_millis(200);
/// A track that was not announced is reckoned with for so long after its last frame.
const LIVELY: Duration = Duration::from_secs(1);
/// A frame that claims to be so much older than its forerunner is not put into the file.
const TOO_OLD: Duration = Duration::from_secs(1);
/// Least time between two frames of a track: the file's timestamp scale.
const STEP: Duration = Duration::from_millis(1);
/// Least time between two requests for a key frame.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin a file; one that is open is finished before.
    Begin {
        /// Running time of its first sample.
        at: Duration,
        /// What kind of file.
        container: Container,
        /// What is known to be in it.
        tracks: Vec<Track>,
    },
    /// Another track appeared in the open file.
    Declare(Track),
    /// Put a frame into the open file.
    Write {
        /// The frame.
        block: Block,
        /// Where it is a key frame: what it says about the picture.
        content: Content,
    },
    /// Keep a copy of a frame: the file that it belongs into waits for another track.
    Keep(Frame),
    /// Ask the sender for a key frame.
    AskForKeyFrame,
}

/// The frames of one participant on their way into files.
#[derive(Debug)]
pub struct Timeline {
    format: Format,
    expected: Sends,
    audio: Lane,
    video: Lane,
    /// Arrival of the first frame that waits for a file to begin.
    waiting_since: Option<Instant>,
    file: Option<Open>,
    /// Pictures are of no use until the next key frame.
    needs_key: bool,
    asked: Option<Instant>,
    /// The next part begins with the next frame that can begin one.
    splits: bool,
}

/// The file that is being written.
#[derive(Debug)]
struct Open {
    begin: Duration,
    container: Container,
    tracks: Vec<Track>,
}

/// Frames of one kind that are not in a file yet.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Frame>,
    newest: Option<Duration>,
}

impl Lane {
    /// Time only goes forward in a track: a frame that is a little behind follows its forerunner closely.
    fn push(&mut self, mut frame: Frame) {
        if let Some(newest) = self.newest
            && frame.at < newest + STEP
        {
            if frame.at + TOO_OLD < newest {
                return;
            }
            frame.at = newest + STEP;
        }
        self.newest = Some(frame.at);
        self.waiting.push_back(frame);
    }

    fn front(&self) -> Option<Duration> {
        self.waiting.front().map(|frame| frame.at)
    }

    /// From the oldest to the newest frame that waits.
    fn span(&self) -> Duration {
        match (self.front(), self.newest) {
            (Some(front), Some(newest)) => newest.saturating_sub(front),
            (None, _) | (_, None) => Duration::ZERO,
        }
    }
}

impl Timeline {
    /// For a participant that announces `sends`, into files of this format.
    pub fn new(sends: Sends, format: Format) -> Self {
        Self {
            format,
            expected: sends,
            audio: Lane::default(),
            video: Lane::default(),
            waiting_since: None,
            file: None,
            needs_key: true,
            asked: None,
            splits: false,
        }
    }

    /// The participant announces other tracks: mute, camera off, and back.
    pub fn set_sends(&mut self, sends: Sends) {
        self.expected = sends;
    }

    /// Frames of this kind were lost before they came here.
    pub fn lost(&mut self, kind: MediaKind) {
        match kind {
            MediaKind::Audio => {}
            MediaKind::Video => self.needs_key = true,
        }
    }

    /// The recording goes on after a pause: what came before is written, and pictures begin with a key frame again.
    pub fn interrupt(&mut self, now: Instant) -> Vec<Action> {
        let expected = std::mem::take(&mut self.expected);
        let actions = self.idle(now);
        self.expected = expected;
        self.waiting_since = None;
        self.needs_key = true;
        self.asked = None;
        actions
    }

    /// The disk takes media again: what waits is let go, and the next part is to begin as after a split. What waits for the
    /// first part waits on.
    pub fn go_on(&mut self, now: Instant) -> Vec<Action> {
        if self.file.is_none() {
            return Vec::new();
        }
        let actions = self.interrupt(now);
        self.splits = true;
        actions
    }

    /// The next part is to begin: with the next key frame, which is asked for; where no picture comes, with the next
    /// sound.
    pub fn split(&mut self) -> Vec<Action> {
        if self.file.is_none() {
            return Vec::new();
        }
        self.splits = true;
        vec![Action::AskForKeyFrame]
    }

    /// Whether the part that was asked for begins with this frame.
    fn splits_at(&self, frame: &Frame) -> bool {
        let has_pictures = self
            .video
            .newest
            .is_some_and(|newest| newest + LIVELY > frame.at);
        self.splits
            && match frame.content {
                Content::Key(_) => true,
                Content::Opus { .. } | Content::Aac(_) => !has_pictures,
                Content::Delta(_) => false,
            }
    }

    /// A frame arrived.
    pub fn push(&mut self, frame: Frame, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.is_of_use(&frame) {
            if self
                .asked
                .is_none_or(|asked| now.duration_since(asked) >= ASK_AGAIN)
            {
                self.asked = Some(now);
                actions.push(Action::AskForKeyFrame);
            }
            return actions;
        }
        self.waiting_since.get_or_insert(now);
        let copy = self.file.is_none().then(|| frame.clone());
        match frame.kind() {
            MediaKind::Audio => self.audio.push(frame),
            MediaKind::Video => self.video.push(frame),
        }
        self.release(false, now, &mut actions);
        if self.file.is_none() {
            actions.extend(copy.map(Action::Keep));
        }
        actions
    }

    /// Nothing arrived for a moment: what waits for its order waits no longer.
    pub fn idle(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        self.release(true, now, &mut actions);
        actions
    }

    /// Nothing will arrive any more.
    pub fn end(&mut self, now: Instant) -> Vec<Action> {
        self.expected = Sends::default();
        self.idle(now)
    }

    fn is_of_use(&mut self, frame: &Frame) -> bool {
        match &frame.content {
            Content::Opus { .. } | Content::Aac(_) => true,
            Content::Key(_) => {
                self.needs_key = false;
                true
            }
            Content::Delta(_) => !self.needs_key,
        }
    }

    fn release(&mut self, all: bool, now: Instant, actions: &mut Vec<Action>) {
        if self.file.is_none() && !self.may_begin(now) {
            return;
        }
        while let Some(frame) = self.next(all) {
            self.place(frame, actions);
        }
    }

    fn may_begin(&self, now: Instant) -> bool {
        let missing = |expected: bool, lane: &Lane| expected && lane.waiting.is_empty();
        if !missing(self.expected.audio, &self.audio) && !missing(self.expected.video, &self.video)
        {
            return true;
        }
        let waited = self
            .waiting_since
            .is_some_and(|since| now.duration_since(since) >= PATIENCE);
        waited || self.audio.span().max(self.video.span()) >= PATIENCE
    }

    /// The oldest frame, if nothing older can be expected from the other track.
    fn next(&mut self, all: bool) -> Option<Frame> {
        let (ready, other, announced) = match (self.audio.front(), self.video.front()) {
            (None, None) => return None,
            (Some(audio), Some(video)) if audio <= video => return self.audio.waiting.pop_front(),
            (Some(_), Some(_)) => return self.video.waiting.pop_front(),
            (Some(_), None) => (&mut self.audio, &self.video, self.expected.video),
            (None, Some(_)) => (&mut self.video, &self.audio, self.expected.audio),
        };
        let lively = other
            .newest
            .is_some_and(|newest| ready.newest.is_some_and(|now| newest + LIVELY > now));
        if !all && (announced || lively) && ready.span() < WINDOW {
            return None;
        }
        ready.waiting.pop_front()
    }

    fn place(&mut self, frame: Frame, actions: &mut Vec<Action>) {
        let kind = frame.kind();
        let track = Track::begun_by(&frame.content);
        if self.splits_at(&frame) {
            self.splits = false;
            // Pictures that come later begin with a key frame in the part that they come to.
            self.needs_key |= kind == MediaKind::Audio;
            if kind == MediaKind::Audio
                && let Some(open) = &mut self.file
            {
                open.tracks.retain(|track| track.kind() == kind);
            }
            let begin = self.begin(&frame, track, actions);
            return self.write(frame, begin, actions);
        }
        let begin = match (&mut self.file, track) {
            (None, _) => self.begin(&frame, None, actions),
            (Some(open), Some(track)) if !open.holds(track.codec()) => {
                if open.can_take(track.codec()) {
                    open.tracks.push(track.clone());
                    actions.push(Action::Declare(track));
                    open.begin
                } else {
                    self.begin(&frame, Some(track), actions)
                }
            }
            (Some(open), _) => open.begin,
        };
        self.write(frame, begin, actions);
    }

    /// Puts a frame into the file that began at this time.
    fn write(&self, frame: Frame, begin: Duration, actions: &mut Vec<Action>) {
        let block = Block {
            kind: frame.kind(),
            at: frame.at.saturating_sub(begin),
            key: !matches!(frame.content, Content::Delta(_)),
            data: frame.data,
        };
        actions.push(Action::Write {
            block,
            content: frame.content,
        });
    }

    /// Begins a file with this frame. The first one holds what waits; a later one what its forerunner held, and `new`.
    fn begin(&mut self, frame: &Frame, new: Option<Track>, actions: &mut Vec<Action>) -> Duration {
        let mut tracks = match (self.file.take(), new) {
            (Some(before), Some(new)) => {
                let mut tracks = before.tracks;
                tracks.retain(|track| track.kind() != new.kind());
                tracks.push(new);
                tracks
            }
            (None, _) | (_, None) => first_tracks(
                std::iter::once(frame)
                    .chain(&self.audio.waiting)
                    .chain(&self.video.waiting),
            ),
        };
        tracks.sort_by_key(|track| track.kind() == MediaKind::Audio);
        let container = self.format.container(&tracks);
        let is_silent = tracks.iter().all(|track| track.kind() == MediaKind::Video);
        if is_silent && container == Container::Mp4 {
            // Sound that comes later has its place then: it could not begin a next file, for pictures go on without a
            // key frame.
            tracks.push(Track::Opus);
        }
        actions.push(Action::Begin {
            at: frame.at,
            container,
            tracks: tracks.clone(),
        });
        self.file = Some(Open {
            begin: frame.at,
            container,
            tracks,
        });
        frame.at
    }
}

impl Open {
    fn holds(&self, codec: Codec) -> bool {
        self.tracks.iter().any(|track| track.codec() == codec)
    }

    fn can_take(&self, codec: Codec) -> bool {
        self.container.takes_late_tracks()
            && self.container.takes(codec)
            && self.tracks.iter().all(|track| track.kind() != codec.kind())
    }
}

/// One track for each kind, as its first frame tells.
fn first_tracks<'a>(frames: impl Iterator<Item = &'a Frame>) -> Vec<Track> {
    let mut tracks: Vec<Track> = Vec::new();
    for frame in frames {
        if tracks.iter().any(|track| track.kind() == frame.kind()) {
            continue;
        }
        tracks.extend(Track::begun_by(&frame.content));
    }
    tracks
}

#[cfg(test)]
mod tests;
