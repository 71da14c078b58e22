//! The files of one visit: begins them, fills them, finishes them, and tells of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gstreamer as gst;
use tokio::sync::mpsc::UnboundedSender;

use super::aac;
use super::beside::{Beside, Outputs};
use super::container::{Container, Format};
use super::draft::Draft;
use super::file::MediaFile;
use super::frame::{Content, Frame};
use super::gate::{Gate, Turn};
use super::manifest::End;
use super::report::{Event, FileReport, Report, Size, Stem, TrackReport, WriteError};
use super::timeline::{Action, Timeline};
use super::track::{Block, Track};
use super::writer::{Summary, WallClock};
use crate::media::MediaKind;
use crate::signalling::ids::Generation;
use crate::signalling::protocol::Sends;

/// Time between two progress reports, and between two looks at whether the file is still in its place.
const PROGRESS: Duration = Duration::from_secs(1);
/// The last picture of a file is not counted as longer than this.
pub(super) const LAST_PICTURE: Duration = Duration::from_millis(100);
/// Changes of size that a track's report lists.
const SIZES: usize = 1000;
/// So long nothing of a kind has come, then it is told as a gap: for sound, more than the longest frame of Opus;
/// for pictures, more than the slowest rate that cameras have in the dark.
const SILENT: Duration = Duration::from_millis(150);
const STILL: Duration = Duration::from_secs(1);

/// The files of one visit: frames in, reports out. Lives on the writer's thread.
pub(super) struct Parts {
    folder: PathBuf,
    stem: Stem,
    events: UnboundedSender<Report>,
    wall: WallClock,
    timeline: Timeline,
    gate: Arc<Gate>,
    turn: Turn,
    /// Those that were heeded.
    splits: u64,
    open: Option<Open>,
    beside: Outputs,
    /// What waits for the next file to begin.
    draft: Option<Draft>,
    /// Files begun so far.
    part: u32,
    summary: Summary,
}

/// The file that is being written, and what there is to tell of it.
struct Open {
    media: MediaFile,
    report: FileReport,
    /// Of the last picture.
    picture_at: Option<Duration>,
    /// Until when there is sound, and a picture.
    sound_until: Option<Duration>,
    picture_until: Option<Duration>,
    reported: Instant,
}

impl Parts {
    pub(super) fn new(
        folder: PathBuf,
        stem: Stem,
        sends: Sends,
        format: Format,
        events: UnboundedSender<Report>,
        wall: WallClock,
    ) -> Self {
        let (timeline, summary) = (Timeline::new(sends, format), Summary::default());
        Self {
            folder,
            stem,
            events,
            wall,
            timeline,
            gate: Arc::default(),
            turn: Turn::default(),
            splits: 0,
            open: None,
            beside: Outputs::default(),
            draft: None,
            part: 0,
            summary,
        }
    }

    pub(super) fn lost(&mut self, kind: MediaKind) {
        self.timeline.lost(kind);
    }

    pub(super) fn set_generation(&mut self, generation: Generation) {
        self.beside.interrupt();
        self.tell(Event::Generation(generation));
    }

    pub(super) fn set_sends(&mut self, sends: Sends) {
        self.timeline.set_sends(sends);
        self.tell(Event::Sends(sends));
    }

    /// This gate says what is written from here on.
    pub(super) fn follow(&mut self, gate: Arc<Gate>) {
        self.splits = gate.splits();
        self.gate = gate;
    }

    /// This is made beside the files from here on.
    pub(super) fn make(&mut self, beside: Beside) {
        self.beside = Outputs::new(beside, &self.folder, &self.stem, &self.wall);
    }

    fn heed_split(&mut self) {
        let splits = self.gate.splits();
        if std::mem::replace(&mut self.splits, splits) != splits {
            let actions = self.timeline.split();
            self.act(actions);
        }
    }

    /// Finishes what is open. Nothing is told after this.
    pub(super) fn end(mut self, why: End) -> Summary {
        let rest = self.timeline.end(Instant::now());
        self.act(rest);
        self.close();
        let told = self.beside.end();
        self.tell_all(told);
        self.tell(Event::Ended(why));
        self.summary
    }

    /// A frame came out of the queue.
    pub(super) fn take(&mut self, kind: MediaKind, sample: &gst::Sample, turn: Turn) {
        if self.summary.error.is_some() {
            return;
        }
        self.heed_split();
        if turn > self.turn {
            self.turn = turn;
            let actions = self.timeline.interrupt(Instant::now());
            self.act(actions);
        }
        match Frame::from_sample(kind, sample) {
            Ok(Some(frame)) => {
                let told = self.beside.see(sample, &frame);
                self.tell_all(told);
                let actions = self.timeline.push(frame, Instant::now());
                self.act(actions);
            }
            Ok(None) => {}
            Err(error) => self.fail(error),
        }
    }

