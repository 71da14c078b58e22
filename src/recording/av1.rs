//! AV1 temporal units: as MP4 and Matroska store them, and `av1C` (AV1 specification 5.3 to 5.5; "AV1 Codec ISO Media
//! File Format Binding" 2.3 and 2.4).

use super::bits::Bits;
use super::report::Size;

/// Kinds of OBUs.
const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;
const PADDING: u8 = 15;
/// Larger sequence headers do not come from honest encoders.
const MAX_SEQUENCE_HEADER: usize = 256;

/// A temporal unit as containers store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemporalUnit {
    /// OBUs, each with its size, without temporal delimiters.
    pub data: Vec<u8>,
    /// Where decoding can begin here: what the sequence header says.
    pub key: Option<Sequence>,
}

/// What a sequence header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sequence {
    /// The largest picture.
    pub size: Size,
    /// AV1CodecConfigurationRecord.
    pub configuration: Vec<u8>,
}

impl TemporalUnit {
    /// From a low-overhead byte stream; `None` if it cannot be one, or is empty.
    pub(super) fn from_obus(stream: &[u8]) -> Option<Self> {
        let mut data = Vec::with_capacity(stream.len() + 8);
        let (mut sequence, mut is_key) = (None, None);
        let mut rest = stream;
        while !rest.is_empty() {
            let (obu, next) = Obu::read(rest)?;
            rest = next;
            match obu.kind {
                TEMPORAL_DELIMITER | PADDING => continue,
                SEQUENCE_HEADER if sequence.is_none() => sequence = read_sequence(&obu),
                // The first frame decides: shows none of before, is a key frame, is shown.
                FRAME_HEADER | FRAME if is_key.is_none() => {
                    is_key = Some(obu.payload.first()? & 0xf0 == 0x10);
                }
                _ => {}
            }
            obu.write(&mut data);
        }
        let key = sequence.filter(|_| is_key == Some(true));
        (!data.is_empty()).then_some(Self { data, key })
    }
}

/// An open bitstream unit.
struct Obu<'a> {
    kind: u8,
    /// Temporal and spatial layer, where it says them.
    extension: Option<u8>,
    payload: &'a [u8],
}

impl<'a> Obu<'a> {
    /// The first one, and what follows.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&header, mut rest) = bytes.split_first()?;
        if header & 0x80 != 0 {
            return None;
        }
        let mut extension = None;
        if header & 4 != 0 {
            let (&byte, after) = rest.split_first()?;
            (extension, rest) = (Some(byte), after);
        }
        let size = if header & 2 != 0 {
            let (size, after) = leb128(rest)?;
            rest = after;
            size
        } else {
            rest.len()
        };
        let (payload, next) = rest.split_at_checked(size)?;
        let obu = Self {
            kind: header >> 3 & 15,
            extension,
            payload,
        };
        Some((obu, next))
    }

    fn write(&self, out: &mut Vec<u8>) {
        let extended = if self.extension.is_some() { 4 } else { 0 };
        out.push(self.kind << 3 | extended | 2);
        out.extend(self.extension);
        let mut size = self.payload.len();
        while size >= 0x80 {
            out.push(u8::try_from(size & 0x7f).unwrap_or(0) | 0x80);
            size >>= 7;
        }
        out.push(u8::try_from(size).unwrap_or(0));
        out.extend_from_slice(self.payload);
    }
}

/// AV1 4.10.5: seven bits a byte, the least significant first.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

