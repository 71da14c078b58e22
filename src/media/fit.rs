//! Scales a participant's pictures to the size that they have in the mix, before the compositor sees them: its own scaler
//! takes several times as long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attache_scale::{Scaler, Shape};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::VideoFrameExt;

use super::grid::Place;

/// The size that a participant's pictures are to have.
#[derive(Debug, Default)]
pub(super) struct Fit {
    /// The place's width in the upper half, its height in the lower; 0 where there is none.
    place: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    scaler: Scaler,
    /// Of what comes.
    comes: Option<Form>,
    /// Of what goes on.
    goes: Option<Form>,
}

#[derive(Debug, Clone)]
struct Form {
    caps: gst::Caps,
    info: gst_video::VideoInfo,
}

impl Fit {
    /// Scales the I420 pictures that leave at `pad`.
    pub fn scale_at(pad: &gst::Pad) -> Arc<Self> {
        let fit = Arc::new(Self::default());
        let scaled = fit.clone();
        let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(types, move |pad, info| {
            let is_well = match &mut info.data {
                Some(gst::PadProbeData::Event(event)) => scaled.note(event),
                Some(gst::PadProbeData::Buffer(buffer)) => scaled.scale(pad, buffer),
                Some(_) | None => Some(()),
            };
            is_well.map_or(gst::PadProbeReturn::Drop, |()| gst::PadProbeReturn::Ok)
        });
        fit
    }

    /// Pictures go here from now on; without a place they stay as they are.
    pub fn set(&self, place: Option<Place>) {
        let both = place.map_or(0, |place| {
            u64::from(place.width) << 32 | u64::from(place.height)
        });
        self.place.store(both, Ordering::Relaxed);
    }

    /// Takes note of the form of what comes. Our own events pass here, too.
    fn note(&self, event: &gst::Event) -> Option<()> {
        let gst::EventView::Caps(event) = event.view() else {
            return Some(());
        };
        let caps = event.caps_owned();
        let mut state = self.state();
        if state.goes.as_ref().is_none_or(|goes| goes.caps != caps) {
            let info = gst_video::VideoInfo::from_caps(&caps).ok()?;
            let form = Form { caps, info };
            state.comes = Some(form.clone());
            state.goes = Some(form);
        }
        Some(())
    }

    /// Scales a picture, and tells first of which size it and what follows is. One that cannot be read is none.
    fn scale(&self, pad: &gst::Pad, picture: &mut gst::Buffer) -> Option<()> {
        let mut state = self.state();
        let State {
            scaler,
            comes,
            goes,
        } = &mut *state;
        let comes = comes.as_ref()?;
        let size = fitted(&comes.info, self.place()).unwrap_or(comes.size());
        let told = match goes {
            Some(goes) if goes.size() == size => None,
            Some(_) | None => Some(goes.insert(comes.of_size(size)?).caps.clone()),
        };
        let is_scaled = comes.size() != size;
        let scaled = is_scaled.then(|| scaled(scaler, picture, &comes.info, &goes.as_ref()?.info));
        // Our own event comes by.
        drop(state);
        if let Some(caps) = told {
            pad.push_event(gst::event::Caps::new(&caps));
        }
        if let Some(scaled) = scaled {
            *picture = scaled?;
        }
        Some(())
    }

