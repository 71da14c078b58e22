//! Buffers in, buffers out: samples of both formats, and the times that belong to them.

use std::collections::VecDeque;

use gstreamer as gst;
use gstreamer_audio::{AudioFormat, AudioInfo};

use super::super::AudioFilter;
use super::super::governor::Change;
use super::super::stream::{Stream, Wanted};

/// A buffer whose time is further from where the last one ended begins a new piece of sound.
const TOLERANCE: gst::ClockTime = gst::ClockTime::from_mseconds(20);

/// The sound between two caps events.
pub struct Flow {
    pub stream: Stream,
    /// The name of the engine that it has or moves to.
    pub engine: String,
    info: AudioInfo,
    /// Times of input samples: the number of a buffer's first sample, and its time.
    marks: VecDeque<(u64, gst::ClockTime)>,
    /// Samples since the piece began.
    taken: u64,
    given: u64,
    is_new: bool,
    samples: Vec<f32>,
    filtered: Vec<f32>,
    /// Buffers that wait to go downstream.
    pub ready: VecDeque<gst::Buffer>,
}

impl Flow {
    /// `engines`: one of this name for each channel.
    pub fn new(
        info: AudioInfo,
        engine: String,
        engines: Vec<Box<dyn AudioFilter>>,
        wanted: Wanted,
    ) -> Self {
        Self {
            stream: Stream::new(engines, info.rate(), wanted),
            engine,
            info,
            marks: VecDeque::new(),
            taken: 0,
            given: 0,
            is_new: true,
            samples: Vec::new(),
            filtered: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    pub fn channels(&self) -> usize {
        usize::try_from(self.info.channels()).unwrap_or(1)
    }

    /// How long a sample takes, at most, from its way in to its way out.
    pub fn latency(&self) -> gst::ClockTime {
        self.time_of(u64::try_from(self.stream.latency()).unwrap_or(u64::MAX))
    }

    /// Takes a buffer; what can go out by then is in `ready`.
    pub fn take(&mut self, buffer: &gst::BufferRef) -> Result<Vec<Change>, gst::FlowError> {
        let mut changes = Vec::new();
        if self.begins_anew(buffer) {
            changes = self.drain();
        }
        if let Some(pts) = buffer.pts() {
            self.marks.push_back((self.taken, pts));
        }
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        self.samples.clear();
        read(&map, self.info.format(), &mut self.samples);
        let frames = self.samples.len() / self.channels();
        self.taken += u64::try_from(frames).unwrap_or_default();
        self.filtered.clear();
        changes.extend(self.stream.push(&self.samples, &mut self.filtered));
        self.give();
        Ok(changes)
    }

    /// What is left goes to `ready`; the next buffer begins a new piece of sound.
    pub fn drain(&mut self) -> Vec<Change> {
        self.filtered.clear();
        let changes = self.stream.drain(&mut self.filtered);
        self.give();
        self.marks.clear();
        (self.taken, self.given, self.is_new) = (0, 0, true);
        changes
    }

    fn time_of(&self, samples: u64) -> gst::ClockTime {
        let nanoseconds = u128::from(samples) * 1_000_000_000 / u128::from(self.info.rate().max(1));
        gst::ClockTime::from_nseconds(u64::try_from(nanoseconds).unwrap_or(u64::MAX - 1))
    }

    /// The time of a sample by the buffer that it came in.
    fn time_at(&self, sample: u64) -> Option<gst::ClockTime> {
        let mark = self.marks.iter().rev().find(|(first, _)| *first <= sample);
        mark.map(|(first, pts)| *pts + self.time_of(sample - first))
    }

    fn begins_anew(&self, buffer: &gst::BufferRef) -> bool {
        let (Some(pts), Some(expected)) = (buffer.pts(), self.time_at(self.taken)) else {
            return false;
        };
        pts.absdiff(expected) > TOLERANCE
    }

    /// Makes a buffer of `filtered`.
    fn give(&mut self) {
        if self.filtered.is_empty() {
            return;
        }
        let frames = u64::try_from(self.filtered.len() / self.channels()).unwrap_or_default();
        let (begin, end) = (self.time_at(self.given), self.time_at(self.given + frames));
        let mut buffer = gst::Buffer::from_mut_slice(write(&self.filtered, self.info.format()));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(begin);
            let length = begin
                .zip(end)
                .and_then(|(begin, end)| end.checked_sub(begin));
            buffer.set_duration(length.unwrap_or_else(|| self.time_of(frames)));
            if self.is_new {
                buffer.set_flags(gst::BufferFlags::DISCONT);
            }
        }
        self.is_new = false;
        self.given += frames;
        while self
            .marks
            .get(1)
            .is_some_and(|(first, _)| *first <= self.given)
        {
            self.marks.pop_front();
        }
        self.ready.push_back(buffer);
    }
}

/// Appends samples, full scale -1 to 1.
fn read(bytes: &[u8], format: AudioFormat, samples: &mut Vec<f32>) {
    if format == AudioFormat::S16le {
        let integers = bytes.as_chunks().0.iter().copied().map(i16::from_le_bytes);
        samples.extend(integers.map(|sample| f32::from(sample) / 32_768.0));
    } else {
        samples.extend(bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes));
    }
}

fn write(samples: &[f32], format: AudioFormat) -> Vec<u8> {
    if format != AudioFormat::S16le {
        return samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the conversion saturates, which is what loud sound needs"
    )]
    let integers = samples
        .iter()
        .map(|sample| (sample * 32_768.0).round() as i16);
    integers.flat_map(i16::to_le_bytes).collect()
}
