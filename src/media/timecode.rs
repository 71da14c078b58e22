//! The time code in the test picture: its layout, and how to write and read it. Pure; `docs/pipelines.md` has the same
//! for browsers.
//!
//! The code is 64 bits, most significant first, in 4 rows of 16 cells at the picture's top left. Column `c` spans the
//! pixels from `c * width / 40` to `(c + 1) * width / 40`, row `r` those from `r * height * 2 / 45` to
//! `(r + 1) * height * 2 / 45` (rounded down): 32 by 32 pixels at 1280 by 720. White is 1, black is 0. The first 48
//! bits are UTC milliseconds since 1970, the last 16 their CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xffff) over
//! the 6 bytes, most significant first.
//!
//! The flash is a box from column 26 to the right edge and from the top to half the height: white for 100 ms from each
//! full second of running time, else black.

/// Cells across.
pub const COLUMNS: usize = 16;
/// Cells down.
pub const ROWS: usize = 4;
/// The flash and the beep last this long, from each full second of running time.
pub const MARK_MS: u64 = 100;

const WHITE: u8 = 235;
const BLACK: u8 = 16;
const THRESHOLD: u64 = 126;

/// Pixels from `left` to before `right`, from `top` to before `bottom`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// First column of pixels.
    pub left: usize,
    /// Behind the last column.
    pub right: usize,
    /// First row of pixels.
    pub top: usize,
    /// Behind the last row.
    pub bottom: usize,
}

/// The luma plane of a picture (BT.601 or BT.709, limited range).
#[derive(Debug, Clone, Copy)]
pub struct Luma<'a> {
    /// Rows of `stride` bytes.
    pub data: &'a [u8],
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// Where a cell lies in a picture of this size.
pub fn cell(column: usize, row: usize, width: usize, height: usize) -> Area {
    Area {
        left: column * width / 40,
        right: (column + 1) * width / 40,
        top: row * height * 2 / 45,
        bottom: (row + 1) * height * 2 / 45,
    }
}

/// Where the whole code lies.
pub fn code_area(width: usize, height: usize) -> Area {
    let last = cell(COLUMNS - 1, ROWS - 1, width, height);
    Area {
        left: 0,
        top: 0,
        ..last
    }
}

/// Where the flash lies.
pub fn flash_area(width: usize, height: usize) -> Area {
    Area {
        left: 26 * width / 40,
        right: width,
        top: 0,
        bottom: height / 2,
    }
}

/// CRC-16/CCITT-FALSE of the 48 bits of a time.
fn checksum(utc_ms: u64) -> u16 {
    utc_ms.to_be_bytes()[2..]
        .iter()
        .fold(0xffff, |sum: u16, byte| {
            (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum, _| {
                if sum & 0x8000 == 0 {
                    sum << 1
                } else {
                    (sum << 1) ^ 0x1021
                }
            })
        })
}

/// Writes a UTC time in milliseconds into a luma plane.
pub fn write(luma: &mut [u8], width: usize, height: usize, stride: usize, utc_ms: u64) {
    let bits = (utc_ms << 16) | u64::from(checksum(utc_ms & 0xffff_ffff_ffff));
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let bit = 63 - (row * COLUMNS + column);
            let value = if bits >> bit & 1 == 1 { WHITE } else { BLACK };
            fill(luma, stride, cell(column, row, width, height), value);
        }
    }
}

/// Draws the flash's box, lit or dark.
pub fn write_flash(luma: &mut [u8], width: usize, height: usize, stride: usize, is_lit: bool) {
    fill(
        luma,
        stride,
        flash_area(width, height),
        if is_lit { WHITE } else { BLACK },
    );
}

/// Sets an area of a plane of one byte per pixel.
pub fn fill(plane: &mut [u8], stride: usize, area: Area, value: u8) {
    for row in plane
        .chunks_mut(stride.max(1))
        .take(area.bottom)
        .skip(area.top)
    {
        if let Some(pixels) = row.get_mut(area.left..area.right) {
            pixels.fill(value);
        }
    }
}

/// The UTC time in milliseconds that a picture shows, if its checksum is right.
pub fn read(luma: &Luma<'_>) -> Option<u64> {
    let mut bits = 0u64;
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let area = cell(column, row, luma.width, luma.height);
            bits = bits << 1 | u64::from(mean(luma, area)? > THRESHOLD);
        }
    }
    let utc_ms = bits >> 16;
    (u64::from(checksum(utc_ms)) == bits & 0xffff).then_some(utc_ms)
}

/// Whether the flash is lit.
pub fn is_lit(luma: &Luma<'_>) -> bool {
    mean(luma, flash_area(luma.width, luma.height)).is_some_and(|mean| mean > THRESHOLD)
}

/// The mean of the inner half of an area: its rim is blurred by scaling and coding.
fn mean(luma: &Luma<'_>, area: Area) -> Option<u64> {
    let (dx, dy) = ((area.right - area.left) / 4, (area.bottom - area.top) / 4);
    let (mut sum, mut count) = (0u64, 0u64);
    for y in area.top + dy..area.bottom - dy {
        let start = y * luma.stride;
        let row = luma
            .data
            .get(start + area.left + dx..start + area.right - dx)?;
        sum += row.iter().map(|pixel| u64::from(*pixel)).sum::<u64>();
        count += u64::try_from(row.len()).ok()?;
    }
    (count > 0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Vec<u8> {
        (0..width * height)
            .map(|at| (at * 31 % 251) as u8)
            .collect()
    }

    #[test]
    fn what_is_written_is_read_at_any_size() {
        for (width, height) in [(1280, 720), (640, 480), (320, 180), (358, 202)] {
            for utc_ms in [0, 1, 1_795_000_123_456, (1 << 48) - 1] {
                let mut data = picture(width, height);
                write(&mut data, width, height, width, utc_ms);
                let luma = Luma {
                    data: &data,
                    width,
                    height,
                    stride: width,
                };
                assert_eq!(read(&luma), Some(utc_ms), "{width}x{height}");
            }
        }
    }

    #[test]
    fn a_picture_without_code_or_with_a_wrong_bit_reads_as_nothing() {
        let mut data = picture(1280, 720);
        assert_eq!(
            read(&Luma {
                data: &data,
                width: 1280,
                height: 720,
                stride: 1280
            }),
            None
        );
        write(&mut data, 1280, 720, 1280, 1_795_000_123_456);
        let wrong = cell(7, 2, 1280, 720);
        let flipped = if data[(wrong.top + 5) * 1280 + wrong.left + 5] == WHITE {
            BLACK
        } else {
            WHITE
        };
        fill(&mut data, 1280, wrong, flipped);
        assert_eq!(
            read(&Luma {
                data: &data,
                width: 1280,
                height: 720,
                stride: 1280
            }),
            None
        );
    }

    #[test]
    fn the_checksum_is_the_documented_one() {
        // Check value of CRC-16/CCITT-FALSE is over nine bytes; this is over "123456".
        let time = u64::from_be_bytes([0, 0, b'1', b'2', b'3', b'4', b'5', b'6']);
        assert_eq!(checksum(time), 0x2ef4);
    }
}
