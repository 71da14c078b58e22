//! Proves one encoder in this process: `attache prove-encoder`. It may crash or hang; the parent lives on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use gstreamer_video::VideoFrameExt;

use super::table::Candidate;
use super::verdict::{Class, Verdict};
use super::{Choice, picture};
use crate::media::elements::add_linked;
use crate::media::timecode::Luma;
use crate::media::{Codec, MediaError};
use crate::pipeline::Settings;

/// Frames that are encoded.
const FRAMES: usize = 45;
/// Before this one a key frame is asked for.
const KEY_FRAME_AT: usize = 20;
/// An encoder that gives nothing for this long wants another frame first.
const HOLDS_BACK: Duration = Duration::from_millis(400);
/// Frames that an encoder may hold back: 100 ms at 30 per second.
const MOST_HELD: usize = 3;
/// An encoder that gives nothing for this long, hangs.
const STALL: Duration = Duration::from_secs(3);
/// Of the frames, so many must be found in what was decoded: rate control may leave some out.
const ENOUGH: usize = FRAMES * 6 / 10;
/// Less than this is another picture.
const LEAST_PSNR: f64 = 20.0;

/// Encodes moving pictures, asks for a key frame, decodes and compares. Blocks; a broken driver may take the process.
pub fn prove(candidate: &'static Candidate, settings: &Settings) -> Verdict {
    match encode(candidate, settings) {
        Ok(run) => judge(candidate.codec, settings, &run),
        Err(verdict) => verdict,
    }
}

/// What an encoder made.
struct Run {
    samples: Vec<gst::Sample>,
    times: Vec<Duration>,
    held: usize,
}

fn failed(reason: impl ToString) -> Verdict {
    Verdict::Failed {
        reason: reason.to_string(),
    }
}

fn wrong(reason: impl Into<String>) -> Verdict {
    Verdict::Wrong {
        reason: reason.into(),
    }
}

/// A pipeline that frames are pushed into and samples pulled from.
struct Line {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Line {
    fn start(caps: &gst::Caps, middle: Vec<gst::Element>) -> Result<Self, Verdict> {
        let pipeline = gst::Pipeline::new();
        let source = gst_app::AppSrc::builder()
            .caps(caps)
            .format(gst::Format::Time)
            .build();
        let sink = gst_app::AppSink::builder().sync(false).build();
        let mut chain = vec![source.clone().upcast()];
        chain.extend(middle);
        chain.push(sink.clone().upcast());
        add_linked(&pipeline, &chain).map_err(failed)?;
        let line = Self {
            pipeline,
            source,
            sink,
        };
        match line.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(line),
            Err(error) => Err(line.error().unwrap_or_else(|| failed(error))),
        }
    }

    /// What an element said of its end.
    fn error(&self) -> Option<Verdict> {
        let bus = self.pipeline.bus()?;
        let message = bus.pop_filtered(&[gst::MessageType::Error])?;
        let gst::MessageView::Error(error) = message.view() else {
            return None;
        };
        Some(failed(error.error()))
    }

    /// The next sample; none if none came in time or the stream ended.
    fn pull(&self, limit: Duration) -> Result<Option<gst::Sample>, Verdict> {
        // In short steps: an error ends the wait.
        let until = Instant::now() + limit;
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            let step = rest.min(Duration::from_millis(20));
            let step = gst::ClockTime::try_from(step).unwrap_or(gst::ClockTime::ZERO);
            if let Some(sample) = self.sink.try_pull_sample(step) {
                return Ok(Some(sample));
            }
            if let Some(error) = self.error() {
                return Err(error);
            }
            if self.sink.is_eos() || Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    fn push(&self, buffer: gst::Buffer) -> Result<(), Verdict> {
        let pushed = self.source.push_buffer(buffer);
        pushed
            .map(drop)
            .map_err(|flow| self.error().unwrap_or_else(|| failed(flow)))
    }

    fn end(&self) {
        // A stopped pipeline takes no end; then an error is on its bus.
        let _ = self.source.end_of_stream();
    }
}

fn encode(candidate: &'static Candidate, settings: &Settings) -> Result<Run, Verdict> {
    let video = &settings.video;
    let caps = format!(
        "video/x-raw,format=I420,width={},height={},framerate={}/1,pixel-aspect-ratio=1/1,interlace-mode=progressive",
        video.width, video.height, video.framerate
    );
    let caps: gst::Caps = caps.parse().map_err(failed)?;
    let middle = Choice::unproven(candidate)
        .build(settings)
        .map_err(failed)?;
    let line = Line::start(&caps, middle.chain)?;
    let interval = Class::of(settings).interval();
    let mut run = Run {
        samples: Vec::new(),
        times: Vec::new(),
        held: 0,
    };
    for index in 0..FRAMES {
        if index == KEY_FRAME_AT {
            ask_for_key_frame(&line.sink);
        }
        let frame = frame(index, settings, interval);
        let begin = Instant::now();
        line.push(frame)?;
        if wait(&line, &mut run, index)? {
            run.times.push(begin.elapsed());
        }
    }
    line.end();
    while let Some(sample) = line.pull(STALL)? {
        run.samples.push(sample);
    }
    // Not stopped: a driver that hangs in stopping has shown what it can do, and this process ends soon.
    std::mem::forget(line);
    Ok(run)
}

fn frame(index: usize, settings: &Settings, interval: Duration) -> gst::Buffer {
    let size = |pixels: u32| usize::try_from(pixels).unwrap_or_default();
    let (width, height) = (size(settings.video.width), size(settings.video.height));
    let mut buffer = gst::Buffer::from_mut_slice(picture::draw(index, width, height));
    let interval = gst::ClockTime::try_from(interval).unwrap_or(gst::ClockTime::ZERO);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(interval * u64::try_from(index).unwrap_or_default());
        buffer.set_duration(interval);
    }
    buffer
}

