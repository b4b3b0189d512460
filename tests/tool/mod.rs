//! The real programs that tests drive.

use std::path::Path;

/// Whether a program is installed. Where it is not, the test that asks says loudly that it shows nothing;
/// `.ci/run`, which installs it, takes that for a failure.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path
        .split(':')
        .any(|dir| Path::new(dir).join(program).exists());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{program} is not installed"
    );
    if !found {
        use std::io::Write;
        let mut stderr = std::io::stderr().lock();
        _ = writeln!(stderr, "SKIPPED: {program} is not installed");
    }
    found
}
