//! What attache reads out of a session description (RFC 8866, RFC 8829) before webrtcbin sees it.
//!
//! Remote SDP is checked here first: webrtcbin accepts much that cannot work and says nothing.

use gst::glib::value::ToSendValue;
use gstreamer as gst;
use gstreamer_sdp as gst_sdp;

use super::simulcast::{self, Simulcast};
use crate::media::{Codec, MediaKind};
use crate::signalling::protocol::Sends;

/// The header extension of transport-wide congestion control
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
pub const TWCC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// The header extension that tells how loud the sound in a packet is (RFC 6464).
pub const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/// The audio level extension as a description has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// Its id.
    pub id: u8,
    /// Whether the voice flag is of use (RFC 6464, 4); where nothing is said, it is.
    pub voice_flag: Option<bool>,
}

impl AudioLevel {
    /// As caps have it: webrtcbin reads the other side's description into the same form, and compares.
    pub fn field(self) -> (String, gst::glib::SendValue) {
        let map = |attributes| gst::Array::new(["", AUDIO_LEVEL, attributes]).to_send_value();
        let value = match self.voice_flag {
            None => AUDIO_LEVEL.to_send_value(),
            Some(true) => map("vad=on"),
            Some(false) => map("vad=off"),
        };
        (format!("extmap-{}", self.id), value)
    }
}

/// Why a session description is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not SDP at all.
    #[error("the session description is not valid SDP (RFC 8866)")]
    Syntax,
    /// A media section that could only be sent in the clear.
    #[error(
        "m-line {mline} has no DTLS fingerprint (RFC 8122); attache refuses media without DTLS-SRTP"
    )]
    NoFingerprint {
        /// Index of the section.
        mline: usize,
    },
    /// Not bundled, or rtcp apart: a kind of session attache never makes.
    #[error("m-line {mline} is {protocol:?}; UDP/TLS/RTP/SAVPF or UDP/DTLS/SCTP is needed")]
    Protocol {
        /// Index of the section.
        mline: usize,
        /// What was found.
        protocol: String,
    },
    /// More sections than one audio, one video and one data channel.
    #[error(
        "m-line {mline} is a second {kind} section; attache negotiates one audio, one video and one data channel"
    )]
    Surplus {
        /// Index of the section.
        mline: usize,
        /// The section's media.
        kind: String,
    },
    /// Several encodings of one picture, described in a way that nobody can read.
    #[error(
        "m-line {mline} has a=simulcast:{found}; `send` or `recv` is needed, and RIDs of up to 16 letters, digits, `-` and `_` with `;` between them (RFC 8853)"
    )]
    Simulcast {
        /// Index of the section.
        mline: usize,
        /// What was found.
        found: String,
    },
    /// More encodings of one picture than anybody needs.
    #[error("m-line {mline} sends {count} encodings of its picture; attache takes up to {most}", most = simulcast::MOST)]
    Encodings {
        /// Index of the section.
        mline: usize,
        /// How many there are.
        count: usize,
    },
}

/// Which way a section's media may flow, seen from the description's author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// The author sends.
    pub sends: bool,
    /// The author receives.
    pub receives: bool,
}

impl Direction {
    fn from_attributes(media: &gst_sdp::SDPMediaRef) -> Self {
        if flag(media, "inactive") {
            return Self {
                sends: false,
                receives: false,
            };
        }
        // RFC 8866 6.7: sendrecv where nothing is said.
        Self {
            sends: !flag(media, "recvonly"),
            receives: !flag(media, "sendonly"),
        }
    }
}

/// A codec with the payload type that the description gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Which codec.
    pub codec: Codec,
    /// RTP payload type.
    pub payload_type: u8,
}

/// One audio or video section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSection {
    /// Its index among all m-lines.
    pub mline: usize,
    /// Sound or picture.
    pub kind: MediaKind,
    /// Which way media may flow; all false when the section was rejected with port 0.
    pub direction: Direction,
    /// The codecs attache knows, in the author's order.
    pub formats: Vec<Format>,
    /// The id of the transport-wide congestion control extension.
    pub twcc: Option<u8>,
    /// Of sound: the audio level extension.
    pub level: Option<AudioLevel>,
    /// Several encodings of the picture that the author sends.
    pub simulcast: Option<Simulcast>,
}

/// What attache needs to know of a remote description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The audio and video sections.
    pub sections: Vec<MediaSection>,
    /// There is a data channel section.
    pub data: bool,
}

