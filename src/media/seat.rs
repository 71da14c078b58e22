//! One participant's sound or picture in a mix.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_utils::streamproducer::ConsumerSettings;
use gstreamer_utils::{ConsumptionLink, StreamProducer};
use gstreamer_video as gst_video;

use super::choice::Track;
use super::fade::Fade;
use super::fit::Fit;
use super::grid::Place;
use super::speaker::Level;
use super::{MediaError, MediaKind, clock};
use crate::signalling::ids::ParticipantId;

/// No sound came.
const NOTHING: u8 = u8::MAX;

/// What a participant sends.
#[derive(Clone)]
pub(super) struct Input {
    pub number: u64,
    /// Whose it is; of a filter's track, the one whom it enhances.
    pub participant: ParticipantId,
    pub kind: MediaKind,
    pub track: Track,
    pub producer: StreamProducer,
}

/// How frames enter a mix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The running time at which the mix's own begins.
    pub zero: gst::ClockTime,
    /// Pictures count as so much later than they are.
    pub later: gst::ClockTime,
    /// So much of a participant may wait.
    pub waiting: gst::ClockTime,
}

/// Its way into the mixer or the compositor.
pub(super) struct Seat {
    pub number: u64,
    pub participant: ParticipantId,
    pub kind: MediaKind,
    pub track: Track,
    /// It is heard or shown, and not the participant's other track.
    is_chosen: bool,
    /// It is to go when another one of its participant has frames.
    pub is_leaving: bool,
    source: gst_app::AppSrc,
    pad: gst::Pad,
    link: ConsumptionLink,
    heard: Arc<Heard>,
    /// Of a picture.
    fit: Option<Arc<Fit>>,
    /// What it was last told; none at first.
    arranged: Option<Option<(Place, bool)>>,
}

/// What the streaming thread tells.
struct Heard {
    has_frames: AtomicBool,
    /// When the last one came, in nanoseconds of running time.
    last: AtomicU64,
    /// The loudest since it was looked at, in -dBov.
    level: AtomicU8,
    fade: Fade,
}

impl Seat {
    /// Links a participant to a mixer.
    pub fn take(
        input: &Input,
        pipeline: &gst::Pipeline,
        mix: &gst::Element,
        entry: Entry,
    ) -> Result<Self, MediaError> {
        let doing = "add a participant to the playback";
        let source = gst_app::AppSrc::builder()
            .name(format!("{}-{}", input.participant, input.number))
            .build();
        let settings = ConsumerSettings {
            max_time: entry.waiting,
            ..ConsumerSettings::default()
        };
        // At once: a pipeline on its way to playing takes it along, and a source that plays keeps its format.
        StreamProducer::configure_consumer_with(&source, settings.clone());
        pipeline
            .add(&source)
            .map_err(MediaError::gstreamer(doing))?;
        let heard = Arc::new(Heard {
            has_frames: false.into(),
            last: 0.into(),
            level: NOTHING.into(),
            // A filter's track is not heard before it is chosen.
            fade: Fade::new(input.track == Track::Original),
        });
        let mut fit = None;
        let linked = mix.request_pad_simple("sink_%u").and_then(|pad| {
            let from = source.static_pad("src")?;
            fit = (input.kind == MediaKind::Video).then(|| Fit::scale_at(&from));
            let later = match input.kind {
                MediaKind::Audio => gst::ClockTime::ZERO,
                MediaKind::Video => entry.later,
            };
            let [zero, later] = [entry.zero, later].map(|time| i64::try_from(time.nseconds()).ok());
            from.set_offset(later? - zero?);
            watch(&from, entry.zero, input.kind, heard.clone());
            from.link(&pad).ok().map(|_| pad)
        });
        let Some(pad) = linked else {
            // It was just added; removing it cannot fail.
            let _ = pipeline.remove(&source);
            return Err(MediaError::GStreamer {
                doing,
                reason: "the mixer gives no pad".to_owned(),
            });
        };
        if input.kind == MediaKind::Video {
            pad.set_property_from_str("sizing-policy", "keep-aspect-ratio");
            pad.set_property("converter-config", scaling());
        }
        let link = input.producer.add_consumer_with(&source, settings);
        let link = link.map_err(|error| MediaError::GStreamer {
            doing,
            reason: error.to_string(),
        })?;
        source
            .sync_state_with_parent()
            .map_err(MediaError::gstreamer(doing))?;
        Ok(Self {
            number: input.number,
            participant: input.participant.clone(),
            kind: input.kind,
            track: input.track,
            is_chosen: input.track == Track::Original,
            is_leaving: false,
            source,
            pad,
            link,
            heard,
            fit,
            arranged: None,
        })
    }

