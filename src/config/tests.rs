//! What the configuration says about right and wrong files.

use super::*;
use crate::job::{Role, Value};
use crate::signalling::protocol::IceTransportPolicy;

const TOKENS: &str =
    "[auth]\napi_token = \"0123456789abcdef\"\nroom_key = \"0123456789abcdef0123456789abcdef\"\n";

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(
        text,
        Some(Path::new("etc/attache.toml")),
        Overrides::default(),
    )
}

/// The mistakes of a text, as lines.
fn mistakes(text: &str) -> Vec<String> {
    parse(text)
        .expect_err("the text has mistakes")
        .0
        .iter()
        .map(Mistake::to_string)
        .collect()
}

#[test]
fn no_file_means_loopback_without_keys() {
    let config = Config::load(None, Overrides::default()).unwrap();
    assert_eq!(config.server.listen, DEFAULT_LISTEN);
    assert!(!config.server.is_exposed());
    assert!(config.tls.is_none() && config.auth.room_key.is_none() && config.kiosks.is_empty());
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn the_commented_example_is_right() {
    let text = include_str!("../../attache.example.toml");
    let config = Config::parse(text, None, Overrides::default()).unwrap();
    let default = Config::load(None, Overrides::default()).unwrap();
    assert_eq!(
        format!("{config:?}"),
        format!("{default:?}"),
        "it shows the defaults"
    );
    let uncommented: String = text
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("#: ").unwrap_or(line)))
        .collect();
    assert_ne!(uncommented, text);
    let errors = Config::parse(&uncommented, None, Overrides::default())
        .expect_err("its files do not exist here")
        .0;
    assert!(
        errors.iter().all(
            |error| error.message.contains("No such file") || error.message.contains("no file")
        ),
        "{}",
        ConfigErrors(errors)
    );
}

#[test]
fn every_mistake_is_told_at_once_with_file_line_and_key() {
    let text = "[server]\nlisten = 8080\nlitsen = \"127.0.0.1:1\"\n\n[limits]\nping_s = 0\nmessage_bytes = \"64k\"\n\n\
                [[kiosk]]\nroom = \"a/b\"\n[[kiosk]]\nroom = \"b\"\ndescripton = \"kiosk\"\n[cloud]\nx = 1\n";
    let found = mistakes(text);
    let starts = [
        "etc/attache.toml:2: server.listen: invalid type: integer `8080`, expected a string",
        "etc/attache.toml:3: server.litsen: unknown field `litsen`, expected one of `listen`",
        "etc/attache.toml:6: limits.ping_s: found 0, expected a whole number from 1 to 3600",
        "etc/attache.toml:7: limits.message_bytes: invalid type: string \"64k\", expected a whole number from 4096",
        "etc/attache.toml:10: kiosk[0].room: room name \"a/b\" is not valid",
        "etc/attache.toml:13: kiosk[1].descripton: unknown field `descripton`",
        "etc/attache.toml:14: cloud: unknown field `cloud`",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}\n{start}");
    }
}

#[test]
fn a_missing_key_names_its_table() {
    let found = mistakes("\n[[kiosk]]\nname = \"Hall\"\n");
    assert_eq!(
        found,
        ["etc/attache.toml:2: kiosk[0].room: missing: name the room that the kiosk waits in"]
    );
}

#[test]
fn what_is_not_toml_names_the_line() {
    let found = mistakes("[server]\nlisten = \n");
    assert!(found[0].starts_with("etc/attache.toml:2: "), "{found:?}");
}

#[test]
fn contradictions_name_the_line_of_the_key() {
    let cases = [
        (
            "[tls]\ncertificate = \"c.pem\"\n",
            "etc/attache.toml:2: tls.certificate: there is no tls.key",
        ),
        (
            "[tls]\nkey = \"c.pem\"\n",
            "etc/attache.toml:2: tls.key: there is no tls.certificate",
        ),
        (
            "[tls]\ncertificate = \"c\"\nkey = \"k\"\nself_signed = true\n",
            "etc/attache.toml:4: tls.self_signed: true, but there are certificate files too",
        ),
        (
            "[auth]\napi_token = \"0123456789abcdef\"\napi_token_file = \"t\"\n",
            "etc/attache.toml:3: auth.api_token_file: auth.api_token is there too",
        ),
        (
            "[auth]\nroom_key = \"short\"\n",
            "etc/attache.toml:2: auth.room_key: found 5 bytes, expected at least 32",
        ),
        (
            "[auth]\nroom_key_file = \"/nonexistent\"\n",
            "etc/attache.toml:2: auth.room_key_file: /nonexistent cannot be read",
        ),
        (
            "[limits]\nping_s = 60\n",
            "etc/attache.toml:1: limits.idle_s: 40 is not more than ping_s (60)",
        ),
        (
            "[ice]\ntransport_policy = \"relay\"\n",
            "etc/attache.toml:2: ice.transport_policy: \"relay\", but",
        ),
        (
            "[[ice.turn]]\nurls = [\"turn:a\"]\n",
            "etc/attache.toml:1: ice.turn[0]: no credentials",
        ),
        (
            "[[ice.turn]]\nurls = [\"turn:a\"]\nsecret = \"s\"\nusername = \"u\"\n",
            "etc/attache.toml:1: ice.turn[0]: a secret and a username",
        ),
    ];
    for (text, start) in cases {
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(start), "{}\n{start}", found[0]);
    }
}

