//! Filters that participants ask for: a job for each, from their wish to its end.

use std::collections::HashMap;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tracing::info;

use crate::job::{JobSpec, JobState, Parameters, Role};
use crate::signalling::ids::{JobId, ParticipantId};
use crate::signalling::{FilterWish, Hub};
use crate::supervisor::{JobView, Supervisor};

/// Runs them until nobody can wish for one any more.
pub async fn serve(mut wishes: UnboundedReceiver<FilterWish>, hub: Hub, supervisor: Supervisor) {
    let mut jobs: HashMap<ParticipantId, JobId> = HashMap::new();
    let mut ends = JoinSet::new();
    loop {
        tokio::select! {
            wish = wishes.recv() => match wish {
                Some(FilterWish { of, on: false, .. }) => {
                    if let Some(job) = jobs.remove(&of) {
                        supervisor.stop(&job);
                    }
                }
                Some(wish) => {
                    let of = wish.of.clone();
                    match start(wish, &hub, &supervisor) {
                        Ok(job) => {
                            ends.spawn(end_of(of.clone(), job.id.clone(), supervisor.clone()));
                            jobs.insert(of, job.id);
                        }
                        Err(why) => hub.filter_ended(&of, why),
                    }
                }
                None => return,
            },
            Some(Ok((of, job, view))) = ends.join_next() => {
                // One that was told to end is not waited for any more.
                if jobs.get(&of) == Some(&job) {
                    jobs.remove(&of);
                    hub.filter_ended(&of, in_words(view.as_ref()));
                }
            }
        }
    }
}

fn start(wish: FilterWish, hub: &Hub, supervisor: &Supervisor) -> Result<JobView, String> {
    let present = hub.present(&wish.room);
    let spec = JobSpec {
        role: Role::Filter,
        room: wish.room,
        description: None,
        parameters: Parameters::new(),
        name: None,
        of: Some(wish.of),
    };
    supervisor.start_if_room(spec, present).map_err(|error| {
        info!(%error, "a filter that was asked for is not started");
        format!("`filter`: {error}")
    })
}

/// Waits until a job has ended.
async fn end_of(
    of: ParticipantId,
    job: JobId,
    supervisor: Supervisor,
) -> (ParticipantId, JobId, Option<JobView>) {
    let Some(mut view) = supervisor.watch(&job) else {
        return (of, job, None);
    };
    let ended = view.wait_for(JobView::ended).await.ok();
    let ended = ended.map(|view| view.clone());
    (of, job, ended)
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
