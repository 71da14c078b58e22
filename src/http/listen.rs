//! Accepts connections on TCP (plain or TLS) and on the private Unix socket, and gives them to the router. Slow
//! clients are bounded: by time for the handshake, for the head of a request, and for the connection as a whole.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Connections in their HTTP phase at one time; more wait to be accepted. WebSockets count with the hub instead.
const CONNECTIONS: usize = 512;
/// From the TCP connection to the end of the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Until the head of a request is there; an idle connection is closed after this, too.
const HEAD: Duration = Duration::from_secs(15);
/// A connection in its HTTP phase is asked to end after this.
const LONGEST: Duration = Duration::from_secs(120);
/// What a connection gets to finish its last response.
const GRACE: Duration = Duration::from_secs(5);
/// Between attempts when the system gives no connection (no file descriptors left, for example).
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
pub enum Listener {
    /// The listening address, with TLS or without.
    Tcp(TcpListener, Option<TlsAcceptor>),
    /// The workers' socket.
    Unix(UnixListener),
}

/// Serves until `stop`, then closes the listener and returns when the connections have ended or were given up.
pub async fn serve(listener: Listener, router: Router, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        // The semaphore is never closed.
        let Ok(permit) = permit else { break };
        let connection = Connection {
            router: router.clone(),
            stop: stop.clone(),
            _permit: permit,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, connection, &connections) => accepted,
        };
        if let Err(error) = accepted {
            warn!(%error, "cannot accept a connection");
            sleep(PAUSE).await;
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &Listener,
    connection: Connection,
    tasks: &TaskTracker,
) -> io::Result<()> {
    match listener {
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            tasks.spawn(connection.serve(stream));
        }
        Listener::Tcp(listener, tls) => {
            let (stream, _) = listener.accept().await?;
            // Signalling messages are small and wanted at once.
            stream.set_nodelay(true)?;
            match tls.clone() {
                None => tasks.spawn(connection.serve(stream)),
                Some(tls) => tasks.spawn(async move {
                    match timeout(HANDSHAKE, tls.accept(stream)).await {
                        Ok(Ok(stream)) => connection.serve(stream).await,
                        Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
                        Err(_) => debug!("TLS handshake took too long"),
                    }
                }),
            };
        }
    }
    Ok(())
}

struct Connection {
    router: Router,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.router))
            .with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            () = self.stop.cancelled() => {}
            () = sleep(LONGEST) => {}
        }
        connection.as_mut().graceful_shutdown();
        if let Ok(ended) = timeout(GRACE, connection).await {
            log_end(ended);
        }
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%error, "connection ended");
    }
}
