//! Text becomes a message of the protocol, or an error that says what is wrong without repeating secrets.

use serde_json::{Map, Value};

use super::protocol::{ClientMessage, ErrorCode, VERSION};
use super::room::Refusal;

/// Found names in errors are cut to this many characters.
const SHOWN: usize = 40;

/// Reads one message of a client.
pub fn client_message(text: &str) -> Result<ClientMessage, Refusal> {
    let invalid = |message: String| Refusal::new(ErrorCode::InvalidMessage, message);
    match serde_json::from_str::<ClientMessage>(text) {
        Ok(message) => check_bare(&message, text)
            .map_err(invalid)
            .map(|()| message),
        Err(error) => Err(other_protocol(text).unwrap_or_else(|| invalid(diagnose(text, &error)))),
    }
}

/// Serde lets unknown fields pass in messages that have none of their own.
fn check_bare(message: &ClientMessage, text: &str) -> Result<(), String> {
    let type_name = match message {
        ClientMessage::IceServers => "ice_servers",
        ClientMessage::Leave => "leave",
        ClientMessage::Join { .. }
        | ClientMessage::Offer { .. }
        | ClientMessage::Answer { .. }
        | ClientMessage::Candidate { .. }
        | ClientMessage::Renew { .. }
        | ClientMessage::Update { .. }
        | ClientMessage::Filter { .. }
        | ClientMessage::Ack { .. } => return Ok(()),
    };
    let fields: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    match fields.keys().find(|key| *key != "type") {
        Some(key) => Err(format!(
            "`{type_name}`: unknown field `{}`, there are none",
            cut(key)
        )),
        None => Ok(()),
    }
}

/// A `join` of another version may have other fields: say what is the matter, not which field is odd.
fn other_protocol(text: &str) -> Option<Refusal> {
    let fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    let version = fields.get("protocol")?.as_u64()?;
    let is_join = fields.get("type")? == "join";
    (is_join && version != u64::from(VERSION)).then(|| unsupported(version))
}

/// The refusal of a `join` with this version.
pub fn unsupported(version: u64) -> Refusal {
    let message =
        format!("`join`: field `protocol`: found {version}, this server speaks {VERSION}");
    Refusal::new(ErrorCode::UnsupportedProtocol, message)
}

fn diagnose(text: &str, error: &serde_json::Error) -> String {
    let value = match serde_json::from_str::<Value>(text) {
        Ok(value) => value,
        Err(error) => return format!("the message is not JSON: {error}"),
    };
    let Value::Object(fields) = value else {
        return format!(
            "found {}, a message is an object with a field `type`",
            kind_of(&value)
        );
    };
    let (Some(type_name), false) = (
        fields.get("type").and_then(Value::as_str),
        has_unknown_type(&fields),
    ) else {
        return match fields.get("type") {
            Some(Value::String(found)) => format!(
                "field `type`: unknown message type `{}`; {TYPES}",
                cut(found)
            ),
            Some(other) => format!("field `type`: found {}; {TYPES}", kind_of(other)),
            None => format!("field `type` is missing; {TYPES}"),
        };
    };
    let complaint = without_value(&error.to_string());
    match culprit(&fields, &error.to_string()) {
        Some(field) => format!("`{type_name}`: field `{}`: {complaint}", cut(&field)),
        None => format!("`{type_name}`: {complaint}"),
    }
}

const TYPES: &str =
    "use one of join, offer, answer, candidate, renew, update, filter, ice_servers, ack, leave";

fn has_unknown_type(fields: &Map<String, Value>) -> bool {
    let mut bare = Map::new();
    bare.extend(
        fields
            .get("type")
            .map(|name| ("type".to_owned(), name.clone())),
    );
    serde_json::from_value::<ClientMessage>(Value::Object(bare))
        .is_err_and(|error| error.to_string().starts_with("unknown variant"))
}

/// The field whose absence changes the complaint. Serde does not name the field of a wrong value in a tagged enum.
fn culprit(fields: &Map<String, Value>, complaint: &str) -> Option<String> {
    let complaint = without_place(complaint);
    if complaint.starts_with("missing field") || complaint.starts_with("unknown field") {
        return nested_culprit(fields, complaint);
    }
    fields
        .keys()
        .find(|key| complaint_without(fields, key).as_deref() != Some(complaint))
        .cloned()
}

/// A missing or unknown field inside `sends`: the complaint names the field, this names where it should be.
fn nested_culprit(fields: &Map<String, Value>, complaint: &str) -> Option<String> {
    let nested = |key: &&String| fields.get(*key).is_some_and(Value::is_object);
    fields
        .keys()
        .filter(nested)
        .find(|key| complaint_without(fields, key).as_deref() != Some(complaint))
        .cloned()
}

