//! What is sent of silence that the encoder of sound leaves out (Opus' DTX, RFC 6716 2.1.9). Pure.

/// An Opus packet of no more bytes has no sound in it: it stands for 20 ms of silence (RFC 6716 3.2.1, R1).
const EMPTY: usize = 2;
/// Of the packets of a silence one among so many is sent: the next one, should the first be lost, comes soon.
const OF: u32 = 5;

/// Chooses packet by packet. Who has heard of a silence makes its noise on its own; who has not takes what is missing for
/// lost, and makes up speech that was not there.
#[derive(Debug, Default)]
pub struct Silence {
    packets: u32,
}

impl Silence {
    /// Whether a packet of so many bytes is to be sent.
    pub fn is_needed(&mut self, bytes: usize) -> bool {
        if bytes > EMPTY {
            self.packets = 0;
            return true;
        }
        self.packets = self.packets.wrapping_add(1);
        self.packets % OF == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_silence_the_first_packet_is_sent_and_each_fifth_after_it() {
        let mut silence = Silence::default();
        let sizes = [60, 2, 1, 1, 1, 1, 1, 1, 40, 3, 1];
        let sent = sizes.map(|bytes| silence.is_needed(bytes));
        let expected = [
            true, true, false, false, false, false, true, false, true, true, true,
        ];
        assert_eq!(sent, expected);
    }
}
