//! Painted cards in the form of the mix, 4:2:0 with opacity, and laying them on its pictures. Pure.
//!
//! GStreamer's own blending turns every line it touches, over the whole width of the picture, into another format and
//! back, and each card's colours with it, for every picture anew: that took as much time as all the scaling of a mix.

use std::ops::Range;

use super::paint::BYTES;

/// From this height on pictures are taken to have the colours of HD (ITU-R BT.709), below those of SD (BT.601), as
/// GStreamer does where nothing is said.
const HD: u32 = 577;

/// A card, ready to be laid on pictures.
#[derive(Debug)]
pub(super) struct Ink {
    /// Brightness, then the two colours at half the size.
    planes: [Plane; 3],
}

/// One component.
#[derive(Debug)]
struct Plane {
    width: usize,
    values: Vec<u8>,
    /// 0 to 256 for each value.
    opacity: Vec<u16>,
    rows: Vec<Row>,
}

/// What is to be done in a row.
#[derive(Debug)]
enum Row {
    Nothing,
    /// All of this covers what is there.
    Covers(Range<usize>),
    /// What is there shines through somewhere.
    Mixes(Range<usize>),
}

/// A plane of the picture.
pub(super) struct Ground<'a> {
    /// Its rows.
    pub data: &'a mut [u8],
    /// Bytes from row to row.
    pub stride: usize,
}

/// How much of red, green and blue makes brightness (the rest is green).
#[derive(Debug, Clone, Copy)]
struct Weights {
    red: f32,
    blue: f32,
}

impl Ink {
    /// Of pixels in blue, green, red, opacity, for pictures of a height. A width or height that is odd loses its last line.
    pub fn new(pixels: &[u8], (width, height): (u32, u32), picture_height: u32) -> Self {
        let weights = match picture_height >= HD {
            true => Weights {
                red: 0.2126,
                blue: 0.0722,
            },
            false => Weights {
                red: 0.299,
                blue: 0.114,
            },
        };
        let (width, height) = (width as usize & !1, height as usize & !1);
        let stride = pixels.len().checked_div(height.max(1)).unwrap_or_default();
        let stride = stride - stride % BYTES;
        let at = |x: usize, y: usize| -> [f32; BYTES] {
            let place = y * stride + x * BYTES;
            let pixel = pixels.get(place..place + BYTES).unwrap_or(&[0; BYTES]);
            std::array::from_fn(|index| f32::from(pixel[index]))
        };
        let row = |y: usize| pixels.get(y * stride..(y + 1) * stride);
        let luma = |x, y| {
            let [blue, green, red, opacity] = at(x, y);
            (weights.luma(red, green, blue), opacity)
        };
        let luma = Plane::new(width, height, luma, |y| row(y) == row(y - 1));
        let is_as_before =
            |y: usize| row(2 * y) == row(2 * y - 2) && row(2 * y + 1) == row(2 * y - 1);
        let colour = |of: fn(Weights, f32, f32, f32) -> f32| {
            let pixel = |x: usize, y: usize| {
                let four = [(0, 0), (1, 0), (0, 1), (1, 1)];
                let four = four.map(|(right, down)| at(2 * x + right, 2 * y + down));
                // What is not there has no colour.
                let weight: f32 = four.iter().map(|pixel| pixel[3]).sum();
                let mean = |index: usize| {
                    let sum: f32 = four.iter().map(|pixel| pixel[index] * pixel[3]).sum();
                    if weight > 0.0 { sum / weight } else { 0.0 }
                };
                (of(weights, mean(2), mean(1), mean(0)), weight / 4.0)
            };
            Plane::new(width / 2, height / 2, pixel, is_as_before)
        };
        Self {
            planes: [luma, colour(Weights::blueness), colour(Weights::redness)],
        }
    }

    /// Lays it on a picture, given as brightness and the two colours, with its upper left corner at an even place.
    pub fn lay(&self, grounds: &mut [Ground<'_>; 3], x: usize, y: usize) {
        let places = [(x, y), (x / 2, y / 2), (x / 2, y / 2)];
        for ((plane, ground), (x, y)) in self.planes.iter().zip(grounds).zip(places) {
            plane.lay(ground, x, y);
        }
    }
}

impl Weights {
    fn grey(self, red: f32, green: f32, blue: f32) -> f32 {
        self.red * red + (1.0 - self.red - self.blue) * green + self.blue * blue
    }

    /// In the limited range of video: 16 to 235.
    fn luma(self, red: f32, green: f32, blue: f32) -> f32 {
        16.0 + self.grey(red, green, blue) * 219.0 / 255.0
    }

    /// 16 to 240, 128 is no colour.
    fn blueness(self, red: f32, green: f32, blue: f32) -> f32 {
        let difference = blue - self.grey(red, green, blue);
        128.0 + difference / (2.0 * (1.0 - self.blue)) * 224.0 / 255.0
    }

