//! Who may import whom, and how large a file may grow. ARCHITECTURE.md says why.

use std::fs;
use std::path::{Path, PathBuf};

/// Module (longest prefix wins) and the modules of this crate that it may name. `*` is any but `daemon`
/// and `cli`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("instant", &[]),
    ("credential", &["instant"]),
    ("clock", &["instant"]),
    ("error_chain", &[]),
    ("failpoint", &[]),
    ("atomic_file", &[]),
    ("program", &["config"]),
    ("refresh", &["refresh", "credential", "instant"]),
    ("config", &["config", "credential", "refresh", "logging"]),
    (
        "source",
        &[
            "source",
            "config",
            "credential",
            "refresh",
            "program",
            "clock",
            "instant",
        ],
    ),
    (
        "store",
        &[
            "store",
            "config",
            "credential",
            "refresh",
            "atomic_file",
            "clock",
            "instant",
        ],
    ),
    ("format", &["format", "config", "credential", "instant"]),
    (
        "sink",
        &[
            "sink",
            "store",
            "format",
            "config",
            "credential",
            "atomic_file",
            "program",
            "clock",
            "instant",
        ],
    ),
    (
        "api",
        &[
            "api",
            "store",
            "format",
            "config",
            "credential",
            "refresh",
            "clock",
            "instant",
        ],
    ),
    ("signals", &[]),
    ("systemd", &["clock", "instant"]),
    ("watch", &["clock"]),
    ("logging", &[]),
    ("daemon", &["*", "daemon"]),
    ("cli", &["*", "daemon", "cli"]),
    ("lib", &["*", "daemon", "cli"]),
    ("main", &[]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.to_str().unwrap().ends_with(".rs")
            && !path.to_str().unwrap().ends_with("tests.rs")
        {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 20, "the sources were not found");
    let mut all: Vec<_> = found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    all.sort();
    all
}

/// The code without its tests and comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with("//"))
}

fn module_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

fn named_modules(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(move |(at, prefix)| {
        let rest = &line[at + prefix.len()..];
        let end = rest
            .find(|c: char| c != '_' && !c.is_alphanumeric())
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn nobody_imports_what_it_must_not_know() {
    let mut wrong = Vec::new();
    for (file, text) in all_sources() {
        let module = module_of(&file);
        let (_, allowed) = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{file}: add {module} to the table and to ARCHITECTURE.md"));
        for line in code(&text) {
            for named in named_modules(line).filter(|named| !named.is_empty()) {
                let any = ["error_chain", "failpoint"].contains(&named)
                    || allowed.contains(&"*") && !["daemon", "cli"].contains(&named);
                if !any && !allowed.contains(&named) {
                    wrong.push(format!("{file}: {}", line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    const FOREIGN: &[&str] = &[
        "tokio",
        "reqwest",
        "tracing",
        "serde",
        "std::time::SystemTime",
        "std::time::Instant",
        "std::io",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "rand",
    ];
    for (file, text) in all_sources()
        .iter()
        .filter(|(file, _)| file.starts_with("refresh/"))
    {
        for line in code(text).filter(|line| line.trim_start().starts_with("use ")) {
            for foreign in FOREIGN {
                assert!(!line.contains(foreign), "{file}: {line}");
            }
        }
    }
}

#[test]
fn no_file_has_two_duties() {
    for (file, text) in all_sources() {
        let lines = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        assert!(lines <= 400, "{file} has {lines} lines outside its tests");
    }
}
