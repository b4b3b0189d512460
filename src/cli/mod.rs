//! The command line, one file per command.

pub mod check;
mod completions;
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
pub mod run;
mod status;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::api::client;
use crate::config::Environment;
use crate::logging::LogFormat;

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
    Run(RunArgs),
    /// Validate configuration, secrets and their permissions; for root, as the user that the service runs as
    Check(CheckArgs),
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

/// Arguments of `bearerd run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The configuration [default: /etc/bearerd/bearerd.toml, or a user's own
    /// ~/.config/bearerd/bearerd.toml]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Obtain and publish everything once, then exit: 0 only if all tokens are fresh
    #[arg(long)]
    pub once: bool,
    /// How to write the log [default: journal when stderr is the journal, else text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Arguments of `bearerd check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The configuration [default: as for `run`]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Also ask the authorization servers: discovery, TLS, clock, a trial token per client
    #[arg(long)]
    pub online: bool,
    /// Say whether a user (by name or id) or a unit may read a token through the socket (and log in for it), and by
    /// which rule
    #[arg(long, num_args = 2, value_names = ["UID|UNIT", "TOKEN"], conflicts_with = "online")]
    pub explain: Option<Vec<String>>,
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
    let exit_code = match command {
        Command::Run(args) => return run::run(&args),
        Command::Check(args) => return check::run(&args),
        Command::Get(args) => get::run(&args, &socket()),
        Command::Status(args) => status::run(&args, &socket()),
        Command::Events(args) => events::run(&args, &socket()),
        Command::Refresh(args) => refresh::run(&args, &socket()),
        Command::Login(args) => login::run(&args, &socket()),
        Command::Logout(args) => logout::run(&args, &socket()),
        Command::Exec(args) => exec::run(&args, &socket()),
        Command::CredentialHelper(args) => credential_helper::run(&args, &socket()),
        Command::Keygen(args) => keygen::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    ExitCode::from(exit_code.unwrap_or_else(|e| error::report(&e)))
}

/// The command line's definition, for manual pages.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// The configuration's path: as given, else a user's own where it exists, else the system's.
#[must_use]
pub fn config_path(given: Option<PathBuf>, environment: &Environment, uid: u32) -> PathBuf {
    let users = || {
        let directory = environment.directory("XDG_CONFIG_HOME").or_else(|| {
            let home = environment.directory("HOME")?;
            Some(home.join(".config"))
        })?;
        let path = directory.join("bearerd/bearerd.toml");
        (uid != 0 && path.exists()).then_some(path)
    };
    given
        .or_else(users)
        .unwrap_or_else(|| PathBuf::from("/etc/bearerd/bearerd.toml"))
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
    use std::path::Path;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_str().unwrap();
        let environment = Environment::from([("HOME", home)]);
        let system = Path::new("/etc/bearerd/bearerd.toml");
        assert_eq!(config_path(None, &environment, 1000), system);
        let users = directory.path().join(".config/bearerd");
        std::fs::create_dir_all(&users).unwrap();
        let users = users.join("bearerd.toml");
        std::fs::File::create(&users).unwrap();
        assert_eq!(config_path(None, &environment, 1000), users);
        assert_eq!(config_path(None, &environment, 0), system);
        let given = config_path(Some("/x".into()), &environment, 1000);
        assert_eq!(given, Path::new("/x"));
    }
}
