//! Where segments begin: frames in order of time in, segments out. Pure.
//!
//! A segment begins with a key frame, which is asked for in time; with sound where no picture comes; and with whatever
//! comes when it would be longer than the playlist's target duration, which may never change (RFC 8216, 4.3.3.1).

use std::time::Duration;

use super::super::aac;
use super::super::container::Container;
use super::super::frame::Content;
use super::super::part::LAST_PICTURE;
use super::super::track::{Block, Track};
use crate::media::{Codec, MediaKind};

/// So long before a segment is as long as it is wanted, a key frame is asked for, and taken; of short segments, in their
/// last quarter.
const AHEAD: Duration = Duration::from_millis(500);
/// When no key frame comes, a segment ends so long after it is as long as it is wanted.
const PATIENCE: Duration = Duration::from_millis(750);
/// No segment is so much longer than wanted: that patience, and a frame that may come late without being a gap.
const SPARE: Duration = Duration::from_secs(2);
/// Least time between two requests for a key frame.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Pictures are reckoned with for so long after the last one.
const LIVELY: Duration = Duration::from_secs(1);
/// After so long without any media, the time in the playlist does not go on. Of a screen that does not change, browsers
/// send a picture a second.
const GAP: Duration = Duration::from_millis(1500);

/// Cuts what is recorded of one visit into segments.
#[derive(Debug)]
pub struct Cutter {
    wanted: Duration,
    /// As the next segment's header has them.
    tracks: Vec<Track>,
    open: Vec<Block>,
    /// The next segment begins anew: with another header.
    breaks: bool,
    /// Pictures are of no use until the next key frame.
    needs_key: bool,
    picture_at: Option<Duration>,
    /// End of the last frame.
    until: Duration,
    asked: Option<Duration>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Write a segment.
    Segment(Piece),
    /// The segments that follow have these tracks.
    Header(Vec<Track>),
    /// Ask the sender for a key frame.
    AskForKeyFrame,
}

/// A segment's media.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its frames, in running time.
    pub blocks: Vec<Block>,
    /// End of its media: where the next segment begins, if it goes on.
    pub until: Duration,
}

impl Piece {
    /// Running time of its first frame.
    pub fn from(&self) -> Duration {
        self.blocks.first().map_or(self.until, |block| block.at)
    }
}

impl Cutter {
    /// For segments that are about so long.
    pub fn new(wanted: Duration) -> Self {
        Self {
            wanted,
            tracks: Vec::new(),
            open: Vec::new(),
            breaks: false,
            needs_key: true,
            picture_at: None,
            until: Duration::ZERO,
            asked: None,
        }
    }

    /// No segment is longer; a whole number of seconds.
    pub fn longest(wanted: Duration) -> Duration {
        wanted + SPARE
    }

    /// Frames of these tracks come from here on. Gives the codecs that no segment can hold.
    pub fn expect(&mut self, tracks: &[Track]) -> Vec<Codec> {
        let codecs = tracks.iter().map(Track::codec);
        let (fit, out): (Vec<_>, Vec<_>) = codecs.partition(|codec| Container::Mp4.takes(*codec));
        for track in tracks.iter().filter(|track| fit.contains(&track.codec())) {
            if self.holds(track.codec()) {
                continue;
            }
            self.tracks.retain(|known| known.kind() != track.kind());
            self.tracks.push(track.clone());
            self.breaks = true;
        }
        // Sound that comes later has its place then; it begins with silence.
        let is_silent = self
            .tracks
            .iter()
            .all(|track| track.kind() == MediaKind::Video);
        if is_silent && !self.tracks.is_empty() {
            self.tracks.push(Track::Opus);
        }
        self.tracks
            .sort_by_key(|track| track.kind() == MediaKind::Audio);
        out
    }

    /// What comes over another connection begins anew.
    pub fn interrupt(&mut self) {
        self.breaks = true;
    }

    fn holds(&self, codec: Codec) -> bool {
        self.tracks.iter().any(|track| track.codec() == codec)
    }

    /// A frame in running time.
    pub fn push(&mut self, block: Block, content: &Content) -> Vec<Step> {
        let mut steps = Vec::new();
        let is_picture = block.kind == MediaKind::Video;
        if !self.holds_frame(content) {
            return steps;
        }
        let gap = !self.open.is_empty() && block.at > self.until + GAP;
        if gap {
            self.breaks = true;
            self.needs_key = true;
        }
        if let Content::Key(picture) = content {
            self.needs_key = false;
            let track = Track::Video(picture.clone());
            if !self.tracks.contains(&track) {
                self.tracks.retain(|known| known.kind() != track.kind());
                self.tracks.insert(0, track);
                self.breaks = true;
            }
        }
        self.ask(&block, &mut steps);
        if is_picture && self.needs_key {
            return steps;
        }
        if gap || self.is_due(&block) {
            self.cut(&block, gap, &mut steps);
            // A still stands at the begin: nothing can be decoded from what was before it.
            self.needs_key |= !is_picture && !self.has_pictures(&block);
        }
        self.note(&block, content);
        self.open.push(block);
        steps
    }

