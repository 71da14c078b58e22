//! Sequence numbers without their wraps.

/// Follows 16-bit sequence numbers.
#[derive(Debug, Default)]
pub struct Unwrapper {
    last: Option<i64>,
}

impl Unwrapper {
    /// The number of the newest packet.
    pub fn next(&mut self, sequence: u16) -> i64 {
        let number = self.near(sequence);
        self.last = Some(number);
        number
    }

    /// The number of a packet that is not far from the newest one.
    pub fn near(&self, sequence: u16) -> i64 {
        let Some(last) = self.last else {
            return i64::from(sequence);
        };
        last + i64::from(sequence.wrapping_sub(last as u16) as i16)
    }
}
