//! The configuration's files, cut into sections.
//!
//! A section is what stands under one `[client.NAME]` or `[token.NAME]`, sub-tables included. Each
//! is parsed and checked by itself: a mistake in one hides no mistake in another, and with 100,000
//! tokens only the tree of one of them is in memory at a time.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml_parser::lexer::TokenKind;

use super::error::{ConfigErrors, Problem};

/// One file's text.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// The files, and all places where files were looked for.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) files: Vec<SourceFile>,
    pub(super) read_from: Vec<PathBuf>,
}

impl Sources {
    /// Reads the main file, then `conf.d/*.toml` beside it in name order. Hidden files are editors'
    /// own.
    pub(super) fn read(main_file: &Path) -> Result<Self, ConfigErrors> {
        let drop_in_dir = main_file.with_file_name("conf.d");
        let mut paths = vec![main_file.to_path_buf()];
        let mut files = Vec::new();
        let mut problems = Vec::new();
        match drop_ins(&drop_in_dir) {
            Ok(found) => paths.extend(found),
            Err(cause) => problems.push(unreadable(&drop_in_dir, &cause)),
        }
        for path in &paths {
            match read_text(path) {
                Ok(text) => files.push(SourceFile {
                    path: path.clone(),
                    text,
                }),
                Err(problem) => problems.push(*problem),
            }
        }
        if !problems.is_empty() {
            let total = problems.len();
            return Err(ConfigErrors::new(problems, total));
        }
        paths.insert(1, drop_in_dir);
        let read_from = paths.iter().map(absolute).collect();
        Ok(Self { files, read_from })
    }
}

fn absolute(path: &PathBuf) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.clone())
}

fn drop_ins(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let visible = !name.as_encoded_bytes().starts_with(b".");
        if visible && Path::new(&name).extension().is_some_and(|e| e == "toml") {
            paths.push(dir.join(name));
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_text(path: &Path) -> Result<String, Box<Problem>> {
    let bytes = fs::read(path).map_err(|cause| Box::new(unreadable(path, &cause)))?;
    let bytes = match bytes.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest.to_vec(),
        None => bytes,
    };
    String::from_utf8(bytes).map_err(|e| {
        let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&b| b == b'\n').count() + 1;
        let hint = "TOML is UTF-8 text; save the file in that encoding".into();
        let message = format!("line {line} is not UTF-8");
        Box::new(Problem::of_file(path, message, Some(hint)))
    })
}

fn unreadable(path: &Path, cause: &io::Error) -> Problem {
    let hint = match cause.kind() {
        io::ErrorKind::NotFound => Some("name the file with `--config PATH`"),
        io::ErrorKind::PermissionDenied => Some("it must be readable by bearerd's own user"),
        _ => None,
    };
    Problem::of_file(
        path,
        format!("cannot be read: {cause}"),
        hint.map(Into::into),
    )
}

/// Where in a file the parts of one section stand; in order. TOML lets other tables stand between
/// them.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Section<'a> {
    /// The first key of its headers: `client`, `token`, or whatever was written; empty before the
    /// first header.
    pub(super) kind: &'a str,
    /// The second key.
    pub(super) name: &'a str,
    pub(super) pieces: Vec<Range<usize>>,
}

/// Cuts a text at its table headers, in order of first appearance.
pub(super) fn sections(text: &str) -> Vec<Section<'_>> {
    let mut found: Vec<Section<'_>> = Vec::new();
    let mut by_name = BTreeMap::new();
    let mut start = 0;
    let mut current = ("", "");
    let mut add = |(kind, name), piece: Range<usize>| {
        if piece.is_empty() {
            return;
        }
        let index = *by_name.entry((kind, name)).or_insert(found.len());
        match found.get_mut(index) {
            Some(section) => section.pieces.push(piece),
            None => found.push(Section {
                kind,
                name,
                pieces: vec![piece],
            }),
        }
    };
    for (at, header) in headers(text) {
        // There is one `daemon`, with its tables.
        let header = if header.0 == "daemon" {
            ("daemon", "")
        } else {
            header
        };
        if header != current {
            add(current, start..at);
            (start, current) = (at, header);
        }
    }
    add(current, start..text.len());
    found
}

