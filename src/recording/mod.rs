//! Files of recorded media, and the manifest that tells what is in them.
//!
//! The way of a frame: the peer's streaming thread calls [`Writer::push`]; the writer's own thread looks into the
//! frame ([`frame`]), puts both tracks in order and decides when a file begins ([`timeline`]), makes bytes
//! ([`muxer`]: [`matroska`], [`mp4`], [`ogg`]) and writes them ([`file`]) where the disk takes them ([`places`]); [`beside`]
//! makes a playlist of [`hls`] and [`thumbnails`] of the same frames. What happens is told as [`News`]. [`Recording`] holds
//! a folder of such files and keeps its `recording.json` ([`manifest`]).
//!
//! The muxers are our own and not GStreamer's, because those wait for data on every pad: a camera that is off
//! for minutes would hold the sound back in memory. They also cannot declare a track that comes late, and need a
//! pipeline with three threads for each participant.

pub mod aac;
mod av1;
pub mod beside;
mod bits;
mod boxes;
pub mod catalog;
pub mod checksum;
pub mod container;
mod draft;
mod ebml;
pub mod file;
pub mod frame;
pub mod gate;
pub mod h264;
mod h265;
pub mod hls;
mod holes;
pub mod limits;
pub mod lock;
pub mod manifest;
pub mod matroska;
pub mod mix;
pub mod mp4;
mod mp4_header;
pub mod muxer;
pub mod ogg;
mod part;
mod parts;
pub mod places;
pub mod recovery;
pub mod repair;
mod replace;
pub mod report;
pub mod session;
mod speakers;
pub mod thumbnails;
pub mod timeline;
pub mod track;
pub mod upload;
mod vp9;
pub mod writer;

pub use beside::Beside;
pub use container::{Containers, Format, Media};
pub use gate::Gate;
pub use limits::Limits;
pub use manifest::{Because, End, Manifest};
pub use places::Places;
pub use report::{Event, FileReport, News, Report, Stem, WriteError};
pub use session::{Recording, RecordingError, Settings};
pub use speakers::Ear;
pub use writer::Writer;
