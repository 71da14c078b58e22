//! The elements `attachetimecode` and `attachebeep`: time code, flash and beep for test pictures and sounds.

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

glib::wrapper! {
    /// Draws the time code of [`super::timecode`] and, with `flash=true`, the flash into I420 or NV12.
    pub struct TimeCode(ObjectSubclass<picture::TimeCode>)
        @extends gstreamer_video::VideoFilter, gstreamer_base::BaseTransform, gst::Element, gst::Object;
}

glib::wrapper! {
    /// Adds a beep of 1 kHz and 100 ms from each full second of running time to S16LE sound, with `enabled=true`.
    pub struct Beep(ObjectSubclass<sound::Beep>)
        @extends gstreamer_base::BaseTransform, gst::Element, gst::Object;
}

/// Makes both known to this process's GStreamer. To be called once: a second call would take the element's factory
/// away from under those who look it up meanwhile.
pub fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(
        None,
        "attachetimecode",
        gst::Rank::NONE,
        TimeCode::static_type(),
    )?;
    gst::Element::register(None, "attachebeep", gst::Rank::NONE, Beep::static_type())
}

/// A boolean property that can be set at any time.
fn switch(name: &str, blurb: &str, default: bool) -> glib::ParamSpec {
    glib::ParamSpecBoolean::builder(name)
        .blurb(blurb)
        .default_value(default)
        .build()
}

/// Both ends' pad templates: in place, the caps are the same.
fn templates(caps: &gst::Caps) -> Vec<gst::PadTemplate> {
    let ends = [
        ("sink", gst::PadDirection::Sink),
        ("src", gst::PadDirection::Src),
    ];
    ends.into_iter()
        .filter_map(|(name, end)| {
            gst::PadTemplate::new(name, end, gst::PadPresence::Always, caps).ok()
        })
        .collect()
}

/// The running time of a buffer in a transform.
fn running_time(
    transform: &gstreamer_base::BaseTransform,
    pts: Option<gst::ClockTime>,
) -> Option<gst::ClockTime> {
    use gstreamer_base::prelude::*;
    transform
        .segment()
        .downcast::<gst::ClockTime>()
        .ok()?
        .to_running_time(pts)
}

mod picture {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use gst::glib;
    use gstreamer as gst;
    use gstreamer_base::subclass::BaseTransformMode;
    use gstreamer_video as gst_video;
    use gstreamer_video::prelude::*;
    use gstreamer_video::subclass::prelude::*;

    use super::super::clock;
    use super::super::timecode::{self, Area};

    #[derive(Default)]
    pub struct TimeCode {
        flash: AtomicBool,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for TimeCode {
        const NAME: &'static str = "AttacheTimeCode";
        type Type = super::TimeCode;
        type ParentType = gst_video::VideoFilter;
    }

    impl ObjectImpl for TimeCode {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
                LazyLock::new(|| vec![super::switch("flash", "Draw the flash", false)]);
            &PROPERTIES
        }

        fn set_property(&self, _id: usize, value: &glib::Value, _pspec: &glib::ParamSpec) {
            self.flash
                .store(value.get().unwrap_or_default(), Ordering::Relaxed);
        }

        fn property(&self, _id: usize, _pspec: &glib::ParamSpec) -> glib::Value {
            self.flash.load(Ordering::Relaxed).to_value()
        }
    }

    impl GstObjectImpl for TimeCode {}

    impl ElementImpl for TimeCode {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "Time code",
                    "Filter/Effect/Video",
                    "Draws UTC milliseconds as cells, and a flash each second",
                    "the attache authors",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let formats = [gst_video::VideoFormat::I420, gst_video::VideoFormat::Nv12];
                super::templates(
                    &gst_video::VideoCapsBuilder::new()
                        .format_list(formats)
                        .build(),
                )
            });
            &TEMPLATES
        }
    }

    impl BaseTransformImpl for TimeCode {
        const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = false;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;
    }

    impl VideoFilterImpl for TimeCode {
        fn transform_frame_ip(
            &self,
            frame: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let Some(time) = super::running_time(self.obj().upcast_ref(), frame.buffer().pts())
            else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let utc_ms = clock::wall_clock(time).unix_timestamp_nanos() / 1_000_000;
            let is_flashing = self.flash.load(Ordering::Relaxed);
            let (width, height) = (size(frame.width()), size(frame.height()));
            let mut areas = vec![timecode::code_area(width, height)];
            areas.extend(is_flashing.then(|| timecode::flash_area(width, height)));
            for area in areas {
                make_gray(frame, area);
            }
            let stride = size(frame.plane_stride()[0]);
            let luma = frame.plane_data_mut(0).map_err(|_| gst::FlowError::Error)?;
            timecode::write(
                luma,
                width,
                height,
                stride,
                u64::try_from(utc_ms).unwrap_or_default(),
            );
            if is_flashing {
                // A frame's time may be rounded to just before the second that it stands for.
                let in_second = (time.useconds() + 1) % 1_000_000 / 1000;
                timecode::write_flash(luma, width, height, stride, in_second < timecode::MARK_MS);
            }
            Ok(gst::FlowSuccess::Ok)
        }
    }

    fn size<T: TryInto<usize>>(pixels: T) -> usize {
        pixels.try_into().unwrap_or_default()
    }

    /// Takes the colour out of an area, in planes of half size (I420: two, NV12: one with both colours in turn).
    fn make_gray(frame: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>, area: Area) {
        let bytes = if frame.n_planes() == 2 { 2 } else { 1 };
        let half = Area {
            left: area.left / 2 * bytes,
            right: area.right.div_ceil(2) * bytes,
            top: area.top / 2,
            bottom: area.bottom.div_ceil(2),
        };
        for plane in 1..frame.n_planes() {
            let stride = frame
                .plane_stride()
                .get(size(plane))
                .copied()
                .map(size)
                .unwrap_or_default();
            if let Ok(data) = frame.plane_data_mut(plane) {
                timecode::fill(data, stride, half, 128);
            }
        }
    }
}

