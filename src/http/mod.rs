//! The page, the API and health behind one listening address.
//!
//! [`listen`] accepts connections, [`guard`] keeps other sites' pages out, [`page`] serves the page's files,
//! [`api`] the HTTP API, `recordings` the part of it about recordings, [`health`] the two probes (with
//! [`surroundings`]), `metrics` what Prometheus reads, `status` what the status page shows, and `whip` lets players
//! watch and publishers send. The same router serves the workers' private socket.

pub mod api;
pub mod error;
pub mod guard;
pub mod health;
mod jobs;
pub mod listen;
mod metrics;
mod page;
mod recordings;
mod status;
pub mod surroundings;
mod whip;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};
use tokio::sync::watch;

use crate::auth::Auth;
use crate::config::JobsConfig;
use crate::descriptions::Descriptions;
use crate::recording::catalog::Recordings;
use crate::recording::upload::service::Uploads;
use crate::signalling::{Entrance, Hub};
use crate::supervisor::Supervisor;
use crate::webhooks::Counts;
use crate::whip::{Publishers, Viewers};
use guard::Guard;
use health::Health;

/// What the handlers work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The rooms.
    pub hub: Hub,
    /// The jobs.
    pub supervisor: Supervisor,
    /// Who may do what.
    pub auth: Auth,
    /// Folders of jobs.
    pub jobs: Arc<JobsConfig>,
    /// Recordings of killed recorders that were finished.
    pub recovered: Arc<AtomicU64>,
    /// The folder of descriptions.
    pub descriptions: Descriptions,
    /// The recordings on disk.
    pub recordings: watch::Receiver<Recordings>,
    /// How far their uploads are.
    pub uploads: Uploads,
    /// What webhooks told.
    pub webhooks: Counts,
    /// Players that watch somebody.
    pub players: Viewers,
    /// Those who publish.
    pub publishers: Publishers,
    /// Whether the server is ready.
    pub health: Arc<Health>,
}

/// Everything that is served at an address. Browsers come in at the public one only: the guard stands there.
pub fn router(app: App, entrance: Entrance, guard: Guard) -> Router {
    let guarded = Router::new()
        .route("/api/v1/signalling", get(signalling))
        .merge(api::routes(&app))
        .merge(whip::routes());
    let guarded = match entrance {
        Entrance::Public => guarded.layer(middleware::from_fn_with_state(guard, guard::layer)),
        Entrance::Private => guarded,
    };
    let router = guarded.merge(health::routes()).merge(page::routes());
    page::with_safety(router)
        .layer(Extension(entrance))
        .with_state(app)
}

async fn signalling(
    State(app): State<App>,
    Extension(entrance): Extension<Entrance>,
    upgrade: WebSocketUpgrade,
) -> Response {
    app.hub.upgrade(upgrade, entrance)
}
