//! What a segment shows where no picture came, and plays where no sound came: the last key frame, and silence. Pure.
//!
//! A player plays sound and picture only where it has both. So a camera that is off leaves the last key frame standing, as
//! a player of the recording's file leaves the last picture, and whoever does not speak is silent.

use std::time::Duration;

use super::cutter::Piece;
use crate::media::MediaKind;
use crate::recording::frame::{OPUS_SILENCE, opus_duration};
use crate::recording::track::{Block, Track};

/// What begins so late in a segment is made to begin with it.
const LATE: Duration = Duration::from_millis(100);

/// Fills the segments of one visit, in their order.
#[derive(Debug, Default)]
pub(super) struct Filler {
    /// The present picture track, and its newest key frame.
    picture: Option<Track>,
    still: Option<Vec<u8>>,
    /// Where the sound of the segment before ended.
    sound_until: Duration,
}

impl Filler {
    /// Lets each track begin with the segment; the picture's only once there was a key frame.
    pub fn fill(&mut self, piece: &mut Piece, tracks: &[Track]) {
        let from = piece.from();
        let picture = tracks.iter().find(|it| it.kind() == MediaKind::Video);
        if let Some(picture) = picture {
            if self.picture.as_ref() != Some(picture) {
                self.picture = Some(picture.clone());
                self.still = None;
            }
            self.fill_picture(piece, from);
        }
        if tracks.contains(&Track::Opus) {
            self.fill_sound(piece, from);
        }
    }

    fn fill_picture(&mut self, piece: &mut Piece, from: Duration) {
        let is_picture = |block: &&Block| block.kind == MediaKind::Video;
        let first = piece.blocks.iter().find(is_picture);
        let still = match first {
            // What follows is decoded from the segment before.
            Some(first) if !first.key => None,
            Some(first) if first.at <= from + LATE => None,
            Some(first) => Some(self.still.as_ref().unwrap_or(&first.data).clone()),
            None => self.still.clone(),
        };
        let newest = piece.blocks.iter().filter(is_picture).rfind(|it| it.key);
        if let Some(newest) = newest {
            self.still = Some(newest.data.clone());
        }
        if let Some(data) = still {
            let block = Block {
                kind: MediaKind::Video,
                at: from,
                key: true,
                data,
            };
            piece.blocks.insert(0, block);
        }
    }

    fn fill_sound(&mut self, piece: &mut Piece, from: Duration) {
        let mut sound = piece
            .blocks
            .iter()
            .filter(|block| block.kind == MediaKind::Audio);
        let begin = from.max(self.sound_until.min(from + LATE));
        let is_late = sound.next().is_none_or(|first| first.at > begin + LATE);
        if is_late {
            let silence = Block {
                kind: MediaKind::Audio,
                at: begin,
                key: true,
                data: OPUS_SILENCE.to_vec(),
            };
            let place = piece.blocks.partition_point(|block| block.at <= begin);
            piece.blocks.insert(place, silence);
        }
        let mut sound = piece
            .blocks
            .iter()
            .filter(|block| block.kind == MediaKind::Audio);
        if let Some(last) = sound.next_back() {
            self.sound_until = last.at + opus_duration(&last.data).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Codec;
    use crate::recording::frame::Picture;
    use crate::recording::report::Size;

    const MS: Duration = Duration::from_millis(1);

    fn picture(width: u32) -> Track {
        Track::Video(Picture {
            codec: Codec::H264,
            size: Size { width, height: 48 },
            configuration: vec![],
        })
    }

    fn block(kind: MediaKind, ms: u32, key: bool, data: &[u8]) -> Block {
        Block {
            kind,
            at: ms * MS,
            key,
            data: data.to_vec(),
        }
    }

    fn piece(blocks: Vec<Block>, until: u32) -> Piece {
        Piece {
            blocks,
            until: until * MS,
        }
    }

    /// Time, whether it is a picture, and the first byte of each frame.
    fn told(piece: &Piece) -> Vec<(u128, bool, u8)> {
        let tell = |block: &Block| {
            let is_picture = block.kind == MediaKind::Video;
            (block.at.as_millis(), is_picture, block.data[0])
        };
        piece.blocks.iter().map(tell).collect()
    }

    use MediaKind::{Audio, Video};

    #[test]
    fn a_camera_that_is_off_leaves_its_last_key_frame_standing() {
        let (mut filler, tracks) = (Filler::default(), [picture(64), Track::Opus]);
        let sound = |ms| block(Audio, ms, true, &OPUS_SILENCE);
        let mut first = piece(vec![sound(0), block(Video, 900, true, &[7])], 1000);
        filler.fill(&mut first, &tracks);
        let silence = OPUS_SILENCE[0];
        // The first one is shown from the begin.
        let expected = [(0, true, 7), (0, false, silence), (900, true, 7)];
        assert_eq!(told(&first), expected);
        let mut off = piece(vec![sound(1000), sound(1020)], 2000);
        filler.fill(&mut off, &tracks);
        assert_eq!(told(&off)[0], (1000, true, 7));
        let on = vec![sound(2000), block(Video, 2500, true, &[8])];
        let mut on = piece(on, 3000);
        filler.fill(&mut on, &tracks);
        assert_eq!(told(&on)[0], (2000, true, 7));
        // A picture of another track does not fit.
        let mut other = piece(vec![sound(3000)], 4000);
        filler.fill(&mut other, &[picture(128), Track::Opus]);
        assert_eq!(told(&other), [(3000, false, silence)]);
    }

    #[test]
    fn a_picture_that_needs_those_before_it_is_left_where_it_is() {
        let (mut filler, tracks) = (Filler::default(), [picture(64), Track::Opus]);
        let begin = vec![block(Video, 0, true, &[7])];
        filler.fill(&mut piece(begin, 1000), &tracks);
        let sound = block(Audio, 1000, true, &OPUS_SILENCE);
        let mut cut = piece(vec![sound, block(Video, 1300, false, &[9])], 2000);
        filler.fill(&mut cut, &tracks);
        assert_eq!(told(&cut)[1..], [(1300, true, 9)]);
    }

    #[test]
    fn who_does_not_speak_is_silent_from_where_the_sound_ended() {
        let (mut filler, tracks) = (Filler::default(), [picture(64), Track::Opus]);
        let spoken = vec![
            block(Video, 0, true, &[7]),
            block(Audio, 0, true, &OPUS_SILENCE),
            block(Audio, 995, true, &OPUS_SILENCE),
        ];
        let mut spoken = piece(spoken, 1000);
        filler.fill(&mut spoken, &tracks);
        assert_eq!(spoken.blocks.len(), 3);
        let mut quiet = piece(vec![block(Video, 1000, true, &[7])], 2000);
        filler.fill(&mut quiet, &tracks);
        assert_eq!(
            told(&quiet),
            [(1000, true, 7), (1015, false, OPUS_SILENCE[0])]
        );
    }
}
