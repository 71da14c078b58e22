//! Where each participant's picture lies in the grid that a kiosk shows. Pure.

/// A place in the grid, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Across.
    pub width: u32,
    /// Down.
    pub height: u32,
}

/// Places for `count` pictures in reading order: as many columns as rows or one more, the last row centred. All
/// numbers are even, as 4:2:0 pictures want.
pub fn layout(count: usize, width: u32, height: u32) -> Vec<Place> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if count == 0 {
        return Vec::new();
    }
    let root = count.isqrt();
    let columns = if root * root == count { root } else { root + 1 };
    let rows = count.div_ceil(columns);
    let even = |number: u32| number & !1;
    let (cell_width, cell_height) = (even(width / columns), even(height / rows));
    (0..count)
        .map(|index| {
            let (column, row) = (index % columns, index / columns);
            let in_row = if row + 1 == rows {
                count - row * columns
            } else {
                columns
            };
            Place {
                x: even((width - in_row * cell_width) / 2) + column * cell_width,
                y: row * cell_height,
                width: cell_width,
                height: cell_height,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_inside_and_do_not_overlap() {
        for count in 1..=20 {
            let places = layout(count, 1280, 720);
            assert_eq!(places.len(), count);
            for (index, a) in places.iter().enumerate() {
                assert!(
                    a.x + a.width <= 1280 && a.y + a.height <= 720,
                    "{count}: {a:?}"
                );
                assert!(a.width > 0 && a.height > 0);
                for b in &places[index + 1..] {
                    let apart = a.x + a.width <= b.x
                        || b.x + b.width <= a.x
                        || a.y + a.height <= b.y
                        || b.y + b.height <= a.y;
                    assert!(apart, "{count}: {a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn one_fills_the_picture_and_the_third_of_three_is_centred() {
        assert_eq!(
            layout(1, 1280, 720),
            [Place {
                x: 0,
                y: 0,
                width: 1280,
                height: 720
            }]
        );
        assert_eq!(
            layout(3, 1280, 720)[2],
            Place {
                x: 320,
                y: 360,
                width: 640,
                height: 360
            }
        );
        assert_eq!(layout(0, 1280, 720), []);
    }
}
