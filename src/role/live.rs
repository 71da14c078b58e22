//! The live stream beside a mix: the file's encoders where they fit, others where not, and never a word to the file.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::task::AbortOnDropHandle;

use super::Events;
use crate::job::{Event, StreamState};
use crate::media::encoder::Encoders;
use crate::media::encodings::{Encodings, RawOutlets};
use crate::media::tap::{Taken, Tap};
use crate::media::{Codec, MediaError};
use crate::pipeline::Settings;
use crate::recording::Gate;
use crate::streaming::streamer::Inlet;
use crate::streaming::target::Protocol;
use crate::streaming::{Streamer, Target};

/// What a stream is made of.
pub struct Material<'a> {
    /// The mix.
    pub raw: &'a RawOutlets,
    /// The file's encoders.
    pub of_file: &'a Encodings,
    /// What they make.
    pub codecs: &'a [Codec],
    /// For codecs that the file does not have.
    pub encoders: Encoders,
    /// Of the mix.
    pub settings: Settings,
    /// What a paused recording does not write, does not go out either.
    pub gate: Arc<Gate>,
}

/// A stream at work.
pub struct Live {
    streamer: Streamer,
    taps: Vec<Tap>,
    own: Encodings,
    _watch: AbortOnDropHandle<()>,
}

impl Live {
    /// Starts the encoders that it needs, and connects. Without such an encoder the stream has failed, and says so; the
    /// file does not mind.
    ///
    /// # Errors
    /// The mix has no picture.
    pub fn start(target: Target, material: &Material<'_>, events: &Events) -> Result<Option<Self>> {
        if material.raw.video.is_none() {
            bail!(
                "a stream needs pictures: say under [record] what they go through, as video = \"identity\""
            );
        }
        let told = target.told();
        match Self::with_encoders(target, material, events) {
            Ok(live) => Ok(Some(live)),
            Err(error) => {
                tracing::warn!(target = %told, "there is no stream: {error:#}");
                // Nobody listens any more once the job has ended.
                let _ = events.send(Event::Stream {
                    target: told,
                    state: StreamState::Failed,
                    reason: Some(format!("{error:#}")),
                });
                Ok(None)
            }
        }
    }

    fn with_encoders(target: Target, material: &Material<'_>, events: &Events) -> Result<Self> {
        let Material {
            raw,
            of_file,
            codecs,
            encoders,
            settings,
            gate,
        } = material;
        let (to_us, mut from_own) = unbounded_channel();
        let own = Encodings::new((*raw).clone(), encoders.clone(), settings.clone(), to_us)?;
        let audio = raw.audio.as_ref().map(|_| sound(&target, codecs));
        let inlet = Inlet::default();
        let taps = [Some(Codec::H264), audio]
            .into_iter()
            .flatten()
            .map(|codec| {
                let of = if codecs.contains(&codec) {
                    of_file
                } else {
                    &own
                };
                tap(codec, of, &inlet, gate)
            });
        let taps = taps.collect::<Result<_, MediaError>>()?;
        let streamer = Streamer::start(&inlet, target, audio.is_some(), events.clone())
            .context("a stream's thread")?;
        let events = events.clone();
        let watch = tokio::spawn(async move {
            while let Some(event) = from_own.recv().await {
                if let Err(error) = super::pass_on(event, &events) {
                    inlet.break_off(error.to_string());
                }
            }
        });
        Ok(Self {
            streamer,
            taps,
            own,
            _watch: AbortOnDropHandle::new(watch),
        })
    }

    /// Ends it.
    pub async fn stop(self) {
        let Self {
            streamer,
            taps,
            own,
            _watch,
        } = self;
        streamer.stop().await;
        let ends = move || {
            drop(taps);
            own.stop();
        };
        // The task cannot be cancelled and does not panic.
        let _ = tokio::task::spawn_blocking(ends).await;
    }
}

/// What the stream's sound is encoded to: FLV knows no Opus; a transport stream takes what the file has.
fn sound(target: &Target, of_file: &[Codec]) -> Codec {
    match target.protocol {
        Protocol::Srt { .. } if of_file.contains(&Codec::Opus) => Codec::Opus,
        Protocol::Srt { .. } | Protocol::Rtmp { .. } => Codec::Aac,
    }
}

fn tap(codec: Codec, of: &Encodings, inlet: &Inlet, gate: &Arc<Gate>) -> Result<Tap, MediaError> {
    let producer = of.producer(codec)?;
    let (kind, inlet, gate) = (codec.kind(), inlet.clone(), gate.clone());
    Tap::open("to-stream", &producer, move |sample| {
        let pts = sample.buffer().and_then(|buffer| buffer.pts());
        let passes = pts.is_some_and(|pts| gate.admit(pts.into()).is_some());
        match passes && inlet.push(kind, sample) {
            true => Taken::WithoutKeyFrame,
            false => Taken::Well,
        }
    })
}
