//! Encoders: which there are, which of them work here, and the choice among them.
//!
//! * [`table`]: every encoder attache knows; [`tuning`]: its properties; [`effort`]: speed and threads of software.
//! * [`probe`] proves one, in a process that may crash; [`prover`] has it done; [`picture`]: what is encoded for it.
//! * [`verdict`]: what became of it; [`cache`] keeps that on disk, under the versions that [`machine`] tells.
//! * [`policy`]: what the operator wants, and the order that follows.

pub mod cache;
pub mod effort;
mod machine;
mod picture;
pub mod policy;
#[cfg(test)]
mod priming_tests;
pub mod probe;
pub mod prover;
pub mod table;
mod tuning;
pub mod verdict;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use self::effort::Effort;
use self::policy::State;
pub use self::policy::{Policy, Standing};
pub use self::table::Candidate;
pub use self::verdict::{Class, Verdict};
use super::elements::{capsfilter, make};
use super::{Codec, MediaError, MediaKind};
use crate::pipeline::Settings;

/// How long a job waits for the hardware of its first codec to be proven; what is not proven by then is found out
/// meanwhile, for the next time.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Samples of sound per second.
const SOUND_RATE: u64 = 48_000;

/// An encoder that may be used, and why.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Which one.
    pub candidate: &'static Candidate,
    /// Why it stands where it stands.
    pub reason: String,
    /// What one frame took when it was proven.
    pub time_per_frame: Option<Duration>,
}

/// An encoder, and what stands around it.
#[derive(Debug)]
pub struct Built {
    /// The encoder itself, one of the chain.
    pub encoder: gst::Element,
    /// Each one's pads link in order.
    pub chain: Vec<gst::Element>,
}

impl Choice {
    fn unproven(candidate: &'static Candidate) -> Self {
        Self {
            candidate,
            reason: candidate.runs_on.to_owned(),
            time_per_frame: None,
        }
    }

    /// The encoder and what must stand around it: each one's pads link in order. In go I420 or S16LE at 48 kHz; out
    /// come VP8 or VP9 frames, H.264 or H.265 access units in byte-stream form with their parameter sets on each key
    /// frame, AV1 temporal units, Opus packets, or AAC frames without headers.
    ///
    /// # Errors
    /// An element is missing, or its version is not known to attache.
    pub fn build(&self, settings: &Settings) -> Result<Built, MediaError> {
        let Candidate {
            factory,
            package,
            input,
            priming,
            codec,
            ..
        } = self.candidate;
        let encoder = make(factory, package)?;
        let effort = self.effort(settings);
        for setting in self.candidate.settings {
            setting.apply(&encoder, settings, &effort)?;
        }
        let mut chain = Vec::new();
        if !input.is_empty() {
            let convert = match codec.kind() {
                MediaKind::Audio => "audioconvert",
                MediaKind::Video => "videoconvert",
            };
            chain.push(make(convert, "gstreamer1.0-plugins-base")?);
            chain.push(capsfilter(input)?);
        }
        if codec.kind() == MediaKind::Audio {
            // Each frame carries its loudness, for the header extension of RFC 6464.
            let level = make("level", "gstreamer1.0-plugins-good")?;
            level.set_property("post-messages", false);
            level.set_property("audio-level-meta", true);
            chain.push(level);
        }
        if let Some(pad) = encoder.static_pad("src") {
            let early = *priming * gst::ClockTime::SECOND.nseconds() / SOUND_RATE;
            pad.set_offset(-i64::try_from(early).unwrap_or_default());
        }
        chain.push(encoder.clone());
        chain.extend(form(*codec)?);
        Ok(Built { encoder, chain })
    }

    /// Sets those settings anew that follow the links: rates, the loss that is expected.
    ///
    /// # Errors
    /// This encoder cannot change them while it works.
    pub fn retune(&self, encoder: &gst::Element, settings: &Settings) -> Result<(), MediaError> {
        let effort = self.effort(settings);
        let following = self
            .candidate
            .settings
            .iter()
            .filter(|setting| setting.follows_links());
        for setting in following {
            setting.apply(encoder, settings, &effort)?;
        }
        Ok(())
    }

    fn effort(&self, settings: &Settings) -> Effort {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cores = u32::try_from(cores).unwrap_or(1);
        let speeds = &self.candidate.speeds;
        let usual = Effort::usual(speeds, settings.video.height, cores);
        match self.time_per_frame {
            Some(measured) => {
                let interval = Class::of(settings).interval();
                Effort::for_time(speeds, usual, measured, interval, cores)
            }
            None => usual,
        }
    }
}

