//! What the operator says of encoders, and the order that follows from it and from the verdicts. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::table::{self, Candidate};
use super::verdict::{Class, Verdict};
use crate::media::Codec;

/// What the operator says of encoders: `[encoders]` in `attache.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// These first, in this order: elements, or `hardware` or `software`.
    pub prefer: Vec<String>,
    /// Never these: elements, or `hardware` or `software`.
    pub forbid: Vec<String>,
    /// Only this one, by codec.
    pub pin: BTreeMap<Codec, String>,
    /// The folder that keeps the verdicts.
    pub cache: Option<PathBuf>,
}

impl Policy {
    /// The keys that name nothing attache knows, each with what would be right.
    pub fn mistakes(&self) -> Vec<(String, String)> {
        let known = |word: &str| {
            matches!(word, HARDWARE | SOFTWARE)
                || table::CANDIDATES.iter().any(|one| one.factory == word)
        };
        let lists = [("prefer", &self.prefer), ("forbid", &self.forbid)];
        let mut mistakes: Vec<_> = lists
            .into_iter()
            .flat_map(|(key, words)| words.iter().map(move |word| (key, word)))
            .filter(|(_, word)| !known(word))
            .map(|(key, word)| {
                let message = format!(
                    "{word:?} is no encoder that attache knows: use one of docs/encoders.md, or \"hardware\" or \"software\""
                );
                (key.to_owned(), message)
            })
            .collect();
        for (codec, factory) in &self.pin {
            if table::find(*codec, factory).is_none() {
                let names: Vec<_> = table::of_codec(*codec).map(|one| one.factory).collect();
                let message = format!(
                    "{factory:?} is no encoder of {codec} that attache knows: use one of {}",
                    names.join(", ")
                );
                mistakes.push((format!("pin.{}", codec.name()), message));
            } else if self.forbids_name(*codec, factory) {
                let message =
                    format!("{factory:?} is forbidden and pinned: remove it from one of them");
                mistakes.push((format!("pin.{}", codec.name()), message));
            }
        }
        mistakes
    }

    fn forbids_name(&self, codec: Codec, factory: &str) -> bool {
        table::find(codec, factory).is_some_and(|candidate| self.forbids(candidate))
    }

    fn forbids(&self, candidate: &Candidate) -> bool {
        self.forbid.iter().any(|word| names(word, candidate))
    }

    fn is_pinned_away(&self, candidate: &Candidate) -> bool {
        let pinned = self.pin.get(&candidate.codec);
        pinned.is_some_and(|factory| factory != candidate.factory)
    }

    /// The encoders of a codec that the operator allows, in order of preference.
    pub fn allowed(&self, codec: Codec) -> Vec<&'static Candidate> {
        let mut allowed: Vec<_> = table::of_codec(codec)
            .filter(|candidate| !self.forbids(candidate) && !self.is_pinned_away(candidate))
            .collect();
        // Stable: the table's order stays among those that nobody prefers.
        allowed.sort_by_key(|candidate| {
            let place = self.prefer.iter().position(|word| names(word, candidate));
            place.unwrap_or(self.prefer.len())
        });
        allowed
    }
}

const HARDWARE: &str = "hardware";
const SOFTWARE: &str = "software";

fn names(word: &str, candidate: &Candidate) -> bool {
    match word {
        HARDWARE => candidate.is_hardware,
        SOFTWARE => !candidate.is_hardware,
        factory => factory == candidate.factory,
    }
}

/// Where an encoder stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// GStreamer has no such element.
    NotInstalled,
    /// The operator said so.
    Forbidden,
    /// The operator pinned another one.
    NotPinned,
    /// Nobody has tried it yet.
    Unproven,
    /// It was tried.
    Proven(Verdict),
}

/// An encoder and where it stands, for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What it makes.
    pub codec: Codec,
    /// The GStreamer element.
    pub factory: String,
    /// Whether a device of its own does the work.
    pub is_hardware: bool,
    /// Debian's package of it.
    pub package: String,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
    /// The same in a sentence.
    pub sentence: String,
}

/// How good an encoder is that may be used; lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Proven,
    /// Software that was not tried yet: far likelier to work than a driver.
    Untried,
    /// Software that cannot keep up is better than no picture.
    Slow,
}

