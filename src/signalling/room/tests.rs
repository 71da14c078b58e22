//! What each message to the room machine leads to.

use super::*;
use crate::signalling::ids::Generation;

pub(super) fn id(text: &str) -> ParticipantId {
    text.parse().unwrap()
}

pub(super) fn wish(room: &str) -> Join {
    Join {
        room: room.parse().unwrap(),
        kind: Kind::Person,
        name: None,
        sends: Sends::default(),
        recording: false,
        recordable: true,
        enhances: None,
        grants: Grants::everything(),
    }
}

pub(super) fn rooms() -> Rooms {
    Rooms::new(&Limits::default(), Place(1))
}

/// Rooms in which these came in this order.
fn rooms_with(members: &[(&str, &str)]) -> Rooms {
    let mut rooms = rooms();
    for (member, room) in members {
        rooms.join(id(member), wish(room)).unwrap();
    }
    rooms
}

pub(super) fn offer(to: &str, sdp: &str) -> ClientMessage {
    ClientMessage::Offer {
        to: id(to),
        generation: Generation(1),
        sdp: sdp.to_owned(),
    }
}

/// The code of the error that is the only consequence.
fn error_code(actions: &[Action], sender: &str) -> ErrorCode {
    match actions {
        [
            Action::Send {
                to,
                message:
                    ServerMessage::Error {
                        code, fatal: false, ..
                    },
            },
        ] if *to == [id(sender)] => *code,
        other => panic!("expected one error to {sender}, found {other:?}"),
    }
}

#[test]
fn a_newcomer_is_welcomed_with_those_present_and_they_learn_of_it() {
    let mut rooms = rooms_with(&[("a", "lobby"), ("b", "lobby"), ("c", "elsewhere")]);
    let actions = rooms.join(id("d"), wish("lobby")).unwrap();
    let [
        Action::Welcome { you, participants },
        Action::Send { to, message },
    ] = actions.as_slice()
    else {
        panic!("{actions:?}");
    };
    assert_eq!(you.id, id("d"));
    let present: Vec<_> = participants
        .iter()
        .map(|participant| participant.id.clone())
        .collect();
    assert_eq!(present, [id("a"), id("b")]);
    assert_eq!(*to, [id("a"), id("b")]);
    assert_eq!(
        *message,
        ServerMessage::Joined {
            participant: you.clone(),
            earlier: false,
        }
    );
}

#[test]
fn an_offer_goes_from_the_later_to_the_earlier_and_the_answer_back() {
    let mut rooms = rooms_with(&[("early", "lobby"), ("late", "lobby")]);
    let actions = rooms.handle(&id("late"), offer("early", "v=0"));
    let message = ServerMessage::Offer {
        from: id("late"),
        generation: Generation(1),
        sdp: "v=0".to_owned(),
    };
    assert_eq!(
        actions,
        [Action::Send {
            to: vec![id("early")],
            message
        }]
    );

    let answer = |to: &str| ClientMessage::Answer {
        to: id(to),
        generation: Generation(1),
        sdp: String::new(),
    };
    let actions = rooms.handle(&id("early"), answer("late"));
    assert!(matches!(&actions[..], [Action::Send { to, .. }] if *to == [id("late")]));

    for (from, message) in [
        ("early", offer("late", "v=0")),
        ("late", answer("early")),
        (
            "late",
            ClientMessage::Renew {
                to: id("early"),
                generation: Generation(1),
            },
        ),
    ] {
        assert_eq!(
            error_code(&rooms.handle(&id(from), message), from),
            ErrorCode::InvalidMessage
        );
    }
}

#[test]
fn generation_zero_is_refused() {
    let mut rooms = rooms_with(&[("a", "lobby"), ("b", "lobby")]);
    let renew = ClientMessage::Renew {
        to: id("b"),
        generation: Generation(0),
    };
    assert_eq!(
        error_code(&rooms.handle(&id("a"), renew), "a"),
        ErrorCode::InvalidMessage
    );
}

