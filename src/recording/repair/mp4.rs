//! Repairs what [`Mp4`](crate::recording::mp4::Mp4) makes: a movie header, fragments of `moof` and `mdat`, an index.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::input::Input;
use super::{RepairError, Scan, Tally, io_error};
use crate::media::MediaKind;
use crate::recording::file::cue_is_due;
use crate::recording::manifest::TrackCodec;
use crate::recording::mp4::random_access;
use crate::recording::mp4_header::timescale;
use crate::recording::muxer::Written;
use crate::recording::report::Size;
use crate::recording::track::{Cue, Patch};
use time::OffsetDateTime;
use time::macros::datetime;

/// A box larger than this, but for media, is not one of ours.
const LARGEST_BOX: u64 = 16 * 1024 * 1024;
/// The flag of a sample that depends on others (ISO 14496-12, 8.8.3.1).
const NO_SYNC: u32 = 0x0001_0000;
/// Where a sample entry of a picture has its size.
const PICTURE_SIZE: usize = 24;

pub fn scan(path: &Path, file: &File) -> Result<Scan, RepairError> {
    let input = Input::new(file).map_err(|source| io_error(path, source))?;
    let no_media = || RepairError::NoMedia {
        path: path.to_owned(),
        bytes: input.length,
    };
    let foreign = |found| RepairError::Foreign {
        path: path.to_owned(),
        found,
        expected: "the layout of attache's MP4",
    };
    let ftyp = head(&input, 0).ok_or_else(no_media)?;
    if &ftyp.kind != b"ftyp" {
        return Err(foreign("it does not begin with a file type box"));
    }
    let moov = head(&input, ftyp.end).ok_or_else(no_media)?;
    if &moov.kind != b"moov" || moov.end - moov.start > LARGEST_BOX {
        return Err(foreign("no movie box follows the file type"));
    }
    let body = input.read(moov.start + 8..moov.end).ok_or_else(no_media)?;
    let mut tally = Tally::default();
    let movie = Movie::read(&body, moov.start + 8, &mut tally)
        .ok_or_else(|| foreign("its movie box is not readable"))?;
    let mut end = moov.end;
    let mut cues: Vec<Cue> = Vec::new();
    while let Some((next, samples)) = fragment(&input, end) {
        for (index, sample) in samples.iter().enumerate() {
            let due = cue_is_due(cues.last(), sample.at, sample.kind, sample.key);
            if index == 0 && due {
                cues.push(Cue {
                    at: sample.at,
                    kind: sample.kind,
                    offset: end,
                });
            }
            tally.frame(sample.kind.into(), sample.at, Some(sample.length));
        }
        end = next;
    }
    let index = head(&input, end).filter(|index| &index.kind == b"mfra");
    let filled = index.map_or(end, |index| index.end) == input.length;
    let bytes = match cues.is_empty() {
        true => Vec::new(),
        false => random_access(&cues),
    };
    let milliseconds = u64::try_from(tally.duration.as_millis()).unwrap_or(u64::MAX);
    let patches = movie.durations.iter().map(|offset| Patch {
        offset: *offset,
        bytes: milliseconds.to_be_bytes().to_vec(),
    });
    Ok(Scan {
        complete: filled && (movie.has_duration || tally.duration.is_zero()),
        started: movie.started,
        length: input.length,
        end,
        skipped: 0,
        skips: Vec::new(),
        rest: Written {
            bytes,
            patches: patches.collect(),
        },
        tally,
    })
}

/// A box in the file.
struct Head {
    kind: [u8; 4],
    start: u64,
    end: u64,
}

/// The whole box at a place of the file.
fn head(input: &Input<'_>, start: u64) -> Option<Head> {
    let bytes = input.read(start..start + 8)?;
    let size = u32_at(&bytes, 0)?;
    let end = start + u64::from(size);
    (size >= 8 && end <= input.length).then_some(Head {
        kind: bytes.get(4..8)?.try_into().ok()?,
        start,
        end,
    })
}

/// The boxes in a box's content, each with its place in it.
struct Boxes<'a> {
    content: &'a [u8],
    at: usize,
}

impl<'a> Boxes<'a> {
    fn of(content: &'a [u8]) -> Self {
        Self { content, at: 0 }
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = (&'a [u8], &'a [u8], usize);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.content.get(self.at..)?;
        let size = usize::try_from(u32_at(rest, 0)?)
            .ok()
            .filter(|size| *size >= 8)?;
        let (kind, inside, at) = (rest.get(4..8)?, rest.get(8..size)?, self.at + 8);
        self.at += size;
        Some((kind, inside, at))
    }
}

