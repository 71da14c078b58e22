//! Repairs what [`MediaFile`](crate::recording::file::MediaFile) writes: Matroska with clusters of known size.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::{RepairError, Repaired, Tally};
use crate::media::MediaKind;
use crate::recording::ebml::{DURATION_LENGTH, Element, SEEK_LENGTH, id};
use crate::recording::file::cue_is_due;
use crate::recording::manifest::{TrackCodec, TrackKind};
use crate::recording::matroska::{self, Cue, Header};
use crate::recording::report::Size;

/// A larger cluster is not one of ours: it is a quarter of a second of media.
const LARGEST_CLUSTER: u64 = 64 * 1024 * 1024;
/// So much is read at once where the next whole cluster is looked for.
const CHUNK: usize = 64 * 1024;

pub fn examine(path: &Path) -> Result<Repaired, RepairError> {
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    Ok(Scan::of(path, &file)?.result())
}

pub fn repair(path: &Path) -> Result<Repaired, RepairError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|source| io_error(path, source))?;
    let scan = Scan::of(path, &file)?;
    scan.complete(&file)
        .map_err(|source| io_error(path, source))?;
    Ok(scan.result())
}

fn io_error(path: &Path, source: io::Error) -> RepairError {
    RepairError::Io {
        path: path.to_owned(),
        source,
    }
}

/// What is in a file.
struct Scan {
    layout: Layout,
    tally: Tally,
    cues: Vec<Cue>,
    /// End of the last whole cluster.
    end: u64,
    /// Places in front of it that belong to no cluster.
    damage: Vec<Range<u64>>,
    length: u64,
    /// Everything is there: duration, index, size.
    complete: bool,
}

impl Scan {
    fn of(path: &Path, file: &File) -> Result<Self, RepairError> {
        let input = Input::new(file).map_err(|source| io_error(path, source))?;
        let mut tally = Tally::default();
        let layout = Layout::read(path, &input, &mut tally)?;
        let mut scan = Self {
            end: layout.end,
            length: input.length,
            layout,
            tally,
            cues: Vec::new(),
            damage: Vec::new(),
            complete: false,
        };
        let index = scan.clusters(&input);
        let whole = scan.layout.size == Some(input.length - scan.layout.segment_start);
        let filled = index.unwrap_or(scan.end) == input.length;
        scan.complete = whole && filled && scan.layout.has_duration && scan.damage.is_empty();
        Ok(scan)
    }

    /// Reads cluster after cluster. Gives the end of the cues, if they stand whole behind the last one.
    fn clusters(&mut self, input: &Input) -> Option<u64> {
        loop {
            if let Some(cluster) = input.cluster(self.end) {
                self.take(&cluster);
                continue;
            }
            let cues = input.head(self.end).filter(|head| head.id == id::CUES);
            if let Some(end) = cues.and_then(|head| head.end())
                && end <= input.length
            {
                return Some(end);
            }
            // What was not synced may be missing in the middle after a power failure.
            let next = input.next_cluster(self.end + 1)?;
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
                    position: self.end.saturating_sub(self.layout.segment_start),
                });
            }
            let data = &cluster.body[block.data.clone()];
            self.tally
                .frame(TrackKind::from(block.kind), block.at, data);
        }
        self.end = cluster.end;
    }

    fn index(&self) -> Vec<u8> {
        if self.cues.is_empty() {
            return Vec::new();
        }
        matroska::cues(&self.cues)
    }

    fn result(self) -> Repaired {
        let index = self.index().len() as u64;
        let skipped: u64 = self
            .damage
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        Repaired {
            duration: self.tally.duration,
            bytes: if self.complete {
                self.length
            } else {
                self.end + index
            },
            torn: if self.complete {
                0
            } else {
                skipped + (self.length - self.end)
            },
            tracks: self.tally.tracks,
            changed: !self.complete,
        }
    }

    /// The order matters: interrupted at any place, the file plays, and the next repair does the rest.
    fn complete(&self, file: &File) -> io::Result<()> {
        if self.complete {
            return Ok(());
        }
        for range in &self.damage {
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let mut void = Element::new();
            void.void(length);
            file.write_all_at(&void.0, range.start)?;
        }
        file.set_len(self.end)?;
        let index = self.index();
        file.write_all_at(&index, self.end)?;
        let place = (!index.is_empty()).then_some(self.end);
        let length = self.end + index.len() as u64;
        let patches = self
            .layout
            .header
            .complete(self.tally.duration, place, length);
        for patch in patches {
            file.write_all_at(&patch.bytes, patch.offset)?;
        }
        file.sync_all()
    }
}

