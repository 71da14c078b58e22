//! Playback: mixes what several participants send into the description's speakers and display; `absent`: what is done
//! while one of those is away.

mod absent;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use gstreamer_utils::StreamProducer;

use super::choice::Track;
use super::devices::{self, Wanted};
use super::encodings::RawOutlets;
use super::layout::Layout;
use super::scene::{Person, Scene};
use super::seat::Input;
use super::speaker::Speech;
use super::stage::{Choices, Plan, Sink, Stage};
use super::{MediaError, MediaEvent, MediaEvents, MediaKind, clock};
use crate::job::Parameters;
use crate::media::capture::Context;
use crate::pipeline::Description;
use crate::pipeline::change::Change;
use crate::pipeline::fragment::Section;
use crate::pipeline::parameters::Values;
use crate::signalling::ids::ParticipantId;
use absent::Absent;

/// How often it looks who speaks.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is looked whether a filter's track still comes.
const CHOOSE: Duration = Duration::from_millis(20);
/// What had come of a filter's track when it went is played to its end: the original is only heard after what waits of it.
const PLAYED_OUT: Duration = Duration::from_millis(400);

/// What plays others' sound and shows their pictures. A thread of its own owns the pipeline, which exists only while
/// somebody is attached.
#[derive(Debug)]
pub struct Playback {
    commands: mpsc::Sender<Command>,
    has_audio: AtomicBool,
    has_video: AtomicBool,
    context: Context,
    events: MediaEvents,
    next: AtomicU64,
}

/// A participant's sound or picture in the mix; dropped, it leaves.
#[derive(Debug)]
#[must_use]
pub struct Attachment {
    number: u64,
    commands: mpsc::Sender<Command>,
}

enum Command {
    Attach(Box<Input>),
    Detach(u64),
    Show(Vec<Person>),
    Arrange(Layout),
    Replace(
        Box<Plan>,
        tokio::sync::oneshot::Sender<Result<(), MediaError>>,
    ),
    Stop(tokio::sync::oneshot::Sender<()>),
}

impl Playback {
    /// Looks for the description's devices and checks its fragments; nothing is opened before somebody is attached.
    pub async fn start(
        description: &Description,
        parameters: &Parameters,
        context: Context,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        Self::with_outlets(
            description,
            parameters,
            context,
            RawOutlets::default(),
            events,
        )
        .await
    }

    /// Mixes likewise, but for a recording: through the description's `record` to raw outlets, in which the mix goes on
    /// from now until the end, whoever comes and goes. [`Playback::show`] says who is there.
    pub async fn record(
        description: &Description,
        parameters: &Parameters,
        context: Context,
        outlets: RawOutlets,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        let mut description = description.clone();
        description.playback = description.record.clone();
        Self::with_outlets(&description, parameters, context, outlets, events).await
    }

    async fn with_outlets(
        description: &Description,
        parameters: &Parameters,
        context: Context,
        outlets: RawOutlets,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        let (description, parameters) = (description.clone(), parameters.clone());
        let start =
            move || Self::start_blocking(&description, &parameters, &context, outlets, events);
        tokio::task::spawn_blocking(start)
            .await
            .unwrap_or_else(|stopped| {
                Err(MediaError::GStreamer {
                    doing: "start the playback",
                    reason: stopped.to_string(),
                })
            })
    }

    fn start_blocking(
        description: &Description,
        parameters: &Parameters,
        context: &Context,
        outlets: RawOutlets,
        events: MediaEvents,
    ) -> Result<Self, MediaError> {
        super::init()?;
        let mut plan = plan(description, parameters, context, &events)?;
        for (sink, outlet) in [
            (&mut plan.audio, outlets.audio),
            (&mut plan.video, outlets.video),
        ] {
            if let Some(sink) = sink {
                sink.outlet = outlet;
            }
        }
        let (has_audio, has_video) = (plan.audio.is_some(), plan.video.is_some());
        let (commands, orders) = mpsc::channel();
        let told = events.clone();
        std::thread::Builder::new()
            .name("playback".to_owned())
            .spawn(move || Player::new(plan, told).serve(&orders))
            .map_err(|error| MediaError::GStreamer {
                doing: "start the playback",
                reason: error.to_string(),
            })?;
        Ok(Self {
            commands,
            has_audio: AtomicBool::new(has_audio),
            has_video: AtomicBool::new(has_video),
            context: context.clone(),
            events,
            next: AtomicU64::default(),
        })
    }

