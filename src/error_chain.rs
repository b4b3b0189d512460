//! One line for an error and its causes.

use std::error::Error;

/// Writes an error and its causes as `a: b: c`.
///
/// A cause whose text its predecessor already ends with is not repeated.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

/// [`error_chain`], and what to do about it where that is known.
#[must_use]
pub fn explain(error: &dyn Error, hint: Option<&str>) -> String {
    let line = error_chain(error);
    hint.map_or(line.clone(), |hint| format!("{line}; hint: {hint}"))
}
