//! Ogg (RFC 3533) with one stream of Opus (RFC 7845) in bytes. Pure.
//!
//! Time in Ogg is the number of samples so far: a gap must be filled, or all that follows comes too early. What did
//! not come (mute, loss, DTX) becomes packets of silence.

use std::time::Duration;

use time::OffsetDateTime;

use super::frame::{OPUS_SILENCE, opus_duration};
use super::matroska::opus_head;
use super::track::Block;
use crate::media::MediaKind;

/// Samples per second of a granule position, whatever the encoder was fed with (RFC 7845, 4).
const RATE: u128 = 48_000;
/// Silence: its length in samples, and the packet.
const LONG_SILENCE: (u64, [u8; 3]) = (960, OPUS_SILENCE);
const SHORT_SILENCE: (u64, [u8; 3]) = (120, [0xe0, 0xff, 0xfe]);
/// A gap shorter than this is the network's jitter.
const SHORTEST_GAP: u64 = 960;
/// A packet that comes so much too early (the sender's clock is faster than ours) is left out.
const EARLY: u64 = 1440;
/// Segments of 255 bytes that a page can hold.
const SEGMENTS: usize = 255;

/// Page flags (RFC 3533, 6).
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
pub(super) const LAST: u8 = 4;
/// The granule position of a page on which no packet ends.
pub(super) const NO_END: u64 = u64::MAX;

/// A file of Ogg with Opus.
#[derive(Debug)]
pub struct Ogg {
    pub(super) serial: u32,
    /// Pages made so far.
    pub(super) sequence: u32,
    /// Samples so far.
    pub(super) position: u64,
}

/// A page that is being filled.
struct Page {
    flags: u8,
    granule: u64,
    lacing: Vec<u8>,
    body: Vec<u8>,
}

impl Page {
    fn new(flags: u8) -> Self {
        Self {
            flags,
            granule: NO_END,
            lacing: Vec::new(),
            body: Vec::new(),
        }
    }
}

impl Ogg {
    /// The first sample is of `started`; with the two header pages.
    pub fn new(started: OffsetDateTime) -> (Self, Vec<u8>) {
        // Streams of one file must differ in their serial numbers, and there is one.
        let serial = u32::try_from(started.unix_timestamp() & 0x7fff_ffff).unwrap_or(1);
        let mut this = Self {
            serial,
            sequence: 0,
            position: 0,
        };
        let mut bytes = Vec::new();
        for (flags, packet) in [(FIRST, opus_head()), (0, opus_tags())] {
            let mut page = Page::new(flags);
            this.put(&mut bytes, &mut page, &packet, 0);
            this.close(&mut bytes, &page);
        }
        (this, bytes)
    }

    /// Pages that end with the last block.
    pub fn pages(&mut self, blocks: &[Block]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut page = Page::new(0);
        let sound = blocks.iter().filter(|block| block.kind == MediaKind::Audio);
        for block in sound {
            let Some(length) = opus_duration(&block.data) else {
                continue;
            };
            let at = samples(block.at);
            if self.position > at + EARLY {
                continue;
            }
            if at >= self.position + SHORTEST_GAP {
                self.fill(&mut bytes, &mut page, at);
            }
            self.put(&mut bytes, &mut page, &block.data, samples(length));
        }
        if !page.lacing.is_empty() {
            self.close(&mut bytes, &page);
        }
        bytes
    }

    /// The end of the stream: a page without a packet (RFC 3533, 6).
    pub fn finish(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut page = Page::new(LAST);
        page.granule = self.position;
        self.close(&mut bytes, &page);
        bytes
    }

    fn fill(&mut self, bytes: &mut Vec<u8>, page: &mut Page, until: u64) {
        for (length, packet) in [LONG_SILENCE, SHORT_SILENCE] {
            while self.position + length <= until {
                self.put(bytes, page, &packet, length);
            }
        }
    }

