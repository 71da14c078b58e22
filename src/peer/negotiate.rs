//! Offers and answers (RFC 8829): m-lines are fixed when a peer is made and never change.

use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_sdp as gst_sdp;
use gstreamer_webrtc::{
    WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection as Direction, WebRTCSDPType,
    WebRTCSessionDescription,
};

use super::sdp::{AudioLevel, Description, Direction as OpenWays, Format, MediaSection, TWCC};
use super::send::Sender;
use super::simulcast::{self, Simulcast};
use super::{Peer, PeerSettings, Receive};
use crate::media::{Codec, MediaKind};

/// The id that our offers give the congestion control extension.
const OFFERED_TWCC: u8 = 3;
/// And the audio level.
const OFFERED_LEVEL: u8 = 1;

impl Peer {
    pub(super) async fn negotiate_offer(&mut self) -> Result<String> {
        let offer = self.describe_offer().await?;
        self.set_description("set-local-description", &offer)
            .await?;
        let offer = offer.sdp().as_text()?;
        let video = self
            .kinds()
            .iter()
            .position(|kind| *kind == MediaKind::Video);
        Ok(match (&self.settings.receive, video) {
            (Receive::Layers(_), Some(video)) => Simulcast::offered().received(&offer, video),
            (_, Some(_) | None) => offer,
        })
    }

    /// Makes the offer without acting on it: nothing is gathered yet.
    pub(super) async fn describe_offer(&mut self) -> Result<WebRTCSessionDescription> {
        if !self.settings.is_outside {
            self.chat.open(&self.webrtc)?;
        }
        for section in offered_sections(&self.kinds(), &self.settings.video_codecs) {
            self.add_section(&section, true)?;
        }
        self.describe("create-offer", "offer").await
    }

