//! One encoded frame, looked into as far as a file needs: codec, key frame, size, duration.

use std::time::Duration;

use gstreamer as gst;

use super::av1::TemporalUnit;
use super::h264::AccessUnit;
use super::report::{Size, WriteError};
use super::{aac, h265, vp9};
pub(super) use crate::media::opus::duration as opus_duration;
use crate::media::{Codec, MediaKind};

/// 20 ms of Opus that say nothing: CELT, full band, one channel, one frame.
pub(super) const OPUS_SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// One encoded frame on its way into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Running time of the process-wide clock.
    pub at: Duration,
    /// What it is.
    pub content: Content,
    /// The frame as containers store it.
    pub data: Vec<u8>,
}

/// What a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An Opus packet.
    Opus {
        /// Of the whole packet (RFC 6716, 3.1).
        duration: Duration,
    },
    /// An AAC frame without header.
    Aac(aac::Configuration),
    /// A picture that decoding can begin with.
    Key(Picture),
    /// A frame that needs those before it.
    Delta(Codec),
}

/// What a key frame says about those that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The codec.
    pub codec: Codec,
    /// Its size.
    pub size: Size,
    /// The codec's record as MP4 has it: of H.264 `avcC`, of H.265 `hvcC`, of AV1 `av1C`, of VP9 `vpcC` without version and
    /// flags. Of VP8: empty.
    pub configuration: Vec<u8>,
}

impl Frame {
    /// Its codec.
    pub fn codec(&self) -> Codec {
        match &self.content {
            Content::Opus { .. } => Codec::Opus,
            Content::Aac(_) => Codec::Aac,
            Content::Key(picture) => picture.codec,
            Content::Delta(codec) => *codec,
        }
    }

    /// Sound or picture.
    pub fn kind(&self) -> MediaKind {
        self.codec().kind()
    }

    /// Looks into a sample whose PTS is running time, or becomes it through the sample's segment.
    ///
    /// `Ok(None)` for what cannot be stored but does no harm: an empty buffer, or one without a time.
    ///
    /// # Errors
    /// [`WriteError::Unsupported`] for caps other than `audio/x-opus`, `audio/mpeg, mpegversion=4,
    /// stream-format=raw` with AAC-LC at 48 kHz, `video/x-vp8`, `video/x-vp9`,
    /// `video/x-av1, stream-format=obu-stream, alignment=tu`, and `video/x-h264` or `video/x-h265` with
    /// `stream-format=byte-stream, alignment=au` and its size.
    pub fn from_sample(
        kind: MediaKind,
        sample: &gst::SampleRef,
    ) -> Result<Option<Self>, WriteError> {
        let (Some(buffer), Some(at)) = (sample.buffer(), running_time(sample)) else {
            return Ok(None);
        };
        let Some(caps) = sample.caps().and_then(|caps| caps.structure(0)) else {
            return Err(unsupported(kind, "a sample without caps"));
        };
        let Ok(bytes) = buffer.map_readable() else {
            return Ok(None);
        };
        let frame = match (kind, caps.name().as_str()) {
            (MediaKind::Audio, "audio/x-opus") => opus(at, &bytes),
            (MediaKind::Audio, "audio/mpeg") => match aac_configuration(caps) {
                Some(configuration) => Some(Self {
                    at,
                    content: Content::Aac(configuration),
                    data: bytes.to_vec(),
                }),
                None => return Err(unsupported(kind, &caps.to_string())),
            },
            (MediaKind::Video, "video/x-vp8") => vp8(at, &bytes),
            (MediaKind::Video, "video/x-h264")
                if caps.get::<&str>("stream-format") == Ok("byte-stream") =>
            {
                h264(at, &bytes, size_of(caps))
            }
            (MediaKind::Video, "video/x-h265")
                if caps.get::<&str>("stream-format") == Ok("byte-stream") =>
            {
                h265(at, &bytes, size_of(caps))
            }
            (MediaKind::Video, "video/x-vp9") => vp9(at, &bytes),
            (MediaKind::Video, "video/x-av1") if caps.get::<&str>("alignment") == Ok("tu") => {
                av1(at, &bytes)
            }
            (MediaKind::Audio | MediaKind::Video, _) => {
                return Err(unsupported(kind, &caps.to_string()));
            }
        };
        Ok(frame)
    }
}

fn unsupported(kind: MediaKind, found: &str) -> WriteError {
    let expected = match kind {
        MediaKind::Audio => {
            "audio/x-opus, or audio/mpeg with stream-format=raw and the codec_data of AAC-LC at 48 kHz"
        }
        MediaKind::Video => {
            "video/x-vp8, video/x-vp9, video/x-av1 with alignment=tu, or video/x-h264 or video/x-h265 with \
             stream-format=byte-stream, alignment=au and its size"
        }
    };
    WriteError::Unsupported {
        kind,
        found: found.to_owned(),
        expected,
    }
}

/// When it was captured: its PTS, or what its segment makes of that.
pub(super) fn running_time(sample: &gst::SampleRef) -> Option<Duration> {
    let at = sample.buffer()?.dts_or_pts()?;
    let pts = sample.buffer()?.pts().unwrap_or(at);
    let segment = sample
        .segment()
        .and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
    let running = match segment {
        // A segment nobody has set up is not to be asked.
        Some(segment) if segment.rate() > 0.0 => segment.to_running_time(pts)?,
        Some(_) | None => pts,
    };
    Some(Duration::from_nanos(running.nseconds()))
}

fn aac_configuration(caps: &gst::StructureRef) -> Option<aac::Configuration> {
    if caps.get::<&str>("stream-format") != Ok("raw") {
        return None;
    }
    let data = caps.get::<gst::Buffer>("codec_data").ok()?;
    aac::Configuration::read(&data.map_readable().ok()?)
}

