//! An engine of one's own: a gate that makes the sound quiet while it is quieter than -50 dB of full scale.

use attache::filter::engine::{self, Engine};
use attache::filter::{AudioFilter, FilterError};

/// What the gate remembers from frame to frame.
#[derive(Default)]
struct Gate {
    gain: f32,
}

impl AudioFilter for Gate {
    /// 10 ms: engines always hear 48,000 samples a second, whatever the pipeline has.
    fn frame(&self) -> usize {
        480
    }

    /// Each sample comes out at its own place in the frame.
    fn delay(&self) -> usize {
        0
    }

    fn process(&mut self, input: &[f32], output: &mut [f32]) -> Result<Option<f32>, FilterError> {
        let power = input.iter().map(|x| x * x).sum::<f32>() / 480.0;
        let is_open = power > 1e-5;
        let goal = if is_open { 1.0 } else { 0.1 };
        for (output, input) in output.iter_mut().zip(input) {
            // About 5 ms from one to the other: a jump would click.
            self.gain += (goal - self.gain) / 240.0;
            *output = input * self.gain;
        }
        Ok(Some(if is_open { 1.0 } else { 0.0 }))
    }
}

/// Once, before media starts. From then on: `attachedenoise engine=gate`.
pub fn add_gate() -> Result<(), FilterError> {
    engine::add(Engine {
        name: "gate",
        about: "a noise gate",
        make: || Ok(Box::<Gate>::default()),
    })
}
