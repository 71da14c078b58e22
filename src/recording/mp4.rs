//! Fragmented MP4 (ISO 14496-12, 8.8) in bytes: header, fragments, index. Pure.
//!
//! A file is laid out so that it is playable while it grows and can be completed in place:
//!
//! ```text
//! ftyp
//! moov           (without samples; its duration is written when finished)
//! (moof mdat)*   (each whole: up to 250 ms of all tracks)
//! mfra           (when finished: where the key frames are)
//! ```
//!
//! A sample's duration is the time to the next one. Of the last sample of a fragment it is a guess, set right in place
//! when the next one is known: players that add up durations (GStreamer's) and those that go by each fragment's own
//! time (FFmpeg's, and so Chromium) then agree, over gaps too.

use std::time::Duration;

use time::OffsetDateTime;

use super::aac;
use super::boxes::Boxes;
use super::frame::{OPUS_SILENCE, opus_duration};
use super::mp4_header::{self, timescale};
use super::muxer::Written;
use super::track::{Block, Cue, Patch, Track, track_number};
use crate::media::MediaKind;

/// A picture is taken to stay so long when nothing is known.
const PICTURE: Duration = Duration::from_millis(33);
/// The last picture of a fragment is not taken to stay longer than this.
const LONGEST_PICTURE: Duration = Duration::from_millis(100);
/// Sample flags (ISO 14496-12, 8.8.3.1): depends on no other sample; on others, and no sync sample.
const KEY: u32 = 0x0200_0000;
const DELTA: u32 = 0x0101_0000;

/// A file of fragmented MP4.
#[derive(Debug)]
pub struct Mp4 {
    tracks: Vec<Track>,
    started: OffsetDateTime,
    header_at: u64,
    /// Fragments made so far.
    sequence: u32,
    video: Lane,
    audio: Lane,
}

/// What is known of a track's newest sample.
#[derive(Debug, Default)]
struct Lane {
    last: Option<Last>,
    /// How long every frame is, where the codec knows but one length.
    fixed: Option<Duration>,
    /// The time between the last two samples, in ticks.
    step: Option<u64>,
}

/// The newest sample that is in the file, in ticks.
#[derive(Debug, Clone, Copy)]
struct Last {
    start: u64,
    duration: u32,
    /// Where the duration stands in the file.
    duration_at: u64,
}

/// A fragment's samples of one track.
struct Run<'a> {
    kind: MediaKind,
    blocks: Vec<&'a Block>,
}

impl Mp4 {
    /// For these tracks, the first sample of which is of `started`; with everything before the first fragment.
    pub fn new(tracks: &[Track], started: OffsetDateTime) -> (Self, Vec<u8>) {
        Self::with(mp4_header::file_type(), tracks, started)
    }

    fn with(mut bytes: Vec<u8>, tracks: &[Track], started: OffsetDateTime) -> (Self, Vec<u8>) {
        let this = Self {
            tracks: tracks.to_vec(),
            started,
            header_at: bytes.len() as u64,
            sequence: 0,
            video: Lane::default(),
            audio: Lane {
                fixed: fixed_duration(tracks),
                ..Lane::default()
            },
        };
        bytes.extend_from_slice(&this.header(Duration::ZERO));
        (this, bytes)
    }

    fn header(&self, duration: Duration) -> Vec<u8> {
        mp4_header::movie(&self.tracks, self.started, duration)
    }

    /// A movie fragment with its media, to stand at `offset`.
    pub fn fragment(&mut self, offset: u64, blocks: &[Block]) -> Written {
        let silence = self.first_sound(blocks);
        let runs = runs(blocks.iter().chain(&silence));
        if runs.is_empty() {
            return Written::default();
        }
        self.sequence += 1;
        let sequence = self.sequence;
        let mut patches = Vec::new();
        let mut data_offsets = Vec::new();
        let mut out = Boxes::default();
        out.boxed(b"moof", |moof| {
            moof.full(b"mfhd", 0, 0, |mfhd| {
                mfhd.u32(sequence);
            });
            for run in &runs {
                let lane = match run.kind {
                    MediaKind::Audio => &mut self.audio,
                    MediaKind::Video => &mut self.video,
                };
                let (data_offset, patch) = lane.track_fragment(moof, offset, run);
                data_offsets.push(data_offset);
                patches.extend(patch);
            }
        });
        let mut data_at = out.0.len() + 8;
        for (run, place) in runs.iter().zip(data_offsets) {
            out.put_u32(place, u32::try_from(data_at).unwrap_or(u32::MAX));
            data_at += run
                .blocks
                .iter()
                .map(|block| block.data.len())
                .sum::<usize>();
        }
        out.boxed(b"mdat", |mdat| {
            for block in runs.iter().flat_map(|run| &run.blocks) {
                mdat.raw(&block.data);
            }
        });
        Written {
            bytes: out.0,
            patches,
        }
    }

