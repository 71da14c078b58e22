//! What GStreamer has to say about fragments, with the place of each problem; and that no value changes a structure.

use std::path::Path;

use gst::prelude::*;
use gstreamer as gst;

use super::allowed::Allowed;
use super::build::{self, Built, SetError};
use super::change::{Change, NewValue};
use super::fragment::Section;
use super::tests::{parameters, parse};
use super::*;
use crate::job::{Parameters, Value};
use crate::media::MediaKind;

/// A kiosk with these lines behind its first two.
fn kiosk(rest: &str) -> Description {
    let text = format!("role = \"kiosk\"\nsummary = \"test\"\n{rest}");
    parse(&text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// A kiosk that captures this: its text begins on line 5.
fn capturing(launch: &str) -> Description {
    kiosk(&format!("[capture]\nvideo = '''\n{launch}'''\n"))
}

fn built(description: &Description, given: &Parameters) -> Built {
    crate::media::init().unwrap();
    let values = description
        .values(given, &"lobby".parse().unwrap())
        .unwrap();
    let fragment = description.capture.video.as_ref().unwrap();
    build::build(description, fragment, &fragment.fill(&values, |_| None)).unwrap()
}

#[test]
fn elements_properties_links_and_free_pads_are_told_with_their_place() {
    for (launch, wanted) in [
        (
            "videotestsrc\n! x264encc ! fakesink",
            "x.toml:6:3: capture.video: the element x264encc is not among those that descriptions may use; did you mean x264enc?",
        ),
        (
            "videotestsrc\n ! gltestthing",
            "x.toml:6:4: capture.video: the element gltestthing is not allowed: it loads code",
        ),
        (
            "videotestsrc ! vaapipostproc",
            "x.toml:5:16: capture.video: no element vaapipostproc; install it: apt-get install gstreamer1.0-vaapi",
        ),
        (
            "filesrc location=/etc/passwd ! pngdec",
            "x.toml:5:1: capture.video: the element filesrc is not allowed: it reads files; attacheclip location={clip}",
        ),
        (
            "uridecodebin uri=http://x/",
            "x.toml:5:1: capture.video: the element uridecodebin is not allowed: it opens network connections",
        ),
        (
            "decodebin ! videoconvert",
            "x.toml:5:1: capture.video: the element decodebin is not allowed: it chooses elements by itself",
        ),
        (
            "videotestsrc ! x264enc option-string=stats=/tmp/x ! avdec_h264",
            "x.toml:5:24: capture.video: x264enc#1: the property option-string of x264enc is not allowed; leave it out",
        ),
        (
            "videotestsrc ! vp8enc multipass-cache-file=/tmp/x ! vp8dec",
            "x.toml:5:23: capture.video: vp8enc#1: the property multipass-cache-file of vp8enc is not allowed",
        ),
        (
            "pulsesrc server=evil ! wavescope",
            "x.toml:5:10: capture.video: pulsesrc#0: the property server of pulsesrc is not allowed; allowed here: device",
        ),
        (
            "alsasrc device=\"tee:default,/tmp/x,raw\" ! wavescope",
            "x.toml:5:16: capture.video: alsasrc#0: the device of alsasrc; default, or hw:",
        ),
        (
            "videotestsrc\n! identity slient=true",
            "x.toml:6:12: capture.video: identity#1: no property slient; did you mean silent?",
        ),
        (
            "videotestsrc pattern=bal",
            "x.toml:5:22: capture.video: videotestsrc#0: pattern is \"bal\"; did you mean ball? one of smpte, snow",
        ),
        (
            "videotestsrc num-buffers=-2",
            "x.toml:5:26: capture.video: videotestsrc#0: num-buffers is \"-2\"; a whole number from -1 to 2147483647",
        ),
        (
            "videotestsrc ! videobalance hue=2.5",
            "x.toml:5:33: capture.video: videobalance#1: hue is \"2.5\"; a number from -1 to 1",
        ),
        (
            "videotestsrc horizontal-speed=fast",
            "x.toml:5:31: capture.video: videotestsrc#0: horizontal-speed is \"fast\"; a whole number from",
        ),
        (
            "videotestsrc ! identity silent=perhaps",
            "x.toml:5:32: capture.video: identity#1: silent is \"perhaps\"; true or false",
        ),
        (
            "videotestsrc ! identity stats=x",
            "x.toml:5:25: capture.video: identity#1: the property stats cannot be set",
        ),
        (
            "videotestsrc ! capsfilter caps=rubbish=",
            "x.toml:5:32: capture.video: capsfilter#1: caps is \"rubbish=\"; caps such as",
        ),
        (
            "videotestsrc ! video/x-raw,width=(wide)1",
            "x.toml:5:16: capture.video: \"video/x-raw,width=(wide)1\" are no caps; caps are like",
        ),
        (
            "videotestsrc\n! audioconvert",
            "x.toml:6:1: capture.video: audioconvert#1: videotestsrc#0 does not link to audioconvert#1: it gives video/x-raw",
        ),
        (
            "videotestsrc ! audioconvert",
            "sound and picture go through elements of their own",
        ),
        (
            "videotestsrc ! video/x-raw,format=RGB ! attachetimecode",
            "x.toml:5:39: capture.video: attachetimecode#2: caps#1 does not link to attachetimecode#2: it gives video/x-raw,format=RGB",
        ),
        (
            "videotestsrc ! video/x-raw,format=RGB ! attachetimecode",
            "put videoconvertscale ! videorate between them",
        ),
        (
            "videotestsrc ! jpegenc ! videoconvert",
            "put jpegdec between them",
        ),
        ("videotestsrc ! h264parse", "put an encoder between them"),
        (
            "videotestsrc name=a a. ! identity a. ! identity",
            "x.toml:5:38: capture.video: identity#2: a does not link to identity#2: src is linked already; an element with a free source pad",
        ),
        (
            "videotestsrc ! identity name=b videotestsrc ! b.nose",
            "b.nose\n",
        ),
        (
            "identity",
            "x.toml:5:1: capture.video: identity#0: the pad identity#0.sink leads nowhere; a capture fragment ends with one free source pad",
        ),
        (
            "videotestsrc ! fakesink",
            "x.toml:5:1: capture.video: no free source pad; a capture fragment ends with one free source pad",
        ),
        (
            "videotestsrc videotestsrc",
            "x.toml:5:14: capture.video: videotestsrc#1: 2 free pads: videotestsrc#0.src, videotestsrc#1.src; a capture",
        ),
        (
            "videotestsrc ! jpegenc",
            "x.toml:5:16: capture.video: jpegenc#1: it gives image/jpeg",
        ),
        ("videotestsrc ! jpegenc", "put jpegdec behind it"),
        (
            "audiotestsrc",
            "x.toml:5:1: capture.video: audiotestsrc#0: it gives audio/x-raw",
        ),
        (
            "videotestsrc ! compositor sink_0::alhpa=0.5",
            "x.toml:5:27: capture.video: compositor#1: no property alhpa; did you mean alpha?",
        ),
        (
            "videotestsrc ! compositor sink_7::alpha=0.5",
            "x.toml:5:27: capture.video: compositor#1: no pad sink_7; a pad that is linked here: ",
        ),
    ] {
        let found = capturing(launch).check(&Allowed::default());
        let found = found.expect_err(launch).to_string();
        let wanted = wanted.trim_end_matches('\n');
        if wanted == "b.nose" {
            assert!(found.contains("it has no sink pad nose"), "{found}");
            continue;
        }
        assert!(found.contains(wanted), "found  {found}\nwanted {wanted}");
        assert!(!found.contains("; ;") && !found.is_empty());
    }
}

#[test]
fn every_problem_of_every_fragment_is_told_at_once() {
    let description = kiosk(
        "[capture]\nvideo = 'filesrc ! videotestsrc patern=ball ! fakesinkk'\naudio = 'audiotestsrc wave=squre'\n\
         [playback]\naudio = 'fakesink'\nvideo = 'fakesink synk=1'\n",
    );
    let error = description.check(&Allowed::default()).unwrap_err();
    let places: Vec<_> = error
        .0
        .iter()
        .map(|problem| problem.place.unwrap())
        .collect();
    let places: Vec<_> = places
        .iter()
        .map(|place| (place.line, place.column))
        .collect();
    assert_eq!(
        places,
        [(4, 10), (4, 33), (4, 47), (5, 28), (8, 19)],
        "{error}"
    );
}

#[test]
fn a_wrong_placeholder_hides_nothing_that_is_wrong_with_elements() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hidden.toml");
    let text = "role = 'kiosk'\nsummary = 'x'\n[capture]\n\
                video = 'videotestsrc patern={ball} ! fakesinkk ! {camra} ! video/x-raw,width={widht}'\n\
                audio = 'audiotestsrc wave=squre frequency={pitch}'\n";
    std::fs::write(&file, text).unwrap();
    let wanted = [
        (4, 23, "patern"),
        (4, 30, "{ball} is no parameter"),
        (4, 39, "fakesinkk"),
        (4, 51, "{camra} is no parameter"),
        (4, 79, "{widht} is no parameter"),
        (5, 28, "squre"),
        (5, 34, "no property frequency"),
        (5, 44, "{pitch} is no parameter"),
    ];
    let checked = Description::check_file(&file, &Allowed::default());
    let loaded = Description::load(folder.path(), "hidden").map(drop);
    for error in [checked.unwrap_err(), loaded.unwrap_err()] {
        assert_eq!(error.0.len(), wanted.len(), "{error}");
        for (problem, (line, column, words)) in error.0.iter().zip(wanted) {
            let place = problem.place.unwrap();
            assert_eq!((place.line, place.column), (line, column), "{error}");
            assert!(problem.found.contains(words), "{problem} has no {words}");
        }
    }
}

#[test]
fn the_operator_adds_single_elements_by_name() {
    let description = capturing("filesrc location=/dev/null ! pngdec");
    assert!(description.check(&Allowed::default()).is_err());
    let added = Allowed::with(["filesrc".to_owned()]);
    assert_eq!(description.check(&added), Ok(()));
    let other = Allowed::with(["giosrc".to_owned()]);
    assert!(description.check(&other).is_err());
}

#[test]
fn branches_mixers_and_pad_properties_are_built() {
    let description = capturing(
        "videotestsrc ! tee name=t t. ! queue ! m.sink_0 t. ! queue ! m.sink_1\n\
         compositor name=m sink_1::alpha=0.5 sink_1::xpos=20 ! video/x-raw,width={width}",
    );
    description.check(&Allowed::default()).unwrap();
    let built = built(&description, &Parameters::new());
    let pad = built
        .bin
        .by_name("m")
        .unwrap()
        .static_pad("sink_1")
        .unwrap();
    assert!((pad.property::<f64>("alpha") - 0.5).abs() < 1e-9);
    assert_eq!(pad.property::<i32>("xpos"), 20);
    description.dry_run().unwrap();
}

#[test]
fn a_dry_run_tells_what_only_running_elements_know() {
    for (launch, wanted) in [
        (
            "videotestsrc ! identity\n! identity error-after=1",
            "x.toml:6:3: capture.video: identity#2: dry run: ",
        ),
        (
            "videotestsrc ! valve drop=true",
            "x.toml:5:1: capture.video: dry run: no frame came through within 1.5s",
        ),
    ] {
        let description = capturing(launch);
        assert_eq!(description.check(&Allowed::default()), Ok(()), "{launch}");
        let found = description.dry_run().expect_err(launch).to_string();
        assert!(found.starts_with(wanted), "found  {found}\nwanted {wanted}");
    }
    for right in [
        "v4l2src device=/dev/video7 ! image/jpeg,width=640,height=480 ! jpegdec",
        "ximagesrc display-name=:77 ! videoconvert",
        "attachertsp location=rtsp://192.0.2.1/x ! clocksync ! timeoverlay",
    ] {
        let description = capturing(right);
        assert_eq!(description.check(&Allowed::default()), Ok(()), "{right}");
        assert_eq!(description.dry_run(), Ok(()), "{right}");
    }
}

const TITLE: &str = "[parameters.title]\ntype = \"string\"\npattern = \"(?s).*\"\ndefault = \"x\"\ndescription = \"x\"\n\
     [parameters.size]\ntype = \"integer\"\ndefault = 20\ndescription = \"x\"\n\
     [parameters.level]\ntype = \"float\"\ndefault = 0.5\ndescription = \"x\"\n\
     [parameters.quiet]\ntype = \"boolean\"\ndefault = true\ndescription = \"x\"\n\
     [capture]\nvideo = 'videotestsrc ! video/x-raw,width={width} ! videobalance name=b brightness={level} \
     ! textoverlay text={title} silent={quiet} font-desc=\"Sans {size}\"'\n";

/// Names, properties' texts and links of a bin.
fn structure(bin: &gst::Bin) -> Vec<String> {
    let mut parts: Vec<String> = bin
        .iterate_elements()
        .into_iter()
        .flatten()
        .flat_map(|element| {
            let pads = element.pads().into_iter().map(|pad| {
                let peer = pad.peer().map(|peer| peer.path_string().to_string());
                let peer = peer.unwrap_or_default();
                let peer = peer
                    .trim_end_matches(|letter: char| letter.is_ascii_digit())
                    .to_owned();
                format!(
                    "{}.{} {}",
                    pad.parent().unwrap().name(),
                    pad.name(),
                    peer.rsplit('/').next().unwrap_or("")
                )
            });
            pads.collect::<Vec<_>>()
        })
        .collect();
    parts.sort();
    parts
}

#[test]
fn no_value_changes_the_structure_of_a_fragment() {
    let description = kiosk(TITLE);
    let wanted = structure(&built(&description, &Parameters::new()).bin);
    let long = "x ! fakesink ".repeat(18);
    for attack in [
        "a ! fakesink",
        "a\" ! filesink location=/tmp/x \"",
        "a' ! fakesink '",
        "\" ! fakesink name=\"x",
        "a\\\" ! fakesink",
        "a\\",
        "\\",
        "\"",
        "'",
        "a=b c=d",
        "name=x x. ! fakesink",
        "( fakesink )",
        "bin.( fakesink )",
        "#",
        "{room}",
        "{title}",
        "{{width}}",
        "! ! !",
        "b. ! fakesink",
        "$HOME `id` $(id)",
        "video/x-raw(memory:GLMemory),width=1",
        "<<(float)1.0>>",
        "{ a, b }",
        "[ 1, 2 ]",
        "(string)x",
        "GST_TYPE_BIN",
        "\u{202e}\u{feff}é漢字🦀",
        "%s%n%d",
        "../../etc/passwd",
        "file:///etc/passwd",
        "NULL",
        "",
        &long,
    ] {
        let given = parameters("title", Value::String(attack.to_owned()));
        let built = built(&description, &given);
        assert_eq!(structure(&built.bin), wanted, "{attack:?}");
        let overlay = built.bin.by_name("textoverlay#3").unwrap();
        assert_eq!(overlay.property::<String>("text"), attack);
    }
    let room = "lobby".parse().unwrap();
    for refused in [
        "a\0b",
        "line\nbreak",
        "\u{1b}[2J",
        "tab\t",
        &"x".repeat(257),
    ] {
        for name in ["title", "size", "level", "quiet", "nothing"] {
            let given = parameters(name, Value::String(refused.to_owned()));
            assert!(
                description.values(&given, &room).is_err(),
                "{name} {refused:?}"
            );
        }
    }
    for (name, value) in [
        ("size", Value::Float(1.5)),
        ("size", Value::String("1 ! fakesink".into())),
        ("level", Value::Float(f64::NAN)),
        ("level", Value::Float(f64::INFINITY)),
        ("level", Value::String("0.5".into())),
        ("quiet", Value::Integer(1)),
        ("width", Value::Integer(1)),
        ("room", Value::String("x".into())),
    ] {
        let given = parameters(name, value.clone());
        assert!(
            description.values(&given, &room).is_err(),
            "{name} {value:?}"
        );
    }
}

#[test]
fn a_text_goes_only_to_texts_and_names_of_values() {
    let head = "[parameters.t]\ntype = \"string\"\npattern = \".*\"\ndefault = \"ball\"\ndescription = \"x\"\n[capture]\n";
    for (launch, wanted) in [
        ("videotestsrc pattern={t}", None),
        (
            "videotestsrc ! capsfilter caps={t}",
            Some("a text parameter; a parameter that gives caps"),
        ),
        (
            "videotestsrc num-buffers={t}",
            Some("a text parameter; a parameter that gives a whole number"),
        ),
        (
            "videotestsrc ! videoflip video-direction={t}",
            Some("video-direction is \"ball\"; one of identity"),
        ),
        (
            "videotestsrc ! identity silent={t}",
            Some("a text parameter; a parameter that gives true or false"),
        ),
    ] {
        let description = kiosk(&format!("{head}video = '{launch}'\n"));
        let found = description
            .check(&Allowed::default())
            .err()
            .map(|error| error.to_string());
        match wanted {
            None => assert_eq!(found, None, "{launch}"),
            Some(wanted) => assert!(
                found.as_ref().is_some_and(|found| found.contains(wanted)),
                "{launch}: {found:?}"
            ),
        }
    }
}

#[test]
fn a_parameter_is_set_in_place_where_the_element_takes_it_while_playing() {
    let description = kiosk(TITLE);
    let built = built(&description, &Parameters::new());
    built
        .set("title", &Value::String("a \" ! b".into()))
        .unwrap();
    built.set("level", &Value::Float(0.25)).unwrap();
    let overlay = built.bin.by_name("textoverlay#3").unwrap();
    assert_eq!(overlay.property::<String>("text"), "a \" ! b");
    assert!(
        (built
            .bin
            .by_name("b")
            .unwrap()
            .property::<f64>("brightness")
            - 0.25)
            .abs()
            < 1e-9
    );
    assert!(matches!(
        built.set("width", &Value::Integer(2)),
        Err(SetError::NotLive { .. })
    ));
    assert!(matches!(
        built.set("size", &Value::Integer(2)),
        Err(SetError::NotLive { .. })
    ));
    assert!(matches!(
        built.set("other", &Value::Integer(2)),
        Err(SetError::Unknown(_))
    ));
    assert!(matches!(
        built.set("level", &Value::Float(7.0)),
        Err(SetError::Wrong { .. })
    ));
}

fn change(old: &Description, given: &Parameters, new: &Description, now: &Parameters) -> Change {
    let room = "lobby".parse().unwrap();
    let (old_values, values) = (
        old.values(given, &room).unwrap(),
        new.values(now, &room).unwrap(),
    );
    old.changes(&old_values, new, &values).unwrap()
}

#[test]
fn a_change_is_in_place_where_it_can_be_and_names_what_is_built_anew_elsewhere() {
    let old = kiosk(TITLE);
    let none = Parameters::new();
    assert_eq!(change(&old, &none, &old, &none), Change::Nothing);

    let title = parameters("title", Value::String("new".into()));
    let Change::InPlace(settings) = change(&old, &none, &old, &title) else {
        panic!()
    };
    assert_eq!(settings.len(), 1);
    assert_eq!(
        (settings[0].element.as_str(), settings[0].property.as_str()),
        ("textoverlay#3", "text")
    );
    assert_eq!(
        settings[0].value,
        NewValue::Parameter(Value::String("new".into()))
    );
    let built = built(&old, &none);
    built.apply(&settings[0]).unwrap();
    assert_eq!(
        built
            .bin
            .by_name("textoverlay#3")
            .unwrap()
            .property::<String>("text"),
        "new"
    );

    // The file moved and a written property changed: still in place.
    let edited = kiosk(&format!("# a comment\n{}", TITLE.replace("Sans", "Serif")));
    let Change::InPlace(settings) = change(&old, &none, &edited, &none) else {
        panic!()
    };
    assert_eq!(settings[0].value, NewValue::Written("Serif 20".into()));

    for edit in [
        TITLE.replace("! videobalance", "! identity ! videobalance"),
        TITLE.replace("videotestsrc !", "videotestsrc num-buffers=1 !"),
        TITLE.replace("width={width}", "width=322"),
        TITLE.replace("name=b", "name=c"),
    ] {
        let Change::Rebuild(rebuild) = change(&old, &none, &kiosk(&edit), &none) else {
            panic!("{edit}")
        };
        assert!(
            rebuild.concerns(Section::Capture, MediaKind::Video),
            "{edit}"
        );
        assert_eq!((rebuild.parts.len(), rebuild.peers), (1, false), "{edit}");
    }
    let size = kiosk(&format!(
        "{TITLE}[settings]\nlatency_ms = 61\n[settings.video]\nwidth = 640\nbitrate_kbps = 100\n"
    ));
    let Change::Rebuild(rebuild) = change(&old, &none, &size, &none) else {
        panic!()
    };
    assert!(rebuild.concerns(Section::Capture, MediaKind::Video) && rebuild.peers);
    assert_eq!(rebuild.encoders, [MediaKind::Video]);
    assert_eq!(rebuild.parts.len(), 1);
}

#[test]
fn shipped_descriptions_are_right() {
    let folder = super::tests::pipelines();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        if file
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            assert_eq!(
                Description::check_file(Path::new(&file), &Allowed::default()),
                Ok(())
            );
        }
    }
}