fn tier(candidate: &Candidate, state: &State) -> Option<Tier> {
    match state {
        State::Proven(Verdict::Works { .. }) => Some(Tier::Proven),
        State::Unproven => (!candidate.is_hardware).then_some(Tier::Untried),
        State::Proven(Verdict::TooSlow { .. }) => (!candidate.is_hardware).then_some(Tier::Slow),
        State::Proven(
            Verdict::Failed { .. }
            | Verdict::Wrong { .. }
            | Verdict::Crashed { .. }
            | Verdict::Hung { .. },
        )
        | State::NotInstalled
        | State::Forbidden
        | State::NotPinned => None,
    }
}

/// Those of a codec that may be used with the state of each, the best first.
pub fn usable(
    policy: &Policy,
    codec: Codec,
    state_of: impl Fn(&Candidate) -> State,
) -> Vec<(&'static Candidate, State)> {
    let mut usable: Vec<_> = policy
        .allowed(codec)
        .into_iter()
        .filter_map(|candidate| {
            let state = state_of(candidate);
            tier(candidate, &state).map(|tier| (tier, candidate, state))
        })
        .collect();
    usable.sort_by_key(|(tier, ..)| *tier);
    let usable = usable.into_iter();
    usable
        .map(|(_, candidate, state)| (candidate, state))
        .collect()
}

/// The codecs of a description that can be encoded here, best first: in the order given, but those that keep up before
/// those that do not. What takes the processor much work, and was not tried yet, is not trusted to.
pub fn in_order(
    policy: &Policy,
    codecs: &[Codec],
    class: Class,
    state_of: impl Fn(&Candidate) -> State,
) -> Vec<Codec> {
    let keeps_up = |codec: Codec| {
        let usable = usable(policy, codec, &state_of);
        let (candidate, state) = usable.first()?;
        Some(match tier(candidate, state)? {
            Tier::Proven => true,
            Tier::Untried => is_light(codec, class),
            Tier::Slow => false,
        })
    };
    let able = codecs.iter().map(|codec| (*codec, keeps_up(*codec)));
    let (quick, rest): (Vec<_>, Vec<_>) = able.partition(|(_, keeps_up)| *keeps_up == Some(true));
    let slow = rest.into_iter().filter(|(_, keeps_up)| keeps_up.is_some());
    quick
        .into_iter()
        .chain(slow)
        .map(|(codec, _)| codec)
        .collect()
}

/// Whether any processor of today encodes it in time for a call.
fn is_light(codec: Codec, class: Class) -> bool {
    match codec {
        Codec::Vp8 | Codec::H264 | Codec::Opus | Codec::Aac => true,
        Codec::Vp9 => class.width * class.height <= 640 * 360,
        Codec::Av1 | Codec::H265 => false,
    }
}

/// Where each encoder of a codec stands, in the table's order.
pub fn standings(
    policy: &Policy,
    codec: Codec,
    state_of: impl Fn(&Candidate) -> State,
) -> Vec<Standing> {
    let standing = |candidate: &'static Candidate| {
        let state = if policy.forbids(candidate) {
            State::Forbidden
        } else if policy.is_pinned_away(candidate) {
            State::NotPinned
        } else {
            state_of(candidate)
        };
        Standing {
            codec,
            factory: candidate.factory.to_owned(),
            is_hardware: candidate.is_hardware,
            package: candidate.package.to_owned(),
            sentence: sentence(candidate, &state),
            state,
        }
    };
    table::of_codec(codec).map(standing).collect()
}

