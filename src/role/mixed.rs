//! The mixing recorder: everybody in one picture and one sound, treated by the description's `[record]`, in one file.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use gstreamer_utils::StreamProducer;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Events;
use super::hearing;
use super::live::{Live, Material};
use super::media::{NextPeer, RoleMedia, is_recorded};
use super::over::Over;
use super::reload::Parts;
use crate::job::{Assignment, Event, Parameters};
use crate::media::capture::Context;
use crate::media::choice::Track;
use crate::media::encoder::Encoders;
use crate::media::encoder::prover::own_program;
use crate::media::encodings::{Encodings, RawOutlets};
use crate::media::fanout::Outlet;
use crate::media::playback::{Attachment, Playback};
use crate::media::scene::Person;
use crate::media::tap::{Taken, Tap};
use crate::media::{Codec, MediaError, MediaEvent, MediaKind};
use crate::peer::{Latency, Peer, PeerSettings, Receive};
use crate::pipeline::change::Change;
use crate::pipeline::{Description, RecordingSettings, Settings};
use crate::recording::{self, Because, Ear, End, News, Recording, RecordingError, Writer};
use crate::signalling::ids::{ParticipantId, RoomName};
use crate::signalling::protocol::{Kind, Participant, Sends};
use crate::streaming::Target;

/// The name that stands for everybody in the file's name and in the manifest.
const EVERYBODY: &str = "everybody";

/// A mixing recorder at work.
pub struct Mixed {
    recording: Recording,
    news: UnboundedReceiver<News>,
    from_media: UnboundedReceiver<MediaEvent>,
    events: Events,
    mix: Arc<Playback>,
    encodings: Encodings,
    seats: HashMap<(ParticipantId, MediaKind), Attachment>,
    /// Hear who speaks.
    ears: HashMap<ParticipantId, Arc<Ear>>,
    /// Filters, and whose media they give back.
    filters: HashMap<ParticipantId, ParticipantId>,
    /// In the order in which they came.
    people: Vec<Person>,
    shows_names: bool,
    writer: Arc<Writer>,
    taps: Vec<Tap>,
    live: Option<Live>,
    wants_key_frame: Arc<AtomicBool>,
    settings: Settings,
}

