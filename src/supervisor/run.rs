//! One job from its start to its end, over all the processes it takes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use rand::RngExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval, timeout};
use tracing::{Instrument, info, info_span, warn};

use super::adoption::Arrival;
use super::lines::Line;
use super::patient::memory_mb;
use super::process::{Process, Step, signal_group};
use super::records::{Record, WorkerId};
use super::restart::Crashes;
use super::vigil::{FATAL_LIMIT, Outcome, Watch};
use super::{Asked, Deadline, JobView, Settings};
use crate::auth::Permission;
use crate::job::{Answer, Assignment, Command, Event, JobSpec, JobState, Role};
use crate::whip::client::Remote;

/// How long the worker of a former server may take to come to this one.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(20);

/// How often a worker's memory is measured, where it is limited.
const MEMORY_LOOK: Duration = Duration::from_secs(1);

/// Renewed with every process; workers that lose the server join again with the one they have.
const TOKEN_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How a job begins here.
pub enum Beginning {
    /// With a worker that is to be started.
    Fresh,
    /// With the worker of a former server, which is to come.
    Adopted(WorkerId, oneshot::Receiver<Arrival>),
    /// The worker of a former server has ended with it, or after it.
    Orphaned,
}

/// Runs a job to its end.
pub async fn run(job: Job, beginning: Beginning) {
    let span = {
        let view = job.view.borrow();
        info_span!("job", job = %view.id, room = %view.spec.room)
    };
    job.run(beginning).instrument(span).await;
}

