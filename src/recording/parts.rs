//! The files of one visit: begins them, fills them, finishes them, and tells of it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gstreamer as gst;
use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

use super::beside::{Beside, Outputs};
use super::container::{Container, Format};
use super::draft::Draft;
use super::file::{Ending, MediaFile};
use super::frame::{Content, Frame};
use super::gate::{Gate, Turn};
use super::holes::Holes;
use super::manifest::End;
use super::part::Open;
use super::places::{Place, Places};
use super::report::{Event, Report, Stem, WriteError};
use super::timeline::{Action, Timeline};
use super::track::{Block, Track};
use super::writer::{Summary, WallClock};
use crate::media::MediaKind;
use crate::signalling::ids::Generation;
use crate::signalling::protocol::Sends;

/// The files of one visit: frames in, reports out. Lives on the writer's thread.
pub(super) struct Parts {
    places: Arc<Places>,
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
    draft: Option<(Place, Draft)>,
    /// Files begun so far.
    part: u32,
    /// Running time at which the timeline's file began, whether or not there is one on disk.
    begun: Duration,
    outage: Option<Outage>,
    holes: Holes,
    /// What comes cannot be written to any disk.
    unsupported: bool,
    summary: Summary,
}

/// The disk does not take what comes.
#[derive(Default)]
struct Outage {
    /// Places whose trouble was told.
    told: Vec<Place>,
    /// A place may take it: the next part begins with the next key frame.
    goes_on: bool,
}

impl Parts {
    pub(super) fn new(
        places: Arc<Places>,
        stem: Stem,
        sends: Sends,
        format: Format,
        events: UnboundedSender<Report>,
        wall: WallClock,
    ) -> Self {
        let (timeline, summary) = (Timeline::new(sends, format), Summary::default());
        Self {
            places,
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
            begun: Duration::ZERO,
            outage: None,
            holes: Holes::default(),
            unsupported: false,
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
        self.beside = Outputs::new(beside, &self.places, &self.stem, &self.wall);
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
        let gaps = self.holes.rest();
        self.tell_all(gaps);
        self.tell(Event::Ended(why));
        self.summary
    }

    /// A frame came out of the queue.
    pub(super) fn take(&mut self, kind: MediaKind, sample: &gst::Sample, turn: Turn) {
        if self.unsupported {
            return;
        }
        self.try_again();
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
            Err(error) => {
                self.unsupported = true;
                self.close();
                self.fail(error);
            }
        }
    }

    /// Nothing came for a moment: all that waits goes to disk.
    pub(super) fn idle(&mut self) {
        self.try_again();
        self.heed_split();
        let actions = self.timeline.idle(Instant::now());
        self.act(actions);
        let told = self.beside.idle();
        self.tell_all(told);
        if let Some((place, draft)) = &mut self.draft
            && let Err(error) = draft.flush()
        {
            let place = *place;
            self.no_draft(place, error);
        }
        if let Err(error) = self.flush().and_then(|()| self.progress()) {
            self.broke(error);
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            let told = self.beside.take(&action);
            self.tell_all(told);
            let done = match action {
                Action::Begin {
                    at,
                    container,
                    tracks,
                } => {
                    self.begin(at, container, &tracks);
                    Ok(())
                }
                Action::Declare(track) => self.declare(track),
                Action::Write { block, content } => self.write(block, &content),
                Action::Keep(frame) => {
                    self.keep(frame);
                    Ok(())
                }
                Action::AskForKeyFrame => {
                    self.tell(Event::KeyFrameNeeded);
                    Ok(())
                }
            };
            if let Err(error) = done {
                self.broke(error);
            }
        }
        if self.open.is_some() && self.draft.is_some() {
            // The file has the draft's frames; they are on disk before the draft goes.
            if let Err(error) = self.flush() {
                self.broke(error);
            }
            self.draft = None;
        }
    }

    /// A frame waits for its file: until that begins, the disk has it in a draft.
    fn keep(&mut self, frame: Frame) {
        if let Some((place, draft)) = &mut self.draft {
            if let Err(error) = draft.write(frame) {
                let place = *place;
                self.no_draft(place, error);
            }
            return;
        }
        let Some(place) = self.places.next(Instant::now()) else {
            return;
        };
        let (name, started) = (self.stem.part(self.part + 1), (self.wall)(frame.at));
        let begun = self
            .folder(place)
            .and_then(|folder| Draft::begin(folder, &name, frame, started));
        match begun {
            Ok(draft) => self.draft = draft.map(|draft| (place, draft)),
            Err(error) => self.no_draft(place, error),
        }
    }

    /// What it had waits in memory, too, for the file.
    fn no_draft(&mut self, place: Place, error: WriteError) {
        self.draft = None;
        self.out_of_order(place, error);
    }

