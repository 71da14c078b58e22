//! Sound as recorders take it: in step with the picture, alone, and missing. They mostly wait, side by side.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod alone;
#[path = "../support/daemon.rs"]
mod daemon;
mod drift;
#[path = "../support/fast_card.rs"]
mod fast_card;
#[path = "../support/job.rs"]
mod job;
#[path = "../support/media.rs"]
mod media;
#[path = "../support/record.rs"]
mod record;
mod silence;