#[test]
fn beyond_loopback_everything_missing_is_named_with_its_remedy() {
    let found = mistakes("[server]\nlisten = \"0.0.0.0:8080\"\n");
    assert_eq!(found.len(), 3, "{found:#?}");
    for (found, remedies) in found.iter().zip([
        ["tls: missing", "--self-signed", "reverse_proxy = true"],
        ["auth.api_token: missing", "api_token_file", "openssl rand"],
        ["auth.room_key: missing", "room_key_file", "[rooms] guests"],
    ]) {
        assert!(
            remedies.iter().all(|remedy| found.contains(remedy)),
            "{found}"
        );
    }
    let elsewhere = Overrides {
        listen: Some("[::]:8080".parse().unwrap()),
        self_signed: true,
        is_for_tools: false,
    };
    let found = Config::load(None, elsewhere)
        .expect_err("there are no keys")
        .0;
    assert_eq!(
        found
            .iter()
            .map(|mistake| mistake.key.as_str())
            .collect::<Vec<_>>(),
        ["auth.api_token", "auth.room_key"]
    );
}

#[test]
fn beyond_loopback_keys_and_tls_or_a_proxy_are_enough() {
    let tls = format!("[server]\nlisten = \"0.0.0.0:1\"\n[tls]\nself_signed = true\n{TOKENS}");
    assert_eq!(parse(&tls).unwrap().tls, Some(TlsConfig::SelfSigned));
    let proxy = format!("[server]\nlisten = \"0.0.0.0:1\"\nreverse_proxy = true\n{TOKENS}");
    assert!(parse(&proxy).unwrap().tls.is_none());
}

#[test]
fn what_does_not_listen_needs_no_tls() {
    let text = format!("[server]\nlisten = \"0.0.0.0:1\"\n{TOKENS}");
    assert!(Config::parse(&text, None, Overrides::default()).is_err());
    let config = Config::parse(&text, None, Overrides::TOOLS).unwrap();
    assert!(config.auth.room_key.is_some());
}

#[test]
fn a_reverse_proxy_on_loopback_needs_keys_too() {
    let found = mistakes("[server]\nreverse_proxy = true\n");
    assert_eq!(found.len(), 2, "{found:#?}");
}

/// A folder with a configuration of this text and the descriptions `kiosk` and `kiosk-test` in `p`.
fn parse_with_descriptions(text: &str) -> (tempfile::TempDir, Result<Config, ConfigErrors>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("p")).unwrap();
    for name in ["kiosk", "kiosk-test"] {
        std::fs::write(folder.path().join(format!("p/{name}.toml")), "").unwrap();
    }
    let path = folder.path().join("attache.toml");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(Some(&path), Overrides::default());
    (folder, config)
}

#[test]
fn a_kiosk_that_cannot_be_is_named() {
    let text = "[jobs]\nmaximum = 1\npipelines = \"p\"\n[[kiosk]]\nroom = \"a\"\n[[kiosk]]\nroom = \"b\"\ndescription = \"x\"\n";
    let (folder, result) = parse_with_descriptions(text);
    let found = result.expect_err("two mistakes").0;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(
        (found[0].line, found[0].key.as_str()),
        (Some(2), "jobs.maximum")
    );
    assert_eq!(
        (found[1].line, found[1].key.as_str()),
        (Some(8), "kiosk[1].description")
    );
    let missing = folder.path().join("p/x.toml");
    let message = &found[1].message;
    let start = format!("there is no file {}; ", missing.display());
    assert!(
        message.starts_with(&start) && message.contains("./pipelines"),
        "{message}"
    );

    let escape =
        "[jobs]\npipelines = \"p\"\n[[kiosk]]\nroom = \"a\"\ndescription = \"../p/kiosk\"\n";
    let found = parse_with_descriptions(escape).1.expect_err("not a name").0;
    assert!(
        found[0].message.contains("is not a description's name"),
        "{found:?}"
    );
}

