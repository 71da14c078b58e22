//! What is wrong with a description: every problem with its place, what was found and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

/// One thing that is wrong in a description or with a value for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The description's file.
    pub file: PathBuf,
    /// Where in the file; none where the mistake is not in it (a value that a job gave, a file that is missing).
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The key or parameter: `capture.video`, `parameter width`.
    pub key: String,
    /// The element of a fragment, as it is written there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// What was found.
    pub found: String,
    /// What would be right.
    pub right: String,
}

impl Problem {
    /// The line, from 1.
    pub fn line(&self) -> Option<usize> {
        self.place.map(|place| place.line)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        if let Some(element) = &self.element {
            write!(f, ": {element}")?;
        }
        write!(f, ": {}; {}", self.found, self.right)
    }
}

/// Everything that is wrong with a description; at least one problem, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescriptionError(pub Vec<Problem>);

impl DescriptionError {
    /// One problem that has no place in the file.
    pub(super) fn without_place(
        file: &Path,
        key: &str,
        found: impl Into<String>,
        right: impl Into<String>,
    ) -> Self {
        Self(vec![Problem {
            file: file.to_owned(),
            place: None,
            key: key.to_owned(),
            element: None,
            found: found.into(),
            right: right.into(),
        }])
    }

    /// `Ok` where there are no problems.
    pub(super) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self::of(problems))
    }

    /// In the order of the file, each once.
    pub(super) fn of(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.place);
        problems.dedup();
        Self(problems)
    }
}

impl From<Problem> for DescriptionError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for DescriptionError {}

/// The name of a list that is most like what was written, if any is much like it.
pub(super) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let tolerated = ((written.chars().count() + 1) / 3).clamp(1, 3);
    names
        .into_iter()
        .map(|name| (distance(written, name), name))
        .filter(|(distance, _)| *distance <= tolerated)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance: letters to put in, take out or change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(80).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// `did you mean x?`, where something is near.
pub(super) fn did_you_mean<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(written, names).map(|name| format!("did you mean {name}?"))
}
