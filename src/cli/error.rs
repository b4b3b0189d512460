//! What goes wrong with a command, in words and as an exit code.

use std::io::{self, Write};

use super::ask::AskError;
use super::check::CheckError;
use super::credential_helper::HelperError;
use super::events::EventsError;
use super::exec::ExecError;
use super::get::GetError;
use super::keygen::KeygenError;
use super::login::LoginError;
use super::output::{OutputError, printable};
use super::refresh::RefreshError;
use super::run::RunError;
use super::status::StatusError;
use crate::api::code::EXIT_FRESH;
use crate::error_chain::error_chain;

/// Why a command failed: the command, and its own error.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) enum CliError {
    Check(#[from] CheckError),
    Completions(#[from] OutputError),
    CredentialHelper(#[from] HelperError),
    Events(#[from] EventsError),
    Exec(#[from] ExecError),
    Get(#[from] GetError),
    Keygen(#[from] KeygenError),
    Login(#[from] LoginError),
    Logout(#[from] AskError),
    Refresh(#[from] RefreshError),
    Run(#[from] RunError),
    Status(#[from] StatusError),
}

impl CliError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Check(error) => error.exit_code(),
            Self::Completions(error) => error.exit_code(),
            Self::CredentialHelper(error) => error.exit_code(),
            Self::Events(error) => error.exit_code(),
            Self::Exec(error) => error.exit_code(),
            Self::Get(error) => error.exit_code(),
            Self::Keygen(error) => error.exit_code(),
            Self::Login(error) => error.exit_code(),
            Self::Logout(error) => error.exit_code(),
            Self::Refresh(error) => error.exit_code(),
            Self::Run(error) => error.exit_code(),
            Self::Status(error) => error.exit_code(),
        }
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::CredentialHelper(error) => error.hint(),
            Self::Events(error) => error.hint(),
            Self::Exec(error) => error.hint(),
            Self::Get(error) => error.hint(),
            Self::Keygen(error) => error.hint(),
            Self::Login(error) => error.hint(),
            Self::Logout(error) => error.hint(),
            Self::Refresh(error) => error.hint(),
            Self::Status(error) => error.hint(),
            Self::Check(_) | Self::Completions(_) | Self::Run(_) => None,
        }
    }
}

/// Writes what went wrong to standard error, and returns the exit code.
pub(super) fn report(error: &CliError) -> u8 {
    let exit_code = error.exit_code();
    if exit_code == EXIT_FRESH {
        return exit_code;
    }
    let mut message = format!("bearerd: {}", error_chain(error));
    if let Some(hint) = error.hint() {
        message.push_str(&format!("\nhint: {hint}"));
    }
    // Without a standard error there is nobody to tell, but the exit code is still returned.
    let _ = writeln!(io::stderr(), "{}", printable(&message));
    exit_code
}
