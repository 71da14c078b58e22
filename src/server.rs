//! `attache serve`: starts the control process's parts and stops them in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::config::Config;
use crate::descriptions::{self, Descriptions};
use crate::doctor;
use crate::filters;
use crate::home::{Hold, Home};
use crate::http::guard::Guard;
use crate::http::health::Health;
use crate::http::listen::{self, Listener};
use crate::http::{self, App, surroundings};
use crate::large_rooms;
use crate::media::encoder::Policy;
use crate::recording::catalog::{Catalog, Recordings};
use crate::recording::recovery::{Mode, recover_all};
use crate::recording::upload::service::Uploads;
use crate::signalling::{Entrance, Hub};
use crate::supervisor::adoption::Lobby;
use crate::supervisor::{Settings, Supervisor};
use crate::tls;
use crate::webhooks::{Counts, Sources, Webhooks};
use crate::whip::{Publishers, Viewers};

/// Of the time for a stop, what is kept for telling everybody and closing connections once the workers have ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running server.
pub struct Server {
    address: SocketAddr,
    has_tls: bool,
    stop_timeout: Duration,
    hub: Hub,
    supervisor: Supervisor,
    health: Arc<Health>,
    close: CancellationToken,
    listeners: Vec<JoinHandle<()>>,
    _watcher: Option<AbortOnDropHandle<()>>,
    _examination: Option<AbortOnDropHandle<()>>,
    _descriptions: Option<descriptions::Watch>,
    _recordings: Vec<AbortOnDropHandle<()>>,
    _filters: AbortOnDropHandle<()>,
    _large_rooms: AbortOnDropHandle<()>,
    _adoption: Option<AbortOnDropHandle<()>>,
    /// The state folder is this server's.
    _hold: Hold,
}