#[test]
fn those_elsewhere_those_who_left_and_oneself_are_all_unknown_in_the_same_words() {
    let mut rooms = rooms_with(&[("a", "lobby"), ("b", "lobby"), ("c", "elsewhere")]);
    rooms.leave(&id("b"), LeaveReason::Lost);
    let answers: Vec<_> = ["b", "c", "never", "a"]
        .map(|to| rooms.handle(&id("a"), offer(to, "v=0")))
        .into_iter()
        .collect();
    assert_eq!(error_code(&answers[0], "a"), ErrorCode::UnknownParticipant);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
}

#[test]
fn without_the_permission_to_send_only_receiving_descriptions_pass() {
    let mut rooms = rooms_with(&[("kiosk", "lobby")]);
    let grants = Grants {
        send: false,
        ..Grants::everything()
    };
    let sends = Sends {
        audio: true,
        video: false,
    };
    let refusal = rooms
        .join(
            id("viewer"),
            Join {
                grants: grants.clone(),
                sends,
                ..wish("lobby")
            },
        )
        .unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Forbidden);
    rooms
        .join(
            id("viewer"),
            Join {
                grants,
                ..wish("lobby")
            },
        )
        .unwrap();

    let sending = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=sendrecv\r\n";
    let silent = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=recvonly\r\n";
    let viewer = id("viewer");
    assert_eq!(
        error_code(&rooms.handle(&viewer, offer("kiosk", sending)), "viewer"),
        ErrorCode::Forbidden
    );
    let actions = rooms.handle(&viewer, offer("kiosk", silent));
    assert!(
        matches!(&actions[..], [Action::Send { to, .. }] if *to == [id("kiosk")]),
        "{actions:?}"
    );

    let update = ClientMessage::Update {
        sends: Some(sends),
        name: None,
        recording: None,
        recordable: None,
    };
    assert_eq!(
        error_code(&rooms.handle(&viewer, update), "viewer"),
        ErrorCode::Forbidden
    );
}

#[test]
fn only_those_who_may_record_are_recorders() {
    let mut rooms = rooms();
    let grants = Grants {
        record: false,
        ..Grants::everything()
    };
    for (kind, recording) in [(Kind::Recorder, false), (Kind::Person, true)] {
        let join = Join {
            kind,
            recording,
            grants: grants.clone(),
            ..wish("lobby")
        };
        assert_eq!(
            rooms.join(id("a"), join).unwrap_err().code,
            ErrorCode::Forbidden
        );
    }
    assert!(rooms.is_empty());

    rooms
        .join(
            id("a"),
            Join {
                grants,
                ..wish("lobby")
            },
        )
        .unwrap();
    rooms.join(id("b"), wish("lobby")).unwrap();
    let record = ClientMessage::Update {
        sends: None,
        name: None,
        recording: Some(true),
        recordable: None,
    };
    assert_eq!(
        error_code(&rooms.handle(&id("a"), record.clone()), "a"),
        ErrorCode::Forbidden
    );
    let actions = rooms.handle(&id("b"), record);
    let [
        Action::Send {
            to,
            message: ServerMessage::Updated { participant },
        },
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(*to, [id("a")]);
    assert!(participant.recording);
}

fn recordable(flag: bool) -> ClientMessage {
    ClientMessage::Update {
        sends: None,
        name: None,
        recording: None,
        recordable: Some(flag),
    }
}

#[test]
fn who_does_not_want_to_be_recorded_is_shown_so_from_the_start_and_after_a_change() {
    let mut rooms = rooms();
    let join = Join {
        recordable: false,
        ..wish("lobby")
    };
    rooms.join(id("a"), join).unwrap();
    let actions = rooms.join(id("b"), wish("lobby")).unwrap();
    let Action::Welcome { you, participants } = &actions[0] else {
        panic!("{actions:?}");
    };
    assert!(you.recordable && !participants[0].recordable);

    let actions = rooms.handle(&id("a"), recordable(true));
    let [
        Action::Send {
            to,
            message: ServerMessage::Updated { participant },
        },
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(*to, [id("b")]);
    assert!(participant.recordable);
    assert_eq!(rooms.handle(&id("a"), recordable(true)), []);
}

#[test]
fn nobody_records_where_the_configuration_forbids_it() {
    let limits = Limits {
        not_recorded: vec!["clinic-*".parse().unwrap()],
        ..Limits::default()
    };
    let mut rooms = Rooms::new(&limits, Place(1));
    for (kind, recording) in [(Kind::Recorder, false), (Kind::Person, true)] {
        let join = |room| Join {
            kind,
            recording,
            ..wish(room)
        };
        let refusal = rooms.join(id("a"), join("clinic-1")).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::RecordingForbidden);
        assert!(refusal.message.contains("clinic-1"), "{refusal}");
        rooms.join(id("a"), join("lobby")).unwrap();
        rooms.leave(&id("a"), LeaveReason::Left);
    }
    rooms.join(id("b"), wish("clinic-1")).unwrap();
    let record = ClientMessage::Update {
        sends: None,
        name: None,
        recording: Some(true),
        recordable: None,
    };
    let actions = rooms.handle(&id("b"), record);
    assert_eq!(error_code(&actions, "b"), ErrorCode::RecordingForbidden);
}

/// What each participant is sent, in order: the hub's queues keep it.
fn told<'a>(actions: &'a [Action], whom: &str) -> Vec<&'a ServerMessage> {
    let of_them = actions.iter().filter_map(|action| match action {
        Action::Send { to, message } if to.contains(&id(whom)) => Some(message),
        Action::Send { .. }
        | Action::Welcome { .. }
        | Action::IceServers { .. }
        | Action::Filter { .. }
        | Action::Close { .. } => None,
    });
    of_them.collect()
}

