//! Scales one plane of 8-bit samples.
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
}

/// Scales; keeps its working memory.
#[derive(Default)]
pub struct Scaler(Resizer);

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
        let source = TypedImageRef::<U8>::from_buffer(shape.stride, shape.height, from);
        let source = source.map_err(|_| Misshapen(shape))?;
        let target = TypedImage::<U8>::from_buffer(wanted.stride, wanted.height, to);
        let target = target.map_err(|_| Misshapen(wanted))?;
        let target = TypedCroppedImageMut::new(target, 0, 0, wanted.width, wanted.height);
        let mut target = target.map_err(|_| Misshapen(wanted))?;
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(0.0, 0.0, f64::from(shape.width), f64::from(shape.height));
        let scaled = self.0.resize_typed(&source, &mut target, &options);
        scaled.map_err(|_| Misshapen(shape))
    }
}

impl std::fmt::Debug for Scaler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scaler").finish_non_exhaustive()
    }
}
