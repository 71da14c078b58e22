//! How a track is named in the CODECS attribute (RFC 6381), by what its header says. Pure.

use std::fmt::Write as _;

use crate::media::Codec;
use crate::recording::frame::Picture;
use crate::recording::track::Track;

/// AAC-LC: MPEG-4 audio (RFC 6381, 3.3), audio object type 2.
const AAC: &str = "mp4a.40.2";
/// "Encapsulation of Opus in ISO Base Media File Format", 4.3.1.
const OPUS: &str = "Opus";

/// The track's name; `None` where its configuration is too short to tell.
pub(super) fn name(track: &Track) -> Option<String> {
    match track {
        Track::Opus => Some(OPUS.to_owned()),
        Track::Aac(_) => Some(AAC.to_owned()),
        Track::Video(picture) => of_picture(picture),
    }
}

fn of_picture(picture: &Picture) -> Option<String> {
    let record = &picture.configuration;
    match picture.codec {
        // ISO 14496-15, annex E: profile, compatibility and level.
        Codec::H264 => {
            let &[_, profile, compatible, level] = record.first_chunk()?;
            Some(format!("avc3.{profile:02x}{compatible:02x}{level:02x}"))
        }
        Codec::H265 => h265(record),
        // "VP Codec ISO Media File Format Binding", 3.1.
        Codec::Vp9 => {
            let &[profile, level, depth] = record.first_chunk()?;
            Some(format!("vp09.{profile:02}.{level:02}.{:02}", depth >> 4))
        }
        // "AV1 Codec ISO Media File Format Binding", 5.
        Codec::Av1 => {
            let &[_, level, depth] = record.first_chunk()?;
            let tier = if depth & 0x80 == 0 { 'M' } else { 'H' };
            let bits = match (depth & 0x40, depth & 0x20) {
                (0, _) => 8,
                (_, 0) => 10,
                (_, _) => 12,
            };
            let (profile, level) = (level >> 5, level & 0x1f);
            Some(format!("av01.{profile}.{level:02}{tier}.{bits:02}"))
        }
        // HLS does not carry it; the others are no pictures.
        Codec::Vp8 | Codec::Opus | Codec::Aac => None,
    }
}

/// ISO 14496-15, annex E.3.
fn h265(record: &[u8]) -> Option<String> {
    let &[_, general, c0, c1, c2, c3, ref constraints @ .., level] = record.first_chunk::<13>()?;
    let space = match general >> 6 {
        0 => "",
        1 => "A",
        2 => "B",
        _ => "C",
    };
    let tier = if general & 0x20 == 0 { 'L' } else { 'H' };
    let compatible = u32::from_be_bytes([c0, c1, c2, c3]).reverse_bits();
    let mut name = format!(
        "hev1.{space}{}.{compatible:X}.{tier}{level}",
        general & 0x1f
    );
    let used = constraints.iter().rposition(|byte| *byte != 0);
    for byte in &constraints[..used.map_or(0, |last| last + 1)] {
        // Writing to a string does not fail.
        let _ = write!(name, ".{byte:X}");
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::report::Size;

    fn named(codec: Codec, configuration: &[u8]) -> Option<String> {
        name(&Track::Video(Picture {
            codec,
            size: Size {
                width: 64,
                height: 48,
            },
            configuration: configuration.to_vec(),
        }))
    }

    #[test]
    fn every_codec_is_named_as_its_binding_says() {
        let of = |codec, configuration: &[u8]| named(codec, configuration).unwrap();
        assert_eq!(of(Codec::H264, &[1, 0x42, 0xc0, 0x1f, 0xff]), "avc3.42c01f");
        // The example of ISO 14496-15: main profile, level 3.1, progressive.
        let main = [1, 1, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93];
        assert_eq!(of(Codec::H265, &main), "hev1.1.6.L93.B0");
        let vp9 = [0, 21, 0x82, 2, 2, 2, 0, 0];
        assert_eq!(of(Codec::Vp9, &vp9), "vp09.00.21.08");
        assert_eq!(of(Codec::Av1, &[0x81, 4, 0x0c, 0]), "av01.0.04M.08");
        assert_eq!(of(Codec::Av1, &[0x81, 0x2d, 0xc0, 0]), "av01.1.13H.10");
        assert_eq!(name(&Track::Opus).unwrap(), "Opus");
    }

    #[test]
    fn a_record_that_is_cut_off_has_no_name() {
        for codec in [Codec::H264, Codec::H265, Codec::Vp9, Codec::Av1] {
            assert_eq!(named(codec, &[1, 2]), None);
        }
        assert_eq!(named(Codec::Vp8, &[]), None);
    }
}
