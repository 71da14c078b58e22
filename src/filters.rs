//! Filters that participants ask for: a job for each, from their wish to its end.

use std::collections::HashMap;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tracing::info;

use crate::job::{JobSpec, JobState, Of, Parameters, Role};
use crate::signalling::ids::{JobId, ParticipantId};
use crate::signalling::{FilterWish, Hub};
use crate::supervisor::{JobView, Supervisor};

/// Runs them until nobody can wish for one any more.
pub async fn serve(mut wishes: UnboundedReceiver<FilterWish>, hub: Hub, supervisor: Supervisor) {
    let mut filters = Filters {
        hub,
        supervisor,
        running: HashMap::new(),
        next: HashMap::new(),
        ends: JoinSet::new(),
    };
    loop {
        tokio::select! {
            wish = wishes.recv() => match wish {
                Some(wish) => filters.on_wish(wish),
                None => return,
            },
            Some(Ok((of, view))) = filters.ends.join_next() => filters.on_end(&of, view.as_ref()),
        }
    }
}

/// One job for each participant at most: who switches to and fro starts no crowd of workers.
struct Filters {
    hub: Hub,
    supervisor: Supervisor,
    running: HashMap<ParticipantId, Running>,
    /// Wishes that wait for the end of a former job.
    next: HashMap<ParticipantId, FilterWish>,
    ends: JoinSet<(ParticipantId, Option<JobView>)>,
}

/// A job that has not ended.
struct Running {
    job: JobId,
    is_stopping: bool,
}

impl Filters {
    fn on_wish(&mut self, wish: FilterWish) {
        match (wish.on, self.running.get_mut(&wish.of)) {
            (true, None) => self.start(wish),
            (true, Some(_)) => drop(self.next.insert(wish.of.clone(), wish)),
            (false, running) => {
                self.next.remove(&wish.of);
                if let Some(running) = running {
                    running.is_stopping = true;
                    self.supervisor.stop(&running.job);
                }
            }
        }
    }

    fn on_end(&mut self, of: &ParticipantId, view: Option<&JobView>) {
        let ended = self.running.remove(of);
        match (self.next.remove(of), ended) {
            (Some(wish), _) => self.start(wish),
            (None, Some(ended)) if !ended.is_stopping => self.hub.filter_ended(of, in_words(view)),
            (None, _) => {}
        }
    }

    fn start(&mut self, wish: FilterWish) {
        let own = Some(Of::One(wish.of.clone()));
        let works = |view: &JobView| view.spec.role == Role::Filter && !view.ended();
        // Who has one already needs no second, and cannot end the one for everybody.
        let for_all = |view: &JobView| {
            view.spec.of == Some(Of::Everybody) && view.spec.room == wish.room && works(view)
        };
        if self.supervisor.list().iter().any(for_all) {
            return;
        }
        // A former server may have started it.
        let works_for = |view: &JobView| view.spec.of == own && works(view);
        if let Some(view) = self.supervisor.list().into_iter().find(works_for) {
            return self.accompany(wish.of, view.id);
        }
        let present = self.hub.present(&wish.room);
        let of = wish.of;
        let spec = JobSpec {
            memory_limit_mb: None,
            role: Role::Filter,
            room: wish.room,
            description: None,
            parameters: Parameters::new(),
            name: None,
            of: own,
            remote: None,
        };
        match self.supervisor.start_if_room(spec, present) {
            Ok(view) => self.accompany(of, view.id),
            Err(error) => {
                info!(%error, "a filter that was asked for is not started");
                self.hub.filter_ended(&of, format!("`filter`: {error}"));
            }
        }
    }

    fn accompany(&mut self, of: ParticipantId, job: JobId) {
        let end = end_of(of.clone(), job.clone(), self.supervisor.clone());
        self.ends.spawn(end);
        let running = Running {
            job,
            is_stopping: false,
        };
        self.running.insert(of, running);
    }
}

/// Waits until a job has ended.
async fn end_of(
    of: ParticipantId,
    job: JobId,
    supervisor: Supervisor,
) -> (ParticipantId, Option<JobView>) {
    let Some(mut view) = supervisor.watch(&job) else {
        return (of, None);
    };
    let ended = view.wait_for(JobView::ended).await.ok();
    let ended = ended.map(|view| view.clone());
    (of, ended)
}

fn in_words(view: Option<&JobView>) -> String {
    let error = view
        .filter(|view| view.state == JobState::Failed)
        .and_then(|view| view.last_error.as_deref());
    match error {
        Some(error) => format!("`filter`: it has failed: {error}"),
        None => "`filter`: it was stopped".to_owned(),
    }
}
