//! The parent's side of workers: starts them, reads their events, restarts and ends them.
//!
//! [`view`]: what is known of a job; [`restart`]: when a crashed worker starts again; [`lines`]: bounded lines from
//! a pipe; [`process`]: one child process; [`vigil`]: when it has to be ended, [`patient`]: whether it is well; [`run`]: one
//! job, over all its processes. Workers outlive their server: [`records`] is what the next one has to know of them, by
//! [`adoption`] they come to it; [`inherited`]: a server that began itself anew is still their parent.

pub mod adoption;
pub mod inherited;
mod lines;
mod patient;
mod process;
pub mod records;
mod restart;
mod run;
mod view;
mod vigil;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::admission::{Cost, Load, NoRoom, Work};
use crate::auth::Auth;
use crate::job::{Answer, JobSpec, Request, ServerAddress};
use crate::media::encoder::Policy;
use crate::pipeline::allowed::Allowed;
use crate::signalling::ids::JobId;
use crate::streaming::Hosts;
use crate::webhooks::event::JobChange;
use crate::whip::client::Remotes;
use adoption::Lobby;
use records::{Record, Records};

pub use restart::RestartPolicy;
use run::Beginning;
pub use view::{JobView, PeerView, RecordingView, StreamView};

/// What every worker is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program; `attache` itself.
    pub executable: PathBuf,
    /// Its arguments; `worker`.
    pub arguments: Vec<String>,
    /// The server's private Unix socket.
    pub socket: PathBuf,
    /// The folder of descriptions.
    pub pipelines: PathBuf,
    /// The folder of clips that descriptions name; absent: `media` in the folder of descriptions.
    pub media: Option<PathBuf>,
    /// Elements that descriptions may use besides those of attache's list.
    pub elements: Allowed,
    /// The folder recordings go to.
    pub recordings: PathBuf,
    /// The servers that live streams may go to.
    pub stream_hosts: Hosts,
    /// The servers that relays may fetch from, by name.
    pub remotes: Remotes,
    /// The folder of what that does not take.
    pub second_folder: Option<PathBuf>,
    /// What the operator says of encoders.
    pub encoders: Policy,
    /// Makes room tokens for workers, where the server has a room key.
    pub auth: Auth,
    /// Jobs at work at the same time.
    pub jobs_at_most: usize,
    /// What all jobs together may take; absent: whatever they like.
    pub capacity: Option<Cost>,
    /// Ended jobs that are still listed.
    pub ended_jobs_kept: usize,
    /// How long a worker may take to end after `stop`.
    pub stop_limit: Duration,
    /// When a crashed worker starts again.
    pub restart: RestartPolicy,
    /// A worker whose heart does not beat for so long hangs, and is killed.
    pub beat_limit: Duration,
    /// A worker that takes more memory than so many megabytes is killed; absent: it takes what it likes.
    pub memory_limit_mb: Option<u64>,
    /// Where it is told that a job moved on.
    pub changes: Option<mpsc::UnboundedSender<JobChange>>,
    /// What the next server has to know.
    pub records: Records,
    /// Where workers look for the next server; absent: they end with this one.
    pub control: Option<PathBuf>,
    /// How long they work on without one.
    pub server_wait: Duration,
}

impl Settings {
    /// The usual limits; the program is `executable worker`.
    pub fn new(
        executable: PathBuf,
        socket: PathBuf,
        pipelines: PathBuf,
        recordings: PathBuf,
        auth: Auth,
    ) -> Self {
        Self {
            executable,
            arguments: vec!["worker".to_owned()],
            socket,
            pipelines,
            media: None,
            elements: Allowed::default(),
            recordings,
            stream_hosts: Hosts::default(),
            remotes: Remotes::default(),
            second_folder: None,
            encoders: Policy::default(),
            auth,
            jobs_at_most: 64,
            capacity: None,
            ended_jobs_kept: 50,
            stop_limit: Duration::from_secs(10),
            restart: RestartPolicy::default(),
            beat_limit: Duration::from_secs(15),
            memory_limit_mb: None,
            changes: None,
            records: Records::default(),
            control: None,
            server_wait: Duration::from_secs(60),
        }
    }

