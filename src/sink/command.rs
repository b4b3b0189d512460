//! The commands of hooks.

use std::process::Stdio;

use tokio::process::Command;

use crate::config::Environment;
use crate::program;

/// Makes a command whose standard error is kept for the log.
pub(super) fn command(argv: &[String], environment: &Environment) -> Command {
    let mut command = program::command(argv, environment, &PASSED_ON);
    command.stderr(Stdio::piped());
    command
}

/// The variables that `systemctl`, `systemctl --user` and ordinary programs need. None of them is
/// secret.
const PASSED_ON: [&str; 5] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "HOME",
    "LANG",
    "USER",
    "XDG_RUNTIME_DIR",
];

/// So many bytes of what a command writes are kept.
pub(super) const MAX_SAID: usize = 4096;
