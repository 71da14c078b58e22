//! Each mistake in a description, and what the error says: file, line, key, what was found, what would be right.

use std::path::Path;

use gstreamer as gst;

use super::build::{self, End};
use super::*;
use crate::job::{Parameters, Value};
use crate::media::Codec;

const HEAD: &str = "role = \"kiosk\"\nsummary = \"test\"\n";

fn parse(text: &str) -> Result<Description, DescriptionError> {
    Description::parse(Path::new("x.toml"), "x", text)
}

/// The error of a text that begins with two good lines.
fn mistake(rest: &str) -> String {
    parse(&format!("{HEAD}{rest}")).expect_err(rest).to_string()
}

fn parameters(name: &str, value: Value) -> Parameters {
    Parameters::from([(name.to_owned(), value)])
}

fn pipelines() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")
}

#[test]
fn every_mistake_in_a_file_is_told_with_its_line_and_key() {
    let parameter = "[parameters.a]\ndescription = \"a\"\n";
    for (rest, wanted) in [
        ("[capture", "x.toml:3: "),
        (
            "colour = 1\n",
            "x.toml:3: colour: unknown key; known here: role, summary, fallback, parameters",
        ),
        (
            "[capture]\nvideo = 1\n",
            "x.toml:4: capture.video: found 1; a text in quotes is wanted here",
        ),
        (
            "[capture]\npicture = \"x\"\n",
            "x.toml:4: capture.picture: unknown key; known here: video, audio",
        ),
        (
            "[settings]\nlatency_ms = \"soon\"\n",
            "x.toml:4: settings.latency_ms: found \"soon\"; a whole number from 0 to 5000",
        ),
        (
            "[settings]\nlatency_ms = 5001\n",
            "x.toml:4: settings.latency_ms: found 5001; a whole number from 0 to 5000",
        ),
        (
            "[settings.video]\nwidth = 641\n",
            "x.toml:4: settings.video.width: found 641; an even whole number from 64 to 7680",
        ),
        (
            "[settings.video]\nwidth = \"{wide}\"\n",
            "x.toml:4: settings.video.width: {wide} is no parameter",
        ),
        (
            "[settings.video]\ncodecs = [\"av1\"]\n",
            "x.toml:4: settings.video.codecs: found [\"av1\"]; a list of one or both",
        ),
        (
            "[settings.video]\ncodecs = [\"vp8\", \"vp8\"]\n",
            "x.toml:4: settings.video.codecs: found",
        ),
        (
            "[parameters.A]\n",
            "x.toml:3: parameters.A: not a parameter's name",
        ),
        (
            &format!("{parameter}type = \"text\"\ndefault = 1\n"),
            "x.toml:5: parameters.a.type: found \"text\"; one of string, integer",
        ),
        (
            &format!("{parameter}type = \"integer\"\n"),
            "x.toml:3: parameters.a.default: found nothing; this key must be given",
        ),
        (
            &format!("{parameter}type = \"integer\"\ndefault = 1.5\n"),
            "x.toml:6: parameters.a.default: found 1.5; a whole number",
        ),
        (
            &format!("{parameter}type = \"integer\"\ndefault = 9\nmax = 8\n"),
            "x.toml:6: parameters.a.default: found 9; a whole number from",
        ),
        (
            &format!("{parameter}type = \"integer\"\ndefault = 9\nmin = 9\nmax = 8\n"),
            "parameters.a.min: min is above max",
        ),
        (
            &format!("{parameter}type = \"string\"\ndefault = \"x\"\n"),
            "parameters.a.values: found neither or both",
        ),
        (
            &format!("{parameter}type = \"string\"\ndefault = \"x\"\nvalues = [\"y\"]\n"),
            "x.toml:6: parameters.a.default: found \"x\"; one of y",
        ),
        (
            &format!("{parameter}type = \"device\"\nkind = \"nose\"\ndefault = \"auto\"\n"),
            "x.toml:6: parameters.a.kind: found \"nose\"; one of camera",
        ),
        (
            &format!("{parameter}type = \"boolean\"\ndefault = true\nmin = 1\n"),
            "x.toml:7: parameters.a.min: unknown key",
        ),
        (
            "[capture]\nvideo = '''\nvideotestsrc\n! foo bar={what}\n'''\n",
            "x.toml:6: capture.video: {what} is no parameter; known here: room, width, height, framerate",
        ),
        (
            "[capture]\nvideo = 'x text=\"{room}\"'\n",
            "x.toml:4: capture.video: {room} is a text; it must be the whole value",
        ),
    ] {
        let found = mistake(rest);
        assert!(found.contains(wanted), "found  {found}\nwanted {wanted}");
    }
    let found = parse("role = \"singer\"\nsummary = \"x\"\n")
        .unwrap_err()
        .to_string();
    assert_eq!(
        found,
        "x.toml:1: role: found \"singer\"; one of kiosk, recorder, filter"
    );
    let found = parse("role = \"kiosk\"\n").unwrap_err().to_string();
    assert_eq!(
        found,
        "x.toml:1: summary: found nothing; this key must be given"
    );
    let found =
        parse("role = \"recorder\"\nsummary = \"x\"\n[capture]\nvideo = 'x'\n").unwrap_err();
    assert_eq!((found.line, found.key.as_str()), (Some(4), "capture.video"));
}