    /// For one track of a presentation, as CMAF (ISO 23000-19, 7.2) has it; with its header.
    pub fn of_track(track: &Track, started: OffsetDateTime) -> (Self, Vec<u8>) {
        Self::with(
            mp4_header::cmaf_type(),
            std::slice::from_ref(track),
            started,
        )
    }

    /// A fragment of one track, for a file of its own; with the time at which its last sample ends. The next one begins at
    /// `next`: pictures last until then, and sound that would end earlier.
    pub fn segment(&mut self, blocks: &[Block], next: Duration) -> (Vec<u8>, Duration) {
        // Its forerunners are not ours any more: durations in them stay the guesses that they are.
        let mut bytes = self.fragment(0, blocks).bytes;
        let kind = blocks.first().map_or(MediaKind::Video, |block| block.kind);
        let lane = match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video => &self.video,
        };
        let Some(last) = lane.last else {
            return (bytes, next);
        };
        let (guess, next) = (last.start + u64::from(last.duration), ticks(next, kind));
        let end = match kind {
            MediaKind::Audio => guess.max(next),
            MediaKind::Video => next.max(last.start),
        };
        if let Some(patch) = last.until(end) {
            let at = usize::try_from(patch.offset).unwrap_or(usize::MAX);
            if let Some(place) = bytes.get_mut(at..at.saturating_add(patch.bytes.len())) {
                place.copy_from_slice(&patch.bytes);
            }
        }
        (bytes, time(end, kind))
    }

    /// Where a sound track has not begun with the first fragment, it begins with silence: players wait for neither a
    /// track without samples nor one that begins in the middle. AAC is only that of a mix, which always has sound.
    fn first_sound(&self, blocks: &[Block]) -> Option<Block> {
        let is_due = self.sequence == 0
            && self.tracks.contains(&Track::Opus)
            && blocks.iter().all(|block| block.kind == MediaKind::Video);
        let first = blocks.first().filter(|_| is_due)?;
        Some(Block {
            kind: MediaKind::Audio,
            at: first.at,
            key: true,
            data: OPUS_SILENCE.to_vec(),
        })
    }

    /// The index for the file's end, and the header with its duration.
    pub fn finish(&mut self, duration: Duration, cues: &[Cue]) -> Written {
        let patches = vec![Patch {
            offset: self.header_at,
            bytes: self.header(duration),
        }];
        let bytes = if cues.is_empty() {
            Vec::new()
        } else {
            random_access(cues)
        };
        Written { bytes, patches }
    }
}

impl Lane {
    /// A track fragment box. Tells where its data offset stands, and sets right the duration of the sample before it.
    fn track_fragment(
        &mut self,
        out: &mut Boxes,
        offset: u64,
        run: &Run<'_>,
    ) -> (usize, Option<Patch>) {
        let starts: Vec<u64> = run
            .blocks
            .iter()
            .map(|block| ticks(block.at, run.kind))
            .collect();
        let first = starts.first().copied().unwrap_or_default();
        let patch = self.last.and_then(|last| last.until(first));
        let (mut data_offset, mut duration_at) = (0, 0);
        out.boxed(b"traf", |traf| {
            // Offsets count from the moof.
            traf.full(b"tfhd", 0, 0x02_0000, |tfhd| {
                tfhd.u32(track_number(run.kind).into());
            });
            traf.full(b"tfdt", 1, 0, |tfdt| {
                tfdt.u64(first);
            });
            // With data offset; duration, size and flags of each sample.
            traf.full(b"trun", 0, 0x701, |trun| {
                trun.u32(u32::try_from(run.blocks.len()).unwrap_or(u32::MAX));
                data_offset = trun.0.len();
                trun.u32(0);
                for (index, block) in run.blocks.iter().enumerate() {
                    let duration = match starts.get(index + 1) {
                        Some(next) => next.saturating_sub(starts[index]),
                        None => self.guess(&starts, block),
                    };
                    let duration = u32::try_from(duration).unwrap_or(u32::MAX);
                    duration_at = trun.0.len();
                    let size = u32::try_from(block.data.len()).unwrap_or(u32::MAX);
                    trun.u32(duration).u32(size);
                    trun.u32(if block.key { KEY } else { DELTA });
                    self.last = Some(Last {
                        start: starts[index],
                        duration,
                        duration_at: offset + duration_at as u64,
                    });
                }
            });
        });
        (data_offset, patch)
    }

