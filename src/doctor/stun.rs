//! STUN messages (RFC 8489) and those of TURN (RFC 8656) that an allocation needs. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;

const COOKIE: u32 = 0x2112_a442;
const HEADER: usize = 20;
const FINGERPRINTLESS_HMAC: u16 = 24;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Method {
    /// Where do I seem to be?
    Binding = 0x0001,
    /// Give me a relayed address.
    Allocate = 0x0003,
    /// Here: I do not need it any more.
    Refresh = 0x0004,
}

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const LIFETIME: u16 = 0x000d;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const REQUESTED_TRANSPORT: u16 = 0x0019;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// A long-term credential with what the server said of it.
#[derive(Clone)]
pub struct Login<'a> {
    pub username: &'a str,
    pub password: &'a str,
    pub realm: String,
    pub nonce: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub is_success: bool,
    /// Error code and reason.
    pub error: Option<(u16, String)>,
    pub mapped: Option<SocketAddr>,
    pub relayed: Option<SocketAddr>,
    pub realm: Option<String>,
    pub nonce: Option<Vec<u8>>,
}

/// The bytes of a request.
pub fn request(method: Method, id: [u8; 12], login: Option<&Login<'_>>) -> Vec<u8> {
    let mut message = Vec::with_capacity(200);
    message.extend((method as u16).to_be_bytes());
    message.extend([0, 0]);
    message.extend(COOKIE.to_be_bytes());
    message.extend(id);
    match method {
        Method::Binding => {}
        // UDP, as RTP needs it.
        Method::Allocate => add(&mut message, REQUESTED_TRANSPORT, &[17, 0, 0, 0]),
        Method::Refresh => add(&mut message, LIFETIME, &[0, 0, 0, 0]),
    }
    if let Some(login) = login {
        add(&mut message, USERNAME, login.username.as_bytes());
        add(&mut message, REALM, login.realm.as_bytes());
        add(&mut message, NONCE, &login.nonce);
        sign(&mut message, login);
    }
    let length = message.len();
    set_length(&mut message, length - HEADER);
    message
}

/// RFC 8489 14.5: over the message as if it ended behind this attribute; the key is MD5(user:realm:password).
fn sign(message: &mut Vec<u8>, login: &Login<'_>) {
    let length = message.len();
    set_length(message, length - HEADER + usize::from(FINGERPRINTLESS_HMAC));
    let secret = format!("{}:{}:{}", login.username, login.realm, login.password);
    let key = Md5::digest(secret.as_bytes());
    #[expect(clippy::expect_used, reason = "RFC 2104 2: keys of any length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(message);
    let mac = mac.finalize().into_bytes();
    add(message, MESSAGE_INTEGRITY, &mac);
}

fn set_length(message: &mut [u8], length: usize) {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

fn add(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    message.extend(value);
    while !message.len().is_multiple_of(4) {
        message.push(0);
    }
}

/// How many bytes follow the header of a message, for streams.
pub fn length_behind(header: &[u8; HEADER]) -> usize {
    usize::from(u16::from_be_bytes([header[2], header[3]]))
}

/// The answer to a request of this id; none if it is something else.
pub fn answer(message: &[u8], id: [u8; 12]) -> Option<Answer> {
    let header = message.get(..HEADER)?;
    if header.get(4..8)? != COOKIE.to_be_bytes() || header.get(8..)? != id {
        return None;
    }
    let class = u16::from_be_bytes([header[0], header[1]]) & 0x0110;
    let mut answer = Answer {
        is_success: match class {
            0x0100 => true,
            0x0110 => false,
            _ => return None,
        },
        ..Answer::default()
    };
    let mut rest = message.get(HEADER..)?;
    while let [k1, k2, l1, l2, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l1, *l2]));
        let value = behind.get(..length)?;
        match u16::from_be_bytes([*k1, *k2]) {
            XOR_MAPPED_ADDRESS => answer.mapped = address(value, id),
            XOR_RELAYED_ADDRESS => answer.relayed = address(value, id),
            REALM => answer.realm = Some(String::from_utf8_lossy(value).into_owned()),
            NONCE => answer.nonce = Some(value.to_vec()),
            ERROR_CODE => {
                let [_, _, hundreds, rest, reason @ ..] = value else {
                    return None;
                };
                let code = u16::from(hundreds & 7) * 100 + u16::from(*rest);
                answer.error = Some((code, String::from_utf8_lossy(reason).into_owned()));
            }
            _ => {}
        }
        rest = behind.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(answer)
}

/// RFC 8489 14.2: port and address, XORed with the cookie and the id.
fn address(value: &[u8], id: [u8; 12]) -> Option<SocketAddr> {
    let cookie = COOKIE.to_be_bytes();
    let [_, family, p1, p2, address @ ..] = value else {
        return None;
    };
    let port = u16::from_be_bytes([p1 ^ cookie[0], p2 ^ cookie[1]]);
    let mask = cookie.iter().chain(&id);
    let plain: Vec<u8> = address
        .iter()
        .zip(mask)
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    let ip = match family {
        1 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(plain).ok()?)),
        2 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(plain).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 2.4: a request with long-term authentication. Ours orders the attributes alike.
    #[test]
    fn a_request_is_signed_as_the_rfcs_test_vector_is() {
        let id = *b"\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e";
        let username = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
        let mut message = vec![0x00, 0x01, 0x00, 0x60];
        message.extend(COOKIE.to_be_bytes());
        message.extend(id);
        add(&mut message, USERNAME, username.as_bytes());
        add(&mut message, NONCE, b"f//499k954d6OL34oL9FSTvy64sA");
        add(&mut message, REALM, b"example.org");
        let login = Login {
            username,
            password: "TheMatrIX",
            realm: "example.org".to_owned(),
            nonce: vec![],
        };
        sign(&mut message, &login);
        let expected = [
            0xf6, 0x70, 0x24, 0x65, 0x6d, 0xd6, 0x4a, 0x3e, 0x02, 0xb8, 0xe0, 0x71, 0x2e, 0x85,
            0xc9, 0xa2, 0x8c, 0xa8, 0x96, 0x66,
        ];
        assert_eq!(message[message.len() - 20..], expected);
    }

    /// RFC 5769 2.2: an answer over IPv4.
    #[test]
    fn an_answer_is_read_as_the_rfcs_test_vector_is() {
        let id = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
        let mut message = b"\x01\x01\x00\x0c\x21\x12\xa4\x42".to_vec();
        message.extend(id);
        message.extend(b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43");
        let found = answer(&message, id).unwrap();
        assert!(found.is_success);
        assert_eq!(found.mapped, Some("192.0.2.1:32853".parse().unwrap()));
        assert_eq!(answer(&message, [0; 12]), None, "of another request");
        assert_eq!(answer(&message[..25], id), None, "cut");
    }
}
