//! Matroska (RFC 9559) in bytes, as far as a recording needs it: header, clusters, cues. Pure.
//!
//! A file is laid out so that it is playable while it grows and can be completed in place:
//!
//! ```text
//! EBML header | Segment (size unknown until finished)
//!   SeekHead  (space for the entry of the cues)
//!   Info      (space for the duration)
//!   Tracks    (space for a track that comes late)
//!   Cluster*  (each whole, its size known)
//!   Cues      (when finished)
//! ```

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::container::Container;
use super::ebml::{DURATION_LENGTH, Element, SEEK_LENGTH, UNKNOWN_SIZE, id};
use super::frame::Picture;
use super::muxer::Written;
use super::track::{Block, Cue, Patch, Track, track_number};
use crate::media::Codec;

/// Bytes kept for the Tracks element and its growth.
pub(super) const TRACKS_SPACE: usize = 2048;

/// RTP does not tell by how much the encoder looked ahead. The file plays as a receiver of the call hears it: each
/// packet at its time, nothing skipped (libopus at 48 kHz looks 6.5 ms ahead; `opusenc` reckons that in, Chromium not).
pub(super) const OPUS_PRE_SKIP: u16 = 0;
/// RFC 7845, 4.2 and WebM's guidelines: decoding begins 80 ms before the wanted place.
const OPUS_SEEK_PRE_ROLL: Duration = Duration::from_millis(80);

/// The TrackEntry of a track.
fn entry(track: &Track) -> Vec<u8> {
    let number = track_number(track.kind()).into();
    let mut entry = Element::new();
    entry
        .uint(id::TRACK_NUMBER, number)
        .uint(id::TRACK_UID, number)
        .uint(id::FLAG_LACING, 0);
    entry.bytes(id::LANGUAGE, b"und");
    match track {
        Track::Opus => {
            entry
                .uint(id::TRACK_TYPE, 2)
                .bytes(id::CODEC_ID, codec_id(Codec::Opus).as_bytes())
                .bytes(id::CODEC_PRIVATE, &opus_head());
            entry.nanoseconds(id::SEEK_PRE_ROLL, OPUS_SEEK_PRE_ROLL);
            let mut audio = Element::new();
            audio
                .float(id::SAMPLING_FREQUENCY, 48_000.0)
                .uint(id::CHANNELS, 2);
            entry.bytes(id::AUDIO, &audio.0);
        }
        Track::Aac(configuration) => {
            entry
                .uint(id::TRACK_TYPE, 2)
                .bytes(id::CODEC_ID, codec_id(Codec::Aac).as_bytes())
                .bytes(id::CODEC_PRIVATE, configuration.bytes());
            let mut audio = Element::new();
            audio
                .float(id::SAMPLING_FREQUENCY, 48_000.0)
                .uint(id::CHANNELS, configuration.channels.into());
            entry.bytes(id::AUDIO, &audio.0);
        }
        Track::Video(picture) => {
            entry
                .uint(id::TRACK_TYPE, 1)
                .bytes(id::CODEC_ID, codec_id(picture.codec).as_bytes());
            if let Some(private) = codec_private(picture) {
                entry.bytes(id::CODEC_PRIVATE, &private);
            }
            let mut video = Element::new();
            video.uint(id::FLAG_INTERLACED, 2);
            video
                .uint(id::PIXEL_WIDTH, picture.size.width.into())
                .uint(id::PIXEL_HEIGHT, picture.size.height.into());
            entry.bytes(id::VIDEO, &video.0);
        }
    }
    entry.0
}

/// CodecPrivate: for most codecs what MP4 has, too; for VP9, WebM's list of features.
fn codec_private(picture: &Picture) -> Option<Vec<u8>> {
    let configuration = &picture.configuration;
    match (picture.codec, &configuration[..]) {
        (Codec::Opus | Codec::Aac | Codec::Vp8, _) | (_, []) => None,
        (Codec::Vp9, &[profile, level, depth, ..]) => {
            let (bits, subsampling) = (depth >> 4, (depth >> 1) & 7);
            Some(vec![
                1,
                1,
                profile,
                2,
                1,
                level,
                3,
                1,
                bits,
                4,
                1,
                subsampling,
            ])
        }
        (Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Vp9, _) => Some(configuration.clone()),
    }
}

