//! The recorder: takes everybody's encoded frames to a file each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use gstreamer as gst;
use gstreamer_audio as gst_audio;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::Events;
use super::media::{NextPeer, RoleMedia, is_recorded};
use super::over::Over;
use crate::job::{Assignment, Event};
use crate::media::speaker::Level;
use crate::media::{Codec, MediaKind};
use crate::peer::{EncodedSink, Latency, Peer, PeerSettings, Receive, Wish};
use crate::pipeline::Description;
use crate::recording::{self, Because, Ear, End, Media, News, Recording, RecordingError, Writer};
use crate::signalling::ids::{Generation, ParticipantId};
use crate::signalling::protocol::{Kind, Participant, Sends};

/// A recorder at work.
pub struct Recorder {
    recording: Recording,
    news: UnboundedReceiver<News>,
    events: Events,
    visits: HashMap<ParticipantId, Visit>,
    finishing: JoinSet<()>,
    latency: Latency,
    codecs: Vec<Codec>,
    media: Media,
}

/// One participant while it is there.
struct Visit {
    writer: Arc<Writer>,
    /// The newest generation that delivered a frame: older ones are not written any more.
    playing: Arc<AtomicU32>,
    /// The file waits for a key frame.
    wants_key_frame: Arc<AtomicBool>,
    /// Hear whether there is sound.
    ears: Arc<AtomicBool>,
    /// Hears who speaks.
    ear: Option<Arc<Ear>>,
}

impl Recorder {
    /// Makes the recording's folder.
    pub async fn start(
        assignment: &Assignment,
        description: &Description,
        events: &Events,
    ) -> Result<Self> {
        let job = &assignment.job;
        let values = description.values(&job.parameters, &job.room)?;
        let settings = description.settings(&values)?;
        let how = description.recording(&values)?;
        let limits = description.limits(&values)?;
        let (mut recording, news) = Recording::create(recording::Settings {
            out: assignment.recordings.clone(),
            second: assignment.second_folder.clone(),
            room: job.room.clone(),
            job: assignment.id.clone(),
            description: Some(job.description().to_owned()),
            names: how.names,
            limits,
            format: how.format,
            beside: how.beside,
        })
        .await;
        if assignment.paused {
            recording.pause();
        }
        let message = format!(
            "the recording is written to {}",
            recording.folder().display()
        );
        let _ = events.send(Event::Notice { message });
        let recorder = Self {
            recording,
            news,
            events: events.clone(),
            visits: HashMap::new(),
            finishing: JoinSet::new(),
            latency: match settings.latency {
                Duration::ZERO => Latency::FollowsLoss,
                fixed => Latency::Fixed(fixed),
            },
            codecs: settings.video.codecs,
            media: how.format.media,
        };
        // Meanwhile the recorder goes to its room; its first peer waits for this, and would tell the error.
        tokio::spawn(Peer::warm_up());
        Ok(recorder)
    }

