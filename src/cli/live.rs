//! The line of `attache record` that changes while somebody looks on: participants, duration, bytes, rate.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

use crate::job::{Event, PeerState};
use crate::signalling::ids::ParticipantId;

/// The rate is that of so much time.
const WINDOW: Duration = Duration::from_secs(10);

/// A line at the bottom of a terminal; nothing where standard error is none.
pub struct LiveLine {
    bar: ProgressBar,
    figures: Figures,
}

impl LiveLine {
    /// Shows nothing until something is recorded.
    pub fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            figures: Figures::default(),
        }
    }

    /// Takes an event in. Says whether that is all there is to be shown of it.
    pub fn note(&mut self, event: &Event, now: Instant) -> bool {
        if self.bar.is_hidden() {
            return false;
        }
        self.figures.note(event, now);
        if let Some(line) = self.figures.line() {
            self.bar.set_message(line);
            self.bar.tick();
        }
        matches!(
            event,
            Event::Recording {
                finished: false,
                ..
            }
        )
    }

    /// Does something on the terminal without the line.
    pub fn aside(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What the line tells. Pure: time is passed in.
#[derive(Debug, Default)]
struct Figures {
    connected: BTreeSet<ParticipantId>,
    files: BTreeMap<PathBuf, u64>,
    begun: Option<Instant>,
    /// Bytes at moments of the last seconds.
    lately: VecDeque<(Instant, u64)>,
}

impl Figures {
    fn note(&mut self, event: &Event, now: Instant) {
        if let Event::Peer {
            participant, state, ..
        } = event
        {
            match state {
                PeerState::Connected => {
                    self.connected.insert(participant.clone());
                }
                PeerState::Failed | PeerState::Closed => {
                    self.connected.remove(participant);
                }
                PeerState::New | PeerState::Connecting | PeerState::Disconnected => {}
            }
        }
        if let Event::Recording { file, bytes, .. } = event {
            self.begun.get_or_insert(now);
            self.files.insert(file.clone(), *bytes);
            self.lately.push_back((now, self.bytes()));
            let is_old = |(at, _): &(Instant, u64)| now.duration_since(*at) > WINDOW;
            while self.lately.front().is_some_and(is_old) {
                self.lately.pop_front();
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.files.values().sum()
    }

    /// `None` while nothing is recorded.
    fn line(&self) -> Option<String> {
        let (begun, (now, bytes)) = (self.begun?, *self.lately.back()?);
        let people = match self.connected.len() {
            1 => "1 participant".to_owned(),
            count => format!("{count} participants"),
        };
        let duration = HumanDuration(now.duration_since(begun));
        let rate = self.lately.front().and_then(|(at, before)| {
            let seconds = now.duration_since(*at).as_secs_f64();
            (seconds >= 1.0).then(|| bytes.saturating_sub(*before) as f64 * 8.0 / 1000.0 / seconds)
        });
        let rate = rate.map_or(String::new(), |rate| format!(", {rate:.0} kb/s"));
        let bytes = HumanBytes(bytes);
        Some(format!("recording: {people}, {duration:#}, {bytes}{rate}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end so")]
    use super::*;
    use crate::signalling::ids::Generation;

    #[test]
    fn the_line_tells_participants_duration_bytes_and_the_rate_of_the_last_seconds() {
        let (mut figures, begun) = (Figures::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let peer = |id: &str, state| Event::Peer {
            participant: id.parse().unwrap(),
            generation: Generation(1),
            state,
        };
        let grown = |id: &str, bytes| Event::Recording {
            participant: id.parse().unwrap(),
            file: format!("{id}.webm").into(),
            bytes,
            duration_ms: 0,
            finished: false,
        };
        figures.note(&peer("ann", PeerState::Connected), begun);
        figures.note(&peer("bob", PeerState::Connected), begun);
        assert_eq!(figures.line(), None);
        figures.note(&grown("ann", 1024), begun);
        let line = figures.line().unwrap();
        assert_eq!(line, "recording: 2 participants, 0s, 1.00 KiB");
        figures.note(&peer("bob", PeerState::Closed), at(1));
        figures.note(&grown("ann", 100_000), at(60));
        figures.note(&grown("bob", 1_000), at(61));
        figures.note(&grown("ann", 225_000), at(65));
        let line = figures.line().unwrap();
        assert_eq!(line, "recording: 1 participant, 65s, 220.70 KiB, 202 kb/s");
    }
}
