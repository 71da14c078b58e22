//! `attache job`: lists, shows and controls the jobs of a server, over its HTTP API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use reqwest::{Certificate, Client, Method};
use serde_json::Value;
use url::Url;

use super::{Failure, print_line};
use crate::signalling::ids::JobId;

/// A source that replaces another may take its time; the server gives up before.
const LIMIT: Duration = Duration::from_secs(45);

#[derive(Debug, Args)]
pub struct JobArguments {
    #[command(subcommand)]
    command: JobCommand,
}

#[derive(Debug, Subcommand)]
enum JobCommand {
    /// List the jobs at work and those that ended lately
    List(ServerArguments),
    /// Show everything about a job, as JSON
    Show(OneJob),
    /// Pause a recorder: nothing is written, and its room sees it
    Pause(OneJob),
    /// Let a paused recorder go on
    Resume(OneJob),
    /// Let a recorder go on in new files, without a gap
    Split(OneJob),
    /// End a job: it leaves its room and finishes its files
    Stop(OneJob),
}

#[derive(Debug, Args)]
struct OneJob {
    /// The job's id, as `attache job list` shows it
    id: JobId,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
struct ServerArguments {
    /// The server, as a browser opens it
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: Url,
    /// The API token; in the environment other users do not see it
    #[arg(long, env = "ATTACHE_API_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Trust the certificates of this PEM file, too
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Asks the server, and prints its answer.
pub async fn job(arguments: JobArguments) -> Result<(), Failure> {
    let (method, job, what) = match arguments.command {
        JobCommand::List(server) => {
            let answer = server.ask(Method::GET, "/api/v1/jobs").await?;
            let jobs = answer["jobs"].as_array().map_or(&[][..], Vec::as_slice);
            jobs.iter().for_each(|job| print_line(&in_words(job)));
            return Ok(());
        }
        JobCommand::Show(job) => {
            let answer = job.server.ask(Method::GET, &job.path("")).await?;
            print_line(
                &serde_json::to_string_pretty(&answer).context("the answer cannot be shown")?,
            );
            return Ok(());
        }
        JobCommand::Pause(job) => (Method::POST, job, "/pause"),
        JobCommand::Resume(job) => (Method::POST, job, "/resume"),
        JobCommand::Split(job) => (Method::POST, job, "/split"),
        JobCommand::Stop(job) => (Method::DELETE, job, ""),
    };
    let answer = job.server.ask(method, &job.path(what)).await?;
    print_line(&in_words(&answer));
    Ok(())
}

impl OneJob {
    fn path(&self, what: &str) -> String {
        format!("/api/v1/jobs/{}{what}", self.id)
    }
}

impl ServerArguments {
    /// The server's answer; what it refuses is an error with its words.
    async fn ask(&self, method: Method, path: &str) -> anyhow::Result<Value> {
        // reqwest is built without a provider of its own; another one that is installed already serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder().timeout(LIMIT);
        if let Some(file) = &self.ca {
            let pem = std::fs::read(file).with_context(|| format!("--ca {}", file.display()))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("--ca {}: no PEM certificates", file.display()))?;
            for certificate in certificates {
                client = client.add_root_certificate(certificate);
            }
        }
        let url = self
            .server
            .join(path)
            .with_context(|| format!("--server {}: not an address of a server", self.server))?;
        let mut request = client.build()?.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request
            .send()
            .await
            .with_context(|| format!("cannot ask {}", self.server))?;
        let status = answer.status();
        let body = answer.bytes().await.context("the answer broke off")?;
        let body: Value = serde_json::from_slice(&body)
            .map_err(|_| anyhow!("{} answers {status}, but not as attache does", self.server))?;
        if status.is_success() {
            return Ok(body);
        }
        let message = body["error"]["message"].as_str().unwrap_or_default();
        bail!("{status}: {message}")
    }
}

/// A job in one line.
fn in_words(job: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut words = vec![
        text(&job["id"]),
        text(&job["spec"]["role"]),
        text(&job["spec"]["room"]),
        text(&job["state"]),
    ];
    if job["paused"] == true {
        words.push("paused".to_owned());
    }
    if let Some(because) = job["ended_because"].as_str() {
        words.push(format!("ended: {because}"));
    }
    let files = job["recordings"].as_array().map_or(0, Vec::len);
    if files > 0 {
        words.push(format!("{files} files"));
    }
    if let Some(error) = job["last_error"].as_str() {
        words.push(format!("last error: {error}"));
    }
    words.join("  ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_told_in_one_line() {
        let job = json!({
            "id": "4k2m9xqe", "spec": {"role": "recorder", "room": "lobby"}, "state": "joined", "paused": true,
            "recordings": [{}, {}],
        });
        assert_eq!(
            in_words(&job),
            "4k2m9xqe  recorder  lobby  joined  paused  2 files"
        );
    }
}
