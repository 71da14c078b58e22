//! Transport-wide feedback as it is on the wire (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).

use std::ops::Range;

/// The FMT of transport-wide feedback among RTCP's transport layer messages (RFC 4585 6.2; draft section 3.1).
pub const FEEDBACK_FORMAT: u8 = 15;

/// A unit of the reference time, in microseconds.
const REFERENCE_UNIT: i64 = 64_000;
/// A unit of the arrival times, in microseconds.
const DELTA_UNIT: i64 = 250;
/// What stands before the chunks.
const HEADER: usize = 8;
/// More packets than one feedback of a receiver in its senses tells of: it comes at least every quarter second.
const MOST: usize = 8192;

/// When a packet arrived, in microseconds of the receiver's clock, which began at any time and wraps after twelve days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival(pub i64);

/// One feedback: which packets arrived, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// The transport-wide sequence number of the first packet that it tells of.
    pub base: u16,
    /// One of each packet from `base` on; `None` of those that have not arrived.
    pub arrivals: Vec<Option<Arrival>>,
}

/// Why a feedback is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    /// It ends too early.
    #[error("transport-wide feedback ends after {found} bytes, before what it says it has")]
    Short {
        /// Its length.
        found: usize,
    },
    /// It tells of no packet, or of too many.
    #[error("transport-wide feedback tells of {0} packets; 1 to {MOST} are possible")]
    Count(usize),
    /// A packet has the status that the draft reserves.
    #[error("transport-wide feedback gives a packet the reserved status 3")]
    Reserved,
}

/// What is said of a packet (section 3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Missing,
    SmallDelta,
    LargeDelta,
}

impl Status {
    fn read(bits: u16) -> Result<Self, FeedbackError> {
        match bits {
            0 => Ok(Self::Missing),
            1 => Ok(Self::SmallDelta),
            2 => Ok(Self::LargeDelta),
            _ => Err(FeedbackError::Reserved),
        }
    }
}

impl Feedback {
    /// Reads the feedback control information, what follows the two SSRCs.
    ///
    /// # Errors
    /// [`FeedbackError`].
    pub fn parse(fci: &[u8]) -> Result<Self, FeedbackError> {
        let short = FeedbackError::Short { found: fci.len() };
        let header = fci.get(..HEADER).ok_or(short)?;
        let base = u16::from_be_bytes([header[0], header[1]]);
        let count = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if !(1..=MOST).contains(&count) {
            return Err(FeedbackError::Count(count));
        }
        // 24 bits with a sign.
        let reference = i32::from_be_bytes([header[4], header[5], header[6], 0]) >> 8;
        let mut rest = &fci[HEADER..];
        let statuses = statuses(&mut rest, count, short)?;
        let mut time = i64::from(reference) * REFERENCE_UNIT;
        let mut arrivals = Vec::with_capacity(count);
        for status in statuses {
            let delta = match status {
                Status::Missing => {
                    arrivals.push(None);
                    continue;
                }
                Status::SmallDelta => i64::from(take::<1>(&mut rest).ok_or(short)?[0]),
                Status::LargeDelta => i64::from(i16::from_be_bytes(take(&mut rest).ok_or(short)?)),
            };
            time += delta * DELTA_UNIT;
            arrivals.push(Some(Arrival(time)));
        }
        Ok(Self { base, arrivals })
    }

    /// Writes the feedback control information, as a receiver does. Arrivals are rounded down to 250 us.
    ///
    /// Two that are more than eight seconds apart do not fit into one feedback: the later one is written as missing.
    pub fn write(&self) -> Vec<u8> {
        let first = self.arrivals.iter().flatten().next();
        let reference = first.map_or(0, |arrival| arrival.0.div_euclid(REFERENCE_UNIT));
        let mut time = reference * REFERENCE_UNIT;
        let mut deltas = Vec::new();
        let mut symbols = Vec::with_capacity(self.arrivals.len());
        for arrival in &self.arrivals {
            let units = arrival.map(|arrival| (arrival.0 - time).div_euclid(DELTA_UNIT));
            let large = units.and_then(|units| i16::try_from(units).ok());
            let small = units.and_then(|units| u8::try_from(units).ok());
            let (symbol, bytes) = match (small, large) {
                (Some(small), _) => (1, vec![small]),
                (None, Some(large)) => (2, large.to_be_bytes().to_vec()),
                (None, None) => (0, Vec::new()),
            };
            symbols.push(symbol);
            if symbol > 0 {
                time += units.unwrap_or(0) * DELTA_UNIT;
            }
            deltas.extend(bytes);
        }
        let mut fci = self.base.to_be_bytes().to_vec();
        fci.extend((self.arrivals.len() as u16).to_be_bytes());
        fci.extend(&(reference as i32).to_be_bytes()[1..]);
        fci.push(0);
        // Vectors of two bits each: seven packets in a chunk.
        for chunk in symbols.chunks(7) {
            let bits = chunk.iter().fold(0u16, |bits, symbol| bits << 2 | symbol);
            let bits = bits << (2 * (7 - chunk.len()));
            fci.extend((0b11 << 14 | bits).to_be_bytes());
        }
        fci.extend(deltas);
        fci.resize(fci.len().next_multiple_of(4), 0);
        fci
    }
}

