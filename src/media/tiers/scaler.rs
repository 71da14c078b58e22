//! The pictures of a tier: smaller and fewer than those that are captured, made once for all codecs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_utils::StreamProducer;
use gstreamer_utils::streamproducer::ConsumerSettings;

use crate::media::elements::{add_linked, capsfilter, make};
use crate::media::fanout::{Outlet, Taking, in_time};
use crate::media::{MediaError, MediaEvent, MediaEvents, clock};
use crate::pipeline::Tier;

/// What may wait to be scaled.
const WAITING: u64 = 2;

/// A running scaler. Dropped, it stops: not on threads of GStreamer.
#[derive(Debug)]
pub struct Scaler {
    pipeline: gst::Pipeline,
    outlet: Outlet,
    _taking: Taking,
}

impl Scaler {
    /// Takes what is captured; I420 in the tier's size comes out of [`Scaler::outlet`].
    pub fn start(tier: Tier, raw: &Outlet, events: &MediaEvents) -> Result<Self, MediaError> {
        let pipeline = gst::Pipeline::with_name(&format!("scale-{tier}"));
        clock::prepare(&pipeline);
        report_errors(&pipeline, events)?;
        let source = gst_app::AppSrc::builder().name("raw").build();
        let settings = ConsumerSettings {
            max_buffer: WAITING,
            max_time: gst::ClockTime::ZERO,
            ..ConsumerSettings::default()
        };
        StreamProducer::configure_consumer_with(&source, settings);
        let scale = make("videoscale", "gstreamer1.0-plugins-base")?;
        scale.set_property("add-borders", false);
        let size = capsfilter(&format!(
            "video/x-raw,format=I420,width={},height={},pixel-aspect-ratio=1/1",
            tier.width, tier.height
        ))?;
        let outlet = Outlet::raw()?;
        let sink = outlet.feed().appsink();
        add_linked(
            &pipeline,
            &[source.clone().upcast(), scale, size, sink.upcast()],
        )?;
        let doing = "scale pictures";
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| MediaError::GStreamer {
                doing,
                reason: error.to_string(),
            })?;
        let pace = Mutex::new(Pace::new(tier.framerate));
        let taking = raw.take(move |buffer, caps| {
            let is_due = |time: gst::ClockTime| {
                let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
                pace.is_due(Duration::from(time))
            };
            if buffer.pts().is_some_and(is_due) {
                let caps = slowed(caps, tier.framerate);
                let sample = in_time(buffer, &caps);
                // One that stops takes nothing more.
                let _ = source.push_sample(&sample);
            }
        });
        Ok(Self {
            pipeline,
            outlet,
            _taking: taking,
        })
    }

    /// Where the pictures leave.
    pub fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// The pipeline, for pictures of it.
    pub fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "a scaler did not stop");
        }
    }
}

fn report_errors(pipeline: &gst::Pipeline, events: &MediaEvents) -> Result<(), MediaError> {
    let bus = pipeline.bus().ok_or(MediaError::GStreamer {
        doing: "watch a scaler",
        reason: "its pipeline has no bus".to_owned(),
    })?;
    let (events, name) = (events.clone(), pipeline.name().to_string());
    bus.set_sync_handler(move |_, message| {
        if let gst::MessageView::Error(failed) = message.view() {
            let element = failed.src().map(|element| element.name().to_string());
            let error = MediaError::Element {
                pipeline: name.clone(),
                element: element.unwrap_or_default(),
                reason: failed.error().to_string(),
            };
            // Nobody listens any more once the job has ended.
            let _ = events.send(MediaEvent::Failed(error));
        }
        gst::BusSyncReply::Drop
    });
    Ok(())
}

/// Caps with another rate: encoders plan with it.
fn slowed(caps: &gst::Caps, framerate: u32) -> gst::Caps {
    let mut caps = caps.clone();
    let rate = gst::Fraction::new(i32::try_from(framerate).unwrap_or(i32::MAX), 1);
    let present = caps
        .structure(0)
        .and_then(|caps| caps.get::<gst::Fraction>("framerate").ok());
    if present.is_some_and(|present| present > rate) {
        caps.make_mut().set("framerate", rate);
    }
    caps
}

/// Which pictures are left when they become fewer. Pure.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    /// When the next one is due.
    next: Option<Duration>,
}

impl Pace {
    fn new(framerate: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / framerate.max(1),
            next: None,
        }
    }

    /// Whether the picture of this time is one of those that are left. Sources are not exact: a quarter early is due.
    fn is_due(&mut self, time: Duration) -> bool {
        let next = self.next.unwrap_or(time);
        if time + self.interval / 4 < next {
            return false;
        }
        let following = next + self.interval;
        self.next = Some(if following < time {
            time + self.interval
        } else {
            following
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(framerate: u32, times: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut pace = Pace::new(framerate);
        times
            .filter(|ms| pace.is_due(Duration::from_millis(*ms)))
            .collect()
    }

    #[test]
    fn every_second_picture_is_left_at_half_the_rate_and_all_at_the_same() {
        let source = || (0..30).map(|index| index * 1000 / 30);
        assert_eq!(left(15, source()).len(), 15);
        assert_eq!(left(30, source()).len(), 30);
        assert_eq!(left(10, source()).len(), 10);
    }

    #[test]
    fn a_source_that_wavers_or_pauses_loses_no_more_than_that() {
        let wavering = (0..30)
            .map(|index: u64| index * 1000 / 30 + if index.is_multiple_of(2) { 0 } else { 7 });
        assert_eq!(left(30, wavering).len(), 30);
        assert_eq!(
            left(15, [0, 33, 5000, 5033, 5066].into_iter()),
            [0, 5000, 5066]
        );
    }
}
