//! The state of everything in one answer, once or as a stream: what the status page shows.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior, interval};
use utoipa::ToSchema;

use super::App;
use super::error::ApiError;
use super::health::{Readiness, readiness};
use crate::admission::Load;
use crate::signalling::room::RoomView;
use crate::supervisor::JobView;

/// How often a stream looks for what changed.
const LOOK: Duration = Duration::from_secs(1);

/// The state of everything.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    /// attache's version.
    pub version: &'static str,
    /// Whether the server can do what it is configured to do.
    pub health: Readiness,
    /// Every room that somebody is in.
    pub rooms: Vec<RoomView>,
    /// Every job at work, and those that ended lately, with their peers and how good the connections are.
    pub jobs: Vec<JobView>,
    /// What the jobs take together, and what they may take.
    pub load: Load,
}

impl Status {
    fn now(app: &App) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            health: readiness(app),
            rooms: app.hub.snapshot(),
            jobs: app.supervisor.list(),
            load: app.supervisor.load(),
        }
    }
}

/// Tells the state of everything.
#[utoipa::path(get, path = "/api/v1/status", tag = "status", responses(
    (status = 200, body = Status),
    (status = 401, body = ApiError),
))]
pub async fn get_status(State(app): State<App>) -> Json<Status> {
    Json(Status::now(&app))
}

/// Tells the state of everything, and again when it has changed, at most once a second: server-sent events (WHATWG HTML
/// 9.2) named `status`, each with a whole `Status` as its data.
#[utoipa::path(get, path = "/api/v1/status/stream", tag = "status", responses(
    (status = 200, body = Status, content_type = "text/event-stream"),
    (status = 401, body = ApiError),
))]
pub async fn stream_status(
    State(app): State<App>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch {
        app,
        ticks,
        told: String::new(),
    };
    Sse::new(unfold(watch, Watch::next)).keep_alive(KeepAlive::default())
}

struct Watch {
    app: App,
    ticks: Interval,
    told: String,
}

impl Watch {
    /// Waits for a change; nothing more comes once the server stops.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let stopping = self.app.health.stopping.clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return None,
                _ = self.ticks.tick() => {}
            }
            let Ok(now) = serde_json::to_string(&Status::now(&self.app)) else {
                continue;
            };
            if now != self.told {
                let event = Event::default().event("status").data(&now);
                self.told = now;
                return Some((Ok(event), self));
            }
        }
    }
}