    fn holds_frame(&self, content: &Content) -> bool {
        self.holds(match content {
            Content::Opus { .. } => Codec::Opus,
            Content::Aac(_) => Codec::Aac,
            Content::Key(picture) => picture.codec,
            Content::Delta(codec) => *codec,
        })
    }

    /// Whether the next segment begins with this frame.
    fn is_due(&self, block: &Block) -> bool {
        let Some(start) = self.open.first().map(|first| first.at) else {
            return true;
        };
        let length = block.at.saturating_sub(start);
        let wanted = match is_key(block) {
            true => self.wanted - self.ahead(),
            false => self.wanted,
        };
        (self.may_begin(block) && (self.breaks || length >= wanted))
            || length >= self.wanted + PATIENCE
    }

    fn ahead(&self) -> Duration {
        AHEAD.min(self.wanted / 4)
    }

    /// Whether decoding can begin with this frame.
    fn may_begin(&self, block: &Block) -> bool {
        is_key(block) || (block.kind == MediaKind::Audio && !self.has_pictures(block))
    }

    /// Whether pictures are reckoned with.
    fn has_pictures(&self, block: &Block) -> bool {
        self.picture_at.is_some_and(|at| at + LIVELY > block.at)
    }

    fn ask(&mut self, block: &Block, steps: &mut Vec<Step>) {
        let start = self.open.first().map_or(block.at, |first| first.at);
        let is_delta = block.kind == MediaKind::Video && !block.key;
        let is_wanted = self.needs_key
            || self.breaks
            || block.at.saturating_sub(start) + self.ahead() >= self.wanted;
        let is_asked = self.asked.is_some_and(|asked| block.at < asked + ASK_AGAIN);
        if is_delta && is_wanted && !is_asked {
            self.asked = Some(block.at);
            steps.push(Step::AskForKeyFrame);
        }
    }

    /// Ends the open segment in front of this frame.
    fn cut(&mut self, block: &Block, gap: bool, steps: &mut Vec<Step>) {
        steps.extend(self.take((!gap).then_some(block.at)));
        self.asked = None;
        if self.breaks && (gap || self.may_begin(block)) {
            self.breaks = false;
            steps.push(Step::Header(self.tracks.clone()));
        }
    }

    /// The open segment, if there is one.
    fn take(&mut self, next: Option<Duration>) -> Option<Step> {
        let blocks = std::mem::take(&mut self.open);
        (!blocks.is_empty()).then(|| {
            Step::Segment(Piece {
                blocks,
                until: next.unwrap_or(self.until),
            })
        })
    }

    fn note(&mut self, block: &Block, content: &Content) {
        let end = match content {
            Content::Opus { duration } => block.at + *duration,
            Content::Aac(_) => block.at + aac::frame_duration(),
            Content::Key(_) | Content::Delta(_) => {
                let before = self.picture_at.replace(block.at).unwrap_or(block.at);
                block.at + block.at.saturating_sub(before).min(LAST_PICTURE)
            }
        };
        self.until = self.until.max(end);
    }

    /// Nothing comes any more: the last segment.
    pub fn end(&mut self) -> Option<Step> {
        self.take(None)
    }
}

