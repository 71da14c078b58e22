//! Pictures of pipelines: what runs, as a graph that travels as JSON, drawn without GStreamer.
//!
//! [`model`]: taken from real bins; [`layout`]: where each element lies; [`svg`]: the picture.

pub mod layout;
pub mod model;
pub mod svg;

#[cfg(test)]
mod tests;

pub use model::Graph;