fn size_of(caps: &gst::StructureRef) -> Option<Size> {
    let width = u32::try_from(caps.get::<i32>("width").ok()?).ok()?;
    let height = u32::try_from(caps.get::<i32>("height").ok()?).ok()?;
    Some(Size { width, height })
}

fn opus(at: Duration, bytes: &[u8]) -> Option<Frame> {
    let duration = opus_duration(bytes)?;
    Some(Frame {
        at,
        content: Content::Opus { duration },
        data: bytes.to_vec(),
    })
}

fn vp8(at: Duration, bytes: &[u8]) -> Option<Frame> {
    let content = if bytes.first()? & 1 == 0 {
        // RFC 6386, 9.1: start code, then 14 bits of width and of height, two bits of scaling each.
        let &[0x9d, 0x01, 0x2a, w0, w1, h0, h1] = bytes.get(3..10)? else {
            return None;
        };
        let size = Size {
            width: u32::from(u16::from_le_bytes([w0, w1]) & 0x3fff),
            height: u32::from(u16::from_le_bytes([h0, h1]) & 0x3fff),
        };
        Content::Key(Picture {
            codec: Codec::Vp8,
            size,
            configuration: Vec::new(),
        })
    } else {
        Content::Delta(Codec::Vp8)
    };
    Some(Frame {
        at,
        content,
        data: bytes.to_vec(),
    })
}

fn h264(at: Duration, bytes: &[u8], size: Option<Size>) -> Option<Frame> {
    let unit = AccessUnit::from_byte_stream(bytes)?;
    let content = match (unit.idr, unit.configuration, size) {
        (true, Some(configuration), Some(size)) => Content::Key(Picture {
            codec: Codec::H264,
            size,
            configuration,
        }),
        _ => Content::Delta(Codec::H264),
    };
    Some(Frame {
        at,
        content,
        data: unit.data,
    })
}

fn h265(at: Duration, bytes: &[u8], size: Option<Size>) -> Option<Frame> {
    let unit = h265::AccessUnit::from_byte_stream(bytes)?;
    let content = match (unit.configuration, size) {
        (Some(configuration), Some(size)) => Content::Key(Picture {
            codec: Codec::H265,
            size,
            configuration,
        }),
        (None, _) | (_, None) => Content::Delta(Codec::H265),
    };
    Some(Frame {
        at,
        content,
        data: unit.data,
    })
}

fn vp9(at: Duration, bytes: &[u8]) -> Option<Frame> {
    let content = match vp9::header(bytes)? {
        vp9::Header::Key {
            size,
            configuration,
        } => Content::Key(Picture {
            codec: Codec::Vp9,
            size,
            configuration,
        }),
        vp9::Header::Delta => Content::Delta(Codec::Vp9),
    };
    Some(Frame {
        at,
        content,
        data: bytes.to_vec(),
    })
}

fn av1(at: Duration, bytes: &[u8]) -> Option<Frame> {
    let unit = TemporalUnit::from_obus(bytes)?;
    let content = match unit.key {
        Some(sequence) => Content::Key(Picture {
            codec: Codec::Av1,
            size: sequence.size,
            configuration: sequence.configuration,
        }),
        None => Content::Delta(Codec::Av1),
    };
    Some(Frame {
        at,
        content,
        data: unit.data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(caps: &str, bytes: &[u8]) -> gst::Sample {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::from_slice(bytes.to_vec());
        buffer
            .get_mut()
            .unwrap()
            .set_pts(gst::ClockTime::from_mseconds(1500));
        gst::Sample::builder()
            .buffer(&buffer)
            .caps(&caps.parse::<gst::Caps>().unwrap())
            .build()
    }

    #[test]
    fn the_length_of_an_opus_packet_is_read_from_its_first_bytes() {
        let cases: [(&[u8], u64); 5] = [
            (&[0b1111_1000], 20_000),
            (&[0b1000_0001], 5_000),
            (&[0b0001_1011, 0x82], 120_000),
            (&[0b0110_1010], 40_000),
            (&[0b0001_1000], 60_000),
        ];
        for (packet, microseconds) in cases {
            assert_eq!(
                opus_duration(packet),
                Some(Duration::from_micros(microseconds)),
                "{packet:?}"
            );
        }
        assert_eq!(opus_duration(&[]), None);
        assert_eq!(opus_duration(&[3]), None);
    }

    #[test]
    fn a_vp8_key_frame_tells_its_size() {
        let frame = Frame::from_sample(
            MediaKind::Video,
            &sample(
                "video/x-vp8",
                &[0x10, 2, 0, 0x9d, 1, 0x2a, 0x80, 0x42, 0x68, 1, 0],
            ),
        );
        let frame = frame.unwrap().unwrap();
        assert_eq!(frame.at, Duration::from_millis(1500));
        let size = Size {
            width: 640,
            height: 360,
        };
        assert_eq!(
            frame.content,
            Content::Key(Picture {
                codec: Codec::Vp8,
                size,
                configuration: vec![]
            })
        );
        let broken = Frame::from_sample(
            MediaKind::Video,
            &sample("video/x-vp8", &[0x10, 2, 0, 0x9d, 1]),
        );
        assert_eq!(broken.unwrap(), None);
    }

    #[test]
    fn other_media_is_refused_with_the_caps_that_would_be_right() {
        for (kind, caps) in [
            (
                MediaKind::Video,
                "video/x-h264,stream-format=avc,alignment=au",
            ),
            (MediaKind::Video, "audio/x-opus"),
            (MediaKind::Audio, "audio/x-raw"),
        ] {
            let error = Frame::from_sample(kind, &sample(caps, &[1])).unwrap_err();
            assert!(matches!(error, WriteError::Unsupported { .. }), "{error}");
        }
    }
}