fn is_key(block: &Block) -> bool {
    block.key && block.kind == MediaKind::Video
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::Picture;
    use super::super::super::report::Size;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn picture(width: u32) -> Picture {
        Picture {
            codec: Codec::H264,
            size: Size { width, height: 48 },
            configuration: vec![],
        }
    }

    fn block(kind: MediaKind, ms: u32, key: bool) -> Block {
        Block {
            kind,
            at: ms * MS,
            key,
            data: vec![1],
        }
    }

    /// A cutter with what it has cut: each segment's end.
    struct Trial {
        cutter: Cutter,
        cuts: Vec<u128>,
        headers: usize,
        asked: Vec<u32>,
    }

    impl Trial {
        fn new(tracks: &[Track]) -> Self {
            let mut cutter = Cutter::new(4000 * MS);
            assert_eq!(cutter.expect(tracks), []);
            Self {
                cutter,
                cuts: vec![],
                headers: 0,
                asked: vec![],
            }
        }

        fn push(&mut self, ms: u32, kind: MediaKind, content: &Content) {
            let key = !matches!(content, Content::Delta(_));
            for step in self.cutter.push(block(kind, ms, key), content) {
                match step {
                    Step::Segment(piece) => self.cuts.push(piece.until.as_millis()),
                    Step::Header(_) => self.headers += 1,
                    Step::AskForKeyFrame => self.asked.push(ms),
                }
            }
        }

        fn key(&mut self, ms: u32, width: u32) {
            self.push(ms, MediaKind::Video, &Content::Key(picture(width)));
        }

        fn delta(&mut self, ms: u32) {
            self.push(ms, MediaKind::Video, &Content::Delta(Codec::H264));
        }

        fn sound(&mut self, ms: u32) {
            let duration = 20 * MS;
            self.push(ms, MediaKind::Audio, &Content::Opus { duration });
        }
    }

    fn both() -> [Track; 2] {
        [Track::Opus, Track::Video(picture(64))]
    }

    #[test]
    fn segments_begin_with_key_frames_that_come_in_time() {
        let mut trial = Trial::new(&both());
        for ms in (0..10_000).step_by(40) {
            match ms % 2000 {
                0 => trial.key(ms, 64),
                _ => trial.delta(ms),
            }
        }
        assert_eq!(trial.cuts, [4000, 8000]);
        assert_eq!(trial.headers, 1);
        // Half a second before each is due, and no more.
        assert_eq!(trial.asked, [3520, 7520]);
    }

    #[test]
    fn without_key_frames_a_segment_ends_within_the_target_duration() {
        let mut trial = Trial::new(&both());
        trial.key(0, 64);
        for ms in (1000..20_000).step_by(1000) {
            trial.delta(ms);
        }
        assert_eq!(trial.cuts, [5000, 10_000, 15_000]);
        let longest = Cutter::longest(4000 * MS);
        assert!(longest >= 5000 * MS && longest.subsec_nanos() == 0);
        assert_eq!(trial.asked[..3], [4000, 5000, 9000]);
    }

    #[test]
    fn sound_alone_is_cut_by_time_and_a_camera_that_is_off_does_not_hold_it_up() {
        let mut trial = Trial::new(&both());
        trial.key(0, 64);
        for ms in (0..9000).step_by(20) {
            trial.sound(ms);
        }
        assert_eq!(trial.cuts, [4000, 8000]);
    }

    #[test]
    fn a_camera_that_is_back_in_the_midst_of_a_segment_waits_for_a_key_frame() {
        let mut trial = Trial::new(&both());
        trial.key(0, 64);
        for ms in (0..5000).step_by(20) {
            trial.sound(ms);
        }
        trial.delta(5000);
        trial.key(5040, 64);
        trial.delta(5080);
        assert_eq!(trial.asked, [5000]);
        let Some(Step::Segment(last)) = trial.cutter.end() else {
            panic!("there is a rest")
        };
        let pictures = last.blocks.iter().filter(|it| it.kind == MediaKind::Video);
        let times: Vec<_> = pictures.map(|block| block.at.as_millis()).collect();
        assert_eq!(times, [5040, 5080]);
    }

    #[test]
    fn another_size_and_another_connection_begin_at_their_key_frame() {
        let mut trial = Trial::new(&both());
        trial.key(0, 64);
        trial.delta(40);
        trial.key(80, 128);
        trial.cutter.interrupt();
        trial.sound(100);
        trial.delta(120);
        trial.key(160, 128);
        trial.key(200, 128);
        assert_eq!(trial.cuts, [80, 160]);
        assert_eq!(trial.headers, 3);
        assert_eq!(trial.asked, [120]);
    }

    #[test]
    fn after_a_gap_pictures_wait_for_a_key_frame() {
        let mut trial = Trial::new(&both());
        trial.key(0, 64);
        trial.sound(20);
        trial.delta(5000);
        trial.sound(5020);
        trial.delta(5040);
        trial.key(5080, 64);
        assert_eq!(trial.cuts, [40]);
        assert_eq!(trial.headers, 2);
        let Some(Step::Segment(last)) = trial.cutter.end() else {
            panic!("there is a rest")
        };
        let times: Vec<_> = last
            .blocks
            .iter()
            .map(|block| block.at.as_millis())
            .collect();
        assert_eq!(times, [5020, 5080]);
    }

    #[test]
    fn what_does_not_fit_is_told_and_the_rest_has_its_tracks() {
        let vp8 = Picture {
            codec: Codec::Vp8,
            ..picture(64)
        };
        let mut cutter = Cutter::new(4000 * MS);
        assert_eq!(cutter.expect(&[Track::Video(vp8.clone())]), [Codec::Vp8]);
        assert_eq!(
            cutter.push(block(MediaKind::Video, 0, true), &Content::Key(vp8)),
            []
        );
        cutter.expect(&[Track::Opus]);
        let sound = Content::Opus { duration: 20 * MS };
        assert_eq!(
            cutter.push(block(MediaKind::Audio, 20, true), &sound),
            [Step::Header(vec![Track::Opus])]
        );
    }
}
