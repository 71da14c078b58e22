//! Draws names and signs over a mix: each card is painted once and laid on every picture.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gst::glib;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;

use super::MediaError;
use super::elements::{add_linked, make};
use super::grid::Place;
use super::ink::{Ground, Ink};
use super::paint::{BYTES, Canvas};
use super::scene::{Caption, Tile};

/// Painting a name takes a few milliseconds; the first one loads the fonts.
const PAINTING: gst::ClockTime = gst::ClockTime::from_seconds(5);
/// The frame around who speaks, in pixels.
const FRAME: u32 = 4;

/// What is drawn over the pictures of a mix.
pub(super) struct Overlay {
    /// Of the mix.
    size: (u32, u32),
    shown: Shown,
    painted: HashMap<Card, Arc<Ink>>,
}

/// What lies where. The lock is taken only to copy a reference.
type Shown = Arc<Mutex<Arc<[Laid]>>>;

/// A card in its place.
struct Laid {
    ink: Arc<Ink>,
    x: usize,
    y: usize,
}

/// One painted rectangle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Card {
    /// The bar below a picture, or the tile of one who has none.
    Name {
        caption: Caption,
        width: u32,
        height: u32,
    },
    /// One side of the frame around a picture.
    Side { width: u32, height: u32 },
}

impl Overlay {
    /// For a mix of this size. Nothing is drawn yet.
    pub fn new(size: (u32, u32)) -> Self {
        Self {
            size,
            shown: Arc::new(Mutex::new(Arc::new([]))),
            painted: HashMap::new(),
        }
    }

    /// Draws on the I420 pictures of the mix that pass here.
    pub fn draw_at(&self, pad: &gst::Pad) -> Result<(), MediaError> {
        let (width, height) = self.size;
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height);
        let info = info.build().map_err(MediaError::gstreamer("draw names"))?;
        let shown = self.shown.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, passing| {
            let laid = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let (Some(buffer), false) = (passing.buffer_mut(), laid.is_empty()) {
                draw(&laid, buffer.make_mut(), &info);
            }
            gst::PadProbeReturn::Ok
        });
        Ok(())
    }

    /// Draws these tiles' captions from the next picture on.
    pub fn show(&mut self, tiles: &[Tile]) -> Result<(), MediaError> {
        let mut ordered: Vec<&Tile> = tiles.iter().collect();
        ordered.sort_by_key(|tile| tile.is_over);
        let mut wanted = Vec::new();
        for tile in ordered {
            cards(tile, &mut wanted);
        }
        let mut painted = HashMap::new();
        let mut laid = Vec::new();
        for (card, x, y) in wanted {
            let ink = match painted.get(&card).or_else(|| self.painted.get(&card)) {
                Some(ink) => Arc::clone(ink),
                None => Arc::new(Ink::new(&card.paint()?, card.size(), self.size.1)),
            };
            painted.insert(card, ink.clone());
            let (x, y) = (x as usize, y as usize);
            laid.push(Laid { ink, x, y });
        }
        self.painted = painted;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = laid.into();
        Ok(())
    }
}

/// Lays the cards on a picture. One that cannot be written to goes on without them.
fn draw(laid: &[Laid], buffer: &mut gst::BufferRef, info: &gst_video::VideoInfo) {
    let Ok(mut frame) = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, info) else {
        return;
    };
    let strides: [usize; 3] =
        std::array::from_fn(|plane| usize::try_from(frame.plane_stride()[plane]).unwrap_or(0));
    let [luma, blue, red, _] = frame.planes_data_mut();
    let mut grounds = [(luma, strides[0]), (blue, strides[1]), (red, strides[2])]
        .map(|(data, stride)| Ground { data, stride });
    for Laid { ink, x, y } in laid {
        ink.lay(&mut grounds, *x, *y);
    }
}

/// The cards of a tile, and where they lie.
fn cards(tile: &Tile, into: &mut Vec<(Card, u32, u32)>) {
    let Place {
        x,
        y,
        width,
        height,
    } = tile.place;
    let mut add = |card: Card, x: u32, y: u32| into.push((card, x, y));
    let bar = match tile.caption.has_picture {
        true => bar_height(height).min(height),
        false => height,
    };
    let mut caption = tile.caption.clone();
    // It is drawn beside, so that a card serves whether or not its owner speaks.
    caption.is_speaking = false;
    add(
        Card::Name {
            caption,
            width,
            height: bar,
        },
        x,
        y + height - bar,
    );
    if tile.caption.is_speaking && width > 2 * FRAME && height > 2 * FRAME {
        let (across, down) = (
            Card::Side {
                width,
                height: FRAME,
            },
            Card::Side {
                width: FRAME,
                height: height - 2 * FRAME,
            },
        );
        add(across.clone(), x, y);
        add(across, x, y + height - FRAME);
        add(down.clone(), x, y + FRAME);
        add(down, x + width - FRAME, y + FRAME);
    }
}

/// The height of the bar with the name, for a tile of this height.
fn bar_height(tile: u32) -> u32 {
    (tile / 14).clamp(18, 40) & !1
}

