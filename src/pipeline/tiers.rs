//! Tiers of a description: smaller and cheaper encodings of the same picture, for peers whose links carry less.

use super::parameters::Values;
use super::problem::Place;
use super::reader::Table;
use super::schema::{MOTIONS, TIER};
use super::settings::{Bitrate, Limits, Number, VideoSettings, Wrong};

/// One encoding of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// Pixels across; even.
    pub width: u32,
    /// Pixels down; even.
    pub height: u32,
    /// Pictures per second, at most.
    pub framerate: u32,
    /// What its encoder aims at where the links carry that.
    pub bitrate: Bitrate,
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}p{}", self.height, self.framerate)
    }
}

/// What matters more where not all can be had: many pictures a second, or sharp ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Motion {
    /// People who move: pictures become smaller.
    High,
    /// A screen, a document: pictures become fewer first.
    Low,
}

pub(super) static TIER_HEIGHT: Limits = Limits {
    key: "settings.video.tiers.height",
    name: "height",
    default: 360,
    min: 64,
    max: 4320,
    even: true,
};
pub(super) static TIER_FRAMERATE: Limits = Limits {
    key: "settings.video.tiers.framerate",
    name: "framerate",
    default: 30,
    min: 1,
    max: 120,
    even: false,
};
pub(super) static TIER_KBPS: Limits = Limits {
    key: "settings.video.tiers.bitrate_kbps",
    name: "bitrate_kbps",
    default: 500,
    min: 20,
    max: 50_000,
    even: false,
};
pub(super) static PAUSE_KBPS: Limits = Limits {
    key: "settings.video.pause_below_kbps",
    name: "pause_below_kbps",
    default: 50,
    min: 0,
    max: 50_000,
    even: false,
};

/// The smallest picture that a tier is made of when the description names none: faces are still seen.
const SMALLEST: u32 = 120;
/// Of the bit rate of the tier above, what a quarter of its pixels need.
const QUARTER_OF_THE_PIXELS: (u32, u32) = (1, 3);
/// And half of its pictures.
const HALF_OF_THE_PICTURES: (u32, u32) = (3, 5);
/// The lowest tier serves down to this part of its bit rate, where the description says nothing.
const FLOOR: (u32, u32) = (1, 3);

/// What the file says of tiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    motion: Motion,
    /// `None`: those that follow from the picture.
    tiers: Option<Vec<DeclaredTier>>,
    pause_below: Option<Number>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct DeclaredTier {
    place: Place,
    height: Number,
    framerate: Option<Number>,
    bitrate: Number,
}

impl Declared {
    /// Reads the keys of `[settings.video]` that are about tiers.
    pub fn read(video: Option<&Table<'_>>) -> Self {
        let tiers = video.and_then(|table| table.list("tiers", TIER));
        let tiers = tiers.map(|tables| tables.iter().map(DeclaredTier::read).collect());
        Self {
            motion: read_motion(video),
            tiers,
            pause_below: Number::read_if_there(video, &PAUSE_KBPS),
        }
    }

    /// The tiers below the picture itself, the best first, and the rate below which none is sent; what is wrong is told
    /// to `wrong`.
    pub fn resolve(
        &self,
        own: Tier,
        values: &Values,
        wrong: &mut Wrong<'_>,
    ) -> (Vec<Tier>, Bitrate) {
        let tiers = match &self.tiers {
            Some(declared) => {
                let mut above = own;
                let mut below = Vec::new();
                for tier in declared {
                    above = tier.resolve(own, above, values, wrong);
                    below.push(above);
                }
                below
            }
            None => derived(own, self.motion),
        };
        let lowest = tiers.last().copied().unwrap_or(own);
        let pause_below = match &self.pause_below {
            Some(number) => Bitrate::from_kilobits(number.resolve(values, wrong)),
            None => part(lowest.bitrate, FLOOR),
        };
        if pause_below >= lowest.bitrate {
            let number = self.pause_below.as_ref();
            wrong(
                number.and_then(Number::place),
                PAUSE_KBPS.key,
                format!("found {}", pause_below.kilobits()),
                format!(
                    "less than the lowest tier's {} kb/s",
                    lowest.bitrate.kilobits()
                ),
            );
        }
        (tiers, pause_below)
    }
}

impl DeclaredTier {
    fn read(table: &Table<'_>) -> Self {
        Self {
            place: table.place,
            height: Number::read(Some(table), &TIER_HEIGHT),
            framerate: Number::read_if_there(Some(table), &TIER_FRAMERATE),
            bitrate: Number::read(Some(table), &TIER_KBPS),
        }
    }