#[test]
fn everybody_sees_who_records_before_a_peer_with_it_can_be_set_up() {
    let mut rooms = rooms_with(&[("ada", "lobby"), ("ben", "lobby")]);
    let recorder = Join {
        kind: Kind::Recorder,
        recording: true,
        ..wish("lobby")
    };
    let mut actions = rooms.join(id("rec"), recorder).unwrap();
    for addressee in ["ada", "ben"] {
        actions.extend(rooms.handle(&id("rec"), offer(addressee, "v=0")));
    }
    for person in ["ada", "ben"] {
        let [
            ServerMessage::Joined { participant, .. },
            ServerMessage::Offer { .. },
        ] = told(&actions, person)[..]
        else {
            panic!("{actions:?}");
        };
        assert!(participant.recording);
    }

    // Who comes later sees it in its welcome, before it can offer.
    let actions = rooms.join(id("late"), wish("lobby")).unwrap();
    let Action::Welcome { participants, .. } = &actions[0] else {
        panic!("{actions:?}");
    };
    assert!(
        participants
            .iter()
            .any(|who| who.id == id("rec") && who.recording)
    );
}

#[test]
fn everybody_is_told_of_a_resumed_recording_before_the_recorder_has_its_receipt() {
    let mut rooms = rooms_with(&[("ada", "lobby"), ("rec", "lobby")]);
    let record = |on| ClientMessage::Update {
        sends: None,
        name: None,
        recording: Some(on),
        recordable: None,
    };
    rooms.handle(&id("rec"), record(false));
    let mut actions = rooms.handle(&id("rec"), record(true));
    actions.extend(rooms.handle(&id("rec"), ClientMessage::IceServers));
    let [
        Action::Send {
            message: ServerMessage::Updated { participant },
            ..
        },
        Action::IceServers { to },
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert!(participant.recording && *to == id("rec"));
}

#[test]
fn who_may_not_join_does_not() {
    let grants = Grants {
        join: false,
        ..Grants::everything()
    };
    let refusal = rooms()
        .join(
            id("a"),
            Join {
                grants,
                ..wish("lobby")
            },
        )
        .unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Forbidden);
}