fn read_sequence(obu: &Obu<'_>) -> Option<Sequence> {
    if obu.payload.len() > MAX_SEQUENCE_HEADER {
        return None;
    }
    let mut bits = Bits::new(obu.payload);
    let profile = bits.read(3)?;
    let still = bits.flag()?;
    let reduced = bits.flag()?;
    let (level, tier) = if reduced {
        (bits.read(5)?, 0)
    } else {
        operating_points(&mut bits)?
    };
    let (width_bits, height_bits) = (bits.read(4)? + 1, bits.read(4)? + 1);
    let size = Size {
        width: bits.read(width_bits)? + 1,
        height: bits.read(height_bits)? + 1,
    };
    tools(&mut bits, reduced && still)?;
    let colours = colours(&mut bits, profile)?;
    // Marker and version; profile and level; tier and colours; no presentation delay.
    let mut configuration = vec![0x81];
    configuration.push(u8::try_from(profile << 5 | level).ok()?);
    configuration.push(u8::try_from(tier << 7).ok()? | colours);
    configuration.push(0);
    obu.write(&mut configuration);
    Some(Sequence {
        size,
        configuration,
    })
}

/// Timing and operating points; level and tier of the first one (AV1 5.5.1).
fn operating_points(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(64)?;
        if bits.flag()? {
            bits.exp_golomb()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.read(5)? + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let tells_display_delay = bits.flag()?;
    let mut first = None;
    for _ in 0..=bits.read(5)? {
        bits.skip(12)?;
        let level = bits.read(5)?;
        let tier = if level > 7 { bits.read(1)? } else { 0 };
        first.get_or_insert((level, tier));
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if tells_display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    first
}

/// What encoders may use; nothing of it goes into a file's header.
fn tools(bits: &mut Bits<'_>, reduced: bool) -> Option<()> {
    if reduced {
        return bits.skip(3 + 3);
    }
    if bits.flag()? {
        bits.skip(4 + 3)?;
    }
    // Superblocks, intra filters; then inter tools.
    bits.skip(3 + 4)?;
    let order_hint = bits.flag()?;
    if order_hint {
        bits.skip(2)?;
    }
    let screen_content = if bits.flag()? { 2 } else { bits.read(1)? };
    if screen_content > 0 && !bits.flag()? {
        bits.skip(1)?;
    }
    if order_hint {
        bits.skip(3)?;
    }
    // Super-resolution, cdef, restoration.
    bits.skip(3)
}

/// `color_config` (AV1 5.5.2) as the third byte of `av1C` has it.
fn colours(bits: &mut Bits<'_>, profile: u32) -> Option<u8> {
    let high = bits.flag()?;
    let twelve = profile == 2 && high && bits.flag()?;
    let monochrome = profile != 1 && bits.flag()?;
    let described = if bits.flag()? {
        Some(bits.read(24)?)
    } else {
        None
    };
    // BT.709 primaries, sRGB transfer, identity matrix.
    let rgb = described == Some(0x01_0d_00);
    let (horizontal, vertical) = if monochrome {
        bits.skip(1)?;
        (true, true)
    } else if rgb {
        (false, false)
    } else {
        bits.skip(1)?;
        match profile {
            0 => (true, true),
            1 => (false, false),
            _ if twelve => {
                let horizontal = bits.flag()?;
                (horizontal, horizontal && bits.flag()?)
            }
            _ => (true, false),
        }
    };
    let position = match (monochrome, horizontal, vertical) {
        (false, true, true) => bits.read(2)?,
        _ => 0,
    };
    let flags = [high, twelve, monochrome, horizontal, vertical];
    let flags = flags
        .iter()
        .fold(0_u8, |flags, &flag| flags << 1 | u8::from(flag));
    Some(flags << 2 | u8::try_from(position).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(0_u8.., 0..60)) {
            TemporalUnit::from_obus(&bytes);
        }
    }

    #[test]
    fn delimiters_are_left_out_and_sizes_put_in() {
        // A delimiter; a frame that is shown and not a key frame, without its size.
        let unit = TemporalUnit::from_obus(&[0x12, 0, 0x30, 0x30, 1, 2]).unwrap();
        assert_eq!(unit.data, [0x32, 3, 0x30, 1, 2]);
        assert_eq!(unit.key, None);
        assert_eq!(TemporalUnit::from_obus(&[0x12, 0]), None, "nothing in it");
        assert_eq!(TemporalUnit::from_obus(&[0x32, 9, 1]), None, "cut off");
    }
}
