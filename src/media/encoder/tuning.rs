//! Settings of encoders: property names with values that do not yet know the job, and setting them without panics.

use gst::prelude::*;
use gstreamer as gst;

use super::MediaError;
use super::effort::Effort;
use crate::pipeline::Settings;

/// Without a request, a key frame comes this often: receivers ask when they need one.
const KEY_FRAME_SECONDS: u32 = 60;

/// One property of an encoder.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    property: &'static str,
    amount: Amount,
    need: Need,
}

/// What an element without the property, or without the value, means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It cannot be used.
    Required,
    /// It is of a version or on a device that does without.
    IfPresent,
}

/// A value, in the unit of its element.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    /// The first of these that the element knows: an enum's nick, a flag, a number.
    Text(&'static [&'static str]),
    /// The bit rate in bits per second.
    Bits,
    /// The bit rate in thousands of bits per second.
    Kilobits,
    /// The sound's bit rate in bits per second.
    SoundBits,
    /// The loss that sound is made redundant for, in percent.
    ExpectedLoss,
    /// Whether silence is not sent.
    LeavesSilenceOut,
    /// The length of a packet of sound in milliseconds.
    Packet,
    /// Frames between key frames when nobody asks for one.
    KeyFrameDistance,
    /// Threads to use.
    Threads,
    /// The speed that was found to be right.
    Speed,
    /// A control of the kernel's stateful encoders: rate, key frame distance, no B-frames, headers on key frames.
    V4l2Controls,
}

impl Setting {
    /// Without it the element is of no use.
    pub const fn required(property: &'static str, amount: Amount) -> Self {
        Self {
            property,
            amount,
            need: Need::Required,
        }
    }

    /// Set where the version at hand has it.
    pub const fn if_present(property: &'static str, amount: Amount) -> Self {
        Self {
            property,
            amount,
            need: Need::IfPresent,
        }
    }

    /// Whether it changes with the links of those who take the frames.
    pub fn follows_links(&self) -> bool {
        match self.amount {
            Amount::Bits
            | Amount::Kilobits
            | Amount::SoundBits
            | Amount::ExpectedLoss
            | Amount::LeavesSilenceOut
            | Amount::V4l2Controls => true,
            Amount::Text(_)
            | Amount::Packet
            | Amount::KeyFrameDistance
            | Amount::Threads
            | Amount::Speed => false,
        }
    }

    /// Sets it.
    ///
    /// # Errors
    /// The element lacks a required property or none of the values fits it.
    pub fn apply(
        &self,
        encoder: &gst::Element,
        settings: &Settings,
        effort: &Effort,
    ) -> Result<(), MediaError> {
        let texts = self.amount.texts(settings, effort);
        let problem = match encoder.find_property(self.property) {
            None => format!("it has no property {}", self.property),
            Some(spec) => match texts.iter().find_map(|text| value_of(&spec, text)) {
                Some(value) => {
                    encoder.set_property_from_value(self.property, &value);
                    return Ok(());
                }
                None => format!("{} cannot be {}", self.property, texts.join(" or ")),
            },
        };
        match self.need {
            Need::IfPresent => Ok(()),
            Need::Required => Err(MediaError::Element {
                pipeline: "the encoder".to_owned(),
                element: encoder
                    .factory()
                    .map_or_else(String::new, |f| f.name().to_string()),
                reason: format!("{problem}: this version of it is not known to attache"),
            }),
        }
    }
}

/// A text as a value that the property takes, moved into its range. Checked: setting it cannot fail.
fn value_of(spec: &gst::glib::ParamSpec, text: &str) -> Option<gst::glib::Value> {
    if !spec.flags().contains(gst::glib::ParamFlags::WRITABLE) {
        return None;
    }
    let value = gst::glib::Value::deserialize_with_pspec(text, spec).ok()?;
    // GLib leaves what is out of range unset, with a warning.
    if let Some(spec) = spec.downcast_ref::<gst::glib::ParamSpecInt>() {
        let number: i32 = value.get().ok()?;
        return Some(number.clamp(spec.minimum(), spec.maximum()).to_value());
    }
    if let Some(spec) = spec.downcast_ref::<gst::glib::ParamSpecUInt>() {
        let number: u32 = value.get().ok()?;
        return Some(number.clamp(spec.minimum(), spec.maximum()).to_value());
    }
    Some(value)
}