    fn tell(&self, view: &JobView) {
        if let Some(changes) = &self.changes {
            // Nobody who wants to know is left when the server ends.
            let _ = changes.send(JobChange::new(view));
        }
    }

    fn server(&self) -> ServerAddress {
        ServerAddress::Unix(self.socket.clone())
    }
}

/// Why a job was not started.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum StartError {
    /// As many as there may be.
    #[error("{limit} jobs are at work, as many as there may be; stop one first")]
    TooManyJobs {
        /// How many there may be.
        limit: usize,
    },
    /// The machine would be overloaded.
    #[error(transparent)]
    NoRoom(NoRoom),
    /// The server is about to end.
    #[error("the server stops and starts no more jobs")]
    Stopping,
}

/// How long a worker may take to answer a request: a source that replaces another has ten seconds, twice.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Requests of one job that wait for their turn.
const WAITING_REQUESTS: usize = 8;

/// Why a job did not do what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is none of this id.
    #[error("there is no such job")]
    NoSuchJob,
    /// It has ended, or its worker is being started again.
    #[error("the job has no worker at this moment; its state says why")]
    NotRunning,
    /// Too many wait already, or it took too long.
    #[error("the worker did not answer in time")]
    NoAnswer,
    /// The worker says why; everything is as it was.
    #[error("{0}")]
    Refused(String),
}

/// A request on its way to a worker, and where its answer goes.
type Asked = (Request, oneshot::Sender<Answer>);

/// By when a worker has to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deadline {
    /// SIGTERM.
    terminate: Instant,
    /// SIGKILL.
    kill: Instant,
}

impl Deadline {
    /// Two thirds of the limit for a graceful end, the rest for SIGTERM.
    fn within(limit: Duration) -> Self {
        let now = Instant::now();
        Self {
            terminate: now + limit * 2 / 3,
            kill: now + limit,
        }
    }
}

/// The handle of all jobs; clones are the same jobs.
#[derive(Debug, Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    registry: Mutex<Registry>,
    tasks: TaskTracker,
}

/// In the order in which they were started.
#[derive(Debug, Default)]
struct Registry {
    jobs: Vec<Entry>,
    stopping: bool,
}

#[derive(Debug)]
struct Entry {
    id: JobId,
    view: watch::Receiver<JobView>,
    stop: watch::Sender<Option<Deadline>>,
    requests: mpsc::Sender<Asked>,
    work: Work,
    /// What the operator's configuration asked for, where it did.
    configured: Option<JobSpec>,
    /// Those who were in its room when it was started.
    present: usize,
}

impl Entry {
    /// What is reserved for it: by those who were there when it began, or those who are there now, if they are more.
    fn cost(&self) -> Cost {
        let peers = self.view.borrow().peers.len();
        self.work.cost(self.present.max(peers))
    }

    fn shown(&self) -> JobView {
        let cost = self.cost();
        JobView {
            cost,
            ..self.view.borrow().clone()
        }
    }

    fn ended(&self) -> bool {
        self.view.borrow().ended()
    }
}

