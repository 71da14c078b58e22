//! H.264 access units: from start codes to lengths, and the decoder configuration of a track.

/// Larger parameter sets do not come from honest encoders and would not fit into the header's reserved space.
const MAX_PARAMETER_SET: usize = 256;

/// An access unit as Matroska stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// NAL units, each behind its length in four bytes (ISO 14496-15).
    pub data: Vec<u8>,
    /// It holds an IDR slice.
    pub idr: bool,
    /// AVCDecoderConfigurationRecord, where the access unit brings its parameter sets.
    pub configuration: Option<Vec<u8>>,
}

impl AccessUnit {
    /// From a byte stream (ITU-T H.264 annex B); `None` if there is no NAL unit in it.
    pub fn from_byte_stream(stream: &[u8]) -> Option<Self> {
        let mut unit = Self {
            data: Vec::with_capacity(stream.len() + 16),
            idr: false,
            configuration: None,
        };
        let (mut sps, mut pps) = (None, None);
        for nal in nal_units(stream) {
            let length = u32::try_from(nal.len()).ok()?;
            unit.data.extend_from_slice(&length.to_be_bytes());
            unit.data.extend_from_slice(nal);
            match nal.first().map(|header| header & 0x1f) {
                Some(5) => unit.idr = true,
                Some(7) if sps.is_none() => sps = Some(nal),
                Some(8) if pps.is_none() => pps = Some(nal),
                _ => {}
            }
        }
        if let (Some(sps), Some(pps)) = (sps, pps) {
            unit.configuration = configuration(sps, pps);
        }
        (!unit.data.is_empty()).then_some(unit)
    }
}

/// AVCDecoderConfigurationRecord (ISO 14496-15, 5.3.3.1) with one parameter set of each kind.
fn configuration(sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    let (Some([profile, compatibility, level]), true) = (
        sps.get(1..4),
        sps.len() <= MAX_PARAMETER_SET && pps.len() <= MAX_PARAMETER_SET,
    ) else {
        return None;
    };
    // Version 1; NAL lengths of four bytes; one SPS, one PPS.
    let mut record = vec![1, *profile, *compatibility, *level, 0xff, 0xe1];
    record.extend_from_slice(&u16::try_from(sps.len()).ok()?.to_be_bytes());
    record.extend_from_slice(sps);
    record.push(1);
    record.extend_from_slice(&u16::try_from(pps.len()).ok()?.to_be_bytes());
    record.extend_from_slice(pps);
    Some(record)
}

/// The NAL units between start codes, without the zeros that may trail them.
pub(super) fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let here = rest?;
        let end = here.windows(3).position(|w| w == [0, 0, 1]);
        let (nal, next) = match end {
            Some(end) => (&here[..end], Some(&here[end + 3..])),
            None => (here, None),
        };
        rest = next;
        let length = nal
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        Some(&nal[..length])
    })
    .filter(|nal| !nal.is_empty())
}

fn after_start_code(stream: &[u8]) -> Option<&[u8]> {
    let start = stream.windows(3).position(|w| w == [0, 0, 1])?;
    stream.get(start + 3..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_become_lengths_and_parameter_sets_the_configuration() {
        let stream = [
            &[0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 9][..],
            &[0, 0, 1, 0x68, 7, 7],
            &[0, 0, 0, 1, 0x65, 1, 0, 0, 2],
        ]
        .concat();
        let unit = AccessUnit::from_byte_stream(&stream).unwrap();
        assert!(unit.idr);
        let expected = [
            &[0, 0, 0, 5, 0x67, 0x42, 0xc0, 0x1f, 9][..],
            &[0, 0, 0, 3, 0x68, 7, 7],
            &[0, 0, 0, 5, 0x65, 1, 0, 0, 2],
        ]
        .concat();
        assert_eq!(unit.data, expected);
        let record = [&[
            1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, 5, 0x67, 0x42, 0xc0, 0x1f, 9, 1, 0, 3, 0x68, 7, 7,
        ][..]]
        .concat();
        assert_eq!(unit.configuration, Some(record));
    }

    #[test]
    fn hostile_bytes_are_no_access_unit_and_no_panic() {
        for bytes in [
            &[][..],
            &[0],
            &[0, 0, 1],
            &[0, 0, 1, 0, 0, 0, 1],
            &[1, 2, 3, 4, 5],
        ] {
            assert_eq!(AccessUnit::from_byte_stream(bytes), None, "{bytes:?}");
        }
        let short_sps =
            AccessUnit::from_byte_stream(&[0, 0, 1, 0x67, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65])
                .unwrap();
        assert_eq!(short_sps.configuration, None);
        let huge = [&[0, 0, 1, 0x67][..], &[9; 300], &[0, 0, 1, 0x68, 1]].concat();
        assert_eq!(
            AccessUnit::from_byte_stream(&huge).unwrap().configuration,
            None
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(0_u8..8, 0..200)) {
            if let Some(unit) = AccessUnit::from_byte_stream(&bytes) {
                assert!(unit.data.len() <= 2 * bytes.len());
            }
        }
    }
}
