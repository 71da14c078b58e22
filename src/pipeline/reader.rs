//! TOML tables read key by key, against the tables of `schema.rs`: every problem is collected with its line and column.

use std::cell::RefCell;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, did_you_mean};
use super::schema::Key;
use crate::job::Value;

/// A file's text and name, and the problems found in it so far.
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub text: &'a str,
    pub problems: RefCell<Vec<Problem>>,
}

impl<'a> Source<'a> {
    pub fn new(file: &'a Path, text: &'a str) -> Self {
        Self {
            file,
            text,
            problems: RefCell::default(),
        }
    }

    /// The place of a byte position.
    pub fn place(&self, position: usize) -> Place {
        let before = self.text.get(..position).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + before[line_start..].chars().count(),
        }
    }

    pub fn report(
        &self,
        place: Place,
        key: &str,
        found: impl Into<String>,
        right: impl Into<String>,
    ) {
        self.problems.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            place: Some(place),
            key: key.to_owned(),
            element: None,
            found: found.into(),
            right: right.into(),
        });
    }

    /// The places of a TOML string's characters: one for each byte of the decoded text, and one behind it.
    pub fn places(&self, start: usize, decoded: &str) -> Vec<Place> {
        let raw = self.text.get(start..).unwrap_or_default();
        let is_basic = raw.starts_with('"');
        let opening = if raw.starts_with("'''") || raw.starts_with("\"\"\"") {
            3
        } else {
            1
        };
        let mut at = opening.min(raw.len());
        if opening == 3 {
            // TOML drops the line break right behind the opening quotes.
            let newline = ["\r\n", "\n"]
                .iter()
                .find(|newline| raw[at..].starts_with(**newline));
            at += newline.map_or(0, |newline| newline.len());
        }
        let mut place = self.place(start + at);
        let mut places = Vec::with_capacity(decoded.len() + 1);
        for letter in decoded.chars() {
            if is_basic {
                let skipped = line_ending_backslash(&raw[at..]);
                place = advance(place, &raw[at..at + skipped]);
                at += skipped;
            }
            places.extend(std::iter::repeat_n(place, letter.len_utf8()));
            let length = length_of(&raw[at..], letter, is_basic);
            place = advance(place, &raw[at..at + length]);
            at += length;
        }
        places.push(place);
        places
    }
}

fn advance(place: Place, over: &str) -> Place {
    over.chars().fold(place, |place, letter| match letter {
        '\n' => Place {
            line: place.line + 1,
            column: 1,
        },
        _ => Place {
            line: place.line,
            column: place.column + 1,
        },
    })
}

/// The length of a backslash at a line's end with the spaces it swallows, repeated ones too.
fn line_ending_backslash(raw: &str) -> usize {
    let mut length = 0;
    while let Some(after) = raw[length..].strip_prefix('\\') {
        let blank = after.len() - after.trim_start().len();
        if !after[..blank].contains('\n') {
            break;
        }
        length += 1 + blank;
    }
    length
}

/// How many bytes of the raw text stand for a decoded letter.
fn length_of(raw: &str, letter: char, is_basic: bool) -> usize {
    if letter == '\n' && raw.starts_with("\r\n") {
        return 2;
    }
    let Some(first) = raw.chars().next() else {
        return 0;
    };
    if !is_basic || first != '\\' {
        return first.len_utf8();
    }
    let length = match raw.as_bytes().get(1) {
        Some(b'u') => 6,
        Some(b'U') => 10,
        Some(b'x') => 4,
        Some(_) | None => 2,
    };
    // Digits of an escape are ASCII; a text that TOML took cannot end within one.
    if raw.is_char_boundary(length) {
        length
    } else {
        raw.len()
    }
}

/// A text and where its value begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub text: String,
    pub place: Place,
    /// The byte position of its opening quote.
    pub start: usize,
}