    /// The tier, in the shape of the picture and not faster than the tier above it.
    fn resolve(&self, own: Tier, above: Tier, values: &Values, wrong: &mut Wrong<'_>) -> Tier {
        let height = self.height.resolve(values, wrong);
        let framerate = self.framerate.as_ref();
        let framerate = framerate.map_or(above.framerate, |number| number.resolve(values, wrong));
        let tier = Tier {
            width: width_for(own, height),
            height,
            framerate,
            bitrate: Bitrate::from_kilobits(self.bitrate.resolve(values, wrong)),
        };
        let is_less = tier.height <= above.height
            && tier.framerate <= above.framerate
            && (tier.height, tier.framerate) != (above.height, above.framerate);
        if !is_less {
            wrong(
                Some(self.place),
                "settings.video.tiers",
                format!("found {tier} below {above}"),
                "a tier is smaller or slower than the one above it, the first than the picture itself".to_owned(),
            );
        }
        if tier.bitrate >= above.bitrate {
            wrong(
                self.bitrate.place(),
                TIER_KBPS.key,
                format!("found {}", tier.bitrate.kilobits()),
                format!(
                    "less than the {} kb/s of the tier above it",
                    above.bitrate.kilobits()
                ),
            );
        }
        tier
    }
}

fn read_motion(video: Option<&Table<'_>>) -> Motion {
    let Some((table, text)) = video.and_then(|table| Some((table, table.string("motion")?))) else {
        return Motion::High;
    };
    match text.text.as_str() {
        "high" => Motion::High,
        "low" => Motion::Low,
        other => {
            let right = format!("one of {}", MOTIONS.join(", "));
            table.report(text.place, "motion", format!("found {other:?}"), right);
            Motion::High
        }
    }
}

/// A half and a quarter of the picture, as far as that is worth sending.
fn derived(own: Tier, motion: Motion) -> Vec<Tier> {
    let mut tiers = Vec::new();
    let mut above = own;
    if motion == Motion::Low && own.framerate > 1 {
        above = Tier {
            framerate: own.framerate.div_ceil(2),
            bitrate: part(own.bitrate, HALF_OF_THE_PICTURES),
            ..own
        };
        tiers.push(above);
    }
    for divisor in [2, 4] {
        let height = own.height / divisor / 2 * 2;
        let bitrate = part(above.bitrate, QUARTER_OF_THE_PIXELS);
        if height < SMALLEST || bitrate.kilobits() < TIER_KBPS.min {
            break;
        }
        above = Tier {
            width: width_for(own, height),
            height,
            bitrate,
            ..above
        };
        tiers.push(above);
    }
    tiers
}

fn width_for(own: Tier, height: u32) -> u32 {
    let width = u64::from(own.width) * u64::from(height) / u64::from(own.height.max(1));
    u32::try_from(width / 2 * 2).unwrap_or(own.width).max(2)
}

fn part(of: Bitrate, (numerator, denominator): (u32, u32)) -> Bitrate {
    Bitrate {
        bits_per_second: of.bits_per_second / denominator * numerator,
    }
}

impl VideoSettings {
    /// The picture itself and the tiers below it, the best first.
    pub fn tiers(&self) -> Vec<Tier> {
        let own = Tier {
            width: self.width,
            height: self.height,
            framerate: self.framerate,
            bitrate: self.bitrate,
        };
        std::iter::once(own)
            .chain(self.lower.iter().copied())
            .collect()
    }

