//! One encoder at work, in a pipeline of its own: whatever happens to it, source and peers do not notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_utils::streamproducer::ConsumerSettings;
use gstreamer_utils::{ConsumptionLink, StreamProducer};

use super::elements::add_linked;
use super::encoder::Choice;
use super::fanout::{Feed, Outlet};
use super::health::{Count, Health, Illness};
use super::{MediaError, MediaKind, clock};
use crate::pipeline::Settings;

/// What may wait for an encoder. One that cannot keep up loses frames instead of gathering delay.
const WAITING_PICTURES: u64 = 2;
const WAITING_SOUND: u64 = 25;
/// Of a recording, a moment in which the machine had other things to do.
const RECORDED_PICTURES: u64 = 25;
const RECORDED_SOUND: u64 = 100;
/// Processors are shared: software may be held up for a while.
const SOFTWARE_PATIENCE: Duration = Duration::from_secs(5);
const HARDWARE_PATIENCE: Duration = Duration::from_millis(250);
/// An encoder that does not stop within this time hangs; its threads are left to themselves.
const STOP_LIMIT: Duration = Duration::from_millis(500);

/// What is wrong with an encoder at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It said so; it will make nothing more.
    Failed(String),
    /// Nobody said anything.
    Ill(Illness),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(reason) => f.write_str(reason),
            Self::Ill(illness) => illness.fmt(f),
        }
    }
}

/// A running encoder between two outlets. Dropped, it stops, or is left alone if it hangs.
#[derive(Debug)]
pub(super) struct Encoding {
    pipeline: gst::Pipeline,
    encoder: gst::Element,
    link: ConsumptionLink,
    kind: MediaKind,
    feed: Feed,
    raw: Outlet,
    encoded: Outlet,
    error: Arc<Mutex<Option<String>>>,
    health: Health,
    patience: Duration,
    rests: AtomicBool,
}

impl Encoding {
    /// Starts an encoder; its first key frame takes the outlet over. `alarm` is rung when it fails.
    pub fn start(
        choice: &Choice,
        settings: &Settings,
        raw: &Outlet,
        encoded: &Outlet,
        alarm: mpsc::Sender<()>,
    ) -> Result<Self, MediaError> {
        let codec = choice.candidate.codec;
        let pipeline = gst::Pipeline::with_name(&format!("encode-{}", choice.candidate.factory));
        clock::prepare(&pipeline);
        let error = Arc::new(Mutex::new(None));
        watch(&pipeline, Arc::clone(&error), alarm)?;
        let source = gst_app::AppSrc::builder().name("raw").build();
        let waiting = ConsumerSettings {
            max_buffer: match (codec.kind(), raw.is_recorded()) {
                (MediaKind::Video, false) => WAITING_PICTURES,
                (MediaKind::Audio, false) => WAITING_SOUND,
                (MediaKind::Video, true) => RECORDED_PICTURES,
                (MediaKind::Audio, true) => RECORDED_SOUND,
            },
            max_time: gst::ClockTime::ZERO,
            ..ConsumerSettings::default()
        };
        // Before it plays: a source that becomes live later waits for ever.
        StreamProducer::configure_consumer_with(&source, waiting.clone());
        let feed = encoded.feed();
        let mut chain = vec![source.clone().upcast()];
        let encoding = choice.build(settings)?;
        let encoder = encoding.encoder;
        chain.extend(encoding.chain);
        chain.push(feed.appsink().upcast());
        add_linked(&pipeline, &chain)?;
        let doing = "start an encoder";
        let failed = |reason: String| MediaError::GStreamer { doing, reason };
        pipeline.set_state(gst::State::Playing).map_err(|state| {
            let said = error.lock().unwrap_or_else(PoisonError::into_inner).take();
            failed(said.unwrap_or_else(|| state.to_string()))
        })?;
        let link = raw.producer().add_consumer_with(&source, waiting);
        let link = link.map_err(|error| failed(error.to_string()))?;
        let patience = if choice.candidate.is_hardware {
            HARDWARE_PATIENCE
        } else {
            SOFTWARE_PATIENCE
        };
        let kind = choice.candidate.codec.kind();
        let count = Count {
            given: raw.amount(kind),
            made: encoded.amount(kind),
        };
        Ok(Self {
            pipeline,
            encoder,
            link,
            kind,
            feed,
            raw: raw.clone(),
            encoded: encoded.clone(),
            error,
            health: Health::new(patience, count, Instant::now()),
            patience,
            rests: AtomicBool::new(false),
        })
    }

