//! A model of a TCP flow that always has something to send (Reno's window: RFC 5681, without timeouts).

use std::time::Duration;

use crate::link::Parcel;

/// A full packet on the link.
const BYTES: usize = 1500;

pub struct Tcp {
    flow: usize,
    begins: Duration,
    window: f64,
    threshold: f64,
    next: u64,
    acknowledged: u64,
    in_flight: usize,
    /// Losses of packets before this one belong to the same event.
    recovers: u64,
}

impl Tcp {
    pub fn new(flow: usize, begins: Duration) -> Self {
        Self {
            flow,
            begins,
            window: 4.0,
            threshold: 64.0,
            next: 0,
            acknowledged: 0,
            in_flight: 0,
            recovers: 0,
        }
    }

    /// The packet that may leave now.
    pub fn packet(&mut self, now: Duration) -> Option<Parcel> {
        if now < self.begins || self.in_flight as f64 >= self.window {
            return None;
        }
        self.in_flight += 1;
        self.next += 1;
        Some(Parcel {
            flow: self.flow,
            sequence: self.next - 1,
            bytes: BYTES,
        })
    }

    /// The acknowledgement of a packet is back; those before it that are missing were lost.
    pub fn on_acknowledged(&mut self, sequence: u64) {
        let lost = sequence.saturating_sub(self.acknowledged);
        self.acknowledged = sequence + 1;
        self.in_flight = self.in_flight.saturating_sub(1 + lost as usize);
        if lost > 0 {
            if sequence >= self.recovers {
                self.threshold = (self.window / 2.0).max(2.0);
                self.window = self.threshold;
                self.recovers = self.next;
            }
        } else if self.window < self.threshold {
            self.window += 1.0;
        } else {
            self.window += 1.0 / self.window;
        }
    }
}
