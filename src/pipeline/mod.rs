//! Descriptions, read and checked, become GStreamer bins.
//!
//! * [`description`]: what an integrator's TOML file says; `reader`: its tables, with the place of each key; [`schema`]:
//!   which keys there are; [`problem`]: what is wrong, with file, line and column.
//! * [`parameters`]: the values a job may give, and their checks; [`settings`]: numbers such as picture size; [`tiers`]: cheaper
//!   encodings of the picture.
//! * [`fragment`]: launch texts with their values; [`launch`]: their grammar; [`change`]: what another description or
//!   other values mean for a job that runs.
//! * [`allowed`]: which elements and properties descriptions may use; [`packages`]: where Debian has them; `live`: what
//!   elements take while they play.
//! * [`check`]: everything that can be wrong, told at once, after a `dry` run. [`build`]: elements, their properties (`property`), links and
//!   free pads (`ends`). From `build` on GStreamer is needed; the others are pure.

pub mod allowed;
pub mod build;
#[cfg(test)]
mod build_tests;
pub mod change;
pub mod check;
pub mod description;
mod dry;
mod ends;
pub mod fragment;
pub mod launch;
mod limits;
mod live;
pub mod packages;
pub mod parameters;
pub mod problem;
mod property;
mod reader;
pub mod recording;
pub mod schema;
#[cfg(test)]
mod schema_tests;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod tiers;

pub use description::Description;
pub use problem::{DescriptionError, Problem};
pub use recording::RecordingSettings;
pub use settings::{AudioSettings, Bitrate, Settings, VideoSettings};
pub use tiers::Tier;
