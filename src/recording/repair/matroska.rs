//! Repairs what [`MediaFile`](crate::recording::file::MediaFile) writes: Matroska with clusters of known size.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::input::Input;
use super::{RepairError, Scan, Tally, io_error};
use crate::media::MediaKind;
use crate::recording::ebml::{DURATION_LENGTH, Element, SEEK_LENGTH, id};
use crate::recording::file::cue_is_due;
use crate::recording::frame::opus_duration;
use crate::recording::manifest::TrackCodec;
use crate::recording::matroska::{Matroska, TRACKS_SPACE};
use crate::recording::report::Size;
use crate::recording::track::{Cue, Patch};

/// A larger cluster is not one of ours: it is a quarter of a second of media.
const LARGEST_CLUSTER: u64 = 64 * 1024 * 1024;
/// So much is read at once where the next whole cluster is looked for.
const CHUNK: usize = 64 * 1024;

pub fn scan(path: &Path, file: &File) -> Result<Scan, RepairError> {
    let matter = Matter(Input::new(file).map_err(|source| io_error(path, source))?);
    let length = matter.0.length;
    let mut tally = Tally::default();
    let layout = Layout::read(path, &matter, &mut tally)?;
    let mut clusters = Clusters {
        end: layout.end,
        tally,
        cues: Vec::new(),
        damage: Vec::new(),
    };
    let index_end = clusters.read(&matter);
    let whole = layout.size == Some(length - layout.segment_start);
    let filled = index_end.unwrap_or(clusters.end) == length;
    let duration = clusters.tally.duration;
    let rest = layout.muxer.finish(duration, clusters.end, &clusters.cues);
    Ok(Scan {
        complete: whole && filled && layout.has_duration && clusters.damage.is_empty(),
        tally: clusters.tally,
        started: layout.started,
        length,
        end: clusters.end,
        skipped: clusters
            .damage
            .iter()
            .map(|range| range.end - range.start)
            .sum(),
        skips: clusters.damage.into_iter().map(skip).collect(),
        rest,
    })
}