#[test]
fn values_arrive_as_written() {
    let (folder, config) = parse_with_descriptions(
        "[server]\nlisten = \"127.0.0.1:9\"\norigins = [\"https://calls.example.org\"]\nstop_timeout_s = 3\n\
         [rooms]\nguests = [\"lobby\", \"meet-*\"]\nnot_recorded = [\"clinic-*\"]\nmax_participants = 5\n\
         [limits]\njoin_timeout_ms = 500\n[ice]\ntransport_policy = \"relay\"\n\
         [[ice.turn]]\nurls = [\"turn:a\"]\nsecret = \"s\"\nttl_s = 60\n\
         [jobs]\npipelines = \"p\"\nrecordings = \"/r\"\n\
         [[kiosk]]\nroom = \"lobby\"\ndescription = \"kiosk-test\"\nparameters = { width = 640, beep = true }\n",
    );
    let config = config.unwrap();
    assert_eq!(config.server.stop_timeout, Duration::from_secs(3));
    assert_eq!(
        config.server.origins[0].as_str(),
        "https://calls.example.org"
    );
    assert_eq!(config.limits.join_timeout, Duration::from_millis(500));
    assert_eq!(config.limits.participants_per_room, 5);
    assert_eq!(config.auth.guests.len(), 2);
    let forbids = |room: &str| config.limits.forbid_recording(&room.parse().unwrap());
    assert_eq!((forbids("clinic-3"), forbids("lobby")), (true, false));
    assert_eq!(config.ice.transport_policy, IceTransportPolicy::Relay);
    assert_eq!(config.jobs.pipelines, folder.path().join("p"));
    assert_eq!(config.jobs.recordings, Path::new("/r"));
    assert_eq!(config.kiosks[0].role, Role::Kiosk);
    assert_eq!(config.kiosks[0].parameters["width"], Value::Integer(640));
}

#[test]
fn secrets_are_not_shown() {
    let config = parse(TOKENS).unwrap();
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
    let wrong = "[auth]\nroom_key = \"hunter2\"\n";
    assert!(!mistakes(wrong)[0].contains("hunter2"));
}

#[test]
fn encoders_are_named_as_docs_say_and_others_are_mistakes_with_their_line() {
    let config = parse(
        "[encoders]\nprefer = [\"openh264enc\", \"hardware\"]\nforbid = [\"v4l2h264enc\"]\ncache = \"verdicts\"\n\
         [encoders.pin]\nvp8 = \"vp8enc\"\n",
    )
    .unwrap();
    assert_eq!(config.encoders.prefer, ["openh264enc", "hardware"]);
    assert_eq!(
        config.encoders.cache.as_deref(),
        Some(Path::new("etc/verdicts"))
    );
    let found = mistakes("[encoders]\nforbid = [\"x264\"]\n\n[encoders.pin]\nh264 = \"vp8enc\"\n");
    assert_eq!(found.len(), 2);
    assert!(
        found[0].starts_with(
            "etc/attache.toml:2: encoders.forbid: \"x264\" is no encoder that attache knows"
        ),
        "{}",
        found[0]
    );
    assert!(
        found[1].starts_with(
            "etc/attache.toml:5: encoders.pin.h264: \"vp8enc\" is no encoder of H.264"
        ),
        "{}",
        found[1]
    );
}

#[test]
fn upload_targets_arrive_as_written_and_mistakes_name_their_key() {
    let config = parse("[[recording.upload]]\nurl = \"s3://calls/a\"\nregion = \"x\"\n").unwrap();
    assert!(config.uploads.keep_local);
    assert_eq!(config.uploads.targets[0].url.to_string(), "s3://calls/a");
    assert_eq!(config.uploads.targets[0].region.as_deref(), Some("x"));

    let found = mistakes(
        "[recording]\nupload_mode = \"both\"\n[[recording.upload]]\nurl = \"file:///mnt\"\nregion = \"x\"\n",
    );
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("attache.toml:2: recording.upload_mode"));
    assert!(
        found[1]
            .contains("attache.toml:5: recording.upload[0].region: file:///mnt has no such option")
    );

    let found = mistakes("[[recording.upload]]\nurl = \"s3://calls\"\naccess_key_id = \"a\"\n");
    assert!(found[0].contains(
        "recording.upload[0].access_key_id: access_key_id and secret_file belong together"
    ));
    let found = mistakes("[jobs]\nrecordings = \"a\"\n[recording]\nsecond_folder = \"a\"\n");
    assert!(found[0].contains("recording.second_folder"), "{found:?}");
    assert!(found[0].contains("another disk"), "{found:?}");
    let found = mistakes("[recording]\nkeep_local = false\n");
    assert!(found[0].contains("recording.keep_local"), "{found:?}");
}

#[test]
fn webhooks_need_a_secret_and_know_their_events() {
    let head = "[[webhooks]]\nurl = \"https://example.org/a\"\n";
    let secret = "secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";
    let config = parse(&format!("{head}{secret}events = [\"recording.*\"]\n")).unwrap();
    assert!(config.webhooks[0].events[0].matches("recording.uploaded"));
    assert!(!config.webhooks[0].events[0].matches("job.state"));

    assert!(mistakes(head)[0].contains("webhooks[0].secret_file: missing"));
    let plain = format!("{head}secret = \"0123456789012345678901234567890123456789\"\n");
    assert!(mistakes(&plain)[0].contains("expected whsec_ and 24 to 64 bytes in base64"));
    let unknown = format!("{head}{secret}events = [\"calls.*\"]\n");
    assert!(mistakes(&unknown)[0].contains("found \"calls.*\", expected \"job.*\""));
}