impl Description {
    /// Reads and checks `sdp`.
    pub fn parse(sdp: &gst_sdp::SDPMessageRef) -> Result<Self, SdpError> {
        if sdp.medias_len() == 0 {
            return Err(SdpError::Syntax);
        }
        let fingerprint = sdp.attribute_val("fingerprint").is_some();
        let mut description = Self {
            sections: Vec::new(),
            data: false,
        };
        for (mline, media) in sdp.medias().enumerate() {
            let rejected = media.port() == 0 && !flag(media, "bundle-only");
            if !rejected && !fingerprint && media.attribute_val("fingerprint").is_none() {
                return Err(SdpError::NoFingerprint { mline });
            }
            description.add(mline, media, rejected)?;
        }
        Ok(description)
    }

    fn add(
        &mut self,
        mline: usize,
        media: &gst_sdp::SDPMediaRef,
        rejected: bool,
    ) -> Result<(), SdpError> {
        let protocol = media.proto().unwrap_or_default();
        let name = media.media().unwrap_or_default();
        let (kind, secure) = match name {
            "audio" => (Some(MediaKind::Audio), protocol == "UDP/TLS/RTP/SAVPF"),
            "video" => (Some(MediaKind::Video), protocol == "UDP/TLS/RTP/SAVPF"),
            _ => (None, protocol.ends_with("DTLS/SCTP")),
        };
        if !secure {
            return Err(SdpError::Protocol {
                mline,
                protocol: protocol.to_owned(),
            });
        }
        let surplus = kind.map_or(self.data, |kind| self.section(kind).is_some());
        if surplus {
            return Err(SdpError::Surplus {
                mline,
                kind: name.to_owned(),
            });
        }
        let Some(kind) = kind else {
            self.data = !rejected;
            return Ok(());
        };
        let direction = match rejected {
            true => Direction {
                sends: false,
                receives: false,
            },
            false => Direction::from_attributes(media),
        };
        self.sections.push(MediaSection {
            mline,
            kind,
            direction,
            formats: formats(media),
            twcc: twcc(media),
            level: audio_level(media),
            simulcast: Simulcast::read(mline, media)?,
        });
        Ok(())
    }

    /// The section of this kind.
    pub fn section(&self, kind: MediaKind) -> Option<&MediaSection> {
        self.sections.iter().find(|section| section.kind == kind)
    }
}

/// What one who offered will send, by its offer and our answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Sound.
    pub audio: bool,
    /// Pictures, and how they are coded.
    pub video: Option<Codec>,
}

impl Promise {
    /// Neither.
    pub const NOTHING: Self = Self {
        audio: false,
        video: None,
    };

    /// Reads it out of both descriptions.
    ///
    /// # Errors
    /// [`SdpError`].
    pub fn read(offer: &str, answer: &str) -> Result<Self, SdpError> {
        let (offer, answer) = (description(offer)?, description(answer)?);
        let codec = |kind| {
            let offered = offer.section(kind)?;
            let answered = answer.section(kind)?;
            let flows = offered.direction.sends && answered.direction.receives;
            let format = answered.formats.first().filter(|_| flows)?;
            Some(format.codec)
        };
        Ok(Self {
            audio: codec(MediaKind::Audio).is_some(),
            video: codec(MediaKind::Video),
        })
    }

    /// Reads what the other side sends out of its answer to an offer that sends nothing.
    ///
    /// # Errors
    /// [`SdpError`].
    pub fn given(answer: &str) -> Result<Self, SdpError> {
        let answer = description(answer)?;
        let codec = |kind| {
            let section = answer.section(kind)?;
            let format = section.formats.first();
            Some(format.filter(|_| section.direction.sends)?.codec)
        };
        Ok(Self {
            audio: codec(MediaKind::Audio).is_some(),
            video: codec(MediaKind::Video),
        })
    }
}

/// What the author of an answer takes of what it was offered.
///
/// # Errors
/// [`SdpError`].
pub fn accepted(answer: &str) -> Result<Sends, SdpError> {
    let answer = description(answer)?;
    let takes = |kind| {
        let section = answer.section(kind);
        section.is_some_and(|section| section.direction.receives && !section.formats.is_empty())
    };
    Ok(Sends {
        audio: takes(MediaKind::Audio),
        video: takes(MediaKind::Video),
    })
}

fn description(text: &str) -> Result<Description, SdpError> {
    let sdp = gst_sdp::SDPMessage::parse_buffer(text.as_bytes());
    let sdp = sdp.map_err(|_| SdpError::Syntax)?;
    Description::parse(&sdp)
}

