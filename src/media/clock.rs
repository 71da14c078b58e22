//! One clock and one base time for every pipeline of the process: a timestamp means the same everywhere.

use std::sync::OnceLock;

use gst::prelude::*;
use gstreamer as gst;
use time::OffsetDateTime;

static BASE_TIME: OnceLock<gst::ClockTime> = OnceLock::new();

/// The process-wide clock: the system's monotonic one.
pub fn clock() -> gst::Clock {
    gst::SystemClock::obtain()
}

/// The clock's time that all pipelines call zero: that of the first call.
pub fn base_time() -> gst::ClockTime {
    *BASE_TIME.get_or_init(|| clock().time())
}

/// The running time that all pipelines share.
pub fn running_time() -> gst::ClockTime {
    clock().time().saturating_sub(base_time())
}

/// Puts a pipeline on the process-wide clock and base time, and among those that [`super::running`] lists. To be called
/// before it leaves `NULL`.
pub fn prepare(pipeline: &gst::Pipeline) {
    super::running::note(pipeline);
    pipeline.use_clock(Some(&clock()));
    pipeline.set_start_time(gst::ClockTime::NONE);
    pipeline.set_base_time(base_time());
}

/// The wall-clock time of a running time, by what the wall clock says now: it may have been set since.
pub fn wall_clock(running_time: gst::ClockTime) -> OffsetDateTime {
    let now = i64::try_from(self::running_time().nseconds()).unwrap_or(i64::MAX);
    let then = i64::try_from(running_time.nseconds()).unwrap_or(i64::MAX);
    OffsetDateTime::now_utc() - time::Duration::nanoseconds(now.saturating_sub(then))
}

/// Lets the test sources of a bin begin now. They count from running time zero, which is long ago. They begin at a
/// multiple of the frame's duration, so that one frame lies at each full second of running time; a `clocksync` behind
/// them holds each frame until its time. (A source with `is-live=true` shifts its timestamps by itself, by any amount.)
pub fn align_test_sources(bin: &gst::Bin, framerate: u32) {
    let framerate = u64::from(framerate.max(1));
    let second = gst::ClockTime::SECOND.nseconds();
    // Building and starting takes a moment; a frame in the past would be sent in a hurry.
    let soon = running_time() + gst::ClockTime::from_mseconds(50);
    let frames = soon.nseconds().saturating_mul(framerate).div_ceil(second);
    let offset = frames.saturating_mul(second).div_ceil(framerate);
    for element in bin.iterate_recurse().into_iter().flatten() {
        let factory = element.factory().map(|factory| factory.name().to_string());
        let is_test_source = matches!(factory.as_deref(), Some("videotestsrc" | "audiotestsrc"));
        if is_test_source && !element.property::<bool>("is-live") {
            element.set_property(
                "timestamp-offset",
                i64::try_from(offset).unwrap_or(i64::MAX),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_of_now_is_now() {
        gst::init().unwrap();
        base_time();
        let difference = wall_clock(running_time()) - OffsetDateTime::now_utc();
        assert!(
            difference.abs() < time::Duration::milliseconds(50),
            "{difference}"
        );
    }
}
