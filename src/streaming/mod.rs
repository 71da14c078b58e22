//! A mix goes out live while it is recorded, to an RTMP or SRT server, and nothing that happens there reaches the file.
//!
//! [`target`]: the URL of a server, and whether the operator lets streams go there; [`backlog`]: frames that wait, whole
//! groups of pictures dropped when they are too many; [`course`]: when it is tried again, and when a server that says
//! nothing counts as gone; `line`: the pipeline of one connection; [`streamer`]: the thread that keeps one up.

pub mod backlog;
pub mod course;
mod line;
pub mod streamer;
pub mod target;

pub use streamer::Streamer;
pub use target::{Hosts, Target};
