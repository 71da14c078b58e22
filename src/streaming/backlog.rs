//! Frames that wait for a server: when there are too many, whole groups of pictures go, the oldest first. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::media::MediaKind;

/// No more than this waits, from the oldest frame to the newest.
const LONGEST: Duration = Duration::from_secs(4);
/// And no more bytes.
const LARGEST: usize = 8 * 1024 * 1024;
/// Live servers cut streams at key frames, and viewers wait for one: there is one so often.
const KEY_FRAMES: Duration = Duration::from_secs(2);
/// A key frame that was asked for and does not come is asked for again after this.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<T> {
    /// Sound or picture.
    pub kind: MediaKind,
    /// Running time.
    pub at: Duration,
    /// Decoding can begin here.
    pub key: bool,
    /// Its size.
    pub bytes: usize,
    /// What it is.
    pub data: T,
}

/// The frames that wait. Closed, it takes none.
#[derive(Debug)]
pub struct Backlog<T> {
    is_open: bool,
    video: VecDeque<Frame<T>>,
    audio: VecDeque<Frame<T>>,
    bytes: usize,
    /// Pictures are of no use until the next key frame.
    waits_for_key: bool,
    last_key: Option<Duration>,
    asked: Option<Duration>,
    dropped: u64,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Self {
            is_open: false,
            video: VecDeque::new(),
            audio: VecDeque::new(),
            bytes: 0,
            waits_for_key: true,
            last_key: None,
            asked: None,
            dropped: 0,
        }
    }
}

impl<T> Backlog<T> {
    /// From now on frames are taken, the first of them a key frame.
    pub fn open(&mut self) {
        *self = Self {
            is_open: true,
            dropped: self.dropped,
            ..Self::default()
        };
    }

    /// What waits is of no use, nothing more is taken.
    pub fn close(&mut self) {
        *self = Self {
            dropped: self.dropped,
            ..Self::default()
        };
    }

    /// Takes a frame, if it is of use. Tells whether a key frame should be asked for.
    pub fn push(&mut self, frame: Frame<T>) -> bool {
        if !self.is_open {
            return false;
        }
        let (kind, at) = (frame.kind, frame.at);
        match kind {
            MediaKind::Video if frame.key => {
                (self.waits_for_key, self.last_key, self.asked) = (false, Some(at), None);
            }
            MediaKind::Video | MediaKind::Audio => {}
        }
        // Sound before the first picture belongs to none.
        if self.waits_for_key && (kind == MediaKind::Video || self.last_key.is_none()) {
            self.dropped += u64::from(kind == MediaKind::Video);
            return kind == MediaKind::Video && self.asks(at);
        }
        self.bytes += frame.bytes;
        match kind {
            MediaKind::Audio => self.audio.push_back(frame),
            MediaKind::Video => self.video.push_back(frame),
        }
        while self.is_too_much() {
            self.drop_a_group();
        }
        let is_due = self.last_key.is_none_or(|key| at >= key + KEY_FRAMES);
        kind == MediaKind::Video && (is_due || self.waits_for_key) && self.asks(at)
    }

    /// The oldest frame that there is room for.
    pub fn pop(&mut self, has_room: impl Fn(MediaKind) -> bool) -> Option<Frame<T>> {
        let front = |queue: &VecDeque<Frame<T>>, kind| {
            queue
                .front()
                .map(|frame| frame.at)
                .filter(|_| has_room(kind))
        };
        let audio = front(&self.audio, MediaKind::Audio);
        let video = front(&self.video, MediaKind::Video);
        let queue = match (audio, video) {
            (Some(audio), Some(video)) if audio <= video => &mut self.audio,
            (Some(_), None) => &mut self.audio,
            (None | Some(_), Some(_)) => &mut self.video,
            (None, None) => return None,
        };
        let frame = queue.pop_front()?;
        self.bytes -= frame.bytes;
        Some(frame)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.audio.is_empty() && self.video.is_empty()
    }

