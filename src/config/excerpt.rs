//! The line an error is about, with everything hidden that could be a secret.
//!
//! Values are hidden unless their key is known to hold none: a mistyped `client_secrt` must not
//! show what `client_secret` would have hidden. The text is walked token by token rather than
//! matched by patterns, because the line may be no valid TOML at all.

use std::fmt;
use std::ops::Range;

use toml_parser::lexer::TokenKind;

/// A line, as it may be shown, and the part of it that is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Excerpt {
    /// Counted from 1.
    pub(super) line: usize,
    /// Counted from 1, in characters.
    pub(super) column: usize,
    shown: String,
    /// In characters of `shown`.
    caret: Range<usize>,
}

impl Excerpt {
    /// Takes the line at `span` out of `text`. `from` is where the walk begins: a place before the
    /// line where no table, array or string is open. `broken` says that the text is not valid TOML.
    pub(super) fn new(text: &str, from: usize, span: Range<usize>, broken: bool) -> Self {
        let start = floor(text, span.start);
        let end = floor(text, span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let length = text[line_start..].find('\n');
        let line_end = length.map_or(text.len(), |length| line_start + length);
        let mut line = Line {
            shown: String::new(),
            caret: None,
            span: start..end.min(line_end),
        };
        for part in parts(text, from.min(line_start), line_start..line_end, broken) {
            line.add(text, &part);
        }
        let width = line.shown.chars().count();
        let caret = line.caret.unwrap_or(width..width);
        let (shown, caret) = window(line.shown, caret);
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            shown,
            caret,
        }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(self.caret.start);
        let carets = "^".repeat(self.caret.len().max(1));
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", self.shown)?;
        writeln!(f, "{margin} | {indent}{carets}")
    }
}

/// The line while it is put together.
struct Line {
    shown: String,
    caret: Option<Range<usize>>,
    span: Range<usize>,
}

impl Line {
    fn add(&mut self, text: &str, part: &Part) {
        let before = self.shown.chars().count();
        let verbatim = &text[part.range.clone()];
        let hidden = !part.shown && !self.shown.ends_with(MASK);
        if part.shown {
            let safe = without_credentials(verbatim);
            self.shown
                .extend(safe.chars().map(|c| if c.is_control() { ' ' } else { c }));
        } else if hidden {
            self.shown.push_str(MASK);
        }
        let after = self.shown.chars().count();
        let overlaps = part.range.start < self.span.end.max(self.span.start + 1)
            && self.span.start < part.range.end;
        if !overlaps {
            return;
        }
        let exact = part.shown && verbatim.chars().count() == after - before;
        let column = |offset: usize| {
            let inside = offset.clamp(part.range.start, part.range.end) - part.range.start;
            before + verbatim[..inside].chars().count()
        };
        let covered = match (exact, hidden || part.shown) {
            (true, _) => column(self.span.start)..column(self.span.end),
            (false, true) => before..after,
            (false, false) => before.saturating_sub(MASK.len())..before,
        };
        self.caret = Some(match self.caret.take() {
            Some(caret) => caret.start..covered.end.max(caret.end),
            None => covered,
        });
    }
}

/// A piece of the line.
struct Part {
    range: Range<usize>,
    shown: bool,
}

/// An open table or array.
#[derive(Clone, Copy)]
struct Open {
    array: bool,
    shown: bool,
}

/// What the walk knows at one place.
struct Walk {
    open: Vec<Open>,
    /// Within a value: whether it may be shown.
    value: Option<bool>,
    /// The last key, or what could be one.
    word: Range<usize>,
    after_dot: bool,
    words: usize,
    header: bool,
    /// The text is no valid TOML: only what is known to be a key is taken for one.
    broken: bool,
    /// The line has shown what it is: a header or an assignment.
    understood: bool,
}

impl Walk {
    fn new_line(&mut self) {
        if self.open.is_empty() {
            self.value = None;
            self.header = false;
            self.words = 0;
        }
        self.understood = false;
    }

