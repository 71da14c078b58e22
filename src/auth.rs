//! Who may do what: the API token, room tokens (JWT, RFC 7519), guests.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::signalling::ids::RoomName;

mod grants;
mod room_pattern;

pub use grants::{Grants, Permission};
pub use room_pattern::RoomPattern;

/// The shortest room key, in bytes. RFC 7518 3.2: a key for HS256 is at least as long as the hash.
pub const SHORTEST_ROOM_KEY: usize = 32;
/// The shortest API token, in bytes.
pub const SHORTEST_API_TOKEN: usize = 16;

/// A text that opens something: it is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There was no token, and one is needed.
    #[error("a token is needed and none was given")]
    Missing,
    /// Not a token of ours: wrong form, wrong algorithm, wrong signature, wrong API token.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// Its time is over.
    #[error("the token has expired; ask for a new one")]
    Expired,
    /// It is for another room.
    #[error("the token is for another room")]
    OtherRoom,
}

/// The claims of a room token. `docs/configuration.md` tells how to make one elsewhere.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    room: RoomName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    allow: Vec<Permission>,
    exp: u64,
}

/// The server's keys and what may be done without them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    api_token: Option<Secret>,
    room_key: Option<Secret>,
    guests: Vec<RoomPattern>,
}

impl Auth {
    /// Without an API token everybody may use the API; without a room key everybody may do everything in every room.
    /// Whoever builds this makes sure that such a server listens on loopback only.
    pub fn new(
        api_token: Option<Secret>,
        room_key: Option<Secret>,
        guests: Vec<RoomPattern>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                api_token,
                room_key,
                guests,
            }),
        }
    }

    /// Whether the API wants a token.
    pub fn api_needs_token(&self) -> bool {
        self.inner.api_token.is_some()
    }

    /// Checks the API token of a request, in constant time.
    ///
    /// # Errors
    /// [`AuthError::Missing`] or [`AuthError::Invalid`].
    pub fn api(&self, bearer: Option<&str>) -> Result<(), AuthError> {
        let Some(expected) = &self.inner.api_token else {
            return Ok(());
        };
        let Some(found) = bearer else {
            return Err(AuthError::Missing);
        };
        if bool::from(expected.reveal().as_bytes().ct_eq(found.as_bytes())) {
            return Ok(());
        }
        Err(AuthError::Invalid("it is not this server's API token"))
    }

    /// What may be done in the room with this token. A wrong token is refused even where guests may enter.
    ///
    /// # Errors
    /// Any [`AuthError`].
    pub fn room(&self, room: &RoomName, token: Option<&str>) -> Result<Grants, AuthError> {
        let Some(key) = &self.inner.room_key else {
            return Ok(Grants::everything());
        };
        let Some(token) = token else {
            let open = self
                .inner
                .guests
                .iter()
                .any(|pattern| pattern.matches(room));
            return if open {
                Ok(Grants::guest())
            } else {
                Err(AuthError::Missing)
            };
        };
        let claims = decode(key, token)?;
        if claims.room != *room {
            return Err(AuthError::OtherRoom);
        }
        let grants = Grants {
            identity: claims.sub,
            expires: Some(UNIX_EPOCH + Duration::from_secs(claims.exp)),
            ..Grants::default()
        };
        Ok(claims.allow.into_iter().fold(grants, Grants::with))
    }

    /// Whether the bearer may remove others from the room: by the API token, or by a room token that allows `manage`.
    ///
    /// # Errors
    /// Why the token is not one of these.
    pub fn manage(&self, room: &RoomName, bearer: Option<&str>) -> Result<(), AuthError> {
        self.api(bearer).or_else(|refusal| {
            // Without a room key everybody has every grant in a room, but not the API token.
            let (Some(_), Some(token)) = (&self.inner.room_key, bearer) else {
                return Err(refusal);
            };
            let grants = self.room(room, Some(token))?;
            if grants.manage {
                Ok(())
            } else {
                Err(AuthError::Invalid("it does not allow manage"))
            }
        })
    }

    /// Makes a room token; `None` when the server has no room key and needs none.
    pub fn issue(
        &self,
        room: &RoomName,
        identity: Option<&str>,
        allow: &[Permission],
        expires: SystemTime,
    ) -> Option<String> {
        let key = self.inner.room_key.as_ref()?;
        Some(issue(key, room, identity, allow, expires))
    }
}

/// Makes a room token with this key.
pub fn issue(
    key: &Secret,
    room: &RoomName,
    identity: Option<&str>,
    allow: &[Permission],
    expires: SystemTime,
) -> String {
    let exp = expires
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let claims = Claims {
        room: room.clone(),
        sub: identity.map(str::to_owned),
        allow: allow.to_vec(),
        exp,
    };
    let key = EncodingKey::from_secret(key.reveal().as_bytes());
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes keys of any length, and the claims are plain JSON"
    )]
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .expect("HS256 signs any claims")
}

