//! Whether a worker is well: its heart beats, its job gets on, its memory is within the limit. Time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// What is known of a worker's health.
#[derive(Debug)]
pub struct Patient {
    beat_limit: Duration,
    memory_limit_mb: Option<u64>,
    /// Absent until the first: not every program that runs as a worker has a heart.
    last_beat: Option<Instant>,
}

impl Patient {
    /// A worker that has just been started.
    pub fn new(beat_limit: Duration, memory_limit_mb: Option<u64>) -> Self {
        Self {
            beat_limit,
            memory_limit_mb,
            last_beat: None,
        }
    }

    /// Its heart has beaten.
    pub fn on_beat(&mut self, now: Instant) {
        self.last_beat = Some(now);
    }

    /// When it has to have beaten again.
    pub fn due(&self) -> Option<Instant> {
        self.last_beat.map(|last| last + self.beat_limit)
    }

    /// Why it is to be ended, as far as its heart goes. `stalled`: what it says of itself.
    pub fn judge(&self, stalled: Option<&str>, now: Instant) -> Option<String> {
        if let Some(stalled) = stalled {
            return Some(format!("the worker hangs: {stalled}"));
        }
        let silent = now.saturating_duration_since(self.last_beat?);
        let seconds = silent.as_secs();
        (silent >= self.beat_limit)
            .then(|| format!("the worker hangs: its heart has not beaten for {seconds} s"))
    }

    /// Why it is to be ended, as far as its memory goes.
    pub fn judge_memory(&self, used_mb: u64) -> Option<String> {
        let limit = self.memory_limit_mb.filter(|limit| used_mb > *limit)?;
        Some(format!(
            "the worker took {used_mb} MB of memory; memory_limit_mb, of the job or of [jobs], allows {limit}"
        ))
    }

    /// Whether its memory is limited.
    pub fn has_memory_limit(&self) -> bool {
        self.memory_limit_mb.is_some()
    }
}

/// The memory that a process has to itself, in megabytes: `RssAnon` of proc(5).
pub fn memory_mb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(15);

    #[test]
    fn a_heart_that_stops_is_noticed_and_one_that_never_was_is_not_missed() {
        let now = Instant::now();
        let mut patient = Patient::new(LIMIT, None);
        assert_eq!(patient.judge(None, now + 10 * LIMIT), None);
        assert_eq!(patient.due(), None);
        patient.on_beat(now);
        assert_eq!(patient.due(), Some(now + LIMIT));
        assert_eq!(patient.judge(None, now + LIMIT / 2), None);
        let why = patient.judge(None, now + LIMIT).unwrap();
        assert_eq!(why, "the worker hangs: its heart has not beaten for 15 s");
        let why = patient.judge(Some("no frame"), now).unwrap();
        assert_eq!(why, "the worker hangs: no frame");
    }

    #[test]
    fn memory_is_judged_where_there_is_a_limit() {
        assert_eq!(Patient::new(LIMIT, None).judge_memory(u64::MAX), None);
        let patient = Patient::new(LIMIT, Some(100));
        assert_eq!(patient.judge_memory(100), None);
        let why = patient.judge_memory(101).unwrap();
        assert!(
            why.contains("101 MB") && why.contains("allows 100"),
            "{why}"
        );
    }

    #[test]
    fn the_memory_of_a_process_is_read() {
        let before = memory_mb(std::process::id()).unwrap();
        let much = vec![1_u8; 64 * 1024 * 1024];
        let after = memory_mb(std::process::id()).unwrap();
        assert!(after >= before + 60, "{before} {after} {}", much.len());
    }
}
