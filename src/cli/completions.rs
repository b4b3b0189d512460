//! `bearerd completions`.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use super::error::CliError;
use super::{Cli, output};
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

pub(super) fn run(args: &CompletionsArgs) -> Result<u8, CliError> {
    let shell = match args.shell {
        For::Bash => Shell::Bash,
        For::Fish => Shell::Fish,
        For::Zsh => Shell::Zsh,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "bearerd", &mut script);
    output::write(&script)?;
    Ok(EXIT_FRESH)
}
