//! Rates of data.

use std::time::Duration;

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Rate(f64);

impl Rate {
    /// Nothing at all.
    pub const ZERO: Self = Self(0.0);

    /// From bits per second; less than none is none.
    pub fn from_bits(bits_per_second: f64) -> Self {
        Self(bits_per_second.max(0.0))
    }

    /// From thousands of bits per second.
    pub fn from_kilobits(kilobits: u32) -> Self {
        Self(f64::from(kilobits) * 1000.0)
    }

    /// From millions of bits per second.
    pub const fn from_megabits(megabits: u32) -> Self {
        Self(megabits as f64 * 1e6)
    }

    /// So many bytes in so long a time; `None` where no time passed.
    pub fn of(bytes: f64, time: Duration) -> Option<Self> {
        (!time.is_zero()).then(|| Self(bytes * 8.0 / time.as_secs_f64()))
    }

    /// Bits per second.
    pub fn bits(self) -> f64 {
        self.0
    }

    /// Thousands of bits per second.
    pub fn kilobits(self) -> f64 {
        self.0 / 1000.0
    }

    /// The bytes that pass in so long a time.
    pub fn bytes_in(self, time: Duration) -> f64 {
        self.0 * time.as_secs_f64() / 8.0
    }

    /// How long so many bytes take; an hour where nothing passes.
    pub fn time_for(self, bytes: f64) -> Duration {
        let seconds = bytes * 8.0 / self.0.max(1.0);
        Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))
    }

    /// The smaller one.
    pub fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The larger one.
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

impl std::ops::Mul<f64> for Rate {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        Self::from_bits(self.0 * factor)
    }
}

impl std::ops::Add for Rate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}
