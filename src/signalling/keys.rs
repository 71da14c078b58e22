//! What a participant comes back with: signed, so that even a server that was started anew believes it.
//!
//! A session's token says who its bearer is in which room and what it may do. The server keeps none of it on disk but the
//! key; what it forgets with its end, the participants bring back.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::ids::{ParticipantId, RoomName};
use super::protocol::Kind;
use super::room::Place;
use crate::auth::{Grants, Permission};

/// The key's file in the state folder.
const FILE: &str = "sessions.key";
/// Bytes of a key: as long as the hash (RFC 7518 3.2).
const KEY_BYTES: usize = 32;

/// Who somebody is that comes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Bearer {
    /// Its id.
    pub id: ParticipantId,
    /// Its room.
    pub room: RoomName,
    /// What it is.
    pub kind: Kind,
    /// Its place in the order of joining.
    pub place: Place,
    /// What it may do.
    pub grants: Grants,
    /// The server that let it in is this one: it was not started anew since.
    pub is_of_this_run: bool,
}

/// A token's content.
#[derive(Serialize, Deserialize)]
struct Claims {
    id: ParticipantId,
    room: RoomName,
    kind: Kind,
    place: Place,
    allow: Vec<Permission>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The end of the room token that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    /// The run of the server that let it in.
    run: String,
}

/// Signs and reads sessions' tokens.
pub struct SessionKeys {
    sign: EncodingKey,
    verify: DecodingKey,
    run: String,
}

impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKeys")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl SessionKeys {
    /// Keys that end with this process: a server started anew knows nobody.
    pub fn passing() -> Self {
        Self::new(&rand::random::<[u8; KEY_BYTES]>())
    }

    /// The key of this state folder, which is made where there is none.
    ///
    /// # Errors
    /// The file cannot be read or written, or is not a key.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let key = match std::fs::read(&path) {
            Ok(key) => key,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&path)?,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        if key.len() != KEY_BYTES {
            bail!(
                "{}: found {} bytes, a key has {KEY_BYTES}; remove the file, another one is made",
                path.display(),
                key.len()
            );
        }
        Ok(Self::new(&key))
    }

    fn new(key: &[u8]) -> Self {
        Self {
            sign: EncodingKey::from_secret(key),
            verify: DecodingKey::from_secret(key),
            run: BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 9]>()),
        }
    }

    /// The token of somebody who was let in by this run.
    pub fn sign(
        &self,
        id: &ParticipantId,
        room: &RoomName,
        kind: Kind,
        place: Place,
        grants: &Grants,
    ) -> String {
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            id: id.clone(),
            room: room.clone(),
            kind,
            place,
            allow: grants.permissions(),
            sub: grants.identity.clone(),
            exp: grants.expires.map(seconds),
            run: self.run.clone(),
        };
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes keys of any length, and the claims are plain JSON"
        )]
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
            .expect("HS256 signs any claims")
    }

    /// Whose token this is; `None` where the signature is not ours (it is compared in constant time). A token of another
    /// run ends with the room token that its bearer had: a restart extends nobody's stay.
    pub fn read(&self, token: &str, now: SystemTime) -> Option<Bearer> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let data = jsonwebtoken::decode::<Claims>(token, &self.verify, &validation).ok()?;
        let claims = data.claims;
        let expires = claims
            .exp
            .map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let is_of_this_run = claims.run == self.run;
        if !is_of_this_run && expires.is_some_and(|expires| expires <= now) {
            return None;
        }
        let grants = Grants {
            identity: claims.sub,
            expires,
            ..Grants::default()
        };
        Some(Bearer {
            id: claims.id,
            room: claims.room,
            kind: claims.kind,
            place: claims.place,
            grants: claims.allow.into_iter().fold(grants, Grants::with),
            is_of_this_run,
        })
    }
}

/// Writes a new key. It appears whole, and only once: of two that make one, the second takes the first's.
fn make(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let folder = path.parent().context("the key has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let key = rand::random::<[u8; KEY_BYTES]>();
    let part = folder.join(format!(".{FILE}.{}", std::process::id()));
    let write = || {
        let options = &mut std::fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&part)?;
        file.write_all(&key)?;
        file.sync_all()?;
        let made = std::fs::hard_link(&part, path);
        std::fs::remove_file(&part)?;
        match made {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    };
    write().with_context(|| format!("cannot write {shown}"))?;
    std::fs::read(path).with_context(|| format!("cannot read {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(keys: &SessionKeys, grants: &Grants) -> String {
        let (id, room) = ("a".parse().unwrap(), "lobby".parse().unwrap());
        keys.sign(&id, &room, Kind::Kiosk, Place(7), grants)
    }

    #[test]
    fn a_token_says_who_its_bearer_is_even_to_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let keys = SessionKeys::of_folder(folder.path()).unwrap();
        let grants = Grants {
            identity: Some("door-1".to_owned()),
            ..Grants::guest()
        };
        let token = token(&keys, &grants);
        let bearer = keys.read(&token, SystemTime::now()).unwrap();
        assert!(bearer.is_of_this_run);

        let next = SessionKeys::of_folder(folder.path()).unwrap();
        let again = next.read(&token, SystemTime::now()).unwrap();
        let expected = Bearer {
            id: "a".parse().unwrap(),
            room: "lobby".parse().unwrap(),
            kind: Kind::Kiosk,
            place: Place(7),
            grants,
            is_of_this_run: false,
        };
        assert_eq!(again, expected);
    }

    #[test]
    fn tokens_of_another_key_and_changed_ones_are_refused() {
        let (ours, theirs) = (SessionKeys::passing(), SessionKeys::passing());
        let foreign = token(&theirs, &Grants::everything());
        assert_eq!(ours.read(&foreign, SystemTime::now()), None);
        let token = token(&ours, &Grants::guest());
        let parts: Vec<_> = token.split('.').collect();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        let claims = String::from_utf8(claims).unwrap();
        let more = claims.replace("\"send\"", "\"send\",\"record\"");
        assert_ne!(more, claims);
        let forged = BASE64_URL_SAFE_NO_PAD.encode(more);
        let forged = format!("{}.{forged}.{}", parts[0], parts[2]);
        assert_eq!(ours.read(&forged, SystemTime::now()), None);
        assert_eq!(ours.read("", SystemTime::now()), None);
    }

    #[test]
    fn a_restart_does_not_bring_back_whose_room_token_has_expired() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let grants = Grants {
            expires: Some(now + Duration::from_secs(60)),
            ..Grants::guest()
        };
        let keys = SessionKeys::of_folder(folder.path()).unwrap();
        let token = token(&keys, &grants);
        let later = now + Duration::from_secs(61);
        assert!(keys.read(&token, later).is_some(), "who is in stays");
        let next = SessionKeys::of_folder(folder.path()).unwrap();
        assert!(next.read(&token, now).is_some());
        assert_eq!(next.read(&token, later), None);
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "short").unwrap();
        let error = SessionKeys::of_folder(folder.path()).unwrap_err();
        assert!(error.to_string().contains("sessions.key"), "{error:#}");
    }
}