#[test]
fn a_job_gives_only_declared_parameters_with_allowed_values() {
    let kiosk = Description::load(&pipelines(), "kiosk-test").unwrap();
    let room = "lobby".parse().unwrap();
    let wrong = |name: &str, value: Value| {
        let error = kiosk
            .values(&parameters(name, value), &room)
            .expect_err(name);
        format!("{}: {}; {}", error.key, error.found, error.right)
    };
    assert!(
        wrong("colour", Value::Integer(1))
            .starts_with("parameter \"colour\": unknown; this description has: ")
    );
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
fn no_text_of_a_parameter_changes_the_structure_of_a_launch_line() {
    let text = format!(
        "{HEAD}[parameters.title]\ntype = \"string\"\ncharacters = \" -~\"\ndefault = \"\"\ndescription = \"x\"\n\
         [capture]\nvideo = 'videotestsrc ! textoverlay text={{title}}'\n"
    );
    let description = parse(&text).unwrap();
    let room = "lobby".parse().unwrap();
    gst::init().unwrap();
    for harmless in [
        "a ! fakesink",
        "a=b c=d",
        "( x )",
        "#",
        "{room}",
        "! ! !",
        "name=x x.",
    ] {
        let values = description
            .values(&parameters("title", Value::String(harmless.into())), &room)
            .unwrap();
        let fragment = description.capture.video.as_ref().unwrap();
        let bin = build::bin(
            &description,
            fragment,
            &fragment.fill(&values, |_| None),
            End::Source,
        )
        .unwrap();
        use gst::prelude::*;
        assert_eq!(bin.children().len(), 2, "{harmless}");
        let overlay = bin
            .by_name("textoverlay0")
            .or_else(|| bin.children().into_iter().find(|e| e.has_property("text")));
        assert_eq!(overlay.unwrap().property::<String>("text"), harmless);
    }
    for dangerous in [
        "a\" ! fakesink",
        "a\\",
        "a'b",
        "line\nbreak",
        "$HOME",
        "`x`",
    ] {
        assert!(
            description
                .values(&parameters("title", Value::String(dangerous.into())), &room)
                .is_err(),
            "{dangerous:?}"
        );
    }
}

#[test]
fn gst_launch_mistakes_are_told_with_the_line_of_the_element() {
    gst::init().unwrap();
    for (fragment, end, wanted) in [
        (
            "videotestsrc\n! nosuchthing\n! identity",
            End::Source,
            "x.toml:6: capture.video: no element \"nosuchthing\"; an element that",
        ),
        (
            "videotestsrc\n! identity nonsense=1",
            End::Source,
            "x.toml:6: capture.video: no property \"nonsense\" in element",
        ),
        (
            "videotestsrc ! audioconvert",
            End::Source,
            "capture.video: could not link",
        ),
        (
            "identity",
            End::Source,
            "leads nowhere; this fragment ends with one free source pad",
        ),
        (
            "videotestsrc ! fakesink",
            End::Source,
            "x.toml:5: capture.video: no free pad found",
        ),
        (
            "videotestsrc",
            End::Sink,
            "no free pad found; this fragment begins with one free sink pad",
        ),
        ("videotestsrc ! ", End::Source, "capture.video: "),
    ] {
        let description = parse(&format!("{HEAD}[capture]\nvideo = '''\n{fragment}'''\n")).unwrap();
        let video = description.capture.video.as_ref().unwrap();
        let error = build::bin(&description, video, &video.text, end)
            .expect_err(fragment)
            .to_string();
        assert!(error.contains(wanted), "found  {error}\nwanted {wanted}");
    }
}

#[test]
fn a_fallback_is_loaded_and_must_stand_alone() {
    let kiosk = Description::load(&pipelines(), "kiosk").unwrap();
    assert_eq!(
        kiosk
            .fallback
            .as_ref()
            .map(|fallback| fallback.name.as_str()),
        Some("kiosk-test")
    );

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rest: &str| {
        std::fs::write(folder.path().join(name), format!("{HEAD}{rest}")).unwrap()
    };
    write("a.toml", "fallback = \"b\"\n");
    let error = Description::load(folder.path(), "a").unwrap_err();
    assert!(
        error.found.starts_with("cannot be read") && error.file.ends_with("b.toml"),
        "{error}"
    );
    write("b.toml", "fallback = \"a\"\n");
    let error = Description::load(folder.path(), "a").unwrap_err();
    assert_eq!(
        (error.line, error.found.as_str()),
        (Some(3), "b has a fallback")
    );
    write(
        "b.toml",
        "[parameters.c]\ntype = \"device\"\nkind = \"camera\"\ndefault = \"auto\"\ndescription = \"x\"\n[capture]\nvideo = '{c}'\n",
    );
    let error = Description::load(folder.path(), "a").unwrap_err();
    assert_eq!(
        (error.line, error.found.as_str()),
        (Some(3), "b captures from a device")
    );
}

#[test]
fn a_description_name_cannot_leave_its_folder() {
    for name in ["../kiosk", "a/b", "", ".", "kiosk.toml"] {
        let error = Description::load(&pipelines(), name).expect_err(name);
        assert!(
            error.right.starts_with("a description's name is"),
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
            "filter",
            "attract",
            Some("leave this out: it is for a kiosk"),
        ),
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
            assert_eq!(error.line, Some(4), "{error}");
            error.right
        });
        assert_eq!(right.as_deref(), wanted, "{text}");
    }
    let error = parse("role = \"filter\"\nsummary = \"x\"\n").unwrap_err();
    assert_eq!(error.key, "chain");
}

#[test]
fn a_chain_has_a_free_pad_at_each_end() {
    gst::init().unwrap();
    for (launch, wanted) in [
        ("audioconvert ! audiodynamic", None),
        ("audiotestsrc ! identity", Some("no free pad found")),
        ("identity ! fakesink", Some("no free pad found")),
    ] {
        let text = format!("role = \"filter\"\nsummary = \"x\"\n[chain]\naudio = \"{launch}\"\n");
        let description = parse(&text).unwrap();
        let audio = description.chain.audio.as_ref().unwrap();
        match build::bin(&description, audio, &audio.text, End::Both) {
            Ok(bin) => {
                use gst::prelude::*;
                assert_eq!(wanted, None, "{launch}");
                assert!(bin.static_pad("sink").is_some() && bin.static_pad("src").is_some());
            }
            Err(error) => assert_eq!(Some(error.found.as_str()), wanted, "{launch}"),
        }
    }
}
