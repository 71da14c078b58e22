//! What a film is to be: its size, container and codecs.

use std::path::Path;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use super::{BASE, GOOD, MixError};
use crate::media::elements::make;
use crate::media::encoder::Encoders;
use crate::media::{Codec, MediaError};
use crate::pipeline::{AudioSettings, Bitrate, Settings, VideoSettings};

/// What the film is to be.
#[derive(Debug, Clone)]
pub struct Format {
    /// Pixels across; even.
    pub width: u32,
    /// Pixels down; even.
    pub height: u32,
    /// Pictures per second.
    pub framerate: u32,
    /// Of the picture.
    pub bitrate: Bitrate,
    container: Container,
}

/// By the ending of the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Mp4,
    Matroska,
    Webm,
}

impl Format {
    /// For a file of this name.
    ///
    /// # Errors
    /// [`MixError::Ending`].
    pub fn new(
        file: &Path,
        (width, height): (u32, u32),
        framerate: u32,
        bitrate: Bitrate,
    ) -> Result<Self, MixError> {
        let ending = file.extension().unwrap_or_default().to_string_lossy();
        let container = match ending.as_ref() {
            "mp4" => Container::Mp4,
            "mkv" => Container::Matroska,
            "webm" => Container::Webm,
            other => {
                return Err(MixError::Ending {
                    file: file.to_owned(),
                    found: other.to_owned(),
                });
            }
        };
        Ok(Self {
            width,
            height,
            framerate,
            bitrate,
            container,
        })
    }

    /// The picture's codec.
    pub fn codec(&self) -> Codec {
        match self.container {
            Container::Mp4 | Container::Matroska => Codec::H264,
            Container::Webm => Codec::Vp8,
        }
    }

    /// The same as an encoder takes it.
    pub fn settings(&self) -> Settings {
        Settings {
            latency: Duration::ZERO,
            video: VideoSettings {
                width: self.width,
                height: self.height,
                framerate: self.framerate,
                bitrate: self.bitrate,
                codecs: vec![self.codec()],
                lower: Vec::new(),
                pause_below: Bitrate::from_kilobits(0),
            },
            audio: AudioSettings {
                bitrate: Bitrate::from_kilobits(128),
                channels: 2,
                packet: crate::pipeline::settings::PACKET,
                expected_loss: crate::pipeline::settings::EXPECTED_LOSS,
                is_silence_left_out: false,
            },
        }
    }

    pub(super) fn muxer(&self) -> Result<gst::Element, MediaError> {
        match self.container {
            Container::Mp4 => make("mp4mux", GOOD),
            Container::Matroska => make("matroskamux", GOOD),
            Container::Webm => make("webmmux", GOOD),
        }
    }

    /// MP4 gets AAC, which every player of MP4 knows.
    pub(super) fn sound_encoder(
        &self,
        encoders: &Encoders,
    ) -> Result<Vec<gst::Element>, MediaError> {
        let settings = self.settings();
        if self.container != Container::Mp4 {
            let choices = encoders.choices(Codec::Opus, &settings)?;
            let best = choices.first();
            return best.map_or_else(|| Ok(Vec::new()), |best| Ok(best.build(&settings)?.chain));
        }
        let encoder = make("avenc_aac", "gstreamer1.0-libav")?;
        let bits = settings.audio.bitrate.bits_per_second;
        encoder.set_property_from_str("bitrate", &bits.to_string());
        Ok(vec![
            make("audioconvert", BASE)?,
            encoder,
            make("aacparse", GOOD)?,
        ])
    }
}
