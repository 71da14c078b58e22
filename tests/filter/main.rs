//! Noise suppression: the element `attachedenoise`, the engines, and `attache denoise`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod bench;
mod command;
mod documented;
mod element;
mod engines;
mod own_engine;
mod sound;
