//! Names of rooms that need no token.

use std::str::FromStr;

use serde::Deserialize;

use crate::signalling::ids::RoomName;

/// Room names that need no token: a name, or a beginning followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RoomPattern {
    beginning: String,
    open_end: bool,
}

impl RoomPattern {
    /// Whether the room is one of these.
    pub fn matches(&self, room: &RoomName) -> bool {
        let room = room.as_str();
        if self.open_end {
            room.starts_with(&self.beginning)
        } else {
            room == self.beginning
        }
    }
}

impl FromStr for RoomPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (beginning, open_end) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        let is_every_room = open_end && beginning.is_empty();
        if !is_every_room && beginning.parse::<RoomName>().is_err() {
            return Err(format!(
                "{text:?} is not a room pattern: write a room's name (\"lobby\"), or its beginning and a star (\"meet-*\")"
            ));
        }
        Ok(Self {
            beginning: beginning.to_owned(),
            open_end,
        })
    }
}

impl TryFrom<String> for RoomPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_patterns_are_names_with_one_star_at_the_end() {
        for right in ["*", "a*", "lobby"] {
            assert!(right.parse::<RoomPattern>().is_ok(), "{right:?}");
        }
        for wrong in ["", "a*b", "**", "a/b", "*a"] {
            assert!(wrong.parse::<RoomPattern>().is_err(), "{wrong:?}");
        }
    }
}
