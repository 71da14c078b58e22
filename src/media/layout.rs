//! Where each participant's picture lies in a mix, by layout. Pure.

use super::grid::{self, Place};

/// How the pictures of a mix are arranged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// All alike.
    #[default]
    Grid,
    /// Who speaks is large, the others are in a strip below.
    Speaker,
    /// Who speaks fills the picture, the others lie small in its lower right corner.
    Pip,
}

/// The strip below the speaker has this part of the height.
const STRIP: u32 = 5;
/// Around and between the small pictures: this part of the width.
const MARGIN: u32 = 64;
/// Of the width and the height that a small picture has at first; with many of them it becomes smaller.
const SMALL: u32 = 5;

impl Layout {
    /// All of them, by [`Layout::name`].
    pub const NAMES: [&'static str; 3] = ["grid", "speaker", "pip"];

    /// The layout of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "grid" => Some(Self::Grid),
            "speaker" => Some(Self::Speaker),
            "pip" => Some(Self::Pip),
            _ => None,
        }
    }

    /// Places for `count` pictures, of which the one of this index is large where the layout has a large one. All
    /// numbers are even, as 4:2:0 pictures want; all places lie inside, and only those of [`Layout::Pip`] lie over
    /// its large one.
    pub fn places(self, count: usize, large: usize, width: u32, height: u32) -> Vec<Place> {
        match self {
            Self::Grid => grid::layout(count, width, height),
            Self::Speaker | Self::Pip if count <= 1 => grid::layout(count, width, height),
            Self::Speaker => {
                let strip = even(height / STRIP);
                let top = height - strip;
                with_large(
                    Place {
                        x: 0,
                        y: 0,
                        width,
                        height: top,
                    },
                    below(count - 1, top, width, strip),
                    large,
                )
            }
            Self::Pip => with_large(
                Place {
                    x: 0,
                    y: 0,
                    width,
                    height,
                },
                corner(count - 1, width, height),
                large,
            ),
        }
    }
}

fn even(number: u32) -> u32 {
    number & !1
}

/// The large place among the small ones, at its index.
fn with_large(large: Place, mut small: Vec<Place>, index: usize) -> Vec<Place> {
    small.insert(index.min(small.len()), large);
    small
}

/// One row of places, centred, as wide as their height allows at 16:9.
fn below(count: usize, y: u32, width: u32, height: u32) -> Vec<Place> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let wide = even((height * 16 / 9).min(width / count)).max(2);
    let left = even(width.saturating_sub(count * wide) / 2);
    let place = |index| Place {
        x: left + index * wide,
        y,
        width: wide,
        height,
    };
    (0..count).map(place).collect()
}

/// Rows of small places from the lower right corner: to the left, then up.
fn corner(count: usize, width: u32, height: u32) -> Vec<Place> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let margin = even(width / MARGIN).max(2);
    let fit = |part: u32| {
        let (wide, high) = (even(width / part).max(2), even(height / part).max(2));
        let columns = (width - margin) / (wide + margin);
        let rows = (height - margin) / (high + margin);
        (wide, high, columns, columns * rows)
    };
    // More than half of the large picture is never covered: only the lower rows are used.
    let roomy = |part: &u32| fit(*part).3 / 2 >= count;
    let part = (SMALL..width.min(height) / 4).find(roomy).unwrap_or(SMALL);
    let (wide, high, columns, _) = fit(part);
    let columns = columns.max(1);
    (0..count)
        .map(|index| Place {
            x: width.saturating_sub((index % columns + 1) * (wide + margin)),
            y: height.saturating_sub((index / columns + 1) * (high + margin)),
            width: wide,
            height: high,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUTS: [Layout; 3] = [Layout::Grid, Layout::Speaker, Layout::Pip];

    fn apart(a: &Place, b: &Place) -> bool {
        a.x + a.width <= b.x
            || b.x + b.width <= a.x
            || a.y + a.height <= b.y
            || b.y + b.height <= a.y
    }

    #[test]
    fn places_are_even_and_inside_and_only_a_small_picture_lies_over_the_large_one() {
        for (layout, size) in LAYOUTS
            .into_iter()
            .flat_map(|layout| [(1280, 720), (640, 360), (720, 1280)].map(|size| (layout, size)))
        {
            let (width, height) = size;
            for count in 0..=20 {
                for large in 0..count {
                    let places = layout.places(count, large, width, height);
                    assert_eq!(places.len(), count, "{layout:?}");
                    for (index, a) in places.iter().enumerate() {
                        assert!(a.x + a.width <= width && a.y + a.height <= height, "{a:?}");
                        assert!(a.width > 0 && a.height > 0);
                        assert!([a.x, a.y, a.width, a.height].iter().all(|n| n % 2 == 0));
                        for (other, b) in places.iter().enumerate().skip(index + 1) {
                            let over = layout == Layout::Pip && [index, other].contains(&large);
                            assert!(over || apart(a, b), "{layout:?} {count}: {a:?} {b:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn who_speaks_is_large_wherever_it_stands_in_the_order() {
        for layout in [Layout::Speaker, Layout::Pip] {
            for large in 0..4 {
                let places = layout.places(4, large, 1280, 720);
                let widest = (0..4).max_by_key(|index| places[*index].width);
                assert_eq!(widest, Some(large), "{layout:?}");
            }
        }
    }

    #[test]
    fn one_alone_fills_the_picture_in_every_layout() {
        for layout in LAYOUTS {
            let whole = Place {
                x: 0,
                y: 0,
                width: 1280,
                height: 720,
            };
            assert_eq!(layout.places(1, 0, 1280, 720), [whole], "{layout:?}");
        }
    }

    #[test]
    fn small_pictures_leave_the_upper_half_of_the_large_one_free() {
        for count in 2..=16 {
            let places = Layout::Pip.places(count, 0, 1280, 720);
            let lowest = places[1..].iter().map(|place| place.y).min();
            assert!(lowest >= Some(720 / 3), "{count}: {places:?}");
        }
    }

    #[test]
    fn layouts_have_names() {
        for (name, layout) in Layout::NAMES.into_iter().zip(LAYOUTS) {
            assert_eq!(Layout::from_name(name), Some(layout));
        }
        assert_eq!(Layout::from_name("mosaic"), None);
    }
}