    /// The same with the picture of a tier, and no tiers below it.
    pub fn at(&self, tier: Tier) -> Self {
        Self {
            width: tier.width,
            height: tier.height,
            framerate: tier.framerate,
            bitrate: tier.bitrate,
            lower: Vec::new(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parameters, parse};
    use super::*;
    use crate::job::{Parameters, Value};

    const HEAD: &str = "role = \"kiosk\"\nsummary = \"test\"\n";

    fn video(rest: &str, given: &Parameters) -> Result<VideoSettings, String> {
        let text = format!("{HEAD}{rest}");
        let of = || {
            let description = parse(&text)?;
            let values = description.values(given, &"room".parse().unwrap())?;
            Ok(description.settings(&values)?.video)
        };
        of().map_err(|error: crate::pipeline::DescriptionError| error.to_string())
    }

    fn told(rest: &str) -> Vec<(String, u32)> {
        let video = video(rest, &Parameters::new()).unwrap();
        let tiers = video.tiers().into_iter();
        tiers
            .map(|tier| (format!("{}x{tier}", tier.width), tier.bitrate.kilobits()))
            .collect()
    }

    fn owned(tiers: &[(&str, u32)]) -> Vec<(String, u32)> {
        tiers
            .iter()
            .map(|(name, rate)| ((*name).to_owned(), *rate))
            .collect()
    }

    #[test]
    fn a_half_and_a_quarter_follow_from_the_picture() {
        assert_eq!(
            told(""),
            owned(&[
                ("1280x720p30", 1500),
                ("640x360p30", 500),
                ("320x180p30", 166)
            ])
        );
        let small = "[settings.video]\nwidth = 320\nheight = 240\nbitrate_kbps = 300\n";
        assert_eq!(
            told(small),
            owned(&[("320x240p30", 300), ("160x120p30", 100)])
        );
        let pause = video("", &Parameters::new()).unwrap().pause_below;
        assert_eq!(pause.kilobits(), 55);
    }

    #[test]
    fn where_motion_matters_little_pictures_become_fewer_before_they_become_smaller() {
        let low = "[settings.video]\nmotion = \"low\"\n";
        let expected = [
            ("1280x720p30", 1500),
            ("1280x720p15", 900),
            ("640x360p15", 300),
            ("320x180p15", 100),
        ];
        assert_eq!(told(low), owned(&expected));
    }

    #[test]
    fn a_description_names_its_tiers_or_says_that_there_are_none() {
        let named = "[[settings.video.tiers]]\nheight = 480\nbitrate_kbps = 700\n\
                     [[settings.video.tiers]]\nheight = 480\nframerate = 10\nbitrate_kbps = 300\n";
        assert_eq!(
            told(named),
            owned(&[
                ("1280x720p30", 1500),
                ("852x480p30", 700),
                ("852x480p10", 300)
            ])
        );
        assert_eq!(
            told("[settings.video]\ntiers = []\n"),
            owned(&[("1280x720p30", 1500)])
        );
    }

    #[test]
    fn a_tier_takes_a_number_from_a_parameter() {
        let text = "[parameters.small]\ntype = \"integer\"\ndescription = \"x\"\ndefault = 360\n\
                    [[settings.video.tiers]]\nheight = \"{small}\"\nbitrate_kbps = 400\n";
        let tiers = video(text, &parameters("small", Value::Integer(240)))
            .unwrap()
            .lower;
        assert_eq!((tiers[0].width, tiers[0].height), (426, 240));
        let error = video(text, &parameters("small", Value::Integer(800))).unwrap_err();
        assert!(
            error.contains("x.toml:7:1: settings.video.tiers: found 800p30 below 720p30"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_tier_is_told_with_its_place() {
        for (rest, wanted) in [
            (
                "[settings.video]\ntiers = 3\n",
                "x.toml:4:9: settings.video.tiers: found 3; a list of tables is wanted here",
            ),
            (
                "[[settings.video.tiers]]\nheight = 360\n",
                "x.toml:3:1: settings.video.tiers.bitrate_kbps: found nothing; this key must be given",
            ),
            (
                "[[settings.video.tiers]]\nheight = 361\nbitrate_kbps = 400\n",
                "x.toml:4:10: settings.video.tiers.height: found 361; an even whole number from 64 to 4320",
            ),
            (
                "[[settings.video.tiers]]\nheight = 360\nbitrate_kbps = 1600\n",
                "x.toml:5:16: settings.video.tiers.bitrate_kbps: found 1600; less than the 1500 kb/s of the tier above it",
            ),
            (
                "[[settings.video.tiers]]\nheight = 360\nbitrate_kbps = 600\n\
                 [[settings.video.tiers]]\nheight = 360\nbitrate_kbps = 300\n",
                "x.toml:6:1: settings.video.tiers: found 360p30 below 360p30; a tier is smaller or slower than",
            ),
            (
                "[settings.video]\npause_below_kbps = 200\n",
                "x.toml:4:20: settings.video.pause_below_kbps: found 200; less than the lowest tier's 166 kb/s",
            ),
            (
                "[settings.video]\nmotion = \"some\"\n",
                "x.toml:4:10: settings.video.motion: found \"some\"; one of high, low",
            ),
        ] {
            let error = video(rest, &Parameters::new()).unwrap_err();
            assert!(error.contains(wanted), "{error}\nwanted {wanted}");
        }
    }
}