/// Whether an attribute without a value is there.
fn flag(media: &gst_sdp::SDPMediaRef, name: &str) -> bool {
    media.attributes().any(|attribute| attribute.key() == name)
}

/// The known codecs of a section in its author's order, each once.
fn formats(media: &gst_sdp::SDPMediaRef) -> Vec<Format> {
    let mut found: Vec<(Format, u8)> = Vec::new();
    for payload_type in media
        .formats()
        .filter_map(|format| format.parse::<u8>().ok())
    {
        let Some((codec, rank)) = known_codec(media, payload_type) else {
            continue;
        };
        let format = Format {
            codec,
            payload_type,
        };
        match found.iter_mut().find(|(known, _)| known.codec == codec) {
            Some(known) if rank > known.1 => *known = (format, rank),
            Some(_) => {}
            None => found.push((format, rank)),
        }
    }
    found.into_iter().map(|(format, _)| format).collect()
}

/// The codec behind a payload type, with a rank among the variants of the same codec.
fn known_codec(media: &gst_sdp::SDPMediaRef, payload_type: u8) -> Option<(Codec, u8)> {
    let of = |key: &str| {
        media.attributes().filter(|a| a.key() == key).find_map(|a| {
            let (id, rest) = a.value()?.split_once(' ')?;
            (id.parse() == Ok(payload_type)).then_some(rest)
        })
    };
    let is_profile = |name: &str, wanted: &str| {
        of("fmtp")
            .and_then(|fmtp| parameter(fmtp, name))
            .is_none_or(|profile| profile == wanted)
    };
    let encoding = of("rtpmap")?.to_ascii_uppercase();
    match encoding.split('/').next()? {
        "OPUS" => Some((Codec::Opus, 0)),
        "VP8" => Some((Codec::Vp8, 0)),
        "H264" => Some((Codec::H264, baseline_rank(of("fmtp").unwrap_or_default())?)),
        // RFC 9628 and the RTP payload format for AV1: profile 0 where nothing is said. H.265 (RFC 7798): 1, Main.
        "VP9" => is_profile("profile-id", "0").then_some((Codec::Vp9, 0)),
        "AV1" => is_profile("profile", "0").then_some((Codec::Av1, 0)),
        "H265" => is_profile("profile-id", "1").then_some((Codec::H265, 0)),
        _ => None,
    }
}

