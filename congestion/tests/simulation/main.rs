//! The cases of RFC 8867 and more, in virtual time: what the rate does on links of many kinds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod cases;
mod encoder;
mod link;
mod media;
mod tcp;
mod world;