    /// Begins the next part in the first place that takes it; in none, it is for [`Parts::try_again`].
    fn begin(&mut self, at: Duration, container: Container, tracks: &[Track]) {
        self.close();
        self.begun = at;
        while let Some(place) = self.places.next(Instant::now()) {
            match self.create(place, at, container, tracks) {
                Ok(open) => {
                    self.part += 1;
                    self.open = Some(open);
                    return;
                }
                Err(error) => {
                    let is_taken = matches!(
                        error,
                        WriteError::Create {
                            kind: io::ErrorKind::AlreadyExists,
                            ..
                        }
                    );
                    // One that could not be removed.
                    self.part += u32::from(is_taken);
                    self.out_of_order(place, error);
                }
            }
        }
        self.outage.get_or_insert_default().goes_on = false;
    }

    fn create(
        &self,
        place: Place,
        at: Duration,
        container: Container,
        tracks: &[Track],
    ) -> Result<Open, WriteError> {
        let part = self.part + 1;
        let started = (self.wall)(at);
        let (folder, name) = (self.folder(place)?, self.stem.part(part));
        let media = MediaFile::create(folder, &name, container, tracks.to_vec(), started)?;
        let entry = self.places.entry(place, media.path());
        Ok(Open::new(media, place, entry, part, started, tracks))
    }

    fn folder(&self, place: Place) -> Result<&Path, WriteError> {
        let made = self.places.make(place);
        made.map_err(|error| WriteError::create(self.places.folder(place), &error))
    }

    fn declare(&mut self, track: Track) -> Result<(), WriteError> {
        self.open
            .as_mut()
            .map_or(Ok(()), |open| open.declare(track))
    }

    fn write(&mut self, block: Block, content: &Content) -> Result<(), WriteError> {
        let Some(open) = &mut self.open else {
            if self.outage.is_some() {
                let at = (self.wall)(self.begun + block.at);
                self.holes.miss(block.kind, at, at);
            }
            return Ok(());
        };
        let (landed, gap) = open.write(block, content)?;
        if landed {
            self.landed();
        }
        if let Some(gap) = gap {
            self.tell(gap);
        }
        self.progress()
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        if let Some(open) = &mut self.open
            && open.flush()?
        {
            self.landed();
        }
        Ok(())
    }

    /// Frames of the open part came to disk.
    fn landed(&mut self) {
        let Some(open) = &mut self.open else {
            return;
        };
        let mut news = Vec::new();
        if let Some(report) = open.begun() {
            self.places.works(open.place());
            news.push(Event::Started(report));
            let ended = self.outage.take();
            news.extend(ended.map(|_| Event::GoesOn(open.path().to_owned())));
        }
        news.extend(open.close_holes(&mut self.holes));
        self.tell_all(news);
    }

    fn progress(&mut self) -> Result<(), WriteError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if let Some(report) = open.progress()? {
            self.tell(Event::Progress(report));
        }
        Ok(())
    }

    /// Finishes the open file.
    fn close(&mut self) {
        match self.flush() {
            Ok(()) => self.finish(),
            Err(error) => self.broke(error),
        }
    }

    /// The disk does not take the open part any more. What it has is finished as well as that goes.
    fn broke(&mut self, error: WriteError) {
        let Some(open) = &self.open else {
            return;
        };
        open.leave_holes(&mut self.holes);
        self.out_of_order(open.place(), error);
        self.finish();
    }

    fn finish(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let place = open.place();
        let Some((report, ending)) = open.finish() else {
            // Nothing came into it, and it is no more.
            self.part -= 1;
            return;
        };
        self.summary.files.push(report.clone());
        let (event, trouble) = match ending {
            Ok(Ending::Whole) => (Event::Finished(report), None),
            Ok(Ending::WithoutCues(error)) => (Event::Finished(report), Some(error)),
            Err(error) => (Event::Progress(report), Some(error)),
        };
        self.tell(event);
        if let Some(error) = trouble {
            self.out_of_order(place, error);
        }
    }

    /// This place takes nothing at the moment; told once until something is written again.
    fn out_of_order(&mut self, place: Place, error: WriteError) {
        self.places.failed(place, error.is_full(), Instant::now());
        let outage = self.outage.get_or_insert_default();
        outage.goes_on = false;
        if !outage.told.contains(&place) {
            outage.told.push(place);
            self.fail(error);
        }
    }

    /// Goes on with the next key frame where a place may take it.
    fn try_again(&mut self) {
        let Some(outage) = self.outage.as_mut().filter(|_| self.open.is_none()) else {
            return;
        };
        if outage.goes_on || self.places.next(Instant::now()).is_none() {
            return;
        }
        outage.goes_on = true;
        let actions = self.timeline.go_on(Instant::now());
        self.act(actions);
    }

    fn fail(&mut self, error: WriteError) {
        warn!("{error}");
        self.summary.error = Some(error.clone());
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