/// Waits until the end is asked for, or asked for sooner than it was.
async fn asked_to_end(
    stop: &mut watch::Receiver<Option<Deadline>>,
    known: Option<Deadline>,
) -> Deadline {
    match stop
        .wait_for(|deadline| deadline.is_some() && *deadline != known)
        .await
        .map(|deadline| *deadline)
    {
        Ok(Some(deadline)) => deadline,
        // Nobody is left who could ask: the server itself is going down.
        Ok(None) | Err(_) if known.is_none() => Deadline::within(FATAL_LIMIT),
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

/// A job, as its task holds it.
pub struct Job {
    /// What every worker is started with.
    pub settings: Arc<Settings>,
    /// What is known of it.
    pub view: watch::Sender<JobView>,
    /// By when it has to end.
    pub stop: watch::Receiver<Option<Deadline>>,
    /// What is asked of it.
    pub asked: mpsc::Receiver<Asked>,
    /// What the operator's configuration asked for, where it did.
    pub configured: Option<JobSpec>,
}

impl Job {
    async fn run(mut self, beginning: Beginning) {
        let mut crashes = Crashes::new(self.settings.restart.clone());
        let mut started = Instant::now();
        let mut outcome = match beginning {
            Beginning::Fresh => self.run_process().await,
            Beginning::Adopted(worker, arrival) => self.take_over(worker, arrival).await,
            Beginning::Orphaned => {
                Outcome::Crashed("the worker ended while no server was there".to_owned())
            }
        };
        loop {
            let error = match outcome {
                Outcome::Done(error) => {
                    info!("ended");
                    return self.exit(JobState::Stopped, error);
                }
                Outcome::Failed(error) => {
                    warn!(error, "failed");
                    return self.exit(JobState::Failed, Some(error));
                }
                Outcome::Crashed(error) => error,
            };
            let delay = crashes.delay(started.elapsed(), rand::rng().random());
            warn!(
                error,
                delay_ms = delay.as_millis(),
                "the worker crashed and will be started again"
            );
            self.exit(JobState::Restarting, Some(error));
            if crashes.in_a_row() > 1 {
                self.say_crash_loop(crashes.in_a_row(), delay);
            }
            let stopped = self.stop.wait_for(Option::is_some);
            if timeout(delay, stopped).await.is_ok() {
                return self.exit(JobState::Stopped, None);
            }
            self.view
                .send_modify(|view| view.restarts = view.restarts.saturating_add(1));
            started = Instant::now();
            outcome = self.run_process().await;
        }
    }

    fn exit(&self, state: JobState, error: Option<String>) {
        self.change(|view| view.on_exit(state, error));
        let view = self.view.borrow();
        match view.ended() {
            true => self.settings.records.forget(&view.id),
            false => self.settings.records.keep(&self.record(&view)),
        }
    }

    fn say_crash_loop(&self, count: u32, delay: Duration) {
        let seconds = delay.as_secs_f32();
        let message = format!(
            "the worker has crashed {count} times in a row; it is started again in {seconds:.1} s"
        );
        self.view
            .send_modify(|view| view.on_event(Event::Notice { message }));
    }

    fn record(&self, view: &JobView) -> Record {
        Record::new(view, self.configured.clone())
    }

    /// Changes what is known, and tells it where the job moved on by it.
    fn change(&self, change: impl FnOnce(&mut JobView)) {
        let before = self.view.borrow().state;
        self.view.send_modify(change);
        let view = self.view.borrow();
        if view.state != before {
            self.settings.tell(&view);
        }
    }

    /// Runs one process to its end.
    async fn run_process(&mut self) -> Outcome {
        let process = match Process::start(&self.settings.executable, &self.settings.arguments) {
            Ok(process) => process,
            Err(error) => return self.not_started(&error),
        };
        process.command(Command::Start {
            assignment: Box::new(self.assignment()),
        });
        self.change(|view| view.on_process(process.pid()));
        info!(pid = process.pid(), "worker started");
        self.attend(process).await
    }

    /// Waits for the worker of a former server, and goes on with it.
    async fn take_over(
        &mut self,
        worker: WorkerId,
        arrival: oneshot::Receiver<Arrival>,
    ) -> Outcome {
        let arrival = timeout(ARRIVAL_LIMIT, arrival).await;
        match arrival {
            Ok(Ok(arrival)) => {
                info!(pid = worker.pid, "the worker of the former server goes on");
                self.attend(Process::adopt(worker, arrival)).await
            }
            Ok(Err(_)) | Err(_) => {
                if worker.runs() {
                    signal_group(worker.pid, Signal::SIGKILL);
                }
                Outcome::Crashed("the former server's worker did not come in time".to_owned())
            }
        }
    }

    /// Watches a process to its end.
    async fn attend(&mut self, mut process: Process) -> Outcome {
        self.settings
            .records
            .keep(&self.record(&self.view.borrow()));
        let mut watch = Watch::new(&self.settings, &self.view.borrow().spec);
        let mut memory = interval(MEMORY_LOOK);
        let exit = loop {
            let step = tokio::select! {
                deadline = asked_to_end(&mut self.stop, watch.asked) => {
                    watch.on_asked(deadline);
                    self.change(|view| view.state = JobState::Stopping);
                    process.stop();
                    continue;
                }
                Some((request, answer)) = self.asked.recv() => {
                    process.command(watch.on_request(request, answer));
                    continue;
                }
                _ = memory.tick(), if watch.patient.has_memory_limit() => {
                    watch.on_memory(process.pid().and_then(memory_mb));
                    continue;
                }
                step = process.next(watch.lines_from(), watch.due()) => step,
            };
            match step {
                Step::Line(line) => self.on_line(line, &mut watch),
                Step::EndOfLines => {}
                Step::Due => {
                    if let Some(signal) = watch.next_signal() {
                        process.signal(signal);
                    }
                }
                Step::Ended(exit) => break exit,
            }
        };
        for line in process.last_lines().await {
            self.on_line(line, &mut watch);
        }
        watch.outcome(exit)
    }

    fn not_started(&self, error: &std::io::Error) -> Outcome {
        let message = format!(
            "cannot start the worker {}: {error}",
            self.settings.executable.display()
        );
        if self.stop.borrow().is_some() {
            return Outcome::Done(Some(message));
        }
        match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
                Outcome::Failed(message)
            }
            _ => Outcome::Crashed(message),
        }
    }

    fn assignment(&self) -> Assignment {
        let view = self.view.borrow();
        let remote = view.spec.remote.as_ref();
        let remote = remote.and_then(|name| self.settings.remotes.get(name).cloned());
        let allow: &[Permission] = match view.spec.role {
            // One that publishes at another server takes media away, as a recorder does.
            Role::Relay if remote.as_ref().is_some_and(Remote::is_published_to) => {
                &[Permission::Join, Permission::Record]
            }
            Role::Relay if view.spec.of.is_some() => {
                &[Permission::Join, Permission::Send, Permission::Filter]
            }
            Role::Kiosk | Role::Relay => &[Permission::Join, Permission::Send],
            Role::Filter => &[Permission::Join, Permission::Send, Permission::Filter],
            Role::Recorder => &[Permission::Join, Permission::Send, Permission::Record],
        };
        Assignment {
            id: view.id.clone(),
            job: view.spec.clone(),
            server: self.settings.server(),
            token: self.settings.auth.issue(
                &view.spec.room,
                None,
                allow,
                SystemTime::now() + TOKEN_LIFETIME,
            ),
            pipelines: self.settings.pipelines.clone(),
            media: self.settings.media.clone(),
            elements: self.settings.elements.clone(),
            recordings: self.settings.recordings.clone(),
            stream_hosts: self.settings.stream_hosts.clone(),
            second_folder: self.settings.second_folder.clone(),
            remote,
            encoders: self.settings.encoders.clone(),
            paused: view.paused,
            control: self.settings.control.clone(),
            server_wait_s: self.settings.server_wait.as_secs(),
        }
    }

    fn on_line(&self, line: Line, watch: &mut Watch) {
        watch.allowance.take(1, std::time::Instant::now());
        let event = match line {
            Line::Text(text) => {
                serde_json::from_str::<Event>(&text).map_err(|error| error.to_string())
            }
            Line::TooLong => Err("the line is too long".to_owned()),
        };
        match event {
            Ok(Event::Answer { number, answer }) => {
                let Some((request, waiting)) = watch.open.remove(&number) else {
                    return;
                };
                if answer == Answer::Done {
                    self.view.send_modify(|view| view.on_done(request));
                    self.settings
                        .records
                        .keep(&self.record(&self.view.borrow()));
                }
                // Whoever asked may have gone.
                let _ = waiting.send(answer);
            }
            Ok(event) => {
                if let Event::Error { message, fatal } = &event {
                    watch.on_error(message.clone(), *fatal);
                }
                if let Event::Beat { stalled } = &event {
                    watch.on_beat(stalled.as_deref());
                }
                if let Event::State { state, .. } = &event {
                    watch.said = Some(*state);
                }
                self.change(|view| view.on_event(event));
            }
            Err(error) => watch.on_garbage(&error),
        }
    }
}
