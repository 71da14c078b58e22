//! The grammar of fragments: what is read, and each refusal with its position.

use super::*;

fn factory(element: &Element) -> &str {
    match &element.what {
        What::Factory(name) => name,
        What::Caps(_) => "(caps)",
        What::Device(_) => "(device)",
    }
}

/// `a>b` for each link, with pads.
fn links(text: &str) -> Vec<String> {
    let launch = parse(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"));
    let end = |end: &LinkEnd| {
        let name = factory(&launch.elements[end.element]).to_owned();
        match &end.pad {
            Some(pad) => format!("{name}.{pad}"),
            None => name,
        }
    };
    let links = launch.links.iter();
    links
        .map(|link| format!("{}>{}", end(&link.from), end(&link.to)))
        .collect()
}

#[test]
fn chains_branches_caps_and_devices_are_read() {
    for (text, wanted) in [
        ("a ! b ! c", vec!["a>b", "b>c"]),
        ("a!b", vec!["a>b"]),
        ("{camera} ! b", vec!["(device)>b"]),
        ("a ! video/x-raw,width=1 ! b", vec!["a>(caps)", "(caps)>b"]),
        (
            "a ! video/x-raw, width=1 , height=(int)[ 1, 2 ],\n format={ I420, NV12 } ! b",
            vec!["a>(caps)", "(caps)>b"],
        ),
        (
            "a ! \"video/x-raw, width=1\" ! b",
            vec!["a>(caps)", "(caps)>b"],
        ),
        (
            "a ! video/x-raw(memory:GLMemory) ! b",
            vec!["a>(caps)", "(caps)>b"],
        ),
        (
            "tee name=t t. ! b t.src_7 ! c.sink c name=c",
            vec!["tee>b", "tee.src_7>c.sink"],
        ),
        (
            "b ! x. c ! x. mix name=x ! d",
            vec!["b>mix", "c>mix", "mix>d"],
        ),
        ("a ! audio/x-raw,rate=8000\nb ! c", vec!["a>(caps)", "b>c"]),
    ] {
        assert_eq!(links(text), wanted, "{text}");
    }
}

#[test]
fn values_keep_what_quotes_hold() {
    let text =
        r#"t a=1 b="x ! \"y\" \\" c='z\' d = 5 e=video/x-raw,width={w} sink_0::alpha=0.5 f={r}"#;
    let launch = parse(text).unwrap();
    let [element] = launch.elements.as_slice() else {
        panic!("{launch:?}")
    };
    let values: Vec<(String, String)> = element
        .properties
        .iter()
        .map(|property| {
            let value = property.value.filled(|name| format!("<{name}>"));
            (property.name.clone(), value)
        })
        .collect();
    let wanted = [
        ("a", "1"),
        ("b", "x ! \"y\" \\"),
        ("c", "z\\"),
        ("d", "5"),
        ("e", "video/x-raw,width=<w>"),
        ("sink_0::alpha", "0.5"),
        ("f", "<r>"),
    ];
    assert_eq!(
        values,
        wanted.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(element.properties[6].value.whole(), Some("r"));
    assert_eq!(element.properties[4].value.whole(), None);
}

#[test]
fn what_is_refused_is_told_with_its_position_and_what_to_write() {
    for (text, at, found, right) in [
        ("", 0, "no element", "at least one element"),
        ("! a", 0, "nothing before it", "both sides"),
        ("a ! ! b", 4, "nothing before it", "both sides"),
        ("a !", 2, "nothing behind it", "both sides"),
        ("( a ! b )", 0, "found '('", "without parentheses"),
        ("bin.( a )", 4, "more behind bin.", "x. or x.pad"),
        (
            "file:///etc/passwd ! a",
            0,
            "an address (file:...)",
            "attachertsp location=",
        ),
        (
            "a ! http://x/y",
            4,
            "an address (http:...)",
            "attachertsp location=",
        ),
        ("a @preset", 2, "found '@'", "presets are not used here"),
        ("a : b", 2, "found ':'", "\"!\""),
        ("a ; b", 2, "found ';'", "quotes"),
        (". ! a", 0, "found '.'", "x.pad"),
        ("# no", 0, "found '#'", "comments are TOML's"),
        ("x. ! a", 0, "no element has the name x", "put name=x"),
        (
            "tee name=t y. ! a",
            11,
            "no element has the name y",
            "names here: t",
        ),
        (
            "tee name=t t.a,b ! c",
            14,
            "more behind t.a",
            "one pad for each link",
        ),
        (
            "a name=x ! b name=x",
            18,
            "a second element with the name x",
            "another name",
        ),
        ("a name=1", 7, "a name that is none", "name=mix"),
        ("a name={x}", 7, "a name that is none", "name=mix"),
        (
            "b=1",
            0,
            "the property b without an element",
            "behind its element",
        ),
        (
            "a ! b=1",
            4,
            "the property b without an element",
            "behind its element",
        ),
        (
            "a ! {c} b=1",
            8,
            "the property b behind {c}",
            "leave this out",
        ),
        (
            "a ! video/x-raw b=1 ! c",
            16,
            "the property b behind caps",
            "caps end with",
        ),
        ("a b=1 b=2", 6, "b a second time", "each property once"),
        ("a b=", 4, "b= without a value", "b=\"\""),
        ("a b= ! c", 5, "b= without a value", "b=\"\""),
        ("a b=\"x", 4, "not closed", "a closing \""),
        ("a b='x", 4, "not closed", "a closing '"),
        ("a b=\"x\"y", 7, "more behind the quotes of b", "a space"),
        ("a b=x!c", 5, "'!' in the value of b", "b=\"...\""),
        ("a b=x\"y\"", 5, "'\"' in the value", "b=\"...\""),
        ("a b=x\\ y", 5, "'\\\\' in the value", "b=\"...\""),
        ("a ! \"b\"", 4, "a text in quotes", "property="),
        ("a ! {Camera}", 4, "found \"{\"", "{camera} ! ..."),
        ("a ! {camera}x", 4, "found \"{\"", "{camera} ! ..."),
        (
            "a ! video/ ! b",
            4,
            "caps without a media type",
            "video/x-raw",
        ),
        ("a/b:c ! é", 8, "found 'é'", "an element"),
        ("a::b", 4, "found '!' behind a::b", ""),
        ("a,b ! c", 1, "found ',' behind a", "one pad"),
    ] {
        let mistakes = parse(text).expect_err(text);
        let first = &mistakes[0];
        assert_eq!(first.at, at, "{text}: {mistakes:?}");
        assert!(first.found.contains(found), "{text}: {mistakes:?}");
        assert!(first.right.contains(right), "{text}: {mistakes:?}");
        assert_eq!(mistakes.len(), 1, "{text}: {mistakes:?}");
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let mistakes = parse("a b= ! ! ( x. ) ! http://y c=\"").unwrap_err();
    assert_eq!(mistakes.len(), 6, "{mistakes:#?}");
}