/// Where things are in front of the first cluster.
struct Layout {
    header: Header,
    segment_start: u64,
    /// The segment's, if it is known.
    size: Option<u64>,
    has_duration: bool,
    /// Where the first cluster is, or will be.
    end: u64,
}

impl Layout {
    fn read(path: &Path, input: &Input, tally: &mut Tally) -> Result<Self, RepairError> {
        let no_media = || RepairError::NoMedia {
            path: path.to_owned(),
            bytes: input.length,
        };
        let foreign = |found| RepairError::Foreign {
            path: path.to_owned(),
            found,
            expected: "the layout of attache's Matroska",
        };
        let ebml = input.head(0).ok_or_else(no_media)?;
        if ebml.id != id::EBML {
            return Err(foreign("it does not begin with an EBML header"));
        }
        let at = ebml.end().ok_or_else(no_media)?;
        let segment = input.head(at).ok_or_else(no_media)?;
        if segment.id != id::SEGMENT || segment.content - at != 4 + 8 {
            return Err(foreign("it has no segment with room for its size"));
        }
        let (mut cues_seek, mut duration, mut tracks) = (None, None, None);
        let mut has_duration = false;
        let mut next = segment.content;
        while let Some(head) = input.head(next).filter(|head| HEADER.contains(&head.id)) {
            let end = head.end().filter(|end| *end <= input.length);
            let end = end.ok_or_else(no_media)?;
            match head.id {
                id::SEEK_HEAD => cues_seek = end.checked_sub(SEEK_LENGTH as u64),
                id::INFO => {
                    duration = end.checked_sub(DURATION_LENGTH as u64);
                    let last = duration.and_then(|at| input.head(at));
                    has_duration = last.is_some_and(|last| last.id == id::DURATION);
                }
                id::TRACKS => {
                    tracks = Some(next);
                    let body = input.read(head.content..end).ok_or_else(no_media)?;
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
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        Ok(Self {
            header: Header {
                bytes: Vec::new(),
                segment_size: place(segment.content - 8),
                segment_start: place(segment.content),
                cues_seek: place(cues_seek),
                duration: place(duration),
                tracks: place(tracks),
            },
            segment_start: segment.content,
            size: segment.size,
            has_duration,
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

/// A file that is read here and there.
struct Input<'a> {
    file: &'a File,
    length: u64,
}

impl<'a> Input<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// `None` if the file does not have all of it.
    fn read(&self, range: Range<u64>) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(range.end.checked_sub(range.start)?).ok()?];
        self.file.read_exact_at(&mut bytes, range.start).ok()?;
        Some(bytes)
    }

    /// The element at a place of the file, as far as its first bytes tell.
    fn head(&self, at: u64) -> Option<Head> {
        let bytes = self.read(at..(at + 12).min(self.length))?;
        let head = Head::parse(&bytes)?;
        Some(Head {
            content: at + head.content,
            ..head
        })
    }

    /// The cluster at a place of the file, if it is whole.
    fn cluster(&self, at: u64) -> Option<Cluster> {
        let head = self.head(at).filter(|head| head.id == id::CLUSTER)?;
        let end = head.end().filter(|end| *end <= self.length)?;
        if end - head.content > LARGEST_CLUSTER {
            return None;
        }
        let body = self.read(head.content..end)?;
        let blocks = blocks(&body)?;
        Some(Cluster { body, blocks, end })
    }

    /// The first whole cluster that begins at this place or later.
    fn next_cluster(&self, mut from: u64) -> Option<u64> {
        let mark = id::CLUSTER.to_be_bytes();
        while from + 4 <= self.length {
            let chunk = self.read(from..(from + CHUNK as u64).min(self.length))?;
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