    fn redness(self, red: f32, green: f32, blue: f32) -> f32 {
        let difference = red - self.grey(red, green, blue);
        128.0 + difference / (2.0 * (1.0 - self.red)) * 224.0 / 255.0
    }
}

impl Plane {
    /// Of what `pixel` says of each place: value and opacity, both up to 255. `is_as_before` tells of a row that is like the
    /// one above, as most are.
    fn new(
        width: usize,
        height: usize,
        pixel: impl Fn(usize, usize) -> (f32, f32),
        is_as_before: impl Fn(usize) -> bool,
    ) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what fits"
        )]
        let byte = |number: f32| number.round().clamp(0.0, 255.0) as u8;
        let (mut values, mut opacity) = (Vec::new(), Vec::new());
        for y in 0..height {
            let above = values.len().saturating_sub(width)..values.len();
            if y > 0 && is_as_before(y) {
                values.extend_from_within(above.clone());
                opacity.extend_from_within(above);
                continue;
            }
            for x in 0..width {
                let (value, visible) = pixel(x, y);
                let visible = u16::from(byte(visible));
                values.push(byte(value));
                opacity.push(visible + (visible >> 7));
            }
        }
        let rows = opacity.chunks(width.max(1)).map(Row::of).collect();
        Self {
            width,
            values,
            opacity,
            rows,
        }
    }

    fn lay(&self, ground: &mut Ground<'_>, x: usize, y: usize) {
        for (number, row) in self.rows.iter().enumerate() {
            let (range, covers) = match row {
                Row::Nothing => continue,
                Row::Covers(range) => (range, true),
                Row::Mixes(range) => (range, false),
            };
            let from = (y + number) * ground.stride + x + range.start;
            let Some(below) = ground.data.get_mut(from..from + range.len()) else {
                return;
            };
            let here = number * self.width + range.start..number * self.width + range.end;
            let values = &self.values[here.clone()];
            if covers {
                below.copy_from_slice(values);
                continue;
            }
            let opacity = &self.opacity[here];
            for ((below, value), opacity) in below.iter_mut().zip(values).zip(opacity) {
                let mixed = u16::from(*below) * (256 - opacity) + u16::from(*value) * opacity;
                *below = (mixed >> 8) as u8;
            }
        }
    }
}

impl Row {
    fn of(opacity: &[u16]) -> Self {
        let first = opacity.iter().position(|one| *one > 0);
        let last = opacity.iter().rposition(|one| *one > 0);
        let (Some(first), Some(last)) = (first, last) else {
            return Self::Nothing;
        };
        let range = first..last + 1;
        match opacity[range.clone()].iter().all(|one| *one == 256) {
            true => Self::Covers(range),
            false => Self::Mixes(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 4] = [0, 0, 255, 255];
    const HALF_WHITE: [u8; 4] = [255, 255, 255, 128];
    const NOTHING: [u8; 4] = [0, 0, 0, 0];

    /// A grey picture of 8 by 4 with this laid on it.
    fn laid(pixels: &[[u8; 4]], size: (u32, u32), x: usize, y: usize) -> [Vec<u8>; 3] {
        let mut planes = [vec![100_u8; 10 * 4], vec![128; 6 * 2], vec![128; 6 * 2]];
        let [luma, blue, red] = &mut planes;
        let mut grounds = [(luma, 10), (blue, 6), (red, 6)].map(|(data, stride)| Ground {
            data: &mut data[..],
            stride,
        });
        Ink::new(&pixels.concat(), size, 360).lay(&mut grounds, x, y);
        planes
    }

    #[test]
    fn what_is_opaque_covers_its_place_and_nothing_else() {
        let [luma, blue, red] = laid(&[RED; 4], (2, 2), 4, 2);
        let changed = |plane: &[u8], ground: u8| -> Vec<_> {
            let places = plane
                .iter()
                .enumerate()
                .filter(|(_, value)| **value != ground);
            places.map(|(place, value)| (place, *value)).collect()
        };
        // BT.601: 16 + 0.299 * 219, and so on.
        assert_eq!(
            changed(&luma, 100),
            [(24, 81), (25, 81), (34, 81), (35, 81)]
        );
        assert_eq!(changed(&blue, 128), [(8, 90)]);
        assert_eq!(changed(&red, 128), [(8, 240)]);
    }

    #[test]
    fn what_is_half_there_is_half_seen() {
        let [luma, blue, _] = laid(&[HALF_WHITE, NOTHING, NOTHING, NOTHING], (2, 2), 0, 0);
        assert_eq!(luma[..2], [168, 100]);
        assert_eq!(luma[10..12], [100, 100]);
        assert_eq!(blue[0], 128);
    }

    #[test]
    fn pictures_of_hd_have_other_weights() {
        let ink = |height| Ink::new(&[RED; 4].concat(), (2, 2), height);
        assert_eq!(ink(576).planes[0].values[0], 81);
        assert_eq!(ink(720).planes[0].values[0], 63);
    }

    #[test]
    fn what_hangs_over_the_lower_edge_is_cut() {
        let [luma, ..] = laid(&[RED; 8], (2, 4), 0, 2);
        assert_eq!(luma[20], 81);
        assert_eq!(luma[30], 81);
    }
}
