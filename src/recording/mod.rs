//! Files of recorded media, and the manifest that tells what is in them.
//!
//! The way of a frame: the peer's streaming thread calls [`Writer::push`]; the writer's own thread looks into the
//! frame ([`frame`]), puts both tracks in order and decides when a file begins ([`timeline`]), makes bytes
//! ([`matroska`]) and writes them ([`file`]). What happens is told as [`Report`]s. [`Recording`] holds a folder of such
//! files and keeps its `recording.json` ([`manifest`]).
//!
//! The muxer is our own and not `matroskamux`, because that one waits for data on every pad: a camera that is off
//! for minutes would hold the sound back in memory. It also cannot declare a track that comes late, and needs a
//! pipeline with three threads for each participant.

mod ebml;
pub mod file;
pub mod frame;
pub mod h264;
pub mod manifest;
pub mod matroska;
pub mod mix;
mod parts;
pub mod report;
pub mod session;
pub mod timeline;
pub mod writer;

pub use manifest::{Because, End, Manifest};
pub use report::{Event, FileReport, Report, Stem, WriteError};
pub use session::{Recording, RecordingError, Settings};
pub use writer::Writer;
