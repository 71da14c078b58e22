//! `attache doctor`: one look at the machine.
//!
//! [`report`] is what was found. [`plugins`], [`encoders`], [`devices`], [`network`] (with [`stun`]), [`configuration`]
//! and [`call`] look. [`child`]: the server has it done in a process of its own.

mod call;
pub mod child;
mod configuration;
mod devices;
mod encoders;
pub mod network;
mod plugins;
pub mod report;
mod stun;

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, ConfigErrors, Overrides};
use crate::ice::IceSettings;
use crate::media::encoder::{Encoders, Policy};
use crate::media::{self, Codec};
use crate::pipeline::{AudioSettings, Bitrate, Settings, VideoSettings};

pub use report::{Check, Outcome, Part, Report, Section};

/// What is to be looked at.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// These parts; none: all.
    pub only: Vec<Part>,
    /// Nothing that takes long: no encoder is proven, nothing is sent, no call is made.
    pub quick: bool,
    /// The configuration to check and to take servers and encoders from.
    pub config: Option<PathBuf>,
    /// Said of encoders in place of the configuration.
    pub policy: Option<Policy>,
}

impl Wanted {
    fn wants(&self, part: Part) -> bool {
        let slow = matches!(part, Part::Network | Part::Call);
        (self.only.is_empty() || self.only.contains(&part)) && !(self.quick && slow)
    }
}

/// The picture and sound that is looked at: a description's own when it says nothing.
fn settings() -> Settings {
    Settings {
        latency: Duration::from_millis(60),
        video: VideoSettings {
            width: 1280,
            height: 720,
            framerate: 30,
            bitrate: Bitrate::from_kilobits(2000),
            codecs: vec![Codec::Vp8, Codec::H264],
            lower: Vec::new(),
            pause_below: Bitrate::from_kilobits(0),
        },
        audio: AudioSettings {
            bitrate: Bitrate::from_kilobits(64),
            channels: 1,
            packet: crate::pipeline::settings::PACKET,
            expected_loss: crate::pipeline::settings::EXPECTED_LOSS,
            is_silence_left_out: false,
        },
    }
}

/// Looks at the machine.
pub async fn examine(wanted: &Wanted) -> Report {
    let config = Config::load(wanted.config.as_deref(), Overrides::default());
    let policy = wanted.policy.clone().unwrap_or_else(|| policy_of(&config));
    let mut sections = Vec::new();
    let mut standings = Vec::new();
    let mut add = |part, checks| sections.push(Section { part, checks });
    if let Err(error) = media::init() {
        add(
            Part::Gstreamer,
            vec![Check::new(Outcome::Fatal, "GStreamer", error.to_string())],
        );
        return Report::new(sections, standings);
    }
    if wanted.wants(Part::Gstreamer) {
        add(Part::Gstreamer, plugins::look());
    }
    let settings = settings();
    let needs_encoders = wanted.wants(Part::Encoders) || wanted.wants(Part::Call);
    let encoders = if needs_encoders {
        encoders::prove(policy, &settings, wanted.quick).await
    } else {
        Encoders::default()
    };
    if wanted.wants(Part::Encoders) {
        let (checks, found) = encoders::look(&encoders, &settings);
        add(Part::Encoders, checks);
        standings = found;
    }
    if wanted.wants(Part::Devices) {
        add(Part::Devices, devices::look(&settings).await);
    }
    if wanted.wants(Part::Network) {
        let ice = config
            .as_ref()
            .map_or_else(|_| IceSettings::default(), |config| config.ice.clone());
        add(Part::Network, network::look(&ice).await);
    }
    if wanted.wants(Part::Configuration) {
        let path = wanted.config.clone();
        let looked =
            tokio::task::spawn_blocking(move || configuration::look(path.as_deref(), &config));
        let looked = looked.await.unwrap_or_else(|error| {
            let finding = format!("cannot be checked: {error}");
            vec![Check::new(Outcome::Bad, "configuration", finding)]
        });
        add(Part::Configuration, looked);
    }
    if wanted.wants(Part::Call) {
        add(Part::Call, call::look(&encoders).await);
    }
    Report::new(sections, standings)
}

fn policy_of(config: &Result<Config, ConfigErrors>) -> Policy {
    config
        .as_ref()
        .map_or_else(|_| Policy::default(), |config| config.encoders.clone())
}
