//! The thread that plays: it takes commands, chooses between tracks, hears who speaks, and builds the pipeline anew; `absent`:
//! what is done while a sink is away.

mod absent;

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Command;
use crate::media::choice::Track;
use crate::media::scene::Scene;
use crate::media::seat::Input;
use crate::media::speaker::Speech;
use crate::media::stage::{Choices, Plan, Stage};
use crate::media::{MediaError, MediaEvent, MediaEvents, MediaKind, clock};
use crate::pipeline::change::Change;
use crate::pipeline::fragment::Section;
use absent::Absent;

/// How often it looks who speaks.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is looked whether a filter's track still comes.
const CHOOSE: Duration = Duration::from_millis(20);
/// What had come of a filter's track when it went is played to its end: the original is only heard after what waits of it.
const PLAYED_OUT: Duration = Duration::from_millis(400);

/// The thread's own: it alone touches the pipeline.
pub(super) struct Player {
    plan: Plan,
    events: MediaEvents,
    inputs: BTreeMap<u64, Input>,
    stage: Option<Stage>,
    scene: Scene,
    choices: Choices,
    /// Filters' tracks that are gone and still play, by number, and since when.
    going: Vec<(u64, Instant)>,
    looked: Instant,
    /// Who spoke when it was told last.
    speech: Speech,
    /// Sinks that are away.
    absent: Vec<Absent>,
}

impl Player {
    pub(super) fn new(plan: Plan, events: MediaEvents) -> Self {
        Self {
            plan,
            events,
            inputs: BTreeMap::new(),
            stage: None,
            scene: Scene::default(),
            choices: Choices::new(),
            going: Vec::new(),
            looked: Instant::now(),
            speech: Speech::default(),
            absent: Vec::new(),
        }
    }

