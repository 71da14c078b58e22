//! Rooms and the protocol their participants speak. No GStreamer here.
//!
//! A message's way: [`socket`] takes a frame, [`parse`] makes it a [`protocol::ClientMessage`], the [`hub`] asks
//! the pure [`room`] machine what is to be done and puts the results into the [`outbox`] of each addressee, which
//! its own socket empties. [`client`] is the other end.

pub mod client;
#[cfg(test)]
mod documented;
pub mod hub;
pub mod ids;
pub mod limits;
mod outbox;
mod parse;
pub mod protocol;
pub mod rate;
pub mod room;
mod sdp;
mod socket;

pub use hub::{Entrance, FilterWish, Hub};
pub use limits::Limits;
