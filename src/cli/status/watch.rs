//! `bearerd status --watch`: the same text again and again, drawn over itself on a terminal.

use std::io::{self, IsTerminal};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;

use crate::cli::output::{self, OutputError};

/// Shows what `text` returns once a second, until it returns an error, somebody ends it, or nobody
/// reads it any more.
pub(super) fn watch<E: From<OutputError>>(text: impl Fn() -> Result<String, E>) -> Result<u8, E> {
    let terminal = io::stdout().is_terminal();
    if terminal {
        output::write(CLEAR)?;
    }
    loop {
        let page = text()?;
        if terminal {
            output::write(redrawn(&page, size()).as_bytes())?;
        } else {
            output::write(format!("{page}\n").as_bytes())?;
        }
        // The wait ends early when a pipe's reader is gone. The next write then fails.
        let stdout = io::stdout();
        let mut closed = [PollFd::new(&stdout, PollFlags::empty())];
        _ = poll(&mut closed, Some(&SECOND));
    }
}

/// The terminal's lines and columns.
fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 1 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => (24, 80),
    }
}

/// Draws `page` over the one before it, without a moment of emptiness: each line erases only what
/// is right of it. What does not fit is cut, so that nothing scrolls.
fn redrawn(page: &str, (rows, columns): (usize, usize)) -> String {
    let mut drawn = HOME.to_owned();
    let total = page.lines().count();
    let shown = if total < rows { total } else { rows - 2 };
    for line in page.lines().take(shown) {
        drawn.push_str(&cut(line, columns));
        drawn.push_str(END_OF_LINE);
    }
    if shown < total {
        drawn.push_str(&format!("… {} more lines{END_OF_LINE}", total - shown));
    }
    drawn + ERASE_BELOW
}

/// Cuts `line` to at most `columns` characters. Colours do not count, and their ends are always
/// kept.
fn cut(line: &str, columns: usize) -> String {
    let (mut cut, mut width, mut in_colour) = (String::new(), 0, false);
    for c in line.chars() {
        in_colour |= c == '\u{1b}';
        if in_colour {
            cut.push(c);
            in_colour = c != 'm';
        } else if width < columns {
            cut.push(c);
            width += 1;
        }
    }
    cut
}

const CLEAR: &[u8] = b"\x1b[2J";
const END_OF_LINE: &str = "\x1b[K\n";
const ERASE_BELOW: &str = "\x1b[J";
const HOME: &str = "\x1b[H";
const SECOND: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_fit() {
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("a\u{1b}[32mbcd\u{1b}[0m", 2), "a\u{1b}[32mb\u{1b}[0m");
        let drawn = redrawn("a\nb\n", (24, 80));
        assert_eq!(drawn, "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\n\u{1b}[J");
        let drawn = redrawn("a\nb\nc\nd\n", (4, 80));
        assert_eq!(drawn.lines().count(), 4, "{drawn:?}");
        assert!(drawn.contains("… 2 more lines"), "{drawn:?}");
    }
}
