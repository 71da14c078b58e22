//! What is really in a media file: its pictures and sound decoded, flashes and beeps with their times.
//!
//! Test sources (`tests/media.sh`, the kiosk's test picture, `encode` here) are white for the first 100 ms of each
//! second, and dark otherwise; they beep at 1 kHz in the same 100 ms, and are silent otherwise.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attache::media::timecode::{self, Luma};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use time::OffsetDateTime;

/// Decoding a test file takes no longer than this, or it hangs.
const LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(30);
const RATE: u64 = 48_000;
/// A beep is as long as its flash.
const BEEP: Duration = Duration::from_millis(100);

/// One decoded picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picture {
    /// Time in the file.
    pub at: Duration,
    pub width: u32,
    pub height: u32,
    /// Mean brightness where the flash lies, 0 to 255.
    pub brightness: f64,
    /// Largest difference from the mean along the middle line: 0 for one even colour.
    pub contrast: f64,
    /// When it was made, where it carries a time code.
    pub made: Option<OffsetDateTime>,
}

/// One millisecond of decoded sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Time in the file.
    pub at: Duration,
    /// Root mean square, 0 to 1.
    pub rms: f64,
}

/// Everything in a file.
#[derive(Debug, Clone, Default)]
pub struct Content {
    pub pictures: Vec<Picture>,
    pub sound: Vec<Level>,
    /// As the container says it; a file that still grows does not.
    pub duration: Option<Duration>,
}

impl Content {
    /// Decodes a file that attache made, with GStreamer.
    ///
    /// # Panics
    /// If it cannot be decoded to its end.
    pub fn of(file: &Path) -> Self {
        Self::within(file, LIMIT)
    }

    /// The same of a long file, which takes so long at most.
    pub fn within(file: &Path, limit: gst::ClockTime) -> Self {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let source = gst::ElementFactory::make("filesrc")
            .property("location", file.to_str().unwrap())
            .build()
            .unwrap();
        let demuxer = match file.extension().and_then(|extension| extension.to_str()) {
            Some("mp4") => "qtdemux",
            Some("opus") => "oggdemux",
            Some("m3u8") => "hlsdemux",
            Some("ts") => "tsdemux",
            _ => "matroskademux",
        };
        let demuxer = gst::ElementFactory::make(demuxer).build().unwrap();
        pipeline.add_many([&source, &demuxer]).unwrap();
        source.link(&demuxer).unwrap();

        let content = Arc::new(Mutex::new(Self::default()));
        watch(&pipeline, &demuxer, &content);
        pipeline.set_state(gst::State::Playing).unwrap();
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = pipeline.bus().unwrap().timed_pop_filtered(limit, &ends);
        let duration = pipeline.query_duration::<gst::ClockTime>();
        pipeline.set_state(gst::State::Null).unwrap();
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => {}
            // A file whose recorder was killed before its first frame.
            Some(gst::MessageView::Error(error))
                if error
                    .debug()
                    .is_some_and(|debug| debug.contains("no valid frames found")) => {}
            Some(gst::MessageView::Error(error)) => {
                panic!("{}: {} {:?}", file.display(), error.error(), error.debug())
            }
            _ => panic!("{}: decoding does not come to an end", file.display()),
        }
        let mut content = content.lock().unwrap().clone();
        content.duration = duration.map(Into::into);
        content
    }

    /// Times at which the picture turns from dark to bright.
    pub fn flashes(&self) -> Vec<Duration> {
        let bright =
            |picture: &&[Picture]| picture[0].brightness < 100.0 && picture[1].brightness >= 100.0;
        let mut flashes: Vec<_> = self
            .pictures
            .windows(2)
            .filter(bright)
            .map(|pair| pair[1].at)
            .collect();
        if let Some(first) = self
            .pictures
            .first()
            .filter(|first| first.brightness >= 100.0)
        {
            flashes.insert(0, first.at);
        }
        flashes
    }

    /// Times at which sound begins after at least 100 ms of silence.
    pub fn beeps(&self) -> Vec<Duration> {
        let mut beeps = Vec::new();
        let mut last_loud: Option<Duration> = None;
        for level in self.sound.iter().filter(|level| level.rms >= 0.05) {
            if last_loud
                .is_none_or(|last| level.at.saturating_sub(last) > Duration::from_millis(100))
            {
                beeps.push(level.at);
            }
            last_loud = Some(level.at);
        }
        beeps
    }

    /// For each flash, by how many milliseconds the nearest beep comes later (negative: earlier).
    ///
    /// Not of a flash at the edge of the file whose beep is not, or not whole, in the file.
    pub fn offsets(&self) -> Vec<f64> {
        self.offsets_at().into_iter().map(|(_, ms)| ms).collect()
    }

    /// Flashes that are in the file together with the time of their beep, and the [offset](Self::offsets) of each.
    pub fn offsets_at(&self) -> Vec<(Duration, f64)> {
        let beeps = self.beeps();
        let (Some(first), Some(last)) = (self.sound.first(), self.sound.last()) else {
            return Vec::new();
        };
        let is_whole = |flash: &Duration| first.at <= *flash && *flash + BEEP <= last.at;
        let offset = |flash: Duration| {
            let differences = beeps
                .iter()
                .map(|beep| (beep.as_secs_f64() - flash.as_secs_f64()) * 1000.0);
            let nearest = differences.min_by(|a, b| a.abs().total_cmp(&b.abs()))?;
            Some((flash, nearest))
        };
        let flashes = self.flashes();
        flashes
            .into_iter()
            .filter(is_whole)
            .filter_map(offset)
            .collect()
    }

    /// Largest pause between two milliseconds of sound, and where it begins.
    pub fn longest_silence_between_samples(&self) -> (Duration, Duration) {
        let gaps = self
            .sound
            .windows(2)
            .map(|pair| (pair[1].at.saturating_sub(pair[0].at), pair[0].at));
        gaps.max().unwrap_or_default()
    }
}