impl Supervisor {
    /// No jobs yet.
    pub fn new(settings: Settings) -> Self {
        let shared = Shared {
            settings: Arc::new(settings),
            registry: Mutex::new(Registry::default()),
            tasks: TaskTracker::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Starts a job that the operator's configuration asks for, whatever the others take; must be called within a Tokio
    /// runtime. The view is that of the very beginning.
    ///
    /// # Errors
    /// [`StartError`]. Whatever goes wrong with the worker later is in the job's view.
    pub fn start(&self, spec: JobSpec) -> Result<JobView, StartError> {
        let configured = Some(spec.clone());
        self.start_if(spec, 0, configured, |_, _| Ok(()))
    }

    /// Starts a job if there is room for it beside the others; `present` are those in its room now.
    ///
    /// # Errors
    /// [`StartError`]. Whatever goes wrong with the worker later is in the job's view.
    pub fn start_if_room(&self, spec: JobSpec, present: usize) -> Result<JobView, StartError> {
        self.start_if(spec, present, None, |load, cost| load.admit(cost))
    }

    fn start_if(
        &self,
        spec: JobSpec,
        present: usize,
        configured: Option<JobSpec>,
        admit: impl FnOnce(Load, Cost) -> Result<(), NoRoom>,
    ) -> Result<JobView, StartError> {
        let work = Work::of(&spec, self.mixes(&spec));
        let mut registry = self.registry();
        if registry.stopping {
            return Err(StartError::Stopping);
        }
        let limit = self.shared.settings.jobs_at_most;
        if registry.jobs.iter().filter(|entry| !entry.ended()).count() >= limit {
            return Err(StartError::TooManyJobs { limit });
        }
        let cost = work.cost(present);
        admit(self.load_of(&registry), cost).map_err(StartError::NoRoom)?;
        registry.forget_old(self.shared.settings.ended_jobs_kept);

        let view = JobView::new(JobId::random(), spec, cost);
        self.enlist(
            &mut registry,
            view.clone(),
            present,
            configured,
            Beginning::Fresh,
        );
        self.shared.settings.tell(&view);
        info!(job = %view.id, role = ?view.spec.role, room = %view.spec.room, "job started");
        Ok(view)
    }

    /// Gives a job its task.
    fn enlist(
        &self,
        registry: &mut Registry,
        view: JobView,
        present: usize,
        configured: Option<JobSpec>,
        beginning: Beginning,
    ) {
        let id = view.id.clone();
        let work = Work::of(&view.spec, self.mixes(&view.spec));
        let (publish, watched) = watch::channel(view);
        let (stop, stopped) = watch::channel(None);
        let (requests, asked) = mpsc::channel(WAITING_REQUESTS);
        registry.jobs.push(Entry {
            id,
            view: watched,
            stop,
            requests,
            work,
            configured: configured.clone(),
            present,
        });
        let job = run::Job {
            settings: Arc::clone(&self.shared.settings),
            view: publish,
            stop: stopped,
            asked,
            configured,
        };
        self.shared.tasks.spawn(run::run(job, beginning));
    }

    /// Goes on with the jobs of a former server: with their workers where those live on and come to the `lobby`, with new
    /// ones where not. Must be called within a Tokio runtime, before any other job starts.
    pub fn take_over(&self, lobby: &Lobby) {
        let mut registry = self.registry();
        for record in self.shared.settings.records.read() {
            let Record {
                id,
                spec,
                configured,
                worker,
                ..
            } = record.clone();
            let living = worker.filter(|worker| worker.runs());
            info!(job = %id, role = ?spec.role, room = %spec.room, living = living.is_some(), "job of the former server");
            let cost = Work::of(&spec, self.mixes(&spec)).cost(0);
            let mut view = JobView::new(id.clone(), spec, cost);
            view.on_taken_over(&record, living.map(|worker| worker.pid));
            let beginning = match living {
                Some(worker) => Beginning::Adopted(worker, lobby.expect(id, worker.pid)),
                None => Beginning::Orphaned,
            };
            self.enlist(&mut registry, view, 0, configured, beginning);
        }
    }

    /// The jobs at work that the operator's configuration asked for, and what it asked.
    pub fn configured(&self) -> Vec<(JobId, JobSpec)> {
        let registry = self.registry();
        let at_work = registry.jobs.iter().filter(|entry| !entry.ended());
        let asked = |entry: &Entry| Some((entry.id.clone(), entry.configured.clone()?));
        at_work.filter_map(asked).collect()
    }

    /// Every job at work and those that ended lately, in the order of their start.
    pub fn list(&self) -> Vec<JobView> {
        self.registry().jobs.iter().map(Entry::shown).collect()
    }

    /// What the jobs at work take together, and what they may take.
    pub fn load(&self) -> Load {
        self.load_of(&self.registry())
    }

    fn load_of(&self, registry: &Registry) -> Load {
        let at_work = registry.jobs.iter().filter(|entry| !entry.ended());
        Load {
            used: at_work.map(Entry::cost).sum(),
            limit: self.shared.settings.capacity,
        }
    }

    /// Whether the job's description has a `[record]`. What else is wrong with it is the worker's to say.
    fn mixes(&self, spec: &JobSpec) -> bool {
        let file = format!("{}.toml", spec.description());
        let text = std::fs::read_to_string(self.shared.settings.pipelines.join(file));
        let table = text.ok().and_then(|text| text.parse::<toml::Table>().ok());
        table.is_some_and(|table| table.contains_key("record"))
    }

    /// One job.
    pub fn get(&self, id: &JobId) -> Option<JobView> {
        let registry = self.registry();
        let entry = registry.jobs.iter().find(|entry| entry.id == *id);
        entry.map(Entry::shown)
    }

    /// One job and its changes.
    pub fn watch(&self, id: &JobId) -> Option<watch::Receiver<JobView>> {
        let registry = self.registry();
        registry
            .jobs
            .iter()
            .find(|entry| entry.id == *id)
            .map(|entry| entry.view.clone())
    }

    /// Asks a job to end gracefully and returns at once; its state tells when it has ended. `None`: no such job.
    pub fn stop(&self, id: &JobId) -> Option<JobView> {
        let registry = self.registry();
        let entry = registry.jobs.iter().find(|entry| entry.id == *id)?;
        entry.hurry(self.shared.settings.stop_limit);
        Some(entry.shown())
    }

    /// Asks a job to do something while it works, and waits for its answer.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn request(&self, id: &JobId, request: Request) -> Result<Answer, RequestError> {
        let requests = {
            let registry = self.registry();
            let entry = registry.jobs.iter().find(|entry| entry.id == *id);
            let entry = entry.ok_or(RequestError::NoSuchJob)?;
            if entry.view.borrow().pid.is_none() {
                return Err(RequestError::NotRunning);
            }
            entry.requests.clone()
        };
        let (answer, answered) = oneshot::channel();
        requests
            .try_send((request, answer))
            .map_err(|_| RequestError::NoAnswer)?;
        match tokio::time::timeout(ANSWER_LIMIT, answered).await {
            Ok(Ok(Answer::Refused { message })) => Err(RequestError::Refused(message)),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(RequestError::NotRunning),
            Err(_) => Err(RequestError::NoAnswer),
        }
    }

    /// Ends all jobs, gracefully as long as the limit allows, and returns when no worker is left. Nothing starts
    /// after this.
    pub async fn stop_all(&self, limit: Duration) {
        {
            let mut registry = self.registry();
            registry.stopping = true;
            for entry in &registry.jobs {
                entry.hurry(limit);
            }
        }
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Never held across an await; nothing in it can be half done.
        self.shared
            .registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Asks for the end; an earlier deadline stays.
    fn hurry(&self, limit: Duration) {
        let wanted = Deadline::within(limit);
        self.stop.send_if_modified(|deadline| {
            let sooner = deadline.is_none_or(|deadline| wanted.kill < deadline.kill);
            if sooner {
                *deadline = Some(wanted);
            }
            sooner
        });
    }
}

impl Registry {
    fn forget_old(&mut self, kept: usize) {
        let ended = self.jobs.iter().filter(|entry| entry.ended()).count();
        let mut excess = ended.saturating_sub(kept);
        self.jobs.retain(|entry| {
            let forget = excess > 0 && entry.ended();
            excess -= usize::from(forget);
            !forget
        });
    }
}
