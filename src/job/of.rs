//! Whose media a filter improves.

use serde::{Deserialize, Serialize};

use crate::signalling::ids::{InvalidName, ParticipantId};

/// Whose media a filter improves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Of {
    /// Each who sends what its chain improves gets a filter.
    Everybody,
    /// One participant.
    One(ParticipantId),
}

impl Of {
    const EVERYBODY: &str = "all";
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Everybody => f.write_str(Self::EVERYBODY),
            Self::One(id) => id.fmt(f),
        }
    }
}

impl From<Of> for String {
    fn from(of: Of) -> Self {
        of.to_string()
    }
}

impl TryFrom<String> for Of {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        if text == Self::EVERYBODY {
            return Ok(Self::Everybody);
        }
        ParticipantId::try_from(text).map(Self::One)
    }
}

impl std::str::FromStr for Of {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::try_from(text.to_owned())
    }
}