/// Decodes what a demuxer finds.
fn watch(pipeline: &gst::Pipeline, demuxer: &gst::Element, into: &Arc<Mutex<Content>>) {
    let (weak, into) = (pipeline.downgrade(), into.clone());
    demuxer.connect_pad_added(move |demuxer, pad| {
        let Some(pipeline) = weak.upgrade() else {
            return;
        };
        if demuxer.factory().unwrap().name() != "hlsdemux" {
            return decode(&pipeline, pad, into.clone());
        }
        // What is in a playlist is a file again.
        let inner = gst::ElementFactory::make("qtdemux").build().unwrap();
        watch(&pipeline, &inner, &into);
        pipeline.add(&inner).unwrap();
        inner.sync_state_with_parent().unwrap();
        pad.link(&inner.static_pad("sink").unwrap()).unwrap();
    });
}

fn decode(pipeline: &gst::Pipeline, pad: &gst::Pad, into: Arc<Mutex<Content>>) {
    let caps = pad.current_caps().unwrap();
    let decoder = match caps.structure(0).unwrap().name().as_str() {
        "audio/x-opus" => {
            "opusdec plc=false ! audioconvert ! audio/x-raw,format=S16LE,channels=1,rate=48000"
        }
        "audio/mpeg" => {
            "aacparse ! avdec_aac ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,channels=1,rate=48000"
        }
        "video/x-vp8" => "vp8dec ! videoconvert ! video/x-raw,format=GRAY8",
        "video/x-h264" => "h264parse ! avdec_h264 ! videoconvert ! video/x-raw,format=GRAY8",
        "video/x-h265" => "h265parse ! avdec_h265 ! videoconvert ! video/x-raw,format=GRAY8",
        "video/x-vp9" => "vp9dec ! videoconvert ! video/x-raw,format=GRAY8",
        "video/x-av1" => "av1parse ! av1dec ! videoconvert ! video/x-raw,format=GRAY8",
        other => panic!("{other} is nothing that a recording holds"),
    };
    let bin = format!(
        "queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! {decoder} ! appsink name=out sync=false"
    );
    let bin = gst::parse::bin_from_description(&bin, true).unwrap();
    let sink: gst_app::AppSink = bin.by_name("out").unwrap().downcast().unwrap();
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let mut content = into.lock().unwrap();
                if sample.caps().unwrap().structure(0).unwrap().name() == "video/x-raw" {
                    content.pictures.push(picture(&sample));
                } else {
                    content.sound.extend(levels(&sample));
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    pipeline.add(&bin).unwrap();
    bin.sync_state_with_parent().unwrap();
    pad.link(&bin.static_pad("sink").unwrap()).unwrap();
}

/// Stream time: what a player shows.
fn stream_time(sample: &gst::Sample) -> Duration {
    let pts = sample.buffer().unwrap().pts().unwrap();
    let segment = sample
        .segment()
        .unwrap()
        .downcast_ref::<gst::ClockTime>()
        .unwrap();
    segment.to_stream_time(pts).unwrap_or(pts).into()
}

fn picture(sample: &gst::Sample) -> Picture {
    let caps = sample.caps().unwrap().structure(0).unwrap();
    let (width, height) = (
        caps.get::<i32>("width").unwrap(),
        caps.get::<i32>("height").unwrap(),
    );
    let (width, height) = (
        u32::try_from(width).unwrap(),
        u32::try_from(height).unwrap(),
    );
    let bytes = sample.buffer().unwrap().map_readable().unwrap();
    let stride = (width as usize).next_multiple_of(4);
    let mean_of =
        |line: &[u8]| line.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / line.len() as f64;
    let line = &bytes[stride * (height as usize / 2)..][..width as usize];
    let mean = mean_of(line);
    let contrast = line
        .iter()
        .map(|&pixel| (f64::from(pixel) - mean).abs())
        .fold(0.0, f64::max);
    Picture {
        at: stream_time(sample),
        width,
        height,
        // Where `attachetimecode` draws its flash: columns 26 to 40 of 40, in the upper half.
        brightness: mean_of(
            &bytes[stride * (height as usize / 4)..][width as usize * 26 / 40..width as usize],
        ),
        contrast,
        made: made(&Luma {
            data: &bytes,
            width: width as usize,
            height: height as usize,
            stride,
        }),
    }
}

fn made(luma: &Luma<'_>) -> Option<OffsetDateTime> {
    let milliseconds = i128::from(timecode::read(luma)?);
    OffsetDateTime::from_unix_timestamp_nanos(milliseconds * 1_000_000).ok()
}

fn levels(sample: &gst::Sample) -> Vec<Level> {
    let start = stream_time(sample);
    let bytes = sample.buffer().unwrap().map_readable().unwrap();
    let samples: Vec<f64> = bytes
        .chunks_exact(2)
        .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0)
        .collect();
    let step = usize::try_from(RATE / 1000).unwrap();
    let level = |(n, chunk): (usize, &[f64])| Level {
        at: start + Duration::from_millis(n as u64),
        rms: (chunk.iter().map(|sample| sample * sample).sum::<f64>() / chunk.len() as f64).sqrt(),
    };
    samples.chunks(step).enumerate().map(level).collect()
}

