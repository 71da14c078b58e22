//! The server's doctor: a child process, since the server has no GStreamer in it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::report::Report;
use crate::media::encoder::Policy;

/// A quick look takes less than a second; a device driver may hang.
const LIMIT: Duration = Duration::from_secs(20);

/// Has `program` (attache itself) take a quick look at this machine.
///
/// # Errors
/// The program cannot be started, takes too long, or prints no report.
pub async fn examine(program: &Path, policy: &Policy) -> Result<Report> {
    let policy = serde_json::to_string(policy).context("the encoders' policy cannot be told")?;
    let child = Command::new(program)
        .args([
            "doctor",
            "--quick",
            "--json",
            "--only",
            "gstreamer",
            "--only",
            "encoders",
        ])
        .args(["--encoders", &policy])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .context("the doctor takes too long")??;
    serde_json::from_slice(&output.stdout).context("the doctor printed no report")
}
