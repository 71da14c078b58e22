//! Requests to a running job: another description or other values, while its peers stay.

use std::sync::Arc;

use gstreamer::prelude::*;

use super::attract::Attract;
use super::everybody::Crowd;
use super::mixed::Arrangement;
use super::order::{self, Act, Orders};
use super::relay::Source;
use super::{Events, load};
use crate::graph::Graph;
use crate::job::{Answer, Assignment, Event, Parameters, Request};
use crate::media::capture::Capture;
use crate::media::chain::Chains;
use crate::media::playback::Playback;
use crate::media::running;
use crate::pipeline::Description;
use crate::worker::Requests;

/// What of a job follows its description while it runs.
#[derive(Default)]
pub struct Parts {
    /// What it sends.
    pub capture: Option<Capture>,
    /// What it plays and shows.
    pub playback: Option<Arc<Playback>>,
    /// What it shows to itself.
    pub attract: Option<Attract>,
    /// How it arranges what it records.
    pub arrangement: Option<Arrangement>,
    /// Where a publisher's media comes in.
    pub source: Option<Source>,
    /// What it filters with.
    pub chains: Option<Chains>,
    /// The same, of a filter for everybody.
    pub crowd: Option<Crowd>,
}

/// Moves a job on, one request after the other.
pub struct Reload {
    assignment: Assignment,
    description: Description,
    parts: Parts,
    orders: Orders,
}

impl Reload {
    /// For a job that begins with this description.
    pub fn new(
        assignment: &Assignment,
        description: Description,
        parts: Parts,
        orders: Orders,
    ) -> Self {
        Self {
            assignment: assignment.clone(),
            description,
            parts,
            orders,
        }
    }

    /// Answers requests until nobody can ask any more.
    pub async fn serve(mut self, mut requests: Requests, events: Events) {
        while let Some((number, request)) = requests.recv().await {
            let answer = match self.answer(request).await {
                Ok(answer) => answer,
                Err(error) => Answer::Refused {
                    message: format!("{error:#}"),
                },
            };
            let _ = events.send(Event::Answer { number, answer });
        }
    }

    async fn answer(&mut self, request: Request) -> anyhow::Result<Answer> {
        match request {
            Request::Reload => {
                let parameters = self.assignment.job.parameters.clone();
                self.move_to(parameters).await?;
            }
            Request::SetParameters { parameters } => {
                let mut all = self.assignment.job.parameters.clone();
                all.extend(parameters);
                self.move_to(all).await?;
            }
            Request::Graph => {
                // Properties and caps are read under the elements' own locks.
                let graph = tokio::task::spawn_blocking(running_graph).await?;
                return Ok(Answer::Graph { graph });
            }
            Request::Pause => order::give(&self.orders, Act::Pause).await?,
            Request::Resume => order::give(&self.orders, Act::Resume).await?,
            Request::Split => order::give(&self.orders, Act::Split).await?,
            Request::Receive { offer, ice } => {
                let sdp = self.source()?.receive(&offer, ice).await?;
                return Ok(Answer::Session { sdp });
            }
            Request::Trickle { candidates } => self.source()?.trickle(candidates),
        }
        Ok(Answer::Done)
    }

    fn source(&self) -> anyhow::Result<&Source> {
        let source = self.parts.source.as_ref();
        source.ok_or_else(|| anyhow::anyhow!("only a relay has a publisher"))
    }

    async fn move_to(&mut self, parameters: Parameters) -> anyhow::Result<()> {
        let mut wanted = self.assignment.clone();
        wanted.job.parameters = parameters;
        let description = load(&wanted).await?;
        let former = (&self.description, &self.assignment.job.parameters);
        let next = (&description, &wanted.job.parameters);
        self.parts.replace(next, former).await?;
        self.description = description;
        self.assignment = wanted;
        Ok(())
    }
}

/// The pipelines of this process; a worker does one job.
fn running_graph() -> Graph {
    let bins = running::pipelines()
        .into_iter()
        .map(|pipeline| pipeline.upcast());
    Graph::of(&bins.collect::<Vec<_>>())
}

impl Parts {
    /// All move, or none: when the playback cannot, the capture goes back to what it was.
    async fn replace(
        &self,
        (description, parameters): (&Description, &Parameters),
        (former, before): (&Description, &Parameters),
    ) -> anyhow::Result<()> {
        if let Some(capture) = &self.capture {
            capture.replace(description, parameters).await?;
        }
        if let Some(playback) = &self.playback
            && let Err(error) = playback.replace(description, parameters).await
        {
            if let Some(capture) = &self.capture {
                capture.replace(former, before).await?;
            }
            return Err(error.into());
        }
        if let Some(arrangement) = &self.arrangement {
            arrangement.change((description, parameters), (former, before))?;
        }
        if let Some(chains) = &self.chains {
            chains.replace(description, parameters).await?;
        }
        if let Some(crowd) = &self.crowd {
            crowd
                .replace((description, parameters), (former, before))
                .await?;
        }
        if let Some(attract) = &self.attract {
            attract.change(description, parameters);
        }
        Ok(())
    }
}
