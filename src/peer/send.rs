//! From the fan-out to webrtcbin: inlet, payloader, caps, one chain per sent track.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_webrtc::WebRTCRTPTransceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::bandwidth::Estimate;
use super::pacer::gate;
use super::pacer::line::Line;
use super::sdp::{AudioLevel, Format, TWCC};
use super::silence::Silence;
use super::traffic::Packets;
use super::{PeerEvent, Producers, Supply};
use crate::media::fanout::{Outlet, Taking};
use crate::media::inlet::Inlet;
use crate::media::tiers::switch::Switch;
use crate::media::tiers::viewers::{Listening, Tell};
use crate::media::{Codec, MediaKind};

/// Payload per packet: with SRTP, TURN and tunnels it fits every usual path.
const MTU: u32 = 1200;

/// One track on its way out.
pub struct Sender {
    pipeline: gst::Pipeline,
    pad: gst::Pad,
    kind: MediaKind,
    ssrc: u32,
    twcc: Option<u8>,
    level: Option<AudioLevel>,
    chain: Option<(Codec, Inlet)>,
    link: Option<Link>,
    sent: Packets,
}

/// What is connected with the chain; dropped, it is not any more.
#[expect(dead_code, reason = "held for their ends")]
enum Link {
    Taking(Taking),
    Switch(Switch),
    Sound(Taking, Listening),
}

impl Sender {
    /// Takes webrtcbin's sink pad for an m-line.
    pub fn new(
        pipeline: &gst::Pipeline,
        webrtc: &gst::Element,
        mline: usize,
        kind: MediaKind,
        ssrc: u32,
        (twcc, level): (Option<u8>, Option<AudioLevel>),
    ) -> Result<Self> {
        let template = webrtc
            .pad_template("sink_%u")
            .context("webrtcbin has no sink pads")?;
        let pad = webrtc.request_pad(&template, Some(&format!("sink_{mline}")), None);
        let pad = pad.with_context(|| format!("webrtcbin gives no sink pad for m-line {mline}"))?;
        let sent = Packets::default();
        sent.count(&pad);
        Ok(Self {
            pipeline: pipeline.clone(),
            pad,
            kind,
            ssrc,
            twcc,
            level,
            chain: None,
            link: None,
            sent,
        })
    }

    /// Sound or picture.
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// The track's SSRC, and its packets so far.
    pub fn sent(&self) -> (u32, u64) {
        (self.ssrc, self.sent.get())
    }

    /// The transceiver behind the pad.
    pub fn transceiver(&self) -> WebRTCRTPTransceiver {
        self.pad.property("transceiver")
    }

    /// Builds the chain for the codec that was agreed on.
    pub fn build(&mut self, format: Format, line: &Arc<Line>) -> Result<()> {
        let inlet = Inlet::new()?;
        if self.kind == MediaKind::Video {
            line.set_video_payload_type(format.payload_type);
            gate::watch(inlet.pad(), line);
        }
        let payloader = payloader(format, self.ssrc)?;
        let caps = gst::ElementFactory::make("capsfilter")
            .property("caps", self.caps(format))
            .build()?;
        let chain = [&payloader, &caps];
        self.pipeline.add_many(chain)?;
        gst::Element::link_many(chain)?;
        let out = caps
            .static_pad("src")
            .context("a capsfilter without a pad")?;
        out.link(&self.pad)
            .context("webrtcbin does not take the payloader's caps")?;
        for element in chain.iter().rev() {
            element.sync_state_with_parent()?;
        }
        let way_in = payloader
            .static_pad("sink")
            .context("a payloader without a pad")?;
        inlet
            .pad()
            .link(&way_in)
            .context("the payloader takes no frames")?;
        self.chain = Some((format.codec, inlet));
        Ok(())
    }

    /// Wakes the encoder, so that it works by the time the connection is there. What is wrong with it, [`Sender::start`] tells.
    pub fn prepare(&self, producers: &Producers) {
        if let Some((codec, _)) = &self.chain
            && let Ok(Supply::Tiers(encodings)) = producers(*codec)
        {
            let _ = encodings.prepare(*codec);
        }
    }