mod sound {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use gst::glib;
    use gst::prelude::*;
    use gstreamer as gst;
    use gstreamer_audio as gst_audio;
    use gstreamer_base::subclass::BaseTransformMode;
    use gstreamer_base::subclass::prelude::*;

    use super::super::timecode::MARK_MS;

    /// Of the beep; a third of full scale.
    const AMPLITUDE: f64 = 10_000.0;
    const HERTZ: f64 = 1000.0;

    pub struct Beep {
        enabled: AtomicBool,
        /// Frames per second, 0 before the caps are known.
        rate: AtomicUsize,
        bytes_per_frame: AtomicUsize,
    }

    impl Default for Beep {
        fn default() -> Self {
            Self {
                enabled: AtomicBool::new(true),
                rate: AtomicUsize::default(),
                bytes_per_frame: AtomicUsize::default(),
            }
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Beep {
        const NAME: &'static str = "AttacheBeep";
        type Type = super::Beep;
        type ParentType = gstreamer_base::BaseTransform;
    }

    impl ObjectImpl for Beep {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
                LazyLock::new(|| vec![super::switch("enabled", "Beep each second", true)]);
            &PROPERTIES
        }

        fn set_property(&self, _id: usize, value: &glib::Value, _pspec: &glib::ParamSpec) {
            self.enabled
                .store(value.get().unwrap_or_default(), Ordering::Relaxed);
        }

        fn property(&self, _id: usize, _pspec: &glib::ParamSpec) -> glib::Value {
            self.enabled.load(Ordering::Relaxed).to_value()
        }
    }

    impl GstObjectImpl for Beep {}

    impl ElementImpl for Beep {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "Beep",
                    "Filter/Effect/Audio",
                    "Adds a beep each second, together with attachetimecode's flash",
                    "the attache authors",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = gst_audio::AudioCapsBuilder::new_interleaved()
                    .format(gst_audio::AudioFormat::S16le)
                    .rate_range(8000..=192_000)
                    .channels_range(1..=8)
                    .build();
                super::templates(&caps)
            });
            &TEMPLATES
        }
    }

    impl BaseTransformImpl for Beep {
        const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = false;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        fn set_caps(&self, caps: &gst::Caps, _same: &gst::Caps) -> Result<(), gst::LoggableError> {
            let info = gst_audio::AudioInfo::from_caps(caps)
                .map_err(|_| gst::loggable_error!(gst::CAT_RUST, "these are no caps of sound"))?;
            let size = |number: u32| usize::try_from(number).unwrap_or_default();
            self.rate.store(size(info.rate()), Ordering::Relaxed);
            self.bytes_per_frame
                .store(size(info.bpf()), Ordering::Relaxed);
            Ok(())
        }

        fn transform_ip(
            &self,
            buffer: &mut gst::BufferRef,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let rate = u64::try_from(self.rate.load(Ordering::Relaxed)).unwrap_or_default();
            let bytes_per_frame = self.bytes_per_frame.load(Ordering::Relaxed).max(1);
            let time = super::running_time(self.obj().upcast_ref(), buffer.pts());
            let (true, Some(time)) = (self.enabled.load(Ordering::Relaxed) && rate > 0, time)
            else {
                return Ok(gst::FlowSuccess::Ok);
            };
            // To the nearest frame: a buffer's time is rounded to nanoseconds.
            let first = (time.nseconds() % 1_000_000_000 * rate + 500_000_000) / 1_000_000_000;
            let mut map = buffer.map_writable().map_err(|_| gst::FlowError::Error)?;
            let mut beeps = false;
            for (frame, at) in map.chunks_exact_mut(bytes_per_frame).zip(first..) {
                beeps |= add(frame, at % rate, rate);
            }
            drop(map);
            if beeps {
                // Silence is marked as such, and whoever measures loudness would not look at it.
                buffer.unset_flags(gst::BufferFlags::GAP);
            }
            Ok(gst::FlowSuccess::Ok)
        }
    }

    /// Adds the beep to one frame of S16LE samples, the `at`-th of its second; returns whether it beeps then.
    fn add(frame: &mut [u8], at: u64, rate: u64) -> bool {
        if at * 1000 >= MARK_MS * rate {
            return false;
        }
        #[expect(clippy::cast_precision_loss, reason = "both are below 200000")]
        let phase = at as f64 / rate as f64 * HERTZ * std::f64::consts::TAU;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the amplitude is far below i16's limits"
        )]
        let beep = (phase.sin() * AMPLITUDE) as i16;
        for sample in frame.as_chunks_mut::<2>().0 {
            *sample = i16::from_le_bytes(*sample)
                .saturating_add(beep)
                .to_le_bytes();
        }
        true
    }
}
