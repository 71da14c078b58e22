//! Matrix times vector with 8-bit weights, and a gated recurrent unit made of it.
//!
//! A model of 6 million weights is read from memory once for each frame, so bytes are what it costs: 8-bit weights need
//! a quarter of those that ONNX runtimes read. Inputs are scaled to 14 bits, products are summed in 32 bits.

use pulp::Arch;

/// The input's largest value becomes this. 127 * 8191 * 2000 columns stay below 2^31.
const INPUT_MAX: f32 = 8191.0;
const MOST_COLUMNS: usize = 2000;

/// A matrix with a scale and a bias for each row.
#[derive(Debug)]
pub struct Layer {
    columns: usize,
    scales: Vec<f32>,
    bias: Vec<f32>,
    /// Row by row.
    weights: Vec<i8>,
}

impl Layer {
    /// `scales` and `bias` have a value for each row, `weights` one for each row and column.
    pub fn new(columns: usize, scales: Vec<f32>, bias: Vec<f32>, weights: Vec<i8>) -> Self {
        debug_assert!(columns <= MOST_COLUMNS && weights.len() == columns * bias.len());
        Self {
            columns,
            scales,
            bias,
            weights,
        }
    }

    /// Rows (outputs) and columns (inputs).
    #[cfg(test)]
    pub fn shape(&self) -> (usize, usize) {
        (self.bias.len(), self.columns)
    }

    /// `output = weights * input + bias`.
    pub fn apply(&self, input: &[f32], integers: &mut Vec<i16>, output: &mut Vec<f32>) {
        let largest = input
            .iter()
            .fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = largest.max(f32::MIN_POSITIVE) / INPUT_MAX;
        integers.clear();
        #[expect(clippy::cast_possible_truncation, reason = "at most INPUT_MAX")]
        integers.extend(input.iter().map(|x| (x / scale).round() as i16));
        output.clear();
        Arch::new().dispatch(Product {
            layer: self,
            input: integers,
            scale,
            output,
        });
    }
}

/// The loop that [`Arch::dispatch`] compiles for the instructions that this processor has.
struct Product<'a> {
    layer: &'a Layer,
    input: &'a [i16],
    scale: f32,
    output: &'a mut Vec<f32>,
}

impl pulp::NullaryFnOnce for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let rows = self.layer.weights.chunks_exact(self.layer.columns);
        let scales = self.layer.scales.iter().zip(&self.layer.bias);
        for (row, (scale, bias)) in rows.zip(scales) {
            let sum = dot(row, self.input);
            #[expect(
                clippy::cast_precision_loss,
                reason = "24 of 31 bits are enough for sound"
            )]
            self.output.push(sum as f32 * (scale * self.scale) + bias);
        }
    }
}

/// A plain loop: it becomes the same instructions as one of iterators, and is ten times as quick where nothing is
/// optimised, as in tests.
#[inline(always)]
fn dot(weights: &[i8], input: &[i16]) -> i32 {
    let count = weights.len().min(input.len());
    let (weights, input) = (&weights[..count], &input[..count]);
    let (mut sum, mut at) = (0_i32, 0);
    while at < count {
        sum = sum.wrapping_add(weights[at] as i32 * input[at] as i32);
        at += 1;
    }
    sum
}

/// 1 / (1 + e^-x).
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The state of a gated recurrent unit (Cho et al., 2014, arXiv 1406.1078; the variant with the reset gate after the
/// state's matrix).
#[derive(Debug, Default)]
pub struct Gru {
    state: Vec<f32>,
    of_input: Vec<f32>,
    of_state: Vec<f32>,
}

impl Gru {
    /// Takes the next input and gives the state.
    pub fn step(
        &mut self,
        input_layer: &Layer,
        state_layer: &Layer,
        input: &[f32],
        integers: &mut Vec<i16>,
    ) -> &[f32] {
        let size = state_layer.columns;
        self.state.resize(size, 0.0);
        input_layer.apply(input, integers, &mut self.of_input);
        state_layer.apply(&self.state, integers, &mut self.of_state);
        let (update_in, rest_in) = self.of_input.split_at(size);
        let (update_of, rest_of) = self.of_state.split_at(size);
        let (reset_in, new_in) = rest_in.split_at(size);
        let (reset_of, new_of) = rest_of.split_at(size);
        for (at, state) in self.state.iter_mut().enumerate() {
            let update = sigmoid(update_in[at] + update_of[at]);
            let reset = sigmoid(reset_in[at] + reset_of[at]);
            let new = (new_in[at] + reset * new_of[at]).tanh();
            *state = new + update * (*state - new);
        }
        &self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_that_of_the_numbers() {
        let layer = Layer::new(
            3,
            vec![0.5, 0.01],
            vec![1.0, -1.0],
            vec![2, -4, 6, 100, 0, -127],
        );
        let mut output = Vec::new();
        layer.apply(&[1.0, 0.5, -0.25], &mut Vec::new(), &mut output);
        let expected = [1.0 + 1.0 - 1.0 - 0.75, -1.0 + 1.0 + 0.3175];
        for (found, expected) in output.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
        }
    }

    #[test]
    fn an_input_of_zeros_gives_the_bias() {
        let layer = Layer::new(2, vec![1.0], vec![0.25], vec![127, -127]);
        let mut output = Vec::new();
        layer.apply(&[0.0, 0.0], &mut Vec::new(), &mut output);
        assert_eq!(output, [0.25]);
    }
}
