//! Text becomes the tables of `file.rs`. serde stops at the first mistake; here that mistake's entry is taken out
//! and serde asked again, until nothing is wrong any more: so all are reported at once.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::File;
use super::{ConfigErrors, Mistake};

/// Where every key of the text stands.
pub struct Source<'t> {
    text: &'t str,
    pub path: Option<PathBuf>,
    root: DeTable<'t>,
}

impl Source<'_> {
    /// A mistake at the key, or at the innermost table on its way that is in the file.
    pub fn mistake(&self, key: &str, message: String) -> Mistake {
        let line = self
            .position(key)
            .map(|position| line_of(self.text, position));
        Mistake {
            file: self.path.clone(),
            line,
            key: key.to_owned(),
            message,
        }
    }

    fn position(&self, key: &str) -> Option<usize> {
        let mut table = &self.root;
        let mut position = None;
        for step in key.split('.') {
            let (name, index) = match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
                Some((name, index)) => (name, index.parse::<usize>().ok()),
                None => (step, None),
            };
            let Some((found, value)) = table.get_key_value(name) else {
                return position;
            };
            let (value, start) = match index.and_then(|index| value.get_ref().get(index)) {
                Some(item) => (item, item.span().start),
                None => (value, found.span().start),
            };
            position = Some(start);
            let Some(inner) = value.get_ref().as_table() else {
                return position;
            };
            table = inner;
        }
        position
    }
}

/// Reads the text; relative to nothing yet.
pub fn read<'t>(text: &'t str, path: Option<&Path>) -> Result<(File, Source<'t>), ConfigErrors> {
    let mistake = |key: String, position: usize, message: String| Mistake {
        file: path.map(Path::to_owned),
        line: Some(line_of(text, position)),
        key,
        message,
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let at = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
        return Err(ConfigErrors(
            errors
                .iter()
                .map(|error| mistake(String::new(), at(error), one_line(error.message())))
                .collect(),
        ));
    }

    let whole = document.span();
    let root = document.into_inner();
    let mut rest = root.clone();
    let mut mistakes = Vec::new();
    loop {
        let deserializer = toml::de::Deserializer::from(Spanned::new(whole.clone(), rest.clone()));
        let error = match File::deserialize(deserializer) {
            Ok(file) if mistakes.is_empty() => {
                return Ok((
                    file,
                    Source {
                        text,
                        path: path.map(Path::to_owned),
                        root,
                    },
                ));
            }
            Ok(_) => break,
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let removed = remove(&mut rest, &span, "");
        let nothing_left_to_remove = removed.is_none();
        mistakes.push(mistake(
            removed.unwrap_or_default(),
            span.start,
            one_line(error.message()),
        ));
        if nothing_left_to_remove {
            break;
        }
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    Err(ConfigErrors(mistakes))
}

/// Takes the innermost entry that holds the span out of the table and tells its path.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>, prefix: &str) -> Option<String> {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let name = table.iter().find_map(|(key, value)| {
        let hit = holds(key.span()) || holds(value.span()) || reaches(value.get_ref(), span);
        hit.then(|| key.get_ref().to_string())
    })?;
    let path = if prefix.is_empty() {
        name.clone()
    } else {
        format!("{prefix}.{name}")
    };

    let inner = match table.get_mut(name.as_str()).map(Spanned::get_mut) {
        Some(DeValue::Table(inner)) => remove(inner, span, &path),
        Some(DeValue::Array(items)) => {
            items
                .iter_mut()
                .enumerate()
                .find_map(|(index, item)| match item.get_mut() {
                    DeValue::Table(inner) => remove(inner, span, &format!("{path}[{index}]")),
                    DeValue::String(_)
                    | DeValue::Integer(_)
                    | DeValue::Float(_)
                    | DeValue::Boolean(_) => None,
                    DeValue::Datetime(_) | DeValue::Array(_) => None,
                })
        }
        Some(_) | None => None,
    };
    if inner.is_some() {
        return inner;
    }
    table.remove(name.as_str());
    Some(path)
}

/// Whether the span is of something inside. A table's own span is only its header's, so its entries are asked.
fn reaches(value: &DeValue<'_>, span: &Range<usize>) -> bool {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    match value {
        DeValue::Table(table) => table.iter().any(|(key, value)| {
            holds(key.span()) || holds(value.span()) || reaches(value.get_ref(), span)
        }),
        DeValue::Array(items) => items
            .iter()
            .any(|item| holds(item.span()) || reaches(item.get_ref(), span)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => false,
    }
}

fn line_of(text: &str, position: usize) -> usize {
    text.bytes()
        .take(position)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

fn one_line(message: &str) -> String {
    message.trim().replace('\n', ", ")
}
