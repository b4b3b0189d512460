//! The real programs that tests drive. Where one is not installed, the test that asks says loudly that it
//! shows nothing; under `.ci/run` that is a failure, unless the program is too large to be installed for it.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Whether a program is in the `PATH`.
pub fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut directories = path.split(':');
    let found = directories.any(|directory| Path::new(directory).join(program).exists());
    found || skipped(program, !LARGE.contains(&program))
}

/// Whether Python finds a module.
pub fn has_python_module(module: &str) -> bool {
    let found = python().args(["-c", &format!("import {module}")]).output();
    found.is_ok_and(|output| output.status.success()) || skipped(module, true)
}

/// The Python whose modules are asked for: `$BEARERD_TEST_PYTHON`, else the system's.
pub fn python() -> Command {
    let named = std::env::var_os("BEARERD_TEST_PYTHON");
    Command::new(named.unwrap_or_else(|| "/usr/bin/python3".into()))
}

const LARGE: [&str; 3] = ["docker", "go", "kubectl"];

fn skipped(what: &str, small: bool) -> bool {
    let must = small && std::env::var_os("CI").is_some();
    assert!(!must, "{what} is not installed");
    // Not through the macro, whose output the test runner keeps to itself.
    _ = writeln!(std::io::stderr().lock(), "SKIPPED: {what} is not installed");
    false
}
