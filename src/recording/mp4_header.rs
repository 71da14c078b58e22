//! What stands before the fragments of an MP4 file: file type, movie, tracks and how they are encoded. Pure.

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::aac;
use super::boxes::Boxes;
use super::frame::Picture;
use super::matroska::OPUS_PRE_SKIP;
use super::track::{Track, track_number};
use crate::media::{Codec, MediaKind};

/// Of the movie: milliseconds.
const MOVIE_TIMESCALE: u32 = 1000;
/// The transformation that leaves a picture as it is (ISO 14496-12, 8.2.2).
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
/// "und", three letters of five bits.
const LANGUAGE: u16 = 0x55c4;

/// Ticks per second of a track: as RTP counts, so that nothing is rounded.
pub(super) fn timescale(kind: MediaKind) -> u32 {
    match kind {
        MediaKind::Video => 90_000,
        MediaKind::Audio => 48_000,
    }
}

/// The file type box.
pub(super) fn file_type() -> Vec<u8> {
    type_box([b"iso6", b"iso5", b"mp41"])
}

/// That of a CMAF header: a structural brand (ISO 23000-19, 7.2).
pub(super) fn cmaf_type() -> Vec<u8> {
    type_box([b"iso6", b"cmfc", b"mp41"])
}

fn type_box(brands: [&[u8; 4]; 3]) -> Vec<u8> {
    let mut out = Boxes::default();
    out.boxed(b"ftyp", |ftyp| {
        ftyp.raw(brands[0]).u32(0);
        for brand in brands {
            ftyp.raw(brand);
        }
    });
    out.0
}

/// The movie box: for the same tracks always of the same length.
pub(super) fn movie(tracks: &[Track], started: OffsetDateTime, duration: Duration) -> Vec<u8> {
    let duration = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let created = (started - datetime!(1904-01-01 0:00 UTC)).whole_seconds();
    let created = u64::try_from(created).unwrap_or_default();
    let mut out = Boxes::default();
    out.boxed(b"moov", |moov| {
        moov.full(b"mvhd", 1, 0, |mvhd| {
            mvhd.u64(created)
                .u64(created)
                .u32(MOVIE_TIMESCALE)
                .u64(duration);
            // Rate and volume as usual.
            mvhd.u32(0x1_0000).u16(0x100).zeros(10);
            matrix(mvhd);
            // The next track's number.
            mvhd.zeros(24).u32(3);
        });
        for track in tracks {
            moov.boxed(b"trak", |trak| self::track(trak, track, created));
        }
        moov.boxed(b"mvex", |mvex| {
            mvex.full(b"mehd", 1, 0, |mehd| {
                mehd.u64(duration);
            });
            for track in tracks {
                mvex.full(b"trex", 0, 0, |trex| {
                    trex.u32(track_number(track.kind()).into()).u32(1).zeros(12);
                });
            }
        });
    });
    out.0
}

fn matrix(out: &mut Boxes) {
    for value in UNITY {
        out.u32(value);
    }
}

fn track(trak: &mut Boxes, track: &Track, created: u64) {
    let kind = track.kind();
    // Enabled, and part of the presentation.
    trak.full(b"tkhd", 1, 3, |tkhd| {
        tkhd.u64(created).u64(created);
        tkhd.u32(track_number(kind).into()).zeros(4).u64(0).zeros(8);
        // Layer, alternate group, volume.
        let volume = if kind == MediaKind::Audio { 0x100 } else { 0 };
        tkhd.u16(0).u16(0).u16(volume).zeros(2);
        matrix(tkhd);
        match track {
            Track::Video(picture) => tkhd
                .u32(picture.size.width << 16)
                .u32(picture.size.height << 16),
            Track::Opus | Track::Aac(_) => tkhd.zeros(8),
        };
    });
    trak.boxed(b"mdia", |mdia| {
        mdia.full(b"mdhd", 1, 0, |mdhd| {
            mdhd.u64(created).u64(created).u32(timescale(kind)).u64(0);
            mdhd.u16(LANGUAGE).u16(0);
        });
        let handler: &[u8; 4] = match kind {
            MediaKind::Video => b"vide",
            MediaKind::Audio => b"soun",
        };
        mdia.full(b"hdlr", 0, 0, |hdlr| {
            hdlr.u32(0).raw(handler).zeros(12).raw(b"attache\0");
        });
        mdia.boxed(b"minf", |minf| media_information(minf, track));
    });
}

