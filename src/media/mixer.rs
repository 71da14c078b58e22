//! GStreamer's mixers for sound and pictures, as a mix needs them.

use gstreamer as gst;
use gstreamer_base as gst_base;
use gstreamer_base::prelude::*;

use super::{MediaError, MediaKind};

/// In a recording, sound that lies elsewhere than its time stamps say, by so much or more and for a second, is put where
/// they say. The default, 40 ms, would let it stay that far from its picture.
const ALIGNMENT: gst::ClockTime = gst::ClockTime::from_mseconds(5);

/// Makes one in live mode: it never waits for one who does not send, and for a frame no longer than `patience` after its
/// time.
pub(super) fn mixer(kind: MediaKind, patience: gst::ClockTime) -> Result<gst::Element, MediaError> {
    let factory = match kind {
        MediaKind::Audio => "audiomixer",
        MediaKind::Video => "compositor",
    };
    gst::ElementFactory::make(factory)
        .property("force-live", true)
        .property("ignore-inactive-pads", true)
        .property("latency", patience.nseconds())
        .build()
        .map_err(|_| MediaError::Missing {
            element: factory.to_owned(),
            package: "gstreamer1.0-plugins-base",
        })
}

/// Lets an audiomixer keep sound with its picture, at the cost of a cut where a time stamp was first guessed wrong.
pub(super) fn keep_aligned(mixer: &gst::Element) {
    mixer.set_property("alignment-threshold", ALIGNMENT);
}

/// Lets what waits behind a mixer for the time of its frames count them as so late, whoever is there.
///
/// A mixer says that it is live, and how late, only while somebody is attached. What paces it would hold everything up
/// when the first one comes, and when the last one leaves let pass at once what it held: more than an encoder takes.
pub(super) fn keep_pace(mixer: &gst::Element, late: gst::ClockTime) {
    let Some(pad) = mixer.static_pad("src") else {
        return;
    };
    pad.add_probe(gst::PadProbeType::QUERY_UPSTREAM, move |_, info| match info
        .query_mut()
        .map(gst::QueryRef::view_mut)
    {
        Some(gst::QueryViewMut::Latency(latency)) => {
            latency.set(true, late, gst::ClockTime::NONE);
            gst::PadProbeReturn::Handled
        }
        Some(_) | None => gst::PadProbeReturn::Ok,
    });
}

/// Lets a mixer that has just begun to play count from then on, whoever comes when.
///
/// Until somebody's first frame a mixer in live mode makes silence or black, but takes that frame for the beginning
/// (GStreamer 1.22 to 1.26): it goes back to time zero and makes everything once more, as fast as it can. One that was
/// told its segment does not.
pub(super) fn begin(mixer: &gst::Element) {
    if let Some(mixer) = mixer.downcast_ref::<gst_base::Aggregator>() {
        mixer.update_segment(&gst::FormattedSegment::<gst::ClockTime>::new());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gstreamer_app as gst_app;

    use super::*;

    const STEP: gst::ClockTime = gst::ClockTime::from_mseconds(40);
    /// So many frames with nobody there, and so many with somebody.
    const EMPTY: u64 = 15;
    const THERE: u64 = 25;

    /// A frame of 40 ms: a white picture of 16x16, or sound without a break.
    fn frame(kind: MediaKind) -> (&'static str, Vec<u8>) {
        match kind {
            MediaKind::Audio => (
                "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2",
                [0x20; 48 * 40 * 2 * 2].to_vec(),
            ),
            MediaKind::Video => (
                "video/x-raw,format=I420,width=16,height=16,framerate=25/1",
                [[235; 256].as_slice(), &[128; 128]].concat(),
            ),
        }
    }

    /// What a mixer makes when somebody comes after a while: the time of each buffer, and the part of it that is there.
    fn made(kind: MediaKind) -> Vec<(Duration, f64)> {
        crate::media::init().unwrap();
        let (caps, bytes) = frame(kind);
        let caps = caps.parse::<gst::Caps>().unwrap();
        let pipeline = gst::Pipeline::new();
        let mix = mixer(kind, gst::ClockTime::from_mseconds(200)).unwrap();
        mix.has_property("output-buffer-duration")
            .then(|| mix.set_property("output-buffer-duration", STEP));
        let form = crate::media::elements::capsfilter(&caps.to_string()).unwrap();
        let sink = gst_app::AppSink::builder().sync(false).build();
        let chain = [mix.clone(), form, sink.clone().upcast()];
        crate::media::elements::add_linked(&pipeline, &chain).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        begin(&mix);
        let next = || {
            let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(20));
            let sample = sample.expect("the mixer goes on");
            let buffer = sample.buffer().unwrap();
            let map = buffer.map_readable().unwrap();
            // Of a picture, the luma.
            let values = &map[..map.len().min(bytes.len() * 2 / 3)];
            let wanted = &bytes[..values.len()];
            let same = values.iter().zip(wanted).filter(|(a, b)| a == b).count();
            let part = same as f64 / values.len() as f64;
            (Duration::from(buffer.pts().unwrap()), part)
        };
        let mut made: Vec<_> = (0..EMPTY).map(|_| next()).collect();

        let source = gst_app::AppSrc::builder()
            .caps(&caps)
            .format(gst::Format::Time)
            .build();
        pipeline.add(&source).unwrap();
        let pad = mix.request_pad_simple("sink_%u").unwrap();
        source.static_pad("src").unwrap().link(&pad).unwrap();
        source.sync_state_with_parent().unwrap();
        for n in 0..THERE {
            let mut buffer = gst::Buffer::from_slice(bytes.clone());
            let writable = buffer.get_mut().unwrap();
            writable.set_pts(STEP * (EMPTY + 10 + n));
            writable.set_duration(STEP);
            source.push_buffer(buffer).unwrap();
        }
        made.extend((0..10 + THERE + 5).map(|_| next()));
        pipeline.set_state(gst::State::Null).unwrap();
        made
    }

    #[test]
    fn a_mixer_goes_on_and_loses_nothing_when_the_first_one_comes() {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let made = made(kind);
            for (n, pair) in made.windows(2).enumerate() {
                let step = pair[1].0.checked_sub(pair[0].0);
                assert_eq!(
                    step,
                    Some(STEP.into()),
                    "{kind:?}: after buffer {n} of {made:?}"
                );
            }
            let there: f64 = made.iter().map(|(_, part)| part).sum();
            assert!(
                there > THERE as f64 - 0.1,
                "{kind:?}: {there} of {THERE} in {made:?}"
            );
        }
    }

    #[test]
    fn a_mixer_is_as_late_with_somebody_as_with_nobody() {
        crate::media::init().unwrap();
        let late = gst::ClockTime::from_mseconds(700);
        let mix = mixer(MediaKind::Audio, gst::ClockTime::from_mseconds(500)).unwrap();
        keep_pace(&mix, late);
        let told = || {
            let mut query = gst::query::Latency::new();
            assert!(mix.static_pad("src").unwrap().query(&mut query));
            query.result()
        };
        assert_eq!(told(), (true, late, None));
        let source = gst_app::AppSrc::builder()
            .is_live(true)
            .min_latency(300_000_000)
            .format(gst::Format::Time)
            .build();
        let pad = mix.request_pad_simple("sink_%u").unwrap();
        source.static_pad("src").unwrap().link(&pad).unwrap();
        assert_eq!(told(), (true, late, None));
    }
}
