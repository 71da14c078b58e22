//! What a participant may do and be called, and the refusals in words. Pure.

use super::Refusal;
use crate::auth::Grants;
use crate::signalling::ids::RoomName;
use crate::signalling::limits::{Limits, NAME_CHARACTERS};
use crate::signalling::protocol::{ErrorCode, Kind, Sends, ServerMessage};
use crate::signalling::sdp;

pub(super) fn check_grants(
    grants: &Grants,
    kind: Kind,
    sends: Sends,
    recording: bool,
) -> Result<(), Refusal> {
    if !grants.send && (sends.audio || sends.video) {
        let message =
            "field `sends`: the token does not allow to send; `audio` and `video` must be false";
        return Err(Refusal::new(ErrorCode::Forbidden, message));
    }
    if kind == Kind::Viewer && (sends.audio || sends.video || recording) {
        let message = "field `kind`: a viewer only watches; `sends` and `recording` must be false";
        return Err(Refusal::new(ErrorCode::InvalidMessage, message));
    }
    if kind == Kind::Filter && !grants.filter {
        let message = "field `kind`: the token does not allow to filter";
        return Err(Refusal::new(ErrorCode::Forbidden, message));
    }
    if grants.record {
        return Ok(());
    }
    let field = match kind {
        Kind::Recorder => "`kind`",
        Kind::Person | Kind::Kiosk | Kind::Filter | Kind::Viewer | Kind::Relay if recording => {
            "`recording`"
        }
        Kind::Person | Kind::Kiosk | Kind::Filter | Kind::Viewer | Kind::Relay => return Ok(()),
    };
    Err(Refusal::new(
        ErrorCode::Forbidden,
        format!("field {field}: the token does not allow to record"),
    ))
}

/// Whether anybody may record here.
pub(super) fn check_recording(limits: &Limits, room: &RoomName) -> Result<(), Refusal> {
    if !limits.forbid_recording(room) {
        return Ok(());
    }
    let message =
        format!("nobody may record in the room {room}: the server's configuration forbids it");
    Err(Refusal::new(ErrorCode::RecordingForbidden, message))
}

/// Whether somebody may have the server run a filter for it.
pub(super) fn check_filter(limits: &Limits, grants: &Grants) -> Result<(), Refusal> {
    if !limits.filters {
        let message =
            "`filter`: this server runs none for those who ask: [rooms] filters allows it";
        return Err(Refusal::new(ErrorCode::FiltersForbidden, message));
    }
    if !grants.send {
        let message = "`filter`: the token does not allow to send; there is nothing to filter";
        return Err(Refusal::new(ErrorCode::Forbidden, message));
    }
    Ok(())
}

pub(super) fn check_description(
    grants: &Grants,
    type_name: &str,
    parcel: &ServerMessage,
) -> Result<(), Refusal> {
    let (ServerMessage::Offer { sdp, .. } | ServerMessage::Answer { sdp, .. }) = parcel else {
        return Ok(());
    };
    if grants.send || !sdp::sends_media(sdp) {
        return Ok(());
    }
    let message = format!(
        "`{type_name}`: field `sdp`: the token does not allow to send; every m-section of audio and video must be \
         `recvonly` or `inactive`"
    );
    Err(Refusal::new(ErrorCode::Forbidden, message))
}

/// A name that can be shown: an empty one is none, and it must not reorder or break the text around it.
pub(super) fn checked_name(name: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let length = name.chars().count();
    if length > NAME_CHARACTERS {
        let message = format!(
            "field `name`: found {length} characters, at most {NAME_CHARACTERS} are allowed"
        );
        return Err(Refusal::new(ErrorCode::InvalidMessage, message));
    }
    // Line and paragraph separators, and the controls of bidirectional text (Unicode UAX 9).
    let breaks_text = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if let Some(found) = name.chars().find(|c| breaks_text(*c)) {
        let message = format!(
            "field `name`: found the control character {}, use letters only",
            found.escape_unicode()
        );
        return Err(Refusal::new(ErrorCode::InvalidMessage, message));
    }
    Ok(Some(name))
}

pub(super) fn already_joined() -> Refusal {
    Refusal::new(
        ErrorCode::AlreadyJoined,
        "`join`: you are in a room; another room needs another connection",
    )
}

/// The same words for those who never were, who left and who are elsewhere: nobody learns about other rooms.
pub(super) fn unknown_participant(type_name: &str, field: &str) -> Refusal {
    let message = format!("`{type_name}`: field `{field}`: nobody else in this room has this id");
    Refusal::new(ErrorCode::UnknownParticipant, message)
}
