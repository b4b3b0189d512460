//! Every mistake that a configuration can have, with the exact text that the administrator sees.
//!
//! `tests/config_errors/NAME.toml` goes with `NAME.stderr`; a directory `NAME` holds `bearerd.toml` and
//! `conf.d`, and goes with `NAME.stderr` beside it. `UPDATE_GOLDEN=1` writes the `.stderr` files anew: read them then.

use std::fs;
use std::path::{Path, PathBuf};

use bearerd::config::{ConfigErrors, Environment, load};

const DIR: &str = "tests/config_errors";

fn cases() -> Vec<(PathBuf, PathBuf)> {
    let mut cases: Vec<_> = fs::read_dir(DIR)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|e| e == "toml"))
        .map(|path| match path.is_dir() {
            true => (path.join("bearerd.toml"), path.with_extension("stderr")),
            false => (path.clone(), path.with_extension("stderr")),
        })
        .collect();
    cases.sort();
    cases
}

fn errors(main_file: &Path) -> ConfigErrors {
    match load(main_file, &Environment::default()) {
        Ok(_) => panic!("{} holds no mistake", main_file.display()),
        Err(errors) => errors,
    }
}

#[test]
fn each_mistake_is_shown_as_expected() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for (main_file, golden) in cases() {
        let shown = format!("{}\n", errors(&main_file));
        if update {
            fs::write(&golden, &shown).unwrap();
        } else if fs::read_to_string(&golden).ok().as_deref() != Some(&shown) {
            wrong.push(format!("{}:\n{shown}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases().len() >= 65);
}

#[test]
fn no_error_shows_a_secret() {
    let mut with_canary = 0;
    for (main_file, _) in cases() {
        let errors = errors(&main_file);
        with_canary += usize::from(fs::read_to_string(&main_file).unwrap().contains("CANARY"));
        for shown in [errors.to_string(), format!("{errors:?}{errors:#?}")] {
            assert!(
                !shown.contains("CANARY"),
                "{}:\n{shown}",
                main_file.display()
            );
        }
    }
    assert!(with_canary >= 15);
}

#[test]
fn a_missing_main_file_is_named() {
    let shown = errors(Path::new("/nonexistent/bearerd.toml")).to_string();
    assert_eq!(
        shown,
        "/nonexistent/bearerd.toml: cannot be read: No such file or directory (os error 2)\n\
         hint: name the file with `--config PATH`\n\n1 error"
    );
}