/// What FFmpeg, which shares no code with GStreamer's demuxer, says of a file.
#[derive(Debug, Clone, Default)]
pub struct SecondOpinion {
    /// The container's duration, if it has one.
    pub duration: Option<f64>,
    /// Codec names of the streams.
    pub codecs: Vec<String>,
    /// Decoded pictures.
    pub pictures: usize,
    /// What it complained of.
    pub complaints: String,
}

impl SecondOpinion {
    /// Decodes the whole file with `ffprobe`.
    ///
    /// # Panics
    /// If there is no `ffprobe`, or it refuses the file.
    pub fn of(file: &Path) -> Self {
        let out = Command::new("ffprobe")
            .args([
                "-v",
                "warning",
                "-count_frames",
                "-show_entries",
                "format=duration:stream=codec_name,codec_type,nb_read_frames",
            ])
            .args(["-of", "json"])
            .arg(file)
            .output()
            .expect("ffprobe is installed");
        let complaints = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.success(),
            "ffprobe refuses {}: {complaints}",
            file.display()
        );
        let told: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let streams = told["streams"].as_array().cloned().unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let frames = |stream: &&serde_json::Value| stream["codec_type"] == "video";
        Self {
            duration: told["format"]["duration"]
                .as_str()
                .and_then(|text| text.parse().ok()),
            codecs: streams
                .iter()
                .map(|stream| text(&stream["codec_name"]))
                .collect(),
            pictures: streams
                .iter()
                .find(frames)
                .map_or(0, |s| text(&s["nb_read_frames"]).parse().unwrap_or(0)),
            complaints,
        }
    }
}