    /// Takes one token in and says whether it may be shown.
    fn take(&mut self, text: &str, kind: TokenKind, range: &Range<usize>) -> bool {
        let array = self.open.last().is_some_and(|open| open.array);
        match kind {
            TokenKind::Whitespace | TokenKind::Newline | TokenKind::Comment | TokenKind::Eof => {}
            TokenKind::Equals => {
                // An assignment within an array: its end was forgotten, and this is a new line of
                // its own.
                if array {
                    self.open.clear();
                }
                let before = self.value.take().unwrap_or(true) || array;
                self.value = Some(before && self.permits(text));
                self.understood = true;
                self.header = false;
                self.words = 0;
            }
            TokenKind::LeftSquareBracket if self.begins_line() => {
                self.header = true;
                self.understood = true;
            }
            TokenKind::RightSquareBracket if self.header => {
                self.header = false;
                self.words = 1;
            }
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                let array = kind == TokenKind::LeftSquareBracket;
                let shown = self.value.unwrap_or(false);
                self.open.push(Open { array, shown });
                self.value = array.then_some(shown);
                self.words = 0;
            }
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                // Up to the next comma or line there is only what does not belong there.
                self.open.pop();
                self.value = Some(false);
            }
            TokenKind::Comma => {
                self.value = self.open.last().filter(|o| o.array).map(|o| o.shown);
                self.words = 0;
            }
            TokenKind::Dot => self.after_dot = true,
            _ => return self.word(text, range, array),
        }
        true
    }

    /// Where a header may begin; its second bracket included.
    fn begins_line(&self) -> bool {
        let nothing_yet = self.words == 0 && (self.header || !self.understood);
        self.open.is_empty() && self.value.is_none() && nothing_yet
    }

    /// A key, or a value or part of one.
    fn word(&mut self, text: &str, range: &Range<usize>, array: bool) -> bool {
        let word = &text[range.clone()];
        let first = self.words == 0 || self.after_dot;
        let key = first && (self.header || !self.broken || known(word));
        self.word = range.clone();
        self.words += 1;
        self.after_dot = false;
        // A string with these in it may have swallowed what came after its forgotten end.
        let swallowed = self.broken && word.contains(['#', '=', ' ']);
        closed(word)
            && !swallowed
            && match self.value {
                Some(shown) => shown && (first || array || !self.broken),
                None => key,
            }
    }

    /// Whether the value of the last key may be shown.
    fn permits(&self, text: &str) -> bool {
        let key = text[self.word.clone()].trim_matches(['"', '\'']);
        let within_shown = self.open.last().is_none_or(|open| open.shown);
        REFERENCES.contains(&key) || (within_shown && HARMLESS.contains(&key))
    }
}

/// Walks from `from` to the end of `line` and cuts the line into what may be shown and what not.
fn parts(text: &str, from: usize, line: Range<usize>, broken: bool) -> Vec<Part> {
    let mut walk = Walk {
        open: Vec::new(),
        value: None,
        word: 0..0,
        after_dot: false,
        words: 0,
        header: false,
        understood: false,
        broken,
    };
    let mut parts: Vec<Part> = Vec::new();
    let mut continues = false;
    for token in toml_parser::Source::new(&text[from..]).lex() {
        let range = from + token.span().start()..from + token.span().end();
        if range.start >= line.end {
            break;
        }
        let shown = walk.take(text, token.kind(), &range);
        let clipped = range.start.max(line.start)..range.end.min(line.end);
        // A comment is left out: anything may stand in it.
        if clipped.start < clipped.end && token.kind() != TokenKind::Comment {
            // What goes on from an earlier line is hidden: who forgot to close a string or, in
            // broken text, a bracket has put every later line into it.
            continues |=
                range.start < line.start || (broken && parts.is_empty() && !walk.open.is_empty());
            let blank = token.kind() == TokenKind::Whitespace;
            parts.push(Part {
                range: clipped,
                shown: blank || (shown && !continues),
            });
        }
        if token.kind() == TokenKind::Newline {
            walk.new_line();
        }
    }
    if !walk.understood && walk.open.is_empty() {
        hide_values(text, &mut parts);
    }
    parts
}