impl Amount {
    fn texts(self, settings: &Settings, effort: &Effort) -> Vec<String> {
        let video = &settings.video;
        let distance = video.framerate.saturating_mul(KEY_FRAME_SECONDS);
        let one = |number: u32| vec![number.to_string()];
        match self {
            Self::Text(texts) => texts.iter().map(|text| (*text).to_owned()).collect(),
            Self::Bits => one(video.bitrate.bits_per_second),
            Self::Kilobits => one(video.bitrate.kilobits().max(1)),
            Self::SoundBits => one(settings.audio.bitrate.bits_per_second),
            Self::ExpectedLoss => one(settings.audio.expected_loss),
            Self::LeavesSilenceOut => vec![settings.audio.is_silence_left_out.to_string()],
            Self::Packet => vec![settings.audio.packet.as_millis().to_string()],
            Self::KeyFrameDistance => one(distance),
            Self::Threads => one(effort.threads),
            Self::Speed => vec![effort.speed.to_owned()],
            Self::V4l2Controls => vec![format!(
                "controls,video_bitrate=(int){},video_bitrate_mode=(int)1,video_gop_size=(int){distance},\
                 h264_i_frame_period=(int){distance},video_b_frames=(int)0,repeat_sequence_header=(int)1",
                video.bitrate.bits_per_second
            )],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::encoder::tests::settings;

    const EFFORT: Effort = Effort {
        threads: 2,
        speed: "superfast",
    };

    fn x264() -> gst::Element {
        crate::media::init().unwrap();
        gst::ElementFactory::make("x264enc").build().unwrap()
    }

    #[test]
    fn a_rate_has_the_unit_of_its_element() {
        let encoder = x264();
        let kilobits = Setting::required("bitrate", Amount::Kilobits);
        kilobits.apply(&encoder, &settings(), &EFFORT).unwrap();
        assert_eq!(encoder.property::<u32>("bitrate"), 1500);
    }

    #[test]
    fn a_required_property_that_is_missing_is_an_error_and_another_one_is_skipped() {
        let (encoder, settings) = (x264(), settings());
        let missing = Setting::required("gop-size", Amount::KeyFrameDistance);
        assert_eq!(
            missing
                .apply(&encoder, &settings, &EFFORT)
                .unwrap_err()
                .to_string(),
            "the encoder: element x264enc failed: it has no property gop-size: this version of it is not known to attache"
        );
        let optional = Setting::if_present("gop-size", Amount::KeyFrameDistance);
        optional.apply(&encoder, &settings, &EFFORT).unwrap();
        let value = Setting::if_present("speed-preset", Amount::Text(&["no-such-preset"]));
        value.apply(&encoder, &settings, &EFFORT).unwrap();
    }

    #[test]
    fn the_first_value_that_a_version_knows_is_taken_and_kept_in_range() {
        let encoder = x264();
        let preset = Setting::required("speed-preset", Amount::Text(&["p1", "veryfast"]));
        preset.apply(&encoder, &settings(), &EFFORT).unwrap();
        let preset = encoder.property_value("speed-preset").serialize().unwrap();
        assert_eq!(preset, "veryfast");
        let range = Setting::required("subme", Amount::Text(&["99"]));
        range.apply(&encoder, &settings(), &EFFORT).unwrap();
        assert_eq!(encoder.property::<u32>("subme"), 10);
    }

    #[test]
    fn controls_of_the_kernel_are_one_structure() {
        let text = Amount::V4l2Controls.texts(&settings(), &EFFORT).remove(0);
        crate::media::init().unwrap();
        let structure: gst::Structure = text.parse().unwrap();
        assert_eq!(structure.get::<i32>("video_bitrate").unwrap(), 1_500_000);
        assert_eq!(structure.get::<i32>("video_gop_size").unwrap(), 1800);
    }
}