fn codec_id(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "A_OPUS",
        Codec::Aac => "A_AAC",
        Codec::Vp8 => "V_VP8",
        Codec::Vp9 => "V_VP9",
        Codec::Av1 => "V_AV1",
        Codec::H264 => "V_MPEG4/ISO/AVC",
        Codec::H265 => "V_MPEGH/ISO/HEVC",
    }
}

/// `OpusHead` (RFC 7845, 5.1): version 1, two channels, pre-skip, 48 kHz, no gain, mapping family 0.
pub(super) fn opus_head() -> Vec<u8> {
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend_from_slice(&OPUS_PRE_SKIP.to_le_bytes());
    head.extend_from_slice(&48_000_u32.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]);
    head
}

/// A file of WebM or Matroska: where in its header to complete things later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matroska {
    pub(super) segment_size: usize,
    pub(super) segment_start: usize,
    pub(super) cues_seek: usize,
    pub(super) duration: usize,
    pub(super) tracks: usize,
}

impl Matroska {
    /// For these tracks, the first sample of which is of `started`; with everything before the first cluster.
    pub fn new(container: Container, tracks: &[Track], started: OffsetDateTime) -> (Self, Vec<u8>) {
        let mut out = Element::new();
        out.bytes(id::EBML, &ebml_header(container));
        out.id(id::SEGMENT);
        let segment_size = out.0.len();
        out.0.extend_from_slice(&UNKNOWN_SIZE);
        let segment_start = out.0.len();

        let info = info(started);
        // The SeekHead has a fixed length, so that it can name what comes behind it.
        let seek_head_length = 4 + 1 + 3 * SEEK_LENGTH;
        let mut seek_head = Element::new();
        seek_head.seek(id::INFO, seek_head_length);
        seek_head.seek(id::TRACKS, seek_head_length + 4 + 1 + info.len());
        seek_head.void(SEEK_LENGTH);
        out.bytes(id::SEEK_HEAD, &seek_head.0);
        let cues_seek = out.0.len() - SEEK_LENGTH;
        debug_assert_eq!(out.0.len() - segment_start, seek_head_length);

        out.bytes(id::INFO, &info);
        let duration = out.0.len() - DURATION_LENGTH;
        let tracks_at = out.0.len();
        out.0.extend_from_slice(&tracks_area(tracks));
        let this = Self {
            segment_size,
            segment_start,
            cues_seek,
            duration,
            tracks: tracks_at,
        };
        (this, out.0)
    }

    /// Declares the tracks anew, for one that came late.
    pub fn declare(&self, tracks: &[Track]) -> Patch {
        patch(self.tracks, tracks_area(tracks))
    }

    /// A Cluster element; the blocks are not before the first and at most 32 s behind it.
    pub fn cluster(&self, blocks: &[Block]) -> Vec<u8> {
        let start = blocks.first().map_or(Duration::ZERO, |block| block.at);
        cluster(start, blocks)
    }

    /// The cues for the end of the file; their place, its duration and its size.
    pub fn finish(&self, duration: Duration, length: u64, marks: &[Cue]) -> Written {
        let mut element = Element::new();
        element.float(id::DURATION, milliseconds(duration));
        let mut patches = vec![patch(self.duration, element.0)];
        let mut bytes = Vec::new();
        if !marks.is_empty() {
            bytes = self.cues(marks);
            let mut seek = Element::new();
            let position = usize::try_from(self.position(length)).unwrap_or(usize::MAX);
            seek.seek(id::CUES, position);
            patches.push(patch(self.cues_seek, seek.0));
        }
        let size = (1 << 56) | self.position(length + bytes.len() as u64);
        patches.push(patch(self.segment_size, size.to_be_bytes().to_vec()));
        Written { bytes, patches }
    }