    /// Whether it comes after another one of its participant, and has no frame yet.
    pub fn will_replace(&self, other: &Self) -> bool {
        self.number > other.number
            && self.kind == other.kind
            && self.track == other.track
            && self.participant == other.participant
            && !self.has_frames()
    }

    /// Whose it is, and of which kind.
    pub fn whose(&self) -> (ParticipantId, MediaKind) {
        (self.participant.clone(), self.kind)
    }

    /// Whether it is one of the compositor's.
    pub fn is_picture(&self) -> bool {
        self.kind == MediaKind::Video
    }

    /// Whether a frame has come.
    pub fn has_frames(&self) -> bool {
        self.heard.has_frames.load(Ordering::Relaxed)
    }

    /// When the last frame came, in running time.
    pub fn last_frame(&self) -> Option<Duration> {
        let last = self.heard.last.load(Ordering::Relaxed);
        self.has_frames().then(|| Duration::from_nanos(last))
    }

    /// Whether it is heard or shown.
    pub fn is_chosen(&self) -> bool {
        self.is_chosen
    }

    /// Lets it be heard and shown, or not: sound from this time stamp on. Returns whether that is another choice.
    pub fn choose(&mut self, chosen: bool, from: gst::ClockTime) -> bool {
        let is_other = self.is_chosen != chosen;
        if is_other {
            self.is_chosen = chosen;
            self.heard.fade.let_through(chosen, from);
        }
        is_other
    }

    /// The loudest since the last call; none if no sound came.
    pub fn level(&self) -> Option<Level> {
        let level = self.heard.level.swap(NOTHING, Ordering::Relaxed);
        (level != NOTHING).then(|| Level::new(level))
    }

    /// Gives a picture its place, over the others or not; without one it is not shown, whatever comes.
    pub fn arrange(&mut self, place: Option<(Place, bool)>) {
        // A compositor makes its scaler anew each time it is told a size.
        if self.arranged.replace(place) == Some(place) {
            return;
        }
        if let Some(fit) = &self.fit {
            fit.set(place.map(|(place, _)| place));
        }
        let Some((place, is_over)) = place else {
            self.pad.set_property("alpha", 0.0_f64);
            return;
        };
        let signed = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        self.pad.set_property("xpos", signed(place.x));
        self.pad.set_property("ypos", signed(place.y));
        self.pad.set_property("width", signed(place.width));
        self.pad.set_property("height", signed(place.height));
        self.pad.set_property("zorder", u32::from(is_over));
        self.pad.set_property("alpha", 1.0_f64);
    }

    /// Takes no frames any more.
    pub fn disconnect(&mut self) {
        self.link.disconnect();
    }

    /// Leaves the mixer and the pipeline.
    pub fn leave(mut self, pipeline: &gst::Pipeline, mix: &gst::Element) {
        self.disconnect();
        // From here on its frames go nowhere: one that reached an unlinked pad would count as an error.
        if let Some(from) = self.source.static_pad("src") {
            from.add_probe(gst::PadProbeType::BUFFER, |_, _| gst::PadProbeReturn::Drop);
        }
        mix.release_request_pad(&self.pad);
        // A pipeline on its way to playing, on another thread, would start it again after it was stopped.
        self.source.set_locked_state(true);
        if let Err(error) = self.source.set_state(gst::State::Null).map(|_| ()) {
            tracing::warn!(%error, "a participant's source did not stop");
        }
        // It was added with the seat.
        let _ = pipeline.remove(&self.source);
    }
}

/// How the compositor scales what does not come in its size: by the mean of what falls together. The default, cubic, takes
/// three times as long, and at the sizes of tiles nobody sees the difference.
fn scaling() -> gst::Structure {
    let mut config = gst_video::VideoConverterConfig::new();
    config.set_resampler_method(gst_video::VideoResamplerMethod::Linear);
    config.set_threads(1);
    config.into()
}