/// Finds every table header: its offset and its first two keys.
fn headers(text: &str) -> impl Iterator<Item = (usize, (&str, &str))> {
    let mut tokens = toml_parser::Source::new(text).lex();
    let mut depth = 0_usize;
    let mut line_start = true;
    std::iter::from_fn(move || {
        loop {
            let token = tokens.next()?;
            let at = token.span().start();
            match token.kind() {
                TokenKind::Whitespace => {}
                TokenKind::Newline => line_start = true,
                TokenKind::LeftSquareBracket if line_start && depth == 0 => {
                    line_start = false;
                    depth = 1;
                    let line = text[at..].lines().next().unwrap_or_default();
                    return Some((at, first_two_keys(line)));
                }
                TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                    line_start = false;
                    depth += 1;
                }
                TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                    line_start = false;
                    depth = depth.saturating_sub(1);
                }
                _ => line_start = false,
            }
        }
    })
}

/// The first two keys of a header. Keys with escapes stay as written: they name nothing that
/// exists.
fn first_two_keys(header: &str) -> (&str, &str) {
    let mut keys = toml_parser::Source::new(header)
        .lex()
        .skip_while(|token| token.kind() == TokenKind::LeftSquareBracket)
        .take_while(|token| token.kind() != TokenKind::RightSquareBracket)
        .filter(|token| {
            matches!(
                token.kind(),
                TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString
            )
        })
        .map(|token| {
            let raw = &header[token.span().start()..token.span().end()];
            raw.trim_matches(['"', '\''])
        });
    (
        keys.next().unwrap_or_default(),
        keys.next().unwrap_or_default(),
    )
}

/// Some editors write these bytes at the beginning of a file; they mean nothing in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(&str, &str, Vec<&str>)> {
        sections(text)
            .into_iter()
            .map(|s| {
                let pieces = s.pieces.into_iter().map(|p| &text[p]).collect();
                (s.kind, s.name, pieces)
            })
            .collect()
    }

    #[test]
    fn there_is_one_daemon() {
        let text = "[daemon]\nlog = 'info'\n[client.a]\n[daemon.notify]\n";
        let pieces = vec!["[daemon]\nlog = 'info'\n", "[daemon.notify]\n"];
        assert_eq!(
            cut(text),
            [
                ("daemon", "", pieces),
                ("client", "a", vec!["[client.a]\n"])
            ]
        );
    }

    #[test]
    fn sub_tables_belong_to_their_section() {
        let text = "# top\n[daemon]\nlog = 'info'\n[client.a]\nx = 1\n[client.a.tls]\n\
                    [[ token . \"a\" .file]]\n";
        assert_eq!(
            cut(text),
            [
                ("", "", vec!["# top\n"]),
                ("daemon", "", vec!["[daemon]\nlog = 'info'\n"]),
                ("client", "a", vec!["[client.a]\nx = 1\n[client.a.tls]\n"]),
                ("token", "a", vec!["[[ token . \"a\" .file]]\n"]),
            ]
        );
    }

    #[test]
    fn parts_that_stand_apart_are_joined() {
        let text = "[token.a]\nx=1\n[token.b]\n[token.a.refresh]\n";
        assert_eq!(
            cut(text),
            [
                (
                    "token",
                    "a",
                    vec!["[token.a]\nx=1\n", "[token.a.refresh]\n"]
                ),
                ("token", "b", vec!["[token.b]\n"]),
            ]
        );
    }

    #[test]
    fn brackets_in_values_are_no_headers() {
        let text = "[token.a]\nscope = [\n[\"x\"],\n]\np = '''\n[token.b]\n'''\n# [token.c]\n\
                    q = \"\"\"\n[token.d]\"\"\"\n";
        assert_eq!(cut(text), [("token", "a", vec![text])]);
    }
}
