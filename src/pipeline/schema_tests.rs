//! The JSON Schema for editors: it is current, takes what is right and refuses what the reader refuses.

use serde_json::Value as Json;

use super::schema::json_schema;
use super::tests::{parse, pipelines};

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&json_schema()).unwrap()
}

fn as_json(text: &str) -> Json {
    let table: toml::Table = text.parse().unwrap();
    serde_json::to_value(table).unwrap()
}

#[test]
fn the_schema_beside_the_descriptions_is_current() {
    let file = pipelines().join("description.schema.json");
    let stored: Json = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        stored,
        json_schema(),
        "attache pipelines schema > pipelines/description.schema.json"
    );
    jsonschema::meta::validate(&stored).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn shipped_descriptions_name_the_schema_and_fit_it() {
    let validator = validator();
    for entry in std::fs::read_dir(pipelines()).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("#:schema ./description.schema.json\n"),
            "{}",
            file.display()
        );
        let wrong: Vec<String> = validator
            .iter_errors(&as_json(&text))
            .map(|error| error.to_string())
            .collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", file.display());
    }
}

#[test]
fn what_the_schema_refuses_the_reader_refuses_too() {
    let validator = validator();
    let kiosk = "role = \"kiosk\"\nsummary = \"x\"\n";
    let parameter = "[parameters.a]\ndescription = \"x\"\n";
    for (text, is_right) in [
        (kiosk.to_owned(), true),
        (format!("{kiosk}colour = 1\n"), false),
        ("summary = \"x\"\n".to_owned(), false),
        ("role = \"singer\"\nsummary = \"x\"\n".to_owned(), false),
        (format!("{kiosk}[capture]\nvideo = 1\n"), false),
        (format!("{kiosk}[capture]\npicture = \"x\"\n"), false),
        (format!("{kiosk}[chain]\nvideo = \"identity\"\n"), false),
        ("role = \"filter\"\nsummary = \"x\"\n".to_owned(), false),
        (
            "role = \"filter\"\nsummary = \"x\"\n[chain]\naudio = \"identity\"\n".to_owned(),
            true,
        ),
        (
            "role = \"recorder\"\nsummary = \"x\"\n[capture]\naudio = \"identity\"\n".to_owned(),
            false,
        ),
        (format!("{kiosk}[settings.video]\nwidth = 641\n"), false),
        (format!("{kiosk}[settings.video]\nwidth = 640\n"), true),
        (
            format!("{kiosk}[settings.video]\ncodecs = [\"av9\"]\n"),
            false,
        ),
        (
            format!("{kiosk}[settings.video]\ncodecs = [\"vp8\", \"vp8\"]\n"),
            false,
        ),
        (format!("{kiosk}[settings]\nlatency_ms = 9000\n"), false),
        (
            format!("{kiosk}{parameter}type = \"integer\"\ndefault = 1\nmin = 0\n"),
            true,
        ),
        (
            format!("{kiosk}{parameter}type = \"integer\"\ndefault = 1.5\n"),
            false,
        ),
        (
            format!("{kiosk}{parameter}type = \"boolean\"\ndefault = true\nmin = 0\n"),
            false,
        ),
        (
            format!("{kiosk}{parameter}type = \"string\"\ndefault = \"x\"\n"),
            false,
        ),
        (
            format!("{kiosk}{parameter}type = \"string\"\ndefault = \"x\"\npattern = \"x\"\n"),
            true,
        ),
        (
            format!(
                "{kiosk}{parameter}type = \"string\"\ndefault = \"x\"\npattern = \"x\"\nvalues = [\"x\"]\n"
            ),
            false,
        ),
        (
            format!("{kiosk}{parameter}type = \"device\"\ndefault = \"auto\"\nkind = \"nose\"\n"),
            false,
        ),
        (
            format!(
                "{kiosk}[parameters.Big]\ndescription = \"x\"\ntype = \"boolean\"\ndefault = true\n"
            ),
            false,
        ),
    ] {
        assert_eq!(validator.is_valid(&as_json(&text)), is_right, "{text}");
        assert_eq!(parse(&text).is_ok(), is_right, "{text}");
    }
}

/// The list of elements as `docs/pipelines.md` has it.
fn list_for_people() -> String {
    let groups = super::allowed::list().map(|(purpose, elements, properties)| {
        let elements: Vec<String> = elements.iter().map(|name| format!("`{name}`")).collect();
        format!(
            "- **{purpose}**: {}. May be set: {properties}.\n",
            elements.join(", ")
        )
    });
    groups.collect()
}

fn docs() -> String {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pipelines.md");
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn the_documented_list_of_elements_is_the_one_in_force() {
    let list = list_for_people();
    assert!(
        docs().contains(&list),
        "put this into docs/pipelines.md:\n{list}"
    );
}

#[test]
fn documented_descriptions_are_right() {
    let docs = docs();
    let examples = docs
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let mut count = 0;
    for example in examples.filter(|example| example.contains("role = ")) {
        let description = parse(example).unwrap_or_else(|error| panic!("{example}\n{error}"));
        assert_eq!(
            description.check(&super::allowed::Allowed::default()),
            Ok(()),
            "{example}"
        );
        assert_eq!(description.dry_run(), Ok(()), "{example}");
        count += 1;
    }
    assert!(count >= 4);
}