/// The value of a format's parameter.
fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|part| {
        let (key, value) = part.trim().split_once('=')?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Constrained baseline in packetization mode 1 ranks above plain baseline; nothing else will do.
/// The second byte of `profile-level-id` holds the constraint flags (RFC 6184 8.1).
fn baseline_rank(fmtp: &str) -> Option<u8> {
    let value = |name| parameter(fmtp, name);
    if value("packetization-mode") != Some("1") {
        return None;
    }
    let id = u32::from_str_radix(value("profile-level-id").unwrap_or("42e01f"), 16).ok()?;
    match ((id >> 16) & 0xff, (id >> 8) & 0x40) {
        (0x42, 0x40) => Some(2),
        (0x42, _) => Some(1),
        _ => None,
    }
}

fn twcc(media: &gst_sdp::SDPMediaRef) -> Option<u8> {
    let (id, _) = extension(media, TWCC)?;
    id.split('/').next()?.parse().ok()
}

/// One that is for one direction alone, or has other attributes, is not taken.
fn audio_level(media: &gst_sdp::SDPMediaRef) -> Option<AudioLevel> {
    let (id, attributes) = extension(media, AUDIO_LEVEL)?;
    let voice_flag = match attributes {
        "" => None,
        "vad=on" => Some(true),
        "vad=off" => Some(false),
        _ => return None,
    };
    let id = id.parse().ok()?;
    Some(AudioLevel { id, voice_flag })
}

/// The id (and direction) of a header extension (RFC 8285, 5), and its attributes.
pub(super) fn extension<'a>(
    media: &'a gst_sdp::SDPMediaRef,
    name: &str,
) -> Option<(&'a str, &'a str)> {
    let maps = media.attributes().filter(|a| a.key() == "extmap");
    maps.filter_map(|map| map.value()?.split_once(' '))
        .find_map(|(id, rest)| {
            let (found, attributes) = rest.split_once(' ').unwrap_or((rest, ""));
            (found == name).then_some((id, attributes.trim()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    const PRINT: &str = "a=fingerprint:sha-256 00:11\r\n";

    fn parse(text: &str) -> Result<Description, SdpError> {
        gst::init().unwrap();
        let sdp =
            gst_sdp::SDPMessage::parse_buffer(text.as_bytes()).map_err(|_| SdpError::Syntax)?;
        Description::parse(&sdp)
    }

    #[test]
    fn the_codecs_keep_the_offers_order_and_payload_types() {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 100 101 102 106 96 45\r\n\
            a=rtpmap:100 VP9/90000\r\na=fmtp:100 profile-id=2\r\n\
            a=rtpmap:101 VP9/90000\r\na=fmtp:101 profile-id=0\r\n\
            a=rtpmap:45 AV1/90000\r\na=fmtp:45 level-idx=5;profile=0;tier=0\r\n\
            a=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=42001f\r\n\
            a=rtpmap:106 H264/90000\r\na=fmtp:106 packetization-mode=1;profile-level-id=42e01f\r\n\
            a=rtpmap:96 VP8/90000\r\na=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n";
        let description = parse(&format!("{HEAD}{PRINT}{video}")).unwrap();
        let section = description.section(MediaKind::Video).unwrap();
        let expected = [
            (Codec::Vp9, 101),
            (Codec::H264, 106),
            (Codec::Vp8, 96),
            (Codec::Av1, 45),
        ]
        .map(|(codec, payload_type)| Format {
            codec,
            payload_type,
        });
        assert_eq!(section.formats, expected);
        assert_eq!(section.twcc, Some(4));
        assert_eq!(
            section.direction,
            Direction {
                sends: true,
                receives: true
            }
        );
    }

    #[test]
    fn the_audio_level_is_taken_as_it_is_offered_and_left_out_where_it_is_for_one_direction() {
        let level = |map: &str| {
            let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n";
            let text = format!("{HEAD}{PRINT}{audio}a=extmap:{map}\r\n");
            let description = parse(&text).unwrap();
            description.section(MediaKind::Audio).unwrap().level
        };
        let found = |id, voice_flag| Some(AudioLevel { id, voice_flag });
        assert_eq!(level(&format!("1 {AUDIO_LEVEL}")), found(1, None));
        assert_eq!(
            level(&format!("6 {AUDIO_LEVEL} vad=on")),
            found(6, Some(true))
        );
        assert_eq!(
            level(&format!("6 {AUDIO_LEVEL} vad=off")),
            found(6, Some(false))
        );
        assert_eq!(level(&format!("6/recvonly {AUDIO_LEVEL}")), None);
        assert_eq!(level("6 urn:ietf:params:rtp-hdrext:toffset"), None);
    }

    #[test]
    fn what_is_offered_and_taken_is_promised() {
        let section = |kind: &str, way: &str| match kind {
            "audio" => format!(
                "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na={way}\r\n"
            ),
            _ => format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na={way}\r\n"),
        };
        let sdp = |audio: &str, video: &str| {
            let sections = [section("audio", audio), section("video", video)];
            format!("{HEAD}{PRINT}{}", sections.concat())
        };
        let promised = |offer: [&str; 2], answer: [&str; 2]| {
            gst::init().unwrap();
            Promise::read(&sdp(offer[0], offer[1]), &sdp(answer[0], answer[1])).unwrap()
        };
        let found = promised(["sendonly", "sendonly"], ["recvonly", "recvonly"]);
        let (audio, video) = (true, Some(Codec::Vp8));
        assert_eq!(found, Promise { audio, video });
        let found = promised(["sendrecv", "recvonly"], ["recvonly", "inactive"]);
        assert_eq!(found, Promise { audio, video: None });
    }

    #[test]
    fn media_without_a_fingerprint_is_refused() {
        let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n";
        assert_eq!(
            parse(&format!("{HEAD}{audio}")),
            Err(SdpError::NoFingerprint { mline: 0 })
        );
        let clear = "m=audio 9 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n";
        let error = parse(&format!("{HEAD}{PRINT}{clear}"));
        assert_eq!(
            error,
            Err(SdpError::Protocol {
                mline: 0,
                protocol: "RTP/AVP".to_owned()
            })
        );
    }

    #[test]
    fn a_second_section_of_a_kind_is_refused() {
        let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n";
        let error = parse(&format!("{HEAD}{PRINT}{audio}{audio}"));
        assert_eq!(
            error,
            Err(SdpError::Surplus {
                mline: 1,
                kind: "audio".to_owned()
            })
        );
    }
}
