//! Audio filters: what an engine is, the engines that are there, and what carries them: streams, files, the element.
//!
//! * [`AudioFilter`]: an engine, frames in and frames out. [`engine`]: those that attache has, and how to add one.
//! * [`resample`], [`lane`]: any rate and any length of buffer, brought to what an engine takes.
//! * [`stream`]: the sound of several channels with live switches; [`governor`]: when an engine is too slow for it;
//!   [`need`]: when there is nothing for it to do.
//! * [`element`]: `attachedenoise` for pipelines; [`report`]: what it tells in a call; [`file`]: `attache denoise` for files.
//!
//! Only the last three know GStreamer.

pub mod element;
pub mod engine;
pub mod file;
pub mod report;

pub mod governor;
pub mod lane;
pub mod need;
pub mod resample;
pub mod statistics;
pub mod stream;
#[cfg(test)]
mod stream_tests;

/// Samples per second inside of engines.
pub const RATE: u32 = 48_000;

/// An engine for one channel of sound at [`RATE`]. It keeps its state from frame to frame.
pub trait AudioFilter: Send {
    /// How many samples each call takes and gives. Does not change.
    fn frame(&self) -> usize;

    /// By how many samples what it gives lags behind what it takes. 0: the sample at an index of the output belongs to
    /// the one at the same index of the same call's input. The whole latency is `frame() + delay()`. Does not change.
    fn delay(&self) -> usize;

    /// Filters a frame: both slices have [`AudioFilter::frame`] samples, full scale is -1 to 1. Gives the probability (0
    /// to 1) that somebody speaks, if the engine knows it. A frame that fails, or in which a sample is not finite, is
    /// heard as it came in, and the engine rests for a while.
    fn process(&mut self, input: &[f32], output: &mut [f32]) -> Result<Option<f32>, FilterError>;
}

/// Why an engine cannot be had or did not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No engine has this name.
    #[error("there is no engine {name:?}; there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that are there.
        known: String,
    },
    /// An engine of this name was added before.
    #[error("there is an engine {name:?} already; take another name")]
    Taken {
        /// The name.
        name: &'static str,
    },
    /// A model's weights are not those that attache was built with.
    #[error("the weights of {model} are damaged: {found}, expected {expected}")]
    Weights {
        /// The engine.
        model: &'static str,
        /// What is wrong.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// An engine refused a frame.
    #[error("the engine failed: {0}")]
    Engine(String),
}
