//! The HTTP API of a running server, as commands ask it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::{Client, Response};
use serde_json::Value as Json;
use url::Url;

use super::Failure;
use crate::tls;

/// The server answers requests within 40 s.
const LIMIT: Duration = Duration::from_secs(45);

#[derive(Debug, Args)]
pub struct ServerArguments {
    /// The server that is asked
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = server_url)]
    server: Url,
    /// Its API token; in the environment other users do not see it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "ATTACHE_API_TOKEN",
        hide_env_values = true
    )]
    api_token: Option<String>,
    /// Trust the certificates of this PEM file, too
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl ServerArguments {
    /// The server as people write it.
    pub fn url(&self) -> &Url {
        &self.server
    }

    /// Gets what lies at a path below `/api/v1/`.
    ///
    /// # Errors
    /// In words: nobody answers, or what the server says.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let url = self.server.join("/api/v1/").and_then(|api| api.join(path));
        let url = url.with_context(|| format!("{path}: no path of the API"))?;
        let mut request = self.client()?.get(url);
        if let Some(token) = &self.api_token {
            request = request.bearer_auth(token);
        }
        let unreachable = || format!("{} does not answer", self.server);
        let response = request.send().await.with_context(unreachable)?;
        if !response.status().is_success() {
            return Err(Failure::Failed(refusal(&self.server, response).await));
        }
        let body = response.bytes().await.with_context(unreachable)?;
        Ok(body.to_vec())
    }

    fn client(&self) -> Result<Client, Failure> {
        let trusted = tls::client_config(self.ca.as_deref());
        let trusted = trusted.map_err(|error| Failure::Usage(error.into()))?;
        let builder = Client::builder()
            .timeout(LIMIT)
            .no_proxy()
            .tls_backend_preconfigured(trusted);
        Ok(builder.build().context("cannot make an HTTP client")?)
    }
}

/// What the server says, or at least its status.
async fn refusal(server: &Url, response: Response) -> anyhow::Error {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let body: Json = serde_json::from_slice(&body).unwrap_or_default();
    match body["error"]["message"].as_str() {
        Some(message) => anyhow!("{message}"),
        None => anyhow!("{server} answers {status}, and not as an attache server does"),
    }
}

fn server_url(text: &str) -> Result<Url, String> {
    let right = "write http://HOST:PORT or https://HOST";
    let url = Url::parse(text).map_err(|error| format!("{error}; {right}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("this is no address of a server; {right}"));
    }
    Ok(url)
}