/// A table whose keys are taken one after the other. Unknown and missing keys are reported when it is made.
pub(super) struct Table<'a> {
    pub source: &'a Source<'a>,
    path: String,
    pub place: Place,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    key: &'a str,
    place: Place,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Table<'a> {
    /// A table that is not yet checked against a list of keys.
    pub fn new(source: &'a Source<'a>, path: &str, place: Place, table: &'a DeTable<'a>) -> Self {
        let entries = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref(),
                place: source.place(key.span().start),
                value,
            })
            .collect();
        Self {
            source,
            path: path.to_owned(),
            place,
            entries,
        }
    }

    /// Reports keys that are not in the list, and those that must be there and are not.
    pub fn expect(mut self, keys: &[Key]) -> Self {
        let names = || keys.iter().map(|key| key.name);
        let (known, unknown): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|entry| names().any(|name| name == entry.key));
        for entry in unknown {
            let list = format!("known here: {}", names().collect::<Vec<_>>().join(", "));
            let right = match did_you_mean(entry.key, names()) {
                Some(meant) => format!("{meant} {list}"),
                None => list,
            };
            self.report(entry.place, entry.key, "unknown key", right);
        }
        self.entries = known;
        for key in keys.iter().filter(|key| key.is_required) {
            if !self.entries.iter().any(|entry| entry.key == key.name) {
                let right = format!("this key must be given: {}", key.about);
                self.report(self.place, key.name, "found nothing", right);
            }
        }
        self
    }

    /// The dotted name of a key of this table.
    pub fn name_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            (path, "") => path.to_owned(),
            ("", key) => key.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Reports a problem at one of this table's keys.
    pub fn report(
        &self,
        place: Place,
        key: &str,
        found: impl Into<String>,
        right: impl Into<String>,
    ) {
        self.source.report(place, &self.name_of(key), found, right);
    }

    fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn wrong_type(&self, entry: &Entry<'_>, right: &str) {
        let found = format!("found {}", shown(entry.value.get_ref()));
        let place = self.source.place(entry.value.span().start);
        self.report(place, entry.key, found, right);
    }

    /// A text.
    pub fn string(&self, key: &str) -> Option<Text> {
        let entry = self.entry(key)?;
        let DeValue::String(text) = entry.value.get_ref() else {
            self.wrong_type(entry, "a text in quotes is wanted here");
            return None;
        };
        let start = entry.value.span().start;
        Some(Text {
            text: text.to_string(),
            place: self.source.place(start),
            start,
        })
    }

    /// A list of texts, with the place of the list.
    pub fn strings(&self, key: &str) -> Option<(Vec<String>, Place)> {
        let entry = self.entry(key)?;
        let texts: Option<Vec<String>> = match entry.value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect(),
            _ => None,
        };
        match texts {
            Some(texts) => Some((texts, self.source.place(entry.value.span().start))),
            None => {
                self.wrong_type(entry, "a list of texts is wanted here");
                None
            }
        }
    }

    /// A text, number or boolean, with its place.
    pub fn value(&self, key: &str) -> Option<(Value, Place)> {
        let entry = self.entry(key)?;
        match plain(entry.value.get_ref()) {
            Some(value) => Some((value, self.source.place(entry.value.span().start))),
            None => {
                self.wrong_type(entry, "a text, a number, true or false is wanted here");
                None
            }
        }
    }

    /// A table below this one, checked against its keys.
    pub fn table(&self, key: &str, keys: &[Key]) -> Option<Table<'a>> {
        let entry = self.entry(key)?;
        self.below(entry).map(|table| table.expect(keys))
    }

    fn below(&self, entry: &Entry<'a>) -> Option<Table<'a>> {
        let DeValue::Table(table) = entry.value.get_ref() else {
            self.wrong_type(entry, "a table is wanted here");
            return None;
        };
        let path = self.name_of(entry.key);
        Some(Table::new(self.source, &path, entry.place, table))
    }

    /// A list of tables, each checked against its keys.
    pub fn list(&self, key: &str, keys: &[Key]) -> Option<Vec<Table<'a>>> {
        let entry = self.entry(key)?;
        let tables: Option<Vec<_>> = match entry.value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| Some((item.get_ref().as_table()?, item)))
                .collect(),
            _ => None,
        };
        let Some(tables) = tables else {
            self.wrong_type(entry, "a list of tables is wanted here");
            return None;
        };
        let path = self.name_of(key);
        let read = |(table, item): (&'a DeTable<'a>, &Spanned<_>)| {
            let place = self.source.place(item.span().start);
            Table::new(self.source, &path, place, table).expect(keys)
        };
        Some(tables.into_iter().map(read).collect())
    }

    /// The tables below a key, each under its own name and not yet checked against keys; `None` is one that is no table.
    pub fn tables(&self, key: &str) -> Vec<(String, Option<Table<'a>>)> {
        let Some(table) = self.entry(key).and_then(|entry| self.below(entry)) else {
            return Vec::new();
        };
        table
            .entries
            .iter()
            .map(|entry| (entry.key.to_owned(), table.below(entry)))
            .collect()
    }
}

/// A plain value; `None` for lists, tables and dates.
fn plain(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Boolean(value) => Some(Value::Boolean(*value)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(Value::Integer),
        DeValue::Float(number) => number.as_str().parse().ok().map(Value::Float),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// A value as an error shows it.
fn shown(value: &DeValue<'_>) -> String {
    match plain(value) {
        Some(value) => super::parameters::shown(&value),
        None => format!("a {}", value.type_str()),
    }
}
