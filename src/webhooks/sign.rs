//! Signatures of Standard Webhooks: HMAC-SHA256 over id, time and body, in base64.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a key's text begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a key, by the specification.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A symmetric key; it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// What would be right; never the text itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |found: &str| {
            format!(
                "found {found}, expected {PREFIX} and 24 to 64 bytes in base64; make one with \
                 `(umask 077; echo \"{PREFIX}$(openssl rand -base64 32)\" > FILE)`"
            )
        };
        let digits = text
            .strip_prefix(PREFIX)
            .ok_or_else(|| wrong("a text without it"))?;
        let key = STANDARD
            .decode(digits)
            .map_err(|_| wrong("something that is no base64"))?;
        if !LENGTHS.contains(&key.len()) {
            return Err(wrong(&format!("{} bytes", key.len())));
        }
        Ok(Self(key))
    }

    /// The header `webhook-signature` for a message; `timestamp` in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        // HMAC takes keys of every length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_specifications_example() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn keys_that_are_none_are_refused_and_not_shown() {
        for text in ["secret", "whsec_???", "whsec_c2hvcnQ="] {
            let refused = Key::parse(text).unwrap_err();
            assert!(!refused.contains(text), "{refused}");
        }
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{key:?}"), "Key");
    }
}
