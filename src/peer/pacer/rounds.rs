//! One thread for all peers of the process: it looks after each when its next packet is due.
//!
//! Packets go from it through the RTP session and SRTP into the socket, none of which waits. A thread for each peer would
//! cost more than the packets.

use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::line::Line;

/// Packets that are due within this time go together: waking up costs more than they gain.
const GRAIN: Duration = Duration::from_millis(1);

struct Entry {
    line: Weak<Line>,
    due: Duration,
}

struct Rounds {
    entries: Mutex<Vec<Entry>>,
    changed: Condvar,
}

static ROUNDS: LazyLock<Rounds> = LazyLock::new(|| Rounds {
    entries: Mutex::default(),
    changed: Condvar::new(),
});

/// Since the process's first look at the clock.
pub fn now() -> Duration {
    static ZERO: LazyLock<Instant> = LazyLock::new(Instant::now);
    // Later than zero, so that "some time ago" is a time, too.
    ZERO.elapsed() + Duration::from_secs(60)
}

/// Looks after a line from now on, until it is dropped.
///
/// # Errors
/// No thread can be made.
pub fn join(line: &Arc<Line>) -> std::io::Result<()> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*started {
        let thread = std::thread::Builder::new().name("pacer".to_owned());
        thread.spawn(go_round)?;
        *started = true;
    }
    ROUNDS.lock().push(Entry {
        line: Arc::downgrade(line),
        due: now(),
    });
    ROUNDS.changed.notify_one();
    Ok(())
}

/// Something came: the line is looked after at once.
pub fn wake(line: &Line) {
    let mut entries = ROUNDS.lock();
    let is_it = |entry: &&mut Entry| std::ptr::eq(entry.line.as_ptr(), line);
    if let Some(entry) = entries.iter_mut().find(is_it) {
        entry.due = Duration::ZERO;
        ROUNDS.changed.notify_one();
    }
}

impl Rounds {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn go_round() {
    loop {
        let time = now();
        let due = take_due(time);
        for line in &due {
            let next = line.run();
            let mut entries = ROUNDS.lock();
            let is_it = |entry: &&mut Entry| std::ptr::eq(entry.line.as_ptr(), Arc::as_ptr(line));
            if let Some(entry) = entries.iter_mut().find(is_it) {
                // Zero, if something came while it ran.
                entry.due = entry.due.min(next);
            }
        }
        // A line may end here; its pads are gone before it is.
        drop(due);
        let entries = ROUNDS.lock();
        let next = entries.iter().map(|entry| entry.due).min();
        let wait = next.map_or(Duration::from_secs(1), |next| next.saturating_sub(now()));
        if !wait.is_zero() {
            let waited = ROUNDS.changed.wait_timeout(entries, wait.max(GRAIN));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// The lines that are due; those that are gone are forgotten.
fn take_due(time: Duration) -> Vec<Arc<Line>> {
    let mut entries = ROUNDS.lock();
    entries.retain(|entry| entry.line.strong_count() > 0);
    let due = entries.iter_mut().filter(|entry| entry.due <= time + GRAIN);
    due.filter_map(|entry| {
        entry.due = Duration::MAX;
        entry.line.upgrade()
    })
    .collect()
}