fn media_information(minf: &mut Boxes, track: &Track) {
    match track.kind() {
        MediaKind::Video => minf.full(b"vmhd", 0, 1, |vmhd| {
            vmhd.zeros(8);
        }),
        MediaKind::Audio => minf.full(b"smhd", 0, 0, |smhd| {
            smhd.zeros(4);
        }),
    };
    minf.boxed(b"dinf", |dinf| {
        dinf.full(b"dref", 0, 0, |dref| {
            // The media is in this file.
            dref.u32(1).full(b"url ", 0, 1, |_| {});
        });
    });
    minf.boxed(b"stbl", |stbl| {
        stbl.full(b"stsd", 0, 0, |stsd| {
            stsd.u32(1);
            match track {
                Track::Opus => opus(stsd),
                Track::Aac(configuration) => aac(stsd, configuration),
                Track::Video(picture) => video(stsd, picture),
            }
        });
        // No samples here: they are in the fragments.
        for table in [b"stts", b"stsc", b"stco"] {
            stbl.full(table, 0, 0, |table| {
                table.u32(0);
            });
        }
        stbl.full(b"stsz", 0, 0, |stsz| {
            stsz.zeros(8);
        });
    });
}

/// "Encapsulation of Opus in ISO Base Media File Format", 4.3.
fn opus(stsd: &mut Boxes) {
    stsd.boxed(b"Opus", |entry| {
        entry.zeros(6).u16(1).zeros(8);
        entry.u16(2).u16(16).zeros(4).u32(48_000 << 16);
        entry.boxed(b"dOps", |dops| {
            // Version, two channels, pre-skip, rate of the input, no gain, mapping family 0.
            dops.u8(0).u8(2).u16(OPUS_PRE_SKIP).u32(48_000).u16(0).u8(0);
        });
    });
}

/// An MP4AudioSampleEntry (ISO 14496-14, 5.6).
fn aac(stsd: &mut Boxes, configuration: &aac::Configuration) {
    stsd.boxed(b"mp4a", |entry| {
        entry.zeros(6).u16(1).zeros(8);
        let channels = configuration.channels.into();
        entry.u16(channels).u16(16).zeros(4).u32(48_000 << 16);
        entry.full(b"esds", 0, 0, |esds| configuration.descriptor(esds));
    });
}

/// A VisualSampleEntry (ISO 14496-12, 12.1.3) with the codec's own configuration.
fn video(stsd: &mut Boxes, picture: &Picture) {
    // Parameter sets stand in the stream, too, and may change there (ISO 14496-15, 5.4.2.1).
    let (entry, configuration): (&[u8; 4], &[u8; 4]) = match picture.codec {
        Codec::H264 => (b"avc3", b"avcC"),
        Codec::H265 => (b"hev1", b"hvcC"),
        Codec::Vp9 => (b"vp09", b"vpcC"),
        Codec::Vp8 => (b"vp08", b"vpcC"),
        Codec::Av1 | Codec::Opus | Codec::Aac => (b"av01", b"av1C"),
    };
    let pixels = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    stsd.boxed(entry, |entry| {
        entry.zeros(6).u16(1).zeros(16);
        entry
            .u16(pixels(picture.size.width))
            .u16(pixels(picture.size.height));
        // 72 dots per inch, one frame in a sample, no name, 24 bits deep.
        entry
            .u32(0x48_0000)
            .u32(0x48_0000)
            .zeros(4)
            .u16(1)
            .zeros(32);
        entry.u16(0x18).u16(u16::MAX);
        entry.boxed(configuration, |record| {
            if configuration == b"vpcC" {
                // Version 1, no flags.
                record.u32(1 << 24);
            }
            record.raw(&picture.configuration);
        });
    });
}