fn sentence(candidate: &Candidate, state: &State) -> String {
    let factory = candidate.factory;
    match state {
        State::NotInstalled if candidate.is_hardware => format!(
            "{factory}: not there ({}, and the device and driver for it)",
            candidate.package
        ),
        State::NotInstalled => format!("{factory}: not installed ({})", candidate.package),
        State::Forbidden => format!("{factory}: forbidden by configuration"),
        State::NotPinned => format!("{factory}: another one is pinned by configuration"),
        State::Unproven => format!("{factory}: not proven yet"),
        State::Proven(verdict) => format!("{factory}: {verdict}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn works(_: &Candidate) -> State {
        State::Proven(Verdict::Works {
            frame_us: 3149,
            psnr_db: 40.0,
            decode_us: 900,
        })
    }

    fn failed() -> State {
        State::Proven(Verdict::Failed {
            reason: "no".to_owned(),
        })
    }

    fn order(policy: &Policy, state_of: impl Fn(&Candidate) -> State) -> Vec<&'static str> {
        let usable = usable(policy, Codec::H264, state_of);
        usable
            .iter()
            .map(|(candidate, _)| candidate.factory)
            .collect()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn hardware_that_works_comes_before_software() {
        let only_va = |one: &Candidate| match one.factory {
            "vah264enc" | "x264enc" => works(one),
            "openh264enc" => State::Unproven,
            _ if one.is_hardware => failed(),
            _ => State::NotInstalled,
        };
        assert_eq!(
            order(&Policy::default(), only_va),
            ["vah264enc", "x264enc", "openh264enc"]
        );
    }

    #[test]
    fn what_was_not_tried_is_used_only_if_it_is_software() {
        assert_eq!(
            order(&Policy::default(), |_| State::Unproven),
            ["x264enc", "openh264enc"]
        );
    }

    #[test]
    fn slow_software_is_the_last_resort() {
        let slow = |one: &Candidate| match one.factory {
            "openh264enc" => State::Unproven,
            _ => State::Proven(Verdict::TooSlow {
                frame_us: 80_000,
                interval_us: 33_333,
            }),
        };
        assert_eq!(order(&Policy::default(), slow), ["openh264enc", "x264enc"]);
    }

    #[test]
    fn the_operator_prefers_forbids_and_pins() {
        let prefer = Policy {
            prefer: words(&["openh264enc", "software"]),
            forbid: words(&["nvh264enc"]),
            ..Policy::default()
        };
        let order_of = order(&prefer, works);
        assert_eq!(order_of[..3], ["openh264enc", "x264enc", "nvcudah264enc"]);
        assert!(!order_of.contains(&"nvh264enc"));
        let pin = Policy {
            pin: [(Codec::H264, "vah264enc".to_owned())].into(),
            ..Policy::default()
        };
        assert_eq!(order(&pin, works), ["vah264enc"]);
        assert!(order(&pin, |_| failed()).is_empty(), "a pin is strict");
    }

    #[test]
    fn each_encoder_has_a_sentence() {
        let policy = Policy {
            forbid: words(&["vah264enc"]),
            ..Policy::default()
        };
        let standings = standings(&policy, Codec::H264, |one| match one.factory {
            "x264enc" => works(one),
            "openh264enc" => State::NotInstalled,
            _ => State::Unproven,
        });
        let sentence = |factory: &str| {
            let found = standings.iter().find(|one| one.factory == factory);
            found.unwrap().sentence.clone()
        };
        assert_eq!(sentence("x264enc"), "x264enc: works, 3.1 ms per frame");
        assert_eq!(
            sentence("vah264enc"),
            "vah264enc: forbidden by configuration"
        );
        assert_eq!(
            sentence("openh264enc"),
            "openh264enc: not installed (gstreamer1.0-plugins-bad)"
        );
        assert_eq!(sentence("nvh264enc"), "nvh264enc: not proven yet");
    }

    #[test]
    fn a_word_that_names_nothing_is_a_mistake() {
        let policy = Policy {
            prefer: words(&["hardware", "x264"]),
            forbid: words(&["vah264enc"]),
            pin: [
                (Codec::Vp8, "x264enc".to_owned()),
                (Codec::H264, "vah264enc".to_owned()),
            ]
            .into(),
            cache: None,
        };
        let mistakes = policy.mistakes();
        let keys: Vec<_> = mistakes.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["prefer", "pin.vp8", "pin.h264"]);
        assert!(Policy::default().mistakes().is_empty());
    }

    #[test]
    fn codecs_that_keep_up_come_first_and_those_that_cannot_be_encoded_not_at_all() {
        let wanted = [Codec::Av1, Codec::Vp9, Codec::H264, Codec::Vp8];
        let class = Class {
            width: 1280,
            height: 720,
            framerate: 30,
        };
        let order = |state_of: &dyn Fn(&Candidate) -> State| {
            in_order(&Policy::default(), &wanted, class, state_of)
        };
        assert_eq!(order(&works), wanted);
        // Nothing is known yet: what may take too long waits.
        let unproven = |_: &Candidate| State::Unproven;
        assert_eq!(
            order(&unproven),
            [Codec::H264, Codec::Vp8, Codec::Av1, Codec::Vp9]
        );
        let mixed = |candidate: &Candidate| match candidate.codec {
            Codec::Av1 => State::NotInstalled,
            Codec::H264 if !candidate.is_hardware => State::Proven(Verdict::TooSlow {
                frame_us: 50_000,
                interval_us: 33_333,
            }),
            Codec::H264 => State::NotInstalled,
            _ => works(candidate),
        };
        assert_eq!(order(&mixed), [Codec::Vp9, Codec::Vp8, Codec::H264]);
    }
}
