//! One thread for all peers of the process: it looks after each when a packet is due that had to wait.
//!
//! Packets go from it through the RTP session and SRTP into the socket, none of which waits. A thread for each peer would
//! cost more than the packets; and so would one that is woken for each packet, so what is due when it comes goes at once,
//! on the thread that brings it.

use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::line::Line;

/// Packets that are due within this time go together: waking up costs more than they gain.
const GRAIN: Duration = Duration::from_millis(1);
/// It looks around at least so often.
const LONGEST: Duration = Duration::from_secs(1);

struct Entry {
    line: Weak<Line>,
    due: Duration,
}

#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    /// Until then the thread looks at nothing by itself.
    sleeps_until: Duration,
}

struct Rounds {
    table: Mutex<Table>,
    changed: Condvar,
}

static ROUNDS: LazyLock<Rounds> = LazyLock::new(|| Rounds {
    table: Mutex::default(),
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
    ROUNDS.lock().entries.push(Entry {
        line: Arc::downgrade(line),
        due: now(),
    });
    ROUNDS.changed.notify_one();
    Ok(())
}

/// Something came: the line is looked after at once.
pub fn wake(line: &Line) {
    look_at(line, Duration::ZERO);
}

/// A line is looked after at this time, and not before.
pub fn look_at(line: &Line, due: Duration) {
    let mut table = ROUNDS.lock();
    let is_it = |entry: &&mut Entry| std::ptr::eq(entry.line.as_ptr(), line);
    if let Some(entry) = table.entries.iter_mut().find(is_it) {
        entry.due = due;
        if due < table.sleeps_until {
            // One call is enough.
            table.sleeps_until = Duration::ZERO;
            ROUNDS.changed.notify_one();
        }
    }
}

impl Rounds {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn go_round() {
    loop {
        let due = take_due(now());
        for line in &due {
            line.run();
        }
        // A line may end here; its pads are gone before it is.
        drop(due);
        let mut table = ROUNDS.lock();
        let time = now();
        let next = table.entries.iter().map(|entry| entry.due).min();
        let next = next.unwrap_or(Duration::MAX).min(time + LONGEST);
        if next > time {
            let wait = (next - time).max(GRAIN);
            table.sleeps_until = time + wait;
            let waited = ROUNDS.changed.wait_timeout(table, wait);
            let (mut table, _) = waited.unwrap_or_else(PoisonError::into_inner);
            table.sleeps_until = Duration::ZERO;
        }
    }
}

/// The lines that are due; those that are gone are forgotten.
fn take_due(time: Duration) -> Vec<Arc<Line>> {
    let mut table = ROUNDS.lock();
    table.entries.retain(|entry| entry.line.strong_count() > 0);
    let due = table
        .entries
        .iter_mut()
        .filter(|entry| entry.due <= time + GRAIN);
    due.filter_map(|entry| {
        entry.due = Duration::MAX;
        entry.line.upgrade()
    })
    .collect()
}