    pub(super) fn serve(mut self, orders: &mpsc::Receiver<Command>) {
        let is_recorded = self.plan.is_recorded();
        if is_recorded {
            let opened = self.open();
            self.tell(opened);
        }
        loop {
            let looks = is_recorded || self.stage.is_some();
            let command = match (self.has_choices(), looks) {
                (true, _) => orders.recv_timeout(CHOOSE),
                (false, true) => orders.recv_timeout(LOOK),
                (false, false) => orders.recv().map_err(RecvTimeoutError::from),
            };
            let command = match command {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => {
                    let chosen = self.choose(Instant::now());
                    self.tell(chosen);
                    if self.looked.elapsed() < LOOK {
                        continue;
                    }
                    let now = Instant::now();
                    self.listen(now);
                    let mended = self.mend(now);
                    self.tell(mended);
                    if is_recorded {
                        let looked = self.look(now);
                        self.tell(looked);
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match command {
                Command::Attach(input) => {
                    let attached = self.attach(*input);
                    self.tell(attached);
                }
                Command::Detach(number) => {
                    let detached = self.detach(number);
                    self.tell(detached);
                }
                Command::Show(people) => {
                    self.scene.people = people;
                    let looked = self.look(Instant::now());
                    self.tell(looked);
                }
                Command::Arrange(layout) => {
                    self.scene.layout = layout;
                    let looked = self.look(Instant::now());
                    self.tell(looked);
                }
                Command::Replace(plan, done) => {
                    // The one who asked may have gone.
                    let _ = done.send(self.replace(*plan));
                }
                Command::Stop(done) => {
                    drop(self);
                    // The one who asked may have gone.
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn tell(&self, done: Result<(), MediaError>) {
        if let Err(error) = done {
            // Nobody listens any more once the job has ended.
            let _ = self.events.send(MediaEvent::Failed(error));
        }
    }

    fn attach(&mut self, input: Input) -> Result<(), MediaError> {
        self.inputs.insert(input.number, input.clone());
        match &mut self.stage {
            Some(stage) => {
                stage.add(&input)?;
                stage.lay_out(&self.scene, Instant::now())
            }
            None => self.open(),
        }
    }

    fn detach(&mut self, number: u64) -> Result<(), MediaError> {
        let input = self.inputs.remove(&number);
        if self.inputs.is_empty() && !self.plan.is_recorded() {
            self.stage = None;
            self.listen(Instant::now());
        }
        let Some(stage) = &mut self.stage else {
            return Ok(());
        };
        if input.is_some_and(|input| input.track == Track::Enhanced) {
            self.going.push((number, Instant::now()));
            return self.choose(Instant::now());
        }
        stage.remove(number);
        stage.lay_out(&self.scene, Instant::now())
    }

    /// Whether a filter gives somebody's track back.
    fn has_choices(&self) -> bool {
        let mut inputs = self.inputs.values();
        !self.going.is_empty() || inputs.any(|input| input.track == Track::Enhanced)
    }

    /// Goes over to a filter's track that comes, and back from one that does not.
    fn choose(&mut self, now: Instant) -> Result<(), MediaError> {
        let Some(stage) = &mut self.stage else {
            self.going.clear();
            return Ok(());
        };
        let going: Vec<u64> = self.going.iter().map(|(number, _)| *number).collect();
        let running = clock::running_time().into();
        let is_other = stage.choose(&mut self.choices, &going, running);
        self.going.retain(|(number, since)| {
            let is_over = now.saturating_duration_since(*since) >= PLAYED_OUT;
            if is_over {
                stage.remove(*number);
            }
            !is_over
        });
        match is_other {
            true => stage.lay_out(&self.scene, now),
            false => Ok(()),
        }
    }

    /// Hears who speaks, and tells it where it has changed.
    fn listen(&mut self, now: Instant) {
        self.looked = now;
        let voices = &mut self.scene.voices;
        if let Some(stage) = &self.stage {
            let levels = stage.levels();
            levels.for_each(|(who, level)| voices.heard(who, level, now));
        }
        let people = self.scene.people.iter();
        let muted = people.filter(|person| !person.sends.audio);
        muted.for_each(|person| voices.silent(&person.id));
        let inputs = &self.inputs;
        voices.keep(|who| inputs.values().any(|input| input.participant == *who));
        let speech = voices.speech(now);
        if speech != self.speech {
            self.speech = speech.clone();
            // Nobody listens any more once the job has ended.
            let _ = self.events.send(MediaEvent::Speech(speech));
        }
    }

    /// Shows who speaks.
    fn look(&mut self, now: Instant) -> Result<(), MediaError> {
        let Some(stage) = &mut self.stage else {
            return Ok(());
        };
        stage.settle();
        stage.lay_out(&self.scene, now)
    }

    /// Builds the pipeline with everybody who is attached; without a sink that does not start.
    fn open(&mut self) -> Result<(), MediaError> {
        loop {
            let without: Vec<_> = self.absent.iter().filter_map(Absent::kind).collect();
            let mut stage = Stage::build(&self.plan, &without, self.events.clone())?;
            for input in self.inputs.values() {
                stage.add(input)?;
            }
            stage.lay_out(&self.scene, Instant::now())?;
            match stage.play() {
                Ok(()) => {
                    self.stage = Some(stage);
                    return Ok(());
                }
                Err(error) => self.do_without(&stage, error)?,
            }
        }
    }

    fn replace(&mut self, plan: Plan) -> Result<(), MediaError> {
        let is_set = self.set_in_place(&plan)?;
        let former = std::mem::replace(&mut self.plan, plan);
        if !is_set {
            self.all_are_back();
        }
        if is_set || self.inputs.is_empty() {
            return Ok(());
        }
        // Its devices are free for the new one.
        self.stage = None;
        let Err(error) = self.open() else {
            return Ok(());
        };
        self.plan = former;
        self.open()?;
        Err(error)
    }

    /// Sets what can be set while it plays; false if it has to be built anew.
    fn set_in_place(&self, plan: &Plan) -> Result<bool, MediaError> {
        let Plan {
            description,
            values,
            ..
        } = &self.plan;
        let section = Section::Playback;
        let settings = match description.changes(values, &plan.description, &plan.values)? {
            Change::Nothing => Vec::new(),
            Change::InPlace(settings) => settings,
            Change::Rebuild(rebuild) => {
                let kinds = [MediaKind::Audio, MediaKind::Video];
                if kinds.iter().any(|kind| rebuild.concerns(section, *kind)) {
                    return Ok(false);
                }
                rebuild.settings
            }
        };
        let mut of_it = settings.iter().filter(|set| set.part.section == section);
        let stage = self.stage.as_ref();
        Ok(of_it.all(|setting| stage.is_none_or(|stage| stage.set(setting))))
    }
}
