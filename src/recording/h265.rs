//! H.265 access units: from start codes to lengths, and the decoder configuration of a track.

use super::bits::Bits;
use super::h264::nal_units;

/// Kinds of NAL units (ITU-T H.265, table 7-1).
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
/// Larger parameter sets do not come from honest encoders.
const MAX_PARAMETER_SET: usize = 512;

/// An access unit as containers store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccessUnit {
    /// NAL units, each behind its length in four bytes (ISO 14496-15).
    pub data: Vec<u8>,
    /// Where it is an intra random access point and brings its parameter sets: HEVCDecoderConfigurationRecord.
    pub configuration: Option<Vec<u8>>,
}

impl AccessUnit {
    /// From a byte stream (ITU-T H.265 annex B); `None` if there is no NAL unit in it.
    pub(super) fn from_byte_stream(stream: &[u8]) -> Option<Self> {
        let mut data = Vec::with_capacity(stream.len() + 16);
        let mut sets: [Option<&[u8]>; 3] = [None; 3];
        let mut random_access = false;
        for nal in nal_units(stream) {
            data.extend_from_slice(&u32::try_from(nal.len()).ok()?.to_be_bytes());
            data.extend_from_slice(nal);
            match nal.first().map(|header| header >> 1 & 0x3f) {
                Some(16..=21) => random_access = true,
                Some(kind @ VPS..=PPS) => {
                    sets[usize::from(kind - VPS)].get_or_insert(nal);
                }
                _ => {}
            }
        }
        let configuration = match sets {
            [Some(vps), Some(sps), Some(pps)] if random_access => configuration(vps, sps, pps),
            _ => None,
        };
        (!data.is_empty()).then_some(Self {
            data,
            configuration,
        })
    }
}

/// HEVCDecoderConfigurationRecord (ISO 14496-15, 8.3.3.1) with one parameter set of each kind.
fn configuration(vps: &[u8], sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    let sets = [(VPS, vps), (SPS, sps), (PPS, pps)];
    if sets.iter().any(|(_, set)| set.len() > MAX_PARAMETER_SET) {
        return None;
    }
    let payload = unescaped(sps.get(2..)?);
    let mut bits = Bits::new(&payload);
    bits.skip(4)?;
    let sub_layers = bits.read(3)?;
    let nested = bits.read(1)?;
    // Profile, compatibility, constraints and level stand there as the record wants them.
    let profile_tier_level = payload.get(1..13)?;
    bits.skip(96)?;
    skip_sub_layers(&mut bits, sub_layers)?;
    bits.exp_golomb()?;
    let chroma = bits.exp_golomb()?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    bits.exp_golomb()?;
    bits.exp_golomb()?;
    if bits.flag()? {
        for _ in 0..4 {
            bits.exp_golomb()?;
        }
    }
    let (luma_depth, chroma_depth) = (bits.exp_golomb()?, bits.exp_golomb()?);
    let byte = |value: u32, mask: u8| u8::try_from(value).ok().map(|value| mask | value);

    let mut record = vec![1];
    record.extend_from_slice(profile_tier_level);
    // Segmentation and parallelism are not told.
    record.extend_from_slice(&[0xf0, 0, 0xfc]);
    record.push(byte(chroma & 3, 0xfc)?);
    record.push(byte(luma_depth & 7, 0xf8)?);
    record.push(byte(chroma_depth & 7, 0xf8)?);
    // The rate is not told; layers; NAL lengths of four bytes; three arrays.
    record.extend_from_slice(&[0, 0, byte((sub_layers + 1) << 3 | nested << 2, 3)?, 3]);
    for (kind, set) in sets {
        record.extend_from_slice(&[kind, 0, 1]);
        record.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
        record.extend_from_slice(set);
    }
    Some(record)
}

/// Profile and level of the layers below the highest (ITU-T H.265, 7.3.3).
fn skip_sub_layers(bits: &mut Bits<'_>, count: u32) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let mut length = 0;
    for layer in 0..8 {
        let (profile, level) = (bits.read(1)?, bits.read(1)?);
        if layer < count {
            length += profile * 88 + level * 8;
        }
    }
    bits.skip(length)
}

/// Without the bytes that keep start codes out (ITU-T H.265, 7.4.2).
fn unescaped(nal: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bytes.push(byte);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(0_u8..80, 0..200)) {
            let zeros = bytes.iter().map(|&byte| if byte < 30 { byte / 15 } else { byte });
            AccessUnit::from_byte_stream(&zeros.collect::<Vec<_>>());
        }
    }
}
