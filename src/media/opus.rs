//! What attache knows of Opus itself: how long a packet is (RFC 6716), and how late its decoder really is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

/// RFC 6716, 3.1 and 3.2: the first byte names the frames' length and how many there are.
pub fn duration(packet: &[u8]) -> Option<Duration> {
    let toc = *packet.first()?;
    let configuration = toc >> 3;
    let frame = match configuration {
        0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(configuration % 4)],
        12..16 => [10_000, 20_000][usize::from(configuration % 2)],
        16.. => [2_500, 5_000, 10_000, 20_000][usize::from(configuration % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1)? & 0x3f,
    };
    Some(Duration::from_micros(frame) * u32::from(frames))
}

/// What `opusdec` says of its latency where it mends losses by in-band FEC: it holds one packet back, and says how long the
/// longest one there can be is (RFC 6716, 2.1.4). Whoever mixes in real time would wait for that.
const SAID: gst::ClockTime = gst::ClockTime::from_mseconds(120);
/// The usual length of a packet (RFC 7587, 6.1).
const USUAL: gst::ClockTime = gst::ClockTime::from_mseconds(20);

/// Makes an `opusdec` that mends losses tell the latency it has: the longest packet that came, 20 ms at least.
pub fn tell_true_latency(decoder: &gst::Element) {
    let (Some(sink), Some(src)) = (decoder.static_pad("sink"), decoder.static_pad("src")) else {
        return;
    };
    let longest = Arc::new(AtomicU64::new(USUAL.nseconds()));
    let seen = Arc::clone(&longest);
    let element = decoder.downgrade();
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let length = info.buffer().and_then(|buffer| {
            let map = buffer.map_readable().ok()?;
            u64::try_from(duration(&map)?.as_nanos()).ok()
        });
        if let Some(length) = length
            && length > seen.fetch_max(length, Ordering::Relaxed)
            && let Some(element) = element.upgrade()
        {
            let _ = element.post_message(gst::message::Latency::builder().src(&element).build());
        }
        gst::PadProbeReturn::Ok
    });
    // Once it has been answered.
    let answered = gst::PadProbeType::QUERY_UPSTREAM | gst::PadProbeType::PULL;
    src.add_probe(answered, move |_, info| {
        if let Some(query) = info.query_mut()
            && let gst::QueryViewMut::Latency(latency) = query.view_mut()
        {
            let (live, min, max) = latency.result();
            let held = gst::ClockTime::from_nseconds(longest.load(Ordering::Relaxed)).min(SAID);
            let less = |time: gst::ClockTime| time.saturating_sub(SAID) + held;
            latency.set(live, less(min), max.map(less));
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The latency that a sink behind `decoder` is told, and what was heard at last.
    fn told(frame_ms: u32) -> gst::ClockTime {
        crate::media::init().unwrap();
        let text = format!(
            "audiotestsrc is-live=true num-buffers=20 samplesperbuffer=2880 ! audio/x-raw,rate=48000,channels=2 \
             ! opusenc frame-size={frame_ms} ! opusdec name=d plc=true use-inband-fec=true ! fakesink name=s sync=true"
        );
        let pipeline = gst::parse::launch(&text).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        tell_true_latency(&pipeline.by_name("d").unwrap());
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let limit = gst::ClockTime::from_seconds(20);
        loop {
            let message = bus.timed_pop(limit).expect("the end comes");
            match message.view() {
                gst::MessageView::Latency(_) => pipeline.recalculate_latency().unwrap(),
                gst::MessageView::Error(error) => panic!("{error:?}"),
                gst::MessageView::Eos(_) => break,
                _ => {}
            }
        }
        let mut query = gst::query::Latency::new();
        let decoder = pipeline.by_name("d").unwrap();
        let mut source = gst::query::Latency::new();
        let before = decoder.static_pad("sink").unwrap();
        assert!(before.peer_query(&mut source));
        assert!(
            pipeline
                .by_name("s")
                .unwrap()
                .static_pad("sink")
                .unwrap()
                .peer_query(&mut query)
        );
        pipeline.set_state(gst::State::Null).unwrap();
        query.result().1 - source.result().1
    }

    #[test]
    fn the_decoder_tells_the_one_packet_that_it_holds_back() {
        assert_eq!(told(10), gst::ClockTime::from_mseconds(20));
        assert_eq!(told(20), gst::ClockTime::from_mseconds(20));
        assert_eq!(told(60), gst::ClockTime::from_mseconds(60));
    }
}