#[test]
fn an_update_changes_what_it_names_and_is_told_once() {
    let mut rooms = rooms_with(&[("a", "lobby"), ("b", "lobby")]);
    let name = |text: &str| ClientMessage::Update {
        sends: None,
        name: Some(text.to_owned()),
        recording: None,
        recordable: None,
    };
    let actions = rooms.handle(&id("a"), name("Ada"));
    let [
        Action::Send {
            to,
            message: ServerMessage::Updated { participant },
        },
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(*to, [id("b")]);
    assert_eq!(participant.name.as_deref(), Some("Ada"));
    assert_eq!(rooms.handle(&id("a"), name("Ada")), []);

    rooms.handle(&id("a"), name(""));
    assert_eq!(rooms.views()[0].participants[0].name, None);
}

#[test]
fn names_are_short_and_cannot_disturb_the_text_around_them() {
    let mut rooms = rooms();
    let too_long = "x".repeat(65);
    for wrong in ["a\nb", "a\u{202e}b", "\u{0}", "a\u{2028}", &too_long] {
        let refusal = rooms
            .join(
                id("a"),
                Join {
                    name: Some(wrong.to_owned()),
                    ..wish("lobby")
                },
            )
            .unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidMessage, "{wrong:?}");
    }
    let longest = "ä".repeat(64);
    rooms
        .join(
            id("a"),
            Join {
                name: Some(longest),
                ..wish("lobby")
            },
        )
        .unwrap();
}

#[test]
fn rooms_and_the_server_can_be_full() {
    let limits = Limits {
        participants_per_room: 2,
        rooms: 1,
        ..Limits::default()
    };
    let mut rooms = Rooms::new(&limits, Place(1));
    rooms.join(id("a"), wish("lobby")).unwrap();
    rooms.join(id("b"), wish("lobby")).unwrap();
    assert_eq!(
        rooms.join(id("c"), wish("lobby")).unwrap_err().code,
        ErrorCode::RoomFull
    );
    assert_eq!(
        rooms.join(id("c"), wish("other")).unwrap_err().code,
        ErrorCode::ServerFull
    );

    rooms.leave(&id("a"), LeaveReason::Left);
    rooms.join(id("c"), wish("lobby")).unwrap();
}

#[test]
fn a_filter_enhances_somebody_of_its_room() {
    let mut rooms = rooms_with(&[("a", "lobby"), ("b", "elsewhere")]);
    let enhancing = |kind, of: &str| Join {
        kind,
        enhances: Some(id(of)),
        ..wish("lobby")
    };
    let code = |result: Result<Vec<Action>, Refusal>| result.unwrap_err().code;
    assert_eq!(
        code(rooms.join(id("f"), enhancing(Kind::Filter, "b"))),
        ErrorCode::UnknownParticipant
    );
    assert_eq!(
        code(rooms.join(id("f"), enhancing(Kind::Person, "a"))),
        ErrorCode::InvalidMessage
    );
    rooms.join(id("f"), enhancing(Kind::Filter, "a")).unwrap();
}

#[test]
fn somebody_removed_is_told_and_the_others_learn_why() {
    let mut rooms = rooms_with(&[("a", "lobby"), ("b", "lobby")]);
    assert_eq!(rooms.remove(&"elsewhere".parse().unwrap(), &id("a")), None);
    let actions = rooms.remove(&"lobby".parse().unwrap(), &id("a")).unwrap();
    let left = ServerMessage::Left {
        id: id("a"),
        reason: LeaveReason::Removed,
    };
    assert_eq!(
        actions[0],
        Action::Send {
            to: vec![id("b")],
            message: left
        }
    );
    let Action::Close {
        id: closed,
        refusal: Some(refusal),
    } = &actions[1]
    else {
        panic!("{actions:?}");
    };
    assert_eq!((closed, refusal.code), (&id("a"), ErrorCode::Removed));
}

#[test]
fn goodbye_ends_the_membership_and_the_connection() {
    let mut rooms = rooms_with(&[("a", "lobby"), ("b", "lobby")]);
    let actions = rooms.handle(&id("a"), ClientMessage::Leave);
    let left = ServerMessage::Left {
        id: id("a"),
        reason: LeaveReason::Left,
    };
    assert_eq!(
        actions,
        [
            Action::Send {
                to: vec![id("b")],
                message: left
            },
            Action::Close {
                id: id("a"),
                refusal: None
            },
        ]
    );
    assert_eq!(rooms.handle(&id("a"), offer("b", "v=0")), []);
}

