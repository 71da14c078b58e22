//! Each mistake in a description, and what the error says: file, line and column, key, what was found, what would be
//! right.

use std::path::Path;

use super::*;
use crate::job::{Parameters, Value};
use crate::media::Codec;

const HEAD: &str = "role = \"kiosk\"\nsummary = \"test\"\n";

pub(super) fn parse(text: &str) -> Result<Description, DescriptionError> {
    Description::parse(Path::new("x.toml"), "x", text)
}

/// The errors of a text that begins with two good lines.
fn mistakes(rest: &str) -> Vec<String> {
    let error = parse(&format!("{HEAD}{rest}")).expect_err(rest);
    error.0.iter().map(Problem::to_string).collect()
}

pub(super) fn parameters(name: &str, value: Value) -> Parameters {
    Parameters::from([(name.to_owned(), value)])
}

pub(super) fn pipelines() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")
}

#[test]
fn every_mistake_in_a_file_is_told_with_its_place_and_key() {
    let parameter = "[parameters.a]\ndescription = \"a\"\n";
    for (rest, wanted) in [
        ("[capture", "x.toml:3:"),
        (
            "sumary = 1\n",
            "x.toml:3:1: sumary: unknown key; did you mean summary? known here: role, summary, fallback, parameters",
        ),
        (
            "[capture]\nvideo = 1\n",
            "x.toml:4:9: capture.video: found 1; a text in quotes is wanted here",
        ),
        (
            "[capture]\npicture = \"x\"\n",
            "x.toml:4:1: capture.picture: unknown key; known here: video, audio",
        ),
        (
            "capture = 1\n",
            "x.toml:3:11: capture: found 1; a table is wanted here",
        ),
        (
            "[settings]\nlatency_ms = \"soon\"\n",
            "x.toml:4:14: settings.latency_ms: found \"soon\"; a whole number from 0 to 5000",
        ),
        (
            "[settings]\nlatency_ms = 5001\n",
            "x.toml:4:14: settings.latency_ms: found 5001; a whole number from 0 to 5000",
        ),
        (
            "[settings]\nlatency_ms = [1]\n",
            "x.toml:4:14: settings.latency_ms: found a array; a text, a number, true or false",
        ),
        (
            "[settings.video]\nwidth = 641\n",
            "x.toml:4:9: settings.video.width: found 641; an even whole number from 64 to 7680",
        ),
        (
            "[settings.video]\nwidth = \"{wide}\"\n",
            "x.toml:4:9: settings.video.width: {wide} is no parameter",
        ),
        (
            "[settings.video]\ncodecs = [\"av9\"]\n",
            "x.toml:4:10: settings.video.codecs: found [\"av9\"]; a list of one or more",
        ),
        (
            "[settings.video]\ncodecs = \"vp8\"\n",
            "x.toml:4:10: settings.video.codecs: found \"vp8\"; a list of texts",
        ),
        (
            "[settings.video]\ncodecs = [\"vp8\", \"vp8\"]\n",
            "x.toml:4:10: settings.video.codecs: found",
        ),
        (
            "[parameters.A]\ntype = \"boolean\"\ndefault = true\ndescription = \"x\"\n",
            "x.toml:3:13: parameters.A: not a parameter's name",
        ),
        (
            &format!("{parameter}type = \"text\"\ndefault = 1\n"),
            "x.toml:5:8: parameters.a.type: found \"text\"; one of string, integer",
        ),
        (
            &format!("{parameter}type = \"integer\"\n"),
            "x.toml:3:13: parameters.a.default: found nothing; this key must be given",
        ),
        (
            &format!("{parameter}type = \"integer\"\ndefault = 1.5\n"),
            "x.toml:6:11: parameters.a.default: found 1.5; a whole number",
        ),
        (
            &format!("{parameter}type = \"integer\"\ndefault = 9\nmax = 8\n"),
            "x.toml:6:11: parameters.a.default: found 9; a whole number from",
        ),
        (
            &format!("{parameter}type = \"float\"\ndefault = \"x\"\n"),
            "x.toml:6:11: parameters.a.default: found \"x\"; a number from",
        ),
        (
            &format!("{parameter}type = \"integer\"\ndefault = 9\nmin = true\n"),
            "x.toml:7:7: parameters.a.min: found true; a whole number",
        ),
        (
            &format!("{parameter}type = \"integer\"\ndefault = 9\nmin = 9\nmax = 8\n"),
            "x.toml:7:7: parameters.a.min: min is above max",
        ),
        (
            &format!("{parameter}type = \"string\"\ndefault = \"x\"\n"),
            "x.toml:3:13: parameters.a.values: found neither or both",
        ),
        (
            &format!("{parameter}type = \"string\"\ndefault = \"x\"\nvalues = [\"y\"]\n"),
            "x.toml:6:11: parameters.a.default: found \"x\"; one of y",
        ),
        (
            &format!("{parameter}type = \"string\"\ndefault = \"x1\"\npattern = \"[a-z]\"\n"),
            "x.toml:6:11: parameters.a.default: found \"x1\"; a text of at most 256 characters that fits [a-z]",
        ),
        (
            &format!("{parameter}type = \"string\"\ndefault = \"x\"\npattern = \"[a-z\"\n"),
            "x.toml:7:11: parameters.a.pattern: unclosed character class; a regular expression",
        ),
        (
            &format!(
                "{parameter}type = \"string\"\ndefault = \"x\"\npattern = \"x\"\nmax_length = 0\n"
            ),
            "x.toml:8:14: parameters.a.max_length: found 0; 1 to 256",
        ),
        (
            &format!("{parameter}type = \"device\"\nkind = \"nose\"\ndefault = \"auto\"\n"),
            "x.toml:6:8: parameters.a.kind: found \"nose\"; one of camera",
        ),
        (
            &format!("{parameter}type = \"boolean\"\ndefault = true\nmin = 1\n"),
            "x.toml:7:1: parameters.a.min: unknown key",
        ),
        (
            "[capture]\nvideo = '''\nvideotestsrc\n! foo bar={what}\n'''\n",
            "x.toml:6:11: capture.video: {what} is no parameter; known here: room, width, height, framerate",
        ),
        (
            "[capture]\nvideo = 'x text=\"{room} \"'\n",
            "x.toml:4:18: capture.video: {room} is a text; it must be the whole value",
        ),
        (
            "[capture]\nvideo = 'x ! video/x-raw,format={room}'\n",
            "x.toml:4:33: capture.video: {room} is a text; it must be the whole value",
        ),
        (
            "[capture]\nvideo = '{room} ! x'\n",
            "x.toml:4:10: capture.video: {room} is no device",
        ),
        (
            "[chain]\nvideo = 'x'\n",
            "x.toml:4:10: chain.video: found in a description for a kiosk; leave this out: it is for a filter",
        ),
        (
            "[capture]\nvideo = \"\"\"\\\n   a\n ! b\\t\\u00e9 !\"\"\"\n",
            "x.toml:6:7: capture.video: found 'é'; an element",
        ),
    ] {
        let found = mistakes(rest);
        assert!(
            found.iter().any(|found| found.starts_with(wanted)),
            "found  {found:#?}\nwanted {wanted}"
        );
    }
    for (text, wanted) in [
        (
            "role = \"singer\"\nsummary = \"x\"\n",
            "x.toml:1:8: role: found \"singer\"; one of kiosk, recorder, filter",
        ),
        (
            "role = \"kiosk\"\n",
            "x.toml:1:1: summary: found nothing; this key must be given: What it does, in one line",
        ),
        (
            "role = \"filter\"\nsummary = \"x\"\n",
            "x.toml:1:1: chain: found nothing; a filter says what it does",
        ),
    ] {
        let found = parse(text).unwrap_err().to_string();
        assert!(found.starts_with(wanted), "found  {found}\nwanted {wanted}");
    }
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_in_the_order_of_the_file() {
    let found = mistakes(
        "colour = 1\n[parameters.a]\ntype = \"integer\"\ndefault = \"x\"\n[settings.video]\nwidth = 1\nhigh = 2\n\
         [capture]\nvideo = 'a ! ! b={c}'\naudio = '( a={b} )'\n",
    );
    let starts: Vec<&str> = found
        .iter()
        .filter_map(|line| line.split(": ").next())
        .collect();
    let wanted = [
        "x.toml:3:1",
        "x.toml:4:13",
        "x.toml:6:11",
        "x.toml:8:9",
        "x.toml:9:1",
        "x.toml:11:14",
        "x.toml:11:16",
        "x.toml:12:10",
        "x.toml:12:12",
        "x.toml:12:18",
    ];
    assert!(starts.len() >= 8, "{found:#?}");
    assert!(
        starts.iter().all(|start| wanted.contains(start)),
        "{found:#?}"
    );
}

#[test]
fn a_job_gives_only_declared_parameters_with_allowed_values() {
    let kiosk = Description::load(&pipelines(), "kiosk-test").unwrap();
    let room = "lobby".parse().unwrap();
    let wrong = |name: &str, value: Value| {
        let error = kiosk
            .values(&parameters(name, value), &room)
            .expect_err(name);
        let problem = &error.0[0];
        format!("{}: {}; {}", problem.key, problem.found, problem.right)
    };
    assert!(
        wrong("colour", Value::Integer(1))
            .starts_with("parameter \"colour\": unknown; this description has: ")
    );
    assert!(wrong("widht", Value::Integer(1)).contains("did you mean width?"));
    assert_eq!(
        wrong("width", Value::Integer(1)),
        "parameter width: found 1; a whole number from 64 to 3840"
    );
    assert!(wrong("width", Value::Integer(641)).contains("an even whole number"));
    assert_eq!(
        wrong("beep", Value::String("yes".into())),
        "parameter beep: found \"yes\"; true or false"
    );
    let attack = "smpte ! filesink location=/etc/passwd";
    assert!(wrong("pattern", Value::String(attack.into())).contains("one of smpte75, smpte"));

    let values = kiosk
        .values(&parameters("width", Value::Integer(640)), &room)
        .unwrap();
    let settings = kiosk.settings(&values).unwrap();
    assert_eq!((settings.video.width, settings.video.height), (640, 720));
    assert_eq!(settings.video.codecs, [Codec::Vp8, Codec::H264]);
}

#[test]
fn a_fallback_is_loaded_and_must_stand_alone() {
    let kiosk = Description::load(&pipelines(), "kiosk").unwrap();
    let fallback = kiosk.fallback.as_ref();
    assert_eq!(
        fallback.map(|fallback| fallback.name.as_str()),
        Some("kiosk-test")
    );

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rest: &str| {
        std::fs::write(folder.path().join(name), format!("{HEAD}{rest}")).unwrap()
    };
    let wrong = || {
        let error = Description::load(folder.path(), "a").unwrap_err();
        (error.0[0].line(), error.0[0].found.clone())
    };
    write("a.toml", "fallback = \"b\"\n");
    assert_eq!(
        wrong(),
        (
            Some(3),
            "there is no description \"b\" beside this one".to_owned()
        )
    );
    write("b.toml", "fallback = \"a\"\n");
    assert_eq!(wrong(), (Some(3), "b has a fallback".to_owned()));
    write(
        "b.toml",
        "[parameters.c]\ntype = \"device\"\nkind = \"camera\"\ndefault = \"auto\"\ndescription = \"x\"\n[capture]\nvideo = '{c}'\n",
    );
    assert_eq!(wrong(), (Some(3), "b captures from a device".to_owned()));
}

#[test]
fn a_description_name_cannot_leave_its_folder() {
    for name in ["../kiosk", "a/b", "", ".", "kiosk.toml"] {
        let error = Description::load(&pipelines(), name).expect_err(name);
        assert!(
            error.0[0].right.starts_with("a description's name is"),
            "{error}"
        );
    }
}

#[test]
fn each_role_has_its_own_tables() {
    for (role, table, wanted) in [
        ("kiosk", "attract", None),
        ("filter", "chain", None),
        ("recorder", "record", None),
        ("kiosk", "chain", Some("leave this out: it is for a filter")),
        (
            "recorder",
            "capture",
            Some("leave this out: it is for a kiosk"),
        ),
        (
            "kiosk",
            "record",
            Some("leave this out: it is for a recorder"),
        ),
    ] {
        let text = format!("role = \"{role}\"\nsummary = \"x\"\n[{table}]\naudio = \"identity\"\n");
        let right = parse(&text).err().map(|error| {
            assert_eq!(error.0[0].line(), Some(4), "{error}");
            error.0[0].right.clone()
        });
        assert_eq!(right.as_deref(), wanted, "{text}");
    }
}
