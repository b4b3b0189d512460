//! `bearerd check`.

use std::process::ExitCode;

use super::CheckArgs;

/// Runs `bearerd check`.
#[must_use]
pub fn run(_args: &CheckArgs) -> ExitCode {
    ExitCode::FAILURE
}
