//! TOML tables read key by key: every value knows its line, and a key that nobody asked for is an error.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::description::DescriptionError;
use crate::job::Value;

/// A file's text and name, for places in errors.
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub text: &'a str,
}

impl Source<'_> {
    /// The line of a byte position, counted from 1.
    pub fn line(&self, position: usize) -> usize {
        1 + self
            .text
            .bytes()
            .take(position)
            .filter(|byte| *byte == b'\n')
            .count()
    }

    pub fn error(
        &self,
        line: usize,
        key: &str,
        found: impl Into<String>,
        right: impl Into<String>,
    ) -> DescriptionError {
        DescriptionError {
            file: PathBuf::from(self.file),
            line: Some(line),
            key: key.to_owned(),
            found: found.into(),
            right: right.into(),
        }
    }
}

/// A text and the line its content begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub text: String,
    pub line: usize,
}

/// A table of which keys are taken one after the other; [`Table::finish`] refuses what is left.
pub(super) struct Table<'a> {
    source: &'a Source<'a>,
    path: String,
    pub line: usize,
    entries: Vec<Entry<'a>>,
    known: Vec<&'static str>,
}

struct Entry<'a> {
    key: &'a str,
    line: usize,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Table<'a> {
    pub fn new(source: &'a Source<'a>, path: &str, line: usize, table: &'a DeTable<'a>) -> Self {
        let entries = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref(),
                line: source.line(key.span().start),
                value,
            })
            .collect();
        Self {
            source,
            path: path.to_owned(),
            line,
            entries,
            known: Vec::new(),
        }
    }

    /// The dotted name of a key of this table.
    pub fn name_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            (path, "") => path.to_owned(),
            ("", key) => key.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// An error at one of this table's keys.
    pub fn error(
        &self,
        line: usize,
        key: &str,
        found: impl Into<String>,
        right: impl Into<String>,
    ) -> DescriptionError {
        self.source.error(line, &self.name_of(key), found, right)
    }

    fn take(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.known.push(key);
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }

    fn wrong_type(&self, entry: &Entry<'_>, right: &str) -> DescriptionError {
        let found = format!("found {}", shown(entry.value.get_ref()));
        self.error(entry.line, entry.key, found, right)
    }

    /// A text.
    pub fn string(&mut self, key: &'static str) -> Result<Option<Text>, DescriptionError> {
        let Some(entry) = self.take(key) else {
            return Ok(None);
        };
        let DeValue::String(text) = entry.value.get_ref() else {
            return Err(self.wrong_type(&entry, "a text in quotes is wanted here"));
        };
        let start = entry.value.span().start;
        let raw = self.source.text.get(start..).unwrap_or_default();
        // TOML drops the line break right behind the opening quotes of a multi-line text.
        let on_next_line = ["'''\n", "\"\"\"\n", "'''\r\n", "\"\"\"\r\n"]
            .iter()
            .any(|opening| raw.starts_with(opening));
        Ok(Some(Text {
            text: text.to_string(),
            line: self.source.line(start) + usize::from(on_next_line),
        }))
    }

    /// A text that must be there.
    pub fn required_string(&mut self, key: &'static str) -> Result<Text, DescriptionError> {
        let line = self.line;
        self.string(key)?
            .ok_or_else(|| self.error(line, key, "found nothing", "this key must be given"))
    }

    /// A list of texts, with the line of the list.
    pub fn strings(
        &mut self,
        key: &'static str,
    ) -> Result<Option<(Vec<String>, usize)>, DescriptionError> {
        let Some(entry) = self.take(key) else {
            return Ok(None);
        };
        let right = "a list of texts is wanted here";
        let DeValue::Array(items) = entry.value.get_ref() else {
            return Err(self.wrong_type(&entry, right));
        };
        let texts: Option<Vec<String>> = items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect();
        match texts {
            Some(texts) => Ok(Some((texts, entry.line))),
            None => Err(self.wrong_type(&entry, right)),
        }
    }

    /// A text, number or boolean, with its line.
    pub fn value(&mut self, key: &'static str) -> Result<Option<(Value, usize)>, DescriptionError> {
        let Some(entry) = self.take(key) else {
            return Ok(None);
        };
        match plain(entry.value.get_ref()) {
            Some(value) => Ok(Some((value, entry.line))),
            None => Err(self.wrong_type(&entry, "a text, a number, true or false is wanted here")),
        }
    }

    /// A table below this one; an absent one reads as empty.
    pub fn table(&mut self, key: &'static str) -> Result<Option<Table<'a>>, DescriptionError> {
        let Some(entry) = self.take(key) else {
            return Ok(None);
        };
        self.below(&entry).map(Some)
    }

    fn below(&self, entry: &Entry<'a>) -> Result<Table<'a>, DescriptionError> {
        let DeValue::Table(table) = entry.value.get_ref() else {
            return Err(self.wrong_type(entry, "a table is wanted here"));
        };
        Ok(Table::new(
            self.source,
            &self.name_of(entry.key),
            entry.line,
            table,
        ))
    }

    /// All keys, each of which must be a table: for `[parameters.NAME]`.
    pub fn tables(mut self) -> Result<Vec<(String, Table<'a>)>, DescriptionError> {
        std::mem::take(&mut self.entries)
            .iter()
            .map(|entry| Ok((entry.key.to_owned(), self.below(entry)?)))
            .collect()
    }

    /// Refuses keys that nobody took.
    pub fn finish(self) -> Result<(), DescriptionError> {
        let Some(entry) = self.entries.first() else {
            return Ok(());
        };
        let right = format!("known here: {}", self.known.join(", "));
        Err(self.error(entry.line, entry.key, "unknown key", right))
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
