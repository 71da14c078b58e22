//! A display or loudspeaker goes away while it is used: the other one plays on, and it is taken again when it is back.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;

use super::Player;
use crate::media::devices::{self, DeviceKind, Wanted};
use crate::media::stage::Stage;
use crate::media::{DeviceNews, MediaError, MediaEvent, MediaKind};

/// It is looked for again so soon; the wait is doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The element's own words may come over the bus so much later than its refusal.
const WORDS: Duration = Duration::from_millis(20);

/// One that has worked for so long is new again: its next loss is a first one.
const STEADY: Duration = Duration::from_secs(10);

/// A sink that is away, or was lately.
#[derive(Debug)]
pub(super) struct Absent {
    kind: MediaKind,
    /// When it is looked for again; it is away until then.
    again: Option<Instant>,
    /// When it was taken again last.
    since: Instant,
    wait: Duration,
    told: bool,
}

impl Absent {
    /// The kind of one that is away.
    pub fn kind(&self) -> Option<MediaKind> {
        self.again.map(|_| self.kind)
    }

    fn wait_longer(&mut self, now: Instant) {
        self.again = Some(now + self.wait);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }
}

impl Player {
    /// Goes on without a sink that has failed, and takes those that are back.
    pub(super) fn mend(&mut self, now: Instant) -> Result<(), MediaError> {
        let failure = self.stage.as_ref().and_then(Stage::failure);
        if let Some((error, _)) = failure
            && let Some(stage) = self.stage.take()
        {
            self.do_without(&stage, error)?;
            // Its devices are free for the next one.
            drop(stage);
            return self.open();
        }
        self.look_for_absent(now)
    }

    /// A stage does not work: from now on it is tried without the sink that has failed.
    ///
    /// # Errors
    /// It was something else, or a recording.
    pub(super) fn do_without(
        &mut self,
        stage: &Stage,
        error: MediaError,
    ) -> Result<(), MediaError> {
        std::thread::sleep(WORDS);
        let (error, kind) = stage.failure().unwrap_or((error, None));
        let Some(kind) = kind.filter(|_| !self.plan.is_recorded()) else {
            return Err(error);
        };
        let now = Instant::now();
        let known = self.absent.iter().position(|absent| absent.kind == kind);
        let index = known.unwrap_or_else(|| {
            self.absent.push(Absent {
                kind,
                again: None,
                since: now,
                wait: FIRST_WAIT,
                told: false,
            });
            self.absent.len() - 1
        });
        let absent = &mut self.absent[index];
        if absent.again.is_some() {
            return Err(error);
        }
        absent.wait_longer(now);
        if !std::mem::replace(&mut absent.told, true) {
            self.tell_device(kind, Some(error.to_string()));
        }
        Ok(())
    }

    /// Other sinks are used from now on.
    pub(super) fn all_are_back(&mut self) {
        let absent = std::mem::take(&mut self.absent);
        for absent in absent.iter().filter(|absent| absent.told) {
            self.tell_device(absent.kind, None);
        }
    }

    fn look_for_absent(&mut self, now: Instant) -> Result<(), MediaError> {
        self.absent.retain(|absent| {
            absent.again.is_some() || now.saturating_duration_since(absent.since) < STEADY
        });
        let is_due = |absent: &Absent| absent.again.is_some_and(|again| again <= now);
        let Some(index) = self.absent.iter().position(is_due) else {
            return Ok(());
        };
        let kind = self.absent[index].kind;
        if !self.find_again(kind) {
            self.absent[index].wait_longer(now);
            return Ok(());
        }
        self.absent[index].again = None;
        self.absent[index].since = now;
        self.stage = None;
        self.open()?;
        let absent = &mut self.absent[index];
        if absent.again.is_none() && std::mem::take(&mut absent.told) {
            self.tell_device(kind, None);
        }
        Ok(())
    }

    /// Whether a kind's sink is there and opens; what is found is used from then on.
    fn find_again(&mut self, kind: MediaKind) -> bool {
        let Self { plan, .. } = self;
        let (settings, values) = (plan.settings.clone(), plan.values.clone());
        let description = plan.description.clone();
        let Some(sink) = plan.sink(kind) else {
            return false;
        };
        let wanted = Wanted::of(&description, &sink.fragment, &values);
        let Ok(found) = devices::find(&wanted, &settings) else {
            return false;
        };
        sink.launch = sink.fragment.fill(&values, |name| found.launch(name));
        let sink = match kind {
            MediaKind::Audio => &plan.audio,
            MediaKind::Video => &plan.video,
        };
        let built = sink.as_ref().map(|sink| plan.build(sink));
        let Some(Ok(built)) = built else {
            return false;
        };
        let opened = built.bin.set_state(gst::State::Ready).is_ok();
        // It is thrown away: whether it closes well tells nothing.
        let _ = built.bin.set_state(gst::State::Null);
        opened
    }

    fn tell_device(&self, kind: MediaKind, lost: Option<String>) {
        let device = match kind {
            MediaKind::Audio => DeviceKind::Speaker,
            MediaKind::Video => DeviceKind::Display,
        };
        // Nobody listens any more once the job has ended.
        let _ = self
            .events
            .send(MediaEvent::Device(DeviceNews { device, lost }));
    }
}
