//! Who may import whom, in what circles nobody may, and how large a file may grow. ARCHITECTURE.md says why.

use std::fs;
use std::path::{Path, PathBuf};

use crate::imports::{Crate, circles, foreign_impls, without_tests};

/// A module and those that it may name besides itself. Those of the core are named as if they were ours. `*`
/// is any but `daemon` and `cli`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("token", &["credential"]),
    ("clock", &["instant"]),
    ("error_chain", &[]),
    ("failpoint", &[]),
    ("atomic_file", &[]),
    ("program", &["config"]),
    ("config", &["credential", "refresh", "logging"]),
    (
        "oauth",
        &[
            "clock",
            "config",
            "credential",
            "instant",
            "program",
            "refresh",
            "token",
        ],
    ),
    (
        "store",
        &[
            "atomic_file",
            "clock",
            "config",
            "credential",
            "instant",
            "refresh",
            "token",
        ],
    ),
    ("format", &["config", "credential", "instant", "token"]),
    (
        "sink",
        &[
            "atomic_file",
            "clock",
            "config",
            "credential",
            "format",
            "instant",
            "program",
            "store",
        ],
    ),
    (
        "api",
        &[
            "clock",
            "config",
            "credential",
            "format",
            "instant",
            "refresh",
            "store",
        ],
    ),
    ("signals", &[]),
    ("systemd", &["clock", "instant"]),
    ("watch", &["clock"]),
    ("logging", &[]),
    ("daemon", &["*"]),
    ("cli", &["*", "daemon"]),
    ("lib", &["*", "daemon", "cli"]),
    ("main", &[]),
];

/// What everybody may name.
const ANYBODYS: [&str; 2] = ["error_chain", "failpoint"];

/// The sources of the two crates.
fn crates() -> [PathBuf; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    [root.join("src"), root.join("core/src")]
}

/// All files below a folder, by their paths in it, without their tests.
pub(crate) fn files_below(sources: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending = vec![sources.to_owned()];
    while let Some(path) = pending.pop() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            let entries = fs::read_dir(&path).unwrap();
            pending.extend(entries.map(|entry| entry.unwrap().path()));
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let relative = path.strip_prefix(sources).unwrap().display().to_string();
            found.push((relative, without_tests(&path)));
        }
    }
    assert!(found.len() > 10, "{}: too few files", sources.display());
    found.sort();
    found
}

fn module_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

fn named_modules(line: &str) -> impl Iterator<Item = &str> {
    ["crate::", "bearerd_core::"]
        .into_iter()
        .flat_map(move |prefix| {
            line.match_indices(prefix).map(move |(at, _)| {
                let rest = &line[at + prefix.len()..];
                let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric());
                &rest[..end.unwrap_or(rest.len())]
            })
        })
}

#[test]
fn nobody_imports_what_it_must_not_know() {
    let [sources, _] = crates();
    let mut wrong = Vec::new();
    for (file, text) in files_below(&sources) {
        let module = module_of(&file);
        let (_, allowed) = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{file}: add {module} to the table and to ARCHITECTURE.md"));
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for named in named_modules(line).filter(|named| !named.is_empty() && *named != module) {
                let any = ANYBODYS.contains(&named)
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
fn no_files_import_each_other_in_a_circle() {
    for sources in crates() {
        let read = Crate::read(&sources);
        let edges = read.edges();
        assert!(edges.values().flatten().count() > 20, "{edges:?}");
        let circles = circles(&edges);
        assert!(circles.is_empty(), "{circles:#?}");
    }
}

#[test]
fn a_type_and_what_it_can_do_stand_in_one_file() {
    for sources in crates() {
        let foreign = foreign_impls(&sources);
        assert!(foreign.is_empty(), "{foreign:#?}");
    }
}

/// That it has no dependency, the compiler sees; the standard library reads clocks and files, too.
#[test]
fn the_core_is_pure() {
    const FOREIGN: &[&str] = &[
        "env",
        "fs",
        "io",
        "net",
        "os",
        "process",
        "sync::Mutex",
        "thread",
        "time::Instant",
        "time::SystemTime",
    ];
    let [_, core] = crates();
    for (file, text) in files_below(&core) {
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for foreign in FOREIGN {
                assert!(!line.contains(&format!("std::{foreign}")), "{file}: {line}");
            }
        }
    }
    let manifest = fs::read_to_string(core.with_file_name("Cargo.toml")).unwrap();
    assert!(!manifest.contains("dependencies]"), "{manifest}");
}

#[test]
fn no_file_has_two_duties_or_is_hard_to_find() {
    for sources in crates() {
        for (file, text) in files_below(&sources) {
            let lines = text.lines().count();
            assert!(lines <= 400, "{file} has {lines} lines outside its tests");
            let depth = file.split('/').count();
            assert!(depth <= 3, "{file} is {depth} deep");
        }
    }
}