    /// Nothing came for a moment: all that waits goes to disk.
    pub(super) fn idle(&mut self) {
        self.heed_split();
        let actions = self.timeline.idle(Instant::now());
        self.act(actions);
        let told = self.beside.idle();
        self.tell_all(told);
        if let Err(error) = self.flush().and_then(|()| self.progress()) {
            self.fail(error);
        }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.draft.as_mut().map_or(Ok(()), Draft::flush)?;
        self.open.as_mut().map_or(Ok(()), |open| open.media.flush())
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            if self.summary.error.is_some() {
                return;
            }
            let told = self.beside.take(&action);
            self.tell_all(told);
            let done = match action {
                Action::Begin {
                    at,
                    container,
                    tracks,
                } => self.begin(at, container, tracks),
                Action::Declare(track) => self.declare(track),
                Action::Write { block, content } => self.write(block, &content),
                Action::Keep(frame) => self.keep(frame),
                Action::AskForKeyFrame => {
                    self.tell(Event::KeyFrameNeeded);
                    Ok(())
                }
            };
            if let Err(error) = done {
                self.fail(error);
            }
        }
        if self.open.is_some() && self.draft.is_some() {
            // The file has the draft's frames; they are on disk before the draft goes.
            if let Err(error) = self.flush() {
                self.fail(error);
            }
            self.draft = None;
        }
    }

    fn keep(&mut self, frame: Frame) -> Result<(), WriteError> {
        if let Some(draft) = &mut self.draft {
            return draft.write(frame);
        }
        let (name, started) = (self.stem.part(self.part + 1), (self.wall)(frame.at));
        self.draft = Draft::begin(&self.folder, &name, frame, started)?;
        Ok(())
    }

    fn begin(
        &mut self,
        at: Duration,
        container: Container,
        tracks: Vec<Track>,
    ) -> Result<(), WriteError> {
        self.close();
        self.part += 1;
        let started = (self.wall)(at);
        let track_reports = tracks.iter().map(track_report).collect();
        let name = self.stem.part(self.part);
        let media = MediaFile::create(&self.folder, &name, container, tracks, started)?;
        let file = media
            .path()
            .file_name()
            .map(PathBuf::from)
            .unwrap_or_default();
        let bytes = media.bytes();
        let report = FileReport {
            file,
            part: self.part,
            started,
            duration: Duration::ZERO,
            bytes,
            sha256: None,
            tracks: track_reports,
        };
        self.tell(Event::Started(report.clone()));
        self.open = Some(Open {
            media,
            report,
            picture_at: None,
            sound_until: None,
            picture_until: None,
            reported: Instant::now(),
        });
        Ok(())
    }

    fn declare(&mut self, track: Track) -> Result<(), WriteError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.report.tracks.push(track_report(&track));
        open.media.declare(track)
    }

    fn write(&mut self, block: Block, content: &Content) -> Result<(), WriteError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let gap = open.note(&block, content);
        open.media.write(block)?;
        if let Some(gap) = gap {
            self.tell(gap);
        }
        self.progress()
    }

    fn progress(&mut self) -> Result<(), WriteError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let bytes = open.media.bytes();
        if open.reported.elapsed() < PROGRESS || bytes == open.report.bytes {
            return Ok(());
        }
        open.reported = Instant::now();
        open.report.bytes = bytes;
        open.media.check_place()?;
        let report = open.report.clone();
        self.tell(Event::Progress(report));
        Ok(())
    }

    /// Finishes the open file; its failure ends the visit.
    fn close(&mut self) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        let finished = open
            .media
            .check_place()
            .and_then(|()| open.media.finish(open.report.duration));
        open.report.bytes = open.media.bytes();
        self.summary.files.push(open.report.clone());
        match finished {
            Ok(()) => self.tell(Event::Finished(open.report)),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: WriteError) {
        if self.summary.error.is_some() {
            return;
        }
        self.summary.error = Some(error.clone());
        self.close();
        self.tell(Event::Failed(error));
    }

    fn tell_all(&self, events: Vec<Event>) {
        events.into_iter().for_each(|event| self.tell(event));
    }

    fn tell(&self, event: Event) {
        let _ = self.events.send(Report {
            stem: self.stem.clone(),
            event,
        });
    }
}

impl Open {
    /// Keeps the report true; tells of a gap in front of the frame.
    fn note(&mut self, block: &Block, content: &Content) -> Option<Event> {
        let of_kind = |track: &&mut TrackReport| track.codec.kind() == block.kind;
        let track = self.report.tracks.iter_mut().find(of_kind)?;
        if track.frames == 0 {
            track.offset = block.at;
        }
        track.frames += 1;
        let end = match content {
            Content::Opus { duration } => block.at + *duration,
            Content::Aac(_) => block.at + aac::frame_duration(),
            Content::Key(picture) => {
                track.see(block.at, picture.size);
                self.picture_end(block.at)
            }
            Content::Delta(_) => self.picture_end(block.at),
        };
        self.report.duration = self.report.duration.max(end);
        let (until, longest) = match block.kind {
            MediaKind::Audio => (&mut self.sound_until, SILENT),
            MediaKind::Video => (&mut self.picture_until, STILL),
        };
        let before = until.replace(end)?;
        (block.at > before + longest).then(|| Event::Gap {
            kind: block.kind,
            from: self.report.started + before,
            to: self.report.started + block.at,
        })
    }

    /// A picture is taken to stay as long as the one before it did.
    fn picture_end(&mut self, at: Duration) -> Duration {
        let before = self.picture_at.replace(at).unwrap_or(at);
        at + at.saturating_sub(before).min(LAST_PICTURE)
    }
}

impl TrackReport {
    fn see(&mut self, at: Duration, size: Size) {
        let changes = self.sizes.last().is_none_or(|(_, last)| *last != size);
        if changes && self.sizes.len() < SIZES {
            self.sizes.push((at, size));
        }
    }
}

fn track_report(track: &Track) -> TrackReport {
    TrackReport {
        codec: track.codec(),
        offset: Duration::ZERO,
        frames: 0,
        sizes: Vec::new(),
    }
}