    /// How long the last sample of a fragment will turn out to be: for sound, what the packet says; for a picture, what
    /// the one before it took.
    fn guess(&mut self, starts: &[u64], block: &Block) -> u64 {
        if let [.., before, last] = starts {
            self.step = Some(last.saturating_sub(*before));
        }
        match block.kind {
            MediaKind::Audio => {
                let duration = self.fixed.or_else(|| opus_duration(&block.data));
                duration.map_or(0, |duration| ticks(duration, MediaKind::Audio))
            }
            MediaKind::Video => {
                let usual = ticks(PICTURE, MediaKind::Video);
                let longest = ticks(LONGEST_PICTURE, MediaKind::Video);
                self.step.unwrap_or(usual).min(longest)
            }
        }
    }
}

impl Last {
    /// Sets its duration right, if it was not.
    fn until(self, next: u64) -> Option<Patch> {
        let duration = u32::try_from(next.saturating_sub(self.start)).unwrap_or(u32::MAX);
        (duration != self.duration).then(|| Patch {
            offset: self.duration_at,
            bytes: duration.to_be_bytes().to_vec(),
        })
    }
}

/// How long every frame of the sound track is, if all are alike.
fn fixed_duration(tracks: &[Track]) -> Option<Duration> {
    let is_aac = |track: &Track| matches!(track, Track::Aac(_));
    tracks.iter().any(is_aac).then(aac::frame_duration)
}

/// The blocks by track, the one of the first block in front.
fn runs<'a>(blocks: impl Iterator<Item = &'a Block>) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for block in blocks {
        match runs.iter_mut().find(|run| run.kind == block.kind) {
            Some(run) => run.blocks.push(block),
            None => runs.push(Run {
                kind: block.kind,
                blocks: vec![block],
            }),
        }
    }
    runs
}

/// Movie fragment random access (ISO 14496-12, 8.8.9): where a reader can begin.
pub(super) fn random_access(cues: &[Cue]) -> Vec<u8> {
    let mut out = Boxes::default();
    out.boxed(b"mfra", |mfra| {
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let of_kind: Vec<_> = cues.iter().filter(|cue| cue.kind == kind).collect();
            if of_kind.is_empty() {
                continue;
            }
            mfra.full(b"tfra", 1, 0, |tfra| {
                // Numbers of traf, trun and sample take a byte each.
                tfra.u32(track_number(kind).into()).u32(0);
                tfra.u32(u32::try_from(of_kind.len()).unwrap_or(u32::MAX));
                for cue in of_kind {
                    // The track of a fragment's first frame stands first in it.
                    tfra.u64(ticks(cue.at, kind))
                        .u64(cue.offset)
                        .raw(&[1, 1, 1]);
                }
            });
        }
        let size = mfra.0.len() + 16;
        mfra.full(b"mfro", 0, 0, |mfro| {
            mfro.u32(u32::try_from(size).unwrap_or(u32::MAX));
        });
    });
    out.0
}

/// In units of the track's timescale.
fn ticks(at: Duration, kind: MediaKind) -> u64 {
    let scaled = at.as_nanos() * u128::from(timescale(kind)) + 500_000_000;
    u64::try_from(scaled / 1_000_000_000).unwrap_or(u64::MAX)
}

/// Of a number of such units.
fn time(ticks: u64, kind: MediaKind) -> Duration {
    let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(timescale(kind));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