/// Waits for what this frame should bring out; whether the wait tells how long a frame takes.
fn wait(line: &Line, run: &mut Run, index: usize) -> Result<bool, Verdict> {
    let begin = Instant::now();
    while run.samples.len() + run.held <= index {
        let more = run.held < MOST_HELD;
        let limit = if more { HOLDS_BACK } else { STALL };
        match line.pull(limit)? {
            Some(sample) => run.samples.push(sample),
            None if more => {
                run.held += 1;
                return Ok(false);
            }
            None => {
                let reason = format!(
                    "nothing came out for {:.1} s after {} frames",
                    begin.elapsed().as_secs_f64(),
                    run.samples.len()
                );
                return Err(Verdict::Hung { reason });
            }
        }
    }
    Ok(true)
}

fn ask_for_key_frame(sink: &gst_app::AppSink) {
    let request = gst_video::UpstreamForceKeyUnitEvent::builder()
        .all_headers(true)
        .build();
    if let Some(pad) = sink.static_pad("sink") {
        pad.push_event(request);
    }
}

fn judge(codec: Codec, settings: &Settings, run: &Run) -> Verdict {
    let is_key = |sample: &gst::Sample| {
        let buffer = sample.buffer();
        buffer.is_some_and(|buffer| !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT))
    };
    if !run.samples.first().is_some_and(is_key) {
        return wrong("it does not begin with a key frame");
    }
    // Asked for between two frames: those that the encoder held then may come first.
    let after = run
        .samples
        .iter()
        .skip(KEY_FRAME_AT.saturating_sub(1))
        .take(run.held + 5);
    if !after.clone().any(is_key) {
        return wrong("no key frame came when one was asked for");
    }
    let (psnr_db, decoding) = match compare(codec, settings, &run.samples) {
        Ok(compared) => compared,
        Err(verdict) => return verdict,
    };
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let (frame_us, interval_us) = (
        micros(median(run.times.clone())),
        micros(Class::of(settings).interval()),
    );
    if frame_us > interval_us {
        return Verdict::TooSlow {
            frame_us,
            interval_us,
        };
    }
    let decode_us = micros(decoding);
    Verdict::Works {
        frame_us,
        psnr_db,
        decode_us,
    }
}

/// The decoders that read a codec, the preferred one first.
fn decoders(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &["avdec_h264", "openh264dec"],
        Codec::Vp8 => &["vp8dec", "avdec_vp8"],
        Codec::Vp9 => &["vp9dec", "avdec_vp9"],
        Codec::Av1 => &["dav1ddec", "av1dec"],
        Codec::H265 => &["avdec_h265", "libde265dec"],
        Codec::Opus => &["opusdec"],
        Codec::Aac => &["avdec_aac", "faad"],
    }
}

/// The decoder that this machine has for a codec.
pub fn decoder(codec: Codec) -> Option<&'static str> {
    let exists = |name: &&str| gst::ElementFactory::find(name).is_some();
    decoders(codec).iter().copied().find(exists)
}

/// The names of the decoders that would do.
pub fn decoder_names(codec: Codec) -> String {
    decoders(codec).join(" or ")
}

