//! Has encoders proven by child processes, one after the other, and keeps what became of it.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;

use super::cache::{Cache, Turn};
use super::table::Candidate;
use super::verdict::{Class, Verdict};
use super::{Shared, exists, machine};
use crate::media::Codec;
use crate::pipeline::Settings;

/// The hidden command that proves one encoder.
pub const COMMAND: &str = "prove-encoder";
/// A child that takes longer is killed.
const LIMIT: Duration = Duration::from_secs(12);

/// The program that proves encoders: this one, unless this is something else that has attache in it, such as a test.
pub fn own_program() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    (program.file_stem()? == "attache").then_some(program)
}

/// What is to be proven, in this order.
pub(super) struct Work {
    shared: Arc<Shared>,
    pub(super) program: Option<PathBuf>,
    settings: Settings,
    pub(super) candidates: Vec<&'static Candidate>,
}

impl Work {
    /// Those of these codecs that exist, are allowed and whose verdict is not yet known; known ones are taken over.
    pub fn new(
        shared: &Arc<Shared>,
        codecs: &[Codec],
        settings: &Settings,
        program: Option<PathBuf>,
    ) -> Self {
        let class = Class::of(settings);
        let cache = Cache::new(shared.policy.cache.as_deref());
        let (verdicts, drivers) = (cache.read(), machine::drivers());
        let is_video = |codec: &&Codec| codec.kind() == crate::media::MediaKind::Video;
        let allowed = codecs.iter().filter(is_video);
        let mut candidates: Vec<_> = allowed
            .flat_map(|codec| shared.policy.allowed(*codec))
            .filter(|candidate| exists(candidate.factory))
            .collect();
        candidates.retain(|candidate| {
            let key = machine::key(candidate, class, &drivers);
            let known = key.and_then(|key| verdicts.get(&key).cloned());
            let is_known = known.is_some();
            if let Some(verdict) = known {
                shared.learn(candidate, class, verdict);
            }
            !is_known
        });
        Self {
            shared: Arc::clone(shared),
            program,
            settings: settings.clone(),
            candidates,
        }
    }

    /// Proves them all; `told` is called with each when it is done.
    pub async fn run(self, told: impl Fn(&'static Candidate)) {
        let Some(program) = &self.program else { return };
        let class = Class::of(&self.settings);
        let cache = Cache::new(self.shared.policy.cache.as_deref());
        let drivers = machine::drivers();
        for candidate in &self.candidates {
            let turn = take_turn(&cache).await;
            let key = machine::key(candidate, class, &drivers);
            // Another process may have had its turn meanwhile.
            let found = key.as_ref().and_then(|key| cache.read().remove(key));
            let verdict = match found {
                Some(verdict) => verdict,
                None => {
                    let mut verdict = prove(program, candidate, class, &self.settings).await;
                    if matches!(verdict, Verdict::TooSlow { .. }) {
                        // Perhaps the machine was busy, and the verdict would be kept for long.
                        verdict = prove(program, candidate, class, &self.settings).await;
                    }
                    tracing::info!(encoder = candidate.factory, size = %class, %verdict, "encoder proven");
                    if let (Some(turn), Some(key)) = (&turn, key)
                        && let Err(error) = cache.add(turn, key, verdict.clone())
                    {
                        tracing::warn!(file = %cache.path().display(), %error, "an encoder's verdict is not kept");
                    }
                    verdict
                }
            };
            drop(turn);
            self.shared.learn(candidate, class, verdict);
            told(candidate);
        }
    }
}

async fn take_turn(cache: &Cache) -> Option<Turn> {
    let cache_of_thread = cache.clone();
    let turn = tokio::task::spawn_blocking(move || cache_of_thread.turn()).await;
    match turn {
        Ok(Ok(turn)) => Some(turn),
        Ok(Err(error)) => {
            let file = cache.path();
            tracing::warn!(file = %file.display(), %error, "verdicts of encoders are not kept; [encoders] cache names another folder");
            None
        }
        Err(_) => None,
    }
}

/// Proves one in a child process.
pub async fn prove(
    program: &Path,
    candidate: &Candidate,
    class: Class,
    settings: &Settings,
) -> Verdict {
    let number = |number: u32| number.to_string();
    let child = Command::new(program)
        .arg(COMMAND)
        .args(["--factory", candidate.factory])
        .args(["--codec", candidate.codec.name()])
        .args(["--width", &number(class.width)])
        .args(["--height", &number(class.height)])
        .args(["--framerate", &number(class.framerate)])
        .args(["--bitrate", &number(settings.video.bitrate.bits_per_second)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) => {
            return Verdict::Failed {
                reason: format!("{} cannot be started: {error}", program.display()),
            };
        }
    };
    match tokio::time::timeout(LIMIT, child.wait_with_output()).await {
        Ok(Ok(output)) => read(&output.stdout, output.status),
        Ok(Err(error)) => Verdict::Failed {
            reason: error.to_string(),
        },
        // Dropping the wait kills the child.
        Err(_) => Verdict::Hung {
            reason: format!("no verdict within {} s", LIMIT.as_secs()),
        },
    }
}

/// The verdict that a child printed, or what its end says.
fn read(printed: &[u8], status: ExitStatus) -> Verdict {
    let lines = printed.split(|byte| *byte == b'\n');
    // The verdict is the last line: a driver may print, too.
    let verdict = lines
        .rev()
        .find_map(|line| serde_json::from_slice(line).ok());
    verdict.unwrap_or_else(|| Verdict::Crashed {
        reason: match status.signal() {
            Some(signal) => format!("its process was ended by signal {signal}"),
            None => format!("its process ended without a verdict ({status})"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_found_among_what_drivers_print() {
        let printed = b"libva info: hello\n{\"verdict\":\"failed\",\"reason\":\"no\"}\nbye\n";
        let verdict = read(printed, ExitStatus::from_raw(0));
        assert_eq!(verdict.to_string(), "failed: no");
    }

    #[test]
    fn a_child_that_says_nothing_has_crashed() {
        let verdict = read(b"", ExitStatus::from_raw(11));
        assert_eq!(
            verdict.to_string(),
            "crashed: its process was ended by signal 11"
        );
    }
}
