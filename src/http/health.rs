//! `/healthz`: the process lives. `/readyz`: it can do what it is configured to do, or the reasons why not.

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
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
    /// Why neither STUN nor TURN helps anybody, as of the last look.
    pub servers: watch::Sender<Option<String>>,
    /// Why nothing can be recorded, as of the last look.
    pub disk: watch::Sender<Option<String>>,
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
    /// Each thing that was looked at.
    pub checks: Vec<Looked>,
    /// What further jobs may take; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_left: Option<Cost>,
}

/// What readiness is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// The server itself: it has started, and does not stop.
    Server,
    /// Encoders, devices, GStreamer: whether this machine can carry a call.
    Machine,
    /// The configured kiosks are in their rooms.
    Kiosks,
    /// STUN and TURN servers answer, and give what they are there for.
    Servers,
    /// There is room where recordings go.
    Disk,
}

impl Aspect {
    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Machine => "machine",
            Self::Kiosks => "kiosks",
            Self::Servers => "servers",
            Self::Disk => "disk",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Looked {
    /// What.
    pub check: Aspect,
    /// It is as it should be.
    pub ready: bool,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl Looked {
    fn new(check: Aspect, reasons: impl IntoIterator<Item = String>) -> Self {
        let reasons: Vec<_> = reasons.into_iter().collect();
        Self {
            check,
            ready: reasons.is_empty(),
            reasons,
        }
    }
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
    let checks = checks(app);
    let reasons = checks.iter().flat_map(|check| check.reasons.clone());
    Readiness {
        ready: checks.iter().all(|check| check.ready),
        reasons: reasons.collect(),
        checks,
        room_left: app.supervisor.load().left(),
    }
}

fn checks(app: &App) -> Vec<Looked> {
    let health = &app.health;
    let server = |why: &str| vec![Looked::new(Aspect::Server, [why.to_owned()])];
    if health.stopping.is_cancelled() {
        return server("the server stops");
    }
    let Some(kiosks) = health.kiosks.get() else {
        return server("the server starts");
    };
    let sick = health.doctor.get();
    let sick = sick.is_some_and(|report| !report.can_carry_a_call);
    // What is missing is in the log, for those who look after this machine.
    let machine =
        sick.then(|| "this machine cannot carry a call; `attache doctor` tells why".to_owned());
    let kiosks = kiosks.iter().filter_map(|id| absent_kiosk(app, id));
    vec![
        Looked::new(Aspect::Server, []),
        Looked::new(Aspect::Machine, machine),
        Looked::new(Aspect::Kiosks, kiosks),
        Looked::new(Aspect::Servers, health.servers.borrow().clone()),
        Looked::new(Aspect::Disk, health.disk.borrow().clone()),
    ]
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
