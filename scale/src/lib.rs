//! Scales one plane of 8-bit samples: by halves as far as that goes, the rest by what is around each sample's place.
//!
//! A crate of its own so that debug builds optimise it, too: tests mix live video in them, and the crate that does the work
//! is generic, compiled where its types are named.

use fast_image_resize::images::{TypedCroppedImageMut, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

/// Where a plane's samples lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Samples in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bytes from the beginning of a line to that of the next.
    pub stride: u32,
}

/// A plane does not fit into its bytes, or is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misshapen(pub Shape);

impl std::fmt::Display for Misshapen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shape {
            width,
            height,
            stride,
        } = self.0;
        write!(
            f,
            "a plane of {width}x{height} with lines of {stride} bytes is empty or larger than its memory"
        )
    }
}

impl std::error::Error for Misshapen {}

impl Shape {
    fn is_in(self, bytes: usize) -> Result<(), Misshapen> {
        let fits = self.width > 0
            && self.height > 0
            && self.stride >= self.width
            && bytes as u64 >= u64::from(self.stride) * u64::from(self.height);
        if fits { Ok(()) } else { Err(Misshapen(self)) }
    }

    /// A plane of half the size, where that is on the way to the wanted one.
    fn half_for(self, wanted: Self) -> Option<Self> {
        let is_even = self.width.is_multiple_of(2) && self.height.is_multiple_of(2);
        let (width, height) = (self.width / 2, self.height / 2);
        let is_on_the_way = width >= wanted.width && height >= wanted.height;
        (is_even && is_on_the_way).then_some(Self {
            width,
            height,
            stride: width,
        })
    }
}

/// Scales; keeps its working memory.
#[derive(Default)]
pub struct Scaler {
    resizer: Resizer,
    /// For planes on their way.
    spare: Vec<Vec<u8>>,
}

impl Scaler {
    /// Scales a plane to another size: each sample is the mean of those around its place, weighed by their distance.
    ///
    /// # Errors
    /// A plane is not what its shape says.
    pub fn scale(
        &mut self,
        (from, shape): (&[u8], Shape),
        (to, wanted): (&mut [u8], Shape),
    ) -> Result<(), Misshapen> {
        shape.is_in(from.len())?;
        wanted.is_in(to.len())?;
        let Some(half) = shape.half_for(wanted) else {
            return self.interpolate((from, shape), (to, wanted));
        };
        if (half.width, half.height) == (wanted.width, wanted.height) {
            halve((from, shape), (to, wanted));
            return Ok(());
        }
        let mut plane = self.spare.pop().unwrap_or_default();
        plane.resize(half.width as usize * half.height as usize, 0);
        halve((from, shape), (&mut plane, half));
        let scaled = self.scale((&plane, half), (to, wanted));
        self.spare.push(plane);
        scaled
    }

    fn interpolate(
        &mut self,
        (from, shape): (&[u8], Shape),
        (to, wanted): (&mut [u8], Shape),
    ) -> Result<(), Misshapen> {
        let source = TypedImageRef::<U8>::from_buffer(shape.stride, shape.height, from);
        let source = source.map_err(|_| Misshapen(shape))?;
        let target = TypedImage::<U8>::from_buffer(wanted.stride, wanted.height, to);
        let target = target.map_err(|_| Misshapen(wanted))?;
        let target = TypedCroppedImageMut::new(target, 0, 0, wanted.width, wanted.height);
        let mut target = target.map_err(|_| Misshapen(wanted))?;
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(0.0, 0.0, f64::from(shape.width), f64::from(shape.height));
        let scaled = self.resizer.resize_typed(&source, &mut target, &options);
        scaled.map_err(|_| Misshapen(shape))
    }
}

/// Each sample is the mean of four: a tenth of the work that weights of any size take. Both planes fit their shapes.
fn halve((from, shape): (&[u8], Shape), (to, half): (&mut [u8], Shape)) {
    let [width, stride, wanted] = [half.width, shape.stride, half.stride].map(|n| n as usize);
    let lines = from.chunks(2 * stride).zip(to.chunks_mut(wanted));
    for (two, line) in lines.take(half.height as usize) {
        let (upper, lower) = two.split_at(stride);
        let (upper, lower) = (upper.as_chunks().0, lower.as_chunks().0);
        let pairs = upper.iter().zip(lower);
        for (sample, (above, below)) in line[..width].iter_mut().zip(pairs) {
            // At most 1022 / 4.
            *sample = ((sum(above) + sum(below) + 2) >> 2) as u8;
        }
    }
}

/// Of two neighbours. Read as one number the compiler takes many pairs at once.
fn sum(pair: &[u8; 2]) -> u16 {
    let both = u16::from_le_bytes(*pair);
    (both & 0xff) + (both >> 8)
}

impl std::fmt::Debug for Scaler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scaler").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn shape(width: u32, height: u32, stride: u32) -> Shape {
        Shape {
            width,
            height,
            stride,
        }
    }

    /// Brighter from left to right and from top to bottom.
    fn slope(shape: Shape) -> Vec<u8> {
        let lines = 0..shape.height;
        let line = |y| {
            (0..shape.stride).map(move |x| (x * 120 / shape.width + y * 120 / shape.height) as u8)
        };
        lines.flat_map(line).collect()
    }

    fn scaled(from: Shape, to: Shape) -> Vec<u8> {
        let mut target = vec![7; (to.stride * to.height) as usize];
        Scaler::default()
            .scale((&slope(from), from), (&mut target, to))
            .unwrap();
        target
    }

    #[test]
    fn half_of_a_plane_is_the_mean_of_each_four() {
        let from = [10, 11, 200, 255, 99, 12, 13, 0, 255, 99];
        let mut to = [0; 2];
        halve((&from, shape(4, 2, 5)), (&mut to, shape(2, 1, 2)));
        assert_eq!(to, [12, 178]);
    }

    #[test]
    fn a_slope_stays_one_at_every_size_and_nothing_is_written_beside_it() {
        for (from, to) in [
            (shape(1280, 720, 1280), shape(640, 360, 640)),
            (shape(640, 360, 704), shape(160, 90, 192)),
            (shape(1280, 720, 1280), shape(426, 240, 448)),
            (shape(1280, 720, 1280), shape(213, 120, 216)),
            (shape(642, 362, 642), shape(160, 90, 160)),
            (shape(320, 180, 320), shape(1280, 720, 1280)),
            (shape(1280, 720, 1280), shape(1280, 180, 1280)),
        ] {
            let (made, right) = (scaled(from, to), slope(to));
            for (at, (made, right)) in made.iter().zip(&right).enumerate() {
                let is_inside = (at as u32 % to.stride) < to.width;
                let right = if is_inside { *right } else { 7 };
                assert!(
                    made.abs_diff(right) <= 2,
                    "{from:?} to {to:?} at {at}: {made}, not {right}"
                );
            }
        }
    }

    #[test]
    fn a_plane_that_is_larger_than_its_memory_is_refused() {
        let mut to = [0; 4];
        let refused =
            Scaler::default().scale((&[0; 15], shape(4, 4, 4)), (&mut to, shape(2, 2, 2)));
        assert_eq!(refused, Err(Misshapen(shape(4, 4, 4))));
    }
}
