//! Fragments: launch texts with `{name}` placeholders, filled only with checked literals.

use super::parameters::Values;
use crate::job::Value;

/// A launch text of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The key it stands under: `capture.video`.
    pub key: &'static str,
    /// The launch text, with its placeholders.
    pub text: String,
    /// The line of the file on which the text begins, from 1.
    pub line: usize,
}

/// A placeholder in a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholder<'a> {
    /// The name between the braces.
    pub name: &'a str,
    /// The byte position of the opening brace.
    start: usize,
    /// The byte position behind the closing brace.
    end: usize,
}

impl Fragment {
    /// The placeholders in order: `{` a small letter, then small letters, digits and `_`, `}`. Other braces belong to
    /// gst-launch (`format={I420,NV12}`).
    pub fn placeholders(&self) -> Vec<Placeholder<'_>> {
        let mut found = Vec::new();
        for (start, _) in self.text.match_indices('{') {
            let Some(length) = self.text[start + 1..].find('}') else {
                break;
            };
            let name = &self.text[start + 1..start + 1 + length];
            let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if is_name {
                found.push(Placeholder {
                    name,
                    start,
                    end: start + length + 2,
                });
            }
        }
        found
    }

    /// The line of the file on which a byte position of the text is.
    pub fn line_at(&self, position: usize) -> usize {
        self.line
            + self
                .text
                .bytes()
                .take(position)
                .filter(|byte| *byte == b'\n')
                .count()
    }

    /// The line of a placeholder.
    pub fn line_of(&self, placeholder: &Placeholder<'_>) -> usize {
        self.line_at(placeholder.start)
    }

    /// The line on which a word first stands, for errors about an element or property; else the first line.
    pub fn line_with(&self, word: &str) -> usize {
        self.text
            .find(word)
            .map_or(self.line, |position| self.line_at(position))
    }

    /// Whether the placeholder is the whole value of a property (`text={room}`), outside of quotes: the only place
    /// where a text may go.
    pub fn is_whole_value(&self, placeholder: &Placeholder<'_>) -> bool {
        let before = &self.text[..placeholder.start];
        let after = &self.text[placeholder.end..];
        let quotes = before.matches('"').count() + before.matches('\'').count();
        quotes.is_multiple_of(2)
            && before.ends_with('=')
            && after.chars().next().is_none_or(char::is_whitespace)
    }

    /// Whether the placeholder stands where an element stands: at an end of the text or of a link.
    pub fn is_whole_element(&self, placeholder: &Placeholder<'_>) -> bool {
        let before = self.text[..placeholder.start].trim_end();
        let after = self.text[placeholder.end..].trim_start();
        (before.is_empty() || before.ends_with('!')) && (after.is_empty() || after.starts_with('!'))
    }

    /// The launch text with values in the placeholders. `element` gives the text of a device's element; it is made by
    /// attache, not by whoever gave the parameter.
    pub fn fill(&self, values: &Values, element: impl Fn(&str) -> Option<String>) -> String {
        let mut filled = String::with_capacity(self.text.len());
        let mut done = 0;
        for placeholder in self.placeholders() {
            let literal = element(placeholder.name)
                .or_else(|| values.get(placeholder.name).map(literal))
                .unwrap_or_default();
            filled.push_str(&self.text[done..placeholder.start]);
            filled.push_str(&literal);
            done = placeholder.end;
        }
        filled.push_str(&self.text[done..]);
        filled
    }
}

/// A value as gst-launch reads it. Texts were checked to hold neither quotes nor backslashes.
fn literal(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::String(text) => format!("\"{text}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(text: &str) -> Fragment {
        Fragment {
            key: "capture.video",
            text: text.to_owned(),
            line: 1,
        }
    }

    #[test]
    fn braces_of_gst_launch_are_no_placeholders() {
        let text = fragment("x format={I420,NV12} width={width} y={ I420 }");
        let names: Vec<_> = text.placeholders().iter().map(|found| found.name).collect();
        assert_eq!(names, ["width"]);
    }

    #[test]
    fn a_text_is_quoted_and_a_number_is_bare() {
        let mut values = Values::default();
        values.insert("room", Value::String("a b".into()));
        values.insert("width", Value::Integer(320));
        let filled = fragment("t text={room} ! video/x-raw,width={width}").fill(&values, |_| None);
        assert_eq!(filled, "t text=\"a b\" ! video/x-raw,width=320");
    }

    #[test]
    fn a_text_may_only_be_a_whole_value() {
        for (text, right) in [
            ("t text={room}", true),
            ("t text={room} ! x", true),
            ("t text=\"{room}\"", false),
            ("t text=a{room}", false),
            ("t text={room}a", false),
            ("{room}", false),
        ] {
            let fragment = fragment(text);
            assert_eq!(
                fragment.is_whole_value(&fragment.placeholders()[0]),
                right,
                "{text}"
            );
        }
    }
}
