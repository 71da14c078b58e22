//! The moving pictures that encoders are proven with, and how like them a decoded one is. Pure.

use crate::media::timecode::{self, Luma};

/// Every n-th row and column is compared: enough to tell, and quick.
const STEP: usize = 4;

/// A picture of the series in I420: stripes that wander, and its number as a time code.
pub fn draw(index: usize, width: usize, height: usize) -> Vec<u8> {
    let half = (width / 2) * (height / 2);
    let mut data = vec![0u8; width * height + 2 * half];
    let (luma, chroma) = data.split_at_mut(width * height);
    // One row of slopes, long enough to be cut at any shift.
    let slopes: Vec<u8> = (0..width + 512).map(slope).collect();
    for (y, row) in luma.chunks_exact_mut(width).enumerate() {
        let shift = (index * 6 + y / 2) % 512;
        row.copy_from_slice(&slopes[shift..shift + width]);
    }
    for (y, row) in chroma.chunks_exact_mut(width / 2).enumerate() {
        row.fill(slope(y * 2 + index * 2) / 2 + 64);
    }
    let number = u64::try_from(index).unwrap_or_default() + 1;
    timecode::write(luma, width, height, width, number);
    data
}

/// Up and down between 40 and 200, 256 steps each way.
fn slope(at: usize) -> u8 {
    let at = at % 512;
    let height = if at < 256 { at } else { 511 - at };
    u8::try_from(40 + height * 160 / 255).unwrap_or(u8::MAX)
}

/// The number of the picture that this was, if it can be read.
pub fn index_of(luma: &Luma<'_>) -> Option<usize> {
    let number = timecode::read(luma)?;
    usize::try_from(number).ok()?.checked_sub(1)
}

/// How like two pictures are: the peak signal to noise ratio in dB, at most 99.
pub fn likeness(drawn: &[u8], decoded: &Luma<'_>) -> f64 {
    let mut sum = 0.0;
    let mut count = 0.0;
    for y in (0..decoded.height).step_by(STEP) {
        let (Some(one), Some(other)) = (
            drawn.get(y * decoded.width..(y + 1) * decoded.width),
            decoded.data.get(y * decoded.stride..),
        ) else {
            return 0.0;
        };
        for (a, b) in one.iter().zip(other).step_by(STEP) {
            let difference = f64::from(a.abs_diff(*b));
            sum += difference * difference;
            count += 1.0;
        }
    }
    let noise: f64 = sum / f64::max(count, 1.0);
    if noise < 1e-5 {
        return 99.0;
    }
    (10.0 * (255.0 * 255.0 / noise).log10()).min(99.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luma(data: &[u8]) -> Luma<'_> {
        Luma {
            data,
            width: 640,
            height: 360,
            stride: 640,
        }
    }

    #[test]
    fn a_picture_is_like_itself_and_not_like_a_later_one() {
        let (first, later) = (draw(0, 640, 360), draw(5, 640, 360));
        assert!(likeness(&first, &luma(&first)) > 98.0);
        assert!(likeness(&first, &luma(&later)) < 25.0);
        assert_eq!(index_of(&luma(&later)), Some(5));
        assert_eq!(index_of(&luma(&vec![16; 640 * 360])), None);
    }
}