    /// Pictures that went nowhere, since the beginning.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn asks(&mut self, now: Duration) -> bool {
        let is_asked = self.asked.is_some_and(|asked| now < asked + ASK_AGAIN);
        if !is_asked {
            self.asked = Some(now);
        }
        !is_asked
    }

    fn is_too_much(&self) -> bool {
        let span = |queue: &VecDeque<Frame<T>>| match (queue.front(), queue.back()) {
            (Some(first), Some(last)) => last.at.saturating_sub(first.at),
            (None, _) | (_, None) => Duration::ZERO,
        };
        self.bytes > LARGEST || span(&self.video).max(span(&self.audio)) > LONGEST
    }

    /// The oldest pictures up to the next key frame, and the sound of their time.
    fn drop_a_group(&mut self) {
        let next = self.video.iter().skip(1).position(|frame| frame.key);
        let gone = next.map_or(self.video.len(), |index| index + 1);
        self.dropped += gone as u64;
        let until = self.video.get(gone).map(|frame| frame.at);
        for frame in self.video.drain(..gone) {
            self.bytes -= frame.bytes;
        }
        // What follows builds on what has gone.
        self.waits_for_key |= until.is_none();
        while self
            .audio
            .front()
            .is_some_and(|frame| until.is_none_or(|until| frame.at < until))
        {
            self.bytes -= self.audio.pop_front().map_or(0, |frame| frame.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn frame(kind: MediaKind, at: u64, key: bool) -> Frame<()> {
        Frame {
            kind,
            at: ms(at),
            key,
            bytes: 1000,
            data: (),
        }
    }

    fn video(at: u64, key: bool) -> Frame<()> {
        frame(MediaKind::Video, at, key)
    }

    fn audio(at: u64) -> Frame<()> {
        frame(MediaKind::Audio, at, true)
    }

    fn all(backlog: &mut Backlog<()>) -> Vec<(char, u64, bool)> {
        std::iter::from_fn(|| backlog.pop(|_| true))
            .map(|frame| {
                let kind = match frame.kind {
                    MediaKind::Audio => 'a',
                    MediaKind::Video => 'v',
                };
                (
                    kind,
                    u64::try_from(frame.at.as_millis()).unwrap(),
                    frame.key,
                )
            })
            .collect()
    }

    #[test]
    fn a_connection_begins_with_a_key_frame_that_is_asked_for() {
        let mut backlog = Backlog::default();
        assert!(!backlog.push(video(0, true)), "it is closed");
        backlog.open();
        assert!(backlog.push(video(40, false)));
        assert!(!backlog.push(audio(50)));
        assert!(!backlog.push(video(80, false)), "it was asked for just now");
        assert!(backlog.push(video(600, false)), "it did not come");
        backlog.push(video(640, true));
        backlog.push(audio(650));
        backlog.push(video(680, false));
        let expected = [('v', 640, true), ('a', 650, true), ('v', 680, false)];
        assert_eq!(all(&mut backlog), expected);
        assert_eq!(backlog.dropped(), 3);
    }

    #[test]
    fn a_key_frame_is_asked_for_every_two_seconds() {
        let mut backlog = Backlog::default();
        backlog.open();
        let mut asked = Vec::new();
        for at in (0..7000).step_by(40) {
            let key = at == 0 || asked.last().is_some_and(|last| *last + 40 == at);
            if backlog.push(video(at, key)) {
                asked.push(at);
            }
            all(&mut backlog);
        }
        assert_eq!(asked, [2000, 4040, 6080]);
    }

    #[test]
    fn too_many_frames_go_by_whole_groups_with_their_sound() {
        let mut backlog = Backlog::default();
        backlog.open();
        for at in (0..5000).step_by(100) {
            backlog.push(video(at, at % 2000 == 0));
            backlog.push(audio(at + 1));
        }
        let left = all(&mut backlog);
        assert_eq!(left[0], ('v', 2000, true));
        assert_eq!(left[1], ('a', 2001, true));
        assert_eq!(left.last(), Some(&('a', 4901, true)));
        assert_eq!(backlog.dropped(), 20);
    }

    #[test]
    fn a_group_that_is_too_long_goes_altogether_and_the_next_one_is_asked_for() {
        let mut backlog = Backlog::default();
        backlog.open();
        for at in (0..=4000).step_by(100) {
            backlog.push(video(at, at == 0));
        }
        assert!(!backlog.is_empty());
        // Asked for at 2000, 2500, ... 4000, in vain.
        assert!(!backlog.push(video(4100, false)));
        assert!(backlog.is_empty());
        assert!(backlog.push(video(4500, false)));
        assert!(backlog.is_empty(), "it builds on what has gone");
        backlog.push(video(4600, true));
        assert_eq!(all(&mut backlog), [('v', 4600, true)]);
    }

    #[test]
    fn few_but_large_frames_are_too_much_too() {
        let mut backlog = Backlog::default();
        backlog.open();
        for at in 0..10 {
            let mut large = video(at * 40, at % 5 == 0);
            large.bytes = LARGEST / 8;
            backlog.push(large);
        }
        assert_eq!(all(&mut backlog)[0], ('v', 200, true));
        assert_eq!(backlog.bytes, 0);
    }

    #[test]
    fn a_kind_without_room_does_not_hold_up_the_other() {
        let mut backlog = Backlog::default();
        backlog.open();
        backlog.push(video(0, true));
        backlog.push(audio(10));
        let frame = backlog.pop(|kind| kind == MediaKind::Audio).unwrap();
        assert_eq!(frame.at, ms(10));
        assert_eq!(backlog.pop(|_| false), None);
    }
}