    /// Puts a packet into the open page; full pages are closed.
    fn put(&mut self, bytes: &mut Vec<u8>, page: &mut Page, packet: &[u8], length: u64) {
        // A packet ends with a segment of less than 255 bytes, be it an empty one.
        let segments = packet.len() / 255 + 1;
        if page.lacing.len() + segments > SEGMENTS && !page.lacing.is_empty() {
            self.close(bytes, page);
            *page = Page::new(0);
        }
        for index in 0..segments {
            if page.lacing.len() == SEGMENTS {
                self.close(bytes, page);
                *page = Page::new(CONTINUED);
            }
            let rest = packet.get(index * 255..).unwrap_or_default();
            let segment = &rest[..rest.len().min(255)];
            page.lacing
                .push(u8::try_from(segment.len()).unwrap_or(u8::MAX));
            page.body.extend_from_slice(segment);
        }
        self.position += length;
        page.granule = self.position;
    }

    fn close(&mut self, bytes: &mut Vec<u8>, page: &Page) {
        let start = bytes.len();
        bytes.extend_from_slice(b"OggS\0");
        bytes.push(page.flags);
        bytes.extend_from_slice(&page.granule.to_le_bytes());
        bytes.extend_from_slice(&self.serial.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        let checksum_at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes.push(u8::try_from(page.lacing.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&page.lacing);
        bytes.extend_from_slice(&page.body);
        let checksum = checksum(&bytes[start..]);
        bytes[checksum_at..checksum_at + 4].copy_from_slice(&checksum.to_le_bytes());
        self.sequence += 1;
    }
}

/// `OpusTags` (RFC 7845, 5.2): who wrote it, no comments.
fn opus_tags() -> Vec<u8> {
    let vendor = concat!("attache ", env!("CARGO_PKG_VERSION")).as_bytes();
    let mut tags = b"OpusTags".to_vec();
    tags.extend_from_slice(
        &u32::try_from(vendor.len())
            .unwrap_or_default()
            .to_le_bytes(),
    );
    tags.extend_from_slice(vendor);
    tags.extend_from_slice(&[0; 4]);
    tags
}

fn samples(time: Duration) -> u64 {
    u64::try_from((time.as_nanos() * RATE + 500_000_000) / 1_000_000_000).unwrap_or(u64::MAX)
}

/// CRC-32 of polynomial 0x04c11db7, most significant bit first, from zero (RFC 3533, 6).
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| (crc << 8) ^ TABLE[usize::from((crc >> 24) as u8 ^ byte)];
    bytes.iter().fold(0, step)
}

static TABLE: [u32; 256] = {
    let mut table = [0_u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(at: u64, bytes: usize) -> Block {
        let mut data = vec![7; bytes];
        data[0] = 0xf8;
        Block {
            kind: MediaKind::Audio,
            at: Duration::from_millis(at),
            key: true,
            data,
        }
    }

    fn ogg() -> Ogg {
        Ogg::new(OffsetDateTime::UNIX_EPOCH).0
    }

    #[test]
    fn the_checksum_is_that_of_ogg() {
        assert_eq!(checksum(b"123456789"), 0x89a1_897f);
    }

    #[test]
    fn a_gap_is_filled_with_silence_and_jitter_is_not() {
        let mut ogg = ogg();
        ogg.pages(&[packet(0, 9), packet(23, 9), packet(38, 9)]);
        assert_eq!(ogg.position, 3 * 960);
        // 60 ms were expected next: 940 ms are missing, and a half of 2.5 ms at the end.
        ogg.pages(&[packet(1001, 9)]);
        assert_eq!(ogg.position, 1000 * 48 + 960);
    }

    #[test]
    fn a_sender_whose_clock_is_fast_loses_a_packet_now_and_then() {
        let mut ogg = ogg();
        let blocks: Vec<_> = (0..1000).map(|n| packet(n * 199 / 10, 9)).collect();
        ogg.pages(&blocks);
        let late = ogg.position.abs_diff(48 * 19_900);
        assert!(late < 2 * 1440, "{late} samples");
    }

    #[test]
    fn a_packet_larger_than_a_page_goes_on_in_the_next_one() {
        let mut ogg = ogg();
        let bytes = ogg.pages(&[packet(0, 70_000)]);
        let second = 27 + SEGMENTS + SEGMENTS * 255;
        assert_eq!(&bytes[..5], b"OggS\0");
        assert_eq!(&bytes[second..second + 6], b"OggS\0\x01");
        assert_eq!(bytes[6..14], [0xff; 8], "no packet ends on the first page");
    }
}
