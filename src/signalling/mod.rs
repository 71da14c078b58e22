//! Rooms and the protocol their participants speak. No GStreamer here.
//!
//! A message's way: [`socket`] takes a frame, [`parse`] makes it a [`protocol::ClientMessage`], the [`hub`] asks
//! the pure [`room`] machine what is to be done and puts the results into the [`outbox`] of each addressee, which
//! its own socket empties. [`client`] is the other end of a connection, [`rejoin`] that of a stay. A lost connection is
//! not the end of a stay: a [`session`] knows what has to be sent again, [`keys`] sign what a participant comes back with,
//! even to a server that was started anew. A [`Visit`] is a participant without a socket, for players that speak WHEP.

pub mod client;
#[cfg(test)]
mod documented;
pub mod hub;
pub mod ids;
pub mod keys;
pub mod limits;
mod outbox;
mod parse;
pub mod protocol;
pub mod rate;
pub mod rejoin;
pub mod room;
mod sdp;
pub mod session;
mod socket;
mod visit;

pub use hub::{Entrance, FilterWish, Hub};
pub use limits::Limits;
pub use sdp::sends_media;
pub use visit::Visit;