impl Server {
    /// Starts everything; `worker` is the program whose `worker` command runs a job.
    ///
    /// # Errors
    /// The certificate cannot be used, the address cannot be listened on, or a configured kiosk cannot be started.
    pub async fn start(config: Config, worker: PathBuf) -> anyhow::Result<Self> {
        let tls = config
            .tls
            .as_ref()
            .map(|tls| tls::load(tls, config.server.listen.ip()))
            .transpose()?;
        let listen = config.server.listen;
        let tcp = TcpListener::bind(listen).await.with_context(|| {
            format!("cannot listen on {listen}; --listen or [server] listen choose another address")
        })?;
        let address = tcp
            .local_addr()
            .context("the listening address has no name")?;
        let Home {
            signalling: (socket, unix),
            control,
            records,
            keys,
            hold,
        } = Home::open(&config.server.state)?;
        let program = worker.clone();

        let (changes, changed) = mpsc::unbounded_channel();
        let auth = config.auth.to_auth();
        let (wish, wishes) = mpsc::unbounded_channel();
        let hub = Hub::with_filters(
            config.limits.clone(),
            auth.clone(),
            config.ice.clone(),
            keys,
            Some(wish),
        );
        let supervisor = Supervisor::new(Settings {
            jobs_at_most: config.jobs.maximum,
            capacity: config.jobs.capacity,
            memory_limit_mb: config.jobs.memory_limit_mb,
            server_wait: config.jobs.server_wait,
            media: config.jobs.media.clone(),
            elements: config.jobs.elements.clone(),
            stop_limit: config.server.stop_timeout,
            stream_hosts: config.jobs.stream_hosts.clone(),
            remotes: config.jobs.remotes.clone(),
            encoders: config.encoders.clone(),
            second_folder: config.jobs.second_folder.clone(),
            changes: Some(changes),
            records,
            control: control.as_ref().map(|(path, _)| path.clone()),
            ..Settings::new(
                worker,
                socket,
                config.jobs.pipelines.clone(),
                config.jobs.recordings.clone(),
                auth.clone(),
            )
        });
        let lobby = Lobby::default();
        supervisor.take_over(&lobby);
        let adoption = control
            .map(|(_, listener)| AbortOnDropHandle::new(tokio::spawn(lobby.serve(listener))));
        let filters = filters::serve(wishes, hub.clone(), supervisor.clone());
        let mesh_up_to = config.limits.mesh_up_to;
        let large_rooms = large_rooms::serve(hub.clone(), supervisor.clone(), mesh_up_to);
        let doctor = program.clone();
        let descriptions = Descriptions::new(
            config.jobs.pipelines.clone(),
            program,
            config.jobs.elements.arguments(),
        );
        let watch = match descriptions.watch(supervisor.clone()) {
            Ok(watch) => Some(watch),
            Err(error) => {
                warn!("{error:#}; changed descriptions are read by new jobs only");
                None
            }
        };
        let (recordings, uploads, mut recording_tasks) = watch_recordings(&config);
        let webhook_counts = Counts::default();
        if !config.webhooks.is_empty() {
            let sources = Sources {
                jobs: changed,
                recordings: recordings.clone(),
                uploads: uploads.clone(),
            };
            let folder = config.server.state.join("webhooks");
            let webhooks = Webhooks::start(config.webhooks.clone(), folder, &webhook_counts)?;
            let task = tokio::spawn(webhooks.run(sources));
            recording_tasks.push(AbortOnDropHandle::new(task));
        }
        let health = Arc::new(Health::default());
        // Without kiosks this machine only brings others together: it needs no GStreamer.
        let examination = (!config.kiosks.is_empty())
            .then(|| examine_machine(doctor, config.encoders.clone(), Arc::clone(&health)));
        let watching = {
            let folders = [
                Some(config.jobs.recordings.clone()),
                config.jobs.second_folder.clone(),
            ];
            let folders = folders.into_iter().flatten().collect();
            surroundings::watch(config.ice.clone(), folders, Arc::clone(&health))
        };
        recording_tasks.push(AbortOnDropHandle::new(tokio::spawn(watching)));
        let recovered = Arc::new(AtomicU64::new(0));
        recover_recordings(&config, Arc::clone(&recovered));
        let app = App {
            recovered,
            hub: hub.clone(),
            supervisor: supervisor.clone(),
            auth,
            jobs: Arc::new(config.jobs.clone()),
            descriptions: descriptions.clone(),
            recordings,
            uploads,
            webhooks: webhook_counts,
            players: Viewers::new(hub.clone()),
            publishers: Publishers::new(hub.clone(), supervisor.clone()),
            health: Arc::clone(&health),
        };

        let guard = Guard::new(&config);
        let close = CancellationToken::new();
        let acceptor = tls
            .as_ref()
            .map(|tls| TlsAcceptor::from(Arc::clone(&tls.server)));
        let public = http::router(app.clone(), Entrance::Public, guard.clone());
        let private = http::router(app, Entrance::Private, guard);
        let listeners = vec![
            tokio::spawn(listen::serve(
                Listener::Tcp(tcp, acceptor),
                public,
                close.clone(),
            )),
            tokio::spawn(listen::serve(Listener::Unix(unix), private, close.clone())),
        ];
        let watcher = tls
            .and_then(|tls| tls.watcher)
            .map(|watcher| AbortOnDropHandle::new(tokio::spawn(watcher.run())));

        let server = Self {
            address,
            has_tls: config.tls.is_some(),
            stop_timeout: config.server.stop_timeout,
            hub,
            supervisor,
            health,
            close,
            listeners,
            _watcher: watcher,
            _examination: examination,
            _descriptions: watch,
            _recordings: recording_tasks,
            _filters: AbortOnDropHandle::new(tokio::spawn(filters)),
            _large_rooms: AbortOnDropHandle::new(tokio::spawn(large_rooms)),
            _adoption: adoption,
            _hold: hold,
        };
        server.start_kiosks(&config)?;
        Ok(server)
    }

