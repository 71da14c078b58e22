//! NSNet2 at 48 kHz: two gated recurrent units between fully connected layers set a gain for each of 513 frequencies.
//!
//! S. Braun, I. Tashev, "Data augmentation and loss normalization for deep noise suppression", 2020 (arXiv 2008.06412).
//! The published graph takes whole recordings; here it runs frame by frame and keeps its state. Windows of 20 ms follow
//! each other every 10 ms, so that the delay is 10 ms, and 20 ms with the frame itself.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::super::{AudioFilter, FilterError};
use super::kernel::{Gru, Layer, sigmoid};
use super::weights;

const HOP: usize = 480;
const WINDOW: usize = 2 * HOP;
/// Windows are filled up with zeros to this.
const TRANSFORM: usize = 1024;
const BINS: usize = TRANSFORM / 2 + 1;
/// From 300 to 4000 Hz, where most of a voice's power is.
const VOICE: std::ops::Range<usize> = 6..86;
/// Power in those frequencies of a window that is as good as silent: -70 dB of full scale.
const SILENCE: f32 = 1e-7 * 460_800.0;

pub struct NsNet2 {
    layers: Arc<Vec<Layer>>,
    units: [Gru; 2],
    forward: Arc<dyn RealToComplex<f32>>,
    backward: Arc<dyn ComplexToReal<f32>>,
    /// The square root of Hann's: squares of windows that overlap by a half add up to 1.
    window: Vec<f32>,
    /// The newest samples, one window of them.
    recent: Vec<f32>,
    /// What the last window adds to the next samples.
    tail: Vec<f32>,
    time: Vec<f32>,
    spectrum: Vec<Complex32>,
    vector: Vec<f32>,
    other: Vec<f32>,
    integers: Vec<i16>,
}

impl NsNet2 {
    pub fn new() -> Result<Self, FilterError> {
        let mut planner = RealFftPlanner::new();
        #[expect(clippy::cast_precision_loss, reason = "indices of a window")]
        let window = (0..WINDOW).map(|n| (std::f32::consts::PI * n as f32 / WINDOW as f32).sin());
        Ok(Self {
            layers: weights::nsnet2()?,
            units: Default::default(),
            forward: planner.plan_fft_forward(TRANSFORM),
            backward: planner.plan_fft_inverse(TRANSFORM),
            window: window.collect(),
            recent: vec![0.0; WINDOW],
            tail: vec![0.0; HOP],
            time: vec![0.0; TRANSFORM],
            spectrum: vec![Complex32::default(); BINS],
            vector: Vec::new(),
            other: Vec::new(),
            integers: Vec::new(),
        })
    }

    /// From the spectrum to a gain for each frequency, in `vector`.
    fn gains(&mut self) -> Result<(), FilterError> {
        let [fc1, in1, state1, in2, state2, fc2, fc3, fc4] = self.layers.as_slice() else {
            let found = format!("{} layers", self.layers.len());
            return Err(FilterError::Engine(format!("{found}, expected 8")));
        };
        let powers = self.spectrum.iter().map(Complex32::norm_sqr);
        self.vector.clear();
        self.vector
            .extend(powers.map(|power| power.max(1e-12).log10()));
        let integers = &mut self.integers;
        fc1.apply(&self.vector, integers, &mut self.other);
        rectify(&mut self.other);
        let [first, second] = &mut self.units;
        let state = first.step(in1, state1, &self.other, integers);
        let state = second.step(in2, state2, state, integers);
        fc2.apply(state, integers, &mut self.vector);
        rectify(&mut self.vector);
        fc3.apply(&self.vector, integers, &mut self.other);
        rectify(&mut self.other);
        fc4.apply(&self.other, integers, &mut self.vector);
        self.vector
            .iter_mut()
            .for_each(|gain| *gain = sigmoid(*gain));
        Ok(())
    }

    /// The part of the power around a voice's frequencies that the network takes for a voice.
    fn voice(&self) -> f32 {
        let (mut all, mut kept) = (0.0, 0.0);
        let bins = self.spectrum[VOICE].iter().zip(&self.vector[VOICE]);
        for (bin, gain) in bins {
            all += bin.norm_sqr();
            kept += bin.norm_sqr() * gain * gain;
        }
        if all < SILENCE { 0.0 } else { kept / all }
    }
}

fn rectify(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = value.max(0.0));
}

impl AudioFilter for NsNet2 {
    fn frame(&self) -> usize {
        HOP
    }

    fn delay(&self) -> usize {
        WINDOW - HOP
    }

    fn process(&mut self, input: &[f32], output: &mut [f32]) -> Result<Option<f32>, FilterError> {
        let failed = |error: realfft::FftError| FilterError::Engine(error.to_string());
        self.recent.drain(..HOP);
        self.recent.extend_from_slice(input);
        let windowed = self.recent.iter().zip(&self.window).map(|(x, w)| x * w);
        self.time.clear();
        self.time.extend(windowed);
        self.time.resize(TRANSFORM, 0.0);
        self.forward
            .process(&mut self.time, &mut self.spectrum)
            .map_err(failed)?;
        self.gains()?;
        let voice = self.voice();
        for (bin, gain) in self.spectrum.iter_mut().zip(&self.vector) {
            *bin *= gain;
        }
        // Both are real by definition; rounding may leave something that the inverse refuses.
        self.spectrum[0].im = 0.0;
        self.spectrum[BINS - 1].im = 0.0;
        self.backward
            .process(&mut self.spectrum, &mut self.time)
            .map_err(failed)?;
        #[expect(clippy::cast_precision_loss, reason = "the transform does not scale")]
        let scale = 1.0 / TRANSFORM as f32;
        let mut ready = self
            .time
            .iter()
            .zip(&self.window)
            .map(|(x, w)| x * w * scale);
        for (output, tail) in output.iter_mut().zip(&self.tail) {
            *output = tail + ready.next().unwrap_or_default();
        }
        self.tail.clear();
        self.tail.extend(ready);
        Ok(Some(voice))
    }
}