    /// Goes on with another description or other values: what an element takes while it plays is set there, else the
    /// pipeline is built anew with everybody who is attached.
    ///
    /// # Errors
    /// Whatever keeps the new one from being built; then everything goes on as before.
    pub async fn replace(
        &self,
        description: &Description,
        parameters: &Parameters,
    ) -> Result<(), MediaError> {
        let (description, parameters) = (description.clone(), parameters.clone());
        let (context, events) = (self.context.clone(), self.events.clone());
        let work = move || plan(&description, &parameters, &context, &events);
        let plan = tokio::task::spawn_blocking(work).await.map_err(stopped)??;
        let (has_audio, has_video) = (plan.audio.is_some(), plan.video.is_some());
        let (done, replaced) = tokio::sync::oneshot::channel();
        // A thread that is gone answers nothing.
        let _ = self.commands.send(Command::Replace(Box::new(plan), done));
        replaced.await.map_err(stopped)??;
        self.has_audio.store(has_audio, Ordering::Relaxed);
        self.has_video.store(has_video, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the description plays this kind of media here. What it does not play need not be decoded.
    pub fn plays(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.has_audio.load(Ordering::Relaxed),
            MediaKind::Video => self.has_video.load(Ordering::Relaxed),
        }
    }

    /// Adds a participant's decoded media to the mix: sound as S16LE or F32LE at 48 kHz, pictures as I420, with running
    /// times of [`super::clock`]. Returns at once; what fails comes as an event. A kind that is not played is ignored.
    /// A filter's track is attached as its source's, and heard or shown instead of the original while it comes.
    pub fn attach(
        &self,
        participant: &ParticipantId,
        kind: MediaKind,
        track: Track,
        producer: &StreamProducer,
    ) -> Attachment {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let attachment = Attachment {
            number,
            commands: self.commands.clone(),
        };
        if self.plays(kind) {
            let input = Input {
                number,
                participant: participant.clone(),
                kind,
                track,
                producer: producer.clone(),
            };
            // The thread ends only after the last sender.
            let _ = self.commands.send(Command::Attach(Box::new(input)));
        }
        attachment
    }

    /// In a mix for a recording, says who is there, in the order in which they came: each has a part of the picture with
    /// its name, whether or not it sends one.
    pub fn show(&self, people: Vec<Person>) {
        // The thread ends only after the last sender.
        let _ = self.commands.send(Command::Show(people));
    }

    /// In a mix for a recording, arranges the pictures so from now on.
    pub fn arrange(&self, layout: Layout) {
        // The thread ends only after the last sender.
        let _ = self.commands.send(Command::Arrange(layout));
    }

    /// Ends the pipeline and frees the devices.
    pub async fn stop(&self) {
        let (done, stopped) = tokio::sync::oneshot::channel();
        if self.commands.send(Command::Stop(done)).is_ok() {
            // A thread that is gone has stopped.
            let _ = stopped.await;
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // A thread that is gone has let go of it.
        let _ = self.commands.send(Command::Detach(self.number));
    }
}

/// The fragment of a kind with its device in it; none where there is no fragment or no device.
fn sink(
    description: &Description,
    values: &Values,
    kind: MediaKind,
    events: &MediaEvents,
) -> Result<Option<Sink>, MediaError> {
    let fragment = match kind {
        MediaKind::Audio => &description.playback.audio,
        MediaKind::Video => &description.playback.video,
    };
    let Some(fragment) = fragment else {
        return Ok(None);
    };
    let notice = |text: String| {
        // Nobody listens any more once the job has ended.
        let _ = events.send(MediaEvent::Notice(text));
    };
    let wanted = Wanted::of(description, fragment, values);
    match devices::find(&wanted, &description.settings(values)?) {
        Ok(found) => {
            found.notices().into_iter().for_each(notice);
            Ok(Some(Sink {
                fragment: fragment.clone(),
                launch: fragment.fill(values, |name| found.launch(name)),
                outlet: None,
            }))
        }
        Err(missing) => {
            let instead = match kind {
                MediaKind::Audio => "what others say is not played",
                MediaKind::Video => "what others show is not shown",
            };
            notice(format!("{missing}; {instead}"));
            Ok(None)
        }
    }
}

/// What is played, and on what: checked, but for what only shows when it plays.
fn plan(
    description: &Description,
    parameters: &Parameters,
    context: &Context,
    events: &MediaEvents,
) -> Result<Plan, MediaError> {
    let values = description.values(parameters, &context.room)?;
    let plan = Plan {
        settings: description.settings(&values)?,
        audio: sink(description, &values, MediaKind::Audio, events)?,
        video: sink(description, &values, MediaKind::Video, events)?,
        description: description.clone(),
        values,
    };
    plan.check()?;
    Ok(plan)
}

fn stopped(error: impl std::fmt::Display) -> MediaError {
    MediaError::GStreamer {
        doing: "replace the playback",
        reason: error.to_string(),
    }
}

/// The thread's own: it alone touches the pipeline.
struct Player {
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
    fn new(plan: Plan, events: MediaEvents) -> Self {
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

    fn serve(mut self, orders: &mpsc::Receiver<Command>) {
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

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Attach(_) => "Attach",
            Self::Detach(_) => "Detach",
            Self::Show(_) => "Show",
            Self::Arrange(_) => "Arrange",
            Self::Replace(..) => "Replace",
            Self::Stop(_) => "Stop",
        })
    }
}