fn complaint_without(fields: &Map<String, Value>, key: &str) -> Option<String> {
    let mut rest = fields.clone();
    rest.remove(key);
    let error = serde_json::from_value::<ClientMessage>(Value::Object(rest)).err()?;
    Some(without_place(&error.to_string()).to_owned())
}

/// Serde's complaint without the value that it found, which may be a token or a session description.
pub fn without_value(complaint: &str) -> String {
    let complaint = without_place(complaint);
    if !complaint.starts_with("invalid ") {
        return cut_quoted(complaint);
    }
    match complaint.rsplit_once(", expected ") {
        Some((_, expected)) => format!("wrong value, expected {expected}"),
        None => "wrong value".to_owned(),
    }
}

/// ` at line 1 column 20` says nothing that the field's name does not say better.
fn without_place(complaint: &str) -> &str {
    complaint
        .rsplit_once(" at line ")
        .map_or(complaint, |(complaint, _)| complaint)
}

/// Names of the client's own invention stand in back quotes; long ones are cut.
fn cut_quoted(complaint: &str) -> String {
    let parts = complaint.split('`').enumerate();
    let cut_names = |(place, part): (usize, &str)| {
        if place % 2 == 1 {
            cut(part)
        } else {
            part.to_owned()
        }
    };
    parts.map(cut_names).collect::<Vec<_>>().join("`")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let refusal = client_message(text).unwrap_err();
        assert_eq!(
            refusal.code,
            ErrorCode::InvalidMessage,
            "{}",
            refusal.message
        );
        refusal.message
    }

    #[test]
    fn errors_name_the_field_and_what_would_be_right() {
        for (text, expected) in [
            (
                "{",
                "the message is not JSON: EOF while parsing an object at line 1 column 1",
            ),
            (
                "[1]",
                "found an array, a message is an object with a field `type`",
            ),
            (
                r#"{"to":"a"}"#,
                "field `type` is missing; use one of join, offer",
            ),
            (
                r#"{"type":7}"#,
                "field `type`: found a number; use one of join, offer",
            ),
            (
                r#"{"type":"jion"}"#,
                "field `type`: unknown message type `jion`; use one of join, offer",
            ),
            (
                r#"{"type":"renew","to":"a"}"#,
                "`renew`: missing field `generation`",
            ),
            (
                r#"{"type":"renew","to":"a","generation":"x"}"#,
                "`renew`: field `generation`: wrong value, expected u32",
            ),
            (
                r#"{"type":"renew","to":"a","generation":1,"sdp":""}"#,
                "`renew`: unknown field `sdp`, expected `to` or `generation`",
            ),
            (
                r#"{"type":"renew","to":"a b","generation":1}"#,
                "`renew`: field `to`: participant id \"a b\" is not valid: use 1 to 32 of",
            ),
            (
                r#"{"type":"update","sends":{"audio":true}}"#,
                "`update`: field `sends`: missing field `video`",
            ),
            (
                r#"{"type":"update","sends":{"audio":true,"video":true,"smell":true}}"#,
                "`update`: field `sends`: unknown field `smell`, expected `audio` or `video`",
            ),
            (
                r#"{"type":"join","protocol":1,"room":"a","kind":"cat"}"#,
                "`join`: field `kind`: unknown variant `cat`, expected one of `person`, `kiosk`",
            ),
            (
                r#"{"type":"leave","now":true}"#,
                "`leave`: unknown field `now`, there are none",
            ),
        ] {
            let found = refusal(text);
            assert!(
                found.starts_with(expected),
                "{text}\n found: {found}\n expected: {expected}"
            );
        }
    }

    #[test]
    fn errors_do_not_repeat_values() {
        let secret = "eyJhbGciOiJIUzI1NiJ9.secret, expected nothing";
        for field in ["protocol", "sends", "recording"] {
            let mut join = serde_json::json!({ "type": "join", "protocol": 1, "room": "lobby", "kind": "person" });
            join[field] = secret.into();
            let found = refusal(&join.to_string());
            assert!(!found.contains("secret"), "{found}");
            assert!(found.contains(field), "{found}");
        }
        let long = refusal(&format!(r#"{{"type":"{}"}}"#, "x".repeat(10_000)));
        assert!(long.len() < 300, "{long}");
        let long = refusal(&format!(
            r#"{{"type":"update","{}":1}}"#,
            "x".repeat(10_000)
        ));
        assert!(long.len() < 300, "{long}");
    }

    #[test]
    fn another_version_is_told_so_even_with_other_fields() {
        let refusal = client_message(r#"{"type":"join","protocol":2,"rooms":["a"]}"#).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::UnsupportedProtocol);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        assert!(refusal(&deep).starts_with("the message is not JSON: recursion limit exceeded"));
    }
}