    /// The Cues element.
    fn cues(&self, cues: &[Cue]) -> Vec<u8> {
        let mut points = Element::new();
        for cue in cues {
            let mut positions = Element::new();
            positions
                .uint(id::CUE_TRACK, track_number(cue.kind).into())
                .uint(id::CUE_CLUSTER_POSITION, self.position(cue.offset));
            let mut point = Element::new();
            point
                .uint(id::CUE_TIME, ticks(cue.at))
                .bytes(id::CUE_TRACK_POSITIONS, &positions.0);
            points.bytes(id::CUE_POINT, &point.0);
        }
        let mut out = Element::new();
        out.bytes(id::CUES, &points.0);
        out.0
    }

    /// An offset of the file as Matroska counts: from the segment's first byte.
    fn position(&self, offset: u64) -> u64 {
        offset.saturating_sub(self.segment_start as u64)
    }
}

fn patch(offset: usize, bytes: Vec<u8>) -> Patch {
    Patch {
        offset: offset as u64,
        bytes,
    }
}

fn ebml_header(container: Container) -> Vec<u8> {
    let doc_type: &[u8] = match container {
        Container::WebM => b"webm",
        Container::Matroska | Container::Mp4 | Container::Ogg => b"matroska",
    };
    let mut header = Element::new();
    header
        .uint(id::EBML_VERSION, 1)
        .uint(id::EBML_READ_VERSION, 1);
    header
        .uint(id::EBML_MAX_ID_LENGTH, 4)
        .uint(id::EBML_MAX_SIZE_LENGTH, 8);
    header
        .bytes(id::DOC_TYPE, doc_type)
        .uint(id::DOC_TYPE_VERSION, 4)
        .uint(id::DOC_TYPE_READ_VERSION, 2);
    header.0
}

fn info(started: OffsetDateTime) -> Vec<u8> {
    let since_2001 = (started - datetime!(2001-01-01 0:00 UTC)).whole_nanoseconds();
    let since_2001 = i64::try_from(since_2001).unwrap_or_default();
    let application = concat!("attache ", env!("CARGO_PKG_VERSION"));
    let mut info = Element::new();
    info.uint(id::TIMESTAMP_SCALE, 1_000_000);
    info.bytes(id::MUXING_APP, application.as_bytes())
        .bytes(id::WRITING_APP, application.as_bytes());
    info.bytes(id::DATE_UTC, &since_2001.to_be_bytes());
    info.void(DURATION_LENGTH);
    info.0
}

fn tracks_area(tracks: &[Track]) -> Vec<u8> {
    let mut entries = Element::new();
    for track in tracks {
        entries.bytes(id::TRACK_ENTRY, &entry(track));
    }
    let mut area = Element::new();
    area.bytes(id::TRACKS, &entries.0);
    area.void(TRACKS_SPACE.saturating_sub(area.0.len()));
    area.0
}

/// A Cluster element; the blocks are not before `start` and at most 32 s behind it.
fn cluster(start: Duration, blocks: &[Block]) -> Vec<u8> {
    let payload: usize = blocks.iter().map(|block| block.data.len() + 16).sum();
    let mut body = Element(Vec::with_capacity(payload + 16));
    body.uint(id::TIMESTAMP, ticks(start));
    for block in blocks {
        let relative =
            i16::try_from(ticks(block.at).saturating_sub(ticks(start))).unwrap_or(i16::MAX);
        body.id(id::SIMPLE_BLOCK).size(block.data.len() + 4);
        body.size(track_number(block.kind).into());
        body.0.extend_from_slice(&relative.to_be_bytes());
        body.0.push(if block.key { 0x80 } else { 0 });
        body.0.extend_from_slice(&block.data);
    }
    let mut out = Element(Vec::with_capacity(body.0.len() + 12));
    out.bytes(id::CLUSTER, &body.0);
    out.0
}

/// Milliseconds: the file's timestamp scale.
fn ticks(at: Duration) -> u64 {
    u64::try_from((at + Duration::from_micros(500)).as_millis()).unwrap_or(u64::MAX)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
