//! What a job costs in cores and memory, and whether there is room for one more. Pure.
//!
//! A kiosk's and a recorder's costs are those of `docs/benchmarks.md`, rounded up; a mix's and a filter's are estimates.
//! They are reserved, not enforced: a job that takes more is not ended.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::job::{JobSpec, Of, Role};

/// A recorder is counted with the participants of its room, but never with fewer than this: others will come.
pub const AT_LEAST: usize = 4;

/// Processor time and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cost {
    /// Processor cores, wholly used; written down in hundredths.
    #[serde(serialize_with = "in_hundredths")]
    pub cores: f64,
    /// Resident memory, in megabytes.
    pub memory_mb: f64,
}

/// What was summed up is read as people write it: 0.14, not 0.13999999999999999.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn in_hundredths<S: Serializer>(cores: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((cores * 100.0).round() / 100.0)
}

/// What a job does, as far as its cost depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Captures, encodes and shows; a peer more costs little.
    Kiosk,
    /// Writes down each participant as it was received.
    Record,
    /// Decodes everybody and encodes one picture.
    Mix,
    /// Improves one participant's media.
    Filter,
    /// Improves each participant's media.
    FilterAll,
    /// Passes on what one publisher sends.
    Relay,
}

impl Work {
    /// What such a job does; `mixes` says that its description has a `[record]`.
    pub fn of(spec: &JobSpec, mixes: bool) -> Self {
        match (spec.role, mixes) {
            (Role::Kiosk, _) => Self::Kiosk,
            (Role::Recorder, false) => Self::Record,
            (Role::Recorder, true) => Self::Mix,
            (Role::Filter, _) if spec.of == Some(Of::Everybody) => Self::FilterAll,
            (Role::Filter, _) => Self::Filter,
            (Role::Relay, _) => Self::Relay,
        }
    }

    /// Cost with nobody else in the room, and of each participant.
    fn table(self) -> (Cost, Cost) {
        let cost = |cores, memory_mb| Cost { cores, memory_mb };
        match self {
            Self::Kiosk => (cost(0.50, 120.0), cost(0.03, 5.0)),
            Self::Record => (cost(0.02, 45.0), cost(0.03, 10.0)),
            Self::Mix => (cost(0.45, 110.0), cost(0.10, 15.0)),
            Self::Filter => (cost(0.15, 80.0), cost(0.02, 5.0)),
            Self::FilterAll => (cost(0.02, 60.0), cost(0.15, 20.0)),
            Self::Relay => (cost(0.04, 45.0), cost(0.01, 5.0)),
        }
    }

    /// What is reserved for such a job in a room with so many others.
    pub fn cost(self, participants: usize) -> Cost {
        let counted = match self {
            Self::Kiosk | Self::Record | Self::Mix | Self::FilterAll | Self::Relay => {
                participants.max(AT_LEAST)
            }
            Self::Filter => 1,
        };
        let (alone, each) = self.table();
        let counted = counted as f64;
        Cost {
            cores: alone.cores + counted * each.cores,
            memory_mb: alone.memory_mb + counted * each.memory_mb,
        }
    }
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cores: self.cores + other.cores,
            memory_mb: self.memory_mb + other.memory_mb,
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, cost| sum + cost)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} cores and {:.0} MB", self.cores, self.memory_mb)
    }
}

/// What jobs take together, and what they may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Load {
    /// Reserved by the jobs at work.
    pub used: Cost,
    /// What all together may take; absent: whatever they like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Cost>,
}

/// There is no room for a job.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "the job needs {asked}; the jobs at work have {used} of {limit}: stop one, come back later, or raise [admission] cores \
     and memory_mb"
)]
pub struct NoRoom {
    /// What the job would take.
    pub asked: Cost,
    /// What is taken.
    pub used: Cost,
    /// What may be taken.
    pub limit: Cost,
}

impl Load {
    /// What is free; nothing is told where there is no limit.
    pub fn left(&self) -> Option<Cost> {
        let limit = self.limit?;
        Some(Cost {
            cores: (limit.cores - self.used.cores).max(0.0),
            memory_mb: (limit.memory_mb - self.used.memory_mb).max(0.0),
        })
    }

    /// Whether a job of this cost fits in.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn admit(&self, asked: Cost) -> Result<(), NoRoom> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        let then = self.used + asked;
        if then.cores <= limit.cores && then.memory_mb <= limit.memory_mb {
            return Ok(());
        }
        Err(NoRoom {
            asked,
            used: self.used,
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(cores: f64, memory_mb: f64) -> Option<Cost> {
        Some(Cost { cores, memory_mb })
    }

    #[test]
    fn jobs_are_admitted_until_cores_or_memory_are_used_up() {
        for limit in [limit(1.0, 100_000.0), limit(100.0, 400.0)] {
            let asked = Work::Record.cost(4);
            let mut load = Load {
                used: Cost::default(),
                limit,
            };
            let mut admitted = 0;
            let refused = loop {
                match load.admit(asked) {
                    Ok(()) => load.used = load.used + asked,
                    Err(refused) => break refused,
                }
                admitted += 1;
            };
            assert!((2..20).contains(&admitted), "{admitted} jobs");
            assert_eq!((refused.asked, refused.used), (asked, load.used));
            let left = load.left().unwrap();
            assert!(left.cores < asked.cores || left.memory_mb < asked.memory_mb);
            let words = refused.to_string();
            for part in [asked, load.used, refused.limit].map(|cost| cost.to_string()) {
                assert!(words.contains(&part), "{words}");
            }
        }
    }

    #[test]
    fn a_recorder_costs_by_its_room_but_is_never_counted_with_fewer_than_will_come() {
        assert_eq!(Work::Record.cost(0), Work::Record.cost(AT_LEAST));
        assert!(Work::Record.cost(20).cores > Work::Record.cost(10).cores);
        assert!(Work::Mix.cost(2).cores > Work::Record.cost(2).cores);
        let spec = |json: &str| serde_json::from_str::<JobSpec>(json).unwrap();
        let recorder = spec(r#"{"role": "recorder", "room": "lobby"}"#);
        assert_eq!(Work::of(&recorder, true), Work::Mix);
        let filter = spec(r#"{"role": "filter", "room": "lobby", "of": "all"}"#);
        assert_eq!(Work::of(&filter, false), Work::FilterAll);
        assert!(Work::FilterAll.cost(10).cores > Work::Filter.cost(10).cores);
    }

    #[test]
    fn without_a_limit_everything_fits() {
        let load = Load {
            used: Work::Mix.cost(1000),
            limit: None,
        };
        assert_eq!(load.admit(Work::Mix.cost(1000)), Ok(()));
        assert_eq!(load.left(), None);
    }
}