/// Reads the chunks (sections 3.1.3 and 3.1.4) until each packet has its status.
fn statuses(
    rest: &mut &[u8],
    count: usize,
    short: FeedbackError,
) -> Result<Vec<Status>, FeedbackError> {
    let mut statuses = Vec::with_capacity(count);
    while statuses.len() < count {
        let chunk = u16::from_be_bytes(take(rest).ok_or(short)?);
        let left = count - statuses.len();
        let symbols = |bits: Range<u16>, width: u16| {
            let mask = (1 << width) - 1;
            bits.rev().map(move |at| (chunk >> (at * width)) & mask)
        };
        match (chunk >> 15, (chunk >> 14) & 1) {
            (0, _) => {
                let run = usize::from(chunk & 0x1fff).min(left);
                // A chunk of nobody would be read for ever.
                if run == 0 {
                    return Err(short);
                }
                let status = Status::read((chunk >> 13) & 3)?;
                statuses.extend(std::iter::repeat_n(status, run));
            }
            (_, 0) => {
                for bits in symbols(0..14, 1).take(left) {
                    statuses.push(Status::read(bits)?);
                }
            }
            (_, _) => {
                for bits in symbols(0..7, 2).take(left) {
                    statuses.push(Status::read(bits)?);
                }
            }
        }
    }
    Ok(statuses)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_chunk_is_read() {
        // Base 5, 18 packets, reference 1: a run of three small deltas, fourteen bits with the first two set, two-bit
        // symbols beginning with a large delta.
        let fci = [
            0,
            5,
            0,
            18,
            0,
            0,
            1,
            9,
            0x20,
            3,
            0b1011_0000,
            0,
            0b1110_0000,
            0,
            4,
            4,
            4,
            8,
            8,
            0xff,
            0xfc,
        ];
        let feedback = Feedback::parse(&fci).unwrap();
        let found: Vec<_> = feedback
            .arrivals
            .iter()
            .map(|at| at.map(|at| at.0))
            .collect();
        let mut expected = vec![
            Some(65_000),
            Some(66_000),
            Some(67_000),
            Some(69_000),
            Some(71_000),
        ];
        expected.extend([None; 12]);
        expected.push(Some(70_000));
        assert_eq!(feedback.base, 5);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let at = |ms: i64| Some(Arrival(ms * 1000));
        let arrivals = vec![
            at(-70),
            None,
            at(-20),
            at(300),
            at(299),
            None,
            at(2_000),
            at(2_000),
            at(2_001),
        ];
        let feedback = Feedback {
            base: 65_530,
            arrivals,
        };
        assert_eq!(Feedback::parse(&feedback.write()), Ok(feedback));
    }

    #[test]
    fn what_a_stranger_makes_up_is_refused() {
        let whole = Feedback {
            base: 1,
            arrivals: vec![Some(Arrival(64_000)); 30],
        }
        .write();
        for length in 0..46 {
            let cut = Feedback::parse(&whole[..length]);
            assert_eq!(cut, Err(FeedbackError::Short { found: length }));
        }
        let nobody = [0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(Feedback::parse(&nobody), Err(FeedbackError::Count(0)));
        let endless = [0, 1, 0, 9, 0, 0, 0, 0, 0x20, 0, 0x20, 0];
        assert_eq!(
            Feedback::parse(&endless),
            Err(FeedbackError::Short { found: 12 })
        );
        let reserved = [0, 1, 0, 9, 0, 0, 0, 0, 0x60, 9];
        assert_eq!(Feedback::parse(&reserved), Err(FeedbackError::Reserved));
    }
}
