//! Which role's media side a job starts.

use anyhow::{Result, anyhow};

use super::everybody::Everybody;
use super::filter::Filter;
use super::kiosk::Kiosk;
use super::media::RoleMedia;
use super::mixed::Mixed;
use super::recorder::Recorder;
use super::relay::Relay;
use super::relay::push::Push;
use super::{Events, JobError};
use crate::job::{Assignment, Of, Role};
use crate::pipeline::Description;
use crate::pipeline::description::Fragments;

/// Starts what the job does with media.
///
/// # Errors
/// It cannot be started here and now.
pub async fn start(
    assignment: &Assignment,
    description: &Description,
    events: &Events,
) -> Result<Box<dyn RoleMedia>, JobError> {
    let job = &assignment.job;
    let started = match (job.role, &job.of) {
        (Role::Kiosk, _) => boxed(Kiosk::start(assignment, description, events).await),
        (Role::Recorder, _) if description.record != Fragments::default() => {
            boxed(Mixed::start(assignment, description, events).await)
        }
        (Role::Recorder, _) => boxed(Recorder::start(assignment, description, events).await),
        (Role::Relay, _) if Push::is_meant(assignment) => {
            boxed(Push::start(assignment, description, events))
        }
        (Role::Filter | Role::Relay, Some(Of::Everybody)) => {
            boxed(Everybody::start(assignment, description, events).await)
        }
        (Role::Relay, Some(Of::One(_)) | None) => {
            boxed(Relay::start(assignment, description, events))
        }
        (Role::Filter, Some(Of::One(of))) => {
            boxed(Filter::start(assignment, description, of.clone(), events).await)
        }
        (Role::Filter, None) => Err(anyhow!(
            "of: a filter improves one participant, or `all`: say which"
        )),
    };
    started.map_err(|error| JobError::Broken(format!("{error:#}")))
}

fn boxed<R: RoleMedia + 'static>(started: Result<R>) -> Result<Box<dyn RoleMedia>> {
    started.map(|role| Box::new(role) as Box<dyn RoleMedia>)
}