impl Card {
    fn size(&self) -> (u32, u32) {
        match self {
            Self::Name { width, height, .. } | Self::Side { width, height } => (*width, *height),
        }
    }

    /// Its pixels.
    fn paint(&self) -> Result<Vec<u8>, MediaError> {
        let (width, height) = self.size();
        match self {
            Self::Side { .. } => Ok(Canvas::of_speaker(width, height).into_bytes()),
            Self::Name { caption, .. } => {
                let (mut canvas, text) = match caption.has_picture {
                    true => (Canvas::bar(width, height), height * 5 / 9),
                    false => (Canvas::tile(width, height), (height / 10).clamp(12, 48)),
                };
                let mut left = height / 4;
                if caption.is_muted {
                    let side = bar_height(height).min(height);
                    canvas.draw_muted(height - side, side);
                    left = side + side / 8;
                }
                let centred = !caption.has_picture;
                let empty = in_buffer(canvas.into_bytes(), width, height)?;
                write(
                    &caption.label,
                    empty,
                    (width, height),
                    text,
                    (!centred).then_some(left),
                )
            }
        }
    }
}

/// Pixels in B, G, R, A as a picture of this size.
fn in_buffer(bytes: Vec<u8>, width: u32, height: u32) -> Result<gst::Buffer, MediaError> {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let format = gst_video::VideoFormat::Bgra;
    let flags = gst_video::VideoFrameFlags::empty();
    let made = buffer.get_mut().map(|buffer| {
        buffer.set_pts(gst::ClockTime::ZERO);
        gst_video::VideoMeta::add(buffer, flags, format, width, height).map(|_| ())
    });
    made.transpose()
        .map_err(MediaError::gstreamer("draw names"))?;
    Ok(buffer)
}

/// Writes a stranger's text on a picture: from this distance to the left, or centred.
fn write(
    text: &str,
    on: gst::Buffer,
    (width, height): (u32, u32),
    pixels: u32,
    left: Option<u32>,
) -> Result<Vec<u8>, MediaError> {
    let pipeline = gst::Pipeline::with_name("caption");
    let caps = gst_video::VideoCapsBuilder::new()
        .format(gst_video::VideoFormat::Bgra)
        .width(i32::try_from(width).unwrap_or(i32::MAX))
        .height(i32::try_from(height).unwrap_or(i32::MAX))
        .framerate(gst::Fraction::new(25, 1))
        .build();
    let source = gst_app::AppSrc::builder()
        .caps(&caps)
        .format(gst::Format::Time)
        .build();
    let overlay = make("textoverlay", "gstreamer1.0-x")?;
    // textoverlay reads the property as Pango's markup.
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    overlay.set_property("text", glib::markup_escape_text(&plain).as_str());
    overlay.set_property("font-desc", format!("Sans {pixels}px"));
    overlay.set_property("auto-resize", false);
    overlay.set_property("draw-outline", false);
    overlay.set_property("draw-shadow", false);
    overlay.set_property_from_str("wrap-mode", "none");
    overlay.set_property_from_str("valignment", "center");
    match left {
        Some(left) => {
            overlay.set_property_from_str("halignment", "left");
            overlay.set_property("xpad", i32::try_from(left).unwrap_or(i32::MAX));
        }
        None => overlay.set_property_from_str("halignment", "center"),
    }
    let sink = gst_app::AppSink::builder().sync(false).build();
    let chain = [source.clone().upcast(), overlay, sink.clone().upcast()];
    add_linked(&pipeline, &chain)?;
    let written = pipeline.set_state(gst::State::Playing).is_ok() && source.push_buffer(on).is_ok();
    let sample = sink.try_pull_sample(PAINTING).filter(|_| written);
    // It has played or failed; stopping it cannot fail in a way that matters.
    let _ = pipeline.set_state(gst::State::Null);
    let picture = sample.and_then(|sample| {
        let buffer = sample.buffer()?.map_readable().ok()?;
        (buffer.len() == (width * height) as usize * BYTES).then(|| buffer.to_vec())
    });
    picture.ok_or_else(|| MediaError::GStreamer {
        doing: "draw names",
        reason: format!("textoverlay made no picture of {width}x{height} within {PAINTING}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ink(label: &str) -> Vec<u8> {
        crate::media::init().unwrap();
        let empty = in_buffer(Canvas::bar(320, 24).into_bytes(), 320, 24).unwrap();
        write(label, empty, (320, 24), 14, Some(4)).unwrap()
    }

    #[test]
    fn a_name_is_never_read_as_markup() {
        let plain = ink("Ann");
        assert_ne!(plain, ink("<b>Ann</b>"));
        assert_ne!(plain, ink("<span foreground='#000'>Ann</span>"));
        // Broken markup would leave nothing.
        let bare = Canvas::bar(320, 24).into_bytes();
        assert_ne!(ink("</b><&"), bare);
        assert_ne!(ink("&#x41;nn"), plain);
    }

    #[test]
    fn a_long_name_is_cut_at_the_edge_and_control_characters_are_blank() {
        assert_eq!(ink(&"W".repeat(64)).len(), 320 * 24 * BYTES);
        assert_eq!(ink("A\nB"), ink("A B"));
    }
}
