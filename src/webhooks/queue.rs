//! Which message is sent when: those of one job in order, failed ones later and later, for a day. Pure.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use time::OffsetDateTime;

use super::spool::Entry;
use crate::signalling::ids::JobId;

/// Messages that wait for one server.
const WAITING: usize = 10_000;
/// After that nobody is told any more.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this one.
    Send(Entry),
    /// Nothing before this much time has passed.
    Wait(Duration),
    /// Nothing at all.
    Idle,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    due: OffsetDateTime,
}

/// What waits for one server.
#[derive(Debug)]
pub struct Queue {
    entries: VecDeque<Entry>,
    /// Of the first message of a job.
    failures: HashMap<JobId, Failures>,
}

impl Queue {
    /// With what waited before, oldest first.
    pub fn new(entries: VecDeque<Entry>) -> Self {
        Self {
            entries,
            failures: HashMap::new(),
        }
    }

    /// One more.
    pub fn add(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Takes out what waited too long, and the oldest of too many.
    pub fn expired(&mut self, now: OffsetDateTime) -> Vec<Entry> {
        let mut expired = Vec::new();
        while let Some(oldest) = self.entries.front() {
            if oldest.at + LIFETIME > now && self.entries.len() <= WAITING {
                break;
            }
            expired.extend(self.entries.pop_front());
        }
        for entry in &expired {
            self.failures.remove(&entry.job);
        }
        expired
    }

    /// The oldest one that may be sent: the first of its job, and due.
    pub fn next(&self, now: OffsetDateTime) -> Next {
        let mut jobs = HashSet::new();
        let mut soonest: Option<OffsetDateTime> = None;
        for entry in &self.entries {
            if !jobs.insert(&entry.job) {
                continue;
            }
            match self.failures.get(&entry.job) {
                Some(failures) if failures.due > now => {
                    soonest = Some(soonest.map_or(failures.due, |known| known.min(failures.due)));
                }
                Some(_) | None => return Next::Send(entry.clone()),
            }
        }
        match soonest {
            Some(due) => Next::Wait((due - now).unsigned_abs()),
            None => Next::Idle,
        }
    }

    /// It was taken.
    pub fn delivered(&mut self, entry: &Entry) {
        self.entries.retain(|known| known.file != entry.file);
        self.failures.remove(&entry.job);
    }

    /// It was not; `random` is from 0 to 1.
    pub fn failed(&mut self, entry: &Entry, now: OffsetDateTime, random: f64) {
        let count = self.failures.get(&entry.job).map_or(0, |it| it.count);
        let delay = FIRST.saturating_mul(1 << count.min(16)).min(LONGEST);
        let delay = delay.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        let failures = Failures {
            count: count + 1,
            due: now + delay,
        };
        self.failures.insert(entry.job.clone(), failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 08:15:30 UTC);

    fn entry(file: &str, job: &str) -> Entry {
        Entry {
            file: file.into(),
            job: serde_json::from_value(job.into()).unwrap(),
            at: NOW,
        }
    }

    fn queue(entries: &[Entry]) -> Queue {
        Queue::new(entries.iter().cloned().collect())
    }

    #[test]
    fn messages_of_a_job_wait_for_its_first_one_and_other_jobs_do_not() {
        let [a1, a2, b1] = [
            entry("1", "aaaaaaaa"),
            entry("2", "aaaaaaaa"),
            entry("3", "bbbbbbbb"),
        ];
        let mut queue = queue(&[a1.clone(), a2.clone(), b1.clone()]);
        assert_eq!(queue.next(NOW), Next::Send(a1.clone()));
        queue.failed(&a1, NOW, 1.0);
        assert_eq!(queue.next(NOW), Next::Send(b1.clone()));
        queue.delivered(&b1);
        assert_eq!(queue.next(NOW), Next::Wait(Duration::from_secs(1)));
        let later = NOW + Duration::from_secs(1);
        assert_eq!(queue.next(later), Next::Send(a1.clone()));
        queue.delivered(&a1);
        assert_eq!(queue.next(later), Next::Send(a2.clone()));
        queue.delivered(&a2);
        assert_eq!(queue.next(later), Next::Idle);
    }

    #[test]
    fn failed_ones_come_later_and_later_up_to_half_an_hour() {
        let a = entry("1", "aaaaaaaa");
        let mut queue = queue(std::slice::from_ref(&a));
        let mut waits = Vec::new();
        for _ in 0..13 {
            queue.failed(&a, NOW, 1.0);
            let Next::Wait(wait) = queue.next(NOW) else {
                panic!("it waits");
            };
            waits.push(wait.as_secs());
        }
        assert_eq!(waits[..4], [1, 2, 4, 8]);
        assert_eq!(waits[11..], [1800, 1800]);
    }

    #[test]
    fn after_a_day_and_beyond_ten_thousand_the_oldest_are_given_up() {
        let mut old = queue(&[entry("1", "aaaaaaaa")]);
        assert!(old.expired(NOW + LIFETIME / 2).is_empty());
        assert_eq!(old.expired(NOW + LIFETIME).len(), 1);
        let many: Vec<_> = (0..WAITING + 2)
            .map(|n| entry(&n.to_string(), "aaaaaaaa"))
            .collect();
        let given_up = queue(&many).expired(NOW);
        assert_eq!(given_up, many[..2]);
    }
}