impl Mixed {
    /// Makes the recording's folder and starts the encoders; the file begins with the first one who comes.
    pub async fn start(
        assignment: &Assignment,
        description: &Description,
        events: &Events,
    ) -> Result<Self> {
        let job = &assignment.job;
        let values = description.values(&job.parameters, &job.room)?;
        let settings = description.settings(&values)?;
        let limits = description.limits(&values)?;
        let RecordingSettings {
            layout,
            names,
            format,
            audio,
            beside,
            stream,
        } = description.recording(&values)?;
        if let Some(target) = &stream {
            assignment.stream_hosts.allow(target)?;
        }
        let codecs = &settings.video.codecs;
        let policy = assignment.encoders.clone();
        let encoders = Encoders::prove(policy, codecs, &settings, own_program()).await;
        let outlet = |fragment: bool| fragment.then(Outlet::recorded).transpose();
        let raw = RawOutlets {
            audio: outlet(description.record.audio.is_some())?,
            video: outlet(description.record.video.is_some())?,
        };
        let (to_us, from_media) = unbounded_channel();
        let context = Context {
            room: job.room.clone(),
            encoders: encoders.clone(),
        };
        let mix = Playback::record(
            description,
            &job.parameters,
            context,
            raw.clone(),
            to_us.clone(),
        )
        .await?;
        mix.arrange(layout);
        let encodings = Encodings::new(raw.clone(), encoders.clone(), settings.clone(), to_us)?;
        let (mut recording, news) = Recording::create(recording::Settings {
            out: assignment.recordings.clone(),
            second: assignment.second_folder.clone(),
            room: job.room.clone(),
            job: assignment.id.clone(),
            description: Some(job.description().to_owned()),
            names,
            limits,
            format,
            beside,
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
        let writer = Arc::new(recording.write(&everybody(&raw)?));
        let mut mixed = Self {
            recording,
            news,
            from_media,
            events: events.clone(),
            mix: Arc::new(mix),
            encodings,
            seats: HashMap::new(),
            ears: HashMap::new(),
            filters: HashMap::new(),
            people: Vec::new(),
            shows_names: names,
            writer,
            taps: Vec::new(),
            live: None,
            wants_key_frame: Arc::default(),
            settings,
        };
        mixed.tap(&raw, audio.codec())?;
        if let Some(target) = stream {
            mixed.stream(target, &raw, audio.codec(), encoders)?;
        }
        tokio::spawn(Peer::warm_up());
        Ok(mixed)
    }

    /// Leads the encoders' frames to the file.
    fn tap(&mut self, raw: &RawOutlets, audio: Codec) -> Result<()> {
        let video = self.settings.video.codecs.first().copied();
        let wanted = [
            (raw.audio.as_ref(), Some(audio)),
            (raw.video.as_ref(), video),
        ];
        for (outlet, codec) in wanted {
            let (Some(_), Some(codec)) = (outlet, codec) else {
                continue;
            };
            let producer = self.encodings.producer(codec)?;
            let (writer, wish) = (self.writer.clone(), self.wants_key_frame.clone());
            self.taps
                .push(to_file(&producer, codec.kind(), writer, wish)?);
        }
        if let Some(audio) = &raw.audio {
            hearing::of_mix(&audio.producer(), self.recording.ears());
        }
        Ok(())
    }

    /// Sends the mix to a live server, too.
    fn stream(
        &mut self,
        target: Target,
        raw: &RawOutlets,
        audio: Codec,
        encoders: Encoders,
    ) -> Result<()> {
        let video = self.settings.video.codecs.first().copied();
        let codecs: Vec<_> = video.into_iter().chain([audio]).collect();
        let material = Material {
            raw,
            of_file: &self.encodings,
            codecs: &codecs,
            encoders,
            settings: self.settings.clone(),
            gate: self.recording.gate(),
        };
        self.live = Live::start(target, &material, &self.events)?;
        Ok(())
    }

    /// What is written on somebody's picture. A filter has none: its sound is another one's.
    fn label(&self, other: &Participant) -> Option<String> {
        let kind = match other.kind {
            Kind::Person => "person",
            Kind::Kiosk => "kiosk",
            Kind::Recorder => "recorder",
            Kind::Relay => "publisher",
            Kind::Filter | Kind::Viewer => return None,
        };
        let name = other.name.clone().filter(|_| self.shows_names);
        Some(name.unwrap_or_else(|| kind.to_owned()))
    }

    fn on_news(&mut self, news: &News) {
        self.recording.note(news);
        if let Some(event) = news.job_event() {
            let _ = self.events.send(event);
        }
        if let News::Visit(report) = news
            && matches!(report.event, recording::Event::KeyFrameNeeded)
        {
            self.wants_key_frame.store(true, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl RoleMedia for Mixed {
    /// What is written.
    fn recording(&self) -> Option<&Recording> {
        Some(&self.recording)
    }

    /// The same, to change it.
    fn recording_mut(&mut self) -> Option<&mut Recording> {
        Some(&mut self.recording)
    }

    /// What follows other values while it records.
    fn parts(&self, room: &RoomName) -> Parts {
        Parts {
            arrangement: Some(Arrangement {
                mix: self.mix.clone(),
                room: room.clone(),
            }),
            ..Parts::default()
        }
    }

    /// Receives everything, decoded.
    fn peer_settings(&self, next: NextPeer<'_>) -> PeerSettings {
        PeerSettings {
            name: next.name,
            ice: next.ice,
            sends: Sends::default(),
            producers: None,
            video_codecs: self.settings.video.codecs.clone(),
            receive: Receive::Recorded {
                audio: self.mix.plays(MediaKind::Audio),
                video: self.mix.plays(MediaKind::Video),
            },
            latency: Latency::Fixed(self.settings.latency),
            is_outside: false,
        }
    }

    /// A participant's track arrives; it takes the place of the one of an older generation.
    fn track(&mut self, from: &ParticipantId, kind: MediaKind, producer: &StreamProducer) {
        let (whose, track) = match self.filters.get(from) {
            Some(source) => (source, Track::Enhanced),
            None => (from, Track::Original),
        };
        if let (MediaKind::Audio, Track::Original, Some(ear)) = (kind, track, self.ears.get(from)) {
            hearing::of_participant(producer, ear.clone());
        }
        let attachment = self.mix.attach(whose, kind, track, producer);
        self.seats.insert((from.clone(), kind), attachment);
    }

    /// A participant came: it has a part of the picture from now on.
    fn arrived(&mut self, other: &Participant) {
        if let Some(source) = &other.enhances {
            self.filters.insert(other.id.clone(), source.clone());
        }
        if let Some(ear) = self.recording.ear(other) {
            self.ears.insert(other.id.clone(), Arc::new(ear));
        }
        let Some(label) = self.label(other) else {
            return;
        };
        self.people.push(Person {
            id: other.id.clone(),
            label,
            sends: other.sends,
        });
        self.mix.show(self.people.clone());
    }

    /// A participant sends other tracks, or has another name.
    fn updated(&mut self, other: &Participant) {
        let Some(label) = self.label(other) else {
            return;
        };
        if let Some(person) = self.people.iter_mut().find(|person| person.id == other.id) {
            (person.label, person.sends) = (label, other.sends);
            self.mix.show(self.people.clone());
        }
    }

    /// A participant is gone.
    fn left(&mut self, other: &ParticipantId, _: End) {
        self.seats.retain(|(id, _), _| id != other);
        self.ears.remove(other);
        self.filters.remove(other);
        self.people.retain(|person| person.id != *other);
        self.mix.show(self.people.clone());
    }

    /// Passes on what the mix, the encoders and the file tell, until the mix fails.
    async fn over(&mut self) -> Over {
        loop {
            tokio::select! {
                Some(event) = self.from_media.recv() => {
                    if let Err(error) = super::pass_on(event, &self.events) {
                        return Over::Broken(error.to_string());
                    }
                }
                Some(news) = self.news.recv() => self.on_news(&news),
                else => std::future::pending().await,
            }
        }
    }

    /// Ends the mix, finishes the file and the manifest.
    ///
    /// # Errors
    /// Where the manifest cannot be written, or nothing could be recorded.
    async fn finish(mut self: Box<Self>, because: Because) -> Result<(), RecordingError> {
        self.seats.clear();
        self.mix.stop().await;
        let (encodings, taps) = (self.encodings.clone(), std::mem::take(&mut self.taps));
        // The task cannot be cancelled and does not panic.
        let _ = tokio::task::spawn_blocking(move || {
            encodings.stop();
            drop(taps);
        })
        .await;
        self.writer.finish(End::Stopped).await;
        // The file is whole before anybody waits for a server.
        if let Some(live) = self.live.take() {
            live.stop().await;
        }
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

/// How the pictures of a running mix are arranged.
pub struct Arrangement {
    mix: Arc<Playback>,
    room: RoomName,
}

impl Arrangement {
    /// Moves to another description or other values.
    ///
    /// # Errors
    /// If more than the layout is another: the file has one size, one rate and one codec.
    pub fn change(
        &self,
        (description, parameters): (&Description, &Parameters),
        (former, before): (&Description, &Parameters),
    ) -> Result<()> {
        let values = description.values(parameters, &self.room)?;
        let were = former.values(before, &self.room)?;
        let (next, last) = (description.recording(&values)?, former.recording(&were)?);
        let is_same = former.changes(&were, description, &values)? == Change::Nothing;
        let is_arranged = RecordingSettings {
            layout: next.layout,
            ..last
        };
        if !is_same || next != is_arranged {
            bail!(
                "of a mix that is being recorded, only the layout can change; stop the job and start it again"
            );
        }
        self.mix.arrange(next.layout);
        Ok(())
    }
}

/// Who the manifest says the file is of.
fn everybody(raw: &RawOutlets) -> Result<Participant> {
    Ok(Participant {
        id: EVERYBODY.parse().context("the name of everybody")?,
        kind: Kind::Recorder,
        name: None,
        identity: None,
        sends: Sends {
            audio: raw.audio.is_some(),
            video: raw.video.is_some(),
        },
        recording: true,
        recordable: true,
        enhances: None,
        away: false,
    })
}

/// One encoder's frames on their way to the file.
fn to_file(
    producer: &StreamProducer,
    kind: MediaKind,
    writer: Arc<Writer>,
    wish: Arc<AtomicBool>,
) -> Result<Tap, MediaError> {
    Tap::open("to-file", producer, move |sample| {
        writer.push(kind, sample);
        match kind == MediaKind::Video && wish.swap(false, Ordering::Relaxed) {
            true => Taken::WithoutKeyFrame,
            false => Taken::Well,
        }
    })
}
