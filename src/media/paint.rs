//! Small pictures in memory: the grounds that names are written on, and the sign of who is muted. Pure.

/// Bytes of a pixel: blue, green, red, opacity.
pub(super) const BYTES: usize = 4;

type Pixel = [u8; BYTES];

/// Behind a name, over a picture.
const BAR: Pixel = [0x20, 0x1c, 0x18, 0xb0];
/// In place of a picture.
const TILE: Pixel = [0x4a, 0x3f, 0x38, 0xff];
/// Around who speaks.
const SPEAKER: Pixel = [0x40, 0xd0, 0x30, 0xff];
const RED: Pixel = [0x30, 0x30, 0xe0, 0xff];
const WHITE: Pixel = [0xff, 0xff, 0xff, 0xff];

/// A picture in rows from the top.
pub(super) struct Canvas {
    width: u32,
    bytes: Vec<u8>,
}

impl Canvas {
    fn filled(width: u32, height: u32, pixel: Pixel) -> Self {
        let count = width as usize * height as usize;
        Self {
            width,
            bytes: pixel.repeat(count),
        }
    }

    /// The ground of a name that lies over a picture.
    pub fn bar(width: u32, height: u32) -> Self {
        Self::filled(width, height, BAR)
    }

    /// The tile of one who shows no picture.
    pub fn tile(width: u32, height: u32) -> Self {
        Self::filled(width, height, TILE)
    }

    /// A side of the frame around one who speaks.
    pub fn of_speaker(width: u32, height: u32) -> Self {
        Self::filled(width, height, SPEAKER)
    }

    /// Draws the sign of one who is muted, a crossed red disc, into the square of this side at the left, from this row on.
    pub fn draw_muted(&mut self, top: u32, side: u32) {
        let radius = f64::from(side) * 0.36;
        for row in 0..side {
            for column in 0..side.min(self.width) {
                let from_middle = |number: u32| f64::from(number) + 0.5 - f64::from(side) / 2.0;
                let (x, y) = (from_middle(column), from_middle(row));
                if x.hypot(y) > radius {
                    continue;
                }
                let is_stroke = (x - y).abs() < f64::from(side) * 0.09;
                self.set(column, top + row, if is_stroke { WHITE } else { RED });
            }
        }
    }

    fn set(&mut self, x: u32, y: u32, pixel: Pixel) {
        let at = (y as usize * self.width as usize + x as usize) * BYTES;
        if let Some(bytes) = self.bytes.get_mut(at..at + BYTES) {
            bytes.copy_from_slice(&pixel);
        }
    }

    /// The pixels.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_muted_sign_is_a_red_disc_with_a_white_stroke_at_the_left() {
        let mut canvas = Canvas::bar(100, 30);
        canvas.draw_muted(6, 24);
        let bytes = canvas.into_bytes();
        let at = |x: usize, y: usize| -> Pixel {
            bytes[(y * 100 + x) * BYTES..][..BYTES].try_into().unwrap()
        };
        assert_eq!(at(12, 18), WHITE);
        assert_eq!(at(15, 12), RED);
        assert_eq!(at(1, 7), BAR);
        assert_eq!(at(60, 18), BAR);
        assert_eq!(at(12, 2), BAR);
    }
}
