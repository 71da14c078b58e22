//! `docs/protocol.md` says what the code does: its examples are messages, and its tables have every name.

use std::collections::BTreeSet;

use serde_json::Value;

use super::limits::{Limits, NAME_CHARACTERS};
use super::parse;
use super::protocol::{ClientMessage, ErrorCode, ServerMessage};

const PAGE: &str = include_str!("../../docs/protocol.md");

const CLIENT_TYPES: [&str; 10] = [
    "join",
    "offer",
    "answer",
    "candidate",
    "renew",
    "update",
    "filter",
    "ice_servers",
    "ack",
    "leave",
];
const SERVER_TYPES: [&str; 12] = [
    "welcome",
    "resumed",
    "ack",
    "joined",
    "updated",
    "left",
    "offer",
    "answer",
    "candidate",
    "renew",
    "ice_servers",
    "error",
];

/// The code blocks that begin with this mark.
fn examples(mark: &str) -> Vec<&'static str> {
    let start = format!("```json {mark}\n");
    let blocks = PAGE.split(start.as_str()).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// The rows of the table under this heading, as cells without back quotes.
fn table(heading: &str) -> Vec<Vec<String>> {
    let section = PAGE.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    rows.map(|row| row.trim_matches('|').split('|').map(cell).collect())
        .collect()
}

fn type_of(example: &str) -> String {
    let value: Value = serde_json::from_str(example).unwrap();
    value["type"].as_str().unwrap().to_owned()
}

#[test]
fn the_examples_of_clients_are_messages_and_all_messages_have_one() {
    for example in examples("client") {
        parse::client_message(example).unwrap_or_else(|refusal| panic!("{example}\n{refusal}"));
    }
    let shown: BTreeSet<_> = examples("client").into_iter().map(type_of).collect();
    assert_eq!(shown, CLIENT_TYPES.map(str::to_owned).into());
}

#[test]
fn the_examples_of_the_server_are_what_it_writes_and_all_messages_have_one() {
    for example in examples("server") {
        let message: ServerMessage =
            serde_json::from_str(example).unwrap_or_else(|error| panic!("{example}\n{error}"));
        let shown: Value = serde_json::from_str(example).unwrap();
        assert_eq!(serde_json::to_value(&message).unwrap(), shown);
        assert_eq!(message.type_name(), type_of(example));
    }
    let shown: BTreeSet<_> = examples("server").into_iter().map(type_of).collect();
    assert_eq!(shown, SERVER_TYPES.map(str::to_owned).into());
}

#[test]
fn no_message_type_is_missing_from_these_lists() {
    let types = |error: serde_json::Error| {
        let text = error.to_string();
        let (_, expected) = text.split_once("expected one of ").unwrap();
        let names = expected.split(" at line").next().unwrap().split(", ");
        names
            .map(|name| name.trim_matches('`').to_owned())
            .collect::<BTreeSet<_>>()
    };
    let unknown = r#"{"type":"?"}"#;
    assert_eq!(
        types(serde_json::from_str::<ClientMessage>(unknown).unwrap_err()),
        CLIENT_TYPES.map(str::to_owned).into()
    );
    assert_eq!(
        types(serde_json::from_str::<ServerMessage>(unknown).unwrap_err()),
        SERVER_TYPES.map(str::to_owned).into()
    );
}

#[test]
fn the_table_of_errors_has_every_code_in_its_order() {
    let shown: Vec<_> = table("Errors")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(shown, ErrorCode::ALL.map(|code| code.name().to_owned()));
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.name());
    }
}

#[test]
fn the_table_of_errors_has_the_close_codes() {
    for (row, code) in table("Errors").into_iter().zip(ErrorCode::ALL) {
        let close_code = super::socket::close_code_of(code).to_string();
        match row[1].as_str() {
            "no" => assert_eq!(row[2], ""),
            _ => assert_eq!(row[2], close_code, "{code:?}"),
        }
    }
}

#[test]
fn the_table_of_reasons_has_every_reason() {
    let shown: BTreeSet<_> = table("Leaving")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let error = serde_json::from_str::<super::protocol::LeaveReason>("\"?\"")
        .unwrap_err()
        .to_string();
    for reason in &shown {
        assert!(error.contains(&format!("`{reason}`")), "{reason}");
    }
    assert_eq!(error.matches('`').count() / 2 - 1, shown.len(), "{error}");
}

#[test]
fn the_table_of_limits_has_the_defaults() {
    let limits = Limits::default();
    let milliseconds = |duration: std::time::Duration| duration.as_millis().to_string();
    let expected = [
        limits.message_bytes.to_string(),
        milliseconds(limits.join_timeout),
        milliseconds(limits.idle_timeout),
        limits.message_burst.to_string(),
        limits.messages_per_second.to_string(),
        limits.queue_messages.to_string(),
        limits.queue_bytes.to_string(),
        milliseconds(limits.resume_within),
        limits.participants_per_room.to_string(),
        limits.rooms.to_string(),
        limits.connections.to_string(),
        limits.connections_not_joined.to_string(),
    ];
    let shown: Vec<_> = table("Limits")
        .into_iter()
        .map(|row| row[1].clone())
        .collect();
    assert_eq!(shown, expected);
    assert!(PAGE.contains(&format!("at most {NAME_CHARACTERS} characters")));
    assert!(PAGE.contains(&format!(
        "pings every {} seconds",
        limits.ping_interval.as_secs()
    )));
}