#[test]
fn a_filter_may_be_recorded_where_the_one_may_whose_media_it_gives_back() {
    let mut rooms = rooms_with(&[("a", "lobby"), ("b", "lobby")]);
    rooms.handle(&id("a"), recordable(false));
    let filter = Join {
        kind: Kind::Filter,
        enhances: Some(id("a")),
        ..wish("lobby")
    };
    let actions = rooms.join(id("f"), filter).unwrap();
    let Action::Welcome { you, .. } = &actions[0] else {
        panic!("{actions:?}");
    };
    assert!(!you.recordable);
    assert_eq!(rooms.handle(&id("f"), recordable(true)), []);

    let actions = rooms.handle(&id("a"), recordable(true));
    let now: Vec<_> = told(&actions, "b")
        .into_iter()
        .map(|message| match message {
            ServerMessage::Updated { participant } => (&participant.id, participant.recordable),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(now, [(&id("a"), true), (&id("f"), true)]);
}

#[test]
fn only_those_who_may_filter_give_back_anothers_media() {
    let mut rooms = rooms_with(&[("a", "lobby")]);
    for kind in [Kind::Filter, Kind::Relay] {
        let helper = |grants| Join {
            kind,
            enhances: Some(id("a")),
            grants,
            ..wish("lobby")
        };
        let refusal = rooms.join(id("f"), helper(Grants::guest())).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Forbidden);
        rooms.join(id("f"), helper(Grants::everything())).unwrap();
        rooms.leave(&id("f"), LeaveReason::Left);
    }
}

fn filtering() -> Rooms {
    let mut rooms = Rooms::new(
        &Limits {
            filters: true,
            ..Limits::default()
        },
        Place(1),
    );
    rooms.join(id("a"), wish("lobby")).unwrap();
    rooms.join(id("b"), wish("lobby")).unwrap();
    rooms
}

fn filter(on: bool) -> Action {
    Action::Filter {
        room: "lobby".parse().unwrap(),
        of: id("a"),
        on,
    }
}

#[test]
fn a_filter_is_run_for_one_who_asks_until_it_asks_otherwise_or_leaves() {
    let mut rooms = filtering();
    let ask = |on| ClientMessage::Filter { on };
    assert_eq!(rooms.handle(&id("a"), ask(false)), []);
    assert_eq!(rooms.handle(&id("a"), ask(true)), [filter(true)]);
    assert_eq!(rooms.handle(&id("a"), ask(true)), []);
    assert_eq!(rooms.handle(&id("a"), ask(false)), [filter(false)]);
    assert_eq!(rooms.handle(&id("a"), ask(true)), [filter(true)]);
    assert_eq!(rooms.leave(&id("a"), LeaveReason::Lost)[0], filter(false));

    let mut rooms = filtering();
    assert_eq!(rooms.handle(&id("a"), ask(true)), [filter(true)]);
    rooms.filter_ended(&id("a"));
    assert_eq!(rooms.handle(&id("a"), ask(true)), [filter(true)]);
}

#[test]
fn no_filter_is_run_where_the_server_does_not_or_for_one_who_may_not_send() {
    let mut rooms = rooms_with(&[("a", "lobby")]);
    let ask = ClientMessage::Filter { on: true };
    let actions = rooms.handle(&id("a"), ask.clone());
    assert_eq!(error_code(&actions, "a"), ErrorCode::FiltersForbidden);

    let mut rooms = filtering();
    let viewer = Join {
        grants: Grants {
            send: false,
            ..Grants::everything()
        },
        ..wish("lobby")
    };
    rooms.join(id("c"), viewer).unwrap();
    let actions = rooms.handle(&id("c"), ask);
    assert_eq!(error_code(&actions, "c"), ErrorCode::Forbidden);
}
