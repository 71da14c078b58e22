//! What somebody may do in one room.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// What a room token can allow; the words of its claim `allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// To enter the room.
    Join,
    /// To send sound and pictures.
    Send,
    /// To write the call down.
    Record,
    /// To remove others.
    Manage,
    /// To give back another's sound and pictures, which others then hear and see instead.
    Filter,
}

/// What somebody may do in one room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Who the token says it is (`sub`); absent for guests and on a server without keys.
    pub identity: Option<String>,
    /// To enter the room.
    pub join: bool,
    /// To send sound and pictures.
    pub send: bool,
    /// To write the call down.
    pub record: bool,
    /// To remove others.
    pub manage: bool,
    /// To give back another's sound and pictures.
    pub filter: bool,
    /// When all this ends; absent: never.
    pub expires: Option<SystemTime>,
}

impl Grants {
    /// Everything, for ever: a server without keys, which listens on loopback only.
    pub fn everything() -> Self {
        Self {
            join: true,
            send: true,
            record: true,
            manage: true,
            filter: true,
            ..Self::default()
        }
    }

    /// What a guest may do: join and send.
    pub fn guest() -> Self {
        Self {
            join: true,
            send: true,
            ..Self::default()
        }
    }

    /// The permissions that are given.
    pub fn permissions(&self) -> Vec<Permission> {
        let all = [
            (self.join, Permission::Join),
            (self.send, Permission::Send),
            (self.record, Permission::Record),
            (self.manage, Permission::Manage),
            (self.filter, Permission::Filter),
        ];
        let given = all.into_iter().filter(|(given, _)| *given);
        given.map(|(_, permission)| permission).collect()
    }

    /// The same and this.
    #[must_use]
    pub fn with(mut self, permission: Permission) -> Self {
        match permission {
            Permission::Join => self.join = true,
            Permission::Send => self.send = true,
            Permission::Record => self.record = true,
            Permission::Manage => self.manage = true,
            Permission::Filter => self.filter = true,
        }
        self
    }
}
