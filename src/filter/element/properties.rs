//! The element's properties: what can be set at any time, and what it knows of itself.

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

use super::super::engine;
use super::super::stream::{Statistics, Wanted};

/// Processing time over the sound's time above which the engine rests.
const MAX_LOAD: f64 = 0.8;

/// What is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub engine: String,
    pub wanted: Wanted,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: engine::DEFAULT.to_owned(),
            wanted: Wanted {
                strength: 1.0,
                bypass: false,
                max_load: MAX_LOAD,
                adaptive: true,
            },
        }
    }
}

impl Settings {
    /// Sets one; those that are only read are not set by GObject.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "engine" => {
                let named: Option<String> = value.get().unwrap_or_default();
                self.engine = named.unwrap_or_else(|| engine::DEFAULT.to_owned());
            }
            "strength" => self.wanted.strength = value.get().unwrap_or(1.0),
            "bypass" => self.wanted.bypass = value.get().unwrap_or_default(),
            "max-load" => self.wanted.max_load = value.get().unwrap_or(MAX_LOAD),
            "adaptive" => self.wanted.adaptive = value.get().unwrap_or(true),
            _ => {}
        }
    }

    /// Reads one, of these or of the statistics.
    pub fn get(&self, name: &str, statistics: &Statistics) -> glib::Value {
        let micros = |time: std::time::Duration| {
            u64::try_from(time.as_micros())
                .unwrap_or(u64::MAX)
                .to_value()
        };
        match name {
            "engine" => self.engine.to_value(),
            "strength" => self.wanted.strength.to_value(),
            "bypass" => self.wanted.bypass.to_value(),
            "max-load" => self.wanted.max_load.to_value(),
            "adaptive" => self.wanted.adaptive.to_value(),
            "frames" => statistics.times.frames().to_value(),
            "mean-us" => micros(statistics.times.mean()),
            "p99-us" => micros(statistics.times.quantile(0.99)),
            "worst-us" => micros(statistics.times.worst()),
            "load" => load(statistics).to_value(),
            "suppression-db" => statistics.levels.suppression_db().to_value(),
            "voice" => f64::from(statistics.voice).to_value(),
            "rests" => statistics.rests.to_value(),
            "need" => statistics.need.to_value(),
            _ => statistics.bypassed.to_value(),
        }
    }
}

/// Processing time over the sound's time, of one channel, since the beginning.
fn load(statistics: &Statistics) -> f64 {
    let sound = statistics.sound.as_secs_f64();
    if sound > 0.0 {
        statistics.times.sum().as_secs_f64() / sound
    } else {
        0.0
    }
}

/// All of them.
pub fn specs() -> &'static [glib::ParamSpec] {
    static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
        let mut specs = settable();
        specs.extend(readable());
        specs
    });
    &SPECS
}

fn settable() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("engine")
            .blurb("rnnoise, nsnet2, or an engine that this program added")
            .default_value(Some(engine::DEFAULT))
            .mutable_playing()
            .build(),
        glib::ParamSpecFloat::builder("strength")
            .blurb("How much of the filtered sound is heard; the rest is the sound as it came in")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(1.0)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("bypass")
            .blurb("Let the sound out as it came in, as late as with an engine; no engine runs")
            .mutable_playing()
            .build(),
        glib::ParamSpecDouble::builder("max-load")
            .blurb(
                "Processing time over the sound's time above which the engine rests; 0: no limit",
            )
            .minimum(0.0)
            .maximum(100.0)
            .default_value(MAX_LOAD)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("adaptive")
            .blurb("Let sound that is clean already out as it came in")
            .default_value(true)
            .mutable_playing()
            .build(),
    ]
}

fn readable() -> Vec<glib::ParamSpec> {
    let count = |name: &'static str, blurb: &'static str| {
        glib::ParamSpecUInt64::builder(name)
            .blurb(blurb)
            .read_only()
            .build()
    };
    let measure = |name: &'static str, blurb: &'static str| {
        let spec = glib::ParamSpecDouble::builder(name).blurb(blurb);
        spec.minimum(-1000.0).maximum(1000.0).read_only().build()
    };
    vec![
        count("frames", "Frames that engines had"),
        count("mean-us", "Mean time for a frame in microseconds"),
        count(
            "p99-us",
            "What 99 % of the frames did not exceed, in microseconds",
        ),
        count("worst-us", "Longest time for a frame in microseconds"),
        count("rests", "How often the engine had to rest"),
        measure(
            "load",
            "Processing time over the sound's time, of one channel",
        ),
        measure(
            "suppression-db",
            "By how many dB the sound becomes less loud now",
        ),
        measure("voice", "Probability that somebody speaks now, 0 to 1"),
        measure(
            "need",
            "How much of the engine is heard because of how noisy the sound is, 0 to 1",
        ),
        glib::ParamSpecBoolean::builder("bypassed")
            .blurb("Whether the sound goes out as it came in, wanted or because the engine rests")
            .read_only()
            .build(),
    ]
}
