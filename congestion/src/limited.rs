//! Whether less is sent than may be: then what arrives says nothing of what the link carries ("application-limited
//! region").

use std::collections::VecDeque;
use std::time::Duration;

use crate::rate::Rate;

/// What was sent in this time counts.
const WINDOW: Duration = Duration::from_millis(500);
/// Below this part of what may be sent it is limited, above that it is not.
const ENTER: f64 = 0.65;
const LEAVE: f64 = 0.8;

/// Follows what is sent, without padding.
#[derive(Debug, Default)]
pub struct Limited {
    sent: VecDeque<(Duration, usize)>,
    bytes: usize,
    is_limited: bool,
}

impl Limited {
    /// Notes a packet.
    pub fn on_sent(&mut self, bytes: usize, now: Duration) {
        self.sent.push_back((now, bytes));
        self.bytes += bytes;
    }

    /// Looks whether so much less is sent than may be.
    pub fn update(&mut self, target: Rate, now: Duration) -> bool {
        while let Some(&(at, bytes)) = self.sent.front()
            && at + WINDOW < now
        {
            self.bytes -= bytes;
            self.sent.pop_front();
        }
        let part = self.bytes as f64 / target.bytes_in(WINDOW).max(1.0);
        self.is_limited = part < if self.is_limited { LEAVE } else { ENTER };
        self.is_limited
    }

    /// What was sent lately.
    pub fn rate(&self) -> Rate {
        Rate::of(self.bytes as f64, WINDOW).unwrap_or_default()
    }

    /// Whether it was limited when last looked.
    pub fn is_limited(&self) -> bool {
        self.is_limited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_sends_half_of_what_may_be_sent_is_limited() {
        let mut limited = Limited::default();
        let target = Rate::from_kilobits(800);
        let mut found = Vec::new();
        for (from, bytes) in [(0, 1000), (1000, 500), (2000, 750), (3000, 900)] {
            for ms in (from..from + 1000).step_by(10) {
                limited.on_sent(bytes, Duration::from_millis(ms));
                limited.update(target, Duration::from_millis(ms));
            }
            found.push(limited.is_limited());
        }
        assert_eq!(found, [false, true, true, false]);
    }
}
