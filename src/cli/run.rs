//! `bearerd run`.

use std::process::ExitCode;

use super::RunArgs;

/// Runs `bearerd run`.
#[must_use]
pub fn run(_args: &RunArgs) -> ExitCode {
    ExitCode::FAILURE
}