/// A line that is neither header nor assignment: a known key at its beginning is all that is shown.
fn hide_values(text: &str, parts: &mut [Part]) {
    let mut first = true;
    for part in parts {
        let word = &text[part.range.clone()];
        if word.trim().is_empty() {
            continue;
        }
        part.shown &= first && known(word);
        first = false;
    }
}

fn known(key: &str) -> bool {
    let key = key.trim_matches(['"', '\'']);
    HARMLESS.contains(&key) || SECRET.contains(&key) || REFERENCES.contains(&key)
}

/// Whether a string ends as it began: one that does not holds whatever comes after it.
fn closed(word: &str) -> bool {
    match word.chars().next() {
        Some(quote @ ('"' | '\'')) => word.len() > 1 && word.ends_with(quote),
        _ => true,
    }
}

/// Hides the query of a URL; and all of what could hold `user:password@`, or did before a slip of
/// the hand.
fn without_credentials(token: &str) -> String {
    let word = token.trim_matches(['"', '\'']);
    let like_url = word.contains("//") || word.contains(":/");
    let no_url = like_url && !word.starts_with('/') && url::Url::parse(word).is_err();
    if no_url || word.contains('@') {
        return MASK.into();
    }
    match token.split_once('?') {
        Some((rest, query)) if like_url => {
            let quote = query.matches(['"', '\'']).next_back().unwrap_or_default();
            format!("{rest}?{MASK}{quote}")
        }
        _ => token.into(),
    }
}

/// Cuts a very long line down to what is around the caret.
fn window(shown: String, caret: Range<usize>) -> (String, Range<usize>) {
    if shown.chars().count() <= WIDTH {
        return (shown.trim_end().into(), caret);
    }
    let skipped = caret.start.saturating_sub(WIDTH / 2);
    let cut: String = shown.chars().skip(skipped).take(WIDTH).collect();
    let start = caret.start - skipped;
    let end = (caret.end - skipped).min(WIDTH);
    (cut, start..end.max(start))
}

fn floor(text: &str, offset: usize) -> usize {
    text.floor_char_boundary(offset)
}

const MASK: &str = "********";
const WIDTH: usize = 160;

/// The keys of a secret reference.
const REFERENCES: [&str; 3] = ["credential", "env", "file"];

/// Keys whose values are no secrets.
#[rustfmt::skip]
const HARMLESS: &[&str] = &[
    "alg", "allow", "assume_lifetime", "at", "audience", "auth", "authorization_endpoint",
    "before_expiry", "body", "ca", "cert", "certificate", "claims", "client", "client_id",
    "client_secret_basic", "client_secret_basic_raw", "client_secret_jwt", "client_secret_post",
    "command", "connect_timeout", "daemon", "device_authorization_endpoint", "format", "grant",
    "group", "headers", "hook", "http", "inactivity", "issuer", "kid", "lifetime", "limits", "log",
    "login", "machine", "max_in_flight", "method", "mode", "oidc_agent", "on_expiry", "owner",
    "params", "path", "pointer", "private_key_jwt", "proxy", "refresh", "refresh_auth",
    "requests_per_minute", "required", "resource", "revocation_endpoint", "revoke_on_removal",
    "runtime_dir", "scope", "state_dir", "template", "timeout", "tls", "token_endpoint", "typ",
    "username", "variable", "x5t", "x5t#S256",
];

/// Keys that hold secrets, or the names of tables that hold one.
const SECRET: [&str; 4] = ["client_secret", "key", "password", "refresh_token"];