    fn start_kiosks(&self, config: &Config) -> anyhow::Result<()> {
        let mut former = self.supervisor.configured();
        let mut kiosks = Vec::new();
        for kiosk in &config.kiosks {
            let id = match former.iter().position(|(_, asked)| asked == kiosk) {
                Some(place) => former.remove(place).0,
                None => {
                    let job = self.supervisor.start(kiosk.clone());
                    let started = job.with_context(|| {
                        format!("cannot start the kiosk of the room {}", kiosk.room)
                    });
                    started?.id
                }
            };
            kiosks.push(id);
        }
        for (id, _) in former {
            info!(job = %id, "the configuration does not ask for it any more");
            self.supervisor.stop(&id);
        }
        // Set here only, once.
        let _ = self.health.kiosks.set(kiosks);
        Ok(())
    }

    /// Where it listens; the port is the real one when the configuration said 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The addresses at which people on this machine and, if it listens there, on others open the page.
    pub fn urls(&self) -> Vec<String> {
        let scheme = if self.has_tls { "https" } else { "http" };
        let port = self.address.port();
        if !self.address.ip().is_unspecified() {
            return vec![format!("{scheme}://{}/", self.address)];
        }
        let v4 = tls::own_addresses()
            .into_iter()
            .filter(|ip| ip.is_ipv4() && !ip.is_loopback());
        let others = v4.map(|ip| format!("{scheme}://{ip}:{port}/"));
        std::iter::once(format!("{scheme}://localhost:{port}/"))
            .chain(others)
            .collect()
    }

    /// Its jobs.
    pub fn supervisor(&self) -> Supervisor {
        self.supervisor.clone()
    }

    /// Stops in order, within the configured time: the workers finish their files and leave, as they would at any
    /// other time; then everybody else is told and closed; then the listeners.
    pub async fn stop(self) {
        self.health.stopping.cancel();
        let farewell = FAREWELL.min(self.stop_timeout / 4);
        self.supervisor.stop_all(self.stop_timeout - farewell).await;
        let rest = async {
            self.hub.stop().await;
            self.close.cancel();
            for listener in self.listeners {
                if let Err(error) = listener.await {
                    warn!(%error, "a listener ended badly");
                }
            }
        };
        if tokio::time::timeout(farewell, rest).await.is_err() {
            info!("some connections were not closed by the other side in time");
        }
    }
}

/// Looks at the folders of recordings from now on, and uploads them where targets are configured.
fn watch_recordings(
    config: &Config,
) -> (
    watch::Receiver<Recordings>,
    Uploads,
    Vec<AbortOnDropHandle<()>>,
) {
    let (found, recordings) = watch::channel(Recordings::default());
    let mut tasks = vec![tokio::spawn(Catalog::new(config.jobs.roots()).watch(found))];
    let uploads = Uploads::default();
    if !config.uploads.targets.is_empty() {
        let settings = config.uploads.clone();
        let run = uploads.clone().run(settings, recordings.clone());
        tasks.push(tokio::spawn(run));
    }
    let tasks = tasks.into_iter().map(AbortOnDropHandle::new).collect();
    (recordings, uploads, tasks)
}

/// Finishes what killed recorders left, beside everything else. Recordings that go on are left alone.
fn recover_recordings(config: &Config, recovered: Arc<AtomicU64>) {
    let roots = config.jobs.roots();
    tokio::task::spawn_blocking(move || {
        let results = recover_all(&roots, Mode::Recover);
        let count = results.iter().filter(|result| result.is_ok()).count();
        recovered.fetch_add(count as u64, Ordering::Relaxed);
    });
}

/// Has a child process look at this machine, for `/readyz` and the log.
fn examine_machine(program: PathBuf, policy: Policy, health: Arc<Health>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        match doctor::child::examine(&program, &policy).await {
            Ok(report) => {
                for obstacle in report.obstacles() {
                    warn!("this machine cannot carry a call: {obstacle}");
                }
                // Set here only, once.
                let _ = health.doctor.set(report);
            }
            Err(error) => info!("the doctor did not look at this machine: {error:#}"),
        }
    }))
}
