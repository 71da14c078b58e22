//! RNNoise: a recurrent network that sets the gains of 22 bands, and a comb filter at the voice's pitch.
//!
//! J.-M. Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech Enhancement", 2018 (arXiv 1709.08243).

use nnnoiseless::DenoiseState;

use super::super::{AudioFilter, FilterError};

/// It wants samples as 16-bit integers have them.
const FULL_SCALE: f32 = 32_768.0;

pub struct RnNoise {
    state: Box<DenoiseState<'static>>,
    scaled: Vec<f32>,
}

impl Default for RnNoise {
    fn default() -> Self {
        Self {
            state: DenoiseState::new(),
            scaled: vec![0.0; DenoiseState::FRAME_SIZE],
        }
    }
}

impl AudioFilter for RnNoise {
    fn frame(&self) -> usize {
        DenoiseState::FRAME_SIZE
    }

    /// Windows overlap by a half.
    fn delay(&self) -> usize {
        DenoiseState::FRAME_SIZE
    }

    fn process(&mut self, input: &[f32], output: &mut [f32]) -> Result<Option<f32>, FilterError> {
        for (scaled, sample) in self.scaled.iter_mut().zip(input) {
            *scaled = sample * FULL_SCALE;
        }
        let voice = self.state.process_frame(output, &self.scaled);
        for sample in output {
            *sample /= FULL_SCALE;
        }
        Ok(Some(voice))
    }
}
