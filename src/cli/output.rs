//! Writes text to standard output.

use std::io::{self, Write};

use crate::api::code::{Code, EXIT_FRESH};

/// Why something could not be written to standard output.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(super) struct OutputError(#[source] io::Error);

impl OutputError {
    pub(super) fn exit_code(&self) -> u8 {
        match self.0.kind() {
            // Whoever closed the pipe has what they wanted.
            io::ErrorKind::BrokenPipe => EXIT_FRESH,
            _ => Code::Internal.exit_code(),
        }
    }
}

/// Writes all of `bytes` to standard output.
pub(super) fn write(bytes: &[u8]) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(OutputError)
}

/// Replaces all control characters of `text` but newlines: an authorization server's words must not
/// steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Writes seconds as people read them, in the two greatest units.
pub(super) fn in_words(seconds: u64) -> String {
    let (days, hours) = (seconds / 86400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m {rest:02}s"),
        (0, _, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(in_words(0), "0s");
        assert_eq!(in_words(59), "59s");
        assert_eq!(in_words(61), "1m 01s");
        assert_eq!(in_words(3599), "59m 59s");
        assert_eq!(in_words(3600), "1h 00m");
        assert_eq!(in_words(90_061), "1d 01h");
    }

    #[test]
    fn terminals_are_safe() {
        assert_eq!(
            printable("a\u{1b}[2Jb\r\nc\u{9b}"),
            "a\u{fffd}[2Jb\u{fffd}\nc\u{fffd}"
        );
    }
}
