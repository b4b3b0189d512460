//! The command line, one file per command.

mod ask;
mod check;
mod completions;
mod config_path;
mod credential_helper;
mod error;
mod events;
mod exec;
mod get;
mod keygen;
mod login;
mod logout;
mod output;
mod refresh;
mod run;
mod status;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::api::client;
use crate::config::Environment;
use error::CliError;

/// Keeps OAuth 2.0 bearer tokens fresh and hands them out.
#[derive(Debug, Parser)]
#[command(name = "bearerd", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    /// The socket of the daemon to ask; not with run, check, keygen and completions [default:
    /// $BEARERD_SOCKET, else the user's own daemon's, else /run/bearerd/bearerd.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Run(run::RunArgs),
    /// Validate configuration, secrets and their permissions; for root, as the user that the
    /// service runs as
    Check(check::CheckArgs),
    /// Print a token
    Get(get::GetArgs),
    /// Show how tokens stand
    Status(status::StatusArgs),
    /// Follow what happens to tokens as it happens
    Events(events::EventsArgs),
    /// Have a token replaced now
    Refresh(refresh::RefreshArgs),
    /// Log in, for a token that needs a person
    Login(login::LoginArgs),
    /// Revoke and forget what a login has brought
    Logout(logout::LogoutArgs),
    /// Run a program with tokens in its environment
    Exec(exec::ExecArgs),
    /// Answer git, docker, Kubernetes, Google and AWS clients in their own protocols
    CredentialHelper(credential_helper::CredentialHelperArgs),
    /// Make a private key, with the public key set, certificate or request to register
    Keygen(keygen::KeygenArgs),
    /// Print a shell's completion script
    Completions(completions::CompletionsArgs),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { socket, command } = Cli::parse_from(credential_helper::expand(std::env::args_os()));
    let alone = matches!(
        command,
        Command::Run(_) | Command::Check(_) | Command::Keygen(_) | Command::Completions(_)
    );
    if socket.is_some() && alone {
        let message =
            "--socket is for commands that ask the daemon; where it listens is runtime_dir";
        Cli::command()
            .error(ErrorKind::ArgumentConflict, message)
            .exit();
    }
    let socket = || client::socket_path(socket, &Environment::of_process());
    ExitCode::from(run(command, socket).unwrap_or_else(|e| error::report(&e)))
}

/// Runs a command, and returns the exit code of its success.
fn run(command: Command, socket: impl FnOnce() -> PathBuf) -> Result<u8, CliError> {
    Ok(match command {
        Command::Run(args) => run::run(&args)?,
        Command::Check(args) => check::run(&args)?,
        Command::Get(args) => get::run(&args, &socket())?,
        Command::Status(args) => status::run(&args, &socket())?,
        Command::Events(args) => events::run(&args, &socket())?,
        Command::Refresh(args) => refresh::run(&args, &socket())?,
        Command::Login(args) => login::run(&args, &socket())?,
        Command::Logout(args) => logout::run(&args, &socket())?,
        Command::Exec(args) => exec::run(&args, &socket())?,
        Command::CredentialHelper(args) => credential_helper::run(&args, &socket())?,
        Command::Keygen(args) => keygen::run(&args)?,
        Command::Completions(args) => completions::run(&args, &mut Cli::command())?,
    })
}

/// Returns the command line's definition, for manual pages.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

const EXIT_CODES: &str = "\
Exit codes:
  0  fresh
  1  internal error
  2  wrong usage
  3  transient: try again
  4  needs login
  5  the configuration has to be fixed
  6  denied
  7  no such token
  8  the daemon cannot be reached
`exec` ends with the program's own; 126 and 127 when it cannot be run or is not found.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
