//! AAC-LC as containers describe it: the decoder's configuration, read and wrapped. Pure.

use std::time::Duration;

use super::boxes::Boxes;

/// Samples of a frame (ISO 14496-3, 4.5.4) per channel.
const FRAME: u32 = 1024;
/// Samples per second: what every mix here has.
const RATE: u32 = 48_000;

/// AudioSpecificConfig (ISO 14496-3, 1.6.2.1): AAC-LC at 48 kHz, one or two channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    bytes: Vec<u8>,
    /// 1 or 2.
    pub channels: u8,
}

impl Configuration {
    /// Reads what an encoder says; `None` for other object types, rates or channels.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[first, second, ..] = bytes else {
            return None;
        };
        let object_type = first >> 3;
        let rate_index = (first & 7) << 1 | second >> 7;
        let channels = (second >> 3) & 0xf;
        let is_known = object_type == 2 && rate_index == 3 && matches!(channels, 1 | 2);
        // A descriptor's length is one byte here.
        (is_known && bytes.len() <= 64).then(|| Self {
            bytes: bytes.to_vec(),
            channels,
        })
    }

    /// As Matroska's CodecPrivate has it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The content of MP4's `esds`: an ES_Descriptor (ISO 14496-1, 7.2.6.5) of this stream.
    pub(super) fn descriptor(&self, out: &mut Boxes) {
        let specific = u8::try_from(self.bytes.len()).unwrap_or_default();
        let decoder = 13 + 2 + specific;
        // Tag and length; no id, no dependencies.
        out.u8(3).u8(3 + 2 + decoder + 3).u16(0).u8(0);
        // DecoderConfigDescriptor: MPEG-4 audio, an audio stream; buffer size and rates are not said.
        out.u8(4).u8(decoder).u8(0x40).u8(0x15).zeros(11);
        out.u8(5).u8(specific).raw(&self.bytes);
        // SLConfigDescriptor: as MP4 files have it.
        out.raw(&[6, 1, 2]);
    }
}

/// How long a frame is.
pub fn frame_duration() -> Duration {
    Duration::from_secs(FRAME.into()) / RATE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_mix_is_encoded_to_is_taken() {
        let stereo = Configuration::read(&[0x11, 0x90, 0x56, 0xe5, 0]).unwrap();
        assert_eq!(stereo.channels, 2);
        assert_eq!(Configuration::read(&[0x11, 0x88]).unwrap().channels, 1);
        // HE-AAC, 44.1 kHz, six channels, nothing.
        for other in [&[0x29, 0x90][..], &[0x12, 0x10], &[0x11, 0xb0], &[0x11]] {
            assert_eq!(Configuration::read(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_frame_takes_1024_samples() {
        assert_eq!(frame_duration(), Duration::from_nanos(21_333_333));
    }
}
