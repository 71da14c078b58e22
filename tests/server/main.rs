//! The real server over real sockets; workers are small scripts that say what a worker would say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod api;
mod descriptions;
mod guard;
mod process;
mod signalling;
mod tls;

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attache::config::{Config, Overrides};
use attache::server::Server;
use reqwest::{Client, Method, RequestBuilder};
use tempfile::TempDir;

/// Everything that is waited for comes in this time, or the test fails.
const LIMIT: Duration = Duration::from_secs(20);

const API_TOKEN: &str = "0123456789abcdef";
const KEYS: &str =
    "[auth]\napi_token = \"0123456789abcdef\"\nroom_key = \"0123456789abcdef0123456789abcdef\"\n";

/// A worker that joins at once and leaves when asked; it notes its assignment beside itself.
const JOINS: &str = r#"#!/bin/sh
[ "$1" = worker ] || exit 0
read -r line
echo "$line" > "$(dirname "$0")/assignment"
echo '{"event":"state","state":"joined","participant":"worker"}'
while read -r line; do case "$line" in *stop*) exit 0;; esac; done
"#;

/// A worker that never gets to its room.
const HANGS: &str =
    "#!/bin/sh\nwhile read -r line; do case \"$line\" in *stop*) exit 0;; esac; done\n";

/// A running server, and the folder of its configuration, descriptions and worker.
struct Running {
    server: Server,
    folder: TempDir,
    client: Client,
}

impl Running {
    /// A server with this configuration besides a free port and its folders.
    async fn start(text: &str, worker: &str) -> Self {
        let folder = folder(worker);
        let mut config = Config::parse(
            text,
            Some(&folder.path().join("attache.toml")),
            on_free_port(),
        )
        .unwrap();
        config.server.state = folder.path().join("state");
        let server = Server::start(config, folder.path().join("worker"))
            .await
            .unwrap();
        attache::tls::install_ring();
        Self {
            server,
            folder,
            client: Client::new(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        self.get(path).send().await.unwrap().json().await.unwrap()
    }
}

fn on_free_port() -> Overrides {
    Overrides {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        self_signed: false,
        is_for_tools: false,
    }
}

/// A folder with two descriptions and a worker. The configuration in it is to name them: [`JOBS`].
fn folder(worker: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["kiosk.toml", "recorder.toml", "worker"] {
        std::fs::write(
            folder.path().join(name),
            if name == "worker" { worker } else { "" },
        )
        .unwrap();
    }
    let executable = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder.path().join("worker"), executable).unwrap();
    folder
}

/// The part of the configuration that names the folder's descriptions.
const JOBS: &str = "[jobs]\npipelines = \".\"\n";

/// Asks until the answer is there.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, asking)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

fn write(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).unwrap();
    path.to_owned()
}