    pub(super) async fn negotiate_answer(&mut self, offer: &str) -> Result<String> {
        let offered = parse(offer)?;
        let mut description = Description::parse(&offered)?;
        for section in &mut description.sections {
            // One format only: who answers chooses.
            section.formats = self.preferred(section).into_iter().collect();
            ensure!(
                !section.formats.is_empty(),
                "m-line {} offers no codec that is taken here (Opus; of pictures: {})",
                section.mline,
                self.settings
                    .video_codecs
                    .iter()
                    .map(Codec::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            self.add_section(section, false)?;
        }
        self.build_senders(&description)?;
        let sdp = parse(&simulcast::without(offer))?;
        let offer = WebRTCSessionDescription::new(WebRTCSDPType::Offer, sdp);
        self.set_description("set-remote-description", &offer)
            .await?;
        let answer = self.describe("create-answer", "answer").await?;
        self.set_description("set-local-description", &answer)
            .await?;
        let answer = answer.sdp().as_text()?;
        Ok(match self.expected_layers(&description) {
            Some((mline, simulcast)) => simulcast.received(&answer, mline),
            None => answer,
        })
    }

    /// The encodings that the other side will send, if all of them are taken here; their packets are told apart from now on.
    fn expected_layers<'a>(&self, described: &'a Description) -> Option<(usize, &'a Simulcast)> {
        let section = described.section(MediaKind::Video)?;
        let is_taken =
            section.direction.sends && matches!(self.settings.receive, Receive::Layers(_));
        let simulcast = section.simulcast.as_ref().filter(|_| is_taken)?;
        self.sources.expect(simulcast.extension);
        Some((section.mline, simulcast))
    }

    /// What our offer is about. A server outside of rooms is not asked about what flows neither way.
    fn kinds(&self) -> Vec<MediaKind> {
        let PeerSettings {
            sends,
            ref receive,
            is_outside,
            ..
        } = self.settings;
        [
            (MediaKind::Audio, sends.audio),
            (MediaKind::Video, sends.video),
        ]
        .into_iter()
        .filter(|(kind, sends)| !is_outside || *sends || receive.opens(*kind))
        .map(|(kind, _)| kind)
        .collect()
    }

    /// The best format of an offered section that is taken here: in our order, or in that of one outside.
    fn preferred(&self, section: &MediaSection) -> Option<Format> {
        let ours = match section.kind {
            MediaKind::Audio => &[Codec::Opus],
            MediaKind::Video => self.settings.video_codecs.as_slice(),
        };
        let mut offered = section.formats.iter();
        if self.settings.is_outside {
            return offered.find(|format| ours.contains(&format.codec)).copied();
        }
        let best = |codec: &Codec| offered.clone().find(|format| format.codec == *codec);
        ours.iter().find_map(best).copied()
    }

    pub(super) async fn negotiate_accept(&mut self, answer: &str) -> Result<()> {
        let answered = parse(answer)?;
        let description = Description::parse(&answered)?;
        // Else the encoding that comes is the only one.
        let _ = self.expected_layers(&description);
        let sdp = parse(&simulcast::without(answer))?;
        let answer = WebRTCSessionDescription::new(WebRTCSDPType::Answer, sdp);
        self.set_description("set-remote-description", &answer)
            .await?;
        self.build_senders(&description)
    }

    /// Builds the chain of each track for the first codec of the other side's list.
    /// A section that the other side does not receive gets no sender: nothing is encoded for it.
    fn build_senders(&mut self, description: &Description) -> Result<()> {
        let section = |kind| {
            description
                .section(kind)
                .filter(|section| section.direction.receives)
        };
        self.senders.retain(|sender| {
            section(sender.kind()).is_some_and(|section| !section.formats.is_empty())
        });
        for sender in &mut self.senders {
            if let Some(format) = section(sender.kind()).and_then(|section| section.formats.first())
            {
                sender.build(*format, &self.line)?;
            }
        }
        Ok(())
    }

    /// Makes the transceiver of one m-line, as the other side's section wants it or as we offer it.
    fn add_section(&mut self, section: &MediaSection, offered: bool) -> Result<()> {
        let MediaSection {
            mline,
            kind,
            ref formats,
            twcc,
            level,
            direction,
            simulcast: _,
        } = *section;
        let has = match kind {
            MediaKind::Audio => self.settings.sends.audio,
            MediaKind::Video => self.settings.sends.video,
        };
        let sends = has && self.settings.producers.is_some() && direction.receives;
        let receives = direction.sends && self.settings.receive.opens(kind);
        // A payloader that finds the extension without its attributes does not negotiate: browsers name none.
        let level = level.filter(|level| !sends || level.voice_flag.is_some());
        let direction = match (sends, receives) {
            (true, true) => Direction::Sendrecv,
            (true, false) => Direction::Sendonly,
            (false, true) => Direction::Recvonly,
            (false, false) => Direction::Inactive,
        };
        let ssrc = sends.then(rand::random::<u32>);
        let preferences: gst::Caps = formats
            .iter()
            .map(|format| preference(*format, offered, (twcc, level), ssrc))
            .collect();
        let transceiver = if let Some(ssrc) = ssrc {
            let sender = Sender::new(
                &self.pipeline,
                &self.webrtc,
                mline,
                kind,
                ssrc,
                (twcc, level),
            )?;
            self.line.add_track(kind, ssrc, twcc);
            let transceiver = sender.transceiver();
            self.senders.push(sender);
            transceiver.set_property("direction", direction);
            transceiver.set_property("codec-preferences", &preferences);
            transceiver
        } else {
            self.webrtc.emit_by_name::<WebRTCRTPTransceiver>(
                "add-transceiver",
                &[&direction, &preferences],
            )
        };
        // RFC 4588: lost packets are asked for and sent again; for sound, in-band FEC is quicker.
        transceiver.set_property("do-nack", kind == MediaKind::Video);
        Ok(())
    }

    async fn describe(
        &self,
        signal: &'static str,
        field: &'static str,
    ) -> Result<WebRTCSessionDescription> {
        let (promise, reply) = promised(signal);
        self.webrtc
            .emit_by_name::<()>(signal, &[&None::<gst::Structure>, &promise]);
        let reply = reply
            .await?
            .with_context(|| format!("webrtcbin gave no {field}"))?;
        reply
            .get::<WebRTCSessionDescription>(field)
            .with_context(|| format!("webrtcbin gave no {field}"))
    }

    async fn set_description(
        &self,
        signal: &'static str,
        description: &WebRTCSessionDescription,
    ) -> Result<()> {
        let (promise, reply) = promised(signal);
        self.webrtc
            .emit_by_name::<()>(signal, &[description, &promise]);
        reply.await.map(drop)
    }
}

/// The one place where a GStreamer promise becomes a future; `what` names the action in errors.
fn promised(
    what: &'static str,
) -> (
    gst::Promise,
    impl Future<Output = Result<Option<gst::Structure>>>,
) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let promise = gst::Promise::with_change_func(move |reply| {
        let _ = sender.send(reply.map(|reply| reply.map(ToOwned::to_owned)));
    });
    let reply = async move {
        let reply = receiver
            .await
            .with_context(|| format!("{what}: webrtcbin dropped the promise"))?;
        let reply = reply.map_err(|error| anyhow::anyhow!("{what}: {error:?}"))?;
        if let Some(error) = reply
            .as_ref()
            .and_then(|reply| reply.get::<gst::glib::Error>("error").ok())
        {
            bail!("{what}: {error}");
        }
        Ok(reply)
    };
    (promise, reply)
}

