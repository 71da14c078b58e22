//! Files: any sound that attache knows through an engine, as fast as it goes, into WAV, FLAC or Opus.

mod formats;
mod pipeline;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;

use self::formats::{Input, Output};
use self::pipeline::Chain;
use super::{FilterError, engine};
use crate::media::{self, MediaError};

/// GStreamer's classic noise suppression: no engine of ours, and here for comparison.
pub const CLASSIC: &str = "webrtcdsp";
/// How often progress is told.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(100);
/// A file whose pipeline does not move for so long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Task {
    /// The file to read.
    pub input: PathBuf,
    /// The file to write: `.wav`, `.flac`, `.opus` or `.ogg`.
    pub output: PathBuf,
    /// Write over a file that is there.
    pub overwrite: bool,
    /// The engine's name, or [`CLASSIC`].
    pub engine: String,
    /// How much of the engine's sound is heard, 0 to 1.
    pub strength: f32,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Outcome {
    /// The engine.
    pub engine: String,
    /// Length of the sound, in seconds.
    pub sound_seconds: f64,
    /// Time that it took, with reading and writing, in seconds.
    pub elapsed_seconds: f64,
    /// Frames that the engine had, of all channels.
    pub frames: u64,
    /// Mean time for a frame, in microseconds.
    pub mean_us: u64,
    /// What 99 % of the frames did not exceed, in microseconds.
    pub p99_us: u64,
    /// The longest, in microseconds.
    pub worst_us: u64,
    /// Time in the engine over the sound's time, for one channel: its part of a core.
    pub real_time_factor: f64,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Of the sound.
    pub done: Duration,
    /// Of the sound, where the file tells it.
    pub total: Option<Duration>,
}

/// Why a file was not filtered.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The input cannot be read.
    #[error("{}: cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// The input is of no kind that attache reads.
    #[error("{}: {found}; WAV, FLAC, MP3, Ogg, Matroska, WebM and MP4 can be read", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// The output's name does not say a format.
    #[error("{}: the name ends with no format that can be written: use .wav, .flac, .opus or .ogg", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// Something is where the output should go.
    #[error("{}: there is a file of this name; take another name, or --force", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The output cannot be written.
    #[error("{}: cannot be written: {error}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// The classic engine is heard as it is.
    #[error("{CLASSIC} has no strength: leave --strength out, or take another engine")]
    NoStrength,
    /// An engine that cannot be had.
    #[error(transparent)]
    Engine(#[from] FilterError),
    /// GStreamer lacks something.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The sound could not be decoded, filtered or encoded.
    #[error("{}: {reason}", path.display())]
    Failed {
        /// The file that was read.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The caller wanted no more.
    #[error("stopped; nothing was written")]
    Stopped,
}

/// Filters a file. `tick` is called about ten times a second; if it says no, nothing is written. The output appears under
/// its name when it is complete.
pub fn run(task: &Task, tick: impl FnMut(Progress) -> bool) -> Result<Outcome, FileError> {
    let output = Output::of(&task.output).ok_or_else(|| FileError::Extension {
        path: task.output.clone(),
    })?;
    if task.engine == CLASSIC {
        if task.strength < 1.0 {
            return Err(FileError::NoStrength);
        }
    } else if let Err(FilterError::Unknown { name, known }) = engine::find(&task.engine) {
        let known = format!("{known}, {CLASSIC}");
        return Err(FilterError::Unknown { name, known }.into());
    }
    let input = Input::of(&task.input)?;
    if task.output.exists() && !task.overwrite {
        return Err(FileError::Exists {
            path: task.output.clone(),
        });
    }
    media::init()?;
    let unwritable = |error| FileError::Unwritable {
        path: task.output.clone(),
        error,
    };
    let part = Part::beside(&task.output).map_err(unwritable)?;
    let chain = Chain::build(task, input, output, part.0.path())?;
    let begin = Instant::now();
    let played = play(&chain, &task.input, tick);
    // Also where it failed: a pipeline must not be dropped while it plays.
    let stopped = chain.pipeline.set_state(gst::State::Null);
    let sound = played?;
    stopped.map_err(|error| failed(&task.input, error.to_string()))?;
    part.0
        .persist(&task.output)
        .map_err(|error| unwritable(error.error))?;
    Ok(Outcome {
        engine: task.engine.clone(),
        sound_seconds: sound.as_secs_f64(),
        elapsed_seconds: begin.elapsed().as_secs_f64(),
        ..chain.measured()
    })
}

fn failed(path: &Path, reason: String) -> FileError {
    FileError::Failed {
        path: path.to_owned(),
        reason,
    }
}

/// The output until it is complete; removed if it is not.
struct Part(tempfile::NamedTempFile);

impl Part {
    fn beside(output: &Path) -> std::io::Result<Self> {
        let folder = match output.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut prefix = OsString::from(".");
        prefix.push(output.file_name().unwrap_or_default());
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".part")
            .permissions(std::fs::Permissions::from_mode(0o644))
            .tempfile_in(folder)?;
        Ok(Self(file))
    }
}

/// An error's text, with what GStreamer adds to it for those who know its elements.
fn words(error: &gst::message::Error) -> String {
    let text = error.error().message().to_owned();
    let debug = error.debug().unwrap_or_default();
    match debug.lines().last() {
        Some(detail) if !detail.is_empty() => format!("{text} ({detail})"),
        _ => text,
    }
}

/// Plays to the end; gives the sound's length.
fn play(
    chain: &Chain,
    input: &Path,
    mut tick: impl FnMut(Progress) -> bool,
) -> Result<Duration, FileError> {
    let bus = chain
        .pipeline
        .bus()
        .ok_or_else(|| failed(input, "a pipeline without a bus".to_owned()))?;
    // What is wrong stands on the bus, in better words than this call has.
    let _ = chain.pipeline.set_state(gst::State::Playing);
    let wanted = [gst::MessageType::Error, gst::MessageType::Eos];
    let (mut done, mut moved) = (Duration::ZERO, Instant::now());
    loop {
        let message = bus.timed_pop_filtered(TICK, &wanted);
        if let Some(problem) = chain.problem() {
            return Err(failed(input, problem));
        }
        if message.is_some() && !chain.has_sound() {
            return Err(failed(input, "no sound was found in it".to_owned()));
        }
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => return Err(failed(input, words(error))),
            Some(_) => return Ok(chain.position().unwrap_or(done)),
            None => {}
        }
        let position = chain.position().unwrap_or_default();
        if position != done {
            (done, moved) = (position, Instant::now());
        } else if moved.elapsed() > PATIENCE {
            let reason = format!("nothing moved for {} s", PATIENCE.as_secs());
            return Err(failed(input, reason));
        }
        let total = chain.length();
        if !tick(Progress { done, total }) {
            return Err(FileError::Stopped);
        }
    }
}
