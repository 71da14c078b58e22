//! What a mixing recorder hears: whether there is sound in the mix, and who speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_utils::StreamProducer;

use crate::media::speaker::Level;
use crate::recording::Ear;

/// Lets an ear hear one participant's decoded sound.
pub(super) fn of_participant(producer: &StreamProducer, ear: Arc<Ear>) {
    listen(producer, move |at, samples| {
        ear.hear(Level::of_s16le(samples), at.into());
    });
}

/// Notes whether there is sound in the mix.
pub(super) fn of_mix(producer: &StreamProducer, ears: Arc<AtomicBool>) {
    listen(producer, move |_, samples| {
        if is_loud(samples) {
            ears.store(true, Ordering::Relaxed);
        }
    });
}

/// Hears each piece of sound and when it was captured, for as long as it comes.
fn listen(producer: &StreamProducer, hear: impl Fn(gst::ClockTime, &[u8]) + Send + Sync + 'static) {
    let Some(pad) = producer.appsink().static_pad("sink") else {
        return;
    };
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let buffer = info.buffer();
        let sound = buffer.and_then(|buffer| Some((buffer.pts()?, buffer.map_readable().ok()?)));
        if let Some((at, samples)) = sound {
            hear(at, &samples);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Whether there is sound in these samples (S16LE): 50 dB below the loudest there can be is where a quiet room ends.
fn is_loud(samples: &[u8]) -> bool {
    const QUIET: u16 = 104;
    let mut samples = samples.chunks_exact(2);
    samples.any(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs() > QUIET)
}