/// An element that players skip, instead of what is there.
fn skip(range: Range<u64>) -> Patch {
    let mut void = Element::new();
    void.void(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
    Patch {
        offset: range.start,
        bytes: void.0,
    }
}

/// What is behind the header.
struct Clusters {
    tally: Tally,
    cues: Vec<Cue>,
    /// End of the last whole cluster.
    end: u64,
    /// Places in front of it that belong to no cluster.
    damage: Vec<Range<u64>>,
}

impl Clusters {
    /// Reads cluster after cluster. Gives the end of the cues, if they stand whole behind the last one.
    fn read(&mut self, matter: &Matter) -> Option<u64> {
        loop {
            if let Some(cluster) = matter.cluster(self.end) {
                self.take(&cluster);
                continue;
            }
            let cues = matter.head(self.end).filter(|head| head.id == id::CUES);
            if let Some(end) = cues.and_then(|head| head.end())
                && end <= matter.0.length
            {
                return Some(end);
            }
            // What was not synced may be missing in the middle after a power failure.
            let next = matter.next_cluster(self.end + 1)?;
            self.damage.push(self.end..next);
            self.end = next;
        }
    }

    fn take(&mut self, cluster: &Cluster) {
        for (index, block) in cluster.blocks.iter().enumerate() {
            if index == 0 && cue_is_due(self.cues.last(), block.at, block.kind, block.key) {
                self.cues.push(Cue {
                    at: block.at,
                    kind: block.kind,
                    offset: self.end,
                });
            }
            let length = match block.kind {
                MediaKind::Audio => opus_duration(&cluster.body[block.data.clone()]),
                MediaKind::Video => None,
            };
            self.tally.frame(block.kind.into(), block.at, length);
        }
        self.end = cluster.end;
    }
}

/// Where things are in front of the first cluster.
struct Layout {
    muxer: Matroska,
    segment_start: u64,
    /// The segment's, if it is known.
    size: Option<u64>,
    has_duration: bool,
    started: Option<OffsetDateTime>,
    /// Where the first cluster is, or will be.
    end: u64,
}

impl Layout {
    fn read(path: &Path, matter: &Matter, tally: &mut Tally) -> Result<Self, RepairError> {
        let no_media = || RepairError::NoMedia {
            path: path.to_owned(),
            bytes: matter.0.length,
        };
        let foreign = |found| RepairError::Foreign {
            path: path.to_owned(),
            found,
            expected: "the layout of attache's Matroska",
        };
        let ebml = matter.head(0).ok_or_else(no_media)?;
        if ebml.id != id::EBML {
            return Err(foreign("it does not begin with an EBML header"));
        }
        let at = ebml.end().ok_or_else(no_media)?;
        let segment = matter.head(at).ok_or_else(no_media)?;
        if segment.id != id::SEGMENT || segment.content - at != 4 + 8 {
            return Err(foreign("it has no segment with room for its size"));
        }
        let (mut cues_seek, mut duration, mut tracks) = (None, None, None);
        let (mut has_duration, mut started) = (false, None);
        let mut next = segment.content;
        while let Some(head) = matter.head(next).filter(|head| HEADER.contains(&head.id)) {
            let end = head.end().filter(|end| *end <= matter.0.length);
            let end = end.ok_or_else(no_media)?;
            match head.id {
                id::SEEK_HEAD => cues_seek = end.checked_sub(SEEK_LENGTH as u64),
                id::INFO => {
                    duration = end.checked_sub(DURATION_LENGTH as u64);
                    let last = duration.and_then(|at| matter.head(at));
                    let body = matter.0.read(head.content..end).ok_or_else(no_media)?;
                    started = date(&body);
                    has_duration = last.is_some_and(|last| last.id == id::DURATION);
                }
                id::TRACKS => {
                    tracks = Some(next);
                    let body = matter.0.read(head.content..end).ok_or_else(no_media)?;
                    declare(&body, tally).ok_or_else(|| foreign("its tracks are not readable"))?;
                }
                _ => {}
            }
            next = end;
        }
        let (Some(cues_seek), Some(duration), Some(tracks)) = (cues_seek, duration, tracks) else {
            // The header is written at once: what is missing was never written.
            return Err(no_media());
        };
        if next < tracks + TRACKS_SPACE as u64 {
            // It was cut between two elements.
            return Err(no_media());
        }
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        Ok(Self {
            muxer: Matroska {
                segment_size: place(segment.content - 8),
                segment_start: place(segment.content),
                cues_seek: place(cues_seek),
                duration: place(duration),
                tracks: place(tracks),
            },
            segment_start: segment.content,
            size: segment.size,
            has_duration,
            started,
            end: next,
        })
    }
}

/// What stands in front of the first cluster.
const HEADER: [u32; 4] = [id::SEEK_HEAD, id::INFO, id::TRACKS, id::VOID];

/// Reads the entries of Tracks.
fn declare(tracks: &[u8], tally: &mut Tally) -> Option<()> {
    for (id, entry) in Elements(tracks) {
        if id != id::TRACK_ENTRY {
            continue;
        }
        let codec = match child(entry, id::CODEC_ID)? {
            b"A_OPUS" => TrackCodec::Opus,
            b"A_AAC" => TrackCodec::Aac,
            b"V_VP8" => TrackCodec::Vp8,
            b"V_VP9" => TrackCodec::Vp9,
            b"V_AV1" => TrackCodec::Av1,
            b"V_MPEG4/ISO/AVC" => TrackCodec::H264,
            b"V_MPEGH/ISO/HEVC" => TrackCodec::H265,
            _ => return None,
        };
        let size = child(entry, id::VIDEO).and_then(|video| {
            let pixels = |id| u32::try_from(number(child(video, id)?)).ok();
            Some(Size {
                width: pixels(id::PIXEL_WIDTH)?,
                height: pixels(id::PIXEL_HEIGHT)?,
            })
        });
        tally.declare(codec, size);
    }
    Some(())
}

/// DateUTC of Info: nanoseconds since 2001 (RFC 9559, 5.1.2.11).
fn date(info: &[u8]) -> Option<OffsetDateTime> {
    let bytes = child(info, id::DATE_UTC)?.try_into().ok()?;
    let since = time::Duration::nanoseconds(i64::from_be_bytes(bytes));
    datetime!(2001-01-01 0:00 UTC).checked_add(since)
}

fn child(element: &[u8], wanted: u32) -> Option<&[u8]> {
    let mut children = Elements(element);
    children.find_map(|(id, content)| (id == wanted).then_some(content))
}

fn number(content: &[u8]) -> u64 {
    content
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A whole cluster.
struct Cluster {
    body: Vec<u8>,
    blocks: Vec<Block>,
    end: u64,
}

struct Block {
    kind: MediaKind,
    at: Duration,
    key: bool,
    data: Range<usize>,
}

/// Blocks of a cluster's content; `None` if it is not whole.
fn blocks(body: &[u8]) -> Option<Vec<Block>> {
    let mut start = None;
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let head = Head::parse(&body[at..])?;
        let content = at + usize::try_from(head.content).ok()?;
        let end = content.checked_add(usize::try_from(head.size?).ok()?)?;
        let inside = body.get(content..end)?;
        match (head.id, start) {
            (id::TIMESTAMP, None) => start = Some(number(inside)),
            (id::SIMPLE_BLOCK, Some(start)) => {
                let &[track, high, low, flags] = inside.get(..4)? else {
                    return None;
                };
                let kind = match track {
                    0x81 => MediaKind::Video,
                    0x82 => MediaKind::Audio,
                    _ => return None,
                };
                let relative = i64::from(i16::from_be_bytes([high, low]));
                blocks.push(Block {
                    kind,
                    at: Duration::from_millis(start.checked_add_signed(relative)?),
                    key: flags & 0x80 != 0,
                    data: content + 4..end,
                });
            }
            _ => return None,
        }
        at = end;
    }
    (!blocks.is_empty()).then_some(blocks)
}

/// The first bytes of an element.
#[derive(Debug, Clone, Copy)]
struct Head {
    id: u32,
    /// Absent where it is unknown.
    size: Option<u64>,
    /// Where its content begins.
    content: u64,
}

impl Head {
    /// Of bytes that begin with an element (RFC 8794, 5 and 6).
    fn parse(bytes: &[u8]) -> Option<Self> {
        let id_length = bytes.first()?.leading_zeros() as usize + 1;
        if id_length > 4 {
            return None;
        }
        let id = u32::try_from(number(bytes.get(..id_length)?)).ok()?;
        let size_length = bytes.get(id_length)?.leading_zeros() as usize + 1;
        if size_length > 8 {
            return None;
        }
        let raw = number(bytes.get(id_length..id_length + size_length)?);
        let mask = (1_u64 << (7 * size_length)) - 1;
        let size = raw & mask;
        Some(Self {
            id,
            size: (size != mask).then_some(size),
            content: (id_length + size_length) as u64,
        })
    }

    fn end(self) -> Option<u64> {
        self.content.checked_add(self.size?)
    }
}

/// The elements in an element's content, as long as they are whole.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head = Head::parse(self.0)?;
        let (content, end) = (head.content, head.end()?);
        let inside = self
            .0
            .get(usize::try_from(content).ok()?..usize::try_from(end).ok()?)?;
        self.0 = &self.0[usize::try_from(end).ok()?..];
        Some((head.id, inside))
    }
}

