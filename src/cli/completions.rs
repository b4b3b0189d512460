//! `bearerd completions`: prints a shell's completion script.

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

use super::output::{self, OutputError};
use crate::api::code::EXIT_FRESH;

#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: For,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum For {
    Bash,
    Fish,
    Zsh,
}

/// Prints the script for the whole command line, which `command` defines.
pub(super) fn run(args: &CompletionsArgs, command: &mut Command) -> Result<u8, OutputError> {
    let shell = match args.shell {
        For::Bash => Shell::Bash,
        For::Fish => Shell::Fish,
        For::Zsh => Shell::Zsh,
    };
    let mut script = Vec::new();
    generate(shell, command, "bearerd", &mut script);
    output::write(&script)?;
    Ok(EXIT_FRESH)
}
