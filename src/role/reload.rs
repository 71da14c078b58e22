//! Requests to a running job: another description or other values, while its peers stay.

use super::attract::Attract;
use super::{Events, load};
use crate::job::{Answer, Assignment, Event, Parameters, Request};
use crate::media::capture::Capture;
use crate::worker::Requests;

/// Moves a job on, one request after the other.
pub struct Reload {
    assignment: Assignment,
    capture: Option<Capture>,
    attract: Option<Attract>,
}

impl Reload {
    /// For a job that begins.
    pub fn new(
        assignment: &Assignment,
        capture: Option<Capture>,
        attract: Option<Attract>,
    ) -> Self {
        Self {
            assignment: assignment.clone(),
            capture,
            attract,
        }
    }

    /// Answers requests until nobody can ask any more.
    pub async fn serve(mut self, mut requests: Requests, events: Events) {
        while let Some((number, request)) = requests.recv().await {
            let answer = match self.answer(request).await {
                Ok(()) => Answer::Done,
                Err(error) => Answer::Refused {
                    message: format!("{error:#}"),
                },
            };
            let _ = events.send(Event::Answer { number, answer });
        }
    }

    async fn answer(&mut self, request: Request) -> anyhow::Result<()> {
        match request {
            Request::Reload => self.move_to(self.assignment.job.parameters.clone()).await,
            Request::SetParameters { parameters } => {
                let mut all = self.assignment.job.parameters.clone();
                all.extend(parameters);
                self.move_to(all).await
            }
        }
    }

    async fn move_to(&mut self, parameters: Parameters) -> anyhow::Result<()> {
        let mut wanted = self.assignment.clone();
        wanted.job.parameters = parameters;
        let description = load(&wanted).await?;
        if let Some(capture) = &self.capture {
            capture
                .replace(&description, &wanted.job.parameters)
                .await?;
        }
        if let Some(attract) = &self.attract {
            attract.change(&description, &wanted.job.parameters);
        }
        self.assignment = wanted;
        Ok(())
    }
}