    fn on_news(&mut self, news: &News) {
        self.recording.note(news);
        if let Some(event) = news.job_event() {
            let _ = self.events.send(event);
        }
        if let News::Visit(report) = news
            && matches!(report.event, recording::Event::KeyFrameNeeded)
            && let Some(visit) = self.visits.get(&report.stem.participant)
        {
            visit.wants_key_frame.store(true, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl RoleMedia for Recorder {
    /// What is written.
    fn recording(&self) -> Option<&Recording> {
        Some(&self.recording)
    }

    /// The same, to change it.
    fn recording_mut(&mut self) -> Option<&mut Recording> {
        Some(&mut self.recording)
    }

    /// A writer for one who came.
    fn arrived(&mut self, other: &Participant) {
        let writer = Arc::new(self.recording.write(other));
        self.visits.insert(
            other.id.clone(),
            Visit {
                writer,
                playing: Arc::default(),
                wants_key_frame: Arc::default(),
                ears: self.recording.ears(),
                ear: self.recording.ear(other).map(Arc::new),
            },
        );
    }

    /// Mute and camera off are told to the writer: it need not wait for those tracks.
    fn updated(&mut self, other: &Participant) {
        if let Some(visit) = self.visits.get(&other.id) {
            visit.writer.set_sends(self.media.of(other.sends));
        }
    }

    /// Finishes the file of one who left.
    fn left(&mut self, other: &ParticipantId, why: End) {
        let Some(visit) = self.visits.remove(other) else {
            return;
        };
        self.finishing.spawn(async move {
            visit.writer.finish(why).await;
        });
    }

    /// Receives everything, undecoded, into the writer.
    fn peer_settings(&self, next: NextPeer<'_>) -> PeerSettings {
        let receive = match self.visits.get(next.other) {
            Some(visit) => {
                let sink = visit.sink(next.generation, self.media);
                match self.media {
                    Media::All => Receive::Encoded(sink),
                    Media::Audio => Receive::EncodedSound(sink),
                }
            }
            None => Receive::Nothing,
        };
        PeerSettings {
            name: next.name,
            ice: next.ice,
            sends: Sends::default(),
            producers: None,
            video_codecs: self.codecs.clone(),
            receive,
            latency: self.latency,
            is_outside: false,
        }
    }

    /// Passes on what the writers tell. None of their troubles ends the recorder: the call goes on.
    async fn over(&mut self) -> Over {
        while let Some(news) = self.news.recv().await {
            self.on_news(&news);
        }
        std::future::pending().await
    }

    /// Finishes all files and the manifest.
    ///
    /// # Errors
    /// Where the manifest cannot be written, or nothing could be recorded.
    async fn finish(mut self: Box<Self>, because: Because) -> Result<(), RecordingError> {
        let there: Vec<_> = self.visits.keys().cloned().collect();
        there.iter().for_each(|id| self.left(id, End::Stopped));
        while self.finishing.join_next().await.is_some() {}
        let finished = self.recording.finish(because).await;
        while let Ok(news) = self.news.try_recv() {
            if let Some(event) = news.job_event() {
                let _ = self.events.send(event);
            }
        }
        finished
    }

    fn wants_kind(&self, kind: Kind) -> bool {
        is_recorded(kind)
    }

    fn may_take(&self, other: &Participant) -> bool {
        other.recordable
    }
}

impl Visit {
    /// Where a generation's frames go: to the file, as long as no newer one has any.
    fn sink(&self, generation: Generation, media: Media) -> EncodedSink {
        let (writer, playing) = (self.writer.clone(), self.playing.clone());
        let (wants_key_frame, ears) = (self.wants_key_frame.clone(), self.ears.clone());
        let ear = self.ear.clone();
        Arc::new(move |kind, sample| {
            if !media.takes(kind) {
                return Wish::Nothing;
            }
            let newest = playing.fetch_max(generation.0, Ordering::Relaxed);
            if newest > generation.0 {
                return Wish::Nothing;
            }
            if newest < generation.0 {
                writer.set_generation(generation);
            }
            let loudness = loudness(&sample);
            if kind == MediaKind::Audio && is_sound(&sample, loudness.map(|(level, _)| level)) {
                ears.store(true, Ordering::Relaxed);
            }
            if let (Some(ear), Some((level, at))) = (&ear, loudness) {
                ear.hear(level, at);
            }
            writer.push(kind, sample);
            match kind == MediaKind::Video && wants_key_frame.swap(false, Ordering::Relaxed) {
                true => Wish::KeyFrame,
                false => Wish::Nothing,
            }
        })
    }
}

/// Whether somebody is heard: as loud as a voice, where the sender says how loud it is. Else, what is more than silence: a
/// microphone that is off sends nothing, and of silence Opus with DTX makes packets of a byte or two (RFC 6716 2.1.9).
fn is_sound(sample: &gst::Sample, level: Option<Level>) -> bool {
    match level {
        Some(level) => level.may_be_a_voice(),
        None => sample.buffer().is_some_and(|buffer| buffer.size() > 2),
    }
}

/// How loud a sender says that a frame is (RFC 6464), and the running time of its capture.
fn loudness(sample: &gst::Sample) -> Option<(Level, Duration)> {
    let buffer = sample.buffer()?;
    let levels = buffer.iter_meta::<gst_audio::AudioLevelMeta>();
    let loudest = levels.map(|meta| meta.level()).min()?;
    Some((Level::new(loudest), buffer.pts()?.into()))
}
