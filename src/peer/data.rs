//! The chat channel of a PeerConnection (RFC 8831): label `chat`, ordered, reliable, JSON texts.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_webrtc::{WebRTCDataChannel, WebRTCDataChannelState};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use super::PeerEvent;
use crate::filter::report::FilterReport;

const LABEL: &str = "chat";

/// What is written on the channel; `docs/protocol.md` shows it.
#[derive(Serialize, Deserialize)]
struct ChatMessage {
    text: String,
}

/// What a filter writes on it to the one whose sound it improves.
#[derive(Serialize)]
struct ReportMessage<'a> {
    filter: &'a FilterReport,
}

/// What is written on it when a weak connection leaves no room for the picture, and when there is room again.
#[derive(Serialize)]
struct VideoMessage {
    video: &'static str,
}

/// The data channel, ours or theirs, once there is one.
pub struct Chat {
    channel: Arc<Mutex<Option<WebRTCDataChannel>>>,
    events: UnboundedSender<PeerEvent>,
}

impl Chat {
    /// Takes the channel that the other side opens.
    pub fn watch(webrtc: &gst::Element, events: &UnboundedSender<PeerEvent>) -> Self {
        let chat = Self {
            channel: Arc::default(),
            events: events.clone(),
        };
        let slot = Arc::downgrade(&chat.channel);
        let events = events.clone();
        webrtc.connect("on-data-channel", false, move |values| {
            let channel = values[1].get::<WebRTCDataChannel>().ok()?;
            let slot = slot.upgrade()?;
            adopt(&slot, channel, &events);
            None
        });
        chat
    }

    /// Opens the channel from our side: before the offer, so that it has an m-line.
    pub fn open(&self, webrtc: &gst::Element) -> Result<()> {
        let channel = webrtc
            .emit_by_name::<Option<WebRTCDataChannel>>("create-data-channel", &[&LABEL, &None::<gst::Structure>])
            .context("webrtcbin makes no data channel: is the sctp plugin (gstreamer1.0-plugins-bad) there?")?;
        adopt(&self.channel, channel, &self.events);
        Ok(())
    }

    /// Sends a text.
    pub fn send(&self, text: &str) -> Result<()> {
        self.write(&ChatMessage {
            text: text.to_owned(),
        })
    }

    /// Sends what a filter does.
    pub fn send_report(&self, report: &FilterReport) -> Result<()> {
        self.write(&ReportMessage { filter: report })
    }

    /// Sends whether there is a picture.
    pub fn send_paused(&self, is_paused: bool) -> Result<()> {
        let video = if is_paused { "paused" } else { "on" };
        self.write(&VideoMessage { video })
    }

    fn write(&self, message: &impl Serialize) -> Result<()> {
        let Some(channel) = self.channel() else {
            bail!("the data channel is not open");
        };
        let message = serde_json::to_string(message)?;
        Ok(channel.send_string_full(Some(&message))?)
    }

    /// Whether something can be sent.
    pub fn is_open(&self) -> bool {
        self.channel().is_some()
    }

    /// Sends what the other side passes over, and its SCTP acknowledges: a byte.
    pub fn probe(&self) {
        // One that waits to be sent again is enough.
        let channel = self
            .channel()
            .filter(|channel| channel.buffered_amount() == 0);
        if let Some(channel) = channel {
            // One that closes meanwhile shows elsewhere.
            let _ = channel.send_data_full(Some(&glib::Bytes::from_static(&[0])));
        }
    }

    /// The channel, if it is open.
    fn channel(&self) -> Option<WebRTCDataChannel> {
        let channel = self.channel.lock();
        let channel = channel.unwrap_or_else(PoisonError::into_inner).clone();
        channel.filter(|channel| channel.ready_state() == WebRTCDataChannelState::Open)
    }
}

fn adopt(
    slot: &Mutex<Option<WebRTCDataChannel>>,
    channel: WebRTCDataChannel,
    events: &UnboundedSender<PeerEvent>,
) {
    let opened = events.clone();
    channel.connect_on_open(move |_| {
        let _ = opened.send(PeerEvent::ChatOpen);
    });
    let received = events.clone();
    channel.connect_on_message_string(move |_, message| {
        // Another program's message on this channel is not for us.
        if let Ok(ChatMessage { text }) = serde_json::from_str(message.unwrap_or_default()) {
            let _ = received.send(PeerEvent::Message(text));
        }
    });
    if channel.ready_state() == WebRTCDataChannelState::Open {
        let _ = events.send(PeerEvent::ChatOpen);
    }
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(channel);
}