/// Elements of a file.
struct Matter<'a>(Input<'a>);

impl Matter<'_> {
    /// The element at a place of the file, as far as its first bytes tell.
    fn head(&self, at: u64) -> Option<Head> {
        let bytes = self.0.read(at..(at + 12).min(self.0.length))?;
        let head = Head::parse(&bytes)?;
        Some(Head {
            content: at + head.content,
            ..head
        })
    }

    /// The cluster at a place of the file, if it is whole.
    fn cluster(&self, at: u64) -> Option<Cluster> {
        let head = self.head(at).filter(|head| head.id == id::CLUSTER)?;
        let end = head.end().filter(|end| *end <= self.0.length)?;
        if end - head.content > LARGEST_CLUSTER {
            return None;
        }
        let body = self.0.read(head.content..end)?;
        let blocks = blocks(&body)?;
        Some(Cluster { body, blocks, end })
    }

    /// The first whole cluster that begins at this place or later.
    fn next_cluster(&self, mut from: u64) -> Option<u64> {
        let mark = id::CLUSTER.to_be_bytes();
        while from + 4 <= self.0.length {
            let chunk = self
                .0
                .read(from..(from + CHUNK as u64).min(self.0.length))?;
            let found = (0..chunk.len().saturating_sub(3))
                .filter(|at| chunk[*at..*at + 4] == mark)
                .map(|at| from + at as u64)
                .find(|at| self.cluster(*at).is_some());
            if found.is_some() {
                return found;
            }
            from += chunk.len() as u64 - 3;
        }
        None
    }
}
