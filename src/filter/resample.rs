//! Rates: a windowed-sinc resampler for streams, without a delay of its own in what it numbers.
//!
//! Output sample n is the sound at the time n / output rate after the first input sample, whatever the lengths of the
//! pieces. It needs the input for a little while after that time: [`Resampler::lookahead`].
//! (J. O. Smith, Digital Audio Resampling Home Page, <https://ccrma.stanford.edu/~jos/resample/>.)

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side, at the lower of both rates.
const CROSSINGS: usize = 16;
/// Of the Kaiser window: stop band about 80 dB down.
const BETA: f64 = 8.0;
/// Where the filter begins to fall, as a part of half the lower rate.
const CUTOFF: f64 = 0.92;

/// From one rate to another.
#[derive(Debug)]
pub struct Resampler {
    /// Output samples per `down` input samples.
    up: usize,
    down: usize,
    /// Taps on each side of an output sample's place.
    half: usize,
    /// `2 * half` taps for each of the `up` places that an output sample can have between two input samples.
    taps: Vec<f32>,
    /// Input from `half - 1` samples before the next output's place.
    input: Vec<f32>,
    /// The next output's place after the input's `half - 1`th sample, in 1/`up` of a sample.
    place: usize,
}

impl Resampler {
    /// From `from` to `to` samples per second, both above 0.
    pub fn new(from: u32, to: u32) -> Self {
        let (from, to) = (from.max(1), to.max(1));
        let common = common_divisor(from, to);
        let (up, down) = (to_usize(to / common), to_usize(from / common));
        let scale = (f64::from(to) / f64::from(from)).min(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "16 crossings over a ratio of rates: small and positive"
        )]
        let half = (CROSSINGS as f64 / scale).ceil() as usize;
        Self {
            up,
            down,
            half,
            taps: taps(up, half, scale),
            input: vec![0.0; half - 1],
            place: 0,
        }
    }

    /// Input samples after an output sample's time that it needs.
    pub fn lookahead(&self) -> usize {
        self.half
    }

    /// Takes some input and appends the output that can be made now.
    pub fn push(&mut self, input: &[f32], output: &mut Vec<f32>) {
        self.input.extend_from_slice(input);
        let width = 2 * self.half;
        loop {
            let first = self.place / self.up;
            let Some(around) = self.input.get(first..first + width) else {
                break;
            };
            let phase = self.place % self.up;
            let taps = &self.taps[phase * width..(phase + 1) * width];
            output.push(around.iter().zip(taps).map(|(x, tap)| x * tap).sum());
            self.place += self.down;
        }
        let done = (self.place / self.up).min(self.input.len());
        self.input.drain(..done);
        self.place -= done * self.up;
    }

    /// As new: nothing came yet.
    pub fn restart(&mut self) {
        self.input.clear();
        self.input.resize(self.half - 1, 0.0);
        self.place = 0;
    }
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "indices are far below 2^52, and f32 is what the sound has"
)]
fn taps(up: usize, half: usize, scale: f64) -> Vec<f32> {
    let cutoff = scale * CUTOFF;
    let mut taps = Vec::with_capacity(up * half * 2);
    for phase in 0..up {
        let offset = phase as f64 / up as f64;
        let row: Vec<f64> = (0..2 * half)
            .map(|tap| {
                let at = tap as f64 - (half as f64 - 1.0) - offset;
                let x = PI * cutoff * at;
                let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
                let inside = 1.0 - (at / half as f64).powi(2);
                sinc * bessel_i0(BETA * inside.max(0.0).sqrt())
            })
            .collect();
        // Each place by itself: a constant stays that constant, without a ripple.
        let sum: f64 = row.iter().sum();
        taps.extend(row.iter().map(|tap| (tap / sum) as f32));
    }
    taps
}

/// The modified Bessel function of the first kind and order 0, by its series.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "indices of a test")]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f32, samples: usize) -> Vec<f32> {
        let step = std::f64::consts::TAU * f64::from(hertz) / f64::from(rate);
        #[expect(clippy::cast_possible_truncation, reason = "a sine")]
        (0..samples)
            .map(|n| (n as f64 * step).sin() as f32)
            .collect()
    }

    #[test]
    fn a_tone_keeps_its_place_in_time_at_every_rate() {
        for rate in [8000, 11_025, 16_000, 22_050, 44_100, 44_099, 96_000] {
            let input = tone(rate, 440.0, to_usize(rate) / 2);
            let mut output = Vec::new();
            let mut resampler = Resampler::new(rate, 48_000);
            for piece in input.chunks(97) {
                resampler.push(piece, &mut output);
            }
            let expected = tone(48_000, 440.0, output.len());
            let worst = output
                .iter()
                .zip(&expected)
                .skip(600)
                .map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0.0, f32::max);
            assert!(worst < 2e-3, "{rate} Hz: off by {worst}");
            assert!(output.len() > 23_000, "{rate} Hz: {} samples", output.len());
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_gone() {
        let input = tone(48_000, 7000.0, 48_000);
        let mut output = Vec::new();
        Resampler::new(48_000, 8000).push(&input, &mut output);
        let worst = output
            .iter()
            .skip(100)
            .fold(0.0_f32, |worst, x| worst.max(x.abs()));
        assert!(worst < 1e-3, "an alias of {worst}");
    }
}