    /// Looks whether it works; to be called every 50 ms or so.
    pub fn look(&mut self) -> Option<Fault> {
        let said = self.error.lock();
        if let Some(reason) = said.unwrap_or_else(PoisonError::into_inner).take() {
            return Some(Fault::Failed(reason));
        }
        // Frames of the one before it are not its own.
        if self.rests.load(Ordering::Relaxed) {
            return None;
        }
        let count = Count {
            given: self.raw.amount(self.kind),
            made: self.made(),
        };
        self.health.look(count, Instant::now()).map(Fault::Ill)
    }

    /// Frames of the outlet count as its own once it has taken over.
    fn made(&self) -> u64 {
        if self.feed.has_taken_over() {
            self.encoded.amount(self.kind)
        } else {
            0
        }
    }

    /// Somebody comes: frames flow, the next one a key frame.
    pub fn wake(&mut self) {
        self.encoded.expect_newcomer();
        if self.rests.swap(false, Ordering::Relaxed) {
            let count = Count {
                given: self.raw.amount(self.kind),
                made: self.made(),
            };
            self.health = Health::new(self.patience, count, Instant::now());
            self.link.set_discard(false);
        }
        self.encoded.request_key_frame();
        self.encoded.expect_newcomer();
    }

    /// Nobody is there: no frame reaches the encoder.
    pub fn rest(&self) {
        self.rests.store(true, Ordering::Relaxed);
        self.link.set_discard(true);
    }

    /// Other rates and another expected loss from now on.
    ///
    /// # Errors
    /// This encoder cannot change them while it works.
    pub fn retune(&self, choice: &Choice, settings: &Settings) -> Result<(), MediaError> {
        choice.retune(&self.encoder, settings)
    }

    /// The pipeline, for pictures of it.
    pub fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }
}

impl Drop for Encoding {
    fn drop(&mut self) {
        self.link.disconnect();
        let pipeline = self.pipeline.clone();
        let (done, stopped) = mpsc::channel();
        std::thread::spawn(move || {
            // Whether it stops well tells nothing any more.
            let _ = pipeline.set_state(gst::State::Null);
            let _ = done.send(());
        });
        if stopped.recv_timeout(STOP_LIMIT).is_err() {
            let pipeline = self.pipeline.name();
            tracing::warn!(%pipeline, "an encoder does not stop; its threads are left alone");
        }
    }
}

/// Keeps what the encoder's pipeline says of its end.
fn watch(
    pipeline: &gst::Pipeline,
    error: Arc<Mutex<Option<String>>>,
    alarm: mpsc::Sender<()>,
) -> Result<(), MediaError> {
    let bus = pipeline.bus().ok_or(MediaError::GStreamer {
        doing: "watch an encoder",
        reason: "its pipeline has no bus".to_owned(),
    })?;
    bus.set_sync_handler(move |_, message| {
        let said = match message.view() {
            gst::MessageView::Error(failed) => Some(failed.error().to_string()),
            gst::MessageView::Eos(_) => Some("it ended".to_owned()),
            _ => None,
        };
        if let Some(said) = said {
            let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
            error.get_or_insert(said);
            // Nobody listens any more once the capture has stopped.
            let _ = alarm.send(());
        }
        gst::BusSyncReply::Drop
    });
    Ok(())
}
