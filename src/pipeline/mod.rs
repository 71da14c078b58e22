//! Descriptions, read and checked, become GStreamer bins.
//!
//! * [`description`]: what an integrator's TOML file says; [`reader`]: its tables, with the line of each key.
//! * [`parameters`]: the values a job may give, and their checks; [`fragment`]: launch texts and their placeholders.
//! * [`settings`]: numbers such as picture size and bitrates.
//! * [`build`]: the only file here that knows GStreamer.

pub mod build;
pub mod description;
pub mod fragment;
pub mod parameters;
mod reader;
pub mod settings;
#[cfg(test)]
mod tests;

pub use description::{Description, DescriptionError};
pub use settings::{AudioSettings, Bitrate, Settings, VideoSettings};