/// What brings a codec's frames into the form that peers and files take.
fn form(codec: Codec) -> Result<Vec<gst::Element>, MediaError> {
    let parser = |name| make(name, "gstreamer1.0-plugins-bad");
    let with_headers = |name| {
        let parser = parser(name)?;
        // Parameter sets with each key frame: a latecomer has nothing else.
        parser.set_property("config-interval", -1);
        Ok::<_, MediaError>(parser)
    };
    Ok(match codec {
        Codec::H264 => vec![
            // NVENC calls it baseline; it makes nothing that constrained baseline forbids.
            capsfilter("video/x-h264,profile={constrained-baseline,baseline}")?,
            with_headers("h264parse")?,
            capsfilter("video/x-h264,stream-format=byte-stream,alignment=au")?,
        ],
        Codec::H265 => vec![
            capsfilter("video/x-h265,profile=main")?,
            with_headers("h265parse")?,
            capsfilter("video/x-h265,stream-format=byte-stream,alignment=au")?,
        ],
        Codec::Av1 => vec![
            parser("av1parse")?,
            capsfilter("video/x-av1,stream-format=obu-stream,alignment=tu")?,
        ],
        Codec::Aac => vec![
            make("aacparse", "gstreamer1.0-plugins-good")?,
            capsfilter("audio/mpeg,mpegversion=4,stream-format=raw")?,
        ],
        Codec::Vp8 | Codec::Vp9 | Codec::Opus => vec![],
    })
}

/// The encoders of this machine and what is known of them. Clones are the same; what is learnt later shows in all.
#[derive(Debug, Clone, Default)]
pub struct Encoders(Arc<Shared>);