fn parse(text: &str) -> Result<gst_sdp::SDPMessage> {
    ensure!(text.starts_with("v=0"), super::sdp::SdpError::Syntax);
    gst_sdp::SDPMessage::parse_buffer(text.as_bytes())
        .map_err(|_| super::sdp::SdpError::Syntax.into())
}

/// The m-lines of our offers, one for each kind, both ways open.
fn offered_sections(kinds: &[MediaKind], video_codecs: &[Codec]) -> Vec<MediaSection> {
    let section = |(mline, kind): (usize, &MediaKind)| {
        let codecs = match kind {
            MediaKind::Audio => &[Codec::Opus],
            MediaKind::Video => video_codecs,
        };
        MediaSection {
            mline,
            kind: *kind,
            direction: OpenWays {
                sends: true,
                receives: true,
            },
            formats: codecs.iter().copied().filter_map(offered_format).collect(),
            twcc: Some(OFFERED_TWCC),
            level: (*kind == MediaKind::Audio).then_some(AudioLevel {
                id: OFFERED_LEVEL,
                // Payloaders write the extension only where its attributes are named.
                voice_flag: Some(true),
            }),
            simulcast: None,
        }
    };
    kinds.iter().enumerate().map(section).collect()
}

/// The payload types that our offers use, as Chromium does. Calls have no AAC.
fn offered_format(codec: Codec) -> Option<Format> {
    let payload_type = match codec {
        Codec::Opus => 111,
        Codec::Vp8 => 96,
        Codec::H264 => 102,
        Codec::Vp9 => 98,
        Codec::Av1 => 45,
        Codec::H265 => 104,
        Codec::Aac => return None,
    };
    Some(Format {
        codec,
        payload_type,
    })
}

/// One codec as webrtcbin wants it: caps whose fields become `rtpmap`, `fmtp`, `rtcp-fb` and `extmap`.
///
/// Only offers carry fmtp fields; in an answer they then stay as they were offered.
fn preference(
    format: Format,
    offered: bool,
    (twcc, level): (Option<u8>, Option<AudioLevel>),
    ssrc: Option<u32>,
) -> gst::Structure {
    let picture = |caps: gst::structure::Builder, name: &str| {
        caps.field("media", "video")
            .field("encoding-name", name)
            .field("clock-rate", 90_000i32)
    };
    let mut caps = gst::Structure::builder("application/x-rtp")
        .field("payload", i32::from(format.payload_type));
    caps = match format.codec {
        Codec::Opus => caps
            .field("media", "audio")
            .field("encoding-name", "OPUS")
            .field("clock-rate", 48_000i32)
            .field("encoding-params", "2"),
        // RFC 3640; never offered.
        Codec::Aac => caps
            .field("media", "audio")
            .field("encoding-name", "MPEG4-GENERIC")
            .field("clock-rate", 48_000i32),
        Codec::Vp8 => picture(caps, "VP8"),
        Codec::H264 => picture(caps, "H264"),
        Codec::Vp9 => picture(caps, "VP9"),
        Codec::Av1 => picture(caps, "AV1"),
        Codec::H265 => picture(caps, "H265"),
    };
    caps = match (format.codec, offered) {
        (Codec::Opus, true) => caps.field("minptime", "10").field("useinbandfec", "1"),
        (Codec::H264, true) => caps
            .field("packetization-mode", "1")
            .field("profile-level-id", "42e01f")
            .field("level-asymmetry-allowed", "1"),
        (Codec::Vp9, true) => caps.field("profile-id", "0"),
        (Codec::Aac | Codec::Vp8 | Codec::Av1 | Codec::H265, true) | (_, false) => caps,
    };
    if format.codec.kind() == MediaKind::Video {
        caps = caps
            .field("rtcp-fb-nack", true)
            .field("rtcp-fb-nack-pli", true)
            .field("rtcp-fb-ccm-fir", true);
    }
    if let Some(id) = twcc {
        // Chromium believes it is short of bandwidth when transport-cc comes without the extension.
        caps = caps
            .field("rtcp-fb-transport-cc", true)
            .field(format!("extmap-{id}"), TWCC);
    }
    if let Some(level) = level {
        let (name, value) = level.field();
        caps = caps.field(name, value);
    }
    if let Some(ssrc) = ssrc {
        caps = caps.field("ssrc", ssrc);
    }
    caps.build()
}
