//! When a recording ends by itself: how long, how large, how silent and how lonely it may be. Pure: time is passed in.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::hls::Told;
use super::manifest::Because;
use super::report::{Event, Report};

/// How far a recording may go; what is absent has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Time in which it records, pauses left out.
    pub duration: Option<Duration>,
    /// Bytes of all its files, HLS included.
    pub bytes: Option<u64>,
    /// Without a sound from anybody.
    pub silence: Option<Duration>,
    /// Without anybody in the room.
    pub empty_room: Option<Duration>,
}

/// Watches over the limits of one recording.
#[derive(Debug)]
pub struct Watch {
    limits: Limits,
    /// Recorded before the last pause.
    recorded: Duration,
    /// Since when it records: the first file, or the end of the last pause.
    recording_since: Option<Instant>,
    paused: bool,
    sizes: HashMap<PathBuf, u64>,
    heard: Instant,
    met: Instant,
}

impl Watch {
    /// Over a recorder that comes to its room now.
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            recorded: Duration::ZERO,
            recording_since: None,
            paused: false,
            sizes: HashMap::new(),
            heard: now,
            met: now,
        }
    }

    /// Takes in what a writer tells.
    pub fn on_report(&mut self, report: &Report, now: Instant) {
        let file = match &report.event {
            Event::Started(file) | Event::Progress(file) | Event::Finished(file) => file,
            Event::Hls(Told::Grown(playlist, bytes)) => {
                self.sizes.insert(playlist.clone(), *bytes);
                return;
            }
            Event::Behind { .. }
            | Event::Failed(_)
            | Event::GoesOn(_)
            | Event::Hls(_)
            | Event::Thumbnail(_)
            | Event::KeyFrameNeeded
            | Event::Sends(_)
            | Event::Generation(_)
            | Event::Gap { .. }
            | Event::Ended(_) => return,
        };
        self.sizes.insert(file.file.clone(), file.bytes);
        if !self.paused {
            self.recording_since.get_or_insert(now);
        }
    }

    /// Nothing is written from now on.
    pub fn pause(&mut self, now: Instant) {
        self.paused = true;
        if let Some(since) = self.recording_since.take() {
            self.recorded += now.saturating_duration_since(since);
        }
    }

    /// It goes on. The silence of a pause is nobody's.
    pub fn resume(&mut self, now: Instant) {
        if std::mem::take(&mut self.paused) {
            self.heard = now;
            self.recording_since = (self.recorded > Duration::ZERO).then_some(now);
        }
    }

    /// Somebody was heard.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Somebody is in the room.
    pub fn met(&mut self, now: Instant) {
        self.met = now;
    }

    /// The limit that is reached, if there is one.
    pub fn reached(&self, now: Instant) -> Option<Because> {
        let running = self.recording_since;
        let running = running.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let over = |limit: Option<Duration>, time| limit.is_some_and(|limit| time >= limit);
        if over(self.limits.duration, self.recorded + running) {
            return Some(Because::Duration);
        }
        let bytes: u64 = self.sizes.values().sum();
        if self.limits.bytes.is_some_and(|limit| bytes >= limit) {
            return Some(Because::Size);
        }
        if over(
            self.limits.empty_room,
            now.saturating_duration_since(self.met),
        ) {
            return Some(Because::EmptyRoom);
        }
        let silent = now.saturating_duration_since(self.heard);
        (!self.paused && over(self.limits.silence, silent)).then_some(Because::Silence)
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::recording::report::{FileReport, Stem};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn grows(file: &str, bytes: u64) -> Report {
        let now = OffsetDateTime::UNIX_EPOCH;
        Report {
            stem: Stem::new(now, "alice".parse().unwrap(), 1),
            event: Event::Progress(FileReport {
                file: file.into(),
                part: 1,
                started: now,
                duration: Duration::ZERO,
                bytes,
                sha256: None,
                tracks: Vec::new(),
            }),
        }
    }

    fn watch(limits: Limits) -> (Watch, Instant) {
        let now = Instant::now();
        (Watch::new(limits, now), now)
    }

    #[test]
    fn the_duration_counts_from_the_first_file_without_pauses() {
        let (mut watch, start) = watch(Limits {
            duration: Some(seconds(60)),
            ..Limits::default()
        });
        assert_eq!(watch.reached(start + seconds(1000)), None);
        watch.on_report(&grows("a", 1), start + seconds(1000));
        watch.pause(start + seconds(1030));
        assert_eq!(watch.reached(start + seconds(2000)), None);
        // What was queued when it paused does not start the clock.
        watch.on_report(&grows("a", 2), start + seconds(1031));
        watch.resume(start + seconds(2000));
        assert_eq!(watch.reached(start + seconds(2029)), None);
        assert_eq!(
            watch.reached(start + seconds(2030)),
            Some(Because::Duration)
        );
    }

    #[test]
    fn the_size_is_that_of_all_files_as_they_stand() {
        let (mut watch, start) = watch(Limits {
            bytes: Some(100),
            ..Limits::default()
        });
        for (file, bytes) in [("a", 40), ("b", 30), ("a", 60)] {
            watch.on_report(&grows(file, bytes), start);
            assert_eq!(watch.reached(start), None);
        }
        watch.on_report(&grows("b", 40), start);
        assert_eq!(watch.reached(start), Some(Because::Size));
    }

    #[test]
    fn playlists_count_with_what_they_have_on_disk() {
        let (mut watch, start) = watch(Limits {
            bytes: Some(100),
            ..Limits::default()
        });
        let grown = |bytes| Report {
            event: Event::Hls(Told::Grown("a.hls/index.m3u8".into(), bytes)),
            ..grows("a", 0)
        };
        watch.on_report(&grows("a", 40), start);
        for bytes in [30, 50, 40] {
            watch.on_report(&grown(bytes), start);
            assert_eq!(watch.reached(start), None, "{bytes}");
        }
        watch.on_report(&grown(60), start);
        assert_eq!(watch.reached(start), Some(Because::Size));
    }

    #[test]
    fn silence_ends_it_but_not_in_a_pause() {
        let (mut watch, start) = watch(Limits {
            silence: Some(seconds(30)),
            ..Limits::default()
        });
        watch.heard(start + seconds(20));
        assert_eq!(watch.reached(start + seconds(49)), None);
        assert_eq!(watch.reached(start + seconds(50)), Some(Because::Silence));
        watch.pause(start + seconds(40));
        assert_eq!(watch.reached(start + seconds(500)), None);
        watch.resume(start + seconds(500));
        assert_eq!(watch.reached(start + seconds(529)), None);
        assert_eq!(watch.reached(start + seconds(530)), Some(Because::Silence));
    }

    #[test]
    fn an_empty_room_ends_it_also_when_nobody_ever_came() {
        let (mut watch, start) = watch(Limits {
            empty_room: Some(seconds(30)),
            ..Limits::default()
        });
        assert_eq!(watch.reached(start + seconds(30)), Some(Because::EmptyRoom));
        watch.met(start + seconds(25));
        assert_eq!(watch.reached(start + seconds(54)), None);
        assert_eq!(watch.reached(start + seconds(55)), Some(Because::EmptyRoom));
    }

    #[test]
    fn without_limits_nothing_ends_it() {
        let (watch, start) = watch(Limits::default());
        assert_eq!(watch.reached(start + seconds(1_000_000)), None);
    }
}
