//! `/healthz`: the process lives. `/readyz`: it can do what it is configured to do, or the reasons why not.

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::App;
use crate::admission::Cost;
use crate::doctor::Report;
use crate::job::JobState;
use crate::signalling::ids::JobId;

/// What decides whether the server is ready.
#[derive(Debug, Default)]
pub struct Health {
    /// The server's stop.
    pub stopping: CancellationToken,
    /// The jobs of the configured kiosks, once they were started.
    pub kiosks: OnceLock<Vec<JobId>>,
    /// What the doctor said of this machine, once it has looked; it is asked only where there are kiosks.
    pub doctor: OnceLock<Report>,
}

/// The process lives.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Alive {
    /// Always `ok`.
    pub status: String,
    /// attache's version.
    pub version: String,
}

/// Whether the server can do what it is configured to do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// It can.
    pub ready: bool,
    /// Why not, in words.
    pub reasons: Vec<String>,
    /// What further jobs may take; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_left: Option<Cost>,
}

/// `/healthz` and `/readyz`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
}

/// Says that the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = Alive)))]
pub async fn healthz() -> Json<Alive> {
    Json(Alive {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Says whether the server can do what it is configured to do.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses(
    (status = 200, body = Readiness),
    (status = 503, body = Readiness, description = "not ready; the reasons say why"),
))]
pub async fn readyz(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let readiness = readiness(&app);
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}

/// Whether the server is ready now.
pub fn readiness(app: &App) -> Readiness {
    let reasons = reasons(app);
    Readiness {
        ready: reasons.is_empty(),
        reasons,
        room_left: app.supervisor.load().left(),
    }
}

fn reasons(app: &App) -> Vec<String> {
    if app.health.stopping.is_cancelled() {
        return vec!["the server stops".to_owned()];
    }
    let Some(kiosks) = app.health.kiosks.get() else {
        return vec!["the server starts".to_owned()];
    };
    let sick = app.health.doctor.get();
    let sick = sick.is_some_and(|report| !report.can_carry_a_call);
    // What is missing is in the log, for those who look after this machine.
    let machine =
        sick.then(|| "this machine cannot carry a call; `attache doctor` tells why".to_owned());
    let kiosks = kiosks.iter().filter_map(|id| absent_kiosk(app, id));
    machine.into_iter().chain(kiosks).collect()
}

/// Why a configured kiosk is not in its room. What its worker said is for those with the API token.
fn absent_kiosk(app: &App, id: &JobId) -> Option<String> {
    let Some(job) = app.supervisor.get(id) else {
        return Some(format!("kiosk {id} is gone"));
    };
    let what = match job.state {
        // Whoever stopped it through the API wanted that.
        JobState::Joined | JobState::Stopping | JobState::Stopped => return None,
        JobState::Starting => "starts",
        JobState::Reconnecting => "has lost the signalling",
        JobState::Restarting => "ended with an error and starts again",
        JobState::Failed => "has failed",
    };
    Some(format!("kiosk {id} {what}"))
}
