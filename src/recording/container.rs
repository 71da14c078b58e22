//! Which container a file gets: what each of them takes, and what the description wants. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::track::Track;
use crate::media::{Codec, MediaKind};
use crate::signalling::protocol::Sends;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// WebM: Opus, VP8, VP9, AV1.
    WebM,
    /// Matroska (RFC 9559): all codecs.
    Matroska,
    /// Fragmented MP4 (ISO 14496-12): all but VP8, which no browser plays there.
    Mp4,
    /// Ogg (RFC 3533): Opus alone.
    Ogg,
}

impl Container {
    /// Whether a track of this codec may be in it.
    pub fn takes(self, codec: Codec) -> bool {
        match (self, codec) {
            (Self::Matroska, _)
            | (Self::WebM, Codec::Opus | Codec::Vp8 | Codec::Vp9 | Codec::Av1)
            | (
                Self::Mp4,
                Codec::Opus | Codec::Aac | Codec::Vp9 | Codec::Av1 | Codec::H264 | Codec::H265,
            )
            | (Self::Ogg, Codec::Opus) => true,
            (Self::WebM, Codec::H264 | Codec::H265 | Codec::Aac) | (Self::Mp4, Codec::Vp8) => false,
            (
                Self::Ogg,
                Codec::Aac | Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::H264 | Codec::H265,
            ) => false,
        }
    }

    /// Whether a track can be added to a file that is being written. In MP4 it could, but FFmpeg and browsers then
    /// reckon its start into the duration twice.
    pub fn takes_late_tracks(self) -> bool {
        match self {
            Self::WebM | Self::Matroska => true,
            Self::Mp4 | Self::Ogg => false,
        }
    }

    /// A cluster's, fragment's or page's length: what a killed process loses at most, besides what waits for its order.
    /// A fragment of MP4 has a header of some hundred bytes, which players read one by one.
    pub fn piece(self) -> Duration {
        Duration::from_millis(match self {
            Self::WebM | Self::Matroska | Self::Ogg => 100,
            Self::Mp4 => 250,
        })
    }

    /// The file name's extension.
    pub fn extension(self) -> &'static str {
        match self {
            Self::WebM => "webm",
            Self::Matroska => "mkv",
            Self::Mp4 => "mp4",
            Self::Ogg => "opus",
        }
    }
}

/// The containers that the recorder may choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Containers {
    /// Fragmented MP4 for what plays everywhere in it (H.264, H.265, VP9, AV1), WebM for VP8 and for sound alone.
    #[default]
    Auto,
    /// Fragmented MP4.
    Mp4,
    /// WebM, or Matroska where that does not take the codec.
    Matroska,
}

impl Containers {
    /// The words for them in descriptions.
    pub const NAMES: [&'static str; 3] = ["auto", "mp4", "matroska"];

    /// Those of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "mp4" => Some(Self::Mp4),
            "matroska" => Some(Self::Matroska),
            _ => None,
        }
    }
}

/// The media that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    /// Sound and picture.
    #[default]
    All,
    /// Sound alone, into Ogg.
    Audio,
}

impl Media {
    /// The words for it in descriptions.
    pub const NAMES: [&'static str; 2] = ["all", "audio"];

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "all" => Some(Self::All),
            "audio" => Some(Self::Audio),
            _ => None,
        }
    }

    /// Those of the announced tracks that are written.
    pub fn of(self, sends: Sends) -> Sends {
        Sends {
            audio: sends.audio && self.takes(MediaKind::Audio),
            video: sends.video && self.takes(MediaKind::Video),
        }
    }

    /// Whether a track of this kind is written.
    pub fn takes(self, kind: MediaKind) -> bool {
        match (self, kind) {
            (Self::All, _) | (Self::Audio, MediaKind::Audio) => true,
            (Self::Audio, MediaKind::Video) => false,
        }
    }
}

/// What a recording's files are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Format {
    /// The containers to choose from.
    pub containers: Containers,
    /// The media that is written.
    pub media: Media,
}

impl Format {
    /// The container for a file that begins with these tracks.
    pub fn container(self, tracks: &[Track]) -> Container {
        let all = |container: Container| tracks.iter().all(|track| container.takes(track.codec()));
        let web_or_matroska = if all(Container::WebM) {
            Container::WebM
        } else {
            Container::Matroska
        };
        match (self.media, self.containers) {
            (Media::Audio, _) if all(Container::Ogg) => Container::Ogg,
            (_, Containers::Matroska) => web_or_matroska,
            // A camera that comes late most often sends VP8, which can then join the file.
            (_, Containers::Auto) if all(Container::Ogg) => Container::WebM,
            (_, Containers::Auto | Containers::Mp4) if all(Container::Mp4) => Container::Mp4,
            (_, Containers::Auto | Containers::Mp4) => web_or_matroska,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Picture;
    use super::super::report::Size;
    use super::*;

    fn picture(codec: Codec) -> Track {
        Track::Video(Picture {
            codec,
            size: Size {
                width: 64,
                height: 48,
            },
            configuration: vec![],
        })
    }

    #[test]
    fn the_container_follows_what_is_wanted_and_what_it_can_hold() {
        let format = |containers, media| Format { containers, media };
        let auto = format(Containers::Auto, Media::All);
        let mp4 = format(Containers::Mp4, Media::All);
        let matroska = format(Containers::Matroska, Media::All);
        let audio = format(Containers::Auto, Media::Audio);
        let both = |codec| vec![picture(codec), Track::Opus];
        let cases = [
            (auto, both(Codec::Vp8), Container::WebM),
            (auto, both(Codec::H264), Container::Mp4),
            (auto, both(Codec::Vp9), Container::Mp4),
            (auto, vec![Track::Opus], Container::WebM),
            (mp4, vec![Track::Opus], Container::Mp4),
            (mp4, both(Codec::Av1), Container::Mp4),
            (mp4, both(Codec::Vp8), Container::WebM),
            (matroska, both(Codec::Vp9), Container::WebM),
            (matroska, both(Codec::H264), Container::Matroska),
            (audio, vec![Track::Opus], Container::Ogg),
        ];
        for (format, tracks, expected) in cases {
            assert_eq!(format.container(&tracks), expected, "{format:?} {tracks:?}");
        }
    }
}