/// Decodes and compares with what went in; how like it is, in dB, and what decoding took for a frame.
fn compare(
    codec: Codec,
    settings: &Settings,
    samples: &[gst::Sample],
) -> Result<(f64, Duration), Verdict> {
    let missing = || {
        failed(format!(
            "there is no decoder to check it with ({})",
            decoder_names(codec)
        ))
    };
    let decoder = decoder(codec).ok_or_else(missing)?;
    let caps = samples
        .first()
        .and_then(|sample| sample.caps().map(ToOwned::to_owned));
    let caps = caps.ok_or_else(|| wrong("its frames say nothing of their format"))?;
    let middle = decoding(decoder).map_err(failed)?;
    let line = Line::start(&caps, middle)?;
    let mut seen = Seen::default();
    for buffer in samples
        .iter()
        .filter_map(|sample| sample.buffer().map(ToOwned::to_owned))
    {
        let begin = Instant::now();
        let pushed = line.push(buffer).and_then(|()| seen.patience(&line));
        match pushed.map_err(|verdict| unread(decoder, verdict))? {
            Some(sample) => {
                seen.times.push(begin.elapsed());
                seen.take(&sample, settings);
            }
            None => seen.missed += 1,
        }
    }
    line.end();
    while let Some(sample) = line
        .pull(STALL)
        .map_err(|verdict| unread(decoder, verdict))?
    {
        seen.take(&sample, settings);
    }
    // Whether it stops well tells nothing any more.
    let _ = line.pipeline.set_state(gst::State::Null);
    seen.judge()
}

/// A decoder that fails says that the encoder's frames are wrong.
fn unread(decoder: &str, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Failed { reason } => wrong(format!("{decoder} does not read them: {reason}")),
        other => other,
    }
}

/// What a decoder made of an encoder's frames.
#[derive(Default)]
struct Seen {
    found: BTreeSet<usize>,
    sum: f64,
    decoded: usize,
    times: Vec<Duration>,
    missed: usize,
}

impl Seen {
    /// The picture of the frame that was just given; a decoder that holds some back is not waited for again and again.
    fn patience(&self, line: &Line) -> Result<Option<gst::Sample>, Verdict> {
        line.pull(if self.missed < 4 {
            HOLDS_BACK
        } else {
            Duration::ZERO
        })
    }

    fn take(&mut self, sample: &gst::Sample, settings: &Settings) {
        self.decoded += 1;
        if let Some((index, psnr)) = look(sample, settings) {
            self.found.insert(index);
            self.sum += psnr;
        }
    }

    /// How like they are, in dB, and what decoding took for a frame.
    fn judge(self) -> Result<(f64, Duration), Verdict> {
        let Self { found, decoded, .. } = &self;
        if found.len() < ENOUGH {
            return Err(wrong(format!(
                "of {FRAMES} pictures, {decoded} were decoded and {} were what they should be",
                found.len()
            )));
        }
        #[expect(clippy::cast_precision_loss, reason = "45 frames")]
        let psnr = self.sum / self.decoded.max(1) as f64;
        if psnr < LEAST_PSNR {
            return Err(wrong(format!(
                "they are {psnr:.0} dB like what went in; {LEAST_PSNR:.0} dB would do"
            )));
        }
        Ok(((psnr * 10.0).round() / 10.0, median(self.times)))
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn decoding(decoder: &'static str) -> Result<Vec<gst::Element>, MediaError> {
    let make = |name| crate::media::elements::make(name, "gstreamer1.0-plugins-base");
    let decoder = make(decoder)?;
    // As in calls: threads by frame hold frames back.
    if decoder.has_property("max-threads") {
        decoder.set_property_from_str("max-threads", "1");
    }
    Ok(vec![
        decoder,
        make("videoconvert")?,
        crate::media::elements::capsfilter("video/x-raw,format=I420")?,
    ])
}

/// Which picture this is, and how like.
fn look(sample: &gst::Sample, settings: &Settings) -> Option<(usize, f64)> {
    let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
    if (info.width(), info.height()) != (settings.video.width, settings.video.height) {
        return None;
    }
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer()?, &info).ok()?;
    let luma = Luma {
        data: frame.plane_data(0).ok()?,
        width: usize::try_from(info.width()).ok()?,
        height: usize::try_from(info.height()).ok()?,
        stride: usize::try_from(*frame.plane_stride().first()?).ok()?,
    };
    let index = picture::index_of(&luma).filter(|index| *index < FRAMES)?;
    let drawn = picture::draw(index, luma.width, luma.height);
    Some((index, picture::likeness(&drawn, &luma)))
}
