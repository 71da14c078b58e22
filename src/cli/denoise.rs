//! `attache denoise`: an engine over a file of sound, with its times.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, StopSignals, print_line};
use crate::filter::engine;
use crate::filter::file::{self, FileError, Outcome, Progress, Task};

#[derive(Debug, Args)]
pub struct DenoiseArguments {
    /// The file to read: WAV, FLAC, MP3, Ogg, Matroska, WebM or MP4, also one that attache recorded
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write: .wav, .flac, .opus or .ogg
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// nsnet2 (the better one), rnnoise (the light one) or webrtcdsp (GStreamer's classic one)
    #[arg(long, value_name = "ENGINE", default_value = engine::DEFAULT)]
    engine: String,
    /// How much of the filtered sound is heard, 0 to 1
    #[arg(long, value_name = "STRENGTH", default_value_t = 1.0, value_parser = strength)]
    strength: f32,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// Print the times as JSON
    #[arg(long)]
    json: bool,
}

fn strength(text: &str) -> Result<f32, String> {
    let wrong = || "a number from 0 to 1 is needed".to_owned();
    let strength: f32 = text.parse().map_err(|_| wrong())?;
    (0.0..=1.0)
        .contains(&strength)
        .then_some(strength)
        .ok_or_else(wrong)
}

pub async fn denoise(arguments: DenoiseArguments) -> Result<(), Failure> {
    let task = Task {
        input: arguments.input,
        output: arguments.output,
        overwrite: arguments.force,
        engine: arguments.engine,
        strength: arguments.strength,
    };
    let mut signals = StopSignals::new()?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    let stop = is_stopped.clone();
    let to = task.output.clone();
    let mut work = tokio::task::spawn_blocking(move || filter(&task, &stop));
    let done = tokio::select! {
        done = &mut work => done,
        () = signals.next() => {
            is_stopped.store(true, Ordering::Relaxed);
            work.await
        }
    };
    let outcome = done
        .context("the filter came to no end")?
        .map_err(failure)?;
    if arguments.json {
        let json = serde_json::to_string(&outcome).context("the times cannot be printed")?;
        print_line(&json);
    } else {
        print_line(&format!("{}: {}", to.display(), told(&outcome)));
    }
    Ok(())
}

/// Arguments that are wrong by themselves, and what went wrong on the way.
fn failure(error: FileError) -> Failure {
    match error {
        FileError::Extension { .. }
        | FileError::Exists { .. }
        | FileError::NoStrength
        | FileError::Engine(_) => Failure::Usage(error.into()),
        FileError::Unreadable { .. }
        | FileError::Unknown { .. }
        | FileError::Unwritable { .. }
        | FileError::Media(_)
        | FileError::Failed { .. }
        | FileError::Stopped => Failure::Failed(error.into()),
    }
}

fn filter(task: &Task, is_stopped: &AtomicBool) -> Result<Outcome, FileError> {
    // On a terminal only; elsewhere it draws nothing.
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % {msg} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let outcome = file::run(task, |progress| {
        draw(&bar, progress);
        !is_stopped.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    outcome
}

fn draw(bar: &ProgressBar, Progress { done, total }: Progress) {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if let Some(total) = total {
        bar.set_length(milliseconds(total));
    }
    bar.set_position(milliseconds(done));
    bar.set_message(format!("{:.1} s of sound", done.as_secs_f64()));
}

fn told(outcome: &Outcome) -> String {
    format!(
        "{:.1} s of sound in {:.1} s with {}; per frame {} µs mean, {} µs p99, {} µs worst; real-time factor {:.4}",
        outcome.sound_seconds,
        outcome.elapsed_seconds,
        outcome.engine,
        outcome.mean_us,
        outcome.p99_us,
        outcome.worst_us,
        outcome.real_time_factor,
    )
}
