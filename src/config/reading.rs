//! What has been found wrong so far, and the way from a section's offsets to places in a file.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use super::users::Users;

/// What reading the configuration has found out so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) findings: RefCell<Vec<Finding>>,
    pub(super) users: Users,
    /// Whether some text is no TOML. What it would have defined is not missing then, only unread.
    pub(super) broken: Cell<bool>,
}

/// Something wrong at a place.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) site: Site,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) broken: bool,
    /// Where the same thing stands first. The hint names that place.
    pub(super) first: Option<Site>,
}

impl Reading {
    /// Reports something that stands twice, and may stand once only.
    pub(super) fn again(&self, site: Site, message: String, first: Site) {
        self.findings.borrow_mut().push(Finding {
            site,
            message,
            hint: None,
            broken: false,
            first: Some(first),
        });
    }

    /// Reports something that is wrong at a place.
    pub(super) fn refuse(&self, site: Site, message: String, hint: String) {
        self.findings.borrow_mut().push(Finding {
            site,
            message,
            hint: Some(hint),
            broken: false,
            first: None,
        });
    }
}

/// A place in a file.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Site {
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Where the piece of text that it belongs to begins.
    pub(super) piece: usize,
}

/// The section that is being read. Its pieces were joined; this maps offsets back.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    pub(super) reading: &'a Reading,
    pub(super) file: usize,
    pub(super) pieces: &'a [Range<usize>],
}

impl Origin<'_> {
    pub(super) fn site(&self, span: Range<usize>) -> Site {
        let mut joined = 0;
        let last = self.pieces.len().saturating_sub(1);
        for (index, piece) in self.pieces.iter().enumerate() {
            if span.start < joined + piece.len() || index == last {
                let at = |offset: usize| (piece.start + offset - joined).min(piece.end);
                return Site {
                    file: self.file,
                    start: at(span.start),
                    end: at(span.end.max(span.start)),
                    piece: piece.start,
                };
            }
            joined += piece.len();
        }
        Site {
            file: self.file,
            start: 0,
            end: 0,
            piece: 0,
        }
    }

    pub(super) fn report(&self, span: Range<usize>, message: String, hint: Option<String>) {
        self.reading.findings.borrow_mut().push(Finding {
            site: self.site(span),
            message,
            hint,
            broken: false,
            first: None,
        });
    }

    /// Reports text that is no TOML.
    pub(super) fn broken(&self, error: &toml::de::Error) {
        self.reading.broken.set(true);
        let span = error.span().unwrap_or(0..0);
        let message = error.message();
        let message = message
            .strip_suffix(", expected nothing")
            .unwrap_or(message);
        let message = message
            .strip_suffix(", expected literal string")
            .unwrap_or(message);
        self.reading.findings.borrow_mut().push(Finding {
            site: self.site(span),
            message: format!("not valid TOML: {message}"),
            hint: syntax_hint(message).map(Into::into),
            broken: true,
            first: None,
        });
    }
}

/// What the parser's shorter messages mean to somebody who writes a configuration.
fn syntax_hint(message: &str) -> Option<&'static str> {
    let hints = [
        ("duplicate key", "a key or table may stand once in a file"),
        (
            "invalid basic string",
            "a string ends with `\"` on the line where it began",
        ),
        (
            "invalid multi-line",
            "a string that began with three quotes ends with three",
        ),
        ("key with no value", "write `key = value`"),
        ("missing comma between key", "entries are separated by `,`"),
        (
            "missing comma",
            "an element ends with `,`, the list with `]`",
        ),
        (
            "string values must be quoted",
            "write the value in quotes: `key = \"value\"`",
        ),
        (
            "unexpected leading zero",
            "write permission bits in quotes: `mode = \"0640\"`",
        ),
    ];
    let (_, hint) = hints.iter().find(|(start, _)| message.starts_with(start))?;
    Some(*hint)
}
