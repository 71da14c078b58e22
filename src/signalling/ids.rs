//! Names and numbers of the protocol, each a type of its own that cannot hold a wrong value.

use std::fmt;

use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Why a text is not a name of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} is not valid: {rule}")]
pub struct InvalidName {
    what: &'static str,
    found: String,
    rule: &'static str,
}

/// Found text in errors is cut to this many characters: it may come from a stranger.
const SHOWN: usize = 40;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                let fits = (1..=$max).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                    && !text.starts_with('.');
                if fits {
                    return Ok(Self(text));
                }
                Err(InvalidName { what: $what, found: text.chars().take(SHOWN).collect(), rule: $rule })
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// A room: 1 to 64 of `A-Z a-z 0-9 - _ .`, not starting with a dot (it may become a folder's name).
    RoomName,
    "room name",
    64,
    "use 1 to 64 of A-Z a-z 0-9 - _ . and no dot in front"
);
name_type!(
    /// A participant, named by the server when it joins; unique in the server's life.
    ParticipantId,
    "participant id",
    32,
    "use 1 to 32 of A-Z a-z 0-9 - _ . and no dot in front"
);
name_type!(
    /// A job of the supervisor.
    JobId,
    "job id",
    32,
    "use 1 to 32 of A-Z a-z 0-9 - _ . and no dot in front"
);
name_type!(
    /// A player's session (WHEP). Who knows it may end it: it cannot be guessed.
    SessionId,
    "session id",
    32,
    "use 1 to 32 of A-Z a-z 0-9 - _ . and no dot in front"
);

impl SessionId {
    /// A fresh id of 130 random bits.
    pub fn random() -> Self {
        Self(random_text(26))
    }
}

impl ParticipantId {
    /// A fresh id of 80 random bits.
    pub fn random() -> Self {
        Self(random_text(16))
    }
}

impl JobId {
    /// A fresh id of 40 random bits.
    pub fn random() -> Self {
        Self(random_text(8))
    }
}

/// `length` characters of 5 random bits each (Crockford's base 32, small letters).
fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

/// The n-th PeerConnection between the same two participants, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The first PeerConnection of two participants.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_a_folder_are_refused() {
        for wrong in ["", "..", ".hidden", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(wrong.parse::<RoomName>().is_err(), "{wrong:?}");
        }
        for right in ["lobby", "Room-1_a.b", &"x".repeat(64)] {
            assert!(right.parse::<RoomName>().is_ok(), "{right:?}");
        }
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(ParticipantId::random(), ParticipantId::random());
    }
}
