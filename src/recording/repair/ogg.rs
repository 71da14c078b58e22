//! Repairs what [`Ogg`] makes: pages of one stream of Opus, each with its checksum (RFC 3533, 6).

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;

use super::input::Input;
use super::{RepairError, Scan, Tally, io_error};
use crate::recording::manifest::{TrackCodec, TrackKind};
use crate::recording::muxer::Written;
use crate::recording::ogg::{LAST, NO_END, Ogg, checksum};

/// Bytes in front of the lacing values.
const FIXED: usize = 27;
/// Pages that hold no media: identification and comments (RFC 7845, 3).
const HEADERS: u32 = 2;

pub fn scan(path: &Path, file: &File) -> Result<Scan, RepairError> {
    let input = Input::new(file).map_err(|source| io_error(path, source))?;
    let mut tally = Tally::default();
    tally.declare(TrackCodec::Opus, None);
    let (mut end, mut sequence, mut position, mut last) = (0, 0, 0, None);
    while let Some(page) = Page::read(&input, end) {
        if page.sequence != sequence {
            break;
        }
        if sequence >= HEADERS {
            for _ in 0..page.packets {
                tally.frame(TrackKind::Audio, Duration::ZERO, None);
            }
            if page.granule != NO_END {
                position = page.granule;
            }
        }
        end = page.end;
        sequence += 1;
        last = Some(page);
    }
    let Some(last) = last.filter(|_| sequence >= HEADERS) else {
        let begins = input.read(0..4).is_none_or(|bytes| bytes == b"OggS");
        return Err(match begins {
            true => RepairError::NoMedia {
                path: path.to_owned(),
                bytes: input.length,
            },
            false => RepairError::Foreign {
                path: path.to_owned(),
                found: "it does not begin with a page of Ogg",
                expected: "an Ogg file with Opus",
            },
        });
    };
    let nanoseconds = u128::from(position) * 1_000_000_000 / 48_000;
    tally.duration = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
    let mut muxer = Ogg {
        serial: last.serial,
        sequence,
        position,
    };
    Ok(Scan {
        complete: last.flags & LAST != 0 && end == input.length,
        // The serial number is the second of the start.
        started: OffsetDateTime::from_unix_timestamp(last.serial.into()).ok(),
        length: input.length,
        end,
        skipped: 0,
        skips: Vec::new(),
        rest: Written {
            bytes: match last.flags & LAST {
                0 => muxer.finish(),
                _ => Vec::new(),
            },
            patches: Vec::new(),
        },
        tally,
    })
}

struct Page {
    flags: u8,
    granule: u64,
    serial: u32,
    sequence: u32,
    /// Packets that end in it.
    packets: usize,
    end: u64,
}

impl Page {
    /// The page at a place of the file, if it is whole.
    fn read(input: &Input<'_>, start: u64) -> Option<Self> {
        let content = start + FIXED as u64;
        let head = input.read(start..content)?;
        if !head.starts_with(b"OggS") {
            return None;
        }
        let lacing_end = content + u64::from(head[26]);
        let lacing = input.read(content..lacing_end)?;
        let body: u64 = lacing.iter().map(|length| u64::from(*length)).sum();
        let end = lacing_end + body;
        let mut bytes = input.read(start..end)?;
        let told = u32::from_le_bytes(bytes.get(22..26)?.try_into().ok()?);
        bytes[22..26].fill(0);
        if checksum(&bytes) != told {
            return None;
        }
        Some(Self {
            flags: head[5],
            granule: u64::from_le_bytes(head.get(6..14)?.try_into().ok()?),
            serial: u32::from_le_bytes(head.get(14..18)?.try_into().ok()?),
            sequence: u32::from_le_bytes(head.get(18..22)?.try_into().ok()?),
            packets: lacing.iter().filter(|length| **length < 255).count(),
            end,
        })
    }
}
