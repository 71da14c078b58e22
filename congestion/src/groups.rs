//! Packets that left together, as one: how the distance to the next group changes on the way
//! (draft-ietf-rmcat-gcc-02, sections 5.2 and 5.3).

use std::time::Duration;

use crate::feedback::Arrival;

/// Packets that left within this time are one group.
const BURST: Duration = Duration::from_millis(5);
/// So are those that come in with no more than this between them, faster than they left: something held them back.
const HELD_BACK: f64 = 5.0;
/// A group is not longer than this, however its packets come in.
const LONGEST: f64 = 100.0;

/// From one group to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Between the ends of both when they left, in milliseconds.
    pub sent: f64,
    /// And when they arrived.
    pub arrived: f64,
    /// When the second one had arrived, in milliseconds of the receiver's clock.
    pub at: f64,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: f64,
    last_sent: f64,
    first_arrived: f64,
    last_arrived: f64,
}

/// Makes groups out of packets that arrived.
#[derive(Debug, Default)]
pub struct Groups {
    current: Option<Group>,
    before: Option<Group>,
}

impl Groups {
    /// Takes a packet, in the order in which they were sent; tells of a step when its group is the next one.
    pub fn on_packet(&mut self, sent: Duration, arrival: Arrival) -> Option<Step> {
        let sent = sent.as_secs_f64() * 1000.0;
        let arrived = arrival.0 as f64 / 1000.0;
        let Some(group) = self
            .current
            .as_mut()
            .filter(|group| group.takes(sent, arrived))
        else {
            return self.begin(sent, arrived);
        };
        group.last_sent = group.last_sent.max(sent);
        group.last_arrived = group.last_arrived.max(arrived);
        None
    }

    fn begin(&mut self, sent: f64, arrived: f64) -> Option<Step> {
        let whole = self.current.replace(Group {
            first_sent: sent,
            last_sent: sent,
            first_arrived: arrived,
            last_arrived: arrived,
        })?;
        let before = self.before.replace(whole)?;
        Some(Step {
            sent: whole.last_sent - before.last_sent,
            arrived: whole.last_arrived - before.last_arrived,
            at: whole.last_arrived,
        })
    }
}

impl Group {
    fn takes(&self, sent: f64, arrived: f64) -> bool {
        if sent - self.first_sent <= BURST.as_secs_f64() * 1000.0 {
            return true;
        }
        let between = arrived - self.last_arrived;
        between <= HELD_BACK
            && between < sent - self.last_sent
            && arrived - self.first_arrived < LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_left_together_are_one_step() {
        let mut groups = Groups::default();
        let mut steps = Vec::new();
        for (sent, arrived) in [(0, 10), (2, 12), (20, 31), (22, 36), (40, 60), (60, 80)] {
            let sent = Duration::from_millis(sent);
            steps.extend(groups.on_packet(sent, Arrival(arrived * 1000)));
        }
        let found: Vec<_> = steps
            .iter()
            .map(|step| (step.sent, step.arrived, step.at))
            .collect();
        assert_eq!(found, [(20.0, 24.0, 36.0), (18.0, 24.0, 60.0)]);
    }

    #[test]
    fn what_was_held_back_and_comes_at_once_is_one_group() {
        let mut groups = Groups::default();
        let mut steps = Vec::new();
        for (sent, arrived) in [(0, 10), (20, 90), (40, 91), (60, 92), (80, 110), (100, 130)] {
            let sent = Duration::from_millis(sent);
            steps.extend(groups.on_packet(sent, Arrival(arrived * 1000)));
        }
        let first = steps[0];
        assert_eq!((first.sent, first.arrived), (60.0, 82.0));
    }
}
