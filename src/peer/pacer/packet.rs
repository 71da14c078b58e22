//! RTP packets as bytes (RFC 3550 5.1): what is read of them, and how a retransmission is made (RFC 4588).

use rtp_types::{RtpPacket, RtpPacketBuilder};

/// The profile of header extensions with one byte each (RFC 8285 4.2).
const ONE_BYTE: u16 = 0xbede;

/// How retransmissions of a track are sent (RFC 4588).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retransmission {
    /// Their own source.
    pub ssrc: u32,
    /// Their payload type.
    pub payload_type: u8,
}

/// The source of a packet.
pub fn ssrc(packet: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*packet.get(8..12)?.first_chunk()?))
}

/// The transport-wide sequence number of a packet, in the extension of this id
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 2).
pub fn transport_sequence(packet: &[u8], id: u8) -> Option<u16> {
    extension(packet, id, |value| {
        Some(u16::from_be_bytes(*value.first_chunk()?))
    })
}

/// Reads what a packet has in the header extension of this id (RFC 8285).
pub fn extension<T>(packet: &[u8], id: u8, read: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
    let packet = RtpPacket::parse(packet).ok()?;
    let extension = packet.extension();
    let (_, mut elements) = extension.filter(|(profile, _)| *profile == ONE_BYTE)?;
    while let Some((&head, rest)) = elements.split_first() {
        // RFC 8285 4.2: zero is padding, an id of 15 ends it.
        if head == 0 {
            elements = rest;
            continue;
        }
        let (found, length) = (head >> 4, usize::from(head & 0xf) + 1);
        let value = rest.get(..length)?;
        if found == 15 {
            return None;
        }
        if found == id {
            return read(value);
        }
        elements = rest.get(length..)?;
    }
    None
}

/// Its own sequence number.
pub fn sequence(packet: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*packet.get(2..4)?.first_chunk()?))
}

/// Gives a packet another sequence number. Nothing happens to what is no packet.
pub fn renumber(packet: &mut [u8], sequence: u16) {
    if let Some(place) = packet.get_mut(2..4) {
        place.copy_from_slice(&sequence.to_be_bytes());
    }
}

/// A packet once more, as a retransmission: whoever has it already throws it away.
pub fn retransmit(packet: &[u8], how: Retransmission, sequence: u16) -> Option<Vec<u8>> {
    let packet = RtpPacket::parse(packet).ok()?;
    let original = packet.sequence_number().to_be_bytes();
    let mut builder = RtpPacketBuilder::new()
        .marker_bit(packet.marker_bit())
        .payload_type(how.payload_type)
        .sequence_number(sequence)
        .timestamp(packet.timestamp())
        .ssrc(how.ssrc)
        .payload(&original[..])
        .payload(packet.payload());
    if let Some((profile, elements)) = packet.extension() {
        builder = builder.extension(profile, elements);
    }
    builder.write_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequence number 7, source 0x01020304, the extensions 1 (one byte) and 3 (two bytes), the payload 9, 9, 9.
    const PACKET: [u8; 27] = [
        0x90, 0x60, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4, 0xbe, 0xde, 0, 2, 0x10, 42, 0, 0x31, 0x12, 0x34,
        0, 0, 9, 9, 9,
    ];

    #[test]
    fn the_number_that_counts_for_the_whole_connection_is_found() {
        assert_eq!(transport_sequence(&PACKET, 3), Some(0x1234));
        assert_eq!(transport_sequence(&PACKET, 4), None);
        assert_eq!(transport_sequence(&PACKET[..20], 3), None);
        assert_eq!(ssrc(&PACKET), Some(0x0102_0304));
        assert_eq!(ssrc(&PACKET[..11]), None);
        assert_eq!(sequence(&PACKET), Some(7));
    }

    #[test]
    fn a_retransmission_has_the_original_number_before_the_payload() {
        let how = Retransmission {
            ssrc: 5,
            payload_type: 97,
        };
        let again = retransmit(&PACKET, how, 100).unwrap();
        let read = RtpPacket::parse(&again).unwrap();
        assert_eq!((read.ssrc(), read.payload_type()), (5, 97));
        assert_eq!(read.sequence_number(), 100);
        assert_eq!(read.payload(), [0, 7, 9, 9, 9]);
        assert_eq!(transport_sequence(&again, 3), Some(0x1234));
    }
}
