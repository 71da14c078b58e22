//! Writers and recordings in folders of their own, fed with test media faster than real time.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attache::media::MediaKind;
use attache::recording::beside::Beside;
use attache::recording::report::{Event, News, Report, Stem, WriteError};
use attache::recording::writer::{Summary, Writer};
use attache::recording::{End, FileReport, Format, Gate, Limits, Places, Recording, Settings};
use attache::signalling::protocol::{Kind, Participant, Sends};
use gstreamer as gst;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::media::Content;

pub const BOTH: Sends = Sends {
    audio: true,
    video: true,
};
pub const SOUND: Sends = Sends {
    audio: true,
    video: false,
};
pub const SMALL: (u32, u32) = (160, 120);
/// When running time was zero, in these tests.
pub const EPOCH: OffsetDateTime = datetime!(2026-11-22 08:15:30 UTC);
pub const LIMIT: Duration = Duration::from_secs(20);

/// Encoded frames in order of time.
pub type Samples = [(MediaKind, gst::Sample)];

/// A writer of alice's media, and what it tells.
pub struct Trial {
    folder: PathBuf,
    _own: Option<TempDir>,
    pub writer: Writer,
    pub gate: Arc<Gate>,
    reports: UnboundedReceiver<Report>,
}

impl Trial {
    /// In a folder of its own.
    pub fn new(sends: Sends) -> Self {
        Self::with_format(sends, Format::default())
    }

    pub fn with_format(sends: Sends, format: Format) -> Self {
        let own = tempfile::tempdir().unwrap();
        let places = Places::alone(own.path().to_owned());
        Self {
            _own: Some(own),
            ..Self::make(places, sends, format)
        }
    }

    /// Where it is told to write.
    pub fn at(places: Places) -> Self {
        Self::make(places, BOTH, Format::default())
    }

    fn make(places: Places, sends: Sends, format: Format) -> Self {
        let (folder, gate) = (places.first().to_owned(), Arc::new(Gate::default()));
        let (events, reports) = mpsc::unbounded_channel();
        let stem = Stem::new(EPOCH, "alice".parse().unwrap(), 1);
        let wall = Arc::new(|at: Duration| EPOCH + at);
        let writer = Writer::with_wall_clock(places.into(), stem, sends, format, events, wall);
        Self {
            folder,
            _own: None,
            writer: writer.following(gate.clone()),
            gate,
            reports,
        }
    }

    /// Makes this beside the files, too.
    pub fn making(mut self, beside: Beside) -> Self {
        self.writer = self.writer.making(beside);
        self
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn push(&self, samples: &Samples) {
        push(&self.writer, samples);
    }

    pub async fn finish(&self) -> Summary {
        finish(&self.writer, End::Left).await
    }

    pub fn path(&self, file: &FileReport) -> PathBuf {
        self.folder.join(&file.file)
    }

    pub fn content(&self, file: &FileReport) -> Content {
        Content::of(&self.path(file))
    }

    /// Waits for an event.
    pub async fn until<T>(&mut self, wanted: impl FnMut(Event) -> Option<T>) -> T {
        until(&mut self.reports, wanted).await
    }

    /// Lets the writer take what is queued: it heeds a split before the next frame it takes.
    pub async fn until_taken(&self) {
        let done = async {
            while self.writer.queued() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = tokio::time::timeout(LIMIT, done);
        done.await.expect("the queue is taken");
    }

    /// What was told so far.
    pub fn events(&mut self) -> Vec<Event> {
        let reports = std::iter::from_fn(|| self.reports.try_recv().ok());
        reports.map(|report| report.event).collect()
    }
}

pub fn push(writer: &Writer, samples: &Samples) {
    for (kind, sample) in samples {
        writer.push(*kind, sample.clone());
    }
}

pub async fn finish(writer: &Writer, why: End) -> Summary {
    let finished = tokio::time::timeout(LIMIT, writer.finish(why));
    finished.await.expect("the writer finishes")
}

pub async fn until<T>(
    reports: &mut UnboundedReceiver<Report>,
    mut wanted: impl FnMut(Event) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let report = reports.recv().await.expect("there is more to be told");
            if let Some(found) = wanted(report.event) {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(LIMIT, found).await;
    found.expect("the event comes in time")
}

pub fn failure(event: Event) -> Option<WriteError> {
    match event {
        Event::Failed(error) => Some(error),
        _ => None,
    }
}

/// A recording of the room `lobby` without display names.
pub fn settings(out: &Path) -> Settings {
    Settings {
        out: out.to_owned(),
        second: None,
        room: "lobby".parse().unwrap(),
        job: "job1".parse().unwrap(),
        description: None,
        names: false,
        limits: Limits::default(),
        format: Format::default(),
        beside: Beside::default(),
    }
}

pub async fn recording(settings: Settings) -> (Recording, UnboundedReceiver<News>) {
    let (mut recording, news) = Recording::create(settings).await;
    recording.entered();
    (recording, news)
}

pub fn participant(id: &str, name: &str) -> Participant {
    Participant {
        id: id.parse().unwrap(),
        kind: Kind::Person,
        name: Some(name.to_owned()),
        identity: None,
        sends: BOTH,
        recording: false,
        recordable: true,
        enhances: None,
        away: false,
    }
}

/// Full seconds, as the test media flashes and beeps, moved so that the file's first sample is at zero.
#[track_caller]
pub fn assert_times(found: &[Duration], expected_ms: &[u64], tolerance_ms: u64) {
    let found: Vec<u64> = found
        .iter()
        .map(|at| u64::try_from(at.as_millis()).unwrap())
        .collect();
    let near = |(found, expected): (&u64, &u64)| found.abs_diff(*expected) <= tolerance_ms;
    assert!(
        found.len() == expected_ms.len() && found.iter().zip(expected_ms).all(near),
        "found {found:?}, expected {expected_ms:?}"
    );
}