/// The content of the first such box, and its place.
fn child<'a>(content: &'a [u8], wanted: &[u8; 4]) -> Option<(&'a [u8], usize)> {
    let mut boxes = Boxes::of(content);
    boxes.find_map(|(kind, inside, at)| (kind == wanted).then_some((inside, at)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// What the movie box tells.
struct Movie {
    started: Option<OffsetDateTime>,
    has_duration: bool,
    /// Places of the duration in the file.
    durations: [u64; 2],
}

impl Movie {
    /// `start`: where the content begins in the file.
    fn read(content: &[u8], start: u64, tally: &mut Tally) -> Option<Self> {
        let (mvhd, mvhd_at) = child(content, b"mvhd")?;
        let (mvex, mvex_at) = child(content, b"mvex")?;
        let (_, mehd_at) = child(mvex, b"mehd")?;
        let tracks = Boxes::of(content).filter(|(kind, ..)| kind == b"trak");
        for (_, track, _) in tracks {
            let (codec, size) = sample_entry(track)?;
            tally.declare(codec, size);
        }
        let created = i64::try_from(u64_at(mvhd, 4)?).ok()?;
        // Behind version and flags, two times and the timescale.
        let duration = u64_at(mvhd, 24)?;
        Some(Self {
            started: datetime!(1904-01-01 0:00 UTC).checked_add(time::Duration::seconds(created)),
            has_duration: duration > 0,
            durations: [
                start + mvhd_at as u64 + 24,
                start + (mvex_at + mehd_at) as u64 + 4,
            ],
        })
    }
}

/// How a track is encoded.
fn sample_entry(track: &[u8]) -> Option<(TrackCodec, Option<Size>)> {
    let path = [b"mdia", b"minf", b"stbl", b"stsd"];
    let descriptions = path
        .iter()
        .try_fold(track, |content, kind| Some(child(content, kind)?.0))?;
    // Behind version, flags and the number of entries.
    let (kind, entry, _) = Boxes::of(descriptions.get(8..)?).next()?;
    let codec = match kind {
        b"Opus" => return Some((TrackCodec::Opus, None)),
        b"mp4a" => return Some((TrackCodec::Aac, None)),
        b"avc1" | b"avc3" => TrackCodec::H264,
        b"hvc1" | b"hev1" => TrackCodec::H265,
        b"vp08" => TrackCodec::Vp8,
        b"vp09" => TrackCodec::Vp9,
        b"av01" => TrackCodec::Av1,
        _ => return None,
    };
    let both = u32_at(entry, PICTURE_SIZE)?;
    let size = Size {
        width: both >> 16,
        height: both & 0xffff,
    };
    Some((codec, Some(size)))
}

struct Sample {
    kind: MediaKind,
    at: Duration,
    length: Duration,
    key: bool,
}

/// The whole fragment at a place of the file: where it ends, and what is in it.
fn fragment(input: &Input<'_>, at: u64) -> Option<(u64, Vec<Sample>)> {
    let moof = head(input, at).filter(|head| &head.kind == b"moof")?;
    let mdat = head(input, moof.end).filter(|head| &head.kind == b"mdat")?;
    if moof.end - moof.start > LARGEST_BOX {
        return None;
    }
    let body = input.read(moof.start + 8..moof.end)?;
    let mut samples = Vec::new();
    for (_, traf, _) in Boxes::of(&body).filter(|(kind, ..)| kind == b"traf") {
        track_fragment(traf, &mut samples)?;
    }
    Some((mdat.end, samples))
}

fn track_fragment(traf: &[u8], samples: &mut Vec<Sample>) -> Option<()> {
    let kind = match u32_at(child(traf, b"tfhd")?.0, 4)? {
        1 => MediaKind::Video,
        2 => MediaKind::Audio,
        _ => return None,
    };
    let mut at = u64_at(child(traf, b"tfdt")?.0, 4)?;
    let (trun, _) = child(traf, b"trun")?;
    for index in 0..usize::try_from(u32_at(trun, 4)?).ok()? {
        // Behind version, flags, count and data offset: duration, size and flags of each.
        let place = 12 + index * 12;
        let duration = u64::from(u32_at(trun, place)?);
        samples.push(Sample {
            kind,
            at: time_of(at, kind),
            length: time_of(duration, kind),
            key: u32_at(trun, place + 8)? & NO_SYNC == 0,
        });
        at += duration;
    }
    Some(())
}

fn time_of(ticks: u64, kind: MediaKind) -> Duration {
    let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(timescale(kind));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