mod fuzz {
    //! Arbitrary and mutated texts: nothing panics, every place lies inside of the file, no value is lost or split.

    use proptest::prelude::*;

    use super::super::fragment::literal;
    use super::super::launch;
    use super::*;

    fn cases() -> ProptestConfig {
        let cases = std::env::var("ATTACHE_FUZZ_CASES")
            .ok()
            .and_then(|cases| cases.parse().ok());
        ProptestConfig {
            cases: cases.unwrap_or(300),
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    }

    /// A shipped file with some of its characters replaced, doubled or left out.
    fn mutated() -> impl Strategy<Value = String> {
        let file = prop_oneof![
            Just(include_str!("../../pipelines/kiosk-test.toml")),
            Just(include_str!("../../pipelines/kiosk.toml")),
            Just(TITLE),
        ];
        let edits = prop::collection::vec(
            (
                any::<prop::sample::Index>(),
                "[!\"'{}=.\\[\\]#\n\\\\a-z0-9é]{0,3}",
                0..6usize,
            ),
            1..6,
        );
        (file, edits).prop_map(|(file, edits)| {
            let mut letters: Vec<char> = file.chars().collect();
            for (at, put, taken) in edits {
                let at = at.index(letters.len());
                let end = (at + taken).min(letters.len());
                letters.splice(at..end, put.chars());
            }
            letters.into_iter().collect()
        })
    }

    fn places_are_inside(text: &str) -> Result<(), TestCaseError> {
        let Err(error) = parse(text) else {
            return Ok(());
        };
        let lines: Vec<&str> = text.split('\n').collect();
        prop_assert!(!error.0.is_empty());
        for problem in error.0 {
            let Some(place) = problem.place else {
                continue;
            };
            prop_assert!(place.line >= 1 && place.line <= lines.len(), "{problem}");
            let columns = lines[place.line - 1].chars().count() + 1;
            prop_assert!(place.column >= 1 && place.column <= columns, "{problem}");
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn any_text_is_read_or_refused_inside_of_the_file(text in "(?s).{0,200}") {
            places_are_inside(&text)?;
        }

        #[test]
        fn any_damage_to_a_description_is_told_inside_of_the_file(text in mutated()) {
            places_are_inside(&text)?;
        }

        #[test]
        fn any_fragment_in_any_quotes_is_told_inside_of_the_file(
            fragment in "[a-z!={}./ \"\\\\\n(,:;0-9é]{0,60}", quotes in prop_oneof![Just("'''"), Just("\"\"\""), Just("'"), Just("\"")],
        ) {
            places_are_inside(&format!("role = \"kiosk\"\nsummary = \"x\"\n[capture]\nvideo = {quotes}{fragment}{quotes}\n"))?;
        }

        #[test]
        fn mistakes_of_a_fragment_are_at_letters_of_it(text in "[a-z!={}./ \"'\\\\\n(,:;0-9é]{0,80}") {
            if let Err(mistakes) = launch::parse(&text) {
                prop_assert!(!mistakes.is_empty());
                for mistake in mistakes {
                    prop_assert!(mistake.at <= text.len() && text.is_char_boundary(mistake.at));
                }
            }
        }

        #[test]
        fn any_value_stays_one_value(text in "\\PC{0,80}", size in any::<i64>(), level in any::<f64>()) {
            use std::sync::OnceLock;
            static DESCRIPTION: OnceLock<Description> = OnceLock::new();
            let description = DESCRIPTION.get_or_init(|| kiosk(TITLE));
            let mut given = parameters("title", Value::String(text.clone()));
            given.insert("size".into(), Value::Integer(size));
            given.insert("level".into(), Value::Float(level));
            if let Ok(values) = description.values(&given, &"lobby".parse().unwrap()) {
                let fragment = description.capture.video.as_ref().unwrap();
                // Shown, it parses to the same elements and links: no value adds or takes one.
                let shown = fragment.fill(&values, |_| None).to_string();
                let read = launch::parse(&shown).map_err(|mistakes| TestCaseError::fail(format!("{shown} {mistakes:?}")))?;
                prop_assert_eq!(read.elements.len(), fragment.launch.elements.len());
                prop_assert_eq!(&read.links.len(), &fragment.launch.links.len());
                prop_assert_eq!(literal(values.get("title").unwrap()), text);
            }
        }
    }
}
