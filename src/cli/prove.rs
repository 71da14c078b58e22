//! `attache prove-encoder`: proves one encoder in this process and prints the verdict, for a parent that lives on.

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;

use super::print_line;
use crate::media::encoder::{probe, table};
use crate::media::{self, Codec};
use crate::pipeline::{AudioSettings, Bitrate, Settings, VideoSettings};

#[derive(Debug, Args)]
pub struct ProveArguments {
    /// The GStreamer element
    #[arg(long)]
    factory: String,
    /// h264, vp8, vp9, av1, h265
    #[arg(long, value_parser = codec)]
    codec: Codec,
    /// Pixels across
    #[arg(long, default_value_t = 1280)]
    width: u32,
    /// Pixels down
    #[arg(long, default_value_t = 720)]
    height: u32,
    /// Pictures per second
    #[arg(long, default_value_t = 30)]
    framerate: u32,
    /// Bits per second
    #[arg(long, default_value_t = 2_000_000)]
    bitrate: u32,
}

fn codec(name: &str) -> Result<Codec, String> {
    Codec::from_name(name).ok_or_else(|| "use h264, vp8, vp9, av1 or h265".to_owned())
}

pub fn prove(arguments: ProveArguments) -> anyhow::Result<()> {
    let candidate = table::find(arguments.codec, &arguments.factory).ok_or_else(|| {
        let ProveArguments { factory, codec, .. } = &arguments;
        anyhow!("{factory} is no encoder of {codec} that attache knows")
    })?;
    let settings = Settings {
        latency: Duration::ZERO,
        video: VideoSettings {
            width: arguments.width,
            height: arguments.height,
            framerate: arguments.framerate,
            bitrate: Bitrate {
                bits_per_second: arguments.bitrate,
            },
            codecs: vec![arguments.codec],
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
    };
    media::init()?;
    let verdict = probe::prove(candidate, &settings);
    print_line(&serde_json::to_string(&verdict).context("the verdict cannot be printed")?);
    // At once: a driver's threads may hang.
    std::process::exit(0)
}
