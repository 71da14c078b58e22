//! What stands in single arguments: durations, parameters, the URL of a room.

use std::time::Duration;

use url::Url;

use crate::job::Value;
use crate::pipeline::allowed::is_factory_name;
use crate::signalling::client::PATH;
use crate::signalling::ids::RoomName;

/// `30s`, `15m`, `1h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write 30s, 15m, 1h or 7d");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let longest = Duration::from_secs(10 * 365 * 86_400);
    let duration = Duration::from_secs(u64::from(number) * seconds);
    if duration.is_zero() || duration > longest {
        return Err(format!("{text:?} is not between 1s and 3650d"));
    }
    Ok(duration)
}

/// `key=value`: the value is `true`, `false`, a number, or text; quotes make it text.
pub fn parameter(text: &str) -> Result<(String, Value), String> {
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err(format!("{text:?} is not a parameter: write key=value"));
    };
    Ok((key.to_owned(), value_of(value)))
}

/// The name of an element's factory.
pub fn element(text: &str) -> Result<String, String> {
    if is_factory_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no element: write one name, such as glupload"
    ))
}

fn value_of(text: &str) -> Value {
    if let Some(quoted) = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    {
        return Value::String(quoted.to_owned());
    }
    if let Ok(boolean) = text.parse() {
        return Value::Boolean(boolean);
    }
    if let Ok(integer) = text.parse() {
        return Value::Integer(integer);
    }
    // `nan` and `inf` are words here.
    let looks_like_a_number = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    match text.parse() {
        Ok(float) if looks_like_a_number => Value::Float(float),
        Ok(_) | Err(_) => Value::String(text.to_owned()),
    }
}

/// A room as a person opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomUrl {
    /// `ws://` or `wss://` of the signalling.
    pub signalling: String,
    /// The room.
    pub room: RoomName,
    /// The token that came with the link, as `#token=` or `?token=`.
    pub token: Option<String>,
}

/// The address of something on the web.
pub fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok();
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let wrong = || format!("{text:?} is no address of the web: write https://HOST/PATH");
    url.filter(is_web).ok_or_else(wrong)
}

/// `http://HOST/r/ROOM`, as the browser's address line shows it.
pub fn room_url(text: &str) -> Result<RoomUrl, String> {
    let wrong = |why: &str| {
        format!("{why}: write the room's address as a browser opens it, http://HOST/r/ROOM")
    };
    let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    let scheme = match url.scheme() {
        "http" => "ws",
        "https" => "wss",
        _ => return Err(wrong("it begins neither with http:// nor with https://")),
    };
    let path = url.path().trim_end_matches('/').to_owned();
    let Some((prefix, room)) = path.rsplit_once("/r/") else {
        return Err(wrong("it names no room"));
    };
    let room = room
        .parse::<RoomName>()
        .map_err(|error| wrong(&error.to_string()))?;
    let token = url
        .fragment()
        .and_then(token_of)
        .or_else(|| url.query().and_then(token_of));

    let path = format!("{prefix}{PATH}");
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    url.set_scheme(scheme)
        .map_err(|()| wrong("its scheme does not serve"))?;
    Ok(RoomUrl {
        signalling: url.into(),
        room,
        token,
    })
}

fn token_of(pairs: &str) -> Option<String> {
    url::form_urlencoded::parse(pairs.as_bytes())
        .find(|(key, _)| key == "token")
        .map(|(_, token)| token.into_owned())
}

/// A picture's size: `1280x720`, both even.
pub fn size(text: &str) -> Result<(u32, u32), String> {
    let number = |text: &str| text.parse::<u32>().ok();
    let is_right = |n: &u32| (64..=7680).contains(n) && n.is_multiple_of(2);
    let size = text.split_once('x').and_then(|(width, height)| {
        Some((
            number(width).filter(is_right)?,
            number(height).filter(is_right)?,
        ))
    });
    size.ok_or_else(|| {
        "expected WIDTHxHEIGHT with even numbers from 64 to 7680, such as 1280x720".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for wrong in ["", "s", "1", "1w", "-1s", "1.5h", "0s", "99999d", "1é"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn parameters_take_the_type_they_look_like() {
        let cases = [
            ("a=true", Value::Boolean(true)),
            ("a=-3", Value::Integer(-3)),
            ("a=0.5", Value::Float(0.5)),
            ("a=/dev/video0", Value::String("/dev/video0".to_owned())),
            ("a=x=y", Value::String("x=y".to_owned())),
            ("a=", Value::String(String::new())),
            ("a=nan", Value::String("nan".to_owned())),
            ("a=\"5\"", Value::String("5".to_owned())),
        ];
        for (text, value) in cases {
            assert_eq!(parameter(text), Ok(("a".to_owned(), value)), "{text}");
        }
        assert!(parameter("a").is_err() && parameter("=1").is_err());
    }

    #[test]
    fn a_rooms_address_leads_to_its_signalling() {
        let url = room_url("http://localhost:8080/r/lobby").unwrap();
        assert_eq!(url.signalling, "ws://localhost:8080/api/v1/signalling");
        assert_eq!((url.room.as_str(), url.token), ("lobby", None));

        let url = room_url("https://a.example/calls/r/meet-1/?codec=vp8#token=a.b-c_d").unwrap();
        assert_eq!(url.signalling, "wss://a.example/calls/api/v1/signalling");
        assert_eq!(
            (url.room.as_str(), url.token.as_deref()),
            ("meet-1", Some("a.b-c_d"))
        );

        for wrong in [
            "localhost/r/a",
            "ftp://a/r/b",
            "http://a/",
            "http://a/r/",
            "http://a/r/b/c",
            "http://a/r/b%20c",
        ] {
            assert!(room_url(wrong).is_err(), "{wrong}");
        }
    }
}