/// Notes that frames come, and how loud they are. Drops those from before the pipeline's beginning: they have no running
/// time there, and a compositor would wait for the time of such a one for ever (GStreamer 1.22). So has the word that one
/// is missing, where a packet was lost: of that a compositor would die ("assertion failed: start_running_time != -1").
fn watch(pad: &gst::Pad, zero: gst::ClockTime, kind: MediaKind, heard: Arc<Heard>) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let gap = info.event().and_then(|event| match event.view() {
            gst::EventView::Gap(gap) => Some(gap.get().0),
            _ => None,
        });
        match gap {
            Some(at) if at < zero => gst::PadProbeReturn::Drop,
            Some(_) | None => gst::PadProbeReturn::Ok,
        }
    });
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        if buffer.pts().is_some_and(|pts| pts < zero) {
            return gst::PadProbeReturn::Drop;
        }
        if let (MediaKind::Audio, Ok(sound)) = (kind, buffer.map_readable()) {
            let level = Level::of_s16le(&sound).below_overload();
            heard.level.fetch_min(level, Ordering::Relaxed);
        }
        match kind {
            MediaKind::Audio => heard.fade.apply(buffer),
            MediaKind::Video => last_until_the_next(buffer),
        }
        let now = clock::running_time().nseconds();
        heard.last.store(now, Ordering::Relaxed);
        heard.has_frames.store(true, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
}

/// Lets a picture be shown until another one comes. A compositor takes what came since its last picture, but of pictures
/// that say how long they last (parsers of H.264, H.265 and AV1 let them) the oldest that has not ended yet: one too late.
fn last_until_the_next(picture: &mut gst::Buffer) {
    if picture.duration().is_some() {
        picture.make_mut().set_duration(gst::ClockTime::NONE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What comes through.
    type Passed<T> = Arc<Mutex<Vec<T>>>;

    /// A pad that is watched, of a mix that begins at ten seconds; what comes through goes to these two.
    fn watched(
        gap: impl Fn(gst::ClockTime) + Send + Sync + 'static,
        picture: impl Fn(gst::Buffer) + Send + Sync + 'static,
    ) -> (gst::Pad, gst::Pad) {
        gst::init().unwrap();
        let sink = gst::Pad::builder(gst::PadDirection::Sink)
            .event_function(move |_, _, event| {
                if let gst::EventView::Gap(event) = event.view() {
                    gap(event.get().0);
                }
                true
            })
            .chain_function(move |_, _, buffer| {
                picture(buffer);
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        let source = gst::Pad::new(gst::PadDirection::Src);
        let heard = Arc::new(Heard {
            has_frames: false.into(),
            last: 0.into(),
            level: NOTHING.into(),
            fade: Fade::new(true),
        });
        let zero = gst::ClockTime::from_seconds(10);
        watch(&source, zero, MediaKind::Video, heard);
        source.link(&sink).unwrap();
        source.set_active(true).unwrap();
        sink.set_active(true).unwrap();
        source.push_event(gst::event::StreamStart::new("seat"));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        source.push_event(gst::event::Segment::new(&segment));
        (source, sink)
    }

    fn picture(at: gst::ClockTime) -> gst::Buffer {
        let mut buffer = gst::Buffer::new();
        buffer.get_mut().unwrap().set_pts(at);
        buffer
    }

    #[test]
    fn nothing_from_before_the_beginning_reaches_a_mixer() {
        let passed = Passed::default();
        let (gaps, frames) = (passed.clone(), passed.clone());
        let (source, _sink) = watched(
            move |at| gaps.lock().unwrap().push(("gap", at.seconds())),
            move |buffer| {
                let at = buffer.pts().unwrap().seconds();
                frames.lock().unwrap().push(("frame", at));
            },
        );
        for at in [8, 9, 10, 11].map(gst::ClockTime::from_seconds) {
            source.push_event(gst::event::Gap::builder(at).build());
            source.push(picture(at)).unwrap();
        }
        let right = [("gap", 10), ("frame", 10), ("gap", 11), ("frame", 11)];
        assert_eq!(*passed.lock().unwrap(), right);
    }

    #[test]
    fn a_mixer_is_not_told_how_long_a_picture_lasts() {
        let passed = Passed::default();
        let frames = passed.clone();
        let (source, _sink) = watched(
            |_| {},
            move |buffer| {
                let times = (buffer.pts(), buffer.duration());
                frames.lock().unwrap().push(times);
            },
        );
        let at = gst::ClockTime::from_seconds(11);
        let mut buffer = picture(at);
        buffer
            .get_mut()
            .unwrap()
            .set_duration(gst::ClockTime::from_mseconds(33));
        source.push(buffer).unwrap();
        assert_eq!(*passed.lock().unwrap(), [(Some(at), None)]);
    }
}