fn decode(key: &Secret, token: &str) -> Result<Claims, AuthError> {
    // RFC 8725 3.1: the algorithm is ours to choose, never the token's.
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["exp"]);
    let key = DecodingKey::from_secret(key.reveal().as_bytes());
    jsonwebtoken::decode::<Claims>(token, &key, &validation).map(|data| data.claims).map_err(|error| {
        match error.kind() {
            ErrorKind::ExpiredSignature => AuthError::Expired,
            ErrorKind::InvalidSignature => AuthError::Invalid("its signature was not made with this server's room key"),
            ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm => AuthError::Invalid("its algorithm must be HS256"),
            ErrorKind::ImmatureSignature => AuthError::Invalid("its time has not come yet (nbf)"),
            ErrorKind::Json(_) | ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => {
                AuthError::Invalid("its claims must be room, allow (of join, send, record, manage), exp and, if wanted, sub")
            }
            _ => AuthError::Invalid("it must be a JWT (RFC 7519), signed with HS256"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn auth() -> Auth {
        Auth::new(
            Some(Secret::new("an-api-token-for-tests")),
            Some(Secret::new(KEY)),
            vec!["lobby".parse().unwrap(), "meet-*".parse().unwrap()],
        )
    }

    fn room(name: &str) -> RoomName {
        name.parse().unwrap()
    }

    fn soon() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_token_gives_what_it_allows_and_nothing_else() {
        let token = auth()
            .issue(
                &room("a"),
                Some("ann"),
                &[Permission::Join, Permission::Record],
                soon(),
            )
            .unwrap();
        let grants = auth().room(&room("a"), Some(&token)).unwrap();
        assert_eq!(grants.identity.as_deref(), Some("ann"));
        assert!(grants.join && grants.record && !grants.send && !grants.manage);
        assert!(grants.expires.unwrap() > SystemTime::now());
    }

    #[test]
    fn a_token_opens_only_its_room() {
        let token = auth()
            .issue(&room("a"), None, &[Permission::Join], soon())
            .unwrap();
        assert_eq!(
            auth().room(&room("b"), Some(&token)),
            Err(AuthError::OtherRoom)
        );
    }

    #[test]
    fn expired_foreign_and_unsigned_tokens_are_refused() {
        let past = SystemTime::now() - Duration::from_secs(2);
        let expired = auth()
            .issue(&room("a"), None, &[Permission::Join], past)
            .unwrap();
        assert_eq!(
            auth().room(&room("a"), Some(&expired)),
            Err(AuthError::Expired)
        );

        let foreign = issue(
            &Secret::new(KEY.replace('0', "1")),
            &room("a"),
            None,
            &[Permission::Join],
            soon(),
        );
        assert!(matches!(
            auth().room(&room("a"), Some(&foreign)),
            Err(AuthError::Invalid(_))
        ));

        // {"alg":"none"}.{"room":"a","allow":["join"],"exp":99999999999}.
        let unsigned =
            "eyJhbGciOiJub25lIn0.eyJyb29tIjoiYSIsImFsbG93IjpbImpvaW4iXSwiZXhwIjo5OTk5OTk5OTk5OX0.";
        assert!(matches!(
            auth().room(&room("a"), Some(unsigned)),
            Err(AuthError::Invalid(_))
        ));
        for nonsense in ["", "a.b.c", "é"] {
            assert!(
                matches!(
                    auth().room(&room("a"), Some(nonsense)),
                    Err(AuthError::Invalid(_))
                ),
                "{nonsense:?}"
            );
        }
    }

    #[test]
    fn a_token_without_expiry_or_with_an_unknown_permission_is_refused() {
        let key = EncodingKey::from_secret(KEY.as_bytes());
        for claims in [
            serde_json::json!({"room": "a", "allow": ["join"]}),
            serde_json::json!({"room": "a", "allow": ["fly"], "exp": 99_999_999_999_u64}),
            serde_json::json!({"room": "../a", "allow": ["join"], "exp": 99_999_999_999_u64}),
        ] {
            let token =
                jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
            assert!(
                matches!(
                    auth().room(&room("a"), Some(&token)),
                    Err(AuthError::Invalid(_))
                ),
                "{claims}"
            );
        }
    }

    #[test]
    fn guests_enter_open_rooms_only_and_may_not_record() {
        for open in ["lobby", "meet-", "meet-7"] {
            let grants = auth().room(&room(open), None).unwrap();
            assert_eq!(grants, Grants::guest());
            assert!(!grants.record && !grants.manage);
        }
        for closed in ["lobby2", "meet", "secret"] {
            assert_eq!(auth().room(&room(closed), None), Err(AuthError::Missing));
        }
    }

    #[test]
    fn a_wrong_token_is_refused_even_in_an_open_room() {
        assert!(auth().room(&room("lobby"), Some("wrong")).is_err());
    }

    #[test]
    fn without_a_room_key_everybody_may_do_everything() {
        let auth = Auth::default();
        assert_eq!(auth.room(&room("a"), None), Ok(Grants::everything()));
        assert_eq!(
            auth.issue(&room("a"), None, &[Permission::Join], soon()),
            None
        );
        assert_eq!(auth.api(None), Ok(()));
    }

    #[test]
    fn the_api_token_is_needed_whole() {
        assert_eq!(auth().api(Some("an-api-token-for-tests")), Ok(()));
        assert_eq!(auth().api(None), Err(AuthError::Missing));
        for wrong in ["", "an-api-token-for-test", "an-api-token-for-tests2"] {
            assert!(auth().api(Some(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_room_is_managed_with_the_api_token_or_its_own_token_that_says_so() {
        let token = |name: &str, allow| auth().issue(&room(name), None, &[allow], soon()).unwrap();
        let may = |bearer: Option<&str>| auth().manage(&room("a"), bearer);
        assert_eq!(may(Some("an-api-token-for-tests")), Ok(()));
        assert_eq!(may(Some(&token("a", Permission::Manage))), Ok(()));
        assert_eq!(may(None), Err(AuthError::Missing));
        assert_eq!(
            may(Some(&token("b", Permission::Manage))),
            Err(AuthError::OtherRoom)
        );
        assert!(may(Some(&token("a", Permission::Join))).is_err());

        let no_room_key = Auth::new(
            Some(Secret::new("an-api-token-for-tests")),
            None,
            Vec::new(),
        );
        assert!(no_room_key.manage(&room("a"), Some("wrong")).is_err());
        assert_eq!(Auth::default().manage(&room("a"), None), Ok(()));
    }
}