/// Encoders by name and class of pictures.
type Verdicts = BTreeMap<(&'static str, Class), Verdict>;

#[derive(Debug, Default)]
struct Shared {
    policy: Policy,
    verdicts: Mutex<Verdicts>,
}

impl Shared {
    fn learn(&self, candidate: &Candidate, class: Class, verdict: Verdict) {
        let verdicts = self.verdicts.lock();
        let mut verdicts = verdicts.unwrap_or_else(PoisonError::into_inner);
        verdicts.insert((candidate.factory, class), verdict);
    }
}

impl Encoders {
    /// Those of an operator; nothing is known of them yet.
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(Shared {
            policy,
            verdicts: Mutex::default(),
        }))
    }

    /// Finds out which encoders work, for a job that is to begin. Verdicts that are kept on disk cost nothing. Others
    /// are found by `program` (attache itself) in the background, one encoder at a time, in order of preference; this
    /// waits only for hardware of the first codec, and not for long. Until its verdict is there, hardware is not used
    /// and software is.
    pub async fn prove(
        policy: Policy,
        codecs: &[Codec],
        settings: &Settings,
        program: Option<PathBuf>,
    ) -> Self {
        let encoders = Self::new(policy);
        let work = prover::Work::new(&encoders.0, codecs, settings, program);
        if work.candidates.is_empty() || work.program.is_none() {
            return encoders;
        }
        let first = codecs.first().copied();
        let is_awaited = move |one: &Candidate| one.is_hardware && Some(one.codec) == first;
        let awaited = work.candidates.iter().filter(|one| is_awaited(one)).count();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(work.run(move |candidate| {
            if is_awaited(candidate) {
                // Nobody waits any more once the time is over.
                let _ = tell.send(());
            }
        }));
        let all = async {
            for _ in 0..awaited {
                // One that works is enough to begin with.
                if encoders.has_working_hardware(first, settings) || told.recv().await.is_none() {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::info!("encoders are still being proven; software is used meanwhile");
        }
        encoders
    }

    /// Finds out which encoders work, and returns when all is known.
    pub async fn prove_all(
        policy: Policy,
        codecs: &[Codec],
        settings: &Settings,
        program: Option<PathBuf>,
    ) -> Self {
        let encoders = Self::new(policy);
        let work = prover::Work::new(&encoders.0, codecs, settings, program);
        work.run(|_| {}).await;
        encoders
    }

    /// Those that may encode this, the best one first; at least one.
    ///
    /// # Errors
    /// There is none, with the reason for each.
    pub fn choices(&self, codec: Codec, settings: &Settings) -> Result<Vec<Choice>, MediaError> {
        let state_of = |candidate: &Candidate| self.state(candidate, settings);
        let usable = policy::usable(&self.0.policy, codec, state_of);
        if usable.is_empty() {
            return Err(self.none(codec, settings));
        }
        let rejected = self.rejected(codec, settings);
        let choice = |(candidate, state): (&'static Candidate, State)| {
            let (told, time_per_frame) = match &state {
                State::Proven(verdict) => (verdict.to_string(), verdict.time_per_frame()),
                _ if codec.kind() == MediaKind::Audio => (String::new(), None),
                _ => ("not proven yet".to_owned(), None),
            };
            let mut reason = candidate.runs_on.to_owned();
            for part in [told, rejected.clone()] {
                if !part.is_empty() {
                    reason = format!("{reason}; {part}");
                }
            }
            Choice {
                candidate,
                reason,
                time_per_frame,
            }
        };
        Ok(usable.into_iter().map(choice).collect())
    }

    /// The settings' video codecs that can be encoded here, in their order; those that this machine is too slow for come
    /// last.
    pub fn in_order(&self, settings: &Settings) -> Vec<Codec> {
        let state_of = |candidate: &Candidate| self.state(candidate, settings);
        let class = Class::of(settings);
        policy::in_order(&self.0.policy, &settings.video.codecs, class, state_of)
    }

    /// Where each encoder of a codec stands, with a sentence for each.
    pub fn standings(&self, codec: Codec, settings: &Settings) -> Vec<Standing> {
        policy::standings(&self.0.policy, codec, |candidate| {
            self.state(candidate, settings)
        })
    }

    fn state(&self, candidate: &Candidate, settings: &Settings) -> State {
        if !exists(candidate.factory) {
            return State::NotInstalled;
        }
        let verdicts = self.0.verdicts.lock();
        let verdicts = verdicts.unwrap_or_else(PoisonError::into_inner);
        let verdict = verdicts.get(&(candidate.factory, Class::of(settings)));
        verdict.map_or(State::Unproven, |verdict| State::Proven(verdict.clone()))
    }

    /// Why others that are there are not used: those that were tried and those that the operator forbids.
    fn rejected(&self, codec: Codec, settings: &Settings) -> String {
        let told = self
            .standings(codec, settings)
            .into_iter()
            .filter(|one| match &one.state {
                State::Proven(verdict) => !verdict.works(),
                State::Forbidden => exists(&one.factory),
                State::NotInstalled | State::NotPinned | State::Unproven => false,
            });
        let told: Vec<_> = told.map(|one| one.sentence).collect();
        told.join("; ")
    }

    fn has_working_hardware(&self, codec: Option<Codec>, settings: &Settings) -> bool {
        let choices = codec.and_then(|codec| self.choices(codec, settings).ok());
        let best = choices.unwrap_or_default();
        let best = best
            .first()
            .map(|choice| (choice.candidate.is_hardware, choice.time_per_frame));
        matches!(best, Some((true, Some(_))))
    }

    fn none(&self, codec: Codec, settings: &Settings) -> MediaError {
        let standings = self.standings(codec, settings);
        let is_there = |one: &&Standing| one.state != State::NotInstalled;
        if let Some(software) = standings.iter().find(|one| !one.is_hardware)
            && !standings.iter().any(|one| is_there(&one))
        {
            let names = table::of_codec(codec).filter(|one| !one.is_hardware);
            let names: Vec<_> = names.map(|one| one.factory).collect();
            let package = table::find(codec, &software.factory);
            return MediaError::Missing {
                element: names.join(" or "),
                package: package.map_or("GStreamer's plugins", |one| one.package),
            };
        }
        let reasons: Vec<_> = standings
            .iter()
            .filter(is_there)
            .map(|one| one.sentence.as_str())
            .collect();
        MediaError::GStreamer {
            doing: "choose an encoder",
            reason: format!("none can be used for {codec}: {}", reasons.join("; ")),
        }
    }
}

/// Whether GStreamer has an element.
pub fn exists(factory: &str) -> bool {
    gst::ElementFactory::find(factory).is_some()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pipeline::settings::{AudioSettings, Bitrate, VideoSettings};

    pub fn settings() -> Settings {
        Settings {
            latency: Duration::from_millis(60),
            video: VideoSettings {
                width: 1280,
                height: 720,
                framerate: 30,
                bitrate: Bitrate::from_kilobits(1500),
                codecs: vec![Codec::Vp8, Codec::H264],
                lower: Vec::new(),
                pause_below: Bitrate::from_kilobits(0),
            },
            audio: AudioSettings {
                bitrate: Bitrate::from_kilobits(64),
                channels: 1,
                packet: crate::pipeline::settings::PACKET,
                expected_loss: crate::pipeline::settings::EXPECTED_LOSS,
                is_silence_left_out: false,
            },
        }
    }

    #[test]
    fn software_serves_while_nothing_is_proven() {
        crate::media::init().unwrap();
        let choices = Encoders::default()
            .choices(Codec::H264, &settings())
            .unwrap();
        assert_eq!(choices[0].candidate.factory, "x264enc");
        assert_eq!(choices[0].reason, "x264 on the processor; not proven yet");
    }

    #[test]
    fn every_software_encoder_takes_its_settings() {
        crate::media::init().unwrap();
        let there = table::CANDIDATES
            .iter()
            .filter(|one| !one.is_hardware && exists(one.factory));
        let built: Vec<_> = there
            .map(|candidate| Choice::unproven(candidate).build(&settings()).unwrap())
            .collect();
        assert!(built.len() >= 7);
    }

    #[test]
    fn a_codec_that_the_operator_left_nothing_for_says_why() {
        crate::media::init().unwrap();
        let policy = Policy {
            forbid: vec!["software".to_owned()],
            ..Policy::default()
        };
        let Err(error) = Encoders::new(policy).choices(Codec::Vp8, &settings()) else {
            panic!("chose something")
        };
        assert!(
            error
                .to_string()
                .contains("vp8enc: forbidden by configuration"),
            "{error}"
        );
    }
}
