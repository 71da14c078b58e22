//! Echo cancellation: what a kiosk plays is taken out of what its microphone hears.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../filter/bench.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod bench;
mod canceller;
mod kiosk;
mod room;
#[path = "../filter/sound.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod sound;
#[path = "../support/mod.rs"]
mod support;
