//! `attache mix`: one film of one or several recordings of a call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::values::size;
use super::{Failure, StopSignals, print_line};
use crate::media::encoder::prover::own_program;
use crate::media::encoder::{Encoders, Policy};
use crate::pipeline::Bitrate;
use crate::recording::Manifest;
use crate::recording::mix::MixError;
use crate::recording::mix::film::{Film, missing};
use crate::recording::mix::format::Format;
use crate::recording::mix::plan::Plan;

#[derive(Debug, Args)]
pub struct MixArguments {
    /// Folders of recordings; several of one call, where its recorder was started again, make one film
    #[arg(required = true, value_name = "RECORDING")]
    recordings: Vec<PathBuf>,
    /// The film: .mp4 (H.264 and AAC), .mkv (H.264 and Opus) or .webm (VP8 and Opus)
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Pixels of the film
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720", value_parser = size)]
    size: (u32, u32),
    /// Pictures per second
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    framerate: u32,
    /// What the picture's encoder aims at
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(50..=50_000))]
    bitrate_kbps: u32,
    /// Go on without parts that are missing
    #[arg(long)]
    partial: bool,
    /// Replace the film if it is there
    #[arg(long)]
    force: bool,
}

/// Makes the film, with a progress bar on a terminal.
pub async fn mix(arguments: MixArguments) -> Result<(), Failure> {
    let usage = |error: MixError| Failure::Usage(error.into());
    let bitrate = Bitrate::from_kilobits(arguments.bitrate_kbps);
    let format = Format::new(&arguments.out, arguments.size, arguments.framerate, bitrate);
    let format = format.map_err(usage)?;
    if arguments.out.exists() && !arguments.force {
        return Err(Failure::Usage(anyhow::anyhow!(
            "{} is there already; --force replaces it",
            arguments.out.display()
        )));
    }
    let recordings = load(&arguments.recordings).map_err(usage)?;
    let plan = plan(&recordings, arguments.partial).map_err(usage)?;
    crate::media::init().context("GStreamer does not start")?;
    let (codecs, settings) = ([format.codec()], format.settings());
    let encoders = Encoders::prove(Policy::default(), &codecs, &settings, own_program()).await;

    let interrupted = Arc::new(AtomicBool::new(false));
    let mut signals = StopSignals::new()?;
    let told = interrupted.clone();
    tokio::spawn(async move {
        signals.next().await;
        told.store(true, Ordering::Relaxed);
    });
    let out = arguments.out;
    let work = move || make(plan, &format, &encoders, &out, &interrupted);
    let made = tokio::task::spawn_blocking(work).await;
    made.context("the film's task ended")??;
    Ok(())
}

fn load(folders: &[PathBuf]) -> Result<Vec<(PathBuf, Manifest)>, MixError> {
    let one = |folder: &PathBuf| match Manifest::load(folder) {
        Ok(manifest) => Ok((folder.clone(), manifest)),
        Err(reason) => Err(MixError::NoRecording {
            folder: folder.clone(),
            reason,
        }),
    };
    folders.iter().map(one).collect()
}

fn plan(recordings: &[(PathBuf, Manifest)], partial: bool) -> Result<Plan, MixError> {
    let mut plan = Plan::new(recordings)?;
    let missing = missing(&plan);
    if missing.is_empty() {
        return Ok(plan);
    }
    if !partial {
        return Err(MixError::Missing(missing));
    }
    for file in &missing {
        tracing::warn!("{} is missing; the film is made without it", file.display());
    }
    plan.clips.retain(|clip| !missing.contains(&clip.file));
    if plan.clips.is_empty() {
        return Err(MixError::Empty);
    }
    Ok(plan)
}

/// Writes beside the film's name and renames in the end: under its name there is a whole film or none.
fn make(
    plan: Plan,
    format: &Format,
    encoders: &Encoders,
    out: &Path,
    interrupted: &AtomicBool,
) -> Result<(), MixError> {
    let failed = |reason| MixError::Write {
        file: out.to_owned(),
        reason,
    };
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let growing = out.with_file_name(name);
    std::fs::File::create(&growing).map_err(failed)?;
    let (duration, begun) = (plan.duration, Instant::now());
    let parts = plan.clips.len();
    let bar = progress_bar(duration);
    let film = Film::new(plan, format, encoders, &growing);
    let made = film.and_then(|film| {
        let is_interrupted = || interrupted.load(Ordering::Relaxed);
        let tell = |at: Duration| bar.set_position(milliseconds(at));
        film.make(is_interrupted, tell)
    });
    bar.finish_and_clear();
    if let Err(error) = made {
        let _ = std::fs::remove_file(&growing);
        return Err(error);
    }
    std::fs::rename(&growing, out).map_err(failed)?;
    let took = begun.elapsed().as_secs_f64();
    print_line(&format!(
        "{}: {:.1} s of {parts} parts, made in {took:.1} s ({:.1} times as fast as it was lived)",
        out.display(),
        duration.as_secs_f64(),
        duration.as_secs_f64() / took.max(0.001)
    ));
    Ok(())
}

/// On a terminal; elsewhere it draws nothing.
fn progress_bar(duration: Duration) -> ProgressBar {
    let bar = ProgressBar::new(milliseconds(duration));
    let style =
        ProgressStyle::with_template("{wide_bar} {percent:>3} %  {elapsed} gone, {eta} to go");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