    /// Connects the chain to the encoder's output, from the next key frame on. `estimates` are of the peer's link, to
    /// which tiers follow; `events` are told when they do.
    pub fn start(
        &mut self,
        producers: &Producers,
        estimates: watch::Receiver<Option<Estimate>>,
        events: &UnboundedSender<PeerEvent>,
    ) -> Result<()> {
        let Some((codec, inlet)) = &self.chain else {
            return Ok(());
        };
        if self.link.is_some() {
            return Ok(());
        }
        self.link = Some(match (producers(*codec)?, codec.kind()) {
            (Supply::Outlet(outlet), MediaKind::Audio) => Link::Taking(take(&outlet, inlet)),
            (Supply::Layers(_), MediaKind::Audio) => bail!("{codec} has no layers: it is sound"),
            (Supply::Layers(layers), MediaKind::Video) => {
                Link::Switch(layers.view(inlet, estimates, tell(events)))
            }
            (Supply::Outlet(outlet), MediaKind::Video) => {
                let switch = Switch::new(inlet);
                switch.turn_to(&outlet);
                Link::Switch(switch)
            }
            (Supply::Tiers(encodings), MediaKind::Audio) => {
                let taking = take(&encodings.outlet(*codec)?, inlet);
                Link::Sound(taking, encodings.listen(estimates))
            }
            (Supply::Tiers(encodings), MediaKind::Video) => {
                Link::Switch(encodings.view(*codec, inlet, estimates, tell(events))?)
            }
        });
        Ok(())
    }

    fn caps(&self, format: Format) -> gst::Caps {
        let mut caps = gst::Caps::builder("application/x-rtp")
            .field("payload", i32::from(format.payload_type));
        if let Some(id) = self.twcc {
            caps = caps.field(format!("extmap-{id}"), TWCC);
        }
        if let Some(level) = self.level {
            let (name, value) = level.field();
            caps = caps.field(name, value);
        }
        caps.build()
    }
}

/// Tells the peer's owner what is sent of the picture.
fn tell(events: &UnboundedSender<PeerEvent>) -> Tell {
    let events = events.clone();
    Box::new(move |tier| {
        // Nobody listens any more once the peer is closed.
        let _ = events.send(PeerEvent::Tier(tier));
    })
}

/// Sound from now on; what would come too late is left out, and most of silence.
fn take(outlet: &Outlet, inlet: &Inlet) -> Taking {
    let inlet = inlet.clone();
    let silence = Mutex::new(Silence::default());
    outlet.take(move |buffer, caps| {
        let is_needed = silence
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_needed(buffer.size());
        if is_needed && !inlet.is_full() {
            inlet.push(buffer.clone(), caps);
        }
    })
}

fn payloader(format: Format, ssrc: u32) -> Result<gst::Element> {
    let (name, package) = match format.codec {
        Codec::Opus => ("rtpopuspay", "gstreamer1.0-plugins-good"),
        Codec::Vp8 => ("rtpvp8pay", "gstreamer1.0-plugins-good"),
        Codec::H264 => ("rtph264pay", "gstreamer1.0-plugins-good"),
        Codec::Vp9 => ("rtpvp9pay", "gstreamer1.0-plugins-good"),
        // Built in, see `media::init`.
        Codec::Av1 => ("rtpav1pay", "attache anew"),
        Codec::H265 => ("rtph265pay", "gstreamer1.0-plugins-good"),
        Codec::Aac => bail!("AAC is not sent in calls"),
    };
    let mut builder = gst::ElementFactory::make(name)
        .property("mtu", MTU)
        .property("pt", u32::from(format.payload_type));
    builder = match format.codec {
        // -1 is "any" there.
        Codec::Av1 => builder.property("ssrc", i64::from(ssrc)),
        Codec::Opus | Codec::Aac | Codec::Vp8 | Codec::H264 | Codec::Vp9 | Codec::H265 => {
            builder.property("ssrc", ssrc)
        }
    };
    builder = match format.codec {
        Codec::Opus | Codec::Aac | Codec::Av1 => builder,
        // RFC 7741 and RFC 9628: receivers find lost frames by the picture id.
        Codec::Vp8 | Codec::Vp9 => builder.property_from_str("picture-id-mode", "15-bit"),
        Codec::H265 => builder
            .property_from_str("aggregate-mode", "zero-latency")
            .property("config-interval", -1i32),
        Codec::H264 => builder
            .property_from_str("aggregate-mode", "zero-latency")
            .property("config-interval", -1i32),
    };
    builder
        .build()
        .with_context(|| format!("{name} is missing: install {package}"))
}