    fn place(&self) -> (u32, u32) {
        let both = self.place.load(Ordering::Relaxed);
        ((both >> 32) as u32, both as u32)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Form {
    fn size(&self) -> (u32, u32) {
        (self.info.width(), self.info.height())
    }

    fn of_size(&self, size: (u32, u32)) -> Option<Self> {
        if size == self.size() {
            return Some(self.clone());
        }
        let mut caps = self.caps.clone();
        let writable = caps.make_mut();
        let signed = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        writable.set("width", signed(size.0));
        writable.set("height", signed(size.1));
        // Where it is not told it is guessed from the size, and another guess would make the compositor convert.
        writable.set("colorimetry", self.info.colorimetry().to_string());
        let info = gst_video::VideoInfo::from_caps(&caps).ok()?;
        Some(Self { caps, info })
    }
}

/// The largest size within a place that keeps a picture's shape, as the compositor calculates it; none where it is left
/// to the compositor.
fn fitted(info: &gst_video::VideoInfo, (width, height): (u32, u32)) -> Option<(u32, u32)> {
    let is_plain = info.format() == gst_video::VideoFormat::I420
        && info.par() == gst::Fraction::new(1, 1)
        && !info.is_interlaced();
    if !is_plain || width == 0 || height == 0 {
        return None;
    }
    // Even, for half as many samples of colour.
    let in_proportion = |length: u32, to: u32, of: u32| {
        let scaled = u64::from(length) * u64::from(to) / u64::from(of.max(1));
        u32::try_from(scaled).unwrap_or(u32::MAX).max(2) & !1
    };
    let is_wider =
        u64::from(info.width()) * u64::from(height) > u64::from(info.height()) * u64::from(width);
    Some(match is_wider {
        true => (width, in_proportion(width, info.height(), info.width())),
        false => (in_proportion(height, info.width(), info.height()), height),
    })
}

fn scaled(
    scaler: &mut Scaler,
    picture: &gst::Buffer,
    form: &gst_video::VideoInfo,
    wanted: &gst_video::VideoInfo,
) -> Option<gst::Buffer> {
    let mut buffer = gst::Buffer::with_size(wanted.size()).ok()?;
    let writable = buffer.get_mut()?;
    let kept = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
    picture.copy_into(writable, kept, ..).ok()?;
    let from = gst_video::VideoFrameRef::from_buffer_ref_readable(picture, form).ok()?;
    let mut to = gst_video::VideoFrameRef::from_buffer_ref_writable(writable, wanted).ok()?;
    for plane in 0..from.n_planes() {
        let shape = shape(&from, plane)?;
        let wanted = self::shape(&to, plane)?;
        let (from, to) = (from.plane_data(plane).ok()?, to.plane_data_mut(plane).ok()?);
        scaler.scale((from, shape), (to, wanted)).ok()?;
    }
    drop(to);
    Some(buffer)
}

/// Of I420, each plane is a component.
fn shape(frame: &impl VideoFrameExt, plane: u32) -> Option<Shape> {
    Some(Shape {
        width: frame.comp_width(plane),
        height: frame.comp_height(plane),
        stride: u32::try_from(*frame.plane_stride().get(plane as usize)?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use gstreamer_app as gst_app;

    use super::*;

    /// A grey picture with a white square in its upper left quarter.
    fn picture(width: usize, height: usize) -> gst::Buffer {
        let luma = (0..width * height).map(|at| {
            let is_white = at % width < width / 2 && at / width < height / 2;
            if is_white { 235 } else { 100 }
        });
        let colours = std::iter::repeat_n(128, width * height / 2);
        let mut buffer = gst::Buffer::from_slice(luma.chain(colours).collect::<Vec<u8>>());
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::SECOND);
        buffer
    }

    fn caps(width: i32, height: i32) -> gst::Caps {
        let caps = gst::Caps::builder("video/x-raw").field("format", "I420");
        let caps = caps.field("width", width).field("height", height);
        caps.field("framerate", gst::Fraction::new(30, 1)).build()
    }

    #[test]
    fn a_picture_fills_its_place_in_its_own_shape_and_says_so() {
        crate::media::init().unwrap();
        let source = gst_app::AppSrc::builder().format(gst::Format::Time).build();
        let sink = gst_app::AppSink::builder().sync(false).build();
        let pipeline = gst::Pipeline::new();
        let chain = [source.clone().upcast(), sink.clone().upcast()];
        crate::media::elements::add_linked(&pipeline, &chain).unwrap();
        let fit = Fit::scale_at(&source.static_pad("src").unwrap());
        pipeline.set_state(gst::State::Playing).unwrap();
        let place = |width, height| {
            Some(Place {
                x: 0,
                y: 0,
                width,
                height,
            })
        };
        for (from, place, expected) in [
            ((1280, 720), None, (1280, 720)),
            ((1280, 720), place(640, 360), (640, 360)),
            ((640, 480), place(640, 360), (480, 360)),
            ((640, 480), place(320, 360), (320, 240)),
            ((320, 240), place(1280, 720), (960, 720)),
            ((320, 240), None, (320, 240)),
        ] {
            fit.set(place);
            source.set_caps(Some(&caps(from.0, from.1)));
            source
                .push_buffer(picture(from.0 as usize, from.1 as usize))
                .unwrap();
            let sample = sink
                .try_pull_sample(gst::ClockTime::from_seconds(20))
                .unwrap();
            let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
            assert_eq!(
                (info.width(), info.height()),
                expected,
                "{from:?} in {place:?}"
            );
            let buffer = sample.buffer().unwrap();
            assert_eq!(buffer.pts(), Some(gst::ClockTime::SECOND));
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
            let (luma, stride) = (
                frame.plane_data(0).unwrap(),
                frame.plane_stride()[0] as usize,
            );
            let at = |x: u32, y: u32| {
                luma[(info.height() * y / 8) as usize * stride + (info.width() * x / 8) as usize]
            };
            assert_eq!(
                [at(1, 1), at(3, 3), at(5, 3), at(3, 5), at(7, 7)],
                [235, 235, 100, 100, 100]
            );
            assert!(
                frame.plane_data(1).unwrap()[..16]
                    .iter()
                    .all(|colour| *colour == 128)
            );
        }
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
