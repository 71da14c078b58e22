//! The engines by name: those that attache has, and those that a program adds.

mod kernel;
mod nsnet2;
mod rnnoise;
mod weights;

use std::sync::{LazyLock, Mutex, PoisonError};

use super::{AudioFilter, FilterError};

/// The engine that is taken when none is named: the better one by measurement, see docs/filters.md.
pub const DEFAULT: &str = "nsnet2";

/// An engine that can be made by its name.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    /// As in descriptions and arguments.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Makes one for one channel.
    pub make: fn() -> Result<Box<dyn AudioFilter>, FilterError>,
}

static ENGINES: LazyLock<Mutex<Vec<Engine>>> = LazyLock::new(|| {
    Mutex::new(vec![
        Engine {
            name: "rnnoise",
            about: "RNNoise: the light one",
            make: || Ok(Box::new(rnnoise::RnNoise::default())),
        },
        Engine {
            name: "nsnet2",
            about: "NSNet2 at 48 kHz: the better one",
            make: || Ok(Box::new(nsnet2::NsNet2::new()?)),
        },
    ])
});

/// Adds an engine to those of this process. Descriptions and `attachedenoise` know it by its name from then on.
pub fn add(engine: Engine) -> Result<(), FilterError> {
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    if engines.iter().any(|known| known.name == engine.name) {
        return Err(FilterError::Taken { name: engine.name });
    }
    engines.push(engine);
    Ok(())
}

/// All that are there.
pub fn all() -> Vec<Engine> {
    ENGINES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// The engine of this name.
pub fn find(name: &str) -> Result<Engine, FilterError> {
    let engines = all();
    let names = || engines.iter().map(|engine| engine.name).collect::<Vec<_>>();
    engines
        .iter()
        .find(|engine| engine.name == name)
        .copied()
        .ok_or_else(|| FilterError::Unknown {
            name: name.to_owned(),
            known: names().join(", "),
        })
}

/// An engine of this name for each channel.
pub fn make(name: &str, channels: usize) -> Result<Vec<Box<dyn AudioFilter>>, FilterError> {
    let engine = find(name)?;
    (0..channels).map(|_| (engine.make)()).collect()
}
