//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use super::excerpt::Excerpt;

/// Everything that is wrong with a configuration. Shows no value that could be a secret.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
    total: usize,
}

impl ConfigErrors {
    /// Only this many are kept: a file with a mistake in every line is one mistake.
    pub(super) const SHOWN: usize = 100;

    pub(super) fn new(problems: Vec<Problem>, total: usize) -> Self {
        Self { problems, total }
    }

    /// The first hundred, in the order of the files and of their lines.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigErrors {
    /// Each with its line and hint, and in the end how many there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        match (self.total, self.problems.len()) {
            (1, _) => f.write_str("1 error"),
            (n, shown) if n > shown => write!(f, "{n} errors, the first {shown} shown"),
            (n, _) => write!(f, "{n} errors"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The file it is in.
    pub path: PathBuf,
    /// What is wrong: lower case, no period, no secret.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The place, unless the file as a whole is meant.
    pub(super) excerpt: Option<Excerpt>,
}

impl Problem {
    pub(super) fn of_file(path: &Path, message: String, hint: Option<String>) -> Self {
        Self {
            path: path.into(),
            message,
            hint,
            excerpt: None,
        }
    }

    /// Line and column, both counted from 1, the column in characters.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        self.excerpt.as_ref().map(|e| (e.line, e.column))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some((line, column)) = self.position() {
            write!(f, "{line}:{column}:")?;
        }
        writeln!(f, " {}", printable(&self.message))?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "{excerpt}")?;
        }
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {}", printable(hint)),
            None => Ok(()),
        }
    }
}

/// Keys and names come from the file: none of them may steer a terminal.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
