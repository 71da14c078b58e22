//! VP9 frames: the uncompressed header, as far as a file needs it (VP9 bitstream specification, 6.2), and `vpcC`.

use super::bits::Bits;
use super::report::Size;

/// RGB, of `color_space`.
const RGB: u32 = 7;
/// "Unspecified", as primaries, transfer and matrix.
const UNSPECIFIED: u8 = 2;
/// Level by the most pixels of a picture (VP9 levels, annex A); the rate is not known here.
const LEVELS: [(u32, u8); 9] = [
    (36_864, 10),
    (73_728, 11),
    (122_880, 20),
    (245_760, 21),
    (552_960, 30),
    (983_040, 31),
    (2_228_224, 40),
    (8_912_896, 50),
    (35_651_584, 60),
];

/// What a frame says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Header {
    /// Decoding can begin here.
    Key {
        /// Of the picture.
        size: Size,
        /// VPCodecConfigurationRecord without version and flags ("VP Codec ISO Media File Format Binding", 2.2).
        configuration: Vec<u8>,
    },
    /// It needs others.
    Delta,
}

/// Looks into a frame; `None` if it is not VP9.
pub(super) fn header(frame: &[u8]) -> Option<Header> {
    let mut bits = Bits::new(frame);
    if bits.read(2)? != 2 {
        return None;
    }
    let profile = bits.read(1)? | bits.read(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let shows_existing = bits.flag()?;
    if shows_existing || bits.flag()? {
        return Some(Header::Delta);
    }
    // Shown, and error resilient.
    bits.skip(2)?;
    if bits.read(24)? != 0x49_8342 {
        return None;
    }
    let depth = match profile {
        0 | 1 => 8,
        _ if bits.flag()? => 12,
        _ => 10,
    };
    let (subsampling, full_range) = colours(&mut bits, profile)?;
    let (width, height) = (bits.read(16)? + 1, bits.read(16)? + 1);
    let size = Size { width, height };
    let pixels = width * height;
    let level = LEVELS.iter().find(|(most, _)| pixels <= *most);
    let configuration = vec![
        u8::try_from(profile).ok()?,
        level.map_or(62, |(_, level)| *level),
        depth << 4 | subsampling << 1 | u8::from(full_range),
        UNSPECIFIED,
        UNSPECIFIED,
        UNSPECIFIED,
        0,
        0,
    ];
    Some(Header::Key {
        size,
        configuration,
    })
}

/// Chroma subsampling as `vpcC` numbers it, and whether all values are used.
fn colours(bits: &mut Bits<'_>, profile: u32) -> Option<(u8, bool)> {
    let odd = profile == 1 || profile == 3;
    if bits.read(3)? == RGB {
        if odd {
            bits.skip(1)?;
        }
        return Some((3, true));
    }
    let full_range = bits.flag()?;
    if !odd {
        return Some((1, full_range));
    }
    let (horizontal, vertical) = (bits.flag()?, bits.flag()?);
    bits.skip(1)?;
    // 4:2:0 with samples between lines, 4:2:2, or 4:4:4.
    let subsampling = match (horizontal, vertical) {
        (true, true) => 1,
        (true, false) => 2,
        (false, _) => 3,
    };
    Some((subsampling, full_range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_tells_profile_size_and_level() {
        // Marker 2, profile 0, key frame, shown; sync code; BT.601, studio range; 640 x 360.
        let frame = [0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70];
        let size = Size {
            width: 640,
            height: 360,
        };
        let configuration = vec![0, 21, 0x82, 2, 2, 2, 0, 0];
        assert_eq!(
            header(&frame),
            Some(Header::Key {
                size,
                configuration
            })
        );
        assert_eq!(header(&[0x86]), Some(Header::Delta));
        assert_eq!(header(&[0x88]), Some(Header::Delta), "shows another one");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(0_u8.., 0..30)) {
            header(&bytes);
        }
    }
}
