//! Which files can be read, by their first bytes, and which written, by their names.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use gstreamer as gst;

use super::FileError;
use crate::media::feed::Chain;

pub const BASE: &str = "gstreamer1.0-plugins-base";
pub const GOOD: &str = "gstreamer1.0-plugins-good";
pub const BAD: &str = "gstreamer1.0-plugins-bad";
const LIBAV: &str = "gstreamer1.0-libav";

/// A kind of file to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// RIFF WAVE.
    Wav,
    /// FLAC without a container.
    Flac,
    /// MPEG audio, layer 3.
    Mp3,
    /// The same behind a tag of ID3.
    Tagged,
    /// Ogg.
    Ogg,
    /// Matroska or WebM.
    Matroska,
    /// MP4.
    Mp4,
}

impl Input {
    /// Looks at the file's first bytes.
    pub fn of(path: &Path) -> Result<Self, FileError> {
        let unreadable = |error| FileError::Unreadable {
            path: path.to_owned(),
            error,
        };
        let mut first = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(12).read_to_end(&mut first).map_err(unreadable)?;
        Self::by_magic(&first).ok_or_else(|| FileError::Unknown {
            path: path.to_owned(),
            found: if first.is_empty() {
                "the file is empty".to_owned()
            } else {
                "its first bytes are those of no known format".to_owned()
            },
        })
    }

    fn by_magic(first: &[u8]) -> Option<Self> {
        match first {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E'] => Some(Self::Wav),
            [b'f', b'L', b'a', b'C', ..] => Some(Self::Flac),
            [b'I', b'D', b'3', ..] => Some(Self::Tagged),
            [b'O', b'g', b'g', b'S', ..] => Some(Self::Ogg),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Self::Matroska),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Self::Mp4),
            // The synchronisation word, layer 3: ISO/IEC 11172-3, 2.4.2.3.
            [0xff, second, ..] if second & 0xe6 == 0xe2 => Some(Self::Mp3),
            _ => None,
        }
    }

    /// The element that finds the sound in it, and who has it in Debian.
    pub fn reader(self) -> (&'static str, &'static str) {
        match self {
            Self::Wav => ("wavparse", GOOD),
            Self::Flac => ("flacparse", GOOD),
            Self::Mp3 => ("mpegaudioparse", GOOD),
            Self::Tagged => ("id3demux", GOOD),
            Self::Ogg => ("oggdemux", BASE),
            Self::Matroska => ("matroskademux", GOOD),
            Self::Mp4 => ("qtdemux", GOOD),
        }
    }

    /// What decodes it, where the reader's pad is there from the beginning.
    pub fn decoder(self) -> Option<Chain> {
        match self {
            Self::Wav => Some(&[]),
            Self::Flac => Some(&[("flacdec", GOOD)]),
            Self::Mp3 => Some(&[("mpg123audiodec", GOOD)]),
            Self::Tagged => Some(&[("mpegaudioparse", GOOD), ("mpg123audiodec", GOOD)]),
            Self::Ogg | Self::Matroska | Self::Mp4 => None,
        }
    }
}

/// What decodes a track; `None` if it is no sound or not known.
pub fn decoder(caps: &gst::Caps) -> Option<Chain> {
    let structure = caps.structure(0)?;
    let version = || structure.get::<i32>("mpegversion").ok();
    match structure.name().as_str() {
        "audio/x-raw" => Some(&[]),
        "audio/x-opus" => Some(&[("opusdec", BASE)]),
        "audio/x-vorbis" => Some(&[("vorbisdec", BASE)]),
        "audio/x-flac" => Some(&[("flacparse", GOOD), ("flacdec", GOOD)]),
        "audio/mpeg" if version() == Some(1) => {
            Some(&[("mpegaudioparse", GOOD), ("mpg123audiodec", GOOD)])
        }
        "audio/mpeg" => Some(&[("aacparse", GOOD), ("avdec_aac", LIBAV)]),
        _ => None,
    }
}

/// A kind of file to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// RIFF WAVE, 16 bits.
    Wav,
    /// FLAC, 16 bits.
    Flac,
    /// Opus in Ogg (RFC 7845).
    Opus,
}

impl Output {
    /// By the name's end.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "wav" => Some(Self::Wav),
            "flac" => Some(Self::Flac),
            "opus" | "ogg" => Some(Self::Opus),
            _ => None,
        }
    }

    /// What the encoder is given.
    pub fn caps(self) -> &'static str {
        match self {
            Self::Wav | Self::Flac => "audio/x-raw,format=S16LE",
            Self::Opus => "audio/x-raw,format=S16LE,rate=48000",
        }
    }

    /// The elements, and who has them in Debian.
    pub fn encoder(self) -> Chain {
        match self {
            Self::Wav => &[("wavenc", GOOD)],
            Self::Flac => &[("flacenc", GOOD)],
            Self::Opus => &[("opusenc", BASE), ("oggmux", BASE)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let kinds: [(&[u8], Option<Input>); 8] = [
            (b"RIFF\x24\x00\x00\x00WAVE", Some(Input::Wav)),
            (b"RIFF\x24\x00\x00\x00AVI ", None),
            (b"fLaC\x00\x00\x00\x22", Some(Input::Flac)),
            (b"ID3\x04\x00", Some(Input::Tagged)),
            (b"\xff\xfb\x90\x64", Some(Input::Mp3)),
            // MPEG-4 AAC in ADTS looks alike but for the layer.
            (b"\xff\xf1\x50\x80", None),
            (b"\x00\x00\x00\x20ftypisom", Some(Input::Mp4)),
            (b"#!/bin/sh\n", None),
        ];
        for (first, expected) in kinds {
            assert_eq!(Input::by_magic(first), expected, "{first:?}");
        }
    }
}
