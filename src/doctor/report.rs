//! What the doctor found, as data and as lines for a terminal.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::media::encoder::Standing;

/// What the doctor looks at.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// GStreamer and its plugins.
    Gstreamer,
    /// Encoders and decoders.
    Encoders,
    /// Cameras, microphones, speakers, displays.
    Devices,
    /// STUN and TURN.
    Network,
    /// The configuration and the descriptions.
    Configuration,
    /// A call of this machine with itself.
    Call,
}

impl Part {
    /// All of them, in the order they are told.
    pub const ALL: [Self; 6] = [
        Self::Gstreamer,
        Self::Encoders,
        Self::Devices,
        Self::Network,
        Self::Configuration,
        Self::Call,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Gstreamer => "GStreamer",
            Self::Encoders => "Encoders and decoders",
            Self::Devices => "Devices",
            Self::Network => "STUN and TURN",
            Self::Configuration => "Configuration and descriptions",
            Self::Call => "A call with itself",
        }
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Not there, or worth knowing; a call can be carried all the same.
    Note,
    /// Something that was asked for does not work; a call may be carried all the same.
    Bad,
    /// No call can be carried.
    Fatal,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub subject: String,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found and, where it is not good, what would be right.
    pub finding: String,
}

impl Check {
    /// A check of this outcome.
    pub fn new(outcome: Outcome, subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            outcome,
            finding: finding.into(),
        }
    }
}

/// One part of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Which.
    pub part: Part,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// attache's version.
    pub version: String,
    /// Nothing that was looked at keeps this machine from carrying a call.
    pub can_carry_a_call: bool,
    /// What was looked at.
    pub sections: Vec<Section>,
    /// Where each encoder stands.
    pub encoders: Vec<Standing>,
}

impl Report {
    /// Of what was looked at.
    pub fn new(sections: Vec<Section>, encoders: Vec<Standing>) -> Self {
        let mut report = Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            can_carry_a_call: false,
            sections,
            encoders,
        };
        report.can_carry_a_call = report.obstacles().is_empty();
        report
    }

    /// Why no call can be carried; nothing if one can.
    pub fn obstacles(&self) -> Vec<String> {
        let checks = self.sections.iter().flat_map(|section| &section.checks);
        checks
            .filter(|check| check.outcome == Outcome::Fatal)
            .map(|check| format!("{}: {}", check.subject, check.finding))
            .collect()
    }

    /// Lines for a terminal.
    pub fn lines(&self) -> String {
        let mut text = format!("attache {}\n", self.version);
        for section in &self.sections {
            let _ = writeln!(text, "\n{}", section.part.title());
            for check in &section.checks {
                let mark = match check.outcome {
                    Outcome::Good => '✓',
                    Outcome::Note => '·',
                    Outcome::Bad | Outcome::Fatal => '✗',
                };
                let _ = writeln!(text, "  {mark} {}: {}", check.subject, check.finding);
            }
        }
        text.push_str(if self.can_carry_a_call {
            "\n✓ This machine can carry a call.\n"
        } else {
            "\n✗ This machine cannot carry a call:\n"
        });
        for obstacle in self.obstacles() {
            let _ = writeln!(text, "  {obstacle}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcome: Outcome) -> Report {
        let check = Check::new(outcome, "webrtcbin", "install gstreamer1.0-plugins-bad");
        let section = Section {
            part: Part::Gstreamer,
            checks: vec![check],
        };
        Report::new(vec![section], vec![])
    }

    #[test]
    fn only_what_is_fatal_keeps_from_a_call() {
        assert!(report(Outcome::Bad).can_carry_a_call);
        assert!(report(Outcome::Note).can_carry_a_call);
        assert!(!report(Outcome::Fatal).can_carry_a_call);
        assert!(report(Outcome::Fatal).lines().ends_with(
            "✗ This machine cannot carry a call:\n  webrtcbin: install gstreamer1.0-plugins-bad\n"
        ));
    }
}
